import io
import struct
import threading
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from ojito.processor import colours
from ojito.processor.images import open_image
from tests.processor.profiles import (
    ADOBE_RGB,
    DISPLAY_P3,
    SRGB,
    cmyk_profile,
    gamma,
    grey_profile,
    rgb_profile,
    srgb_curve,
)

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def only_colour(image):
    ((_, colour),) = image.getcolors()
    return colour


def greys(image):
    opened = np.asarray(open_image(image)).astype(int)
    assert (opened == opened[..., :1]).all()
    return opened[..., 0]


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
    image = Image.new("P", (3, 2), 0)
    image.putpalette([10, 20, 30] + [0, 0, 0] * 255)
    assert only_colour(open_image(encoded(image, kind, transparency=0))) == (255, 255, 255)


def test_transparent_colour_of_an_rgb_png_is_white():
    image = Image.new("RGB", (3, 2), (10, 20, 30))
    assert only_colour(open_image(encoded(image, transparency=(10, 20, 30)))) == (255, 255, 255)


def test_16_bit_grey_png_keeps_its_range():
    ramp = np.linspace(0, 65535, 256, dtype=np.uint16).reshape(16, 16)
    opened = open_image(encoded(Image.fromarray(ramp)))
    assert np.array_equal(np.asarray(opened)[..., 0].ravel(), np.arange(256))


def test_cmyk_jpeg_becomes_rgb():
    red = only_colour(open_image(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)))
    assert np.allclose(red, (255, 0, 0), atol=3)


def test_premultiplied_grey_is_over_white():
    assert only_colour(open_image(Image.new("LA", (3, 2), (40, 51)).convert("La"))) == (212, 212, 212)


def test_palette_with_an_alpha_for_each_entry_is_over_white():
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0] + [100, 0, 0] * 255)
    image.putpixel((1, 0), 1)
    opened = open_image(encoded(image, transparency=bytes([51, 0])))
    assert [opened.getpixel((x, 0)) for x in (0, 1)] == [(204, 204, 204), (255, 255, 255)]


# ------------------------------------------------------------------------------------------------------------ deep grey


GREY = np.arange(256).reshape(16, 16)


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("scale", [1, 257])
def test_whole_numbers_reach_to_255_or_to_65535(kind, scale):
    assert np.array_equal(greys(Image.fromarray((GREY * scale).astype(kind))), GREY)


def test_grey_that_pillow_made_deep_is_the_same_grey():
    grey = Image.fromarray(GREY.astype(np.uint8))
    for mode in ("I", "F", "I;16"):
        assert np.array_equal(greys(grey.convert(mode)), GREY)


@pytest.mark.parametrize(("mode", "order"), [("I;16", "<u2"), ("I;16L", "<u2"), ("I;16B", ">u2"), ("I;16N", "=u2")])
def test_deep_grey_of_any_byte_order_is_read(mode, order):
    image = Image.frombytes(mode, (16, 16), (GREY * 257).astype(order).tobytes())
    assert np.array_equal(greys(image), GREY)


def test_fractions_reach_to_1_and_what_resizing_adds_to_255_blackens_nothing():
    assert np.array_equal(greys(Image.fromarray((GREY / 255).astype(np.float32))), GREY)
    beyond = np.where(GREY == 255, 280, GREY).astype(np.float32)
    assert np.array_equal(greys(Image.fromarray(beyond)), GREY)


def test_odd_numbers_are_black_or_white():
    values = np.array([[-5, 0, 100, np.nan, np.inf, -np.inf]], np.float32)
    assert greys(Image.fromarray(values)).tolist() == [[0, 0, 100, 0, 255, 0]]
    assert greys(Image.fromarray(np.full((1, 2), np.nan, np.float32))).tolist() == [[0, 0]]
    assert greys(Image.fromarray(np.array([[-5, 0, 100]], np.int32))).tolist() == [[0, 0, 100]]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_transparent_grey_is_white(kind):
    values = np.full((4, 4), 200, kind)
    values[:2] = 10
    scale = 257 if kind == np.uint16 else 1
    opened = greys(encoded(Image.fromarray(values * kind(scale)), transparency=10 * scale))
    assert opened[:, 0].tolist() == [255, 255, 200, 200]


