"""Variants of an image for training: mirrored, and cropped."""

from __future__ import annotations

import random
from dataclasses import replace

import torch
import torch.nn.functional as F

from ojito.processor.tiles import Tiles


def vary(image: Tiles, mirrored: bool, crop: float, rng: random.Random) -> Tiles:
    """Return an image as another photograph of the same scene could be; unchanged without either.

    Args:
        image: The image. One that was split into tiles is never cropped: it would be cut anew.
        mirrored: Whether left and right are exchanged.
        crop: The least share of the area that is kept.
        rng: Draws how much, and where.
    """
    if crop < 1 and not image.rows:
        image = replace(image, pixels=_cropped(image.pixels, crop, rng))
    return _mirrored(image) if mirrored else image


def _cropped(pixels: torch.Tensor, least: float, rng: random.Random) -> torch.Tensor:
    """A square window of (n, 3, size, size) uint8, at its size again."""
    size = pixels.shape[-1]
    side = round(size * rng.uniform(least, 1) ** 0.5)
    top, left = rng.randint(0, size - side), rng.randint(0, size - side)
    window = pixels[:, :, top : top + side, left : left + side].float()
    scaled = F.interpolate(window, (size, size), mode="bicubic", align_corners=False)
    return scaled.round_().clamp_(0, 255).to(torch.uint8)


def _mirrored(image: Tiles) -> Tiles:
    """Left and right exchanged: in every square, and, if the image was split, in the order of its tiles, too."""
    order, count = torch.arange(len(image.pixels)), image.rows * image.columns
    order[:count] = order[:count].view(image.rows, image.columns).flip(1).flatten()
    return replace(image, pixels=image.pixels[order].flip(-1))
