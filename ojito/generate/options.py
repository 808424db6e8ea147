"""Options of generation: one frozen record, and the one function that keywords and command lines become it by."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from ojito.errors import OjitoError, nearest
from ojito.generate.sampling import (
    Greedy,
    Sampler,
    Temperature,
    TopK,
    TopP,
    check_sampler,
    is_greedy,
    is_number,
    is_whole,
)

if TYPE_CHECKING:
    from jaxtyping import Bool
    from torch import Tensor

Allowed = Callable[[Sequence[int]], "Bool[Tensor, ' V'] | None"]
"""Which tokens may come next. Called before each token with those of the answer so far; returns a mask of the
tokenizer's vocabulary, True where a token is allowed, or None for all. An answer can end only where the end-of-text
token is allowed."""

_STRONGEST = 1e10  # penalty; beyond, logits leave the range of float32
_HIGHEST = 10  # power of a length
_SEEDS = range(-(2**63), 2**63)  # what torch.Generator takes


@dataclass(frozen=True)
class GenerateOptions:
    """How a row is answered.

    Attributes:
        max_new_tokens: The most tokens of an answer; fewer where the decoder has no more positions.
        sampler: How a token is chosen: `Greedy()`, `Temperature(0.7)`, `TopK(40)`, `TopP(0.9)`, or one of your own.
        repetition_penalty: On tokens that the row's text, prompt included, holds already; 1 is none, 1.2 is usual.
        stop: Texts that end an answer and are not part of it; one text alone may be given as such.
        seed: Of the row's random numbers.
        beams: Beginnings of an answer that beam search keeps; 1 goes on with a single one, as the sampler says. 4 is
            usual, and takes about as long as a batch of four times as many rows.
        length_penalty: With beams: the power of an answer's length, in tokens, that the sum of its log probabilities
            is divided by. 1 compares means, and greater numbers favour longer answers; 0 compares sums.
        allowed: Returns a mask of the tokens that may come next, see `Allowed`; None allows all.
        drafts: The most tokens that are guessed at once, see `generate.lookup`; 0 guesses none. Answers are the same.

    Raises:
        OjitoError: A value that is not possible; beams beside a sampler or a mask, a length penalty without beams.
    """

    max_new_tokens: int = 64
    sampler: Sampler = Greedy()  # noqa: RUF009 - frozen
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0
    beams: int = 1
    length_penalty: float = 1.0
    allowed: Allowed | None = None
    drafts: int = 8

    def __post_init__(self) -> None:
        if not is_whole(self.max_new_tokens):
            raise OjitoError("max_new_tokens", f"{self.max_new_tokens!r} is not a whole number", "use for example 64")
        if self.max_new_tokens < 1:
            raise OjitoError("max_new_tokens", f"{self.max_new_tokens} generates nothing", "use 1 or more")
        check_sampler(self.sampler)
        penalty = self.repetition_penalty
        if not is_number(penalty) or not 1 / _STRONGEST <= penalty <= _STRONGEST:
            problem = f"{penalty!r} must lie between {1 / _STRONGEST:g} and {_STRONGEST:g}"
            raise OjitoError("repetition_penalty", problem, "1 is none, 1.2 is usual")
        object.__setattr__(self, "stop", _texts(self.stop))
        if not is_whole(self.seed):
            raise OjitoError("seed", f"{self.seed!r} is not a whole number", "use for example 0")
        _check_seed(self.seed, 1)
        allowed: Any = self.allowed
        if allowed is not None and not callable(allowed):
            remedy = "give a function from the tokens so far to a mask of all tokens"
            raise OjitoError("allowed", f"{allowed!r} cannot be called", remedy)
        if not is_whole(self.drafts) or self.drafts < 0:
            raise OjitoError("drafts", f"{self.drafts!r} must be 0 (none) or more", "8 is usual")
        self._check_beams()

    def _check_beams(self) -> None:
        if not is_whole(self.beams):
            raise OjitoError("beams", f"{self.beams!r} is not a whole number", "use for example 4")
        if self.beams < 1:
            raise OjitoError("beams", f"{self.beams} keeps nothing", "use 1 (no search) or more, for example 4")
        if self.beams > 1 and not is_greedy(self.sampler):
            problem = f"{self.beams} are searched without chance, and the sampler is {self.sampler}"
            raise OjitoError("beams", problem, "give beams, or a sampler (temperature, top_k, top_p)")
        if self.beams > 1 and self.allowed is not None:
            raise OjitoError("beams", f"{self.beams} beside masks of allowed tokens", "give beams, or allowed")
        power = self.length_penalty
        if not is_number(power) or not abs(power) <= _HIGHEST:
            problem = f"{power!r} must lie between -{_HIGHEST} and {_HIGHEST}"
            raise OjitoError("length_penalty", problem, "1 compares means, 0 compares sums")
        if self.beams == 1 and power != 1:
            raise OjitoError("length_penalty", f"{power} changes nothing without beams", "give beams=4, too")

    def rows(self, number: int) -> list[GenerateOptions]:
        """Return the options of so many rows: row i draws with `seed + i`."""
        _check_seed(self.seed, number)
        return [dataclasses.replace(self, seed=self.seed + row) for row in range(number)]


class OptionKeywords(TypedDict, total=False):
    """Keywords of `make_options`: the options, and a sampler's numbers in its place."""

    max_new_tokens: int
    sampler: Sampler
    temperature: float | None
    top_k: int | None
    top_p: float | None
    repetition_penalty: float
    stop: Sequence[str]
    seed: int
    beams: int
    length_penalty: float
    allowed: Allowed | None
    drafts: int


