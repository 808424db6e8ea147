"""Draw boxes and masks on an image. Models and files play no part: any object with these attributes is drawn."""

from __future__ import annotations

import functools
import math
import zlib
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from ojito.errors import OjitoError

Colour = tuple[int, int, int]

COLOURS: tuple[Colour, ...] = (
    (230, 25, 75),
    (60, 180, 75),
    (255, 225, 25),
    (0, 130, 200),
    (245, 130, 48),
    (145, 30, 180),
    (70, 240, 240),
    (240, 50, 230),
    (170, 110, 40),
    (128, 128, 0),
)
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
OPACITY = np.uint8(128)  # of 255: how much of a mask's colour covers the image
MIN_FONT, MIN_LINE = 12, 2  # pixels: what is smaller gets lost
FONTS = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSansCJK-Regular.ttc", "wqy-microhei.ttc",  # Linux
    "Arial Unicode.ttf",  # macOS
    "arial.ttf", "msyh.ttc", "malgun.ttf",  # Windows
)  # fmt: skip
"""Files that a system may have, for labels that Pillow's own font cannot show: that has ASCII, and no é."""


class LabelledBox(Protocol):
    """A thing in the image, in pixels, like `locate.boxes.Box`."""

    @property
    def top(self) -> float:
        """The upper edge."""

    @property
    def left(self) -> float:
        """The left edge."""

    @property
    def bottom(self) -> float:
        """The lower edge."""

    @property
    def right(self) -> float:
        """The right edge."""

    @property
    def label(self) -> str:
        """What it is; may be empty."""

    @property
    def mask(self) -> npt.NDArray[np.bool_] | None:
        """Its pixels, (height, width) of the image; None where they are not known."""


def draw_boxes(image: Image.Image, boxes: Sequence[LabelledBox]) -> Image.Image:
    """Return a copy of the image, as RGB, with the boxes, their masks half transparent, and their labels on top.

    Things with one label have one colour. Lines and letters grow with the image. A label is written in the first font
    that has all of its characters: Pillow's own, then those of `FONTS` that this machine has. Where none has them, the
    number of the box stands for it, counted from 1.

    Args:
        image: The upright image that the boxes are of.
        boxes: What to draw.

    Raises:
        OjitoError: A mask is not of the image's size.
    """
    colours = pick_colours(box.label for box in boxes)
    result = image.convert("RGB")
    for box in boxes:
        if box.mask is not None:
            _tint(result, box.mask, colours[box.label], box.label)
    side = math.sqrt(result.width * result.height)
    line = max(MIN_LINE, round(side / 200))
    letters = max(MIN_FONT, round(side / 30))
    canvas = ImageDraw.Draw(result)
    for box in boxes:
        canvas.rectangle(_corners(box, result.size), outline=colours[box.label], width=line)
    for number, box in enumerate(boxes, 1):  # after all lines, so that none crosses a label
        label = " ".join(box.label.split())
        if label:
            font = find_font(label, letters)
            label, font = (label, font) if font else (f"{number}", ImageFont.load_default(letters))
            left, top, _, _ = _corners(box, result.size)
            width, height = (math.ceil(end) + 2 * line for end in canvas.textbbox((0, 0), label, font, anchor="lt")[2:])
            left = max(0, min(left, result.width - width))
            top = top - height if top >= height else top  # within the box where there is no room above
            colour = colours[box.label]
            canvas.rectangle((left, top, left + width - 1, top + height - 1), fill=colour)
            canvas.text((left + line, top + line), label, text_colour_on(colour), font, anchor="lt")
    return result


def pick_colours(labels: Iterable[str]) -> dict[str, Colour]:
    """Pick a colour for each label: mostly the same in every image, and none twice while there are enough."""
    colours: dict[str, Colour] = {}
    for label in sorted(set(labels)):
        first = zlib.crc32(label.encode())
        ring = [COLOURS[(first + i) % len(COLOURS)] for i in range(len(COLOURS))]
        colours[label] = next((colour for colour in ring if colour not in colours.values()), ring[0])
    return colours


def find_font(text: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont | None:
    """Return the first font that has a glyph for every character of the text; None where this machine has none.

    Args:
        text: One line.
        size: Of the letters, pixels.
    """
    for name in ("", *FONTS):
        font = _open_font(name, size)
        if font and all(has_glyph(font, character) for character in text if not character.isspace()):
            return font
    return None


def has_glyph(font: ImageFont.FreeTypeFont | ImageFont.ImageFont, character: str) -> bool:
    """Whether the font shows the character as itself: not as what it shows for U+FFFF, which is no character."""
    shown, missing = (font.getmask(c) for c in (character, "\uffff"))
    return shown.size != missing.size or bytes(shown) != bytes(missing)


def text_colour_on(colour: Colour) -> Colour:
    """Black or white, whichever stands out more; on any colour one of them does, by 4.5 to 1.

    Source: WCAG 2.2, relative luminance and contrast ratio; black and white are even at a luminance of 0.18.
    """
    red, green, blue = ((part / 255) ** 2.2 for part in colour)
    return BLACK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18 else WHITE


@functools.lru_cache(64)  # looking for a font that is not there walks through all that are
def _open_font(name: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont | None:
    """The font of this file, wherever the system keeps it; Pillow's own where the name is empty."""
    try:
        return ImageFont.truetype(name, size) if name else ImageFont.load_default(size)
    except OSError:
        return None


def _tint(image: Image.Image, mask: npt.NDArray[np.bool_], colour: Colour, label: str) -> None:
    """Lay the colour over the mask's pixels, half transparent."""
    if mask.shape != (image.height, image.width):
        sizes = [f"{height} x {width}" for height, width in (mask.shape, (image.height, image.width))]
        problem = f"has {sizes[0]} rows and columns, and the image {sizes[1]}"
        raise OjitoError(f"the mask of {label!r}", problem, "give the image it is of")
    image.paste(colour, mask=Image.fromarray(mask.astype(np.uint8) * OPACITY))


def _corners(box: LabelledBox, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom: the outermost pixels of the box that are within the image."""
    width, height = size
    left, right = (min(max(round(edge), 0), width - 1) for edge in (box.left, box.right - 1))
    top, bottom = (min(max(round(edge), 0), height - 1) for edge in (box.top, box.bottom - 1))
    return left, top, max(left, right), max(top, bottom)
