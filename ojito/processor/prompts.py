"""Dialogues as rows of tokens. Ids, targets and segments grow together, so they cannot disagree.

    front, chat    image image image <bos> question \\n answer <eos> question \\n answer <eos>
    segment            0     0     0     0        0  0      0     0        0  0      0     0
    prefix             x     x     x     x        x  x      .     .        .  .      .     .
    target             .     .     .     .        . an-   <eos>   .        . an-   <eos>   .
                                                   swer                     swer
    front, blind   image image image <bos> question \\n answer <eos> question \\n answer <eos>
    segment            0     0     0     0        1  1      1     1        2  2      2     2
    position           0     1     2     3        4  5      6     7        4  5      6     7
    prefix             x     x     x     x        x  x      .     .        x  x      .     .
    inline, chat   <bos> user image question separator answer <eos> after user question separator answer <eos>
    target           .    .     .      .        an-    <eos>    .     .    .      .        an-    <eos>    .
                                                swer                                       swer

In a chat only what stands before the first answer is prefix. A prefix-LM reads its prefix in both directions: were a
later question part of it, the image and the first question would read it too, and through them the first answer would
know what is asked next.

With joined=true, text is tokenized as far as it goes on without a special token or an image, whoever wrote it. Only the
beginning of an answer is a border all the same: a row that is learned begins with the row that is asked.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Union

from ojito.config import PromptConfig
from ojito.errors import OjitoError
from ojito.processor.tiles import Encoded, Tiles
from ojito.processor.tokenizers import After, Tokenizer
from ojito.records import IGNORE, IMAGE, SHARED, Sample, Turn

IMAGE_TAG = "<image>"
"""Where a question asks for an image, and where the recipe's `image_text` has its visual tokens."""

Piece = Union[str, int]
"""Plain text, the id of a special token, or `IMAGE` for the visual tokens of one image."""


class RowError(OjitoError):
    """A row that cannot be written as tokens; `where` is its origin, "captions.jsonl:12"."""

    def __init__(self, where: str, problem: str = "", remedy: str = "", details: Sequence[str] = ()) -> None:
        super().__init__(where or "sample", problem, remedy, details)


class TooLongError(RowError):
    """A row with more text than the model takes.

    Attributes:
        length: Tokens of text, or positions, that it has.
    """

    length: int = 0


