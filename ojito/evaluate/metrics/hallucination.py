"""Things that are said and not there: POPE's questions about objects, CHAIR's objects in captions; and NaturalBench.

Sources: Li et al. 2023, https://arxiv.org/abs/2305.10355 (POPE); Rohrbach et al. 2018, https://arxiv.org/abs/1809.02156
(CHAIR); Li et al. 2024, https://arxiv.org/abs/2410.14669 (NaturalBench).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ojito.errors import OjitoError
from ojito.evaluate.metrics.score import Score, ratio

_WORD = re.compile(r"\w+(?:'\w+)?")
_NO = {"no", "not"}


@dataclass(frozen=True)
class Pope:
    """Scores of answers to "is there a ... in the image?".

    Attributes:
        accuracy: Share of right answers.
        precision: Share of right ones among those that say yes.
        recall: Share of the objects that are there that are found.
        f1: Harmonic mean of both.
        yes_rate: Share of answers that say yes. A model that does not look tends to agree with whatever is asked.
    """

    accuracy: Score
    precision: Score
    recall: Score
    f1: Score
    yes_rate: Score


def pope(answers: Sequence[str], present: Sequence[bool]) -> Pope:
    """Return the scores of POPE, each 0 to 1.

    Args:
        answers: What the model said. Its first sentence counts, as a no where it has "no" or "not".
        present: Whether the object is there.

    Raises:
        OjitoError: They are not as many.
    """
    _check("present", len(answers), len(present))
    said, there = np.array([_says_yes(answer) for answer in answers]), np.array(present, dtype=bool)
    right, hits = said == there, said & there
    one = np.ones(len(said))

    def share(part: np.ndarray, of: np.ndarray) -> Score:
        return Score(np.stack((part, of), axis=1), ratio)

    # F1 = 2 TP / (TP + FP + TP + FN)
    f1 = Score(np.stack((2 * hits, said.astype(int) + there), axis=1), ratio)
    return Pope(share(right, one), share(hits, said), share(hits, there), f1, share(said, one))


@dataclass(frozen=True)
class Chair:
    """Objects that captions name and images do not have.

    Attributes:
        sentences: Share of captions that name such an object (CHAIRs).
        instances: Share of named objects that are not there (CHAIRi).
    """

    sentences: Score
    instances: Score


def chair(captions: Sequence[str], present: Sequence[Sequence[str]], objects: Mapping[str, Sequence[str]]) -> Chair:
    """Return how much of what captions name is not there, each 0 to 1; less is better.

    Args:
        captions: One an image.
        present: The objects of each image, by their names in `objects`.
        objects: Of each object that counts, the words for it, beside its name. Plurals in -s and -es are found.

    Raises:
        OjitoError: They are not as many, or an image has an object that is not listed.
    """
    _check("present", len(captions), len(present))
    unknown = {name for group in present for name in group} - set(objects)
    if unknown:
        raise OjitoError("present", f"{min(unknown)!r} is not one of the objects", "list it, or leave it out")
    names = {tuple(_words(word)): name for name, words in objects.items() for word in (name, *words)}
    longest = max(map(len, names), default=1)
    counts = []
    for caption, group in zip(captions, present, strict=True):
        named = _named(_words(caption), names, longest)
        wrong = [name for name in named if name not in group]
        counts.append([bool(wrong), 1, len(wrong), len(named)])
    table = np.array(counts, dtype=float).reshape(-1, 4)
    return Chair(Score(table[:, :2], ratio), Score(table[:, 2:], ratio))


@dataclass(frozen=True)
class NaturalBench:
    """Scores of groups of two images and two questions, whose answers differ between the images.

    Attributes:
        accuracy: Share of right answers.
        question: Share of questions that are right for both images.
        image: Share of images for which both questions are right.
        group: Share of groups with four right answers. Who does not look has none.
    """

    accuracy: Score
    question: Score
    image: Score
    group: Score


def natural_bench(right: Sequence[Sequence[Sequence[bool]]]) -> NaturalBench:
    """Return the scores of NaturalBench, each 0 to 1.

    Args:
        right: (groups, 2 questions, 2 images) whether the answer is right.

    Raises:
        OjitoError: It has another shape.
    """
    table = np.array(right, dtype=bool)
    if table.ndim != 3 or table.shape[1:] != (2, 2):
        raise OjitoError("right", f"has the shape {table.shape}", "give (groups, 2 questions, 2 images)")
    by_question, by_image = table.all(axis=2), table.all(axis=1)
    return NaturalBench(
        Score.mean(table.mean(axis=(1, 2))),
        Score.mean(by_question.mean(axis=1)),
        Score.mean(by_image.mean(axis=1)),
        Score.mean(np.array(table.all(axis=(1, 2)))),
    )


def _says_yes(answer: str) -> bool:
    return not _NO & set(_words(answer.partition(".")[0]))


def _named(words: list[str], names: Mapping[tuple[str, ...], str], longest: int) -> list[str]:
    """Every object that the words name, each time; a longer name ("hot dog") goes before a shorter one ("dog")."""
    found, at = [], 0
    while at < len(words):
        for length in range(min(longest, len(words) - at), 0, -1):
            *before, last = words[at : at + length]
            name = next((names[form] for end in _singulars(last) if (form := (*before, end)) in names), None)
            if name is not None:
                found.append(name)
                at += length
                break
        else:
            at += 1
    return found


def _singulars(word: str) -> list[str]:
    return [word, *(word.removesuffix(end) for end in ("s", "es") if word.endswith(end))]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _check(name: str, ours: int, theirs: int) -> None:
    if ours != theirs:
        raise OjitoError(name, f"{theirs} for {ours} answers", "give one for each answer")
