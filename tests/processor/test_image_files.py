import io
import os
import pickle
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ojito.processor.image_files import ImageError, TooManyPixels
from ojito.processor.images import open_image

PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


# ---------------------------------------------------------------------------------------------------- paths, addresses


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


def test_missing_image_suggests_the_nearest_name(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(ImageError, match=r"holidy.jpg: does not exist; did you mean holiday.jpg\?"):
        open_image(tmp_path / "holidy.jpg")


def test_name_with_a_null_character_is_an_error():
    with pytest.raises(ImageError, match="does not exist"):
        open_image("a\0b.jpg")


@pytest.mark.parametrize("address", ["https://x.org/a.png", "file:///a/b.png", "s3://x/a.png"])
def test_address_that_became_a_path_is_still_called_an_address(address):
    with pytest.raises(ImageError, match="is an address"):
        open_image(Path(address))


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("file:///a/my%20photo.png", "/a/my photo.png"),
        ("file://localhost/a/b.png", "/a/b.png"),
        ("FILE:/a/b.png", "/a/b.png"),
    ],
)
def test_file_address_is_told_its_path(address, path):
    with pytest.raises(ImageError, match=f"is an address; give the path, {path}$"):
        open_image(address)


@pytest.mark.parametrize("address", ["data:image/png;base64,iVBORw0KGgo=", "DATA:,x"])
def test_image_written_as_an_address_is_told_to_be_decoded(address):
    with pytest.raises(ImageError, match=r"is an image written as an address; decode it: base64\.b64decode") as caught:
        open_image(address)
    assert caught.value.where == address[:80]


def test_name_with_a_colon_is_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "12:30.png").write_bytes(encoded(PHOTO))
    assert open_image("12:30.png").size == PHOTO.size


def test_any_path_object_is_a_path(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(PHOTO))
    with os.scandir(tmp_path) as entries:
        (entry,) = entries
    assert open_image(entry).tobytes() == PHOTO.tobytes()


@pytest.mark.parametrize("kind", [str, Path])
def test_folder_is_called_a_folder(kind, tmp_path):
    with pytest.raises(ImageError, match="is a folder; give an image in it"):
        open_image(kind(tmp_path))


def test_link_that_leads_nowhere_is_called_that(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(ImageError, match=r"is a link to .*gone.png, which does not exist"):
        open_image(tmp_path / "a.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    with pytest.raises(ImageError, match="is a link that leads back to itself"):
        open_image(tmp_path / "loop.png")


def test_what_may_not_be_read_is_called_that(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(encoded(PHOTO))

    def refuses(*args, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuses)
    with pytest.raises(ImageError, match=r"may not be read; allow it \(chmod \+r\)"):
        open_image(tmp_path / "a.png")
    monkeypatch.setattr(Path, "stat", refuses)
    with pytest.raises(ImageError, match=r"is in a folder that may not be read; allow it \(chmod \+rx\)"):
        open_image(tmp_path / "a.png")


# ---------------------------------------------------------------------------------------------------- kinds of files


@pytest.mark.parametrize(
    ("beginning", "message"),
    [
        (b"\0\0\0\x18ftypheic", r"a HEIC image; .*open it with pillow-heif and give that image"),
        (b"\0\0\0\x18ftypmif1", "a HEIC image"),
        (b"\0\0\0\x20ftypavif", r"an AVIF image; .*open it with Pillow and give that image"),
        (b"\0\0\0\x20ftypisom", "a video; .*give a single frame"),
        (b"\0\0\0\x18ftypcrx ", "a raw photograph"),
        (b"RIFF\0\0\0\0AVI LIST", "a video"),
        (b"RIFF\0\0\0\0WAVEfmt ", "not an image"),
        (b"II*\0", "a TIFF image"),
        (b"MM\0*", "a TIFF image"),
        (b"%PDF-1.7", "a PDF"),
        (b"\0\0\0\x0cjP  \r\n", "a JPEG 2000 image"),
        (b"\xff\x0a\xfa", "a JPEG XL image"),
        (b"8BPS", "a Photoshop file"),
        (b"\0\0\1\0\1\0", "an icon"),
        (b"P6\n3 2", "a PPM image"),
        (b"<svg xmlns", "an SVG or another XML file"),
        (b"<?xml version", "an SVG or another XML file"),
        (b"\n<!DOCTYPE html><html>", "a web page; .*download the image itself, not the page that shows it"),
        (b"<HTML>", "a web page"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "a pointer of Git LFS, not the file itself; .*`git lfs pull`",
        ),
        (b"PK\3\4", "a ZIP archive; .*unpack it"),
        (b"\x1f\x8b\x08", "packed by gzip"),
        (b"hello there", "not an image; .*convert it, for example to PNG"),
        (b"\0", "not an image"),
    ],
)
def test_other_file_is_called_by_its_name(beginning, message):
    kind, _, remedy = message.partition("; ")
    pattern = f"is {kind}; Ojito reads JPEG, PNG, WEBP, GIF, BMP; {remedy}"
    with pytest.raises(ImageError, match=pattern):
        open_image(beginning + bytes(40) if not beginning.startswith(b"hello") else beginning)


def test_avif_and_tiff_are_read_by_way_of_pillow():
    for kind in ("AVIF", "TIFF", "JPEG2000", "PPM"):
        data = encoded(PHOTO, kind)
        with pytest.raises(ImageError, match="or in Python open it with Pillow and give that image"):
            open_image(data)
        assert open_image(Image.open(io.BytesIO(data))).size == PHOTO.size


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_wrong_ending_does_not_matter(kind, tmp_path):
    for ending in (".jpg", ".png", ".heic", ""):
        (tmp_path / f"a{ending}").write_bytes(encoded(PHOTO, kind))
        assert open_image(tmp_path / f"a{ending}").size == PHOTO.size


def test_png_with_more_text_than_is_read_is_told_to_lose_it():
    text = b"iTXtworkflow\0\1\0\0\0" + zlib.compress(bytes(3_000_000))
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    data = encoded(PHOTO)
    with pytest.raises(
        ImageError, match=r"holds more text or a larger colour profile than is read; save it again, without"
    ):
        open_image(data[:33] + chunk + data[33:])


def test_errors_about_pixels_travel_between_processes():
    error = TooManyPixels("a.png", "has too many", "scale it down")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (TooManyPixels, "a.png: has too many; scale it down")
    assert isinstance(again, ImageError)


def test_limit_of_pillow_is_neither_used_nor_changed():
    before = Image.MAX_IMAGE_PIXELS
    open_image(PHOTO, sys.maxsize)
    assert before == Image.MAX_IMAGE_PIXELS
