"""Lesson 2: patches. Read lesson.md first; `ojito learn check` says whether it is right, and what is wrong."""

import torch
from torch import Tensor

PREDICTION = ""  # a, b or c: your answer to the question at the end of lesson.md


def to_pixels(image: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """An image as an encoder reads it: (x / 255 - mean) / std, channels first.

    Args:
        image: (h, w, 3) uint8: red, green and blue from 0 to 255.
        mean: (3,), of each channel, for values from 0 to 1.
        std: (3,), standard deviation of each channel, likewise.

    Returns:
        (3, h, w) float32.
    """
    scaled = ...  # (h, w, 3): from 0 to 1
    normalized = ...  # (h, w, 3): about 0, about 1 wide
    return ...  # (3, h, w): channels first


def patchify(images: Tensor, size: int) -> Tensor:
    """Cut images into squares, in reading order, each as one row of numbers.

    Args:
        images: Pixels (N, 3, h, w); `size` divides h and w.
        size: Side of a patch, pixels.

    Returns:
        (N, P, 3 * size * size): inside a patch all of its red, row by row, then green, then blue.
    """
    N, c, h, w = images.shape
    cut = ...  # six axes: both sides cut in two
    ordered = ...  # first what says which patch, then what says where in it
    return ...  # (N, P, 3 * size * size)


def embed_patches(images: Tensor, weights: dict[str, Tensor], size: int) -> Tensor:
    """Each patch as a vector that also says where it stands.

    Args:
        images: Pixels (N, 3, h, w).
        weights: "patch" (D, 3 * size * size) as `torch.nn.functional.linear` takes it, its bias "patch_bias" (D,), and
            "positions" (P, D), a vector for each place.
        size: Side of a patch, pixels.

    Returns:
        (N, P, D).
    """
    linear = torch.nn.functional.linear
    patches = patchify(images, size)  # (N, P, 3 * size * size)
    hidden = ...  # (N, P, D): what each patch shows
    return ...  # (N, P, D): and where it stands
