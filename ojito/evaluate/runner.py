"""Ask a model every question that has an answer, grade what it says, and ask again without the image.

A model can be right without looking: most questions have answers that are likelier than others. Controls show how far
that gets it: the same questions, with the same expected answers, about a blank image, or that of another row. Only what
a model scores above its controls comes from seeing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ojito.data.sources import problem_line
from ojito.errors import OjitoError
from ojito.evaluate.controls import CONTROLS, Control, altered, image_keys
from ojito.evaluate.journal import Journal
from ojito.evaluate.metrics.answers import plain_answer
from ojito.evaluate.metrics.overlap import is_caption, overlap
from ojito.evaluate.metrics.words import normalize
from ojito.generate import GenerateOptions
from ojito.records import Progress, Sample, Turn

if TYPE_CHECKING:
    from ojito.generate import Finish
    from ojito.pipeline import Pipeline

_SHORTEST_LIMIT = 64  # tokens of an answer
_MARGIN = 16  # tokens beyond the longest expected answer


class NothingAskedError(OjitoError):
    """Rows of which no question can be asked and graded; its details say why."""


@dataclass(frozen=True)
class Graded:
    """One question with the model's answer and its grade.

    Attributes:
        sample: The image as the model saw it, with this question as its last turn.
        given: The model's answer.
        right: Whether that equals one of the answers, as `normalize` sees it; of choices, whether it chooses the right
            one by its letter or its text.
        overlap: Word overlap with the nearest reference; None where no caption was asked for.
        finish: Why the answer ended: "length" where the limit of tokens cut it off.
        number: The question's number among all that were to be asked, the same in the controls.
    """

    sample: Sample
    given: str
    right: bool
    overlap: float | None = None
    finish: Finish = "eos"
    number: int = 0

    @property
    def turn(self) -> Turn:
        """The question with its answers."""
        return self.sample.dialogue[-1]

    @property
    def kind(self) -> str:
        """Kind of the question, for scores per kind."""
        return self.turn.kind or ("caption" if is_caption(self.turn) else "question")


@dataclass(frozen=True)
class Scores:
    """Scores of graded questions.

    Attributes:
        n: Questions.
        exact_match: Share of them with a right answer.
        overlap: Mean word overlap of the captions among them; None where there are none.
        cut: Answers that the limit of tokens cut off.
    """

    n: int
    exact_match: float
    overlap: float | None = None
    cut: int = 0

    @classmethod
    def of(cls, graded: Iterable[Graded]) -> Scores:
        """Return the scores of these questions."""
        graded = list(graded)
        overlaps = [one.overlap for one in graded if one.overlap is not None]
        return cls(
            n=len(graded),
            exact_match=sum(one.right for one in graded) / len(graded) if graded else 0.0,
            overlap=sum(overlaps) / len(overlaps) if overlaps else None,
            cut=sum(one.finish == "length" for one in graded),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return values for JSON; `overlap` and `cut` only where there are some."""
        values: dict[str, Any] = {"n": self.n, "exact_match": round(self.exact_match, 4)}
        if self.overlap is not None:
            values["overlap"] = round(self.overlap, 4)
        return {**values, "cut": self.cut} if self.cut else values


@dataclass(frozen=True)
class Report:
    """All graded questions of an evaluation, in the order of the samples.

    Attributes:
        graded: Asked about their own images.
        blank: Asked about a blank image. Questions without an image have no controls.
        exchanged: Asked about the image of another row.
        none: Asked without an image.
        half: Asked about the image with half of its squares grey.
        shuffled: Asked about the image with its squares in another order.
        blurred: Asked about a blurred image, of which colours and large forms are left.
        problems: Questions that could not be asked: a broken image, too much text.
        limit: The most tokens that an answer could take; 0 where that is not known.
    """

    graded: tuple[Graded, ...]
    blank: tuple[Graded, ...] = ()
    exchanged: tuple[Graded, ...] = ()
    none: tuple[Graded, ...] = ()
    half: tuple[Graded, ...] = ()
    shuffled: tuple[Graded, ...] = ()
    blurred: tuple[Graded, ...] = ()
    problems: tuple[str, ...] = ()
    limit: int = 0

    @property
    def scores(self) -> Scores:
        """Scores over all kinds."""
        return Scores.of(self.graded)

    @property
    def per_kind(self) -> dict[str, Scores]:
        """Scores of each kind, in the order in which the kinds first come."""
        return by_kind(self.graded)

    def of_kind(self, kind: str) -> Report:
        """Return the questions of one kind, with their controls."""
        of_kind = {
            name: tuple(one for one in getattr(self, name) if one.kind == kind) for name in ("graded", *CONTROLS)
        }
        return Report(**of_kind, limit=self.limit)

    def to_dict(self) -> dict[str, Any]:
        """Return values for JSON: the scores, those per kind and of the controls that were run, and the problems."""
        values: dict[str, Any] = {**self.scores.to_dict(), "per_kind": _per_kind(self.graded)}
        for name in CONTROLS:
            graded = getattr(self, name)
            if graded:
                values[f"{name}_image"] = {**Scores.of(graded).to_dict(), "per_kind": _per_kind(graded)}
        return {**values, "problems": list(self.problems)}


