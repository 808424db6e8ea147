"""Any picture to RGB, and RGB to the pixels that a vision tower reads. Whatever is wrong is an `ImageError`."""

from __future__ import annotations

import difflib
import io
import itertools
import os
import stat
import warnings
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ojito.config import ImageConfig
from ojito.errors import OjitoError

if TYPE_CHECKING:
    from ojito.records import ImageLike

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
"""All that is ever decoded: every further decoder is one more that a hostile file can attack."""

_BEGINNINGS = (b"\xff\xd8", b"\x89PNG", b"RIFF", b"GIF8", b"BM")  # of these five
# First bytes of what people hand in by mistake, to call it by its name.
_OTHERS = {b"II*\0": "a TIFF", b"MM\0*": "a TIFF", b"%PDF": "a PDF", b"<svg": "an SVG", b"PK\3\4": "a ZIP archive"}
_ORIENTATION = 0x0112  # the EXIF tag
_LONGEST = 1_000_000  # pixels: resizing a line of n pixels takes up to 48 n bytes of weights, however small the result


class ImageError(OjitoError):
    """An image that cannot be read; `where` is its path, or what it is called."""


def open_image(image: ImageLike, max_pixels: int = ImageConfig.max_pixels) -> Image.Image:
    """Any picture as RGB, upright (EXIF), transparency over white, the first frame of an animation.

    Args:
        image: Path, encoded bytes or PIL image (which is not changed).
        max_pixels: Refuse pictures with more, before decoding them.

    Raises:
        ImageError: It cannot be read.
    """
    if isinstance(image, Image.Image):
        name = str(getattr(image, "filename", "") or f"PIL image ({image.mode}, {image.width} x {image.height})")
        return _decode(image, name, max_pixels)
    if isinstance(image, bytes):
        name = f"{len(image):,} bytes"
        if not image:
            raise ImageError(name, "are not a picture", "give the whole file's bytes")
        return _decode(_identify(io.BytesIO(image), name), name, max_pixels)
    if isinstance(image, (str, Path)):
        try:
            file = check_path(image).open("rb")
        except OSError:
            raise ImageError(str(image), "may not be read", "allow it (chmod +r)") from None
        with file:
            return _decode(_identify(file, str(image)), str(image), max_pixels)
    raise ImageError(
        f"image of type {type(image).__name__}",
        "is not a picture",
        "give a path, encoded bytes or a PIL image (Image.fromarray)",
    )


def _identify(file: IO[bytes], name: str) -> Image.Image:
    """Reads as far as the header: format and size are known, nothing is decoded."""
    start = file.read(12)
    file.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Image.open(file, formats=FORMATS)
    except Image.DecompressionBombError:
        raise ImageError(name, "has far too many pixels", "scale it down") from None
    except UnidentifiedImageError:
        if start.startswith(_BEGINNINGS):
            raise ImageError(name, "is damaged or cut off", "save or copy it again") from None
        if start[4:8] == b"ftyp":
            kind = "a HEIC or AVIF picture or a video"
        else:
            kind = next((kind for magic, kind in _OTHERS.items() if start.startswith(magic)), "not a picture")
        problem = f"is {kind}; Ojito reads {', '.join(FORMATS)}"
        raise ImageError(name, problem, "convert it, for example to PNG") from None
    except Exception as error:  # on a broken header decoders raise almost anything
        raise ImageError(name, "is damaged or cut off", "save or copy it again") from error


def _decode(image: Image.Image, name: str, max_pixels: int) -> Image.Image:
    """A picture of any mode as RGB."""
    width, height = image.size
    if width * height > max_pixels:
        count = f"{width} x {height} = {width * height:,} pixels"
        problem = f"has {count}, more than the limit of {max_pixels:,}"
        raise ImageError(name, problem, "scale it down or raise processor.image.max_pixels")
    if max(width, height) > _LONGEST:
        raise ImageError(name, f"has {width:,} x {height:,} pixels, more than {_LONGEST:,} on a side", "cut it up")
    if not width * height:
        raise ImageError(name, f"has {width} x {height} pixels", "give one with at least 1 x 1")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of oddities that it copes with
            image.load()
            return _rgb(_upright(image))
    except Exception as error:  # on a broken file decoders raise almost anything
        raise ImageError(name, "is damaged or cut off", "save or copy it again") from error


def check_path(path: Path | str, hint: bool = True) -> Path:
    """The path, if a picture can be there: a file with something in it.

    Args:
        path: Where it should be.
        hint: Whether to look for the nearest name when it is missing, which takes a while in a large folder.

    Raises:
        ImageError: It is missing (with the nearest name in its folder), a folder, empty, or an address in the network.
    """
    name = str(path)
    if "://" in name[:12] or name.startswith("data:"):
        raise ImageError(name[:80], "is an address, and Ojito never goes online", "download it and give its path")
    path = Path(path)
    try:
        found = path.stat()
    except (OSError, ValueError):  # ValueError: a null character
        raise ImageError(name, "does not exist", _nearest(path) if hint else "check the path") from None
    if stat.S_ISDIR(found.st_mode):
        raise ImageError(name, "is a folder", "give a picture in it")
    if not stat.S_ISREG(found.st_mode):  # a pipe or a device could keep us waiting for ever
        raise ImageError(name, "is not a file", "give a picture file")
    if not found.st_size:
        raise ImageError(name, "is empty (0 bytes)", "save or copy it again")
    return path


def _nearest(path: Path) -> str:
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry in itertools.islice(entries, 10_000)]
    except (OSError, ValueError):
        return "check the path: its folder does not exist either"
    near = difflib.get_close_matches(path.name, names, 1)
    return f"did you mean {near[0]}?" if near else "check the path"


def _upright(image: Image.Image) -> Image.Image:
    """Turned as the camera was held."""
    try:
        turned = image.getexif().get(_ORIENTATION, 1) != 1
        return ImageOps.exif_transpose(image) if turned else image
    except Exception:  # noqa: BLE001 - broken EXIF data do not make a broken picture
        return image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return _grey(image)
    if image.has_transparency_data:
        colours = image if image.mode == "RGBA" else image.convert("RGBA")
        alpha = colours.getchannel("A")
        colours = colours.convert("RGB")  # lets go of the copy with alpha: the largest pictures fill the memory
        white = Image.new("RGB", colours.size, (255, 255, 255))
        white.paste(colours, mask=alpha)
        return white
    return image.convert("RGB")


def _grey(image: Image.Image) -> Image.Image:
    """Deep grey to 8 bits: whole numbers reach to 65,535, fractions to 1 or to 255. (Pillow's own convert cuts off.)"""
    values = np.array(image, dtype=np.float32)
    if image.mode != "F":
        values /= 257
    np.nan_to_num(values, copy=False)  # all in place, for the same reason
    if image.mode == "F" and values.max() <= 1:
        values *= 255
    values.round(out=values).clip(0, 255, out=values)
    return Image.fromarray(values.astype(np.uint8)).convert("RGB")
