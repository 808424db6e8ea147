"""Answers of an evaluation that is not finished, kept as they come: the same command goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ojito.records import Sample

if TYPE_CHECKING:
    from ojito.generate import Finish

JOURNAL = "answers.partial.jsonl"


class Journal:
    """Answers in a file, a line each.

    Args:
        path: The file. One that is there goes on if it begins with the same head; any other is begun anew.
        head: What decides the answers: the model, the questions, the options.

    Attributes:
        found: Answers that were there.
    """

    def __init__(self, path: Path, head: Mapping[str, Any]) -> None:
        self._path, first = path, json.dumps(head, sort_keys=True)
        self._known: dict[tuple[str, int], tuple[str, Finish]] = {}
        kept = _lines(path)
        if kept[:1] == [first]:
            for line in kept[1:]:
                try:
                    values = json.loads(line)
                    self._known[values["control"], values["number"]] = values["answer"], values["finish"]
                except (ValueError, KeyError, TypeError):  # the line that was being written
                    continue
        self.found = len(self._known)
        self._file = path.open("w", encoding="utf-8")
        self._file.write(first + "\n")
        for (control, number), (answer, finish) in self._known.items():
            self._write(control, number, answer, finish)
        self._file.flush()

    def get(self, control: str, number: int) -> tuple[str, Finish] | None:
        """Return an answer, and why it ended, if it is known.

        Args:
            control: Which control asked; empty for the question itself.
            number: Of the question.
        """
        return self._known.get((control, number))

    def put(self, control: str, number: int, answer: str, finish: Finish) -> None:
        """Keep an answer."""
        self._write(control, number, answer, finish)
        self._file.flush()

    def close(self, done: bool) -> None:
        """Close the file, which is gone when everything is done."""
        self._file.close()
        if done:
            self._path.unlink(missing_ok=True)

    def _write(self, control: str, number: int, answer: str, finish: Finish) -> None:
        values = {"control": control, "number": number, "answer": answer, "finish": finish}
        self._file.write(json.dumps(values, ensure_ascii=False) + "\n")


def fingerprint(samples: Sequence[Sample]) -> str:
    """Return a text that differs between other rows, or other questions about them."""
    told = hashlib.sha256()
    for sample in samples:
        turns = [[turn.prompt, turn.answers, turn.kind] for turn in sample.dialogue]
        images = [str(image) if isinstance(image, (str, Path)) else type(image).__name__ for image in sample.images]
        told.update(json.dumps([sample.origin, sample.system, images, turns]).encode())
    return told.hexdigest()


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return []
