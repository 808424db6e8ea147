"""Boxes as PaliGemma writes them: `<loc0102><loc0204><loc0511><loc0767> cat ; <loc...> dog`.

Four location tokens are a box's top, left, bottom and right, each in 1023rds of the image's height or width. Sixteen
codes `<seg000>` ... `<seg127>` between box and label are its mask, for `locate/mask_decoder.py`.

Source: big_vision, `pp/proj/paligemma/segmentation.py` for writing, and for reading
`evaluators/proj/paligemma/transfers/segmentation.py`: 1023 and not 1024, and a box with its corners
exchanged is dropped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image

from ojito.errors import OjitoError

LAST = 1023
"""The location token of an image's lower or right edge."""

CODES, MASK_CODES = 128, 16
"""Number of codes, and how many of them make a mask."""

BETWEEN = " ; "
"""Separator of two things, in a prompt and in an answer."""

# A run of location tokens, a run of codes, and a label up to what cannot be part of one.
_ENTRY = re.compile(r"((?:<loc[0-9]{4}>\s*)+)((?:<seg[0-9]{3}>\s*)*)([^;<]*)")
_NUMBER = re.compile(r"[0-9]+")


@dataclass(frozen=True)
class Box:
    """Where a thing is, in pixels of the upright image, which are what one draws and cuts out with.

    Pixels are not rounded, so that a box which was read is written again as the same location tokens.

    Attributes:
        top: The upper edge, pixels from the top of the image.
        left: The left edge, pixels from the left.
        bottom: The lower edge, pixels from the top; more than `top`.
        right: The right edge, pixels from the left; more than `left`.
        label: What it is; may be empty.
        codes: The mask as the model wrote it, sixteen numbers from 0 to 127; or none.
        mask: The mask as pixels of the whole image, (height, width) bool; None where there is none.

    Raises:
        OjitoError: The box has no area, or the codes are not those of a mask.
    """

    top: float
    left: float
    bottom: float
    right: float
    label: str = ""
    codes: tuple[int, ...] = ()
    mask: npt.NDArray[np.bool_] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        sides = (self.top, self.left, self.bottom, self.right)
        if not (all(map(math.isfinite, sides)) and self.top < self.bottom and self.left < self.right):
            raise OjitoError(
                f"a box with top {self.top}, left {self.left}, bottom {self.bottom} and right {self.right}",
                "has no area",
                "give a bottom below the top and a right beyond the left",
            )
        if self.codes and not _is_mask(self.codes):
            raise OjitoError("codes", f"{self.codes} are no mask", f"give {MASK_CODES} numbers from 0 to {CODES - 1}")


def parse(text: str, width: int, height: int) -> list[Box]:
    """Return the boxes in a model's text, in its order.

    Whatever cannot be read is left out: location tokens that are not four, or that do not exist, a box without area or
    with its corners exchanged. A box whose codes are not sixteen keeps its place and loses its mask.

    Args:
        text: Any text.
        width: Width of the upright image, pixels.
        height: Height of the upright image, pixels.
    """
    boxes = []
    for locations, codes, label in _ENTRY.findall(text):
        values, mask = _numbers(locations), _numbers(codes)
        if len(values) != 4 or max(values) > LAST or values[0] >= values[2] or values[1] >= values[3]:
            continue
        top, left, bottom, right = (v / LAST * side for v, side in zip(values, 2 * (height, width), strict=True))
        boxes.append(Box(top, left, bottom, right, _one_line(label), mask if _is_mask(mask) else ()))
    return boxes


def write_boxes(boxes: Iterable[Box], width: int, height: int) -> str:
    """Return the text that `parse` reads: what a model shall learn to answer. Edges beyond the image become its edges.

    Args:
        boxes: In the order that the model shall write them.
        width: Width of the upright image, pixels.
        height: Height of the upright image, pixels.

    Raises:
        OjitoError: A label holds what ends a label.
    """
    return BETWEEN.join(_entry(box, width, height) for box in boxes)


def fit_mask(values: npt.NDArray[np.floating], box: Box, width: int, height: int) -> npt.NDArray[np.bool_]:
    """Lay the square of a mask decoder into its box: (height, width) bool, True where the thing is.

    A box thinner than the pixels that it should cover has an empty mask.

    Args:
        values: (64, 64), above 0 inside the thing.
        box: Where it belongs, within the image.
        width: Width of the upright image, pixels.
        height: Height of the upright image, pixels.

    Raises:
        OjitoError: The box reaches beyond the image.

    Source: big_vision's evaluator: edges cut to whole pixels, Pillow's bilinear resize, above 0.
    """
    top, left, bottom, right = (int(side) for side in (box.top, box.left, box.bottom, box.right))
    if top < 0 or left < 0 or bottom > height or right > width:
        raise OjitoError(box, f"reaches beyond the image of {width} x {height} pixels", "give the image it is of")
    pixels = np.zeros((height, width), np.bool_)
    if top < bottom and left < right:
        square = Image.fromarray(values.astype(np.float32))
        fitted = square.resize((right - left, bottom - top), Image.Resampling.BILINEAR)
        pixels[top:bottom, left:right] = np.asarray(fitted) > 0
    return pixels


def _entry(box: Box, width: int, height: int) -> str:
    label = _one_line(box.label)
    if ";" in label or "<" in label:
        raise OjitoError(f"label {box.label!r}", "holds ';' or '<', which end a label", "leave them out")
    sides = zip((box.top, box.left, box.bottom, box.right), 2 * (height, width), strict=True)
    # Half to even, as TensorFlow's round does.
    locations = [min(max(round(side / whole * LAST), 0), LAST) for side, whole in sides]
    tokens = [f"<loc{location:04d}>" for location in locations] + [f"<seg{code:03d}>" for code in box.codes]
    return "".join(tokens) + (f" {label}" if label else "")


def _numbers(tokens: str) -> tuple[int, ...]:
    return tuple(map(int, _NUMBER.findall(tokens)))


def _is_mask(codes: tuple[int, ...]) -> bool:
    return len(codes) == MASK_CODES and all(0 <= code < CODES for code in codes)


def _one_line(label: str) -> str:
    """The label on one line, with single spaces."""
    return " ".join(label.split())
