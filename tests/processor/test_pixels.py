import numpy as np
import pytest
import torch
from PIL import Image

from ojito.config import ImageConfig
from ojito.processor.image_files import ImageError
from ojito.processor.pixels import channels_first, fit, normalize, open_for, pixels, raw_pixels

NOISE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
PHOTO = Image.fromarray(NOISE)  # 60 wide, 40 high


def test_image_of_the_right_size_keeps_its_pixels():
    square = PHOTO.crop((0, 0, 40, 40))
    assert torch.equal(raw_pixels(square, 40, ImageConfig()).permute(1, 2, 0), torch.from_numpy(NOISE[:, :40]))


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 5)])
@pytest.mark.parametrize("how", ["squash", "crop", "pad"])
def test_any_shape_becomes_a_square(size, how):
    raw = raw_pixels(Image.new("RGB", size, (9, 9, 9)), 16, ImageConfig(fit=how))
    assert raw.shape == (3, 16, 16)
    assert 9 in raw


def test_fit_squashes_crops_and_pads():
    image = Image.new("RGB", (30, 10), "green")
    image.paste("red", (0, 0, 10, 10))
    image.paste("blue", (20, 0, 30, 10))
    settings = {"resample": "nearest", "mean": (0.0, 0.0, 0.0)}
    squash, crop, pad = (
        np.asarray(fit(image, 6, ImageConfig(fit=how, **settings))) for how in ("squash", "crop", "pad")
    )
    red, green, blue, black = [255, 0, 0], [0, 128, 0], [0, 0, 255], [0, 0, 0]
    assert squash.tolist() == [[red, red, green, green, blue, blue]] * 6
    assert crop.tolist() == [[green] * 6] * 6
    assert pad.tolist() == [[black] * 6] * 2 + [[red, red, green, green, blue, blue]] * 2 + [[black] * 6] * 2


def test_padding_is_zero_after_normalizing():
    config = ImageConfig(fit="pad", mean=(0.2, 0.4, 0.6), std=(0.1, 0.1, 0.1))
    assert pixels(Image.new("RGB", (30, 10)), 6, config)[:, 0].abs().max() < 1e-5


def test_resample_changes_output():
    made = [raw_pixels(PHOTO, 16, ImageConfig(resample=name)) for name in ("nearest", "bilinear", "bicubic", "lanczos")]
    assert all(not torch.equal(a, b) for i, a in enumerate(made) for b in made[:i])


def test_crop_takes_the_middle_of_the_whole_image_scaled():
    image = PHOTO.resize((50, 3))
    middle = image.resize((133, 8), Image.Resampling.BICUBIC).crop((62, 0, 70, 8))  # 8 * 50 / 3 is 133.3
    assert torch.equal(raw_pixels(image, 8, ImageConfig(fit="crop")), channels_first(middle))


@pytest.mark.parametrize("max_pixels", [16 * 16 * 8, 16 * 16 * 20])
def test_crop_begins_with_the_middle_when_the_scaled_image_had_too_many_pixels(max_pixels):
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (4, 160, 3), dtype=np.uint8))
    most = max_pixels // 16**2 * 4
    middle = image.crop((80 - most // 2, 0, 80 + most // 2, 4))
    made = fit(image, 16, ImageConfig(fit="crop", max_pixels=max_pixels))
    assert np.array_equal(made, fit(middle, 16, ImageConfig(fit="crop")))


def test_tiles_are_not_a_single_square():
    with pytest.raises(ValueError, match=r"several squares of an image, not one; use tiles\.read_image"):
        raw_pixels(PHOTO, 8, ImageConfig(fit="tiles", longest_side=16))


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ((0.0, 0.1, 1.0), (1.0, 0.3, 0.01)),
    ],
)
def test_normalize_rounds_x_over_255_once_then_goes_on_in_float32(mean, std):
    raw = torch.arange(256, dtype=torch.uint8).expand(3, 1, 256)
    scaled = (np.arange(256) * (1 / 255)).astype(np.float32)
    expected = np.stack([(scaled - np.float32(m)) / np.float32(s) for m, s in zip(mean, std, strict=True)])
    assert torch.equal(normalize(raw, ImageConfig(mean=mean, std=std)), torch.from_numpy(expected)[:, None])


def test_normalize_takes_mean_and_std_of_each_channel():
    raw = torch.full((2, 3, 1, 1), 255, dtype=torch.uint8)
    made = normalize(raw, ImageConfig(mean=(0.5, 0.0, 1.0), std=(0.5, 0.25, 1.0)))
    assert made[1].flatten().tolist() == [1.0, 4.0, 0.0]
    assert raw.dtype == torch.uint8  # still there for the next epoch


def test_max_pixels_changes_output():
    with pytest.raises(ImageError, match="60 x 40 = 2,400 pixels, more than the limit of 2,399"):
        raw_pixels(PHOTO, 8, ImageConfig(max_pixels=2_399))
    assert raw_pixels(PHOTO, 8, ImageConfig(max_pixels=2_400)).shape == (3, 8, 8)


@pytest.mark.parametrize(
    ("settings", "least_side"),
    [
        ({}, 16),
        ({"fit": "crop"}, 16),
        ({"fit": "pad"}, 16),
        ({"fit": "tiles", "longest_side": 20}, 40),
        ({"fit": "tiles", "longest_side": 3}, 16),
    ],
)
def test_opened_image_has_twice_the_pixels_that_are_read(settings, least_side, monkeypatch):
    asked = []
    monkeypatch.setattr("ojito.processor.pixels.open_scaled", lambda *args: asked.append(args))
    open_for("a.jpg", 8, ImageConfig(**settings, max_pixels=99))
    assert asked == [("a.jpg", 99, least_side)]
