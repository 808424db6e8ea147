"""Checkpoints of a run: all that decides how it goes on, in a folder that is complete or not there.

`folder` keeps the checkpoints, `files` writes and reads one of them, `saver` writes them beside the training.
"""

from ojito.trainer.checkpoints.files import read_state, write_state
from ojito.trainer.checkpoints.folder import Checkpoints, step_of
from ojito.trainer.checkpoints.saver import Saver

__all__ = ["Checkpoints", "Saver", "read_state", "step_of", "write_state"]
