"""The one caption that agrees most with the captions of many images: the best that can be said without looking.

CIDEr-D counts a run as often as both texts have it, min(c, r) times. Written as a feature for each time, "run, the k-th
time", that is a sum of products, and the score of a caption becomes linear in the references: they are added up once
for each length of a caption, and all candidates are compared with these sums in seconds, and exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ojito.errors import OjitoError
from ojito.evaluate.metrics.cider import WIDTH
from ojito.evaluate.metrics.ngrams import LONGEST, Run, runs
from ojito.evaluate.metrics.ptb import tokenize


@dataclass(frozen=True)
class Consensus:
    """The caption that agrees most with a set of references.

    Attributes:
        caption: The caption.
        cider: Its CIDEr-D, 0 to 10, if it is given for every image of the set.
        candidates: Different captions among which it was chosen.
    """

    caption: str
    cider: float
    candidates: int


def most_agreed(references: Sequence[Sequence[str]]) -> Consensus:
    """Choose among all references the caption with the highest CIDEr-D if it is given for every image.

    Args:
        references: The captions of each image; images without any are left out.

    Raises:
        OjitoError: There are no captions.

    Source: Vedantam et al. 2015, https://arxiv.org/abs/1411.5726, section 6, as `cider` has it.
    """
    references = [group for group in references if group]
    captions = sorted({caption for group in references for caption in group})
    if not captions:
        raise OjitoError("references", "hold no caption, and 1 or more are needed", "leave the baseline out")
    found = agreement(captions, references)
    best = int(np.argmax(found))
    return Consensus(captions[best], float(found[best]), len(captions))


def agreement(captions: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """Return the CIDEr-D (captions,) of each caption, if it is given for every image.

    Args:
        captions: Candidates.
        references: The captions of each image, at least one.
    """
    numbers: dict[tuple[Run, int], int] = {}
    theirs = [tokenize(text) for group in references for text in group]
    ours = [tokenize(text) for text in captions]
    known, tables = _features(theirs, numbers), _features(ours, numbers)
    sizes = np.array([len(group) for group in references])
    rarity = _rarity(known, numbers, np.repeat(np.arange(len(sizes)), sizes))
    share = np.repeat(1 / (len(sizes) * sizes), sizes)  # of each reference in the mean
    their_pairs, our_pairs = _pairs(theirs), _pairs(ours)
    found = np.zeros(len(ours))
    for table, own in zip(known, tables, strict=True):
        values = rarity[table.number] * table.count / _norms(table, rarity, len(theirs))[table.text] * share[table.text]
        weights = rarity[own.number] / _norms(own, rarity, len(ours))[own.text]
        for length in np.unique(our_pairs):
            near = np.exp(-((their_pairs - length) ** 2) / (2 * WIDTH**2))
            sums = np.bincount(table.number, values * near[table.text], minlength=len(numbers))
            alike = our_pairs[own.text] == length
            products = weights[alike] * sums[own.number[alike]]
            found += np.bincount(own.text[alike], products, minlength=len(ours))
    return 10 * found / LONGEST


class _Table(NamedTuple):
    """Features of texts, for runs of one length; each of shape (features of all texts,).

    Attributes:
        text: Whose it is.
        number: Which it is.
        count: How often its text has the run.
        first: Whether it stands for the first time that the text has it.
    """

    text: np.ndarray
    number: np.ndarray
    count: np.ndarray
    first: np.ndarray


def _features(texts: Sequence[Sequence[str]], numbers: dict[tuple[Run, int], int]) -> list[_Table]:
    """The features of texts for each length of runs; new ones are given numbers."""
    columns: list[list[tuple[int, int, int, bool]]] = [[] for _ in range(LONGEST)]
    for at, words in enumerate(texts):
        for table, counted in zip(columns, runs(words), strict=True):
            for run, count in counted.items():
                for time in range(1, count + 1):
                    table.append((at, numbers.setdefault((run, time), len(numbers)), count, time == 1))
    found = []
    for table in columns:
        text, number, count, first = np.array(table, dtype=np.int64).reshape(-1, 4).T
        found.append(_Table(text, number, count, first.astype(bool)))
    return found


def _rarity(known: Sequence[_Table], numbers: dict[tuple[Run, int], int], image: np.ndarray) -> np.ndarray:
    """Inverse document frequency of each feature: that of its run."""
    images = np.zeros(len(numbers))
    for table in known:
        there = np.unique(table.number * (int(image[-1]) + 1) + image[table.text])
        images += np.bincount(there // (int(image[-1]) + 1), minlength=len(numbers))
    rarity = math.log(int(image[-1]) + 1) - np.log(np.maximum(images, 1))
    for (run, time), number in numbers.items():
        if time > 1:
            rarity[number] = rarity[numbers[run, 1]]
    return rarity


def _norms(table: _Table, rarity: np.ndarray, texts: int) -> np.ndarray:
    """Length (texts,) of the weighed vector of each text; 1 where it is 0, and so is all that is divided by it."""
    squares = (table.count * rarity[table.number])[table.first] ** 2
    norms = np.sqrt(np.bincount(table.text[table.first], squares, minlength=texts))
    return np.where(norms > 0, norms, 1)


def _pairs(texts: Sequence[Sequence[str]]) -> np.ndarray:
    return np.array([max(len(words) - 1, 0) for words in texts])
