"""`ojito eval`: score a model, and show whether it looks."""

from __future__ import annotations

import dataclasses
import json
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ojito.commands.console import progress
from ojito.commands.eval_maps import answer_maps, check_looks, method_of
from ojito.commands.eval_tables import findings, print_values
from ojito.commands.inputs import load_model
from ojito.commands.paths import check_data
from ojito.config import ImageConfig
from ojito.device import dtype_name
from ojito.errors import UsageError
from ojito.evaluate import HeldOut, Report, evaluate, held_out_baselines, open_held_out
from ojito.evaluate.comparison import compare_expectations, same_answers
from ojito.evaluate.controls import CONTROLS, Control, check_controls
from ojito.evaluate.journal import JOURNAL, Journal, fingerprint
from ojito.evaluate.kinds import kinds_html
from ojito.evaluate.likelihood import grounding_to_dict, losses_beside
from ojito.evaluate.passes import check_passes, pass_scores
from ojito.evaluate.predictions import make_folder, write_evaluation
from ojito.evaluate.report import page, read_losses, shown_first
from ojito.evaluate.scoring import PASSES, check_metrics, kinds_to_dict, scores_to_dict
from ojito.evaluate.without_looking import without_looking, without_looking_html
from ojito.generate import GenerateOptions, make_options
from ojito.inference import quantized_form
from ojito.loading import load
from ojito.pipeline import Pipeline
from ojito.records import Sample
from ojito.settings import override, read, write
from ojito.web_page import write_page

_PIXELS = "processor.image.max_pixels"


def run(args: Namespace) -> int:
    """Score the model on a split."""
    if args.limit is not None and args.limit < 1:
        raise UsageError(f"--limit {args.limit}", "leaves no row", "use 1 or more")
    if args.batch_size < 1:
        raise UsageError(f"--batch-size {args.batch_size}", "asks nothing", "use 1 or more")
    metrics = None if args.metrics is None else [name.strip() for name in args.metrics.split(",")]
    check_metrics(metrics or (), passes=True)
    check_data(args.data)
    controls = _controls(args)
    check_looks(args)
    folder = None if args.out is None else make_folder(args.out)
    options = make_options(None, {"beams": args.beams, "length_penalty": args.length_penalty})
    pipe, settings = _with_pixels(load_model(args), args.settings)
    other = None if args.compare is None else _load_other(args)
    method = method_of(args, pipe)
    held_out = open_held_out(pipe, args.data, args.split or "", args.limit, args.seed or 0, settings)
    check_passes(metrics or (), held_out.rows)
    if held_out.said:  # first of all, and before the time that the questions take
        print(held_out.said + "\n" * (not args.json), file=sys.stderr if args.json else sys.stdout, flush=True)
    journal = None if folder is None else _journal(args, folder, pipe, held_out.rows, options)
    report = _ask(args, pipe, held_out.rows, options, controls, journal)
    baselines = held_out_baselines(held_out, args.seed or 0)
    values = _values(args, pipe, held_out, report, options, controls, metrics)
    if baselines:
        values["baselines"] = dataclasses.asdict(baselines)
    said = ""
    if other is not None:
        values["compared"], said = _compare(args, pipe, other, held_out.rows, report, options)
    if args.json:
        print(json.dumps(values, ensure_ascii=False, indent=1))
    else:
        stored = "" if other is None else f" in {_form(pipe)}"
        asked = f"{held_out.split}: {report.scores.n} questions{_searched(options)}"
        print(f"{args.model}{stored} on {args.data}, {asked}\n")
        print_values(values, report, baselines)
        if said:
            print(f"\n{said}")
    if args.report is not None or folder is not None:  # last: a page that cannot be written costs no scores
        html = _page(args, pipe, held_out, report, values, options, method)
        if args.report is not None:
            write_page(args.report, html)
            print(f"ojito: the images and answers are in {args.report}", file=sys.stderr)
        if folder is not None:
            write_evaluation(folder, report, values, html)
            if journal is not None:
                journal.close(done=True)
            print(f"ojito: all answers, scores and the report are in {folder}", file=sys.stderr)
    return 0