def png(bits, colour, row, transparent):
    """A PNG of one row, two pixels wide, with a tRNS chunk."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 2, 1, bits, colour, 0, 0, 0)), (b"tRNS", transparent)]
    chunks += [(b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


@pytest.mark.parametrize(
    ("bits", "row", "value", "expected"),
    [
        (1, b"\x40", 0, [255, 255]),
        (1, b"\x40", 1, [0, 255]),
        (2, b"\x60", 1, [255, 170]),
        (4, b"\x3c", 3, [255, 204]),
        (8, b"\x0a\xc8", 10, [255, 200]),
        (16, b"\x0a\x05\xc8\xc8", 0x0A05, [255, 200]),
    ],
)
def test_transparent_grey_of_any_depth_is_white(bits, row, value, expected):
    assert greys(png(bits, 0, row, struct.pack(">H", value)))[0].tolist() == expected


def test_transparent_colour_of_16_bits_is_white():
    opened = greys(png(16, 2, b"\x0a\x05" * 3 + b"\xc8\xc8" * 3, b"\x0a\x05" * 3))
    assert opened[0].tolist() == [255, 200]


# ------------------------------------------------------------------------------------------------------ colour profiles


def linear(values):
    values = np.asarray(values) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encoded_srgb(light):
    light = np.clip(light, 0, 1)
    return 255 * np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def through(colorants, light):
    """sRGB of linear light in other primaries: by way of XYZ, a row vector times the matrices of colorants."""
    return encoded_srgb(light @ np.array(colorants) @ np.linalg.inv(np.array(SRGB)))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize("colour", [(200, 100, 50), (30, 90, 160), (250, 250, 250), (120, 130, 60)])
def test_display_p3_becomes_srgb(kind, colour):
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}, "PNG": {}}[kind]
    data = encoded(
        Image.new("RGB", (16, 16), colour), kind, icc_profile=rgb_profile(DISPLAY_P3, srgb_curve()), **options
    )
    expected = through(DISPLAY_P3, linear(colour))
    assert np.abs(np.array(only_colour(open_image(data))) - expected).max() <= (3 if kind == "JPEG" else 1.5)
    assert np.abs(np.array(colour) - expected).max() > (3 if colour != (250, 250, 250) else -1)


def test_adobe_rgb_becomes_srgb():
    data = encoded(Image.new("RGB", (4, 4), (100, 150, 120)), icc_profile=rgb_profile(ADOBE_RGB, gamma(2.2)))
    expected = through(ADOBE_RGB, (np.array([100, 150, 120]) / 255) ** 2.2)
    assert np.abs(np.array(only_colour(open_image(data))) - expected).max() <= 1.5


@pytest.mark.parametrize(
    "profile",
    [rgb_profile(SRGB, srgb_curve()), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()],
    ids=["of a camera", "of Pillow"],
)
def test_srgb_leaves_every_pixel_as_it_is(profile):
    assert open_image(encoded(NOISE, icc_profile=profile)).tobytes() == NOISE.tobytes()


@pytest.mark.parametrize(
    "profile",
    [b"", b"nonsense", rgb_profile(DISPLAY_P3, srgb_curve())[:300], grey_profile(1.0), bytes(4000)],
    ids=["empty", "nonsense", "cut off", "of grey", "zeros"],
)
def test_broken_profile_or_one_of_other_colours_changes_nothing(profile):
    assert open_image(encoded(NOISE, icc_profile=profile)).tobytes() == NOISE.tobytes()


def test_grey_profile_is_heeded_with_and_without_alpha():
    profile = grey_profile(1.0)  # linear light
    expected = round(float(encoded_srgb(np.array(55 / 255))))
    for image in (Image.new("L", (4, 4), 55), Image.new("LA", (4, 4), (55, 255))):
        assert abs(only_colour(open_image(encoded(image, icc_profile=profile)))[0] - expected) <= 1


def test_transparent_colours_are_converted_before_they_are_laid_over_white():
    profile = rgb_profile(DISPLAY_P3, srgb_curve())
    opaque = only_colour(open_image(encoded(Image.new("RGB", (4, 4), (200, 100, 50)), icc_profile=profile)))
    half = only_colour(open_image(encoded(Image.new("RGBA", (4, 4), (200, 100, 50, 51)), icc_profile=profile)))
    assert np.abs(np.array(half) - (np.array(opaque) * 0.2 + 255 * 0.8)).max() <= 1


def test_palette_is_converted():
    profile = rgb_profile(DISPLAY_P3, srgb_curve())
    image = Image.new("RGB", (4, 4), (200, 100, 50))
    expected = only_colour(open_image(encoded(image, icc_profile=profile)))
    palette = image.convert("P", palette=Image.Palette.ADAPTIVE)
    assert only_colour(open_image(encoded(palette, icc_profile=profile))) == expected


def test_cmyk_is_converted_by_its_profile():
    """A printer whose cyan is green: what full ink of each mixture looks like, in Lab."""
    lab = [(100 - 6 * i, -60 if i & 8 else 0, 40 if i & 8 else 0) for i in range(16)]  # cyan is the highest bit
    image = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    data = encoded(image, "JPEG", quality=100, icc_profile=cmyk_profile(lab))
    red, green, blue = only_colour(open_image(data))
    assert green > red + 50
    assert green > blue + 50
    plain = only_colour(open_image(encoded(image, "JPEG", quality=100)))
    assert plain[1] == pytest.approx(plain[2], abs=6)  # without a profile cyan is cyan


def test_converted_image_is_not_converted_again():
    for image in (
        Image.new("RGB", (4, 4), (200, 100, 50)),
        Image.new("RGBA", (4, 4), (200, 100, 50, 99)),
    ):
        once = open_image(encoded(image, icc_profile=rgb_profile(DISPLAY_P3, srgb_curve())))
        assert open_image(once).tobytes() == once.tobytes()


def test_profiles_are_converted_in_threads():
    data = encoded(NOISE, icc_profile=rgb_profile(DISPLAY_P3, srgb_curve()))
    results = []
    threads = [threading.Thread(target=lambda: results.append(open_image(data).tobytes())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert len(set(results)) == 1


# --------------------------------------------------------------------------------------------------------- large images


def some_of_each_mode():
    rgba = Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 60, 4), dtype=np.uint8))
    deep = Image.fromarray((np.arange(2400).reshape(40, 60) * 27).astype(np.uint16))
    profile = rgb_profile(DISPLAY_P3, srgb_curve())
    yield from (rgba, rgba.convert("LA"), rgba.convert("CMYK"), NOISE.convert("P"), deep, deep.convert("I"))
    yield from (encoded(NOISE, icc_profile=profile), encoded(rgba, icc_profile=profile))
    yield from (encoded(deep, transparency=27 * 99), encoded(NOISE.convert("P"), transparency=bytes(range(256))))


def test_large_images_are_converted_in_strips_with_the_same_result(monkeypatch):
    whole = [open_image(image).tobytes() for image in some_of_each_mode()]
    monkeypatch.setattr(colours, "_STRIP", 60 * 7)
    assert [open_image(image).tobytes() for image in some_of_each_mode()] == whole
    monkeypatch.setattr(colours, "_STRIP", 1)  # less than a row
    assert [open_image(image).tobytes() for image in some_of_each_mode()] == whole