@dataclass
class Row:
    """One row of a batch, before padding; its lists have one entry per token. See `records.Batch`."""

    tokens: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    segments: list[int] = field(default_factory=list)
    prefix: list[bool] = field(default_factory=list)
    images: list[Tiles | Encoded] = field(default_factory=list)

    def add(self, ids: Sequence[int], *, segment: int, start: int, prefix: bool, learn: bool) -> int:
        """Append tokens.

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


class RowWriter:
    """Samples to rows, as the recipe's `processor.prompt` says.

    Args:
        config: That part of the recipe.
        tokenizer: Text to ids.
        image_tokens: Positions that one image takes, or one tile of it.
        max_positions: Of the decoder, if a row with more is to be refused here.
    """

    def __init__(
        self, config: PromptConfig, tokenizer: Tokenizer, image_tokens: int, max_positions: int | None = None
    ) -> None:
        self.config, self.tokenizer, self._max_positions = config, tokenizer, max_positions
        self._pack = 0  # tokens of a packed row, into which each sample has to fit
        self._image_tokens = image_tokens
        self._bos = () if tokenizer.bos is None or not config.bos else (tokenizer.bos,)
        self._user, self._separator = tokenizer.parse(config.user), tokenizer.parse(config.separator)
        self._before_text, self._after_answer = (tokenizer.parse(t) for t in (config.before_text, config.after_answer))
        self._after_images = tokenizer.parse(config.after_images)
        self._around_system = [tokenizer.parse(text) for text in config.user_with_system.split("{system}")]

    def within(self, length: int) -> RowWriter:
        """The same writer, for rows of at most so many tokens, those of images among them; 0 means as many as ever."""
        changed = copy.copy(self)
        changed._pack = length
        return changed

    def write(
        self,
        sample: Sample,
        training: bool,
        rng: random.Random | None = None,
        grids: Sequence[tuple[int, int]] = (),
    ) -> Row:
        """Write the row of a sample.

        Args:
            sample: One dialogue.
            training: With the last turn's answer and all targets; without, the row ends where the answer begins.
            rng: Draws one of several answers; without it, the first is taken.
            grids: Rows and columns of tiles of every image, 0 and 0 of one that is not split, as all are without it.

        Raises:
            TooLongError: More text than `max_tokens`, more positions than the decoder has, or more than a packed row.
            RowError: No answer to learn, half a character, `<image>` where no image can stand, or a system message that
                the prompt has no place for.
        """
        if sample.problem is not None:
            raise sample.problem
        dialogue = sample.dialogue
        system = self._check_texts(sample, dialogue)
        grids = grids or [(0, 0)] * len(sample.images)
        several = len(grids) > 1
        images = iter([self._image(number if several else None, *grid) for number, grid in enumerate(grids)])
        tagged = _check_tags(sample, dialogue, self.config.image)
        row = Row()
        at = 0
        if self.config.image == "inline":
            dialogue = self._tag(sample, dialogue, tagged)
        else:
            in_front = list(itertools.chain(*images))
            if tagged:
                dialogue = tuple(dataclasses.replace(t, prompt=without_tags(t.prompt)) for t in dialogue)
            at = self._add(row, in_front, segment=SHARED, start=at, prefix=True, learn=False)
        at = row.add(self._bos, segment=SHARED, start=at, prefix=True, learn=False)

        blind = self.config.turns == "blind" and not sample.chat
        if blind and not training:
            dialogue = dialogue[-1:]  # it could not read the others anyway
        if blind and training and self.config.answers == "all":
            dialogue = tuple(
                dataclasses.replace(turn, answers=(answer,)) for turn in dialogue for answer in turn.answers or ("",)
            )
        learn_all, shared = self.config.loss == "all", at
        for number, turn in enumerate(dialogue, 1):
            first, last = blind or number == 1, blind or number == len(dialogue)
            segment, at = (number, shared) if blind else (SHARED, at)
            question = self._question(turn, images if sample.images else None, system if first else "")
            if not first:
                question = [*self._after_answer, *question]
            at = self._add(row, question, segment=segment, start=at, prefix=first, learn=learn_all)
            if training or number < len(dialogue):
                answer: list[Piece] = [
                    self.config.before_answer + self._trimmed(_answer(sample, number, turn, rng)),
                    self.tokenizer.eos,
                ]
                at = self._add(row, answer, segment=segment, start=at, prefix=False, learn=training)
                if last:
                    at = self._add(row, self._after_answer, segment=segment, start=at, prefix=False, learn=learn_all)
        self._check_length(row, sample, room=0 if training else 1)
        return row

    def surely_fits(self, sample: Sample) -> bool:
        """Whether a row of training has so few bytes of text that it fits, however they are tokenized."""
        config = self.config
        frame = (config.user, config.user_with_system, config.before_text, config.separator, config.caption,
                 config.before_answer, config.after_answer, config.after_images)  # fmt: skip
        each = sum(map(_bytes, frame)) + 8  # a space before every text, and eos
        length = _bytes(sample.system or config.system) + _bytes(config.image_text + config.image_number) * len(
            sample.images
        )
        for turn in sample.dialogue:
            answers = [_bytes(answer) for answer in turn.answers] or [0]
            taught = len(answers) if config.answers == "all" else 1
            length += taught * (each + _bytes(turn.prompt)) + (sum(answers) if taught > 1 else max(answers))
        limits = [most for most in (self._max_positions, self._pack) if most]
        places = length + self._image_tokens * len(sample.images)
        return length <= config.max_tokens and all(places <= most for most in limits)

    def _check_texts(self, sample: Sample, dialogue: tuple[Turn, ...]) -> str:
        """Check all texts; return the system message.

        Raises:
            RowError: One holds half a character; or there is a system message, and the prompt has no place for it.
        """
        system = sample.system or self.config.system
        if system and not self.config.user_with_system:
            raise RowError(
                sample.origin,
                f"has the system message {system!r}, and this model was not trained with one",
                "leave it out, or set processor.prompt.user_with_system and train",
            )
        texts = [("system message", system)]
        for number, turn in enumerate(dialogue, 1):
            texts += [(f"question of turn {number}", turn.prompt)]
            texts += [(f"answer of turn {number}", answer) for answer in turn.answers]
        for name, text in texts:
            try:
                text.encode()
            except UnicodeEncodeError as error:  # half of a surrogate pair, which no tokenizer can read
                raise RowError(
                    sample.origin,
                    f"the {name} contains half a character, {text[error.start]!r}",
                    "write the whole character or remove it",
                ) from None
        return self._trimmed(system)

    def _trimmed(self, text: str) -> str:
        return text.strip() if self.config.trim else text

    def _tag(self, sample: Sample, dialogue: tuple[Turn, ...], tagged: bool) -> tuple[Turn, ...]:
        """The dialogue with a tag for every image: before the first question's words where there are none."""
        prompts = [turn.prompt for turn in dialogue]
        if not tagged:
            prompts[0] = IMAGE_TAG * len(sample.images) + prompts[0]
        elif self.config.image_text.endswith("\n"):  # it brings the end of the line that LLaVA's rows have after a tag
            prompts = [prompt.replace(IMAGE_TAG + "\n", IMAGE_TAG) for prompt in prompts]
        return tuple(dataclasses.replace(turn, prompt=p) for turn, p in zip(dialogue, prompts, strict=True))

    def _question(self, turn: Turn, images: Iterator[list[Piece]] | None, system: str) -> list[Piece]:
        """Return a turn up to its answer.

        Args:
            turn: The turn; with image=inline its question has a tag for every image that it shows.
            images: How the row's images are written, of which it takes those that it shows; None in a row without
                images, where a tag is an ordinary word.
            system: The system message, in the first turn of a dialogue that has one.
        """
        inline = images is not None and self.config.image == "inline"
        words = turn.prompt.split(IMAGE_TAG) if inline else [turn.prompt]
        said = turn.prompt.replace(IMAGE_TAG + "\n", "").replace(IMAGE_TAG, "") if inline else turn.prompt
        if not said:
            words[-1] += self.config.caption
        words = [self._trimmed(text) for text in words]
        user = self._user
        if system:
            before, after = self._around_system
            user = [*before, system, *after]
        leading = 0
        while leading < len(words) - 1 and not words[leading]:
            leading += 1
        pieces = [*user, *(() if leading else self._before_text)]
        for number, text in enumerate(words):
            if number:
                pieces += next(images) if images is not None else ()
            if leading and number == leading:
                pieces += self._after_images
            pieces.append(text)
        return [*pieces, *self._separator]

    def _image(self, number: int | None, rows: int, columns: int) -> list[Piece]:
        """How an image is written: its tiles, if it has any, and the whole of it. One that is alone has no number."""
        if self.config.whole == "none":
            rows, columns = max(rows, 1), max(columns, 1)
        tiles = ""
        for row in range(1, rows + 1):
            for column in range(1, columns + 1):
                tiles += self.config.tile.replace("{row}", str(row)).replace("{column}", str(column))
            tiles += self.config.tile_row_end
        tiles += self.config.tiles_end if rows else ""
        text = "" if number is None else self.config.image_number.replace("{number}", str(number))
        whole = "" if self.config.whole == "none" else self.config.image_text
        text += whole + tiles if self.config.whole == "first" else tiles + whole
        first, *others = text.split(IMAGE_TAG)
        pieces = self.tokenizer.parse(first)
        for other in others:
            pieces += [IMAGE, *self.tokenizer.parse(other)]
        return pieces

    def _add(self, row: Row, pieces: Sequence[Piece], *, segment: int, start: int, prefix: bool, learn: bool) -> int:
        """Tokenize and append; otherwise as `Row.add`. Images are never targets."""
        runs: Iterable[Piece] = pieces
        if self.config.joined:
            groups = itertools.groupby(pieces, lambda piece: isinstance(piece, str))
            joined = (["".join(map(str, group))] if text else list(group) for text, group in groups)
            runs = itertools.chain.from_iterable(joined)
        text_prefix = prefix and not learn  # what is to be predicted must not be read ahead
        for run in runs:
            if run == IMAGE:
                start = row.add([IMAGE] * self._image_tokens, segment=segment, start=start, prefix=prefix, learn=False)
                continue
            ids = (run,) if isinstance(run, int) else self.tokenizer.encode(run, self._after(row, segment, start))
            start = row.add(ids, segment=segment, start=start, prefix=text_prefix, learn=learn)
        return start

    def _after(self, row: Row, segment: int, start: int) -> After:
        """Return what the text at this position follows."""
        if not self.config.joined or (start <= 1 and tuple(row.tokens[:start]) in ((), self._bos)):
            return "start"
        # A blind turn follows what all of them share.
        last = row.tokens[-1] if row.segments[-1] == segment else row.tokens[start - 1]
        return "token" if last == IMAGE or last in self.tokenizer.whole else "text"

    def _check_length(self, row: Row, sample: Sample, room: int) -> None:
        """Check that the row fits, with `room` for so many tokens of an answer."""
        num_visual = row.tokens.count(IMAGE)
        length = len(row.tokens) - num_visual
        if length > self.config.max_tokens:
            raise _too_long(
                length,
                sample.origin,
                f"has {length} tokens of text, more than processor.prompt.max_tokens {self.config.max_tokens}",
                "shorten it or raise the limit",
            )
        if not row.tokens:
            raise RowError(sample.origin, "has neither image nor text", "give one of them")
        if self._pack and len(row.tokens) > self._pack:
            raise _too_long(
                len(row.tokens),
                sample.origin,
                f"takes {len(row.tokens)} tokens, more than a packed row has, data.pack={self._pack}",
                "raise it, or use less text or fewer images",
            )
        needed, most = max(row.positions) + 1 + room, self._max_positions
        if most is not None and needed > most:
            problem, remedy = f"needs {needed} positions", "use less text"
            if num_visual:
                each = self._image_tokens
                problem += f", {each} for each of {num_visual // each} images"
                remedy = "use fewer images or less text"
            raise _too_long(needed, sample.origin, f"{problem}, and the decoder has {most}", remedy)


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _too_long(length: int, where: str, problem: str, remedy: str) -> TooLongError:
    error = TooLongError(where, problem, remedy)
    error.length = length
    return error


