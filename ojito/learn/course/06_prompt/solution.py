"""Lesson 6, solved. In the library: ojito/processor/prompts.py."""

from collections.abc import Callable

import torch
from torch import Tensor

PREDICTION = "b"
IGNORE = -100  # a label where nothing is to be learned; cross_entropy's ignore_index


def encode_question(encode: Callable[[str], list[int]], question: str, separator: str) -> list[int]:
    """Ids of a question and of what follows it, whatever the question ends in.

    Args:
        encode: The tokenizer: text to ids.
        question: As somebody typed it.
        separator: What follows every question, such as a line break.
    """
    return encode(question) + encode(separator)  # a list of ids that always ends in the separator's own


def prompt(image_token: int, count: int, bos: int, question: list[int], separator: list[int]) -> list[int]:
    """All that is read before the answer begins.

    Args:
        image_token: Id of the placeholder.
        count: Visual tokens of the image.
        bos: Id that begins a text.
        question: Ids.
        separator: Ids.
    """
    return [image_token] * count + [bos] + question + separator  # in PaliGemma's order


def row(prompt: list[int], answer: list[int], eos: int) -> tuple[list[int], list[int]]:
    """Ids and labels of a row for training.

    Args:
        prompt: Ids.
        answer: Ids.
        eos: Id that ends an answer.

    Returns:
        The ids; and the labels, as many, not shifted: what is to be learned stands at its own place, elsewhere IGNORE.
    """
    ids = prompt + answer + [eos]  # all of the row
    labels = [IGNORE] * len(prompt) + answer + [eos]  # as many
    return ids, labels


def shift(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits with the labels that they predict, where there is something to be learned.

    Args:
        logits: (T, V), of each position.
        labels: (T,), those of `row` as a tensor.

    Returns:
        M logits (M, V), and M labels (M,), none of them IGNORE.
    """
    predicting = logits[:-1]  # (T - 1, V): the last position's logits are about an id that the row does not have
    predicted = labels[1:]  # (T - 1,): nothing predicts the first id
    learned = predicted != IGNORE  # (T - 1,): True where something is to be learned
    return predicting[learned], predicted[learned]
