"""`ojito learn watch`: a check at every save, and keys."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path

from ojito.commands.learn_check import check
from ojito.errors import OjitoError, UsageError
from ojito.learn.watching import keyboard
from ojito.learn.watching import watch as watch_file
from ojito.learn.worker import Worker
from ojito.learn.workspace import Workspace

Action = Callable[[Workspace, str, Namespace], int]
"""What a word of `ojito learn` does."""

_KEYS = "n next   h hint   l list   r run again   s solution   q quit"
_TERMINAL_EDITORS = {"vi", "vim", "nvim", "nano", "pico", "micro", "hx", "helix", "kak", "joe"}


def watch(space: Workspace, args: Namespace, actions: Mapping[str, Action]) -> None:
    """Check at every save until it is ended.

    Args:
        space: The learner's folder.
        args: Of the command; `edit` is the editor's.
        actions: What keys do besides "r", which checks again, and "q", which ends it.
    """
    worker = Worker(ready=True)

    def checked() -> None:
        print("\033[2J\033[H" * sys.stdout.isatty(), end="")
        print(f"{space.course.heading(space.current)}\n{space.exercise(space.current)}\n")
        _guarded(lambda: check(space, space.current, worker, args))
        print(f"\n{_KEYS}", flush=True)

    def react(what: str) -> bool:
        before = space.current
        if what in ("q", "\x04"):
            return False
        if what in ("save", "r"):
            checked()
        elif what in actions:
            _guarded(lambda: actions[what](space, space.current, args))
        if args.edit is not None and space.current != before:
            _edit(args.edit, space)
        return True

    try:
        with keyboard() as keys:
            if args.edit is not None:
                _edit(args.edit, space)
            checked()
            watch_file(lambda: space.exercise(space.current), react, keys)
    except KeyboardInterrupt:
        print()
    finally:
        worker.close()


def _edit(command: str, space: Workspace) -> None:
    """Open the exercise in the learner's editor, and go on."""
    where = f"--edit {command}"
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(where, f"cannot be read: {str(error).lower()}", "close what is quoted") from error
    if Path(words[0]).name in _TERMINAL_EDITORS:
        if not os.environ.get("TMUX"):
            remedy = "run watch inside tmux, which has a pane for each, or open the file in a second terminal"
            raise UsageError(where, "wants the terminal for itself, and watch writes into it", remedy)
        words = ["tmux", "split-window", "-h", *words]
    try:
        # Keys belong to watch.
        subprocess.Popen([*words, str(space.exercise(space.current))], stdin=subprocess.DEVNULL)  # noqa: S603
    except OSError as error:
        raise UsageError(where, f"cannot be run: {error.strerror}", "give a command, such as code") from error


def _guarded(do: Callable[[], object]) -> None:
    """A mistake is told, and watching goes on."""
    try:
        do()
    except OjitoError as error:
        print(error)
