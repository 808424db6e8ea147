"""CIDEr: how much a caption says what people say of the image, where words that all images have in common count little.

Each run of up to four words is weighed by how few images have it in a reference (its inverse document frequency). The
score is the cosine between the weighed runs of the caption and of each reference, in the mean over references and the
four lengths, times ten.

What papers and COCO's evaluation print as "CIDEr" is CIDEr-D: a run counts no more often than the reference has it, and
a caption whose length differs from the reference's loses (a Gaussian of 6 words). Repeating a rare word gains nothing.

Source: Vedantam et al. 2015, https://arxiv.org/abs/1411.5726, sections 3 and 6.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Literal, NamedTuple

import numpy as np

from ojito.evaluate.metrics.ngrams import Run, runs, tokenized
from ojito.evaluate.metrics.score import Score

WIDTH = 6.0
"""Standard deviation of the Gaussian that compares lengths, in words."""


class Weighed(NamedTuple):
    """A caption's runs of each length, weighed; the length of each such vector; and how many pairs of words it has."""

    runs: list[dict[Run, float]]
    norms: list[float]
    pairs: int


def cider(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], variant: Literal["d", "original"] = "d"
) -> Score:
    """Return CIDEr, 0 to 10; papers print it times 100.

    Args:
        hypotheses: A caption for each image.
        references: What people wrote of each image. All of them say which words are common: the score of one image
            depends on the others, and that of a single one is 0.
        variant: "d" is CIDEr-D, the usual one; "original" neither clips counts nor compares lengths.

    Raises:
        OjitoError: The references do not fit the captions.
    """
    texts, groups = tokenized(hypotheses, references)
    weights = Weights([[runs(words) for words in group] for group in groups])
    scores = [
        weights.score(weights.weigh(runs(words)), reference, variant == "d")
        for words, reference in zip(texts, weights.references, strict=True)
    ]
    return Score.mean(np.array(scores))


class Weights:
    """How rare each run of words is among the images of a data set, and its references weighed by that.

    Args:
        counted: For each image, the runs of each of its references.
    """

    def __init__(self, counted: Sequence[Sequence[list[Counter[Run]]]]) -> None:
        images: Counter[Run] = Counter()
        for group in counted:
            images.update(set(chain.from_iterable(chain.from_iterable(group))))
        self._everywhere = math.log(max(len(counted), 1))
        self._rarity = {run: self._everywhere - math.log(count) for run, count in images.items()}
        self.references = [[self.weigh(one) for one in group] for group in counted]

    def weigh(self, counted: list[Counter[Run]]) -> Weighed:
        """Weigh the runs of a caption; those that no reference has count as rare as can be."""
        weighed = [{run: n * self._rarity.get(run, self._everywhere) for run, n in one.items()} for one in counted]
        norms = [math.sqrt(sum(weight * weight for weight in one.values())) for one in weighed]
        return Weighed(weighed, norms, counted[1].total())

    def score(self, caption: Weighed, references: Sequence[Weighed], is_d: bool = True) -> float:
        """Return CIDEr, 0 to 10, of a caption beside the references of its image."""
        return 10 * sum(_similarity(caption, one, is_d) for one in references) / len(references)


def _similarity(caption: Weighed, reference: Weighed, is_d: bool) -> float:
    total = 0.0
    for ours, theirs, norm, other in zip(caption.runs, reference.runs, caption.norms, reference.norms, strict=True):
        if norm and other:
            shared = ours.keys() & theirs.keys()
            dot = sum((min(ours[run], theirs[run]) if is_d else ours[run]) * theirs[run] for run in shared)
            total += dot / (norm * other)
    mean = total / len(caption.norms)
    # COCO's scorer takes the pairs of words for the length.
    return mean * math.exp(-((caption.pairs - reference.pairs) ** 2) / (2 * WIDTH**2)) if is_d else mean
