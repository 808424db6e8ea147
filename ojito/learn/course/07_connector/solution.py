"""Lesson 7, solved. In the library: ojito/model/connectors.py and ojito/model/vlm.py."""

import torch
from torch import Tensor

PREDICTION = "b"


def pixel_shuffle(patches: Tensor, factor: int) -> Tensor:
    """Fold each block of factor x factor neighbouring patches into one token.

    Args:
        patches: Of a square image, in reading order (N, P, D).
        factor: Sides of a block, in patches; it divides the grid's side.

    Returns:
        (N, P / factor^2, D factor^2): blocks in reading order; in each token, the block's patches in reading order.
    """
    N, P, D = patches.shape
    side = int(P**0.5) // factor  # blocks in a row, and rows of blocks
    blocks = patches.view(N, side, factor, side, factor, D)  # rows of blocks, rows in a block, and so for columns
    blocks = blocks.transpose(2, 3)  # (N, side, side, factor, factor, D): which block first, then where in it
    return blocks.reshape(N, side * side, factor * factor * D)


def project(patches: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """Patches in the decoder's width.

    Args:
        patches: (N, P, D).
        weights: "connector" (D', D), as `torch.nn.functional.linear` takes it, and "connector_bias" (D',).

    Returns:
        (N, P, D').
    """
    return torch.nn.functional.linear(patches, weights["connector"], weights["connector_bias"])


def merge(embeddings: Tensor, visual: Tensor, is_image: Tensor) -> Tensor:
    """Embeddings of a text, with the visual tokens, in their order, in place of the placeholders.

    Args:
        embeddings: Of all tokens (B, T, D), multiplied by sqrt(D) already; what stands at placeholders means nothing.
        visual: Visual tokens (B, P, D), those of one image for each row.
        is_image: (B, T), True at placeholders.

    Returns:
        (B, T, D).

    Raises:
        ValueError: A row has more or fewer placeholders than P; the message names both counts.
    """
    counts = is_image.sum(dim=1)  # (B,): placeholders of each row
    wrong = bool((counts != visual.shape[1]).any())  # whether any row has another number than P
    if wrong:
        raise ValueError(f"{counts.tolist()} placeholders in the rows, but {visual.shape[1]} visual tokens for each")
    return embeddings.masked_scatter(is_image[..., None], visual)
