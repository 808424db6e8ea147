"""Images with one plain answer, drawn for the examination of a server."""

from __future__ import annotations

import io
from typing import Literal

from PIL import Image, ImageDraw

SIDE = 336  # pixels

COLOURS = {
    "red": (225, 20, 20),
    "green": (20, 160, 50),
    "blue": (25, 50, 225),
    "yellow": (250, 225, 20),
}

CORNERS = {"top left": (0, 0), "top right": (1, 0), "bottom left": (0, 1), "bottom right": (1, 1)}
"""The quarters of an image, as (right, bottom)."""

Edge = Literal["middle", "left", "right", "top", "bottom", "far left", "far right"]

_SEGMENTS = {  # of a seven-segment digit: left, top, right, bottom, in a box of 4 x 7
    "a": (0, 0, 4, 1), "b": (3, 0, 4, 4), "c": (3, 3, 4, 7), "d": (0, 6, 4, 7),
    "e": (0, 3, 1, 7), "f": (0, 0, 1, 4), "g": (0, 3, 4, 4),
}  # fmt: skip
_DIGITS = {"2": "abged", "4": "fgbc", "7": "abc"}
DIGITS = tuple(_DIGITS)


def filled(colour: str) -> Image.Image:
    """An image of one colour."""
    return Image.new("RGB", (SIDE, SIDE), COLOURS[colour])


def quarter(corner: str, colour: str) -> Image.Image:
    """A square in one quarter of a white image: so far from the border that no usual crop takes it away."""
    right, bottom = CORNERS[corner]
    return _with_square((SIDE, SIDE), colour, (0.28 + 0.44 * right, 0.28 + 0.44 * bottom), 90)


def at_edge(edge: Edge, colour: str, inside: bool = False) -> Image.Image:
    """A square that touches an edge of a white image.

    Args:
        edge: "far left" and "far right" are those of a wide image.
        colour: Of the square.
        inside: Whether it is nearer to the middle instead, where a square that is cut out of the image has it, too.
    """
    place = {"left": (0.0, 0.5), "right": (1.0, 0.5), "top": (0.5, 0.0), "bottom": (0.5, 1.0)}
    size = (3 * SIDE // 2, SIDE // 2) if edge.startswith("far") else (SIDE, SIDE)
    x, y = place.get(edge.removeprefix("far "), (0.5, 0.5))
    if inside:
        nearer = 0.16 if edge.startswith("far") else 0.5
        x, y = 0.5 + nearer * (x - 0.5), 0.5 + nearer * (y - 0.5)
    return _with_square(size, colour, (x, y), 48)


def digit(number: str) -> Image.Image:
    """A large digit, black on white."""
    image = Image.new("RGB", (SIDE, SIDE), "white")
    unit = SIDE // 12
    for segment in _DIGITS[number]:
        left, top, right, bottom = (unit * part for part in _SEGMENTS[segment])
        x, y = 4 * unit, 2 * unit
        ImageDraw.Draw(image).rectangle((x + left, y + top, x + right - 1, y + bottom - 1), "black")
    return image


def photograph(image: Image.Image) -> bytes:
    """A JPEG as a phone held sideways takes it: its pixels are turned, and EXIF says so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    content = io.BytesIO()
    image.transpose(Image.Transpose.ROTATE_90).save(content, "JPEG", quality=95, exif=exif)
    return content.getvalue()


def _with_square(size: tuple[int, int], colour: str, place: tuple[float, float], side: int) -> Image.Image:
    """A white image with a square, its middle at a place in 0..1, moved so that all of it is in the image."""
    image = Image.new("RGB", size, "white")
    left, top = (
        min(max(round(part * whole - side / 2), 0), whole - side) for part, whole in zip(place, size, strict=True)
    )
    image.paste(COLOURS[colour], (left, top, left + side, top + side))
    return image