def _ask(
    args: Namespace,
    pipe: Pipeline,
    rows: Sequence[Sample],
    options: GenerateOptions,
    controls: Sequence[Control],
    journal: Journal | None,
) -> Report:
    """Ask all questions; what was answered before an interruption stays in the journal."""
    done = False
    try:
        with progress("asking") as tell:
            report = evaluate(
                pipe,
                rows,
                controls=controls,
                batch_size=args.batch_size,
                max_new_tokens=args.max_new_tokens,
                options=options,
                seed=args.seed or 0,
                journal=journal,
                progress=tell,
            )
        done = True
        return report
    finally:
        if journal is not None and not done:
            journal.close(done=False)


def _values(
    args: Namespace,
    pipe: Pipeline,
    held_out: HeldOut,
    report: Report,
    options: GenerateOptions,
    controls: Sequence[Control],
    metrics: Sequence[str] | None,
) -> dict[str, Any]:
    """Everything that is to be known of the answers, for JSON."""
    values: dict[str, Any] = {"model": args.model, "form": _form(pipe), "data": args.data, "split": held_out.split}
    if options.beams > 1:
        values.update(beams=options.beams, length_penalty=options.length_penalty)
    values.update(rows=held_out.to_dict(), **report.to_dict(), **findings(report))
    plain = None if metrics is None else [name for name in metrics if name not in PASSES]
    values["metrics"] = scores_to_dict(report, plain)
    with progress("reading again") as tell:
        passed = pass_scores(pipe, held_out.rows, report, metrics or (), options, args.batch_size, tell)
    values["metrics"].update({name: score.to_dict() for name, score in passed.items()})
    if len(report.per_kind) > 1 and plain != []:
        values["metrics_per_kind"] = kinds_to_dict(report, plain)
    blind = without_looking(held_out, report)
    if blind:
        values["without_looking"] = {name: one.to_dict() for name, one in blind.items()}
    if args.controls is not None:
        values["grounding"] = _grounding(pipe, report, controls, args.seed or 0)
    return values


def _page(
    args: Namespace,
    pipe: Pipeline,
    held_out: HeldOut,
    report: Report,
    values: Mapping[str, Any],
    options: GenerateOptions,
    method: str,
) -> str:
    """The page about it."""
    seed, split = args.seed or 0, held_out.split
    return page(
        f"{pipe.name} on {split}",
        f"The answers of {args.model} to the questions of {args.data}, split {split}{_searched(options)}.",
        report,
        losses=read_losses(args.model),
        notices=[held_out.said[0].upper() + held_out.said[1:] + "."] if held_out.said else [],
        seed=seed,
        metrics=values["metrics"],
        grounding={name: one for name, one in values.get("grounding", {}).items() if name != "seen"},
        maps=answer_maps(pipe, shown_first(report.graded, args.look or 0, seed=seed), method),
        sections=_sections(values),
    )


def _searched(options: GenerateOptions) -> str:
    return f", {options.beams} beams" * (options.beams > 1)


def _sections(values: Mapping[str, Any]) -> list[str]:
    """The sections of the page that only some evaluations have."""
    blind = values.get("without_looking", {})
    kinds = [kinds_html(values["metrics_per_kind"], blind)] if "metrics_per_kind" in values else []
    return [*kinds, *([without_looking_html(blind)] if blind else [])]


def _journal(
    args: Namespace, folder: Path, pipe: Pipeline, rows: Sequence[Sample], options: GenerateOptions
) -> Journal:
    """Open the answers of an evaluation that was interrupted, if it asked the same; else begin anew."""
    weights = sorted(Path(args.model).glob("*.safetensors")) or [Path(args.model)]
    stats = [path.stat() for path in weights if path.is_file()]
    head = {
        "model": args.model,
        "weights": [[stat.st_size, stat.st_mtime_ns] for stat in stats],
        "form": _form(pipe),
        "questions": fingerprint(rows),
        "options": repr(options),
        "max_new_tokens": args.max_new_tokens,
        "seed": args.seed or 0,
    }
    journal = Journal(folder / JOURNAL, head)
    if journal.found:
        print(f"ojito: goes on after {journal.found} answers that an interrupted run left in {folder}", file=sys.stderr)
    return journal


