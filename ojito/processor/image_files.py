"""Image files before they are decoded: whether one is there, and what it is."""

from __future__ import annotations

import errno
import itertools
import os
import re
import stat
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import IO
from urllib.parse import unquote

from PIL import BmpImagePlugin, GifImagePlugin, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from ojito.errors import OjitoError, nearest

# Each format with its first bytes. Every further decoder would be one more that a hostile file can attack. Not
# Image.open: it has a limit of pixels of its own, which raising `max_pixels` would not raise.
_FORMATS: dict[str, tuple[re.Pattern[bytes], Callable[[IO[bytes]], ImageFile.ImageFile]]] = {
    "JPEG": (re.compile(rb"\xff\xd8"), JpegImagePlugin.jpeg_factory),
    "PNG": (re.compile(rb"\x89PNG"), PngImagePlugin.PngImageFile),
    "WEBP": (re.compile(rb"RIFF....WEBP", re.DOTALL), WebPImagePlugin.WebPImageFile),
    "GIF": (re.compile(rb"GIF8"), GifImagePlugin.GifImageFile),
    "BMP": (re.compile(rb"BM"), BmpImagePlugin.BmpImageFile),
}
FORMATS = tuple(_FORMATS)
"""All that is ever decoded."""

_CONVERT = "convert it, for example to PNG"
_IN_PYTHON = f"{_CONVERT}, or in Python open it with Pillow and give that image"
_HEIC = f"{_CONVERT}, or in Python open it with pillow-heif and give that image"
_VIDEO = "give a single frame of it as an image file"
_WEB_PAGE = "download the image itself, not the page that shows it"
# What people hand in by mistake, by its first bytes: what it is, and what to do.
_OTHERS: tuple[tuple[bytes, str, str], ...] = (
    (rb"....ftyp(avif|avis)", "an AVIF image", _IN_PYTHON),
    (rb"....ftyp(hei|hev|mif1|msf1)", "a HEIC image", _HEIC),
    (rb"....ftypcrx ", "a raw photograph", _CONVERT),
    (rb"....ftyp", "a video", _VIDEO),
    (rb"RIFF....AVI |\x1aE\xdf\xa3", "a video", _VIDEO),
    (rb"II\*\0|MM\0\*|II\+\0|MM\0\+", "a TIFF image", _IN_PYTHON),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "a JPEG 2000 image", _IN_PYTHON),
    (rb"\0\0\0\x0cJXL |\xff\x0a", "a JPEG XL image", _CONVERT),
    (rb"8BPS", "a Photoshop file", _CONVERT),
    (rb"\0\0\x01\0", "an icon", _IN_PYTHON),
    (rb"P[1-6]\s", "a PPM image", _IN_PYTHON),
    (rb"%PDF", "a PDF", _CONVERT),
    (rb"\s*<svg|\s*<\?xml", "an SVG or another XML file", _CONVERT),
    (rb"(?i)\s*<(!doctype )?html", "a web page", _WEB_PAGE),
    (rb"version https://git-lfs", "a pointer of Git LFS, not the file itself", "fetch it with `git lfs pull`"),
    (rb"PK\x03\x04|PK\x05\x06", "a ZIP archive", "unpack it and give an image in it"),
    (rb"\x1f\x8b", "packed by gzip", "unpack it"),
)
_HEAD = 64  # bytes that tell what a file is
# Of two letters or more, as C:/ is a drive; and with one slash, since `Path` drops the other.
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
_SHOWN = 80  # characters of an address, which may hold a whole image

# A transparent grey of 2 or 4 bits, and a colour of 16, are given on scales that Pillow's pixels do not have.
_TRANSPARENT_SCALE: dict[str, Callable[[int], int]] = {
    "L;2": lambda value: value * 85,
    "L;4": lambda value: value * 17,
    "RGB;16B": lambda value: value >> 8,
}


class ImageError(OjitoError):
    """An image that cannot be read; `where` is its path, or what it is called."""


class TooManyPixels(ImageError):
    """An image above the limit of pixels, which may be raised."""


