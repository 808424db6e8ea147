"""What a frozen vision tower makes of the images of a data set, kept from before the first step."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ojito.processor import ImageError
from ojito.processor.tiles import Encoded
from ojito.records import Sample, image_key

if TYPE_CHECKING:
    from ojito.records import ImageLike

_DTYPE = torch.float16  # half of the memory; patches of a trained tower are far from its limits


class Features:
    """Patches of every view of every image.

    Args:
        images: Each once.
        views: Views of each, at least 1.
        shape: (P, D) of a view's patches.
        most: Bytes that may lie in memory. What is more lies in `path`.
        path: A file, which is replaced, for more than that.

    Attributes:
        views: Views of each image.
    """

    def __init__(
        self, images: Sequence[ImageLike], views: int, shape: tuple[int, int], most: int, path: Path | None = None
    ) -> None:
        self.views = views
        self._rows = {image_key(image): row for row, image in enumerate(images)}
        self._problems: dict[Hashable, ImageError] = {}
        sizes = (len(images), views, *shape)
        self.in_file = path is not None and math.prod(sizes) * _DTYPE.itemsize > most
        if self.in_file and path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            flat = torch.from_file(str(path), shared=True, size=math.prod(sizes), dtype=_DTYPE)
            self._patches = flat.view(sizes)
            with contextlib.suppress(OSError):  # Windows keeps the name of an open file
                path.unlink()  # the memory is mapped: the space is free again when the run ends, however it ends
        else:
            self._patches = torch.empty(sizes, dtype=_DTYPE)

    def put(self, image: ImageLike, patches: Tensor) -> None:
        """Keep the patches (views, P, D) of an image."""
        self._patches[self._rows[image_key(image)]] = patches.to(self._patches)

    def put_problem(self, image: ImageLike, problem: ImageError) -> None:
        """Keep why an image cannot be read, for the rows that show it."""
        self._problems[image_key(image)] = problem

    def read(self, image: ImageLike, view: int = 0) -> Encoded:
        """The patches of one view of an image.

        Raises:
            ImageError: It cannot be read.
        """
        key = image_key(image)
        if key in self._problems:
            raise self._problems[key]
        return Encoded(self._patches[self._rows[key], view])


def distinct_images(samples: Iterable[Sample]) -> list[ImageLike]:
    """Each image of these samples once, in the order in which they first come."""
    found: dict[Hashable, ImageLike] = {}
    for sample in samples:
        for image in sample.images:
            found.setdefault(image_key(image), image)
    return list(found.values())
