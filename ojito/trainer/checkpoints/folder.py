"""The checkpoints of a run, in a folder of their own.

    runs/mine/checkpoints/step-00000200/state.safetensors, state.json, manifest.json
                          step-00000400/...
                          latest        the name of the newest
                          best          the name of the one with the best score

A checkpoint is written to a hidden folder, synced to the disk file by file, described by a manifest of sizes and
SHA-256, and renamed: what can be seen is complete. `latest` moves after that, and an old checkpoint is deleted when the
new one was read again. So whatever ends the process, at any moment, the newest complete one loads.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ojito.checkpoint.durable import digest, replace_text, sync
from ojito.checkpoint.files import CheckpointError, UnsavedError, read_json

LATEST, BEST, MANIFEST = "latest", "best", "manifest.json"
_NAME = re.compile(r"step-([0-9]{8,18})")
_SAVING, _DROPPED = ".saving", ".dropped"


def step_of(checkpoint: Path) -> int:
    """Return the number of steps that were done when a checkpoint was saved."""
    match = _NAME.fullmatch(checkpoint.name)
    return int(match[1]) if match else -1


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: Where they are, or will be.
        keep: How many of the newest stay; the best one stays besides.
    """

    def __init__(self, folder: Path | str, keep: int = 2) -> None:
        self.folder, self.keep = Path(folder), keep

    def all(self) -> list[Path]:
        """Return the checkpoints, oldest first."""
        found = [path for path in self.folder.iterdir() if step_of(path) >= 0] if self.folder.is_dir() else []
        return sorted(found, key=step_of)

    def newest(self, say: Callable[[str], object] = lambda line: None) -> Path | None:
        """Return the newest checkpoint that is whole; None if there is none.

        Args:
            say: Hears of those that are damaged, as a disk may do.
        """
        for path in reversed(self.all()):
            problem = self.problem(path)
            if not problem:
                return path
            say(f"{path}: {problem}; an older checkpoint is used")
        return None

    def best(self) -> Path | None:
        """Return the checkpoint with the best score, if one was marked."""
        with suppress(OSError, UnicodeDecodeError):
            path = self.folder / (self.folder / BEST).read_text(encoding="utf-8").strip()
            if path.parent == self.folder and step_of(path) >= 0 and path.is_dir():
                return path
        return None

    def save(self, step: int, write: Callable[[Path], None], best: bool = False) -> Path:
        """Save a checkpoint, whole or not at all, and drop those that are too many.

        Args:
            step: Steps that are done.
            write: Writes its files into the folder that it is given.
            best: Whether it has the best score so far.

        Raises:
            UnsavedError: It cannot be written. Those before it stay.
        """
        target = self.folder / f"step-{step:08}"
        staging = self.folder / _SAVING
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(staging, ignore_errors=True)  # of a save that was cut short
            staging.mkdir()
            write(staging)
            _describe(staging)
            for path in (*staging.iterdir(), staging):
                sync(path)
            self._drop(target)  # the same step, saved before: by a run that was killed, or damaged since
            os.rename(staging, target)
            sync(self.folder)
            problem = self.problem(target)
            if problem:
                raise UnsavedError(target, problem, "save on another disk")
            if best:
                replace_text(self.folder / BEST, target.name + "\n")
            replace_text(self.folder / LATEST, target.name + "\n")
            for path in self._too_many():
                self._drop(path)
        except OSError as error:
            reason = error.strerror or str(error) or type(error).__name__
            raise UnsavedError(target, f"cannot be written ({reason})", "free the disk") from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return target

    def problem(self, path: Path) -> str:
        """Return what is wrong with a checkpoint, read whole; empty if nothing is."""
        try:
            for name, size, known in _described(path):
                file = path / name
                if file.stat().st_size != size:
                    return f"{name} has {file.stat().st_size} bytes of {size}"
                if digest(file) != known:
                    return f"{name} is damaged"
        except (OSError, CheckpointError, KeyError, TypeError, ValueError) as error:
            return f"is not whole ({error})"
        return ""

    def set_aside(self) -> Path | None:
        """Move all of them out of the way of a new run, into "checkpoints-1"; return where, None if there are none.

        Raises:
            OSError: They cannot be moved.
        """
        if not self.all():
            return None
        number = 1
        while (aside := self.folder.with_name(f"{self.folder.name}-{number}")).exists():
            number += 1
        os.rename(self.folder, aside)
        return aside

    def _too_many(self) -> list[Path]:
        every = self.all()
        return [path for path in every[: max(0, len(every) - self.keep)] if path != self.best()]

    def _drop(self, path: Path) -> None:
        """Delete a checkpoint; the first step hides it, so that a part of one is never seen."""
        if path.exists():
            dropped = self.folder / _DROPPED
            shutil.rmtree(dropped, ignore_errors=True)
            os.rename(path, dropped)
            shutil.rmtree(dropped, ignore_errors=True)


def _describe(folder: Path) -> None:
    """Write the manifest of the files that are there."""
    files: dict[str, Any] = {
        path.name: {"bytes": path.stat().st_size, "sha256": digest(path)} for path in sorted(folder.iterdir())
    }
    (folder / MANIFEST).write_text(json.dumps({"files": files}, indent=1) + "\n", encoding="utf-8")


def _described(folder: Path) -> Iterator[tuple[str, int, str]]:
    """Name, bytes and SHA-256 of each file."""
    for name, entry in read_json(folder, MANIFEST)["files"].items():
        if Path(name).name != name:
            raise CheckpointError(folder / MANIFEST, f"names {name!r}, no plain name", "use an older checkpoint")
        yield name, int(entry["bytes"]), str(entry["sha256"])
