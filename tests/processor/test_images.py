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
from PIL import Image, ImageOps

from ojito.config import ImageConfig
from ojito.processor.image_files import ImageError, TooManyPixels
from ojito.processor.images import EXACT_PIXELS, OpenedImage, image_size, open_image, open_scaled
from ojito.processor.pixels import raw_pixels
from ojito.records import StoredImage
from tests.noise import noise

NOISE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
PHOTO = Image.fromarray(NOISE)  # 60 wide, 40 high


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def only_colour(image):
    ((_, colour),) = image.getcolors()
    return colour


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


def test_broken_exif_does_not_break_a_image():
    data = encoded(PHOTO, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff nonsense")
    assert open_image(data).size == PHOTO.size


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_path_bytes_and_pil_image_are_the_same_image(kind, tmp_path):
    data = encoded(PHOTO, kind)
    path = tmp_path / "image"  # the name's ending says nothing
    path.write_bytes(data)
    with Image.open(path) as image:
        opened = [np.asarray(open_image(form)) for form in (path, str(path), data, image)]
    assert all(np.array_equal(opened[0], other) for other in opened[1:])


def test_callers_image_stays_as_it_is():
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    raw_pixels(image, 2, ImageConfig())
    assert (image.mode, image.size, image.getpixel((0, 0))) == ("RGBA", (4, 4), (0, 0, 0, 0))


# ------------------------------------------------------------------------------------------------------ broken images


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_truncated_image_is_an_error(kind, share):
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
    with pytest.raises(TooManyPixels, match="60 x 40 = 2,400 pixels, more than the limit of 2,399"):
        open_image(PHOTO, 2_399)
    assert open_image(PHOTO, 2_400).size == (60, 40)


@pytest.mark.parametrize("size", [(1_000_001, 1), (1, 1_000_001)])
def test_side_has_a_limit_because_of_the_weights_of_resizing(size):
    with pytest.raises(ImageError, match=r"1,000,001.* pixels, more than 1,000,000 on a side; cut it up"):
        open_image(Image.new("L", size))


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mutated_images_only_raise_image_errors(count):
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


def test_images_are_read_in_threads():
    data = encoded(PHOTO, "JPEG")
    made = []
    threads = [threading.Thread(target=lambda: made.append(raw_pixels(data, 16, ImageConfig()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert all(torch.equal(made[0], other) for other in made)


# -------------------------------------------------------------------------------------------------- turned, or as it is


def sideways(kind="JPEG", orientation=6):
    """A wide image whose camera was held upright: 60 x 40 as stored, 40 x 60 as seen."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(PHOTO, kind, exif=exif)


SIDEWAYS = sideways()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_applied_in_every_kind_of_file(kind):
    expected = open_image(encoded(PHOTO, kind)).transpose(Image.Transpose.ROTATE_270)
    assert open_image(sideways(kind)).tobytes() == expected.tobytes()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_image_that_pillow_opened_is_turned_as_its_file(kind, tmp_path):
    (tmp_path / "a").write_bytes(sideways(kind))
    opened = Image.open(tmp_path / "a")
    expected = open_image(tmp_path / "a").tobytes()
    assert open_image(opened).tobytes() == expected
    opened.load()
    assert open_image(opened).tobytes() == expected
    assert opened.size == (60, 40)  # and it stays as it is


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "turn",
    [
        lambda image: image.rotate(90, expand=True),
        lambda image: image.rotate(180),
        lambda image: image.rotate(-17),
        lambda image: image.transpose(Image.Transpose.ROTATE_270),
        lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        ImageOps.exif_transpose,
        ImageOps.mirror,
    ],
)
def test_image_that_was_turned_by_hand_is_not_turned_again(kind, turn):
    turned = turn(Image.open(io.BytesIO(sideways(kind))))
    assert open_image(turned).tobytes() == turned.convert("RGB").tobytes()


def test_image_whose_exif_was_removed_is_not_turned():
    image = Image.open(io.BytesIO(sideways()))
    del image.getexif()[0x0112]
    assert open_image(image).size == (60, 40)


def test_opened_image_is_not_turned_when_it_is_opened_again():
    once = open_image(sideways())
    assert open_image(once).tobytes() == once.tobytes()


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_orientation_that_does_not_exist_is_none(orientation):
    assert open_image(sideways(orientation=orientation)).size == (60, 40)


def test_orientation_is_applied_when_the_rest_of_the_exif_is_nonsense(monkeypatch):
    def fails(*args, **options):
        raise ValueError("cannot be written")

    monkeypatch.setattr(Image.Exif, "tobytes", fails)
    assert open_image(SIDEWAYS).size == (40, 60)


def test_large_exif_is_read():
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "x" * 60_000
    assert open_image(encoded(PHOTO, "JPEG", exif=exif)).size == (40, 60)
    exif[0x010E] = "x" * 3_000_000
    assert open_image(encoded(PHOTO, "PNG", exif=exif)).size == (40, 60)


# --------------------------------------------------------------------------------------------- several frames or images


def test_first_image_of_a_telephones_mpo_is_read():
    second = Image.new("RGB", (30, 20), "blue")
    data = encoded(PHOTO, "MPO", save_all=True, append_images=[second])
    assert Image.open(io.BytesIO(data)).format == "MPO"
    assert np.array_equal(np.asarray(open_image(data)), np.asarray(Image.open(io.BytesIO(data))))
    assert open_image(data).size == PHOTO.size


def test_animated_png_gives_its_first_frame():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    assert only_colour(open_image(encoded(frames[0], "PNG", save_all=True, append_images=frames[1:]))) == (255, 0, 0)


def test_animation_that_stands_at_a_frame_gives_that_one():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    animation = Image.open(io.BytesIO(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])))
    animation.seek(1)
    assert only_colour(open_image(animation)) == (0, 0, 255)


def test_one_bit_image_is_black_and_white():
    bits = PHOTO.convert("1")
    assert open_image(encoded(bits)).tobytes() == bits.convert("RGB").tobytes()


@pytest.mark.parametrize(
    "options", [{"progressive": True}, {"optimize": True, "subsampling": 2}, {"restart_marker_rows": 1}]
)
def test_jpegs_of_every_make_are_read(options):
    data = encoded(PHOTO, "JPEG", **options)
    assert open_image(data).tobytes() == Image.open(io.BytesIO(data)).convert("RGB").tobytes()


# ------------------------------------------------------------------------------------------------ what is not an image


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP"])
def test_image_that_was_closed_before_it_was_read_is_called_closed(kind, tmp_path):
    (tmp_path / "a").write_bytes(encoded(PHOTO, kind))
    with Image.open(tmp_path / "a") as closed:
        pass
    with open(tmp_path / "a", "rb") as file:
        of_closed_file = Image.open(file)
    for image in (closed, of_closed_file):
        with pytest.raises(ImageError, match=r"was closed before its pixels were read; .* call image\.load\(\)"):
            open_image(image)


def test_image_that_was_closed_after_it_was_read_is_called_closed(tmp_path):
    (tmp_path / "a").write_bytes(encoded(PHOTO))
    loaded, plain = Image.open(tmp_path / "a"), Image.new("RGB", (2, 2))
    loaded.load()
    for image in (loaded, plain):
        image.close()
        with pytest.raises(ImageError, match="was closed; give its path, or the image before it is closed"):
            open_image(image)


def test_image_whose_file_was_closed_after_load_is_read(tmp_path):
    (tmp_path / "a").write_bytes(encoded(PHOTO))
    with Image.open(tmp_path / "a") as image:
        image.load()
    assert open_image(image).tobytes() == PHOTO.tobytes()


def test_image_whose_file_is_gone_or_was_cut_off_is_read_or_called_damaged(tmp_path):
    (tmp_path / "a").write_bytes(encoded(PHOTO))
    gone = Image.open(tmp_path / "a")
    (tmp_path / "a").unlink()
    assert open_image(gone).tobytes() == PHOTO.tobytes()
    (tmp_path / "b").write_bytes(encoded(PHOTO))
    cut = Image.open(tmp_path / "b")
    os.truncate(tmp_path / "b", 200)
    with pytest.raises(ImageError, match=r"b: is damaged or cut off"):
        open_image(cut)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (NOISE, r"type ndarray: is not an image; give Image.fromarray\(array\), of \(height, width, 3\) uint8"),
        (torch.zeros(3, 4, 4), r"type Tensor: is not an image; give Image.fromarray\(tensor.permute\(1, 2, 0\).numpy"),
        (bytearray(b"x"), r"give bytes\(image\)"),
        (memoryview(b"x"), r"give bytes\(image\)"),
        (io.BytesIO(b"x"), r"type BytesIO: is not an image; give its path, or its bytes: file.read\(\)"),
        (["a.png"], "type list: is not an image; give one image"),
        (None, "type NoneType: is not an image; give one, or a Sample without images"),
        (7, "type int: is not an image; give a path, encoded bytes or a PIL image"),
    ],
)
def test_what_is_not_an_image_gets_the_way_to_make_one(value, message):
    with pytest.raises(ImageError, match=message):
        open_image(value)


def test_the_ways_to_make_an_image_work():
    array = NOISE
    assert open_image(Image.fromarray(array)).tobytes() == PHOTO.tobytes()
    tensor = torch.from_numpy(NOISE).permute(2, 0, 1)
    assert open_image(Image.fromarray(tensor.permute(1, 2, 0).numpy())).tobytes() == PHOTO.tobytes()


def test_too_little_memory_is_called_that(monkeypatch):
    def fails(image):
        raise MemoryError

    monkeypatch.setattr("ojito.processor.images.to_rgb", fails)
    with pytest.raises(ImageError, match="has 60 x 40 pixels, more than the memory holds; scale it down"):
        open_image(PHOTO)


def test_disk_that_cannot_be_read_is_called_that(monkeypatch):
    def fails(image):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("ojito.processor.images.to_rgb", fails)
    with pytest.raises(ImageError, match=r"cannot be read \(Input/output error\); copy it to another disk"):
        open_image(encoded(PHOTO))


# --------------------------------------------------------------------------------------------------- large photographs


@pytest.fixture
def small_is_large(monkeypatch):
    """JPEGs of more than 2000 pixels are large; the photo has 2400."""
    monkeypatch.setattr("ojito.processor.images.EXACT_PIXELS", 2000)


@pytest.mark.usefixtures("small_is_large")
@pytest.mark.parametrize(("least_side", "scale"), [(0, 1), (40, 1), (21, 1), (20, 2), (11, 2), (10, 4), (5, 8), (1, 8)])
def test_large_jpeg_keeps_at_least_the_side_that_is_asked_for(least_side, scale):
    opened = open_scaled(encoded(PHOTO, "JPEG"), least_side=least_side)
    assert opened.image.size == (-(-60 // scale), -(-40 // scale))
    assert (opened.width, opened.height) == (60, 40)


@pytest.mark.usefixtures("small_is_large")
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"format": "MPO"}, {"mode": "CMYK"}, {"mode": "L"}])
def test_large_jpeg_of_any_make_is_scaled_to_the_mean_of_its_pixels(options):
    smooth = Image.linear_gradient("L").resize((64, 48)).convert(options.pop("mode", "RGB"))
    data = encoded(smooth, options.pop("format", "JPEG"), quality=95, **options)
    full, scaled = open_image(data), open_scaled(data, least_side=12).image
    assert scaled.size == (16, 12)
    assert np.abs(np.asarray(full.reduce(4)).astype(int) - np.asarray(scaled)).max() <= 6


@pytest.mark.usefixtures("small_is_large")
def test_size_of_a_scaled_image_is_that_of_the_upright_one_in_full():
    opened = open_scaled(sideways(), least_side=10)
    assert (opened.image.size, opened.width, opened.height) == ((10, 15), 40, 60)


@pytest.mark.usefixtures("small_is_large")
def test_other_files_and_pil_images_keep_their_scale():
    for image in (encoded(PHOTO), encoded(PHOTO, "WEBP"), PHOTO, Image.open(io.BytesIO(encoded(PHOTO, "JPEG")))):
        assert open_scaled(image, least_side=1).image.size == (60, 40)


def test_jpeg_up_to_20_megapixels_is_decoded_in_full():
    assert EXACT_PIXELS == 20_000_000
    data = encoded(Image.new("RGB", (5000, 4000), "grey"), "JPEG")
    assert open_scaled(data, least_side=1).image.size == (5000, 4000)
    data = encoded(Image.new("RGB", (5001, 4000), "grey"), "JPEG")
    assert open_scaled(data, least_side=1).image.size == (626, 500)


@pytest.mark.usefixtures("small_is_large")
def test_what_the_model_reads_of_a_large_jpeg_is_what_it_reads_of_all_of_it():
    smooth = Image.radial_gradient("L").convert("RGB").resize((640, 480))
    data = encoded(smooth, "JPEG", quality=95)
    read, exact = raw_pixels(data, 32, ImageConfig()), raw_pixels(Image.open(io.BytesIO(data)), 32, ImageConfig())
    assert (read.int() - exact.int()).abs().max() <= 2


def test_photographs_of_todays_telephones_are_within_the_limit_and_twice_that_can_be_allowed():
    data = encoded(Image.new("L", (8160, 6120)), "JPEG")
    assert open_scaled(data, least_side=1).width == 8160
    largest = png_header(16320, 12240)  # 200 megapixels: above what Image.open itself would read
    with pytest.raises(TooManyPixels, match="199,756,800 pixels, more than the limit of 100,000,000; scale it down or"):
        open_image(largest)
    with pytest.raises(
        ImageError, match="is damaged or cut off"
    ):  # there is only a header: the limit is out of the way
        open_image(largest, 200_000_000)
    assert isinstance(open_scaled(PHOTO), OpenedImage)


# --------------------------------------------------------------------------- images within other files, and their sizes


class Kept(StoredImage):
    """An image that an archive keeps."""

    def __init__(self, content):
        self.content = content

    def __str__(self):
        return "a.tar/1.png"

    def read(self):
        if not self.content:
            raise FileNotFoundError(2, "No such file or directory")
        return self.content


def test_image_within_a_file_is_read_as_its_bytes_are():
    content = encoded(noise((20, 10)))
    assert open_image(Kept(content)).tobytes() == open_image(content).tobytes()
    with pytest.raises(TooManyPixels, match=r"a.tar/1.png: has 20 x 10 = 200 pixels"):
        open_image(Kept(content), max_pixels=199)


@pytest.mark.parametrize(("content", "said"), [(b"x" * 9, "is not an image"), (b"", r"cannot be read \(No such file")])
@pytest.mark.parametrize("opened", [open_image, image_size])
def test_image_within_a_file_that_cannot_be_read_is_named(opened, content, said):
    with pytest.raises(ImageError, match=f"a.tar/1.png: {said}"):
        opened(Kept(content))


def test_size_is_that_of_the_upright_image(tmp_path):
    content = sideways()
    (tmp_path / "a.jpg").write_bytes(content)
    upright = open_image(content).size
    for image in (content, tmp_path / "a.jpg", str(tmp_path / "a.jpg"), Kept(content), open_image(content)):
        assert image_size(image) == upright


def test_size_needs_no_more_than_the_header():
    content = encoded(noise((200, 100)))
    assert image_size(content[:100]) == (200, 100)
    with pytest.raises(ImageError, match="is damaged"):
        open_image(content[:100])


def test_size_of_a_missing_image_is_an_error():
    with pytest.raises(ImageError, match=r"gone.jpg: does not exist"):
        image_size("gone.jpg")