def make_options(options: GenerateOptions | None, keywords: Mapping[str, Any]) -> GenerateOptions:
    """Return options, with keywords in place of some of them.

    Args:
        options: None means the usual ones.
        keywords: Those of `OptionKeywords`; temperature, top_k and top_p together are a sampler, and None is as if
            they were not given.

    Raises:
        OjitoError: No such option, a value that is not possible, or a sampler beside numbers of another one.
    """
    changes = dict(keywords)
    numbers = {name: changes.pop(name, None) for name in ("temperature", "top_k", "top_p")}
    for name in changes:
        if name not in _FIELDS:
            raise OjitoError(name, "is no option of generation", nearest(name, OptionKeywords.__annotations__))
    if any(number is not None for number in numbers.values()):
        sampler = make_sampler(**numbers)
        if changes.setdefault("sampler", sampler) != sampler:
            given = ", ".join(f"{name}={number}" for name, number in numbers.items() if number is not None)
            raise OjitoError("sampler", f"{changes['sampler']} contradicts {given}", "give only one of them")
    return dataclasses.replace(options or GenerateOptions(), **changes)


def make_sampler(temperature: float | None = None, top_k: int | None = None, top_p: float | None = None) -> Sampler:
    """Return the sampler of these numbers together; without any it is greedy.

    Raises:
        OjitoError: A number out of range.
    """
    usual = 1.0 if temperature is None else temperature
    try:
        if top_p is not None:
            return TopP(top_p, usual, 0 if top_k is None else top_k)
        if top_k is not None:
            return TopK(top_k, usual)
        return Greedy() if temperature is None else Temperature(temperature)
    except OjitoError as error:
        where = {"k": "top_k", "p": "top_p"}.get(error.where, error.where)
        raise OjitoError(where, error.problem, error.remedy) from None


def options_of_rows(options: GenerateOptions | Sequence[GenerateOptions], number: int) -> list[GenerateOptions]:
    """Return the options of each row.

    Args:
        options: Of all rows, where row i draws with `seed + i`; or one for each.
        number: Of rows.

    Raises:
        OjitoError: There are more or fewer options than rows, or they are something else.
    """
    if isinstance(options, GenerateOptions):
        return options.rows(number)
    if not isinstance(options, (list, tuple)) or not all(isinstance(one, GenerateOptions) for one in options):
        raise OjitoError("options", f"{options!r} is no GenerateOptions", "give one, or a list of one for each row")
    if len(options) != number:
        raise OjitoError("options", f"{len(options)} for {number} rows", "give one for each row, or one for all")
    return list(options)


_FIELDS = {field.name for field in dataclasses.fields(GenerateOptions)}


def _check_seed(seed: int, rows: int) -> None:
    if seed not in _SEEDS or seed + rows - 1 > _SEEDS[-1]:
        problem = f"{seed} is beyond what a random generator takes"
        raise OjitoError("seed", problem, f"use for example 0 to {2**32 - 1}")


def _texts(stop: Any) -> tuple[str, ...]:
    if isinstance(stop, str):
        stop = (stop,)
    if not isinstance(stop, (list, tuple)) or not all(isinstance(text, str) for text in stop):
        raise OjitoError("stop", f"{stop!r} is no list of texts", "give for example ['.'], or [] for none")
    if "" in stop:
        raise OjitoError("stop", "'' is part of every text", "leave it out")
    for text in stop:
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise OjitoError("stop", f"{text!r} holds half a character, as no answer can", "write the whole character")
    return tuple(stop)
