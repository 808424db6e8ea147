"""Training: `recipe` prepares, `loop` fits, `schedule`, `optim`, `muon` and `loss` say how. Start at `loop.py`."""

from ojito.train.loop import History, TrainingError, fit
from ojito.train.schedule import Clock

__all__ = ["Clock", "History", "TrainingError", "fit"]
