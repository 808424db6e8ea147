import random

import pytest
import torch

from ojito.config import ColourConfig
from ojito.processor.augment import vary
from ojito.processor.tiles import Tiles

SQUARE = Tiles(torch.arange(3 * 8 * 8, dtype=torch.uint8).view(1, 3, 8, 8))


def test_image_is_unchanged_without_either():
    assert vary(SQUARE, mirrored=False, crop=1.0, rng=random.Random(0)) is SQUARE


def test_mirrored_exchanges_left_and_right():
    made = vary(SQUARE, mirrored=True, crop=1.0, rng=random.Random(0))
    assert torch.equal(made.pixels, SQUARE.pixels.flip(-1))


def test_vertical_exchanges_top_and_bottom_of_half_of_the_images():
    made = [vary(SQUARE, False, 1.0, random.Random(seed), vertical=True).pixels for seed in range(40)]
    turned = [torch.equal(one, SQUARE.pixels.flip(-2)) for one in made]
    assert 10 < sum(turned) < 30
    assert all(torch.equal(one, SQUARE.pixels) for one, was in zip(made, turned, strict=True) if not was)
    tiles = Tiles(torch.arange(5 * 3 * 4, dtype=torch.uint8).view(5, 3, 2, 2), rows=2, columns=2)
    made = [vary(tiles, False, 1.0, random.Random(seed), vertical=True).pixels for seed in range(9)]
    assert any(torch.equal(one, tiles.pixels[[2, 3, 0, 1, 4]].flip(-2)) for one in made)


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


NOISE = Tiles(torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)))
GREY_RAMP = Tiles(torch.arange(40, 200, 10, dtype=torch.uint8).expand(1, 3, 4, 16).contiguous())


def coloured(image, seed=0, **settings):
    return vary(image, mirrored=False, crop=1.0, rng=random.Random(seed), colour=ColourConfig(**settings)).pixels


def grey(pixels):
    return (pixels.float() * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1)


def test_brightness_multiplies_all_light():
    made = coloured(GREY_RAMP, brightness=0.3)
    factors = made.float() / GREY_RAMP.pixels
    assert factors.max() - factors.min() < 0.02
    assert 0.7 <= factors.mean() <= 1.3
    assert made.dtype == torch.uint8


def test_contrast_stretches_around_the_mean():
    made = coloured(GREY_RAMP, seed=1, contrast=0.5).float()
    assert abs(made.mean() - GREY_RAMP.pixels.float().mean()) < 1
    assert not torch.equal(made, GREY_RAMP.pixels.float())


def test_saturation_leaves_grey_as_it_is_and_brightness_nearly():
    assert torch.equal(coloured(GREY_RAMP, saturation=0.9), GREY_RAMP.pixels)
    middling = Tiles(NOISE.pixels // 2 + 64)
    made = coloured(middling, saturation=0.4)
    assert (grey(made) - grey(middling.pixels)).abs().max() < 1.5
    assert not torch.equal(made, middling.pixels)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_colour_and_rng_change_output(name):
    made = [coloured(NOISE, seed, **{name: most}) for most, seed in ((0.5, 0), (0.5, 0), (0.5, 1), (0.1, 0))]
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])
    assert not torch.equal(made[0], made[3])
    assert torch.equal(coloured(NOISE), NOISE.pixels)


def test_tiles_of_an_image_get_the_same_colours():
    four = Tiles(torch.cat([NOISE.pixels // 2, NOISE.pixels // 2, NOISE.pixels, NOISE.pixels, NOISE.pixels]), 2, 2)
    made = coloured(four, brightness=0.2, contrast=0.2, saturation=0.2)
    assert torch.equal(made[0], made[1])
    assert torch.equal(made[2], made[4])


def test_colour_comes_after_the_crop_and_changes_no_crop():
    shared = {"mirrored": False, "crop": 0.3}
    cropped = vary(NOISE, rng=random.Random(3), **shared)
    both = vary(NOISE, rng=random.Random(3), colour=ColourConfig(saturation=1e-9), **shared)
    assert torch.equal(cropped.pixels, both.pixels)