def open_file(file: IO[bytes], name: str) -> ImageFile.ImageFile:
    """The image as far as its header: format and size are known, nothing is decoded.

    Args:
        file: At its beginning.
        name: For messages.

    Raises:
        ImageError: It is of no format in `FORMATS`, or its header is damaged.
    """
    head = file.read(_HEAD)
    file.seek(0)
    for kind, (beginning, opened) in _FORMATS.items():
        if beginning.match(head):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # Pillow warns of oddities that it copes with
                    image = opened(file)
                _rescale_transparency(image)
                return image
            except MemoryError:
                raise
            except Exception as error:  # on a broken header decoders raise almost anything
                if kind == "PNG" and type(error) is ValueError:  # how Pillow refuses large metadata, among others
                    problem = "is damaged, or holds more text or a larger colour profile than is read"
                    raise ImageError(name, problem, "save it again, without metadata") from error
                raise damaged(name) from error
    kind, remedy = "not an image", _CONVERT
    for beginning_of_other, other, other_remedy in _OTHERS:
        if re.match(beginning_of_other, head, re.DOTALL):
            kind, remedy = other, other_remedy
            break
    raise ImageError(name, f"is {kind}; Ojito reads {', '.join(FORMATS)}", remedy)


def damaged(name: str) -> ImageError:
    """The error of a file of a known format that cannot be decoded."""
    return ImageError(name, "is damaged or cut off", "save or copy it again")


def check_path(path: os.PathLike[str] | str, hint: bool = True) -> Path:
    """The path, if an image can be there: a file with something in it.

    Args:
        path: Where it should be.
        hint: Whether to look for the nearest name when it is missing, which takes a while in a large folder.

    Raises:
        ImageError: It is missing (with the nearest name in its folder), a folder, empty, or an address.
    """
    name = os.fspath(path)
    _check_address(name)
    path = Path(path)
    try:
        found = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a null character
        raise _missing(path, error, hint) from None
    if stat.S_ISDIR(found.st_mode):
        raise ImageError(name, "is a folder", "give an image in it")
    if not stat.S_ISREG(found.st_mode):  # a pipe or a device could keep us waiting for ever
        raise ImageError(name, "is not a file", "give an image file")
    if not found.st_size:
        raise ImageError(name, "is empty (0 bytes)", "save or copy it again")
    return path


def _check_address(name: str) -> None:
    if name[:5].lower() == "data:":
        remedy = "decode it: base64.b64decode(address.split(',')[1]) are bytes that Ojito reads"
        raise ImageError(name[:_SHOWN], "is an image written as an address", remedy)
    address = _ADDRESS.match(name)
    if address is None:
        return
    if address[1].lower() == "file":
        path = unquote(re.sub(r"^//(localhost)?(?=/)", "", name[len("file:") :]))
        raise ImageError(name[:_SHOWN], "is an address", f"give the path, {path}")
    raise ImageError(name[:_SHOWN], "is an address, and Ojito never goes online", "download it and give its path")


def _missing(path: Path, error: OSError | ValueError, hint: bool) -> ImageError:
    """Return the error for a path without an image."""
    code = error.errno if isinstance(error, OSError) else None
    if code == errno.EACCES:
        return ImageError(str(path), "is in a folder that may not be read", "allow it (chmod +rx)")
    if code == errno.ELOOP:
        return ImageError(str(path), "is a link that leads back to itself", "give the path of the file")
    try:
        target = os.readlink(path)
    except (OSError, ValueError):
        return ImageError(str(path), "does not exist", _nearest(path) if hint else "check the path")
    return ImageError(str(path), f"is a link to {target}, which does not exist", "give the path of the file")


def _nearest(path: Path) -> str:
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry in itertools.islice(entries, 10_000)]
    except (OSError, ValueError):
        return "check the path: its folder does not exist either"
    return nearest(path.name, names, "check the path")


def _rescale_transparency(image: ImageFile.ImageFile) -> None:
    """Put a PNG's transparent colour on the scale of the pixels."""
    key, raw_mode = image.info.get("transparency"), image.tile[0][3] if image.tile else None
    scale = _TRANSPARENT_SCALE.get(raw_mode) if image.format == "PNG" and isinstance(raw_mode, str) else None
    if scale and isinstance(key, int):
        image.info["transparency"] = scale(key)
    elif scale and isinstance(key, tuple):
        image.info["transparency"] = tuple(map(scale, key))
