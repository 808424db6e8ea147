"""One entry for all images: an image as squares of the vision tower's size, one or many."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from ojito.config import ImageConfig
from ojito.processor.images import ImageError, image_size
from ojito.processor.pixels import RESAMPLE, channels_first, least_side_for, open_for, raw_pixels

if TYPE_CHECKING:
    from PIL import Image

    from ojito.records import ImageLike

MOST_TILES = 144
"""More are refused: the reference's largest image, 4096 pixels, is 12 x 12 tiles of 364."""


@dataclass(frozen=True, eq=False)
class Tiles:
    """The squares that one image becomes, not yet normalized. What a cache should keep.

    Attributes:
        pixels: (n, 3, size, size) uint8: the tiles in reading order, then, but for tiling=nanovlm, the whole image.
        rows: Tiles in a column; 0 when the image is one square, n = 1.
        columns: Tiles in a row; 0 when the image is one square.
    """

    pixels: torch.Tensor
    rows: int = 0
    columns: int = 0


@dataclass(frozen=True, eq=False)
class Encoded:
    """An image as a frozen vision tower encodes it, in place of its `Tiles`.

    Attributes:
        patches: (P, D), of the one square that the image is.
        rows: 0, as of one square.
        columns: 0, as of one square.
    """

    patches: torch.Tensor
    rows: int = 0
    columns: int = 0


def read_image(image: ImageLike, size: int, config: ImageConfig) -> Tiles:
    """Read any image as squares for the vision tower, not yet normalized.

    Args:
        image: Path, encoded bytes or PIL image.
        size: Side of a square, pixels.
        config: How to fit.

    Raises:
        ImageError: It cannot be read, or is too many tiles.
    """
    if config.fit == "tiles":
        return tile(open_for(image, size, config).image, size, config)
    return Tiles(raw_pixels(image, size, config)[None])


def tile(image: Image.Image, size: int, config: ImageConfig) -> Tiles:
    """An RGB image scaled to `longest_side`, stretched to whole tiles and cut; the whole of it comes last.

    An image that is one tile by then is not split. Without `split` it is scaled and squashed. With tiling=nanovlm, the
    whole of it is for `add_whole` to make, which does not round to whole colours.

    Args:
        image: The image.
        size: Side of a tile, pixels.
        config: With fit=tiles.

    Raises:
        ImageError: It would be more tiles than `MOST_TILES`.

    Source:
        transformers' Idefics3 and SmolVLM processors (Pillow), bit for bit. They resize up to three times, and each
        time round to whole colours: fewer steps would not give the same. nanoVLM's `DynamicResize` and `SplitImage`
        resize once.
    """
    resample = RESAMPLE[config.resample]
    steps = _steps(image.width, image.height, size, config)
    width, height = steps[-1]
    rows, columns = height // size, width // size
    if rows * columns > MOST_TILES:
        raise ImageError(
            f"image of {image.width} x {image.height} pixels",
            f"would be {rows} x {columns} = {rows * columns} tiles of side {size}, more than the limit of {MOST_TILES}",
            f"set processor.image.longest_side to {math.isqrt(MOST_TILES) * size} or less",
        )
    for step in steps:
        image = image.resize(step, resample)
    if rows * columns == 1:
        return Tiles(channels_first(image)[None])
    grid = channels_first(image).view(3, rows, size, columns, size)
    parts = grid.permute(1, 3, 0, 2, 4).flatten(0, 1)  # (rows * columns, 3, size, size)
    if config.tiling == "nanovlm":
        return Tiles(parts, rows, columns)
    whole = channels_first(image.resize((size, size), resample))
    return Tiles(torch.cat([parts, whole[None]]), rows, columns)


def add_whole(tiles: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """The normalized tiles of an image, and after them the whole of it, squashed: (n, 3, size, size), n one more.

    Source:
        nanoVLM's `GlobalAndSplitImages`, bit for bit: torchvision resizes the image that the tiles were cut from, in
        float32.
    """
    size = tiles.shape[-1]
    grid = tiles.view(rows, columns, 3, size, size).permute(2, 0, 3, 1, 4)
    whole = grid.reshape(1, 3, rows * size, columns * size)
    return torch.cat([tiles, F.interpolate(whole, (size, size), mode="bilinear", antialias=True)])


def read_grid(image: ImageLike, size: int, config: ImageConfig) -> tuple[int, int]:
    """Rows and columns of the tiles that `read_image` splits an image into, 0 and 0 of one that stays one square.

    Args:
        image: Path, encoded bytes or PIL image. Of a file no more than the header is read, and without tiles nothing.
        size: Side of a square, pixels.
        config: How to fit.

    Raises:
        ImageError: The header cannot be read.
    """
    if config.fit != "tiles":
        return 0, 0
    width, height = image_size(image, least_side_for(size, config))
    if not width * height:
        return 0, 0  # what is wrong with it is said where it is read
    width, height = _steps(width, height, size, config)[-1]
    rows, columns = height // size, width // size
    return (rows, columns) if rows * columns > 1 else (0, 0)


def _steps(width: int, height: int, size: int, config: ImageConfig) -> list[tuple[int, int]]:
    """The widths and heights that an image is resized to, one after another, before it is cut into tiles."""
    if config.tiling == "nanovlm":
        return [whole_tiles(width, height, size, config)]
    scaled = _scaled(width, height, config.longest_side)
    return [scaled, _stretched(*scaled, size) if config.split else (size, size)]


# Here and below a ratio is a float, and divides or multiplies, as in the reference: exact fractions would at times give
# an image that is a pixel or a row of tiles larger.


def _scaled(width: int, height: int, longest: int) -> tuple[int, int]:
    """Width and height with the longer side `longest`, the shorter one an even number, or 1."""
    ratio = width / height
    shorter = int(longest / ratio) if width >= height else int(longest * ratio)
    shorter = max(1, shorter + shorter % 2)
    return (longest, shorter) if width >= height else (shorter, longest)


def _stretched(width: int, height: int, size: int) -> tuple[int, int]:
    """Width and height as whole tiles: the longer side rounded up, the shorter one grown with it and rounded up."""
    ratio = width / height
    longer = math.ceil(max(width, height) / size) * size
    shorter = int(longer / ratio) if width >= height else int(longer * ratio)
    shorter = max(1, math.ceil(shorter / size)) * size  # of 1 x 49 pixels, the float ratio leaves 0.99 of the 1
    return (longer, shorter) if width >= height else (shorter, longer)


def whole_tiles(width: int, height: int, size: int, config: ImageConfig) -> tuple[int, int]:
    """Width and height that tiling=nanovlm gives an image: whole tiles, the longer side `longest_side` at most.

    Args:
        width: Of the image, pixels.
        height: Of the image, pixels.
        size: Side of a tile, pixels.
        config: With `longest_side` and `enlarge`.

    Source: nanoVLM's `DynamicResize`, float by float.
    """
    longer = math.ceil(config.longest_side / size) * size
    if not config.enlarge:
        longer = min(longer, math.ceil(max(width, height) / size) * size)
    ratio = longer / max(width, height)
    shorter = math.ceil(min(width, height) * ratio / size) * size
    return (longer, shorter) if width >= height else (shorter, longer)
