"""Lesson 5: images and their captions. Read lesson.md first; `ojito learn check` says what is wrong."""

import torch
from torch import Tensor

PREDICTION = ""  # a, b or c: your answer to the question at the end of lesson.md


def normalize(x: Tensor) -> Tensor:
    """Vectors of length 1, in the same directions.

    Args:
        x: (B, D), no row of zeros.

    Returns:
        (B, D).
    """
    lengths = ...  # (B, 1): of each row
    return ...  # (B, D)


def siglip_loss(images: Tensor, texts: Tensor, log_scale: Tensor, bias: Tensor) -> Tensor:
    """SigLIP's loss: for each pair of an image and a text, whether they belong together.

    Args:
        images: Vectors of the images (B, D), of any length.
        texts: Vectors of their captions (B, D), of any length; row i belongs to image i.
        log_scale: (), logarithm of the factor on the cosines, learned.
        bias: (), added to the scaled cosines, learned.

    Returns:
        (): the sum over all pairs, divided by B. Gradients of it reach all four arguments.
    """
    B = len(images)
    logits = ...  # (B, B): row image, column text
    signs = ...  # (B, B): 1 where they belong together, -1 where they do not
    each = ...  # (B, B): loss of each pair
    return ...  # (): one number


def nearest_text(images: Tensor, texts: Tensor) -> Tensor:
    """For each image, the text whose direction is the nearest: a classifier that was never trained to be one.

    Args:
        images: (B, D), of any length.
        texts: (S, D), of any length: one for each class.

    Returns:
        (B,) int64: rows of `texts`.
    """
    cosines = ...  # (B, S)
    return ...  # (B,): which row of `texts`
