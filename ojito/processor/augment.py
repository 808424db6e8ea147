"""Variants of an image for training: mirrored, flipped top to bottom, cropped, and in other colours."""

from __future__ import annotations

import random
from dataclasses import replace

import torch
import torch.nn.functional as F

from ojito.config import ColourConfig
from ojito.processor.tiles import Tiles

UNCHANGED = ColourConfig()
"""The colours of the image."""

_GREY = (0.299, 0.587, 0.114)  # of red, green and blue, as the eye weighs them (ITU-R BT.601)


def vary(
    image: Tiles,
    mirrored: bool,
    crop: float,
    rng: random.Random,
    colour: ColourConfig = UNCHANGED,
    vertical: bool = False,
) -> Tiles:
    """Return an image as another photograph of the same scene could be; unchanged without any of it.

    Args:
        image: The image. One that was split into tiles is never cropped: it would be cut anew.
        mirrored: Whether left and right are exchanged.
        crop: The least share of the area that is kept.
        rng: Draws how much, and where.
        colour: How far the colours may be from those of the image.
        vertical: Whether top and bottom may be exchanged, which is drawn.
    """
    if crop < 1 and not image.rows:
        image = replace(image, pixels=_cropped(image.pixels, crop, rng))
    if colour.varies:
        image = replace(image, pixels=_coloured(image.pixels, colour, rng))
    if vertical and rng.random() < 0.5:
        image = _flipped(image, 0)
    return _flipped(image, 1) if mirrored else image


def _cropped(pixels: torch.Tensor, least: float, rng: random.Random) -> torch.Tensor:
    """A square window of (n, 3, size, size) uint8, at its size again."""
    size = pixels.shape[-1]
    side = round(size * rng.uniform(least, 1) ** 0.5)
    top, left = rng.randint(0, size - side), rng.randint(0, size - side)
    window = pixels[:, :, top : top + side, left : left + side].float()
    scaled = F.interpolate(window, (size, size), mode="bicubic", align_corners=False)
    return scaled.round_().clamp_(0, 255).to(torch.uint8)


def _coloured(pixels: torch.Tensor, colour: ColourConfig, rng: random.Random) -> torch.Tensor:
    """All squares of an image in the same other colours: lighter or darker, with more or less contrast, paler or not.

    Source: torchvision's ColorJitter, without hue, and always in this order.
    """
    light, contrast, strength = (
        rng.uniform(1 - most, 1 + most) for most in (colour.brightness, colour.contrast, colour.saturation)
    )
    values = pixels.float().mul_(light).clamp_(0, 255)
    mean = _grey(values).mean()
    values = values.sub_(mean).mul_(contrast).add_(mean).clamp_(0, 255)
    grey = _grey(values)
    values = values.sub_(grey).mul_(strength).add_(grey)
    return values.round_().clamp_(0, 255).to(torch.uint8)


def _grey(values: torch.Tensor) -> torch.Tensor:
    """The brightness (n, 1, size, size) of (n, 3, size, size)."""
    return (values * values.new_tensor(_GREY)[:, None, None]).sum(1, keepdim=True)


def _flipped(image: Tiles, axis: int) -> Tiles:
    """Top and bottom (axis 0) or left and right (1) exchanged: in every square, and in the order of tiles, too."""
    order, count = torch.arange(len(image.pixels)), image.rows * image.columns
    order[:count] = order[:count].view(image.rows, image.columns).flip(axis).flatten()
    return replace(image, pixels=image.pixels[order].flip(axis - 2))
