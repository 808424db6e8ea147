"""Two evaluations beside each other: what differs by more than chance, and on which questions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ojito.errors import OjitoError
from ojito.evaluate.metrics.score import Difference, Score, compare
from ojito.evaluate.predictions import PREDICTIONS
from ojito.evaluate.scoring import score_answers
from ojito.records import Turn

_KEY = ("row", "image", "question", "kind")


@dataclass(frozen=True)
class Prediction:
    """A line of predictions.jsonl.

    Attributes:
        key: Which question it is: the same in every run on the same data.
        turn: The question with its answers.
        given: The model's answer.
        right: Whether it was right.
        images: Paths of the images it was about; None for one that is in no file.
        overlap: Word overlap with the nearest reference; None where no caption was asked for.
    """

    key: tuple[str, ...]
    turn: Turn
    given: str
    right: bool
    images: tuple[str | None, ...] = ()
    overlap: float | None = None

    @property
    def origin(self) -> str:
        """Which row of the data it is of; empty where that is not known."""
        return str(json.loads(self.key[0]) or "")


@dataclass(frozen=True)
class Compared:
    """Two runs on the questions that both were asked.

    Attributes:
        n: Questions of both.
        left_out: Questions of one alone.
        scores: By name, the score of the one and of the other, and how they differ.
        pairs: What the one and the other said to each question of both.
    """

    n: int
    left_out: int
    scores: Mapping[str, tuple[Score, Score, Difference]]
    pairs: Sequence[tuple[Prediction, Prediction]]

    @property
    def won(self) -> list[tuple[Prediction, Prediction]]:
        """Questions that the one has right and the other wrong."""
        return self.of(True, False)

    @property
    def lost(self) -> list[tuple[Prediction, Prediction]]:
        """Questions that the one has wrong and the other right."""
        return self.of(False, True)

    def of(self, one: bool, other: bool) -> list[tuple[Prediction, Prediction]]:
        """Return the questions that the one and the other have right or wrong in this way."""
        return [pair for pair in self.pairs if (pair[0].right, pair[1].right) == (one, other)]

    def to_dict(self) -> dict[str, Any]:
        """Return values for JSON."""
        scores = {
            name: {"a": round(one, 6), "b": round(other, 6), **found.to_dict()}
            for name, (one, other, found) in self.scores.items()
        }
        return {"n": self.n, "left_out": self.left_out, "won": len(self.won), "lost": len(self.lost), "scores": scores}


def read_run(folder: Path | str) -> list[Prediction]:
    """Return the predictions of an evaluation, which `ojito eval --out FOLDER` wrote.

    Raises:
        OjitoError: They cannot be read.
    """
    path = Path(folder)
    path = path / PREDICTIONS if path.is_dir() else path
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise OjitoError(
            path, f"cannot be read ({reason})", "make it with `ojito eval MODEL DATA --out FOLDER`"
        ) from None
    found = []
    for number, line in enumerate(lines, 1):
        try:
            values = json.loads(line)
            answers, choices = (tuple(map(str, texts)) for texts in (values["references"], values.get("choices", ())))
            turn = Turn(str(values["question"]), answers, str(values["kind"]), choices=choices)
            key = tuple(json.dumps(values[name]) for name in _KEY)
            paths = values["image"] if isinstance(values["image"], list) else [values["image"]]
            images = tuple(None if path is None else str(path) for path in paths if values["image"] is not None)
            overlap = None if values.get("overlap") is None else float(values["overlap"])
            found.append(Prediction(key, turn, str(values["answer"]), bool(values["right"]), images, overlap))
        except (ValueError, KeyError, TypeError):
            raise OjitoError(f"{path}:{number}", "is not a prediction", "make the file with `ojito eval`") from None
    if not found:
        raise OjitoError(path, "holds no predictions", "make it with `ojito eval MODEL DATA --out FOLDER`")
    return found


def compare_runs(
    one: Sequence[Prediction], other: Sequence[Prediction], metrics: Sequence[str] | None = None
) -> Compared:
    """Return how two runs differ on the questions that both were asked.

    Args:
        one: A run.
        other: Another run on the same data.
        metrics: As for `score_answers`.

    Raises:
        OjitoError: They have no question in common.
    """
    theirs = _numbered(other)
    pairs = [(mine, theirs[key]) for key, mine in _numbered(one).items() if key in theirs]
    if not pairs:
        raise OjitoError("compare", "the runs have no question in common", "evaluate both on the same data and split")
    ours = score_answers([mine for mine, _ in pairs], metrics)
    beside = score_answers([their for _, their in pairs], metrics)
    scores = {name: (ours[name], beside[name], compare(ours[name], beside[name])) for name in ours if name in beside}
    return Compared(
        n=len(pairs),
        left_out=len(one) + len(other) - 2 * len(pairs),
        scores=scores,
        pairs=pairs,
    )


def _numbered(run: Sequence[Prediction]) -> dict[tuple[Any, ...], Prediction]:
    """The predictions by question; one that is asked twice has a number as well."""
    found: dict[tuple[Any, ...], Prediction] = {}
    for prediction in run:
        number = 0
        while (*prediction.key, number) in found:
            number += 1
        found[(*prediction.key, number)] = prediction
    return found
