"""The one caption that agrees most with the captions of many images: the best that can be said without looking.

CIDEr-D counts a run as often as both texts have it, min(c, r) times. Written as a feature for each time, "run, the k-th
time", that is a sum of products, and the score of a caption becomes linear in the references: they are added up once
for each length of a caption, and all candidates are compared with these sums, exactly and in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ojito.errors import OjitoError
from ojito.evaluate.metrics.cider import WIDTH
from ojito.evaluate.metrics.ngrams import LONGEST
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
    captions = [caption for group in references for caption in group]
    if not captions:
        raise OjitoError("references", "hold no caption, and 1 or more are needed", "leave the baseline out")
    found = agreement(references)
    best = min(range(len(captions)), key=lambda at: (-round(float(found[at]), 9), captions[at]))
    return Consensus(captions[best], float(found[best]), len(set(captions)))


def agreement(references: Sequence[Sequence[str]]) -> np.ndarray:
    """Return the CIDEr-D (captions,) of each reference, in their order, if it is given for every image.

    Args:
        references: The captions of each image, at least one.
    """
    texts = [tokenize(text) for group in references for text in group]
    sizes = np.array([len(group) for group in references])
    image = np.repeat(np.arange(len(sizes)), sizes)
    share = 1 / (len(sizes) * sizes[image])  # of each reference in the mean
    pairs = np.array([max(len(words) - 1, 0) for words in texts])
    found = np.zeros(len(texts))
    for text, run in _runs(texts):
        (text, run), count = _counted(text, run)
        images = np.bincount(_counted(image[text], run)[0][1])
        weight = math.log(len(sizes)) - np.log(images[run])
        norm = np.sqrt(np.bincount(text, (count * weight) ** 2, minlength=len(texts)))
        weight = np.divide(weight, norm[text], out=np.zeros(len(weight)), where=norm[text] > 0)
        # A feature for each time that a text has the run.
        at = np.repeat(np.arange(len(run)), count)
        time = np.arange(len(at)) - np.repeat(np.cumsum(count) - count, count)
        feature = np.unique(run[at] * (count.max(initial=0) + 1) + time, return_inverse=True)[1]
        ours, theirs, owner = weight[at], (weight * count * share[text])[at], text[at]
        for length in np.unique(pairs):
            alike = pairs[owner] == length
            near = np.exp(-((pairs - length) ** 2) / (2 * WIDTH**2))
            sums = np.bincount(feature, theirs * near[owner])
            found += np.bincount(owner[alike], ours[alike] * sums[feature[alike]], minlength=len(texts))
    return 10 * found / LONGEST


def _runs(texts: Sequence[Sequence[str]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each length of runs: the text and the number of every run, as often as it is there."""
    numbers: dict[str, int] = {}
    words = np.array([numbers.setdefault(word, len(numbers)) for text in texts for word in text], dtype=np.int64)
    lengths = np.array([len(text) for text in texts])
    text = np.repeat(np.arange(len(texts)), lengths)
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(words))  # words from here to the end of the text
    run = words
    for length in range(1, LONGEST + 1):
        if length > 1:  # a run and the word after it
            after = np.roll(words, 1 - length)
            run = np.unique(run * max(len(numbers), 1) + after, return_inverse=True)[1]
        whole = left >= length
        yield text[whole], np.unique(run[whole], return_inverse=True)[1]


def _counted(owner: np.ndarray, run: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """The different pairs of an owner and a run, and how often each is there."""
    many = int(run.max(initial=0)) + 1
    pairs, counts = np.unique(owner * many + run, return_counts=True)
    return (pairs // many, pairs % many), counts
