"""The aspect ratio of images, and what becomes of those that are far from the squares that a vision tower reads."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from ojito.config import ImageConfig
from ojito.data.source import draw
from ojito.processor.images import ImageError, image_size
from ojito.records import Sample

FAR = 2.0
"""Aspect ratio from which on images are far from square. Photographs have 1.3 to 1.8 (4:3, 3:2, 16:9)."""

_LOOKED_AT = 100  # rows


def aspect_ratio(sizes: Sequence[tuple[int, int]]) -> float:
    """Return the longer side over the shorter one, the median of images; 1 of none.

    Args:
        sizes: Width and height of each, pixels.
    """
    return statistics.median([max(size) / min(size) for size in sizes] or [1.0])


def aspect_ratio_of(rows: Sequence[Sample]) -> float:
    """Return the aspect ratio of the images of a hundred rows, drawn from all. No more than headers are read.

    Args:
        rows: The rows.
    """
    sizes = []
    for number in draw(len(rows), min(_LOOKED_AT, len(rows)), "aspect ratio"):
        for image in rows[number].images:
            try:
                sizes.append(image_size(image))
            except ImageError:  # the loader says so, when it comes to this row
                continue
    return aspect_ratio(sizes)


def distortion(aspect: float, image: ImageConfig, size: int) -> tuple[str, str]:
    """Return what squares lose of images, and the settings that keep it; both empty of images that are about square.

    Args:
        aspect: Aspect ratio of the images.
        image: How an image becomes squares.
        size: Side of a square, pixels.
    """
    if aspect < FAR or image.fit == "tiles":
        return "", ""
    lost = {
        "squash": f"squashed into a square, they have shapes {aspect:.1f} times as narrow or as flat",
        "crop": f"of each, the middle {1 / aspect:.0%} alone is seen",
        "pad": f"{1 - 1 / aspect:.0%} of each square is padding",
    }[image.fit]
    # Rounded down: an image that is a little higher than one row of squares would be cut into two rows.
    tiles = min(int(aspect), ImageConfig.MOST_LONGEST_SIDE // size)
    settings = f"processor.image.fit=tiles processor.image.longest_side={tiles * size} processor.prompt.whole=none"
    return (
        f"the aspect ratio of the images is {aspect:.1f} (median): {lost}",
        f"{settings} cuts each into {tiles} squares, which are {tiles} times the visual tokens",
    )