def evaluate(
    pipe: Pipeline,
    samples: Sequence[Sample],
    *,
    controls: Sequence[Control] = ("blank", "exchanged"),
    batch_size: int = 64,
    max_new_tokens: int | None = None,
    options: GenerateOptions | None = None,
    seed: int = 0,
    journal: Journal | None = None,
    progress: Progress = lambda done, total: None,
) -> Report:
    """Ask each turn that has answers, and grade the model's answers.

    In a dialogue, a question follows the turns before it with their true answers.

    Args:
        pipe: The model.
        samples: Rows with answers; turns without are not asked.
        controls: What to ask again.
        batch_size: Rows answered at once; a question takes as many as it has beams.
        max_new_tokens: The most that one answer may take; None for what the longest of the expected answers takes and
            a few more, 64 at least.
        options: How to answer, but for the length: greedily, if left out. A question keeps its random numbers in the
            controls: it draws with the options' seed and its own number.
        seed: Seed of the exchange of images.
        journal: Keeps the answers as they come, and those of an evaluation that was interrupted.
        progress: Called with the questions that are done, and with all of them.

    Raises:
        OjitoError: An unknown control, a batch size below 1.
        NothingAskedError: There is no turn with answers, or none that can be asked.
    """
    if isinstance(controls, str) or not set(controls) <= set(CONTROLS):
        raise OjitoError("controls", f"{controls!r} are not among {', '.join(CONTROLS)}", "give a list of them")
    if batch_size < 1:
        raise OjitoError("batch_size", f"{batch_size} asks nothing", "use 1 or more")
    questions = [question for sample in samples for question in _questions(sample)]
    if not questions:
        raise NothingAskedError(
            "samples", f"none of {len(samples)} has a turn with answers", "give at least one to score against"
        )
    limit = _limit(questions, pipe) if max_new_tokens is None else max_new_tokens
    options = dataclasses.replace(options or GenerateOptions(), max_new_tokens=limit)
    grader = _Grader(pipe, max(1, batch_size // options.beams), options, progress, journal)
    grader.total = len(questions) * (1 + len(controls))  # until it is known which of them have images
    graded = grader.grade([*enumerate(questions)])
    if not graded:
        problem = f"none of {len(questions)} questions can be asked"
        raise NothingAskedError("samples", problem, "mend them", grader.problems)

    asked = [one for one in graded if one.sample.images]
    problems = tuple(grader.problems)
    blind = {}
    for control in controls:
        changed = altered(control, [one.sample for one in asked], pipe, seed)
        blind[control] = [(one.number, sample) for one, sample in zip(asked, changed, strict=True) if sample]
    grader.total = len(questions) + sum(map(len, blind.values()))
    again = {control: tuple(grader.grade(numbered, control)) for control, numbered in blind.items()}
    return Report(tuple(graded), **again, problems=problems, limit=limit)


def ask(
    pipe: Pipeline,
    questions: Sequence[Sample],
    options: GenerateOptions,
    batch_size: int = 64,
    progress: Progress = lambda done, total: None,
) -> list[Graded]:
    """Ask the last turn of each sample, and grade the answers, each with its number among the samples.

    Args:
        pipe: The model.
        questions: Samples whose last turns have answers; those that cannot be asked are left out.
        options: How to answer.
        batch_size: Rows answered at once; a question takes as many as it has beams.
        progress: Called with the questions that are done, and with all of them.
    """
    grader = _Grader(pipe, max(1, batch_size // options.beams), options, progress)
    grader.total = len(questions)
    return grader.grade([*enumerate(questions)])


def by_kind(graded: Iterable[Graded]) -> dict[str, Scores]:
    """Scores of each kind of question, in the order in which the kinds first come."""
    return {kind: Scores.of(group) for kind, group in groups(graded).items()}


def groups(graded: Iterable[Graded]) -> dict[str, list[Graded]]:
    """The questions of each kind, in the order in which the kinds first come."""
    found: dict[str, list[Graded]] = {}
    for one in graded:
        found.setdefault(one.kind, []).append(one)
    return found


class _Grader:
    """Asks questions, and grades the answers.

    Attributes:
        problems: Questions that could not be asked so far.
        total: Questions that there will be, for the display of progress.
    """

    def __init__(
        self,
        pipe: Pipeline,
        batch_size: int,
        options: GenerateOptions,
        progress: Progress,
        journal: Journal | None = None,
    ) -> None:
        self.problems: list[str] = []
        self.total = 0
        self._pipe, self._batch_size, self._options = pipe, batch_size, options
        self._done, self._progress, self._journal = 0, progress, journal

    def grade(self, numbered: Sequence[tuple[int, Sample]], control: str = "") -> list[Graded]:
        """Ask and grade questions, each with its number; those that cannot be asked are left out.

        Args:
            numbered: The questions.
            control: Which control asks them.
        """
        graded = {}
        if self._journal is not None:
            for number, question in numbered:
                known = self._journal.get(control, number)
                if known is not None:
                    graded[number] = _grade(question, *known, number)
        self._done += len(graded)
        every, numbered = numbered, [one for one in numbered if one[0] not in graded]
        order = [numbered[i] for i in _asking_order([question for _, question in numbered])]
        options = (dataclasses.replace(self._options, seed=self._options.seed + number) for number, _ in order)
        asked = [question for _, question in order]
        with closing(self._pipe.generate_each(asked, options, batch_size=self._batch_size)) as answers:
            for (number, question), answer in zip(order, answers, strict=True):
                if isinstance(answer, OjitoError):
                    self.problems.append(problem_line(question.origin, answer))
                else:
                    graded[number] = _grade(question, str(answer), answer.finish, number)
                    if self._journal is not None:
                        self._journal.put(control, number, str(answer), answer.finish)
                self._done += 1
                self._progress(self._done, self.total)
        return [graded[number] for number, _ in every if number in graded]


def _questions(sample: Sample) -> list[Sample]:
    """Return a sample for every turn that has answers: that turn last, those before it as they were."""
    turns = sample.dialogue
    return [
        dataclasses.replace(sample, prompt="", turns=turns[: i + 1]) for i, turn in enumerate(turns) if turn.answers
    ]


def _limit(questions: Sequence[Sample], pipe: Pipeline) -> int:
    """The tokens that the longest of the expected answers takes, and some more."""
    encode = pipe.processor.tokenizer.encode
    # A token is seldom less than a character: only an answer of more than so many can decide.
    answers = {answer for question in questions for answer in question.turns[-1].answers}
    longest = max((len(encode(answer)) for answer in answers if len(answer.encode()) > _SHORTEST_LIMIT // 2), default=0)
    return max(_SHORTEST_LIMIT, longest + _MARGIN)


def _grade(question: Sample, given: str, finish: Finish, number: int) -> Graded:
    turn = question.dialogue[-1]
    return Graded(
        sample=question,
        given=given,
        right=normalize(plain_answer(given, turn.choices)) in {normalize(answer) for answer in turn.answers},
        overlap=overlap(given, turn.answers) if is_caption(turn) else None,
        finish=finish,
        number=number,
    )


def _asking_order(questions: Sequence[Sample]) -> list[int]:
    """The numbers of questions in the order in which they are best asked.

    Those about one image follow each other, so that it is read once and then forgotten. Otherwise shorter ones come
    first: prompts of one length need no padding where they are read together.
    """
    about: dict[Hashable, list[int]] = {}
    for i, question in enumerate(questions):
        listed = isinstance(question.images, (list, tuple))  # if not, the processor says so
        # A question without an image has nothing in common with others.
        about.setdefault(image_keys(question.images) if listed and question.images else i, []).append(i)
    lengths = [_length(question) for question in questions]
    groups = [sorted(group, key=lambda i: lengths[i]) for group in about.values()]
    return [i for group in sorted(groups, key=lambda group: lengths[group[0]]) for i in group]


def _length(question: Sample) -> tuple[int, int, str]:
    turns = question.dialogue
    listed = isinstance(question.images, (list, tuple))
    return len(question.images) if listed else 1, sum(len(turn.prompt) for turn in turns), turns[-1].prompt


def _per_kind(graded: Iterable[Graded]) -> dict[str, Any]:
    return {kind: scores.to_dict() for kind, scores in by_kind(graded).items()}
