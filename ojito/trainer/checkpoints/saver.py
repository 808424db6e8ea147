"""When a run saves its state, and the thread that writes it while the training goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from ojito.checkpoint.files import UnsavedError
from ojito.config import TrainConfig
from ojito.device import available_memory
from ojito.trainer.checkpoints.files import copied, nbytes, write_state
from ojito.trainer.checkpoints.folder import Checkpoints
from ojito.trainer.parallel import gathered
from ojito.trainer.ranks import Ranks

_ROOM = 2  # times the size of the copy that has to be free, before one is made


class Saver:
    """Saves checkpoints of a run every `save_every` steps, and every `save_minutes`.

    The state is copied, which takes as long as memory does, and a thread writes the copy. One save at a time: the next
    waits for the last. Where memory has no room for a copy, the training waits for the disk.

    A save that fails is told, and loses nothing: the training goes on, with the checkpoints that there are.

    Args:
        checkpoints: Where to.
        config: The recipe's `train`.
        ranks: The processes that train together; the first one writes, and all of them save at the same time.
        about: What else to write into each: of the run, and not of its state.
        again: Whether the run is begun to be gone on with, so that the state at its end is saved, too.
        saved: The step of the checkpoint that the run goes on from.
        say: Hears of saves that failed.
        now: Clock, seconds.

    Attributes:
        saved: The step of the last checkpoint that was begun; -1 before there was one.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        config: TrainConfig,
        ranks: Ranks | None = None,
        about: Mapping[str, Any] = MappingProxyType({}),
        again: bool = False,
        saved: int = -1,
        say: Callable[[str], object] = lambda line: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.checkpoints = checkpoints
        self.saved = saved
        self._ranks = ranks or Ranks()
        self._about, self._again = dict(about), again
        self._every, self._seconds = config.save_every, 60 * config.save_minutes
        self._say, self._now = say, now
        self._last = now()
        self._thread: threading.Thread | None = None
        self._error: UnsavedError | None = None

    def due(self, step: int) -> bool:
        """Whether the state after this step is to be saved."""
        if step in (0, self.saved):
            return False
        by_steps = self._every > 0 and step % self._every == 0
        return by_steps or (self._seconds > 0 and self._now() - self._last >= self._seconds)

    def wanted(self, interrupted: bool) -> bool:
        """Whether the state at the end of a run is saved: not that of a short run that nobody will go on with."""
        return interrupted or self._again or self._every > 0 or bool(self.checkpoints.all())

    def save(self, step: int, values: Mapping[str, Any], best: bool = False, wait: bool = False) -> None:
        """Save the state of a run.

        Args:
            step: Steps that are done.
            values: As `TrainState.state_dict` returns them.
            best: Whether the model has its best score.
            wait: Whether to return when it is on the disk.

        Raises:
            UnsavedError: With `wait`, it cannot be written.
        """
        self.finish()
        self.saved, self._last = step, self._now()
        if not self._ranks.alone:
            values = gathered(values, keep=self._ranks.first)
        if not self._ranks.first:
            return
        values = {**values, **self._about}
        size, free = nbytes(values), available_memory("cpu")
        if wait or (free is not None and free < _ROOM * size):
            self._write(step, values, best)
            self.finish(raises=wait)
            return
        self._thread = threading.Thread(target=self._write, args=(step, copied(values), best), name="checkpoint")
        self._thread.start()

    def finish(self, raises: bool = False) -> None:
        """Wait for the save that is under way, and tell if it failed.

        Args:
            raises: Whether a failure is an error.

        Raises:
            UnsavedError: With `raises`, the save failed.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None and raises:
            raise error
        if error is not None:
            there = self.checkpoints.all()
            kept = f"the last one is {there[-1].name}" if there else "there is none yet"
            self._say(f"no checkpoint of this moment: {error}; {kept}, and training goes on")

    def _write(self, step: int, values: Mapping[str, Any], best: bool) -> None:
        try:
            self.checkpoints.save(step, partial(write_state, values=values), best)
        except UnsavedError as error:
            self._error = error
        except (RuntimeError, MemoryError) as error:  # a thread's error would be lost
            self._error = UnsavedError(self.checkpoints.folder, f"cannot be written ({error})", "free memory")
