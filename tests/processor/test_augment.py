import random

import pytest
import torch

from ojito.processor.augment import vary
from ojito.processor.tiles import Tiles

SQUARE = Tiles(torch.arange(3 * 8 * 8, dtype=torch.uint8).view(1, 3, 8, 8))


def test_image_is_unchanged_without_either():
    assert vary(SQUARE, mirrored=False, crop=1.0, rng=random.Random(0)) is SQUARE


def test_mirrored_exchanges_left_and_right():
    made = vary(SQUARE, mirrored=True, crop=1.0, rng=random.Random(0))
    assert torch.equal(made.pixels, SQUARE.pixels.flip(-1))


def test_crop_shows_a_window_at_the_images_size():
    gradient = Tiles(torch.arange(0, 256, 4, dtype=torch.uint8).expand(1, 3, 64, 64))
    for seed in range(20):
        pixels = vary(gradient, mirrored=False, crop=0.25, rng=random.Random(seed)).pixels
        assert pixels.shape == gradient.pixels.shape
        assert pixels.dtype == torch.uint8
        span = int(pixels[0, 0, 0, -1]) - int(pixels[0, 0, 0, 0])
        assert 256 * 0.4 < span <= 252  # a quarter of the area is half of a side


def test_crop_and_rng_change_output():
    made = [
        vary(SQUARE, mirrored=False, crop=c, rng=random.Random(s)).pixels for c, s in ((0.2, 0), (0.2, 1), (0.9, 0))
    ]
    assert not torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


@pytest.mark.parametrize("mirrored", [False, True])
def test_image_of_tiles_is_mirrored_but_never_cropped(mirrored):
    tiles = Tiles(torch.arange(5 * 3 * 4, dtype=torch.uint8).view(5, 3, 2, 2), rows=2, columns=2)
    made = vary(tiles, mirrored, crop=0.1, rng=random.Random(0))
    order = [1, 0, 3, 2, 4] if mirrored else [0, 1, 2, 3, 4]
    expected = tiles.pixels[order].flip(-1) if mirrored else tiles.pixels
    assert torch.equal(made.pixels, expected)