def _controls(args: Namespace) -> tuple[Control, ...]:
    """The controls that are asked for.

    Raises:
        OjitoError: One is not known.
    """
    if args.no_controls:
        if args.controls is not None:
            raise UsageError("--controls", "and --no-controls exclude each other", "use one of them")
        return ()
    if args.controls == "all":
        return CONTROLS
    names = (args.controls or "blank,exchanged").split(",")
    return check_controls([name.strip() for name in names])


def _grounding(pipe: Pipeline, report: Report, controls: Sequence[Control], seed: int) -> dict[str, Any]:
    """The score and the loss with the image and with less of it, for JSON."""
    with progress("reading the answers") as tell:
        losses = losses_beside(pipe, report, controls, seed, progress=tell)
    return {"seen": report.scores.to_dict(), **{name: grounding_to_dict(report, name, losses) for name in losses}}


def _load_other(args: Namespace) -> Pipeline:
    """Load the model to compare with, before the time that the questions take."""
    with progress(f"loading {args.compare}") as tell:
        return load(args.compare, args.device, args.dtype, progress=tell)


def _compare(
    args: Namespace, pipe: Pipeline, other: Pipeline, rows: Sequence[Sample], report: Report, options: GenerateOptions
) -> tuple[dict[str, Any], str]:
    """Ask another model the same; return what differs, for JSON and for people."""
    with progress("comparing") as tell:
        expected = compare_expectations(pipe, other, [one.sample for one in report.graded], progress=tell)
    with progress(f"asking {args.compare}") as tell:
        theirs = evaluate(
            other,
            rows,
            controls=(),
            batch_size=args.batch_size,
            max_new_tokens=args.max_new_tokens,
            options=options,
            seed=args.seed or 0,
            progress=tell,
        )
    same = same_answers(report, theirs)
    values = {
        "model": args.compare,
        "form": _form(other),
        "same_answers": same,
        **theirs.scores.to_dict(),
        **expected.to_dict(),
    }
    names = [f"{args.model} in {_form(pipe)}", f"{args.compare} in {_form(other)}"]
    width = max(map(len, names))
    said = (
        f"{'beside each other':<{width}}  {'right':>6}  perplexity of the expected answers\n"
        f"{names[0]:<{width}}  {report.scores.exact_match:>6.1%}  {expected.perplexity:.4f} "
        f"({expected.perplexity_change:+.2%})\n"
        f"{names[1]:<{width}}  {theirs.scores.exact_match:>6.1%}  {expected.other_perplexity:.4f}\n\n"
        f"{same:.1%} of the answers are the same. Over the {expected.tokens} tokens of the expected answers,\n"
        f"the cosine of the logits is {expected.cosine:.5f}, and the likeliest token the same at "
        f"{expected.same_likeliest:.1%}."
    )
    return values, said


def _form(pipe: Pipeline) -> str:
    """How a model's weights are stored."""
    form = quantized_form(pipe.model)
    return dtype_name(pipe.model.dtype) if form == "none" else form


def _with_pixels(pipe: Pipeline, settings: Sequence[str]) -> tuple[Pipeline, list[str]]:
    """Take the limit of pixels, which an error about an image names, out of the settings.

    Raises:
        ConfigError: The limit cannot be used.
    """
    pixels = [setting for setting in settings if setting.partition("=")[0].strip() == _PIXELS]
    others = [setting for setting in settings if setting not in pixels]
    if not pixels:
        return pipe, others
    values = override({"processor": {"image": write(pipe.processor.config.image)}}, pixels)
    image = read(ImageConfig, values["processor"]["image"], "processor.image")
    return pipe.with_image(max_pixels=image.max_pixels), others
