"""Every line of a run, sent to metrics.jsonl and to the other logs that the recipe asks for."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

from ojito.errors import OjitoError
from ojito.trainer.logs import tensorboard, wandb
from ojito.trainer.logs.jsonl import JsonLines
from ojito.trainer.logs.sink import Sink

log = logging.getLogger(__name__)

_CHECKS: dict[str, Callable[[], None]] = {"tensorboard": tensorboard.check, "wandb": wandb.check}
_SINKS: dict[str, Callable[[Path, int | None], Sink]] = {
    "tensorboard": tensorboard.TensorBoard,
    "wandb": wandb.WandB,
}


def check_logs(names: Collection[str], folder: Path | str | None) -> None:
    """Check that the logs of `train.logs` can be written, before anything takes its time.

    Args:
        names: "tensorboard", "wandb".
        folder: Of the run.

    Raises:
        OjitoError: A package is missing, or there is no folder to write to.
    """
    for name in names:
        _CHECKS[name]()
    if names and folder is None:
        raise OjitoError("train.logs", f"{', '.join(names)} needs a folder to write to", "give out, or leave it empty")


class Metrics(AbstractContextManager["Metrics"]):
    """The logs of a run: metrics.jsonl in a folder, and others beside it. Without a folder, none.

    A log that fails, on a full disk for example, ends; the run and the other logs go on.

    Args:
        folder: The folder of the run.
        after: The step that a run is gone on with from; None where a run begins. What is known of later steps is
            dropped, so that the log becomes that of a run that was never stopped.
        also: The other logs, as `train.logs` names them.

    Raises:
        OjitoError: The package of one of them is missing.
    """

    def __init__(self, folder: Path | str | None, after: int | None = None, also: Collection[str] = ()) -> None:
        self._sinks: list[Sink] = []
        if folder is not None:
            self._sinks.append(JsonLines(Path(folder), after))
            for name in also:
                self._add(name, Path(folder), after)

    def write(self, line: Mapping[str, Any]) -> None:
        """Add a line to each log."""
        for sink in [*self._sinks]:
            try:
                sink.write(line)
            except Exception as error:  # noqa: BLE001 - whatever ails a log is no reason to lose the run
                self._drop(sink, error)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sink in [*self._sinks]:
            try:
                sink.close()
            except Exception as failure:  # noqa: BLE001 - as in `write`
                self._drop(sink, failure)
        self._sinks = []

    def _add(self, name: str, folder: Path, after: int | None) -> None:
        try:
            self._sinks.append(_SINKS[name](folder, after))
        except OjitoError:
            raise
        except Exception as error:  # noqa: BLE001 - as in `write`
            log.warning("%s: cannot be written (%s); training goes on without it", name, _reason(error))

    def _drop(self, sink: Sink, error: Exception) -> None:
        log.warning("%s: cannot be written (%s); training goes on without it", sink.name, _reason(error))
        self._sinks.remove(sink)
        with contextlib.suppress(Exception):  # what could not be written is tried again
            sink.close()


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or f"{type(error).__name__}: {error}".removesuffix(": ")
