"""Training: `loop` goes on step by step, `state` is what changes, `step` one update of the weights.

`schedule`, `optim`, `muon` and `loss` say how; `history` is the record of it, `checkpoints` saves all, and `progress`
shows and writes how far a run is.
"""

from ojito.trainer.history import History, Step
from ojito.trainer.loop import fit
from ojito.trainer.loss import count_labels, token_loss
from ojito.trainer.schedule import Clock
from ojito.trainer.state import TrainingError, TrainState
from ojito.trainer.step import train_step

__all__ = [
    "Clock",
    "History",
    "Step",
    "TrainState",
    "TrainingError",
    "count_labels",
    "fit",
    "token_loss",
    "train_step",
]