def check_typed(text: str) -> str:
    """A text that somebody typed about an image, if it can be written in the same way for every model.

    Raises:
        RowError: It contains `<image>`, which would ask for an image within the text.
    """
    if IMAGE_TAG in text:
        raise RowError(
            "question",
            f"{text!r} contains {IMAGE_TAG}, which stands for an image",
            "write it in other words, such as 'image tag'",
        )
    return text


def _check_tags(sample: Sample, dialogue: tuple[Turn, ...], image: str) -> bool:
    """Whether a row has tags for its images. In a row without images, `<image>` is an ordinary word.

    Raises:
        RowError: It has, and not as many as images, or where this model cannot have an image.
    """
    counts = [turn.prompt.count(IMAGE_TAG) for turn in dialogue]
    if not any(counts) or not (sample.images or any(turn.tagged for turn in dialogue)):
        return False
    data = all(turn.tagged for turn, count in zip(dialogue, counts, strict=True) if count)
    if data and image == "front":
        return True  # data for models of any kind; here all images stand before all text
    if sum(counts) != len(sample.images):
        raise RowError(
            sample.origin,
            f"the text has {sum(counts)} {IMAGE_TAG} tags, and there are {len(sample.images)} images",
            "make them agree",
        )
    if image == "front":
        raise RowError(
            sample.origin,
            f"the text contains {IMAGE_TAG}, and this model reads its images before all text",
            "leave it out",
        )
    if not data and any(counts[1:]):
        raise RowError(
            sample.origin,
            f"a later question contains {IMAGE_TAG}, which would move the image there",
            "leave it out, or write Turn(..., tagged=True) if an image belongs there",
        )
    return True


