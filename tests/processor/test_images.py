import io
import os
import random
import struct
import threading
import time
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from ojito.config import ImageConfig
from ojito.processor.images import ImageError, open_image
from ojito.processor.pixels import channels_first, fit, normalize, pixels, raw_pixels

NOISE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
PHOTO = Image.fromarray(NOISE)  # 60 wide, 40 high


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def only_colour(image):
    ((_, colour),) = image.getcolors()
    return colour


# ------------------------------------------------------------------------------------------------- any mode becomes RGB


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 100, (100, 100, 100)),
        ("LA", (100, 0), (255, 255, 255)),
        ("LA", (100, 255), (100, 100, 100)),
        ("RGB", (1, 2, 3), (1, 2, 3)),
        ("RGBA", (0, 0, 200, 0), (255, 255, 255)),
        ("RGBA", (0, 0, 200, 255), (0, 0, 200)),
        ("RGBA", (0, 0, 0, 51), (204, 204, 204)),
        ("RGBa", (0, 0, 0, 51), (204, 204, 204)),
        ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
        ("YCbCr", (255, 128, 128), (255, 255, 255)),
        ("HSV", (0, 255, 255), (255, 0, 0)),
        ("I;16", 65535, (255, 255, 255)),
        ("I;16", 257 * 7, (7, 7, 7)),
        ("I", 257 * 7, (7, 7, 7)),
        ("I", 1_000_000, (255, 255, 255)),
        ("F", 0.2, (51, 51, 51)),
        ("F", 51.0, (51, 51, 51)),
        ("F", float("nan"), (0, 0, 0)),
    ],
)
def test_mode_becomes_rgb(mode, colour, expected):
    opened = open_image(Image.new(mode, (3, 2), colour))
    assert (opened.mode, opened.size, only_colour(opened)) == ("RGB", (3, 2), expected)


@pytest.mark.parametrize("mode", ["P", "PA"])
def test_palette_becomes_rgb(mode):
    palette = Image.new("RGB", (3, 2), (10, 200, 30)).convert("P", palette=Image.Palette.ADAPTIVE).convert(mode)
    assert only_colour(open_image(palette)) == (10, 200, 30)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_transparent_palette_entry_is_white(kind):
    picture = Image.new("P", (3, 2), 0)
    picture.putpalette([10, 20, 30] + [0, 0, 0] * 255)
    assert only_colour(open_image(encoded(picture, kind, transparency=0))) == (255, 255, 255)


def test_transparent_colour_of_an_rgb_png_is_white():
    picture = Image.new("RGB", (3, 2), (10, 20, 30))
    assert only_colour(open_image(encoded(picture, transparency=(10, 20, 30)))) == (255, 255, 255)


def test_16_bit_grey_png_keeps_its_range():
    ramp = np.linspace(0, 65535, 256, dtype=np.uint16).reshape(16, 16)
    opened = open_image(encoded(Image.fromarray(ramp)))
    assert np.array_equal(np.asarray(opened)[..., 0].ravel(), np.arange(256))


