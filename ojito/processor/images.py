"""Any image to RGB. Whatever is wrong with it is an `ImageError`."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from PIL import Image, ImageFile, JpegImagePlugin

from ojito.config import ImageConfig
from ojito.processor.colours import to_rgb
from ojito.processor.image_files import ImageError, TooManyPixels, check_path, damaged, open_file
from ojito.records import StoredImage

if TYPE_CHECKING:
    from ojito.records import ImageLike

__all__ = ["ImageError", "OpenedImage", "TooManyPixels", "check_path", "image_size", "open_image", "open_scaled"]

EXACT_PIXELS = 20_000_000
"""Up to so many pixels a JPEG is decoded in full, as the references do; above, it may be decoded at a smaller scale."""

_ORIENTATION = 0x0112  # the EXIF tag
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = [_TURNS[orientation] for orientation in (5, 6, 7, 8)]
_LONGEST = 1_000_000  # pixels: resizing a line of n pixels takes up to 48 n bytes of weights, however small the result
# Objects that people hand in instead of an image, by module and class, and how an image is made of them.
_REMEDIES = {
    "numpy.ndarray": "give Image.fromarray(array), of (height, width, 3) uint8, with Pillow's Image",
    "torch.Tensor": "give Image.fromarray(tensor.permute(1, 2, 0).numpy()), of (3, height, width) uint8, with Pillow's "
    "Image",
    "builtins.bytearray": "give bytes(image)",
    "builtins.memoryview": "give bytes(image)",
    "builtins.list": "give one image",
    "builtins.tuple": "give one image",
    "builtins.NoneType": "give one, or a Sample without images",
}


@dataclass(frozen=True, eq=False)
class OpenedImage:
    """An image as RGB, upright, maybe at a smaller scale than the file has.

    Attributes:
        image: What to read.
        width: Of the image in full and upright, pixels.
        height: Of the image in full and upright, pixels.
    """

    image: Image.Image
    width: int
    height: int


def open_image(image: ImageLike, max_pixels: int = ImageConfig.max_pixels) -> Image.Image:
    """Any image as RGB in full, as viewers show it.

    It is upright (EXIF), in sRGB (colour profiles), over white where it is transparent, and of an animation the first
    frame. A PIL image that comes straight from `Image.open` is turned as its EXIF says. What `rotate`, `transpose`,
    `crop` or `convert` made of one is taken as it is: it still has the EXIF of the file, and nobody can tell whether it
    was turned since. Where it was not, `ImageOps.exif_transpose` turns it.

    Args:
        image: Path, encoded bytes or PIL image (which is not changed).
        max_pixels: Refuse images with more, before decoding them.

    Raises:
        TooManyPixels: It has more.
        ImageError: It cannot be read for another reason.
    """
    return open_scaled(image, max_pixels).image


def image_size(image: ImageLike, least_side: int = 0) -> tuple[int, int]:
    """Width and height of an image, upright, in pixels. Of a file, nothing is decoded but its header.

    Args:
        image: Path, encoded bytes or PIL image.
        least_side: As for `open_scaled`, whose image this is the size of.

    Raises:
        ImageError: It cannot be read.
    """
    if isinstance(image, Image.Image):
        return _upright(image)
    if not isinstance(image, (str, os.PathLike, bytes, StoredImage)):
        raise _not_an_image(image)
    name = f"{len(image):,} bytes" if isinstance(image, bytes) else str(image)
    try:
        if isinstance(image, (str, os.PathLike)):
            content: IO[bytes] = check_path(image).open("rb")
        else:
            content = io.BytesIO(image if isinstance(image, bytes) else image.read())
    except OSError as error:
        raise ImageError(name, f"cannot be read ({error.strerror or error})", "allow it (chmod +r)") from None
    with content:
        opened = open_file(content, name)
        _scale_down(opened, least_side)
        return _upright(opened)


def open_scaled(image: ImageLike, max_pixels: int = ImageConfig.max_pixels, least_side: int = 0) -> OpenedImage:
    """As `open_image`, and a large JPEG is decoded at a half, a quarter or an eighth where that is enough.

    Args:
        image: Path, encoded bytes or PIL image (which is not changed).
        max_pixels: Refuse images with more, before decoding them.
        least_side: A JPEG file of more than `EXACT_PIXELS` may be scaled down while either side keeps this many pixels;
            0 keeps the scale.

    Raises:
        TooManyPixels: It has more.
        ImageError: It cannot be read for another reason.
    """
    if isinstance(image, Image.Image):
        name = str(getattr(image, "filename", "") or f"PIL image ({image.mode}, {image.width} x {image.height})")
        return _decode(image, name, max_pixels, 0)
    if isinstance(image, bytes):
        name = f"{len(image):,} bytes"
        if not image:
            raise ImageError(name, "are not an image", "give the whole file's bytes")
        return _decode(open_file(io.BytesIO(image), name), name, max_pixels, least_side)
    if isinstance(image, StoredImage):
        name = str(image)
        try:
            content = image.read()
        except OSError as error:
            raise ImageError(name, f"cannot be read ({error.strerror or error})", "check the file it is in") from None
        return _decode(open_file(io.BytesIO(content), name), name, max_pixels, least_side)
    if isinstance(image, (str, os.PathLike)):
        name = os.fspath(image)
        try:
            file = check_path(image).open("rb")
        except OSError:
            raise ImageError(name, "may not be read", "allow it (chmod +r)") from None
        with file:
            return _decode(open_file(file, name), name, max_pixels, least_side)
    raise _not_an_image(image)


def _not_an_image(value: object) -> ImageError:
    kind = type(value)
    remedy = _REMEDIES.get(f"{kind.__module__}.{kind.__qualname__}", "give a path, encoded bytes or a PIL image")
    if hasattr(value, "read"):
        remedy = "give its path, or its bytes: file.read()"
    return ImageError(f"image of type {kind.__name__}", "is not an image", remedy)


def _decode(image: Image.Image, name: str, max_pixels: int, least_side: int) -> OpenedImage:
    _check_size(image, name, max_pixels)
    width, height = image.size
    _check_open(image, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of oddities that it copes with
            _scale_down(image, least_side)
            image.load()
            turn = _turn(image)
            rgb = to_rgb(image)
            del image  # while it is turned, a large image needs room for two, not for three
            rgb = rgb if turn is None else rgb.transpose(turn)
    except MemoryError:
        problem = f"has {width:,} x {height:,} pixels, more than the memory holds"
        raise ImageError(name, problem, "scale it down") from None
    except OSError as error:
        if error.errno is not None:  # from the disk, not from a decoder
            raise ImageError(name, f"cannot be read ({error.strerror})", "copy it to another disk") from error
        raise damaged(name) from error
    except Exception as error:  # on a broken file decoders raise almost anything
        raise damaged(name) from error
    return OpenedImage(rgb, *((height, width) if turn in _SIDEWAYS else (width, height)))


def _check_size(image: Image.Image, name: str, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        count = f"{width} x {height} = {width * height:,} pixels"
        problem = f"has {count}, more than the limit of {max_pixels:,}"
        raise TooManyPixels(name, problem, "scale it down or raise processor.image.max_pixels")
    if max(width, height) > _LONGEST:
        raise ImageError(name, f"has {width:,} x {height:,} pixels, more than {_LONGEST:,} on a side", "cut it up")
    if not width * height:
        raise ImageError(name, f"has {width} x {height} pixels", "give one with at least 1 x 1")


def _check_open(image: Image.Image, name: str) -> None:
    """Check that a PIL image was not closed by its caller."""
    if isinstance(image, ImageFile.ImageFile) and image.tile:
        file = getattr(image, "fp", None)
        if file is None or getattr(file, "closed", False):
            problem = "was closed before its pixels were read"
            raise ImageError(name, problem, "give its path, or call image.load() before it is closed")
        return
    try:
        with contextlib.suppress(AssertionError):  # of an image that is yet to be decoded
            image.im  # noqa: B018 - Pillow raises where the pixels were
    except ValueError:
        raise ImageError(name, "was closed", "give its path, or the image before it is closed") from None


def _scale_down(image: Image.Image, least_side: int) -> None:
    """Have a large JPEG decoded at a smaller scale, see `open_scaled`."""
    large = image.width * image.height > EXACT_PIXELS
    if isinstance(image, JpegImagePlugin.JpegImageFile) and least_side and large:
        image.draft(None, (least_side, least_side))


def _upright(image: Image.Image) -> tuple[int, int]:
    """Width and height of an image that may be yet to be turned."""
    return image.size[::-1] if _turn(image) in _SIDEWAYS else image.size


def _turn(image: Image.Image) -> Image.Transpose | None:
    """Return how to turn an image from a file upright, by its EXIF."""
    if not isinstance(image, ImageFile.ImageFile):  # see `open_image`
        return None
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - broken EXIF data do not make a broken image
        return None
