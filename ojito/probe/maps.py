"""Maps over an image: where visual tokens lie on it, heat maps drawn, and how much of a map is inside a box."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from ojito.config import ImageConfig, ModelConfig, PerceiverConfig, ProcessorConfig, ViTConfig
from ojito.config.connectors import Grid
from ojito.errors import OjitoError
from ojito.locate.drawing import LabelledBox, find_font

Array = npt.NDArray[np.float64]

HEAT = ((0, 0, 4), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164))
"""Colours from cold to hot, evenly spaced: those of matplotlib's inferno."""

LEAST_SIDE = 320  # pixels of the longer side of a drawn map: smaller images are enlarged
THUMBNAIL = 240  # pixels of the longer side of an image in a sheet
_MARGIN, _LETTERS = 8, 16  # pixels of a sheet


@dataclass(frozen=True, eq=False)
class HeatMap:
    """A number for each cell of a grid over an image.

    Attributes:
        values: (rows, columns).
        width: Of the upright image, pixels.
        height: Of the upright image, pixels.
        covers: Left, top, right and bottom edge of the grid, in pixels of the image. It may leave a part of the image
            out, where that is cropped, or go beyond, where it is padded.
    """

    values: Array
    width: int
    height: int
    covers: tuple[float, float, float, float]

    @property
    def peak(self) -> tuple[float, float]:
        """The middle of the highest cell: x and y, pixels."""
        row, column = np.unravel_index(int(self.values.argmax()), self.values.shape)
        x, y = self.edges()
        return float(x[column] + x[column + 1]) / 2, float(y[row] + y[row + 1]) / 2

    def edges(self) -> tuple[Array, Array]:
        """The edges of the columns, and those of the rows, in pixels of the image."""
        left, top, right, bottom = self.covers
        rows, columns = self.values.shape
        return np.linspace(left, right, columns + 1), np.linspace(top, bottom, rows + 1)


def token_grid(config: ModelConfig) -> Grid:
    """Rows and columns of the visual tokens of one square image.

    Raises:
        OjitoError: There is no vision tower, or the tokens have no place.
    """
    if not config.vision.image_size:
        raise OjitoError("model", "reads text alone, so there is nothing to look at", "use one with a vision tower")
    if isinstance(config.connector, PerceiverConfig):
        raise OjitoError(
            "connector.reduce",
            "the visual tokens of a perceiver have no place in the image: each reads all of it",
            "use the method occlusion or gradient",
        )
    factor = getattr(config.connector, "factor", 1)
    rows, columns = config.grid
    return rows // factor, columns // factor


def lay(
    values: Sequence[float] | Array,
    grid: Grid,
    size: tuple[int, int],
    model: ModelConfig,
    processor: ProcessorConfig,
) -> HeatMap:
    """Lay the numbers of visual tokens over the image that they are of.

    Args:
        values: One for each visual token, in the order of the row.
        grid: Rows and columns of its tiles; 0 and 0 of an image that is one square.
        size: Width and height of the upright image, pixels.
        model: Config of the model.
        processor: Config of its processor.

    Raises:
        OjitoError: As for `token_grid`.
    """
    squares = np.asarray(values, np.float64).reshape(-1, *token_grid(model))
    vision = model.vision
    read = vision.grid * vision.patch_size / vision.image_size if isinstance(vision, ViTConfig) else 1.0
    return lay_squares(squares, grid, size, processor, read)


def lay_squares(
    squares: Array, grid: Grid, size: tuple[int, int], processor: ProcessorConfig, read: float = 1.0
) -> HeatMap:
    """As `lay`, of numbers that have a place in each square that the model reads: (squares, rows, columns).

    Args:
        squares: The numbers.
        grid: Rows and columns of its tiles; 0 and 0 of an image that is one square.
        size: Width and height of the upright image, pixels.
        processor: Config of the processor.
        read: Share of a square's side that the numbers cover, from the left and the top.
    """
    joined = join_tiles(squares, grid, processor.prompt.whole)
    left, top, right, bottom = square_on_image(*size, processor.image)
    return HeatMap(joined, *size, (left, top, left + (right - left) * read, top + (bottom - top) * read))


def join_tiles(squares: Array, grid: Grid, whole: str) -> Array:
    """Join the squares of an image: tiles side by side, and what is in the whole of it spread over them.

    Args:
        squares: (squares, rows, columns).
        grid: Rows and columns of the tiles; 0 and 0 of an image that is one square.
        whole: Where the whole of the image stands: "last", "first", or "none".
    """
    rows, columns = grid
    if not rows:
        return squares[0]
    tiles = squares[1:] if whole == "first" else squares[: rows * columns]
    high, wide = squares.shape[1:]
    joined = tiles.reshape(rows, columns, high, wide).transpose(0, 2, 1, 3).reshape(rows * high, columns * wide)
    if whole == "none":
        return joined
    return joined + np.kron(squares[0 if whole == "first" else -1], np.ones(grid)) / (rows * columns)


