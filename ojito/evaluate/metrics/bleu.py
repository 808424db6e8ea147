"""BLEU: the share of a caption's runs of words that a reference has as well, over all captions together.

Source: Papineni et al. 2002, https://aclanthology.org/P02-1040; with several references, the closest length counts, as
in COCO's evaluation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ojito.errors import OjitoError
from ojito.evaluate.metrics.ngrams import LONGEST, Run, runs, tokenized
from ojito.evaluate.metrics.score import Score

_SMALL, _TINY = 1e-9, 1e-15  # no division by zero; the same as in COCO's evaluation


def bleu(hypotheses: Sequence[str], references: Sequence[Sequence[str]], n: int = LONGEST) -> Score:
    """Return BLEU-n, 0 to 1.

    Args:
        hypotheses: A caption for each image.
        references: One or more for each image.
        n: Words of the longest run that counts, 1 to 4.

    Raises:
        OjitoError: The references do not fit the captions, or `n` is none of these.
    """
    if not 1 <= n <= LONGEST:
        raise OjitoError("n", f"{n} is not between 1 and {LONGEST}", "BLEU-4 is the usual one")
    counts = []
    for words, group in zip(*tokenized(hypotheses, references), strict=True):
        most = [Counter[Run]() for _ in range(LONGEST)]
        for reference in group:
            for known, new in zip(most, runs(reference), strict=True):
                known |= new
        closest = min((abs(len(reference) - len(words)), len(reference)) for reference in group)[1]
        ours = runs(words)
        shared = [(one & known).total() for one, known in zip(ours, most, strict=True)]
        counts.append([len(words), closest, *shared[:n], *(one.total() for one in ours[:n])])
    return Score(np.array(counts), _combine)


def _combine(sums: np.ndarray) -> np.ndarray:
    """The scores, given words, words of the closest reference, shared runs, and runs of each length."""
    n = (sums.shape[1] - 2) // 2
    shared, made = sums[:, 2 : 2 + n], sums[:, 2 + n :]
    precision = np.prod((shared + _TINY) / (made + _SMALL), axis=1) ** (1 / n)
    share = (sums[:, 0] + _TINY) / (sums[:, 1] + _SMALL)
    return precision * np.exp(np.minimum(0, 1 - 1 / share))
