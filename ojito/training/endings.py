"""The end of a run: its model is saved, whatever happened."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from ojito.checkpoint.files import CheckpointError, UnsavedError
from ojito.checkpoint.saving import check_room, free_beside, holds_model
from ojito.pipeline import Pipeline
from ojito.trainer import TrainState
from ojito.trainer.progress import Display


def check_out(out: Path) -> None:
    """Check that a model can be written there, before training takes its time.

    Raises:
        CheckpointError: It cannot.
    """
    there = next((path for path in (out, *out.parents) if path.exists()), out)
    if there.exists() and not there.is_dir():
        raise CheckpointError(str(out), "is a file" if there == out else f"is in {there}, a file", "give a folder")
    check_room(out)


def save(pipe: Pipeline, out: Path) -> None:
    """Save the model; if it cannot be saved there any more, in the folder for temporary files.

    Raises:
        UnsavedError: It could not be saved where it belongs.
    """
    try:
        pipe.save(out)
    except CheckpointError as error:
        spare = Path(tempfile.mkdtemp(prefix="ojito-"))
        try:
            pipe.save(spare)
        except CheckpointError:
            shutil.rmtree(spare, ignore_errors=True)
            raise error from None
        remedy = f"the model is in {spare}: move it before it is cleared"
        raise UnsavedError(error.where, error.problem, remedy) from error


def save_after_failure(pipe: Pipeline, state: TrainState, out: Path, display: Display) -> None:
    """Keep what a run learned that failed, but not in place of a model that was there before."""
    if not state.sound:
        display.say("ojito: nothing was saved: the weights give no finite loss, and none from before them are left")
        return
    folder = free_beside(out) if holds_model(out) else out
    try:
        pipe.save(folder)
        display.say(f"ojito: the last good weights are in {folder}")
    except CheckpointError as error:  # the failure of the run is what is told at the end
        display.say(f"ojito: the last good weights are lost: {error}")
