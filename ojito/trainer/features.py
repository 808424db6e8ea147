"""Images through a frozen vision tower, once before the first step."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ojito.config import ColourConfig, DataConfig
from ojito.data.features import Features
from ojito.model import VLM
from ojito.model.convolution import fold_norms
from ojito.processor import ImageError, Processor
from ojito.processor.augment import vary
from ojito.processor.pixels import normalize
from ojito.processor.tiles import Tiles
from ojito.records import Progress

if TYPE_CHECKING:
    from ojito.records import ImageLike

_SQUARES = 8  # at once: what they become still fits the caches of a processor


@torch.inference_mode()
def encode_images(
    model: VLM,
    processor: Processor,
    images: Sequence[ImageLike],
    config: DataConfig,
    *,
    seed: int = 0,
    path: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> Features:
    """Encode `config.encoded_views` views of each image: the image itself, then mirrored and cropped ones.

    Args:
        model: Its vision tower does the work.
        processor: Reads each image as one square.
        images: Each once.
        config: The recipe's `data`: views, flips, crop, colour, and memory.
        seed: Seed of the views.
        path: A file for what is more than `config.cache_mb`.
        progress: Called with the number of images done, and of all.
    """
    # The model keeps its own tower, which is saved, and may learn another time.
    tower = copy.deepcopy(model.vision).eval()
    fold_norms(tower)
    device, dtype = model.device, next(model.vision.parameters()).dtype
    shape = (model.config.vision.grid**2, model.config.vision.width)
    features = Features(images, config.encoded_views, shape, config.cache_mb * 2**20, path)
    each = max(1, _SQUARES // config.encoded_views)
    for start in range(0, len(images), each):
        squares: list[Tensor] = []
        read: list[ImageLike] = []
        for number, image in enumerate(images[start : start + each], start):
            try:
                tiles = processor.read_image(image)
            except ImageError as problem:
                features.put_problem(image, problem)
                continue
            squares.append(views_of(tiles, config, f"{seed} views {number}"))
            read.append(image)
        if squares:
            pixels = normalize(torch.cat(squares), processor.config.image)
            pixels = pixels.to(device, dtype, memory_format=torch.channels_last)
            patches = tower(pixels).unflatten(0, (len(read), config.encoded_views))
            for image, one in zip(read, patches, strict=True):
                features.put(image, one)
        progress(min(start + each, len(images)), len(images))
    return features


def views_of(image: Tiles, config: DataConfig, seed: str) -> Tensor:
    """The views (views, 3, size, size) of an image that is one square: itself, its mirror image, and others."""
    rng = random.Random(seed)
    made = [image]
    for number in range(1, config.encoded_views):
        mirrored = config.flip and number % 2 == 1
        varied = number > int(config.flip)
        crop, colour = (config.crop, config.colour) if varied else (1.0, ColourConfig())
        made.append(vary(image, mirrored, crop, rng, colour, varied and config.vertical_flip))
    return torch.cat([one.pixels for one in made])
