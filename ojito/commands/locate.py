"""What `detect` and `segment` share: what was found as lines, as JSON, and on the image."""

from __future__ import annotations

import json
import re
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ojito.commands.inputs import check_image, generate_options, load_model, naming_the_flag
from ojito.errors import UsageError
from ojito.locate.boxes import Box
from ojito.locate.drawing import draw_boxes
from ojito.locate.masks import read_mask_decoder
from ojito.locate.things import split_things
from ojito.pipeline import Located
from ojito.processor.images import OpenedImage, open_image

LONGEST = {".png": 2**31 - 1, ".jpg": 65500, ".jpeg": 65500, ".webp": 16383, ".bmp": 2**31 - 1}
"""The endings that --out may have, and the longest side, in pixels, that each kind of file holds. Of JPEG's 65535,
libjpeg leaves a few out."""

_NO_NAME = re.compile(r"[^\w]+")
_MOST = 40  # letters of a label in a file's name


def find(args: Namespace, weights: str | None = None, masks: str | None = None) -> int:
    """Look for the things and show them: boxes, and with weights masks.

    Args:
        args: Of the command.
        weights: The file that draws masks.
        masks: The folder that they are written to.

    Returns:
        The exit code.
    """
    check_out(args)
    if masks is not None:
        check_masks(Path(masks))
    checked = check_image(args)
    if checked is not None:
        check_size(args, checked)
    split_things(args.things, "detect" if weights is None else "segment")
    if weights is not None:
        read_mask_decoder(weights)
    options, pipe = generate_options(args), load_model(args, args.max_pixels)
    pipe.prepared(once=True)
    with naming_the_flag():
        if checked is None:
            check_size(args, pipe.processor.open_image(args.image))
        located = pipe.locate(args.image, args.things, weights, options=options)
        show(args, located, None if masks is None else Path(masks), pipe.processor.config.image.max_pixels)
    return 0


def check_out(args: Namespace) -> None:
    """Check that --out can be written, before the time that an answer takes.

    Raises:
        UsageError: It is no image file, a folder, in no folder, or the image that is looked at.
    """
    if args.out is None:
        return
    out, image = Path(args.out), Path(args.image)
    where = f"--out {out}"
    if out.suffix.lower() not in LONGEST:
        raise UsageError(where, "is not an image file", f"let it end in {', '.join(LONGEST)}")
    if out.is_dir():
        raise UsageError(where, "is a folder", "choose another name")
    if not out.parent.is_dir():
        raise UsageError(where, "is in a folder that does not exist", f"make {out.parent} first")
    if out.exists() and image.exists() and out.samefile(image):
        raise UsageError(where, "is the image itself", "choose another name")


def check_size(args: Namespace, image: OpenedImage) -> None:
    """Check that a file of the kind of --out holds an image of that size.

    Raises:
        UsageError: It does not.
    """
    if args.out is None:
        return
    longest = LONGEST[Path(args.out).suffix.lower()]
    if max(image.width, image.height) > longest:
        raise UsageError(
            f"--out {args.out}",
            f"holds at most {longest} pixels on a side, and the image has {image.width} x {image.height}",
            "let it end in .png",
        )


def check_masks(folder: Path) -> None:
    """Check that masks can be put there, and stand alone.

    Raises:
        UsageError: It is a file, or other files are in it: masks of another image would pass for this one's.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--masks {folder}", "is a file", "give a folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"--masks {folder}", "holds files already", "choose another folder, or empty it")


def show(args: Namespace, found: Located, masks: Path | None, max_pixels: int) -> None:
    """Write what was found to stdout, then the image with it to --out, and each mask to its file."""
    boxes, answer = found.boxes, found.answer
    files = [None if masks is None or box.mask is None else masks / _name(i, box) for i, box in enumerate(boxes, 1)]
    if args.json:
        values: dict[str, Any] = {"image": args.image, "width": found.width, "height": found.height}
        values.update(boxes=[_values(box, file) for box, file in zip(boxes, files, strict=True)], out=args.out)
        values.update(answer=answer.text, finish=answer.finish, tokens=len(answer.tokens))
        print(json.dumps(values, ensure_ascii=False), flush=True)
    else:
        _tell(args, found)
    if args.out is not None:
        draw_boxes(open_image(args.image, max_pixels), boxes).save(args.out)
    if masks is not None:
        _write_masks(masks, boxes, files)


def _tell(args: Namespace, found: Located) -> None:
    for box in found.boxes:
        sides = (f"{side} {round(getattr(box, side))}" for side in ("left", "top", "right", "bottom"))
        mask = "" if box.mask is None else f", {int(box.mask.sum())} pixels"
        print(f"{box.label}: {', '.join(sides)}{mask}" if box.label else f"{', '.join(sides)}{mask}")
    sys.stdout.flush()
    if not found.boxes:
        print(f"ojito: nothing was found of {args.things}", file=sys.stderr)
    if found.answer.finish == "length":
        full = len(found.answer.tokens) >= args.max_new_tokens
        end = f"at --max-new-tokens {args.max_new_tokens}" if full else "where the model has no more positions"
        print(f"ojito: the answer ended {end}; there may be more", file=sys.stderr)


def _values(box: Box, file: Path | None) -> dict[str, Any]:
    """The box as JSON: pixels of the image; a mask as its number of pixels and the codes that it is drawn from."""
    values: dict[str, Any] = {"label": box.label}
    values.update({side: round(getattr(box, side), 2) for side in ("left", "top", "right", "bottom")})
    if box.mask is not None:
        values.update(mask_pixels=int(box.mask.sum()), codes=box.codes)
    if file is not None:
        values.update(mask=str(file))
    return values


def _name(number: int, box: Box) -> str:
    """The file of a mask: its number among the boxes, and what of its label a file's name may hold."""
    label = _NO_NAME.sub("-", box.label)[:_MOST].strip("-")
    return f"{number}-{label}.png" if label else f"{number}.png"


def _write_masks(folder: Path, boxes: Sequence[Box], files: Sequence[Path | None]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for box, file in zip(boxes, files, strict=True):
        if file is not None and box.mask is not None:
            Image.fromarray(box.mask.astype(np.uint8) * np.uint8(255)).save(file)
