"""What `detect` and `segment` share: what was found as lines, as JSON, and on the picture."""

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

from ojito.commands.inputs import check_picture, drawing, load_model, open_picture
from ojito.locate.boxes import Box
from ojito.locate.drawing import draw_boxes
from ojito.pipeline import Located, read_masks, split_things

LONGEST = {".png": 2**31 - 1, ".jpg": 65500, ".jpeg": 65500, ".webp": 16383, ".bmp": 2**31 - 1}
"""The endings that --out may have, and the longest side, in pixels, that each kind of file holds. Of JPEG's 65535,
libjpeg leaves a few out."""

_NO_NAME = re.compile(r"[^\w]+")
_MOST = 40  # letters of a label in a file's name


def find(args: Namespace, weights: str | None = None, masks: str | None = None) -> int:
    """Looks for the things and shows them: boxes, and with weights masks.

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
    picture = check_picture(args)
    if picture is not None:
        check_size(args, picture)
    split_things(args.things, "detect" if weights is None else "segment")
    if weights is not None:
        read_masks(weights)
    options, pipe = drawing(args), load_model(args, args.max_pixels)
    picture = open_picture(args.image, pipe.processor.config.image.max_pixels)
    check_size(args, picture)
    show(
        args,
        picture,
        pipe.locate(picture, args.things, weights, options=options),
        None if masks is None else Path(masks),
    )
    return 0


def check_out(args: Namespace) -> None:
    """Whether --out can be written, before the time that an answer takes.

    Raises:
        ValueError: It is no picture, a folder, in no folder, or the picture that is looked at.
    """
    if args.out is None:
        return
    out, image = Path(args.out), Path(args.image)
    if out.suffix.lower() not in LONGEST:
        raise ValueError(f"--out {out} is no picture; let it end in {', '.join(LONGEST)}")
    if out.is_dir():
        raise ValueError(f"--out {out} is a folder; choose another name")
    if not out.parent.is_dir():
        raise ValueError(f"--out {out} is in a folder that does not exist; make {out.parent} first")
    if out.exists() and image.exists() and out.samefile(image):
        raise ValueError(f"--out {out} is the picture itself; choose another name")


def check_size(args: Namespace, picture: Image.Image) -> None:
    """Whether a file of the kind of --out holds a picture of that size.

    Raises:
        ValueError: It does not.
    """
    if args.out is None:
        return
    ending = Path(args.out).suffix.lower()
    if max(picture.size) > LONGEST[ending]:
        raise ValueError(
            f"--out {args.out} holds at most {LONGEST[ending]} pixels on a side, and the picture has "
            f"{picture.width} x {picture.height}; let it end in .png"
        )


def check_masks(folder: Path) -> None:
    """Whether masks can be put there, and stand alone.

    Raises:
        ValueError: It is a file, or other files are in it: masks of another picture would pass for this one's.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--masks {folder} is a file; give a folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise ValueError(f"--masks {folder} holds files already; choose another folder, or empty it")


def show(args: Namespace, picture: Image.Image, found: Located, masks: Path | None) -> None:
    """Writes what was found to stdout, then the picture with it to --out, and each mask to its file."""
    boxes, answer = found.boxes, found.answer
    files = [None if masks is None or box.mask is None else masks / _name(i, box) for i, box in enumerate(boxes, 1)]
    if args.json:
        said: dict[str, Any] = {"image": args.image, "width": picture.width, "height": picture.height}
        said.update(boxes=[_values(box, file) for box, file in zip(boxes, files, strict=True)], out=args.out)
        said.update(answer=answer.text, finish=answer.finish, tokens=len(answer.tokens))
        print(json.dumps(said, ensure_ascii=False), flush=True)
    else:
        _tell(args, found)
    if args.out is not None:
        draw_boxes(picture, boxes).save(args.out)
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
    """The box as JSON: pixels of the picture; a mask as its number of pixels and the codes that it is drawn from."""
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
