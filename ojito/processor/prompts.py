"""Writes a dialogue as a row of tokens. Ids, targets and who-may-read-whom grow together, so they cannot disagree.

    front, chat    image image image <bos> question \\n answer <eos> question \\n answer <eos>
    segment            0     0     0     0        0  0      0     0        0  0      0     0
    prefix             x     x     x     x        x  x      .     .        .  .      .     .
    target             .     .     .     .        . an-   <eos>   .        . an-   <eos>   .
                                                   swer                     swer
    front, blind   image image image <bos> question \\n answer <eos> question \\n answer <eos>
    segment            0     0     0     0        1  1      1     1        2  2      2     2
    position           0     1     2     3        4  5      6     7        4  5      6     7
    prefix             x     x     x     x        x  x      .     .        x  x      .     .

In a chat only what stands before the first answer is prefix. A prefix-LM reads its prefix in both directions: were a
later question part of it, the image and the first question would read it too, and through them the first answer would
know what is asked next.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch

from ojito.config import PromptConfig
from ojito.processor.tokenizers import Tokenizer
from ojito.records import IGNORE, IMAGE, SHARED, Sample, Turn

MARK = "<image>"
"""Where a prompt shows a picture, with image=inline."""


class RowError(ValueError):
    """A row that cannot be written as tokens: names the row, the problem and the remedy in one line."""

    def __init__(self, origin: str, problem: str) -> None:
        super().__init__(f"{origin or 'sample'}: {problem}")
        self.origin, self.problem = origin, problem

    def __reduce__(self) -> tuple[type[RowError], tuple[str, str]]:
        # It pickles by what `__init__` takes, which is not the message.
        return type(self), (self.origin, self.problem)


@dataclass
class Row:
    """One row of a batch, still without padding; the lists of places are equally long. See `records.Batch`."""

    tokens: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    segments: list[int] = field(default_factory=list)
    prefix: list[bool] = field(default_factory=list)
    pictures: list[torch.Tensor] = field(default_factory=list)  # (3, h, w) uint8

    def add(self, ids: Sequence[int], *, segment: int, start: int, prefix: bool, learn: bool) -> int:
        """Appends tokens.

        Args:
            ids: The tokens.
            segment: Their segment.
            start: Position of the first.
            prefix: Whether a prefix-LM reads them in both directions.
            learn: Whether each is a target of the place before it, provided that it reads that place.

        Returns:
            The position after the last.
        """
        count = len(ids)
        if count and learn:
            if self.segments and self.segments[-1] == segment:
                self.targets[-1] = ids[0]
            self.targets.extend((*ids[1:], IGNORE))
        else:
            self.targets.extend([IGNORE] * count)
        self.tokens.extend(ids)
        self.positions.extend(range(start, start + count))
        self.segments.extend([segment] * count)
        self.prefix.extend([prefix] * count)
        return start + count


class Writer:
    """Samples to rows, as the recipe's `processor.prompt` says.

    Args:
        config: That part of the recipe.
        tokenizer: Text to ids.
        image_tokens: Places that one picture takes.
        max_positions: Of the decoder, if a row with more is to be refused here.
    """

    def __init__(
        self, config: PromptConfig, tokenizer: Tokenizer, image_tokens: int, max_positions: int | None = None
    ) -> None:
        self.config, self.tokenizer, self._max_positions = config, tokenizer, max_positions
        self._picture = (IMAGE,) * image_tokens
        self._bos = () if tokenizer.bos is None or not config.bos else (tokenizer.bos,)

    def write(self, sample: Sample, training: bool, rng: random.Random | None = None) -> Row:
        """The row of a sample.

        Args:
            sample: One dialogue.
            training: With the last turn's answer and all targets; without, the row ends where the answer begins.
            rng: Draws one of several answers; without it, the first is taken.

        Raises:
            RowError: No answer to learn, more text than `max_tokens`, more places than the decoder has positions, or
                marks that do not fit the pictures.
        """
        dialogue = sample.dialogue
        inline = self._inline(sample, dialogue)
        row = Row()
        at = 0
        if not inline:
            for _ in sample.images:
                at = row.add(self._picture, segment=SHARED, start=at, prefix=True, learn=False)
        at = row.add(self._bos, segment=SHARED, start=at, prefix=True, learn=False)

        blind = self.config.turns == "blind"
        shared = at
        if blind and not training:
            dialogue = dialogue[-1:]  # it could not read the others anyway
        if training and self.config.answers == "all":
            dialogue = tuple(
                dataclasses.replace(turn, answers=(answer,)) for turn in dialogue for answer in turn.answers or ("",)
            )
        for number, turn in enumerate(dialogue, 1):
            at = self._question(
                row,
                turn,
                inline=inline,
                segment=number if blind else SHARED,
                start=shared if blind else at,
                prefix=blind or number == 1,
            )
            if training or number < len(dialogue):
                ids = (*self.tokenizer.encode(_answer(sample, number, turn, rng)), self.tokenizer.eos)
                at = row.add(ids, segment=number if blind else SHARED, start=at, prefix=False, learn=training)
        self._check_length(row, sample, room=0 if training else 1)
        return row

    def _question(self, row: Row, turn: Turn, *, inline: bool, segment: int, start: int, prefix: bool) -> int:
        text = (turn.prompt if inline else without_marks(turn.prompt)) or self.config.caption
        learn = self.config.loss == "all"
        text_prefix = prefix and not learn  # what is to be predicted must not be read ahead
        pieces = text.split(MARK) if inline else [text]
        for number, piece in enumerate(pieces):
            if number:
                start = row.add(self._picture, segment=segment, start=start, prefix=prefix, learn=False)
            ids = self.tokenizer.encode(piece)
            start = row.add(ids, segment=segment, start=start, prefix=text_prefix, learn=learn)
        ids = self.tokenizer.encode(self.config.separator)
        return row.add(ids, segment=segment, start=start, prefix=text_prefix, learn=learn)

    def _inline(self, sample: Sample, dialogue: Sequence[Turn]) -> bool:
        if self.config.image == "front":
            return False
        marks = sum(turn.prompt.count(MARK) for turn in dialogue)
        if marks and marks != len(sample.images):
            raise RowError(
                sample.origin,
                f"the text has {MARK} marks for {marks} images, but there are {len(sample.images)}; make them agree",
            )
        return marks > 0

    def _check_length(self, row: Row, sample: Sample, room: int) -> None:
        """Whether the row fits, with `room` for so many tokens of an answer."""
        length = len(row.tokens) - len(sample.images) * len(self._picture)
        if length > self.config.max_tokens:
            raise RowError(
                sample.origin,
                f"has {length} tokens of text, more than processor.prompt.max_tokens {self.config.max_tokens}; "
                "shorten it or raise the limit",
            )
        if not row.tokens:
            raise RowError(sample.origin, "has neither image nor text; give one of them")
        needed, most = max(row.positions) + 1 + room, self._max_positions
        if most is not None and needed > most:
            raise RowError(
                sample.origin,
                f"needs {needed} positions, {len(self._picture)} for each of {len(sample.images)} images, and the "
                f"decoder has {most}; use fewer images or less text",
            )


def without_marks(text: str) -> str:
    """The text without `<image>`, which LLaVA's rows put on a line of its own."""
    if MARK not in text:
        return text
    return text.replace(MARK + "\n", "").replace("\n" + MARK, "").replace(MARK, "").strip()


def texts(samples: Iterable[Sample], config: PromptConfig) -> Iterator[str]:
    """Every text that these samples make the model read or write: what a tokenizer should learn from."""
    for sample in samples:
        for turn in sample.dialogue:
            yield without_marks(turn.prompt) or config.caption
            yield config.separator
            yield from turn.answers


def _answer(sample: Sample, number: int, turn: Turn, rng: random.Random | None) -> str:
    answers = turn.answers
    answer = (rng.choice(answers) if rng and len(answers) > 1 else answers[0]) if answers else ""
    if not answer.strip():
        problem = "has an empty answer" if answers else "has no answer"
        raise RowError(sample.origin, f"turn {number} ({turn.prompt or 'caption'!r}) {problem}; give it one")
    return answer
