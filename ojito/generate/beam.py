"""Beam search: of several beginnings of an answer, the likeliest go on, and the best that has ended is the answer.

Source: `generate(num_beams=W, length_penalty=..., early_stopping=False)` of transformers, token for token.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float

    from ojito.generate.stops import Finish, Stop

_DEAD = float("-inf")  # score of a beam that nothing goes on from


class Candidate(NamedTuple):
    """A beam with one more token.

    Attributes:
        score: Sum of the log probabilities of its tokens.
        beam: The beam's number in its row.
        token: The new token.
    """

    score: float
    beam: int
    token: int


class Ended(NamedTuple):
    """An answer that has ended.

    Attributes:
        score: Sum of its log probabilities over length ** length_penalty.
        tokens: Without the one that ends it.
        finish: Why it ended.
    """

    score: float
    tokens: list[int]
    finish: Finish


@dataclass
class Row:
    """The search of one row.

    Attributes:
        width: Beams.
        length_penalty: Power of the length, end token included, that a score is divided by.
        limit: The most tokens of its answer.
        stop: Whether a stop text ends its tokens; None where it has none.
        beams: Tokens of those that go on.
        ended: The best answers that have ended, at most `width`, best first.
        done: Whether no beam that goes on can still beat those.
    """

    width: int
    length_penalty: float
    limit: int
    stop: Stop | None
    beams: list[list[int]] = field(default_factory=lambda: [[]])
    ended: list[Ended] = field(default_factory=list)
    done: bool = False

    def advance(self, candidates: Iterable[Candidate], eos: Collection[int]) -> list[Candidate]:
        """Sort candidates into those that go on and those that have ended.

        Args:
            candidates: Best first.
            eos: Tokens that end an answer.

        Returns:
            Those that go on, `width` of them; dead ones fill up.
        """
        length = len(self.beams[0]) + 1
        going: list[Candidate] = []
        for rank, candidate in enumerate(candidates):
            if candidate.score == _DEAD:
                break
            tokens = self.beams[candidate.beam]
            finish: Finish | None = "eos" if candidate.token in eos else None
            if finish is None:
                tokens = [*tokens, candidate.token]
                if self.stop is not None and self.stop(tokens):
                    finish = "stop"
                elif length >= self.limit:
                    finish = "length"
            if finish is None:
                going.append(candidate)
            elif rank < self.width:  # lower ranks are candidates to go on, not to end
                self.ended.append(Ended(self._score(candidate.score, length), tokens, finish))
        self.ended = sorted(self.ended, key=lambda one: one.score, reverse=True)[: self.width]
        going = going[: self.width]
        if not going:
            self.done = True
        elif len(self.ended) == self.width:
            # A guess where scores grow with the length, but the usual one.
            self.done = self._score(going[0].score, length) <= self.ended[-1].score
        going += [Candidate(_DEAD, 0, 0)] * (self.width - len(going))
        self.beams = [[*self.beams[one.beam], one.token] for one in going]
        return going

    def _score(self, total: float, length: int) -> float:
        return total / length**self.length_penalty


class BeamSearch:
    """The search of every row of a batch: R rows, W beams each.

    Args:
        width: Beams of each row.
        length_penalties: Of each row.
        limits: The most tokens of each row's answer.
        stops: For each row, whether its stop texts end it.
        eos: Tokens that end an answer.

    Attributes:
        rows: The search of each row.
        length: Tokens that beams have.
    """

    def __init__(
        self,
        width: int,
        length_penalties: Sequence[float],
        limits: Sequence[int],
        stops: Sequence[Stop | None],
        eos: Collection[int],
    ) -> None:
        self.rows = [
            Row(width, float(penalty), limit, stop)
            for penalty, limit, stop in zip(length_penalties, limits, stops, strict=True)
        ]
        # So many that `width` of them go on, even if every beam can end in all ways.
        self._candidates = max(2, 1 + len(eos)) * width
        self._eos = eos
        self.length = 0
        self._scores = torch.zeros(len(self.rows), 1)  # (R, 1), then (R, W)

    def advance(self, log_probs: Float[Tensor, "R*W V"]) -> tuple[list[int], list[int]]:
        """Go on with the best candidates of each row; the beams of a row that is done are dead.

        Args:
            log_probs: Of each beam's next token; at first, where a row has one beam that is empty, of each row's.

        Returns:
            For every new beam the number of the one that it goes on from, and its token.
        """
        (R, w), V = self._scores.shape, log_probs.shape[-1]
        totals = (self._scores.to(log_probs.device)[:, :, None] + log_probs.view(R, w, V)).flatten(1)  # (R, w V)
        scores, places = totals.topk(min(self._candidates, totals.shape[1]))
        going = [
            [Candidate(_DEAD, 0, 0)] * row.width
            if row.done
            else row.advance([Candidate(s, place // V, place % V) for s, place in zip(*found, strict=True)], self._eos)
            for row, *found in zip(self.rows, scores.tolist(), places.tolist(), strict=True)
        ]
        self._scores = torch.tensor([[one.score for one in beams] for beams in going])
        self.length += 1
        sources = [number * w + one.beam for number, beams in enumerate(going) for one in beams]
        return sources, [one.token for beams in going for one in beams]
