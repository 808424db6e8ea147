"""`ojito trace`: the way of an image and words through a model, module by module, and a drawing of the model."""

from __future__ import annotations

import json
import sys
import textwrap
from argparse import Namespace
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from ojito.checkpoint.folder import describe
from ojito.commands.console import progress, short
from ojito.commands.inputs import check_image, load_model, naming_the_flag
from ojito.config import Config, ModelConfig
from ojito.errors import UsageError
from ojito.loading import find_base_model, find_folder, find_preset
from ojito.probe.diagram import architecture_svg
from ojito.probe.trace import Shape, Step, Trace, trace
from ojito.records import IMAGE

_SHOWN = 24  # tokens at either end of a row
_WIDE = 100  # characters of a line of tokens


def run(args: Namespace) -> int:
    """Tell the way of one question; or, without one, draw the model from its config."""
    if args.no_image and args.prompt is None:
        args.image, args.prompt = None, args.image
    _check_words(args)
    out = None if args.svg is None else _check_svg(args.svg)
    asks = args.image is not None or args.no_image
    told: Trace | None = None
    if asks:
        if args.image is not None:
            check_image(args)
        pipe = load_model(args, args.max_pixels)
        with naming_the_flag():
            told = trace(pipe, args.image, args.prompt or "")
        config: Config | ModelConfig = pipe.config or pipe.model.config
        name = pipe.name
    else:
        config, name = _config(args)
    if out is not None:
        out.write_text(architecture_svg(config, name), encoding="utf-8")
    if args.json:
        drawn = {} if out is None else {"svg": str(out)}
        print(json.dumps({**({} if told is None else told.to_dict(args.depth)), **drawn}, indent=1))
    elif told is not None:
        print("\n".join(_table(told, args.prompt or "", args.depth)))
    if out is not None:
        print(f"ojito: the architecture is drawn in {out}", file=sys.stderr)
    return 0


def _check_words(args: Namespace) -> None:
    """Check that something is asked about an image, or without one on purpose, or that the model is to be drawn.

    Raises:
        UsageError: Nothing of these, or several that exclude each other.
    """
    if args.no_image and args.image is not None:
        raise UsageError("--no-image", f"asks without an image, and {args.image} is one", "leave one of them out")
    if args.image is None and not args.no_image and args.svg is None:
        raise UsageError("", "trace needs an image", "name one after the model, or say --no-image or --svg FILE")


def _check_svg(file: str) -> Path:
    """Check, before the time that a model takes, that a drawing may be written there.

    Raises:
        UsageError: It ends otherwise, or its folder is not there.
    """
    out = Path(file)
    if out.suffix.lower() != ".svg":
        raise UsageError(f"--svg {file}", "is no SVG", "end it in .svg")
    if out.is_dir() or not out.parent.is_dir():
        problem = "is a folder" if out.is_dir() else f"is in {out.parent}, which is no folder"
        raise UsageError(f"--svg {file}", problem, "choose another name")
    return out


def _config(args: Namespace) -> tuple[Config | ModelConfig, str]:
    """The config of the model, and its name, without reading or making its weights."""
    with progress(f"fetching {args.model}") as report:
        folder = find_folder(args.model, report)
    if folder is None:
        return find_preset(args.model), args.model
    described = describe(folder, args.mmproj, find_base_model(args.adapter_base))
    return described.recipe or described.model, described.name


# ------------------------------------------------------------------------------------------------------------- in words


def _table(told: Trace, prompt: str, depth: int) -> Iterator[str]:
    """The lines of a trace."""
    yield f"{told.name}: {short(told.parameters)} parameters on {told.device}, one pass in {told.milliseconds:.1f} ms"
    yield ""
    if told.image_size is not None and told.pixels is not None:
        width, height = told.image_size
        rows, columns = told.tiles
        cut = f" -> {rows} x {columns} tiles" * bool(rows)
        yield f"image   {width} x {height} pixels{cut} -> pixels {_shape(told.pixels)}"
    words = f"{len(told.tokens) - told.image_tokens} tokens"
    held = f", and {told.image_tokens} placeholders of the image" * bool(told.image_tokens)
    yield f"words   {_quoted(prompt) if prompt else 'a caption is asked for'} -> {words}{held}"
    shown = textwrap.wrap(_tokens(told), _WIDE)
    yield "\n        ".join([f"tokens  {shown[0]}", *shown[1:]])
    yield f"        made in {told.processor_milliseconds:.1f} ms"
    yield ""
    table, names = [("module", "class", "input", "output", "dtype", "parameters", "ms")], [""]
    for level, step in told.rows(depth):
        names[level + 1 :] = [f"{step.name}."]
        table.append(_row(step, "  " * level + step.name.removeprefix(names[level]).replace(".", " ")))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        left = "  ".join(f"{cell:<{width}}" for cell, width in zip(row[:5], widths, strict=False))
        yield f"{left}  {row[5]:>{widths[5]}}  {row[6]:>{widths[6]}}"
    yield ""
    yield "next    " + ", ".join(f"{_quoted(token.text)} {token.probability:.1%}" for token in told.likeliest)


def _row(step: Step, name: str) -> tuple[str, str, str, str, str, str, str]:
    """The cells of a step, with a stroke where there is nothing to tell."""
    kind = f"{step.count} x {step.kind}" if step.count > 1 else step.kind
    read = step.inputs[:1]
    if step.kind == "merge":  # no module, and nobody looked at the clock
        kind, read = "", step.inputs
    return (
        name,
        kind,
        " + ".join(map(_shape, read)) or "-",
        " ".join(map(_shape, step.outputs[:1])) or "-",
        step.dtype or "-",
        short(step.parameters) if step.parameters else "-",
        f"{step.milliseconds:.1f}" if step.outputs and kind else "-",
    )


def _shape(shape: Shape) -> str:
    return f"({', '.join(map(str, shape))})"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _tokens(told: Trace) -> str:
    """The tokens of the row as a reader sees them, those of an image as one."""
    shown: list[str] = []
    for placeholder, run in groupby(told.tokens, key=lambda token: token.id == IMAGE):
        tokens = [*run]
        shown += [f"<image> x {len(tokens)}"] if placeholder else [f"{_quoted(one.text)} {one.id}" for one in tokens]
    if len(shown) > 2 * _SHOWN:
        shown = [*shown[:_SHOWN], "...", *shown[-_SHOWN:]]
    return ", ".join(shown)
