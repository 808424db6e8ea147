"""A learner's file is graded in a process of its own: it may loop for ever, print, or crash.

While a file is watched, the process is started before it is needed: the answer does not wait for PyTorch's import.
"""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from ojito.learn.grading import Grade

LIMIT = 60.0
"""Seconds after which a file is taken to loop for ever."""


class Worker:
    """A process that grades one file, and another one for the next.

    Args:
        ready: Whether the next one is started at once, before there is a file to grade.
    """

    def __init__(self, ready: bool = False) -> None:
        self._ready = ready
        self._waiting = _start() if ready else None

    def grade(
        self, lesson: Path, path: Path, parts: Mapping[str, Path] | None = None, limit: float = LIMIT
    ) -> tuple[Grade, str]:
        """Grade a file.

        Args:
            lesson: The lesson's folder.
            path: The learner's exercise.py.
            parts: Files of earlier lessons that a milestone is made of.
            limit: Seconds that it may take.

        Returns:
            What is to be said of it, and what it printed.
        """
        process = self._waiting or _start()
        self._waiting = _start() if self._ready else None
        asked = {
            "lesson": str(lesson.absolute()),
            "path": str(path.absolute()),
            "parts": {name: str(file.absolute()) for name, file in (parts or {}).items()},
        }
        try:
            said, errors = process.communicate(json.dumps(asked) + "\n", timeout=limit)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return Grade(says=f"was stopped after {limit:g} s: does a loop never end?"), ""
        if process.returncode or not said.strip():
            last = errors.strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
            return Grade(says=f"ended the process: {last[0]}"), ""
        values = json.loads(said.strip().splitlines()[-1])
        return Grade.from_dict(values), values["printed"]

    def close(self) -> None:
        """End the process that waits."""
        if self._waiting is not None:
            self._waiting.kill()
            self._waiting.communicate()


def _start() -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ojito.learn.worker"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, encoding="utf-8")  # noqa: S603


def main(asked: IO[str], answer: IO[str]) -> None:
    """Read what is to be graded, as JSON, and write the grade."""
    import torch

    from ojito.learn.grading import grade
    from ojito.learn.lesson import Lesson

    torch.set_num_threads(1)
    line = asked.readline()
    if not line:  # it is not needed after all
        return
    values = json.loads(line)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        parts = {name: Path(path) for name, path in values["parts"].items()}
        found = grade(Lesson.read(Path(values["lesson"])), Path(values["path"]), parts)
    answer.write(json.dumps({**found.to_dict(), "printed": printed.getvalue()}) + "\n")


if __name__ == "__main__":
    main(sys.stdin, sys.stdout)
