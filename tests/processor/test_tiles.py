import io
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from ojito.config import ImageConfig
from ojito.processor.images import ImageError
from ojito.processor.pixels import channels_first, raw_pixels
from ojito.processor.tiles import MOST_TILES, add_whole, read_grid, read_image, tile
from ojito.settings import ConfigError

SIZE = 8
CONFIG = ImageConfig(fit="tiles", longest_side=4 * SIZE, resample="lanczos")


def noise(width, height):
    return Image.fromarray(np.random.default_rng(2).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_tiles_stand_in_reading_order_with_the_whole_last():
    image = noise(4 * SIZE, 2 * SIZE)  # the right size already: nothing is resized
    made = tile(image, SIZE, CONFIG)
    assert (made.rows, made.columns, made.pixels.shape, made.pixels.dtype) == (2, 4, (9, 3, SIZE, SIZE), torch.uint8)
    boxes = [(x, y, x + SIZE, y + SIZE) for y in (0, SIZE) for x in (0, SIZE, 2 * SIZE, 3 * SIZE)]
    for part, box in zip(made.pixels, boxes, strict=False):
        assert torch.equal(part, channels_first(image.crop(box)))
    assert torch.equal(made.pixels[-1], channels_first(image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)))


@pytest.mark.parametrize(
    ("size", "grid"),
    [
        ((640, 480), (3, 4)),
        ((480, 640), (4, 3)),
        ((100, 100), (4, 4)),
        ((3, 5), (4, 3)),
        ((1, 1), (4, 4)),
        ((1, 10_000), (4, 1)),
        ((10_000, 1), (1, 4)),
    ],
)
def test_image_is_stretched_to_whole_tiles(size, grid):
    made = tile(Image.new("RGB", size, (9, 9, 9)), SIZE, CONFIG)
    assert (made.rows, made.columns) == grid
    assert len(made.pixels) == grid[0] * grid[1] + 1
    assert made.pixels.eq(9).all()


@pytest.mark.parametrize("longest_side", [SIZE, SIZE - 3, 2])
def test_image_of_one_tile_is_not_split(longest_side):
    made = tile(noise(30, 20), SIZE, ImageConfig(fit="tiles", longest_side=longest_side))
    assert (made.rows, made.columns, made.pixels.shape) == (0, 0, (1, 3, SIZE, SIZE))


