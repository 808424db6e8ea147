"""The folder of a run: the model, its checkpoints, and whether it is complete.

    runs/mine/config.json, model.safetensors, ...   the model, when the run has ended
              metrics.jsonl                         the log
              checkpoints/                          from which an unfinished run goes on
              run.json                              what a complete run came to

Of several ranks, the first one reads and writes, and tells the others.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from ojito.checkpoint.durable import replace_text
from ojito.checkpoint.files import CheckpointError, UnsavedError, read_json
from ojito.checkpoint.saving import check_room, free_beside, holds_model
from ojito.config import Config
from ojito.pipeline import Pipeline
from ojito.settings import differences, read, write
from ojito.trainer import TrainState
from ojito.trainer.checkpoints import Checkpoints, Saver, read_state, step_of
from ojito.trainer.progress import Display
from ojito.trainer.ranks import Ranks
from ojito.training.resume import QUIET, Resume, Unfinished

CHECKPOINTS, RUN = "checkpoints", "run.json"
FORMAT = 1


def check_place(folder: Path) -> None:
    """Check that a model can be written there, before training takes its time.

    Raises:
        CheckpointError: It cannot.
    """
    there = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    if there.exists() and not there.is_dir():
        what = "is a file" if there == folder else f"is in {there}, a file"
        raise CheckpointError(str(folder), what, "give a folder")
    check_room(folder)


class RunFolder:
    """The folder of one run.

    Args:
        path: Where it is, or will be.
        asked: The recipe, as it is asked for.
        resume: Whether an unfinished run there is gone on with.
        ranks: The processes that train together.
        display: Says what is found and done.

    Attributes:
        unfinished: The run that is gone on with, after `look`; None of a new one.
        known: What a complete run came to, after `look`; None if this one is still to be done.
    """

    def __init__(self, path: Path, asked: Config, resume: Resume, ranks: Ranks, display: Display) -> None:
        self.path, self._asked, self._resume = path, asked, resume
        self._ranks, self._display = ranks, display
        self._checkpoints = Checkpoints(path / CHECKPOINTS, asked.train.keep)
        self.unfinished: Unfinished | None = None
        self.known: dict[str, Any] | None = None

    @property
    def step(self) -> int:
        """Steps that were done when the run was gone on with."""
        return self.unfinished.step if self.unfinished else 0

    def look(self, force: bool) -> None:
        """Find what there is to go on with.

        Args:
            force: Whether a new run may replace what is there.

        Raises:
            CheckpointError: There is something that must not be replaced, or nothing to go on with.
            ConfigError: The run that is there has another recipe.
        """
        found = self._look(force) if self._ranks.first else {}
        found = self._ranks.gather(found)[0]
        self.known = found["known"]
        if found["checkpoint"] and self.known is None:
            path = Path(found["checkpoint"])
            self.unfinished = Unfinished(path, read_state(path))
            for line in self.unfinished.changed(self._asked):
                self._display.say(line)

    def _look(self, force: bool) -> dict[str, Any]:
        known = self._read_complete()
        newest = None if self._resume == "no" else self._checkpoints.newest(self._display.say)
        # Where a new run has replaced a complete one with the same recipe, its checkpoints are those of fewer steps.
        if self._resume != "no" and known and (newest is None or step_of(newest) >= known["history"]["steps"]):
            return {"known": known, "checkpoint": ""}
        if newest is None:
            self._check_free(force)
        return {"known": None, "checkpoint": str(newest or "")}

    def _check_free(self, force: bool) -> None:
        """Check that a new run may begin here.

        Raises:
            CheckpointError: It may not.
        """
        there = self._checkpoints.all()
        if there and self._resume != "no":
            raise CheckpointError(self._checkpoints.folder, "holds damaged checkpoints only", "begin elsewhere")
        if self._resume == "must":
            raise CheckpointError(self.path, "holds no checkpoint to go on with", "begin with --resume auto")
        if there and not force:
            remedy = "go on with --resume auto, choose another folder, or begin anew with --force"
            raise CheckpointError(self.path, f"holds a run that came to step {step_of(there[-1])}", remedy)
        if holds_model(self.path) and not force:
            remedy = "choose another folder, or replace it with force=True"
            raise CheckpointError(self.path, "holds a model already", remedy)

    def check_model(self, pipe: Pipeline) -> None:
        """Check that there is room for the model.

        Raises:
            CheckpointError: There is not.
        """
        check_room(self.path, pipe.saved_bytes())

    def saver(self, rows: str) -> Saver:
        """Return what saves the state of the run; checkpoints of another run are put out of its way.

        Args:
            rows: By which the data are known again.

        Raises:
            CheckpointError: They cannot be moved.
        """
        if self.unfinished is None and self._ranks.first:
            self._make_way()
        about = {"recipe": write(self._asked), "rows": rows, "threads": torch.get_num_threads()}
        train, step = self._asked.train, self.step or -1
        again = self._resume != "no"
        return Saver(self._checkpoints, train, self._ranks, about, again, step, self._display.say)

    def _make_way(self) -> None:
        try:
            aside = self._checkpoints.set_aside()
        except OSError as error:
            raise CheckpointError(self.path, f"cannot be written ({error.strerror})", "give another folder") from error
        if aside is not None:
            self._display.say(f"the checkpoints of the run before are in {aside} now")

    def take_best(self, state: TrainState) -> int:
        """Go back to the weights with the best score; return the step that they are of."""
        found = self._checkpoints.best() if self._ranks.first else None
        best = Path(self._ranks.gather({"best": str(found or "")})[0]["best"])
        if step_of(best) in (-1, state.clock.step):
            return state.clock.step
        state.load_weights(read_state(best)["model"])
        self._display.say(f"the model is that of step {step_of(best)}, with the best {self._asked.train.score}")
        return step_of(best)

    def save(self, pipe: Pipeline) -> None:
        """Save the model; if it cannot be saved there any more, in the folder for temporary files.

        Raises:
            UnsavedError: It could not be saved where it belongs.
        """
        if not self._ranks.first:
            return
        try:
            pipe.save(self.path)
        except CheckpointError as error:
            spare = Path(tempfile.mkdtemp(prefix="ojito-"))
            try:
                pipe.save(spare)
            except CheckpointError:
                shutil.rmtree(spare, ignore_errors=True)
                raise error from None
            remedy = f"the model is in {spare}: move it before it is cleared"
            raise UnsavedError(error.where, error.problem, remedy) from error
        with suppress(OSError):  # of a run whose model was just replaced
            (self.path / RUN).unlink(missing_ok=True)

    def save_after_failure(self, pipe: Pipeline, state: TrainState) -> None:
        """Keep what a run learned that failed, but not in place of a model that was there before."""
        say = self._display.say
        if not state.clock.step:
            if holds_model(self.path):
                say(f"ojito: the run ended before its first step; the weights in {self.path} are those of before")
            return
        if not self._ranks.alone:
            return  # weights in the middle of a step, perhaps: the run goes on from its checkpoint
        if not state.sound:
            say("ojito: nothing was saved: the weights give no finite loss, and none from before them are left")
            return
        folder = free_beside(self.path) if holds_model(self.path) else self.path
        try:
            pipe.save(folder)
            say(f"ojito: the last good weights are in {folder}")
        except CheckpointError as error:  # the failure of the run is what is told at the end
            say(f"ojito: the last good weights are lost: {error}")

    def complete(self, values: Mapping[str, Any]) -> None:
        """Write down that the run is complete.

        Args:
            values: What to tell when it is asked for again.

        Raises:
            UnsavedError: It cannot be written.
        """
        if not self._ranks.first:
            return
        text = json.dumps({"format": FORMAT, "recipe": write(self._asked), **values}, ensure_ascii=False, indent=1)
        try:
            replace_text(self.path / RUN, text + "\n")
        except OSError as error:
            raise UnsavedError(self.path / RUN, f"cannot be written ({error.strerror})", "free the disk") from error

    def _read_complete(self) -> dict[str, Any] | None:
        """What `complete` wrote, if the recipe was the same in all that matters."""
        if not (self.path / RUN).is_file():
            return None
        values = read_json(self.path, RUN)
        if values.get("format") != FORMAT:
            problem = f"is not of format {FORMAT}"
            raise CheckpointError(self.path / RUN, problem, "begin a new run in another folder")
        changed = differences(read(Config, values["recipe"]), self._asked, "")
        return values if all(key.startswith(QUIET) for key, _, _ in changed) else None