def test_cmyk_jpeg_becomes_rgb():
    red = only_colour(open_image(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)))
    assert np.allclose(red, (255, 0, 0), atol=3)


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_animation_gives_its_first_frame(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert np.allclose(only_colour(open_image(data)), (255, 0, 0), atol=4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    stored = Image.new("RGB", (16, 8), "white")
    stored.paste("black", (0, 0, 8, 4))  # top left as stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    opened = np.asarray(open_image(encoded(stored, exif=exif)))
    transposed = {1: 0, 2: 0, 3: 0, 4: 0, 5: 1, 6: 1, 7: 1, 8: 1}[orientation]
    bottom, right = {1: (0, 0), 2: (0, 1), 3: (1, 1), 4: (1, 0), 5: (0, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}[
        orientation
    ]
    height, width = (16, 8) if transposed else (8, 16)
    assert opened.shape == (height, width, 3)
    corner = opened[-1 if bottom else 0, -1 if right else 0]
    assert corner.tolist() == [0, 0, 0]


def test_broken_exif_does_not_break_a_picture():
    data = encoded(PHOTO, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff nonsense")
    assert open_image(data).size == PHOTO.size


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_path_bytes_and_pil_image_are_the_same_picture(kind, tmp_path):
    data = encoded(PHOTO, kind)
    path = tmp_path / "picture"  # the name's ending says nothing
    path.write_bytes(data)
    with Image.open(path) as image:
        opened = [np.asarray(open_image(form)) for form in (path, str(path), data, image)]
    assert all(np.array_equal(opened[0], other) for other in opened[1:])


def test_callers_image_stays_as_it_is():
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    raw_pixels(image, 2, ImageConfig())
    assert (image.mode, image.size, image.getpixel((0, 0))) == ("RGBA", (4, 4), (0, 0, 0, 0))


# -------------------------------------------------------------------------------------------------- squares and numbers


def test_picture_of_the_right_size_keeps_its_pixels():
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


def test_crop_takes_the_middle_of_the_whole_picture_scaled():
    image = PHOTO.resize((50, 3))
    middle = image.resize((133, 8), Image.Resampling.BICUBIC).crop((62, 0, 70, 8))  # 8 * 50 / 3 is 133.3
    assert torch.equal(raw_pixels(image, 8, ImageConfig(fit="crop")), channels_first(middle))


@pytest.mark.parametrize("max_pixels", [16 * 16 * 8, 16 * 16 * 20])
def test_crop_begins_with_the_middle_when_the_scaled_picture_had_too_many_pixels(max_pixels):
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (4, 160, 3), dtype=np.uint8))
    most = max_pixels // 16**2 * 4
    middle = image.crop((80 - most // 2, 0, 80 + most // 2, 4))
    made = fit(image, 16, ImageConfig(fit="crop", max_pixels=max_pixels))
    assert np.array_equal(made, fit(middle, 16, ImageConfig(fit="crop")))


def test_tiles_are_no_single_square():
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


# ------------------------------------------------------------------------------------------------------ broken pictures


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_truncated_picture_is_an_error(kind, share):
    data = encoded(PHOTO, kind)
    with pytest.raises(ImageError, match=r"convert it|save or copy it again"):
        open_image(data[: max(1, int(len(data) * share))])


def png_header(width, height):
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + ihdr + struct.pack(">I", zlib.crc32(ihdr))
    return head + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


@pytest.mark.parametrize("side", [10_001, 20_000, 60_000])
def test_pixel_limit_is_checked_before_decoding(side):
    with pytest.raises(ImageError, match="more than the limit of 100,000,000; scale it down"):
        open_image(png_header(side, side))


def test_max_pixels_changes_output():
    with pytest.raises(ImageError, match="60 x 40 = 2,400 pixels, more than the limit of 2,399"):
        raw_pixels(PHOTO, 8, ImageConfig(max_pixels=2_399))
    assert raw_pixels(PHOTO, 8, ImageConfig(max_pixels=2_400)).shape == (3, 8, 8)


@pytest.mark.parametrize("size", [(1_000_001, 1), (1, 1_000_001)])
def test_side_has_a_limit_because_of_the_weights_of_resizing(size):
    with pytest.raises(ImageError, match=r"1,000,001.* pixels, more than 1,000,000 on a side; cut it up"):
        open_image(Image.new("L", size))


@pytest.mark.parametrize("address", ["http://x.org/a.png", "https://x.org/a.png", "ftp://x/a", "s3://x/a"])
def test_address_is_an_error_without_network(address):
    with pytest.raises(ImageError, match="is an address, and Ojito never goes online; download it"):
        open_image(address)


def test_pipe_does_not_keep_us_waiting(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes here")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="is not a file"):
        open_image(tmp_path / "pipe.png")


def test_missing_picture_suggests_the_nearest_name(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(ImageError, match=r"holidy.jpg: does not exist; did you mean holiday.jpg\?"):
        open_image(tmp_path / "holidy.jpg")


def test_name_with_a_null_character_is_an_error():
    with pytest.raises(ImageError, match="does not exist"):
        open_image("a\0b.jpg")


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mutated_pictures_only_raise_image_errors(count):
    rng = random.Random(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    small = PHOTO.resize((24, 16))
    seeds = [encoded(small.convert(mode), "PNG") for mode in ("RGB", "RGBA", "P", "L", "1", "I;16")]
    seeds += [encoded(small.convert(mode), "JPEG", exif=exif) for mode in ("RGB", "L", "CMYK")]
    seeds += [encoded(small, kind) for kind in ("WEBP", "BMP")]
    seeds += [encoded(small.convert("P"), "GIF", save_all=True, append_images=[small.convert("P")])]
    seeds += [encoded(small, "JPEG", progressive=True), encoded(small, "WEBP", lossless=True)]
    outcomes = {True: 0, False: 0}
    for _ in range(count):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.choice((1, 1, 2, 8, 30))):
            at = rng.randrange(len(data))
            action = rng.random()
            if action < 0.7:
                data[at] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
            elif action < 0.8:
                del data[at:]
            elif action < 0.9:
                del data[at : at + rng.randrange(1, 9)]
            else:
                data[at:at] = rng.randbytes(rng.randrange(1, 9))
            if not data:
                break
        start = time.process_time()
        try:
            assert raw_pixels(bytes(data), 8, ImageConfig()).shape == (3, 8, 8)
            outcomes[True] += 1
        except ImageError:
            outcomes[False] += 1
        assert time.process_time() - start < 1
    assert min(outcomes.values()) > count / 10  # the mutations are neither harmless nor hopeless


def test_pictures_are_read_in_threads():
    data = encoded(PHOTO, "JPEG")
    made = []
    threads = [threading.Thread(target=lambda: made.append(raw_pixels(data, 16, ImageConfig()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert all(torch.equal(made[0], other) for other in made)
