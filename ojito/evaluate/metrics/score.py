"""A score with what it is made of: its uncertainty, and whether another run's differs from it by more than chance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ojito.errors import OjitoError

Combine = Callable[[np.ndarray], np.ndarray]
"""Scores (R,) of R sets of samples, given the sums (R, K) of what was counted for each sample of a set."""

_PIECE = 2**21  # numbers that are drawn at once

DRAWS = 2000
"""Sets of samples that an interval or a test draws."""


class Score(float):
    """A number, made of what was counted for each sample.

    Attributes:
        counts: (N, K) what was counted for each of N samples.
        combine: The score of any set of them, given the sums of their counts.
        ranks: Whether sums do not decide the score, as what is ranked has none: then `combine` is given how often each
            sample is in a set (R, N).
    """

    counts: np.ndarray
    combine: Combine
    ranks: bool

    def __new__(cls, counts: np.ndarray, combine: Combine, ranks: bool = False) -> Score:
        """Return the score of all samples.

        Raises:
            OjitoError: There are no samples.
        """
        counts = np.asarray(counts, dtype=np.float64)
        if not len(counts):
            raise OjitoError("scores", "there is nothing to score", "give at least one sample")
        once = np.ones((1, len(counts)))
        made = super().__new__(cls, combine(once if ranks else once @ counts)[0])
        made.counts, made.combine, made.ranks = counts, combine, ranks
        return made

    @classmethod
    def ranked(cls, samples: int, combine: Combine) -> Score:
        """Return a score for which sums do not decide.

        Args:
            samples: How many there are.
            combine: Scores (R,) of R sets, given how often each sample is in each (R, N).

        Raises:
            OjitoError: There are no samples.
        """
        return cls(np.ones((samples, 1)), combine, ranks=True)

    @classmethod
    def mean(cls, values: np.ndarray | list[float]) -> Score:
        """Return the mean of a number for each sample."""
        values = np.asarray(values, dtype=np.float64).reshape(-1)
        return cls(np.stack((values, np.ones_like(values)), axis=1), ratio)

    @property
    def each(self) -> np.ndarray:
        """The score (N,) of each sample alone."""
        return self.drawn(np.eye(len(self.counts))) if self.ranks else self.combine(self.counts)

    def drawn(self, times: np.ndarray) -> np.ndarray:
        """Return the scores (R,) of sets that hold each sample so many times (R, N)."""
        return self.combine(times if self.ranks else times @ self.counts)

    def interval(self, confidence: float = 0.95, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
        """Return where the score lies with that probability, for other samples of the same kind.

        Samples are drawn with replacement, as many as there are, and scored; the interval leaves out as much at either
        end of what that gives (the percentile bootstrap).

        Args:
            confidence: Probability, above 0 and below 1.
            draws: Sets of samples.
            seed: Of the drawing.
        """
        scores = np.concatenate([self.drawn(times) for times in _drawn(len(self.counts), draws, seed)])
        outside = 100 * (1 - confidence) / 2
        low, high = np.percentile(scores, (outside, 100 - outside))
        return float(low), float(high)

    def to_dict(self) -> dict[str, Any]:
        """Return for JSON the score, its interval of 95%, and the number of samples."""
        low, high = self.interval()
        return {"score": round(self, 6), "low": round(low, 6), "high": round(high, 6), "n": len(self.counts)}


@dataclass(frozen=True)
class Difference:
    """How two runs differ on the same samples.

    Attributes:
        difference: Score of the one less that of the other.
        low, high: Interval of 95% of it.
        p: How often chance alone gives so large a difference, 0 to 1, if each sample's results are exchanged between
            the runs at random. Of ranked scores, twice the share of drawn sets that differ the other way.
    """

    difference: float
    low: float
    high: float
    p: float

    def to_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        found = {"difference": self.difference, "low": self.low, "high": self.high}
        return {**{name: round(value, 6) for name, value in found.items()}, "p": round(self.p, 4)}


def signed(gap: Mapping[str, float], digits: int = 3) -> str:
    """Return what `Difference.to_dict` gives as text: +0.120 (+0.090 to +0.151)."""
    return f"{gap['difference']:+.{digits}f} ({gap['low']:+.{digits}f} to {gap['high']:+.{digits}f})"


def compare(one: Score, other: Score, draws: int = DRAWS, seed: int = 0) -> Difference:
    """Return how two scores of the same samples, in the same order, differ.

    Args:
        one: Score of a run.
        other: Score of another run.
        draws: Sets of samples, for the interval, and exchanges, for the test.
        seed: Of the drawing.

    Raises:
        OjitoError: They are not of equally many samples.
    """
    if one.counts.shape != other.counts.shape or one.ranks != other.ranks:
        raise OjitoError(
            "compare", f"{len(one.counts)} samples beside {len(other.counts)}", "compare runs on the same samples"
        )
    found, generator = float(one) - float(other), np.random.default_rng(seed + 1)
    differences, extreme = [], 0
    for times in _drawn(len(one.counts), draws, seed):
        differences.append(one.drawn(times) - other.drawn(times))
        if not one.ranks:
            moved = (generator.random(times.shape) < 0.5) @ (other.counts - one.counts)
            by_chance = one.combine(one.counts.sum(0) + moved) - other.combine(other.counts.sum(0) - moved)
            extreme += int((np.abs(by_chance) >= abs(found) - 1e-12).sum())
    every = np.concatenate(differences)
    low, high = np.percentile(every, (2.5, 97.5))
    if one.ranks:  # results that are ranked among each other cannot be exchanged one by one
        extreme = 2 * min(int((every <= 0).sum()), int((every >= 0).sum()))
    return Difference(found, float(low), float(high), min((extreme + 1) / (draws + 1), 1.0))


def ratio(sums: np.ndarray) -> np.ndarray:
    """Return the first sum over the second, 0 where that is 0."""
    return np.divide(sums[:, 0], sums[:, 1], out=np.zeros(len(sums)), where=sums[:, 1] != 0)


def _drawn(samples: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """How often each sample is in each set that is drawn, in pieces of shape (sets, samples)."""
    generator, share = np.random.default_rng(seed), np.full(samples, 1 / samples)
    piece = max(1, _PIECE // samples)
    for start in range(0, draws, piece):
        yield generator.multinomial(samples, share, size=min(piece, draws - start))
