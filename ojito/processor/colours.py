"""An image of any mode as RGB, as viewers show it: colour profiles, deep grey, transparency over white."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageCms

WHITE = (255, 255, 255)
_STRIP = 2_000_000  # pixels that are converted at once: a conversion has several copies on the way
_SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}  # modes that a profile may be of, in ICC's words
_SAME = 2  # of 255: a profile that changes no colour by more is sRGB itself, and the pixels stay as they are
_OTHER_BYTE_ORDERS = ("I;16L", "I;16B", "I;16N")  # which Pillow neither crops nor converts


def to_rgb(image: Image.Image) -> Image.Image:
    """The image as RGB: the same object if it is that already.

    Deep grey (modes I;16, I, F): whole numbers reach to 255, or to 65,535 when any is above 255; fractions to 1. A
    colour profile is converted to sRGB; a broken one, or one of another kind of colours, changes nothing.

    Args:
        image: Loaded; it is not changed.

    Raises:
        ValueError: Pillow cannot convert the mode.
    """
    if image.mode in _OTHER_BYTE_ORDERS:
        image = _native_order(image)
    profile = image.info.get("icc_profile")
    profile = profile if isinstance(profile, bytes) else b""
    if image.mode == "RGB" and not image.has_transparency_data and _transform(profile, "RGB") is None:
        return image
    white_value = _white_value(image) if _is_deep(image) else 0
    if image.width * image.height <= _STRIP:
        return _convert(image, profile, white_value)
    result = Image.new("RGB", image.size)
    for top, strip in _strips(image):
        result.paste(_convert(strip, profile, white_value), (0, top))
    return result


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """The image in pieces over its whole width, each with the row that it begins at."""
    rows = max(1, _STRIP // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _convert(image: Image.Image, profile: bytes, white_value: int) -> Image.Image:
    alpha: Image.Image | None = None
    if _is_deep(image):
        base, alpha = _grey(image, white_value)
    elif image.has_transparency_data:
        colours = image.convert("LA") if image.mode == "La" else image
        colours = colours.convert("RGBA")
        alpha = colours.getchannel("A")
        base = colours.getchannel("R") if image.mode in ("1", "L", "LA", "La") else colours.convert("RGB")
    elif image.mode in ("1", "L"):
        base = image.convert("L")
    else:
        base = image if image.mode == "CMYK" else image.convert("RGB")
    transform = _transform(profile, base.mode)
    # A new image without the profile in its info, which is no longer true.
    rgb = base.convert("RGB") if transform is None else transform.apply(base)
    if alpha is None:
        return rgb
    over_white = Image.new("RGB", rgb.size, WHITE)
    over_white.paste(rgb, mask=alpha)
    return over_white


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith("I") or image.mode == "F"


def _native_order(image: Image.Image) -> Image.Image:
    order = {"I;16L": "<u2", "I;16B": ">u2"}.get(image.mode, "=u2")
    values = np.frombuffer(image.tobytes(), order).reshape(image.height, image.width)
    native = Image.fromarray(values.astype(np.uint16))
    native.info = dict(image.info)
    return native


def _white_value(image: Image.Image) -> int:
    """The number that stands for white: 1, 255 or 65,535."""
    highest = max(float(_finite(np.array(strip)).max(initial=0)) for _, strip in _strips(image))
    if image.mode != "F":
        return 255 if highest <= 255 else 65535
    # Resizing goes a little beyond the whitest pixel, which must not turn all others black.
    return 1 if highest <= 1 else 255 if highest < 512 else 65535


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)] if values.dtype.kind == "f" else values


def _grey(image: Image.Image, white_value: int) -> tuple[Image.Image, Image.Image | None]:
    """Deep grey as 8 bits, and what is not transparent. (Pillow's own convert cuts off.)"""
    values = np.array(image, dtype=np.float32)
    clear = image.info.get("transparency")
    alpha = None
    if isinstance(clear, int):
        alpha = Image.fromarray((values != clear).astype(np.uint8) * np.uint8(255))
    if white_value == 65535:
        values /= 257
    np.nan_to_num(values, copy=False)
    if white_value == 1:
        values *= 255
    values.round(out=values).clip(0, 255, out=values)
    return Image.fromarray(values.astype(np.uint8)), alpha


@functools.lru_cache(8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From the profile's colours to sRGB; None where nothing is to be done, or nothing can be."""
    if not profile or mode not in _SPACES:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != _SPACES[mode]:
            return None
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        if mode == "CMYK":
            return transform
        samples = _samples(mode)
        seen = np.asarray(transform.apply(samples)).astype(int)
        changes = np.abs(seen - np.asarray(samples.convert("RGB"))).max()
    except Exception:  # noqa: BLE001 - a broken profile does not make a broken image
        return None
    return transform if changes > _SAME else None


def _samples(mode: str) -> Image.Image:
    """Colours all over the range: where a profile is not sRGB, some of them change."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3))
