"""RGB images to the pixels that a vision tower reads: fitted to a square, and normalized."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from ojito.config import ImageConfig
from ojito.errors import ConfigError
from ojito.processor.images import OpenedImage, open_scaled

if TYPE_CHECKING:
    from ojito.records import ImageLike


RESAMPLE = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def pixels(image: ImageLike, size: int, config: ImageConfig) -> torch.Tensor:
    """An image as the vision tower reads it.

    Args:
        image: Path, encoded bytes or PIL image.
        size: Side of the square, pixels.
        config: How to fit and normalize.

    Returns:
        (3, size, size) float32.

    Raises:
        ImageError: It cannot be read.
        ConfigError: With fit=tiles, an image becomes several squares.
    """
    return normalize(raw_pixels(image, size, config), config)


def raw_pixels(image: ImageLike, size: int, config: ImageConfig) -> torch.Tensor:
    """The image fitted to a square, not yet normalized: (3, size, size) uint8. What a cache should keep.

    Raises:
        ImageError: It cannot be read.
        ConfigError: With fit=tiles, an image becomes several squares.
    """
    return channels_first(fit(open_for(image, size, config).image, size, config))


def open_for(image: ImageLike, size: int, config: ImageConfig) -> OpenedImage:
    """The image as RGB, at a scale that leaves a large JPEG at least twice the pixels, along a side, that are read.

    Resizing such a JPEG from its half, quarter or eighth, where each pixel is the mean of those that it stands for,
    costs a fraction of the memory and time, and differs from resizing it in full by less than JPEG itself does.

    Args:
        image: Path, encoded bytes or PIL image.
        size: Side of the square or of a tile, pixels.
        config: How it will be fitted.

    Raises:
        ImageError: It cannot be read.
    """
    return open_scaled(image, config.max_pixels, least_side_for(size, config))


def least_side_for(size: int, config: ImageConfig) -> int:
    """Pixels that either side of a large JPEG keeps where it is decoded at a smaller scale.

    Args:
        size: Side of the square or of a tile, pixels.
        config: How it will be fitted.
    """
    return 2 * max(size, config.longest_side)


def channels_first(image: Image.Image) -> torch.Tensor:
    """An RGB image as (3, h, w) uint8."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def normalize(raw: torch.Tensor, config: ImageConfig) -> torch.Tensor:
    """(x / 255 - mean) / std: (..., 3, h, w) uint8 to float32.

    Source:
        transformers' Pillow processors multiply by 1 / 255 in float64, round to float32, and go on in that. Dividing
        in float32 gives the same bits for all 256 values; multiplying in float32 would not.
    """
    mean, std = (torch.tensor(v, dtype=torch.float32).view(3, 1, 1) for v in (config.mean, config.std))
    return raw.to(torch.float32).div_(255).sub_(mean).div_(std)


def fit(image: Image.Image, size: int, config: ImageConfig) -> Image.Image:
    """An RGB image as a square of `size` pixels: squashed, its middle cropped, or padded with the mean colour.

    Raises:
        ConfigError: With fit=tiles, an image becomes several squares.

    Source:
        transformers' Pillow processors of SigLIP and Gemma 3 (squash) and CLIP (crop), bit for bit. Of an image so
        long that scaled for the crop it would have more than `max_pixels`, the crop may differ in the last bit.
    """
    if config.fit == "tiles":
        raise ConfigError("fit", "tiles makes several squares of an image, not one", "use tiles.read_image")
    width, height = image.size
    resample = RESAMPLE[config.resample]
    if (width, height) == (size, size):
        return image
    if config.fit == "squash" or width == height:
        return image.resize((size, size), resample)
    if config.fit == "crop":
        # An image of 1 x 10,000 pixels would be 224 x 2,240,000 on the way: of such, take the middle beforehand.
        most = max(8, config.max_pixels // size**2) * min(width, height)
        image = _middle(image, min(width, most), min(height, most))
        short, long = min(image.size), max(image.size)
        longer = int(size * long / short)
        image = image.resize((size, longer) if image.width == short else (longer, size), resample)
        return _middle(image, size, size)
    scale = size / max(width, height)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    red, green, blue = (round(255 * m) for m in config.mean)
    canvas = Image.new("RGB", (size, size), (red, green, blue))
    canvas.paste(image.resize(inner, resample), ((size - inner[0]) // 2, (size - inner[1]) // 2))
    return canvas


def _middle(image: Image.Image, width: int, height: int) -> Image.Image:
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))
