"""`ojito caption`: what is in images, a line each."""

from __future__ import annotations

import dataclasses
import json
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ojito.commands.caption_list import CaptionList
from ojito.commands.console import progress
from ojito.commands.inputs import generate_options, load_model, naming_the_flag
from ojito.data.files import IMAGES
from ojito.errors import UsageError
from ojito.generate import GenerateOptions
from ojito.pipeline import Pipeline
from ojito.processor import ImageError
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
    pipe = load_model(args, args.max_pixels)
    pipe.prepared(once=not several)
    failed = False
    opening, between = "[", ",\n "
    for results in _batches(pipe, paths, options, args.batch_size):
        for result in results:
            failed |= _tell(result)
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
    """Add the captions that are not there yet to the list that --out names, batch by batch."""
    captions = CaptionList(Path(args.out))
    missing = [path for path in dict.fromkeys(paths) if not captions.has(path)]
    there, failed = len(dict.fromkeys(paths)) - len(missing), 0
    if there:
        print(f"ojito: {there} of {there + len(missing)} images are in {args.out} already", file=sys.stderr)
    if missing:
        pipe = load_model(args, args.max_pixels)
        options = dataclasses.replace(options, seed=options.seed + there)
        done = 0
        with progress("captions") as report:
            for results in _batches(pipe, missing, options, args.batch_size):
                captions.add((Path(result["image"]), result["caption"]) for result in results if "caption" in result)
                failed += sum([_tell(result) for result in results])
                done += len(results)
                report(done, len(missing))
    written = len(missing) - failed
    if args.json:
        print(json.dumps({"out": args.out, "written": written, "there": there, "failed": failed}))
    else:
        print(f"{written} captions written to {args.out}" + f"; {failed} images could not be read" * bool(failed))
    return 2 if failed else 0


def _batches(
    pipe: Pipeline, paths: Sequence[Path], options: GenerateOptions, batch_size: int
) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(paths), batch_size):
        results = _captions(pipe, paths[start : start + batch_size], options)
        # The next batch goes on with the seeds of its rows, as if all were read at once.
        answered = sum("caption" in result for result in results)
        options = dataclasses.replace(options, seed=options.seed + answered)
        yield results


def _tell(result: dict[str, Any]) -> bool:
    """Name an image that could not be read; whether it could not."""
    if "error" in result:
        print(f"ojito: error: {result['error']}", file=sys.stderr)
    return "error" in result


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
