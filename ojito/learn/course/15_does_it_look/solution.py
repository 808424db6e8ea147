"""Lesson 15, solved. In the library: ojito/evaluate/controls.py, ojito/doctor/looking.py, ojito/training/grounding.py."""

from collections.abc import Callable

import torch
from torch import Tensor

PREDICTION = "c"


def exchange(n: int, seed: int) -> Tensor:
    """For each row, the row whose image it is shown: never itself, and each image once.

    Args:
        n: Rows, 2 or more.
        seed: Another one gives another exchange.

    Returns:
        (n,), numbers of rows.
    """
    generator = torch.Generator().manual_seed(seed)
    circle = torch.randperm(n, generator=generator)  # (n,): the rows in a random order, which is to be a circle
    partner = torch.empty_like(circle)
    partner[circle] = circle.roll(1)  # (n,): row circle[i] gets the image of its neighbour on the circle
    return partner


def grounding_gap(right: Tensor, exchanged: Tensor, draws: int = 10_000, seed: int = 0) -> tuple[float, float, float]:
    """What the right image is worth, and between which bounds that lies with 95%, by the bootstrap.

    Args:
        right: (n,), the loss of each row with its own image, nats a token.
        exchanged: (n,), the loss of the same rows, in the same order, with the image of another.
        draws: Sets of n rows that are drawn with replacement.
        seed: Of the drawing: the same one gives the same interval again.

    Returns:
        The mean gap, and the lower and the upper end of its interval. A gap above 0: the right image helps.
    """
    generator = torch.Generator().manual_seed(seed)
    gaps = exchanged - right  # (n,): of each row
    picks = torch.randint(len(gaps), (draws, len(gaps)), generator=generator)  # (draws, n): numbers of rows
    means = gaps[picks].mean(dim=1)  # (draws,): the mean gap of each set
    low, high = means.quantile(torch.tensor([0.025, 0.975])).tolist()
    return gaps.mean().item(), low, high


def looks(
    losses: Callable[[Tensor, Tensor], Tensor], images: Tensor, texts: Tensor, least: float = 0.01, seed: int = 0
) -> str:
    """Whether a model looks at its images: "yes", "no", or "unclear".

    Args:
        losses: The model: takes images (n, ...) and texts (n, ...), and returns the loss of each row, (n,).
        images: (n, ...), the i-th belongs to the i-th text.
        texts: (n, ...).
        least: The smallest gap that would be worth having, nats a token.
        seed: Of the exchange.

    Returns:
        "yes" if the whole interval of the gap is above 0, else "no" if the whole of it is below `least`.
    """
    right = losses(images, texts)  # (n,)
    exchanged = losses(images[exchange(len(images), seed)], texts)  # (n,)
    gap, low, high = grounding_gap(right, exchanged)
    sees = low > 0  # whether the whole interval is above 0
    blind = high < least  # whether the whole interval is below `least`
    return "yes" if sees else "no" if blind else "unclear"
