"""`ojito caption`: what is in images, a line each."""

from __future__ import annotations

import dataclasses
import json
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from ojito.commands.caption_list import CaptionList
from ojito.commands.console import progress
from ojito.commands.inputs import generate_options, load_model, name_the_flag
from ojito.commands.stats import sweep_line, sweep_stats
from ojito.data.files import IMAGES
from ojito.errors import UsageError
from ojito.generate import GenerateOptions
from ojito.meter.clock import Stopwatch, Watch, watching
from ojito.processor import ImageError, RowError
from ojito.records import Sample


def run(args: Namespace) -> int:
    """Caption the images, in their order. One that is broken is named, and the others go on; the exit code is 2."""
    several = len(args.images) > 1 or Path(args.images[0]).is_dir()
    paths = [path for name in args.images for path in find_images(Path(name), args.recursive)]
    if args.batch_size < 1:
        raise UsageError(f"--batch-size {args.batch_size}", "holds no image", "use 1 or more")
    options = generate_options(args)
    if args.out is not None:
        return _to_file(args, paths, options)
    sweep = _Sweep(args, once=not several)
    opening, between = "[", ",\n "
    try:
        for result in sweep.captions(paths, options):
            if args.json and several:
                # Each stands on a line of its own in one array.
                print(opening, json.dumps(result, ensure_ascii=False), sep="", end="", flush=True)
                opening = between
            elif args.json:
                print(json.dumps({**result, **sweep.stats()}, ensure_ascii=False), flush=True)
            elif "caption" in result:
                # An image is a line, even where the model says more than one.
                line = " ".join(result["caption"].split())
                print(f"{result['image']}\t{line}" if several else line, flush=True)
    finally:
        if opening == between:  # what was said is an array, whatever ended it
            print("]")
    if several or not args.json:
        sweep.tell_stats()
    return 2 if sweep.failed else 0


def find_images(path: Path, recursive: bool = False) -> list[Path]:
    """The image, or all images of the folder, by name; those of folders below are counted on stderr.

    Args:
        path: An image or a folder.
        recursive: Whether to take the images of folders below, too.

    Raises:
        UsageError: The folder holds none.
    """
    if not path.is_dir():
        return [path]  # what is wrong with it, reading it will tell
    every = sorted(file for file in path.rglob("*") if file.suffix.lower() in IMAGES and file.is_file())
    found = every if recursive else [file for file in every if file.parent == path]
    below = len(every) - len(found)
    if not found and below:
        raise UsageError(path, f"holds no images itself, but {below} in folders below", "use --recursive")
    if not found:
        raise UsageError(path, "holds no images", f"they end in {', '.join(IMAGES)}")
    if below:
        print(f"ojito: {below} images in folders below {path} are left out; --recursive takes them", file=sys.stderr)
    return found


def _to_file(args: Namespace, paths: Sequence[Path], options: GenerateOptions) -> int:
    """Add the captions that are not there yet to the list that --out names, as they come."""
    captions = CaptionList(Path(args.out))
    missing = [path for path in dict.fromkeys(paths) if not captions.has(path)]
    there, failed = len(dict.fromkeys(paths)) - len(missing), 0
    stats: dict[str, Any] = {}
    if there:
        print(f"ojito: {there} of {there + len(missing)} images are in {args.out} already", file=sys.stderr)
    if missing:
        sweep = _Sweep(args)
        options = dataclasses.replace(options, seed=options.seed + there)
        try:
            with progress("captions") as report:
                for done, result in enumerate(sweep.captions(missing, options), 1):
                    if "caption" in result:
                        captions.add([(Path(result["image"]), result["caption"])])
                    report(done, len(missing))
        except KeyboardInterrupt:
            there = sum(map(captions.has, dict.fromkeys(paths)))
            held = f"{there} of {len(dict.fromkeys(paths))} captions are in {args.out}"
            print(f"ojito: stopped; {held}, and the same command goes on", file=sys.stderr)
            raise
        finally:
            captions.sync()
        failed, stats = sweep.failed, sweep.stats()
        if not args.json:
            sweep.tell_stats()
    written = len(missing) - failed
    if args.json:
        print(json.dumps({"out": args.out, "written": written, "there": there, "failed": failed, **stats}))
    else:
        print(f"{written} captions written to {args.out}" + f"; {failed} images could not be read" * bool(failed))
    return 2 if failed else 0


class _Sweep:
    """A model that captions many images, and counts.

    Args:
        args: Of the command.
        once: Whether it captions one image alone.

    Attributes:
        failed: Images that could not be read so far.
    """

    def __init__(self, args: Namespace, once: bool = False) -> None:
        clock = Stopwatch(torch.device("cpu"))
        self._pipe = load_model(args, args.max_pixels)
        self._model = self._pipe.prepared(once=once)
        self._load_seconds = clock.lap()
        self._batch_size, self._wanted = args.batch_size, args.stats
        self._watch: Watch | None = None
        self._images = self._tokens = self.failed = 0

    def captions(self, paths: Sequence[Path], options: GenerateOptions) -> Iterator[dict[str, Any]]:
        """Yield what there is to tell about each image, in their order; name those that cannot be read.

        Raises:
            RowError: The model reads no images.
        """
        samples = (Sample([path], origin=str(path)) for path in paths)
        with watching(self._model) if self._wanted else nullcontext() as self._watch:
            answers = self._pipe.generate_each(samples, options, batch_size=self._batch_size)
            for path, answer in zip(paths, answers, strict=True):
                if isinstance(answer, RowError):
                    raise answer
                if isinstance(answer, ImageError):
                    error = str(name_the_flag(answer))
                    print(f"ojito: error: {error}", file=sys.stderr)
                    self.failed += 1
                    yield {"image": str(path), "error": error}
                    continue
                tokens = len(answer.tokens)
                self._images, self._tokens = self._images + 1, self._tokens + tokens
                yield {"image": str(path), "caption": str(answer), "finish": answer.finish, "tokens": tokens}

    def stats(self) -> dict[str, Any]:
        """Return the figures so far under "stats"; nothing without --stats."""
        if self._watch is None:
            return {}
        values = sweep_stats(self._watch, self._load_seconds, self._pipe.device, self._images, self._tokens)
        return {"stats": values}

    def tell_stats(self) -> None:
        """Print the figures on stderr; nothing without --stats."""
        for values in self.stats().values():
            print(f"ojito: {sweep_line(values)}", file=sys.stderr, flush=True)
