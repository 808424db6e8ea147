"""What `detect` and `segment` share: what was found as lines, as JSON, and on the picture."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from ojito.draw import draw_boxes
from ojito.processor.locations import Box

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def check_out(args: Namespace) -> None:
    """Whether --out can be written, before the time that an answer takes.

    Raises:
        ValueError: It is no picture, in no folder, or the picture that is looked at.
    """
    if args.out is None:
        return
    out, image = Path(args.out), Path(args.image)
    if out.suffix.lower() not in ENDINGS:
        raise ValueError(f"--out {out} is no picture; let it end in {', '.join(ENDINGS)}")
    if not out.parent.is_dir():
        raise ValueError(f"--out {out} is in a folder that does not exist; make {out.parent} first")
    if out.exists() and image.exists() and out.samefile(image):
        raise ValueError(f"--out {out} is the picture itself; choose another name")


def show(args: Namespace, picture: Image.Image, boxes: Sequence[Box]) -> None:
    """Writes what was found to stdout, and the picture with it to --out."""
    if args.out is not None:
        draw_boxes(picture, boxes).save(args.out)
    if args.json:
        found: dict[str, Any] = {"image": args.image, "width": picture.width, "height": picture.height}
        found.update(boxes=[_values(box) for box in boxes], out=args.out)
        print(json.dumps(found, ensure_ascii=False))
        return
    for box in boxes:
        sides = (f"{side} {round(getattr(box, side))}" for side in ("left", "top", "right", "bottom"))
        mask = "" if box.mask is None else f", {int(box.mask.sum())} pixels"
        print(f"{box.label}: {', '.join(sides)}{mask}" if box.label else f"{', '.join(sides)}{mask}")
    if not boxes:
        print(f"ojito: nothing was found of {args.things}", file=sys.stderr)


def _values(box: Box) -> dict[str, Any]:
    """The box as JSON: pixels of the picture; a mask as its number of pixels and the codes that it is drawn from."""
    values: dict[str, Any] = {"label": box.label}
    values.update({side: round(getattr(box, side), 2) for side in ("left", "top", "right", "bottom")})
    if box.mask is not None:
        values.update(mask_pixels=int(box.mask.sum()), codes=box.codes)
    return values
