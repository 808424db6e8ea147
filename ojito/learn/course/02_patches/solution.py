"""Lesson 2, solved. In the library: ojito/processor/pixels.py and ojito/model/vit.py."""

import torch
from torch import Tensor

PREDICTION = "b"


def to_pixels(image: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """An image as an encoder reads it: (x / 255 - mean) / std, channels first.

    Args:
        image: (h, w, 3) uint8: red, green and blue from 0 to 255.
        mean: (3,), of each channel, for values from 0 to 1.
        std: (3,), standard deviation of each channel, likewise.

    Returns:
        (3, h, w) float32.
    """
    scaled = image / 255  # (h, w, 3): from 0 to 1
    normalized = (scaled - mean) / std  # (h, w, 3): about 0, about 1 wide
    return normalized.permute(2, 0, 1)  # (3, h, w): channels first


def patchify(images: Tensor, size: int) -> Tensor:
    """Cut images into squares, in reading order, each as one row of numbers.

    Args:
        images: Pixels (N, 3, h, w); `size` divides h and w.
        size: Side of a patch, pixels.

    Returns:
        (N, P, 3 * size * size): inside a patch all of its red, row by row, then green, then blue.
    """
    N, c, h, w = images.shape
    cut = images.reshape(N, c, h // size, size, w // size, size)  # six axes: both sides cut in two
    ordered = cut.permute(0, 2, 4, 1, 3, 5)  # first what says which patch, then what says where in it
    return ordered.reshape(N, -1, c * size * size)  # (N, P, 3 * size * size)


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
    hidden = linear(patches, weights["patch"], weights["patch_bias"])  # (N, P, D): what each patch shows
    return hidden + weights["positions"]  # (N, P, D): and where it stands
