"""A question and its answer as one row (teacher forcing), and the words of the answer with their tokens."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ojito.errors import OjitoError
from ojito.model import VLM
from ojito.processor import Processor
from ojito.processor.prompts import Row
from ojito.processor.tiles import Tiles
from ojito.records import IMAGE, Batch, Sample

if TYPE_CHECKING:
    from ojito.records import ImageLike

_WORD = re.compile(r"[\w'-]+|[^\w\s]")


@dataclass(frozen=True)
class Word:
    """A word of an answer, or several that stand side by side.

    Attributes:
        text: As the answer has it.
        tokens: The tokens that write it, counted from 0 at the beginning of the answer. A token may write a part of a
            word, or several words.
    """

    text: str
    tokens: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class ForcedAnswer:
    """A question about one image, and an answer that the model reads as if it had written it.

    Attributes:
        row: The question and the answer but for its last token, which only is predicted. So the last `len(tokens)`
            positions predict the answer.
        tokens: Ids of the answer, without the token that ends it.
        text: The answer.
        ends: Where in `text` each token's part ends, characters.
    """

    row: Row
    tokens: tuple[int, ...]
    text: str
    ends: tuple[int, ...]

    @cached_property
    def words(self) -> tuple[Word, ...]:
        """The words of the answer, and its punctuation marks, in order."""
        return tuple(self._word(match.start(), match.end()) for match in _WORD.finditer(self.text))

    @property
    def image_positions(self) -> list[int]:
        """Positions of the visual tokens in the row."""
        return [i for i, token in enumerate(self.row.tokens) if token == IMAGE]

    def positions(self, word: Word) -> list[int]:
        """Positions of the row whose logits predict the word's tokens."""
        first = len(self.row.tokens) - len(self.tokens)
        return [first + i for i in word.tokens]

    def find(self, text: str) -> Word:
        """Return the first place where the answer has this word, or these words, in whatever case.

        Raises:
            OjitoError: It does not have it.
        """
        wanted = text.strip()
        match = re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", self.text, re.IGNORECASE)
        if not wanted or match is None:
            known = ", ".join(dict.fromkeys(word.text for word in self.words))
            raise OjitoError(f"word {text!r}", f"is not in the answer {self.text!r}", f"choose from {known}")
        return self._word(match.start(), match.end())

    def batch(self, processor: Processor, images: Sequence[Tiles] = ()) -> Batch:
        """The row as a batch; with images, as many rows, each with one of these in place of its own."""
        if not images:
            return processor.batch([self.row])
        return processor.batch([dataclasses.replace(self.row, images=[image]) for image in images])

    def _word(self, start: int, end: int) -> Word:
        begins = (0, *self.ends[:-1])
        # A token of half a character has no text of its own: it belongs to the word that goes on there.
        spans = [(begin, max(stop, begin + 1)) for begin, stop in zip(begins, self.ends, strict=True)]
        return Word(self.text[start:end], tuple(i for i, (a, b) in enumerate(spans) if a < end and start < b))


def force(processor: Processor, image: ImageLike, prompt: str, answer: str | Sequence[int]) -> ForcedAnswer:
    """Write a question about an image and an answer as one row.

    Args:
        processor: Of the model.
        image: A path, a PIL image, encoded bytes.
        prompt: The question; empty asks for a caption.
        answer: A text, written as training writes it; or the tokens of a generated answer (`Answer.tokens`).

    Raises:
        ImageError: The image cannot be read.
        RowError: The question or the answer cannot be written as tokens.
        OjitoError: The answer has no tokens.
    """
    return force_turn(processor, Sample([image], prompt), answer)


def force_turn(processor: Processor, sample: Sample, answer: str | Sequence[int]) -> ForcedAnswer:
    """As `force`, of the last question of a dialogue, which stands after the turns before it and their answers.

    Args:
        processor: Of the model.
        sample: The dialogue, about one image. Answers to its last question make no difference.
        answer: As for `force`.

    Raises:
        OjitoError: As for `force`; or it is not about one image.
    """
    if len(sample.images) != 1:
        raise OjitoError(sample.origin or "sample", f"is about {len(sample.images)} images", "look at one at a time")
    *before, last = sample.dialogue
    if processor.config.prompt.turns == "blind" and not sample.chat:
        before = []  # which it could not read
    sample = dataclasses.replace(sample, prompt="", turns=(*before, last))
    tiles = processor.read_image(sample.images[0])
    row = processor.row(sample, read=lambda _: tiles)
    if isinstance(answer, str):
        answered = dataclasses.replace(sample, turns=(*before, dataclasses.replace(last, answers=(answer,))))
        learned = processor.row(answered, training=True, read=lambda _: tiles)
        tokens = learned.tokens[len(row.tokens) :]
        tokens = tokens[: tokens.index(processor.tokenizer.eos)]
    else:
        tokens = [int(token) for token in answer]
    if not tokens:
        raise OjitoError("answer", "is empty, so there is no word to look at", "give one, or ask something else")
    row.add(tokens[:-1], segment=row.segments[-1], start=row.positions[-1] + 1, prefix=False, learn=False)
    text = processor.decode(tokens)
    ends, reached = [], 0
    for count in range(1, len(tokens) + 1):
        # A character of several tokens is "\ufffd" until the last of them.
        known = len(processor.decode(tokens[:count]).rstrip("\ufffd"))
        reached = max(reached, min(known, len(text)))
        ends.append(reached)
    return ForcedAnswer(row, tuple(tokens), text, tuple(ends))


def answer_logits(model: VLM, batch: Batch, forced: ForcedAnswer) -> Tensor:
    """Logits (B, answer tokens, V) of the positions that predict the answer."""
    return model.head(model.features(batch)[:, -len(forced.tokens) :])


def log_probability(logits: Tensor, forced: ForcedAnswer, word: Word) -> Tensor:
    """Log-probability (B,) of a word: the sum of its tokens'.

    Args:
        logits: As `answer_logits` returns them.
        forced: The answer.
        word: One of its words.
    """
    tokens = torch.tensor([forced.tokens[i] for i in word.tokens], device=logits.device)
    chosen = logits[:, list(word.tokens)].log_softmax(dim=-1)
    return chosen.gather(-1, tokens.expand(len(logits), -1)[..., None]).sum(dim=(1, 2))