def square_on_image(width: int, height: int, image: ImageConfig) -> tuple[float, float, float, float]:
    """Left, top, right and bottom edge, in pixels of the image, of the square that it is fitted to, or of its tiles.

    Args:
        width: Of the upright image, pixels.
        height: Of the upright image, pixels.
        image: How the image is fitted.
    """
    wide, high = float(width), float(height)
    if image.fit in ("crop", "pad"):
        wide = high = min(wide, high) if image.fit == "crop" else max(wide, high)
    left, top = (width - wide) / 2, (height - high) / 2
    return left, top, left + wide, top + high


# ------------------------------------------------------------------------------------------------------------- numbers


def mass_inside(heat: HeatMap, box: LabelledBox) -> float:
    """Share of a map that is inside a box. A cell is taken to be even; what is below 0 or off the image is left out.

    Raises:
        OjitoError: The map is 0 everywhere.
    """
    x, y = heat.edges()
    on_image = np.outer(_overlap(y, 0, heat.height), _overlap(x, 0, heat.width))
    on_box = np.outer(
        _overlap(y, max(box.top, 0), min(box.bottom, heat.height)),
        _overlap(x, max(box.left, 0), min(box.right, heat.width)),
    )
    values = np.where(on_image > 0, heat.values.clip(min=0), 0)
    if not values.sum():
        raise OjitoError("map", "is nowhere above 0", "look at another word, layer or method")
    return float((values * on_box / np.where(on_image > 0, on_image, 1)).sum() / values.sum())


def area_share(heat: HeatMap, box: LabelledBox) -> float:
    """The box's share of the image: what is inside it of a map that is even, or by chance."""
    wide = min(box.right, heat.width) - max(box.left, 0)
    high = min(box.bottom, heat.height) - max(box.top, 0)
    return max(wide, 0) * max(high, 0) / (heat.width * heat.height)


def _overlap(edges: Array, start: float, end: float) -> Array:
    """How much of each interval between two edges lies between start and end."""
    return (np.minimum(edges[1:], end) - np.maximum(edges[:-1], start)).clip(min=0)


# ------------------------------------------------------------------------------------------------------------- drawing


def draw_heat(image: Image.Image, heat: HeatMap) -> Image.Image:
    """Return a copy of the image with the map over it, from cold (0 and below) to hot (its highest value).

    What the map does not cover stays as it is. A small image is enlarged.

    Args:
        image: The upright image that the map is of, at any scale.
        heat: The map.
    """
    base = _enlarged(image.convert("RGB"), LEAST_SIDE)
    across, down = base.width / heat.width, base.height / heat.height
    left, top, right, bottom = (
        round(edge * scale) for edge, scale in zip(heat.covers, (across, down) * 2, strict=True)
    )
    values = heat.values.clip(min=0)
    small = Image.fromarray((values / (values.max() or 1)).astype(np.float32))
    smooth = Image.new("F", base.size)
    smooth.paste(small.resize((max(right - left, 1), max(bottom - top, 1)), Image.Resampling.BICUBIC), (left, top))
    level = np.asarray(smooth, np.float64).clip(0, 1)
    stops = np.linspace(0, 1, len(HEAT))
    colours = np.stack([np.interp(level, stops, channel) for channel in np.array(HEAT, np.float64).T], axis=-1)
    strength = 0.35 + 0.3 * level
    strength[: max(top, 0)] = strength[max(bottom, 0) :] = 0
    strength[:, : max(left, 0)] = strength[:, max(right, 0) :] = 0
    mixed = np.asarray(base, np.float64) * (1 - strength[..., None]) + colours * strength[..., None]
    return Image.fromarray(mixed.round().astype(np.uint8))


def draw_sheet(image: Image.Image, heats: Sequence[HeatMap], labels: Sequence[str]) -> Image.Image:
    """Return small copies of the image in rows, each with a map over it and a label above.

    Args:
        image: The upright image that the maps are of, at any scale.
        heats: The maps.
        labels: As many; one that no font here can write is its number, counted from 1.
    """
    scale = THUMBNAIL / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image.convert("RGB").resize(size, Image.Resampling.BICUBIC if scale < 1 else Image.Resampling.NEAREST)
    drawn = [draw_heat(small, heat).resize(size, Image.Resampling.BICUBIC) for heat in heats]
    columns = min(len(drawn), max(1, round(math.sqrt(len(drawn) * 1.6))))
    rows = -(-len(drawn) // columns)
    wide, high = max(size[0], 160) + _MARGIN, size[1] + _LETTERS + 2 * _MARGIN
    sheet = Image.new("RGB", (columns * wide + _MARGIN, rows * high + _MARGIN), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (one, label) in enumerate(zip(drawn, labels, strict=True)):
        left, top = _MARGIN + number % columns * wide, _MARGIN + number // columns * high
        font = find_font(label, _LETTERS)
        pen.text((left, top), label if font else f"{number + 1}", "black", font or find_font("1", _LETTERS))
        sheet.paste(one, (left, top + _LETTERS + _MARGIN // 2))
    return sheet


def _enlarged(image: Image.Image, least: int) -> Image.Image:
    """The image, with every pixel as so many that the longer side has at least `least`."""
    times = -(-least // max(image.size))
    return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST) if times > 1 else image
