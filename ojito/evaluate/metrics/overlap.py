"""Word overlap of a caption with its references, and two baselines that do not look at the image.

The score of a caption is that of the reference it is nearest to. Against one reference, the words that both share
are counted, a repeated word as often as both have it; with `c` words in the caption, `r` in the reference and `s`
shared, F1 = 2s / (c + r). The same is done for pairs of neighbouring words, and the mean of both is the overlap.

    a red ball on grass   5 words   4 pairs
    a ball on grass       4 words   3 pairs    shared: 4 words, 2 pairs    (8/9 + 4/7) / 2 = 0.73

Identical words give 1, no shared word gives 0. Where a script has no spaces between words, its characters are the
words, and so are symbols and emoji. Pairs make the order count; saying little loses on the reference's side
of F1, and saying much on the caption's. It is a quick score for comparing with the baselines here. The published
metrics (BLEU, CIDEr) also weigh longer runs of words, or rare ones.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ojito.errors import OjitoError
from ojito.evaluate.metrics.words import words
from ojito.records import Sample, Turn

_Grams = tuple[Counter[Any], Counter[Any]]  # words, and pairs of neighbours


def overlap(caption: str, references: Iterable[str]) -> float:
    """Word overlap with the nearest reference, 0 to 1.

    Raises:
        OjitoError: No references.
    """
    grams = _grams(caption)
    scores = [_overlap(grams, _grams(reference)) for reference in references]
    if not scores:
        raise OjitoError("references", f"the caption {caption!r} has none to compare with", "give at least one")
    return max(scores)


def is_caption(turn: Turn) -> bool:
    """Whether a turn asks for a caption."""
    return turn.wants_caption


@dataclass(frozen=True)
class Baselines:
    """Scores of captions that were chosen without looking.

    Attributes:
        constant: The training caption that describes the training images best, given for every image.
        constant_overlap: Its mean overlap with the references.
        random_overlap: Mean overlap of training captions drawn at random.
        n: Images described.
    """

    constant: str
    constant_overlap: float
    random_overlap: float
    n: int


def caption_baselines(train: Iterable[Sample], held_out: Iterable[Sample], seed: int = 0, draws: int = 5) -> Baselines:
    """Choose the baselines on `train` alone, and score them on `held_out`.

    Args:
        train: Samples whose reference captions are the candidates.
        held_out: Samples to score on.
        seed: Seed of the random captions, and of the sample of images on which candidates are compared first.
        draws: Random captions for each image.

    Raises:
        OjitoError: Either has no captions, or `draws` is below 1.
    """
    if draws < 1:
        raise OjitoError("draws", f"{draws} leaves nothing to average", "use 1 or more")
    train_references, references = _references(train), _references(held_out)
    for name, found in (("train", train_references), ("held_out", references)):
        if not found:
            raise OjitoError(name, "holds no captions, and the baselines need 1 or more", "leave them out")
    constant = best_constant(train_references, seed)
    every = [caption for captions in train_references for caption in captions]
    rng = random.Random(f"{seed} random captions")
    overlaps = [overlap(rng.choice(every), captions) for captions in references for _ in range(draws)]
    return Baselines(
        constant=constant,
        constant_overlap=float(mean_overlaps([constant], references)[0]),
        random_overlap=sum(overlaps) / len(overlaps),
        n=len(references),
    )


def best_constant(references: Sequence[Sequence[str]], seed: int = 0, images: int = 100, finalists: int = 50) -> str:
    """Choose the one caption that describes all these images best, among their own references.

    Comparing each candidate with each reference would take hours: all are compared on some of the images, and the
    best of them on all.

    Args:
        references: The captions of each image.
        seed: Seed of the images of the first round.
        images: Images in the first round.
        finalists: Captions in the second.
    """
    candidates = sorted({caption for captions in references for caption in captions})
    if len(references) > images:
        some = random.Random(f"{seed} first round").sample(references, images)
        order = np.argsort(-mean_overlaps(candidates, some), kind="stable")
        candidates = [candidates[i] for i in order[:finalists]]
    return candidates[int(np.argmax(mean_overlaps(candidates, references)))]


def mean_overlaps(captions: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """Mean over all images of the `overlap` of each caption, given for every image; shape (captions,).

    Args:
        captions: Candidates.
        references: The captions of each image, at least one.
    """
    candidates = [_grams(caption) for caption in captions]
    known = [_grams(reference) for group in references for reference in group]
    starts = np.cumsum([0] + [len(group) for group in references[:-1]])
    tables = [_Table(candidates, known, order) for order in (0, 1)]
    means = np.empty(len(candidates))
    for i, grams in enumerate(candidates):
        scores = [table.f1(grams[order]) for order, table in enumerate(tables)]
        # As in `_overlap`: pairs do not count where neither text has any.
        pairs = tables[1].totals + grams[1].total() > 0
        both = np.where(pairs, (scores[0] + scores[1]) / 2, scores[0])
        means[i] = np.maximum.reduceat(both, starts).mean()
    return means


class _Table:
    """Count (255 at most) of each n-gram in each reference; only of n-grams that captions and references share."""

    def __init__(self, candidates: Sequence[_Grams], known: Sequence[_Grams], order: int) -> None:
        wanted: set[Any] = set().union(*(grams[order] for grams in candidates))
        shared = sorted(wanted & set().union(*(grams[order] for grams in known)))
        self._row = {gram: i for i, gram in enumerate(shared)}
        self._counts = np.zeros((len(shared), len(known)), np.uint8)
        for column, grams in enumerate(known):
            for gram, count in grams[order].items():
                if gram in self._row:
                    self._counts[self._row[gram], column] = min(count, 255)
        self.totals = np.array([grams[order].total() for grams in known])

    def f1(self, grams: Counter[Any]) -> np.ndarray:
        """F1 against each reference."""
        rows = [(self._row[gram], count) for gram, count in grams.items() if gram in self._row]
        if not rows:
            return np.zeros(len(self.totals))
        index, most = (np.array(values) for values in zip(*rows, strict=True))
        shared = np.minimum(self._counts[index], np.minimum(most, 255).astype(np.uint8)[:, None]).sum(0, dtype=np.int32)
        return 2 * shared / (self.totals + grams.total())


def _grams(text: str) -> _Grams:
    found = words(text)
    return Counter(found), Counter(itertools.pairwise(found))


def _overlap(caption: _Grams, reference: _Grams) -> float:
    scores = []
    for ours, theirs in zip(caption, reference, strict=True):
        total = ours.total() + theirs.total()
        if total:  # two texts of one word have no pairs to compare
            scores.append(2 * (ours & theirs).total() / total)
    return sum(scores) / len(scores) if scores else 0.0


def _references(samples: Iterable[Sample]) -> list[tuple[str, ...]]:
    """The references of every turn that asks for a caption."""
    return [turn.answers for sample in samples for turn in sample.dialogue if is_caption(turn) and turn.answers]
