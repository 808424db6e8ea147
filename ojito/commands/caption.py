"""`ojito caption`: what is in pictures, a line each."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ojito.commands.inputs import drawing, load_model, open_picture
from ojito.data.files import IMAGES
from ojito.pipeline import Pipeline
from ojito.processor import ImageError
from ojito.records import Sample


def run(args: Namespace) -> int:
    """Captions the pictures, in their order. One that is broken is named, and the others go on; the exit code is 2."""
    several = len(args.images) > 1 or Path(args.images[0]).is_dir()
    paths = [path for name in args.images for path in pictures(Path(name))]
    if args.batch_size < 1:
        raise ValueError(f"--batch-size {args.batch_size} holds no picture; use 1 or more")
    how, pipe = drawing(args), load_model(args, args.max_pixels)
    failed = False
    opening, between = "[", ",\n "
    for start in range(0, len(paths), args.batch_size):
        results = _captions(pipe, paths[start : start + args.batch_size], how)
        how["seed"] += sum("caption" in result for result in results)  # as if all were read at once
        for result in results:
            if "error" in result:
                failed = True
                print(f"ojito: error: {result['error']}", file=sys.stderr)
            if args.json:
                # A single picture is an object; of several, each stands on a line of its own in one array.
                print(opening if several else "", json.dumps(result, ensure_ascii=False), sep="", end="", flush=True)
                opening = between
            elif "caption" in result:
                # A picture is a line, even where the model says more than one.
                line = " ".join(result["caption"].split())
                print(f"{result['image']}\t{line}" if several else line, flush=True)
    if args.json:
        print("]" if several else "")
    return 2 if failed else 0


def pictures(path: Path) -> list[Path]:
    """The picture, or all pictures of the folder, by name.

    Raises:
        ValueError: The folder holds none.
    """
    if not path.is_dir():
        return [path]  # what is wrong with it, reading it will tell
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in IMAGES and file.is_file())
    if not found:
        raise ValueError(f"{path} holds no pictures; they end in {', '.join(IMAGES)}")
    return found


def _captions(pipe: Pipeline, paths: Sequence[Path], how: dict[str, Any]) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = [{"image": str(path)} for path in paths]
    samples, good = [], []
    for path, result in zip(paths, results, strict=True):
        try:
            samples.append(Sample([open_picture(path, pipe.processor.config.image.max_pixels)]))
            good.append(result)
        except ImageError as error:
            result["error"] = str(error)
    answers = pipe.generate(samples, batch_size=len(samples), **how) if samples else []
    for result, answer in zip(good, answers, strict=True):
        result.update(caption=str(answer), finish=answer.finish, tokens=len(answer.tokens))
    return results