SETTINGS = [
    {},
    {"split": False},
    {"longest_side": SIZE},
    {"tiling": "nanovlm"},
    {"tiling": "nanovlm", "enlarge": False},
    {"fit": "pad", "longest_side": 0},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("size", [(640, 480), (48, 64), (3, 5), (1, 1), (1, 900), (31, 33)])
def test_grid_is_told_from_the_header_as_it_is_read(settings, size):
    config = replace(CONFIG, **settings)
    content = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # sideways
    Image.new("RGB", size).save(content, "JPEG", exif=exif)
    for image in (Image.new("RGB", size), content.getvalue(), Image.open(content)):
        made = read_image(image, SIZE, config)
        assert read_grid(image, SIZE, config) == (made.rows, made.columns)


@pytest.mark.parametrize("size", [(201, 57), (57, 201), (129, 100), (97, 96)])
def test_grid_is_that_of_a_large_jpeg_at_the_scale_that_it_is_read_at(size, monkeypatch):
    monkeypatch.setattr("ojito.processor.images.EXACT_PIXELS", 1000)
    content = io.BytesIO()
    Image.new("RGB", size).save(content, "JPEG")
    for longest_side in range(5, 60, 3):
        config = ImageConfig(fit="tiles", longest_side=longest_side)
        made = read_image(content.getvalue(), SIZE, config)
        assert read_grid(content.getvalue(), SIZE, config) == (made.rows, made.columns)


def test_grid_needs_no_more_than_the_header_and_no_image_without_tiles():
    content = io.BytesIO()
    noise(200, 100).save(content, "JPEG")
    assert read_grid(content.getvalue()[:700], SIZE, CONFIG) == (2, 4)
    assert read_grid("gone.jpg", SIZE, ImageConfig()) == (0, 0)
    with pytest.raises(ImageError, match=r"gone.jpg: does not exist"):
        read_grid("gone.jpg", SIZE, CONFIG)
    with pytest.raises(ImageError, match="image of type NoneType: is not an image"):
        read_grid(None, SIZE, CONFIG)


def test_longest_side_changes_output():
    counts = [len(tile(noise(40, 40), SIZE, ImageConfig(fit="tiles", longest_side=n)).pixels) for n in (8, 16, 24)]
    assert counts == [1, 5, 10]


def test_without_split_the_scaled_image_is_squashed():
    image = noise(30, 20)
    made = tile(image, SIZE, ImageConfig(fit="tiles", longest_side=4 * SIZE, split=False))
    squashed = image.resize((32, 22), Image.Resampling.BICUBIC).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    assert (made.rows, made.columns) == (0, 0)
    assert torch.equal(made.pixels, channels_first(squashed)[None])


def test_resample_changes_tiles():
    made = [
        tile(noise(50, 30), SIZE, ImageConfig(fit="tiles", longest_side=32, resample=name)).pixels
        for name in ("nearest", "bilinear", "bicubic", "lanczos")
    ]
    assert all(not torch.equal(a, b) for i, a in enumerate(made) for b in made[:i])


def test_thin_image_gets_its_tiles_where_a_float_falls_short_of_one():
    made = tile(Image.new("RGB", (1, 1000), (9, 9, 9)), 7, ImageConfig(fit="tiles", longest_side=49))
    assert (made.rows, made.columns) == (7, 1)  # 49 * (1 / 49) is 0.999…


def test_too_many_tiles_are_an_error():
    config = ImageConfig(fit="tiles", longest_side=13 * SIZE)
    expected = (
        "image of 40 x 40 pixels: would be 13 x 13 = 169 tiles of side 8, more than the limit of 144; "
        "set processor.image.longest_side to 96 or less"
    )
    with pytest.raises(ImageError) as caught:
        tile(noise(40, 40), SIZE, config)
    assert str(caught.value) == expected
    assert len(tile(noise(40, 40), SIZE, ImageConfig(fit="tiles", longest_side=96)).pixels) == MOST_TILES + 1
    assert len(tile(noise(40, 20), SIZE, config).pixels) == 13 * 7 + 1


# -------------------------------------------------------------------------------------------------- tiling as nanoVLM's


def at_once(longest_side=4 * SIZE, **settings):
    return ImageConfig(fit="tiles", longest_side=longest_side, tiling="nanovlm", **settings)


def test_nanovlm_cuts_a_image_that_was_resized_once():
    image = noise(50, 30)
    made = tile(image, SIZE, at_once())
    resized = image.resize((4 * SIZE, 3 * SIZE), Image.Resampling.BICUBIC)
    assert (made.rows, made.columns, made.pixels.shape) == (3, 4, (12, 3, SIZE, SIZE))  # the whole is not among them
    boxes = [(x, y, x + SIZE, y + SIZE) for y in range(0, 3 * SIZE, SIZE) for x in range(0, 4 * SIZE, SIZE)]
    for part, box in zip(made.pixels, boxes, strict=True):
        assert torch.equal(part, channels_first(resized.crop(box)))


def test_whole_is_that_of_the_resized_image_without_rounding():
    image = noise(50, 30)
    made = tile(image, SIZE, at_once())
    squares = add_whole(made.pixels / 255, made.rows, made.columns)
    resized = channels_first(image.resize((4 * SIZE, 3 * SIZE), Image.Resampling.BICUBIC)) / 255
    whole = F.interpolate(resized[None], (SIZE, SIZE), mode="bilinear", antialias=True)
    assert torch.equal(squares, torch.cat([made.pixels / 255, whole]))
    assert not torch.equal((whole * 255).round() / 255, whole)


@pytest.mark.parametrize(
    ("size", "enlarge", "grid"),
    [
        ((40, 40), True, (4, 4)),
        ((40, 40), False, (4, 4)),
        ((9, 3), True, (2, 4)),
        ((9, 3), False, (1, 2)),
        ((3, 17), False, (3, 1)),
        ((1, 10_000), True, (4, 1)),
        ((8, 8), False, (0, 0)),
        ((2, 3), False, (0, 0)),
    ],
)
def test_nanovlm_stretches_to_whole_tiles(size, enlarge, grid):
    made = tile(noise(*size), SIZE, at_once(enlarge=enlarge))
    assert (made.rows, made.columns) == grid
    assert len(made.pixels) == max(1, grid[0] * grid[1])


def test_too_many_tiles_of_nanovlm_are_an_error():
    with pytest.raises(ImageError, match="would be 13 x 13 = 169 tiles"):
        tile(noise(40, 40), SIZE, at_once(13 * SIZE))


# ----------------------------------------------------------------------------------------------- one entry for images


@pytest.mark.parametrize("how", ["squash", "crop", "pad"])
def test_read_image_gives_one_square_of_other_fits(how):
    config = ImageConfig(fit=how)
    made = read_image(noise(30, 20), SIZE, config)
    assert (made.rows, made.columns) == (0, 0)
    assert torch.equal(made.pixels, raw_pixels(noise(30, 20), SIZE, config)[None])


def test_read_image_opens_what_it_tiles():
    image = noise(30, 20)
    file = io.BytesIO()
    image.save(file, "PNG")
    made = read_image(file.getvalue(), SIZE, CONFIG)
    assert torch.equal(made.pixels, tile(image, SIZE, CONFIG).pixels)


@pytest.mark.parametrize("config", [ImageConfig(max_pixels=599), ImageConfig("tiles", 32, max_pixels=599)])
def test_read_image_heeds_max_pixels(config):
    with pytest.raises(ImageError, match="30 x 20 = 600 pixels, more than the limit of 599"):
        read_image(noise(30, 20), SIZE, config)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fit": "tiles"}, "longest_side: 0 must lie between 1 and 4096 with fit=tiles; use for example 2048"),
        ({"fit": "tiles", "longest_side": 4097}, "longest_side: 4097 must lie between"),
        ({"fit": "crop", "longest_side": 64}, "longest_side: 64 is for fit=tiles, not crop; leave it at 0"),
        ({"split": False}, "split: false is for fit=tiles, not squash; leave it at true"),
        ({"tiling": "nanovlm"}, "tiling: nanovlm is for fit=tiles, not squash; leave it at idefics3"),
        ({"enlarge": False}, "enlarge: false is for tiling=nanovlm, not idefics3; leave it at true"),
        (
            {"fit": "tiles", "longest_side": 64, "tiling": "nanovlm", "split": False},
            "split: false is for tiling=idefics3, not nanovlm; leave it at true",
        ),
    ],
)
def test_settings_of_tiles_go_with_tiles(settings, message):
    with pytest.raises(ConfigError, match=message):
        ImageConfig(**settings)
