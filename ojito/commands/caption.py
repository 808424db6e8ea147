"""`ojito caption`: what is in images, a line each."""

from __future__ import annotations

import dataclasses
import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ojito.commands.inputs import drawing, load_model, naming_the_flag
from ojito.data.files import IMAGES
from ojito.errors import UsageError
from ojito.generate import GenerateOptions
from ojito.pipeline import Pipeline
from ojito.processor import ImageError
from ojito.records import Sample


def run(args: Namespace) -> int:
    """Caption the images, in their order. One that is broken is named, and the others go on; the exit code is 2."""
    several = len(args.images) > 1 or Path(args.images[0]).is_dir()
    paths = [path for name in args.images for path in find_images(Path(name))]
    if args.batch_size < 1:
        raise UsageError(f"--batch-size {args.batch_size}", "holds no image", "use 1 or more")
    options, pipe = drawing(args), load_model(args, args.max_pixels)
    failed = False
    opening, between = "[", ",\n "
    for start in range(0, len(paths), args.batch_size):
        results = _captions(pipe, paths[start : start + args.batch_size], options)
        # The next batch goes on with the seeds of its rows, as if all were read at once.
        answered = sum("caption" in result for result in results)
        options = dataclasses.replace(options, seed=options.seed + answered)
        for result in results:
            if "error" in result:
                failed = True
                print(f"ojito: error: {result['error']}", file=sys.stderr)
            if args.json:
                # A single image is an object; of several, each stands on a line of its own in one array.
                print(opening if several else "", json.dumps(result, ensure_ascii=False), sep="", end="", flush=True)
                opening = between
            elif "caption" in result:
                # An image is a line, even where the model says more than one.
                line = " ".join(result["caption"].split())
                print(f"{result['image']}\t{line}" if several else line, flush=True)
    if args.json:
        print("]" if several else "")
    return 2 if failed else 0


def find_images(path: Path) -> list[Path]:
    """The image, or all images of the folder, by name.

    Raises:
        UsageError: The folder holds none.
    """
    if not path.is_dir():
        return [path]  # what is wrong with it, reading it will tell
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in IMAGES and file.is_file())
    if not found:
        raise UsageError(path, "holds no images", f"they end in {', '.join(IMAGES)}")
    return found


def _captions(pipe: Pipeline, paths: Sequence[Path], options: GenerateOptions) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = [{"image": str(path)} for path in paths]
    samples, good = [], []
    for path, result in zip(paths, results, strict=True):
        try:
            with naming_the_flag():
                samples.append(Sample([pipe.processor.open_image(path).image]))
            good.append(result)
        except ImageError as error:
            result["error"] = str(error)
    answers = pipe.generate(samples, options, batch_size=len(samples)) if samples else []
    for result, answer in zip(good, answers, strict=True):
        result.update(caption=str(answer), finish=answer.finish, tokens=len(answer.tokens))
    return results