def without_tags(text: str) -> str:
    """The text without `<image>`, which LLaVA's rows put on a line of its own."""
    if IMAGE_TAG not in text:
        return text
    return text.replace(IMAGE_TAG + "\n", "").replace("\n" + IMAGE_TAG, "").replace(IMAGE_TAG, "").strip()


def texts(samples: Iterable[Sample], config: PromptConfig) -> Iterator[str]:
    """Every text that these samples make the model read or write: what a tokenizer should learn from."""
    for sample in samples:
        for turn in sample.dialogue:
            texts = [config.user, _words(sample, turn) or config.caption, config.separator]
            yield from ["".join(texts)] if config.joined else texts[not config.user :]
            yield from (config.before_answer + answer for answer in turn.answers)


def _answer(sample: Sample, number: int, turn: Turn, rng: random.Random | None) -> str:
    answers = turn.answers
    answer = (rng.choice(answers) if rng and len(answers) > 1 else answers[0]) if answers else ""
    if not answer.strip():
        problem = "has an empty answer" if answers else "has no answer"
        raise RowError(sample.origin, f"turn {number} ({_words(sample, turn) or 'caption'!r}) {problem}", "give it one")
    return answer


def _words(sample: Sample, turn: Turn) -> str:
    """A question without its tags for images."""
    return without_tags(turn.prompt) if sample.images else turn.prompt
