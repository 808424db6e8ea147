"""Controls: the same questions without the image, or with less of it, which show what a model knows without looking.

none        no image at all
blank       an image of the mean colour
exchanged   the image of another row
half        half of the image's squares are of the mean colour
shuffled    the image's squares are in another order: what is there is left, where it is not
blurred     colours and large forms are left
"""

from __future__ import annotations

import dataclasses
import io
import random
import sys
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, get_args

from PIL import Image, ImageFilter

from ojito.errors import OjitoError, nearest
from ojito.processor.images import open_image
from ojito.records import Sample, StoredImage, image_key

if TYPE_CHECKING:
    from ojito.pipeline import Pipeline
    from ojito.records import ImageLike

Control = Literal["blank", "exchanged", "none", "half", "shuffled", "blurred"]
CONTROLS: tuple[Control, ...] = get_args(Control)

_SQUARES = 4  # along each side of an image
_BLUR = 12  # shorter sides of an image in the radius of the blur


def check_controls(names: Sequence[str]) -> tuple[Control, ...]:
    """Return names as those of controls.

    Raises:
        OjitoError: One is not known.
    """
    for name in names:
        if name not in CONTROLS:
            raise OjitoError("controls", f"{name!r} is not one of {', '.join(CONTROLS)}", nearest(name, CONTROLS))
    return tuple(control for control in CONTROLS if control in names)


def altered(control: Control, samples: Sequence[Sample], pipe: Pipeline, seed: int = 0) -> list[Sample | None]:
    """Return each sample as a control asks it; None where there is no other image to exchange its own with.

    Args:
        control: Its name.
        samples: Samples with images.
        pipe: The model.
        seed: Of the exchange, of the order of squares, and of those that are left.
    """
    if control == "none":
        return [_without_image(sample) for sample in samples]
    if control == "blank":
        return [*blank_images(samples, pipe)]
    if control == "exchanged":
        partners = exchanged_images(samples, seed)
        return [
            dataclasses.replace(sample, images=images) if images else None
            for sample, images in zip(samples, partners, strict=True)
        ]
    numbers: dict[Hashable, int] = {}  # one image is altered alike for every question about it
    changed: list[Sample | None] = []
    for sample in samples:
        of_images = [numbers.setdefault(image_key(image), len(numbers)) for image in sample.images]
        images = [
            _Altered(image, image_key(image), control, _mean_colour(pipe), f"{seed} {number}")
            for image, number in zip(sample.images, of_images, strict=True)
        ]
        changed.append(dataclasses.replace(sample, images=images))
    return changed


def blank_image(pipe: Pipeline) -> Image.Image:
    """Image of the mean colour, zero everywhere once it is normalized."""
    return Image.new("RGB", (32, 32), _mean_colour(pipe))


def blank_images(samples: Sequence[Sample], pipe: Pipeline) -> list[Sample]:
    """Return each sample with blank images, as many as it has."""
    blank = blank_image(pipe)
    return [dataclasses.replace(sample, images=[blank] * len(sample.images)) for sample in samples]


def exchanged_images(samples: Sequence[Sample], seed: int = 0) -> list[Sequence[ImageLike]]:
    """Return for each sample the images of another: never its own, and as many. Equal images stay together.

    A sample without a partner to exchange with has none.

    Args:
        samples: Samples with images.
        seed: Seed of the exchange.
    """
    owners: dict[int, dict[tuple[object, ...], Sequence[ImageLike]]] = {}  # by number of images
    for sample in samples:
        owners.setdefault(len(sample.images), {}).setdefault(image_keys(sample.images), sample.images)
    other: dict[tuple[object, ...], Sequence[ImageLike]] = {}
    for group in owners.values():
        keys = list(group)
        random.Random(f"{seed} exchange").shuffle(keys)
        if len(keys) > 1:
            # One step on along a shuffled circle is a permutation that leaves none in place.
            other.update((key, group[keys[i - 1]]) for i, key in enumerate(keys))
    return [other.get(image_keys(sample.images), ()) for sample in samples]


def image_keys(images: Sequence[ImageLike]) -> tuple[object, ...]:
    """Key that is equal for the same files or the same objects."""
    return tuple(image_key(image) for image in images)


@dataclass(frozen=True)
class _Altered(StoredImage):
    """An image that is changed when it is read.

    Attributes:
        image: As it was.
        key: Of it.
        control: What is done to it.
        colour: Of what is left out.
        seed: Of the squares.
    """

    image: ImageLike = field(compare=False)
    key: Hashable
    control: Control
    colour: tuple[int, ...]
    seed: str

    def read(self) -> bytes:
        """Return the changed image, as a PNG."""
        image = open_image(self.image, max_pixels=sys.maxsize)  # the model has read it: its limit was kept
        buffer = io.BytesIO()
        self._changed(image.convert("RGB")).save(buffer, "PNG")
        return buffer.getvalue()

    def _changed(self, image: Image.Image) -> Image.Image:
        if self.control == "blurred":
            return image.filter(ImageFilter.GaussianBlur(min(image.size) / _BLUR))
        draw, boxes = random.Random(self.seed), _squares(image.size)
        changed = image.copy()
        if self.control == "half":
            for box in draw.sample(boxes, len(boxes) // 2):
                changed.paste(self.colour, box)
            return changed
        order = [*boxes]
        while order == boxes and len(boxes) > 1:
            draw.shuffle(order)
        for box, other in zip(boxes, order, strict=True):
            changed.paste(image.crop(other).resize((box[2] - box[0], box[3] - box[1])), box[:2])
        return changed


def _squares(size: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """Left, top, right and bottom of the squares, without those that a tiny image does not have."""
    across, down = ([round(i * side / _SQUARES) for i in range(_SQUARES + 1)] for side in size)
    rows, columns = pairwise(down), [*pairwise(across)]
    return [(x, y, right, bottom) for y, bottom in rows for x, right in columns if x < right and y < bottom]


def _without_image(sample: Sample) -> Sample:
    turns = tuple(dataclasses.replace(turn, prompt=turn.prompt.replace("<image>", "").strip()) for turn in sample.turns)
    return dataclasses.replace(sample, images=(), turns=turns)


def _mean_colour(pipe: Pipeline) -> tuple[int, ...]:
    return tuple(round(255 * channel) for channel in pipe.processor.config.image.mean)
