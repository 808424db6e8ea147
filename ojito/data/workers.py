"""Processes that read images beside the training, and what is said when one of them is killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from ojito.config import DataConfig
from ojito.data.files import DataError

T = TypeVar("T")
_ALSO_OURS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_GRACE = 1.0  # seconds for a signal to the whole group to reach this process, too


class Workers(Iterator[T]):
    """Items of a dataset, read by processes of their own, in order.

    Args:
        dataset: Gives an item by its key.
        config: The recipe's `data`.
        keys: Of the items, without end. Each is sent to the process that reads it.

    Raises:
        DataError: With an item: a process was killed.
    """

    def __init__(self, dataset: Dataset[T], config: DataConfig, keys: Iterable[Any]) -> None:
        # The tokenizer's threads do not survive a fork; one process a worker is parallel enough.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        self._config = config
        loader = DataLoader(
            dataset,
            batch_size=None,
            sampler=keys,
            num_workers=config.workers,
            prefetch_factor=config.prefetch,
            collate_fn=_unchanged,
            worker_init_fn=_leave_signals,
            # Otherwise it takes a number from PyTorch's own generator, and dropout would depend on the processes.
            generator=torch.Generator(),
        )
        main = threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGCHLD")
        before = signal.getsignal(signal.SIGCHLD) if main else None
        self._items = iter(loader)
        if main:
            # PyTorch's handler raises wherever the training is when a process ends: in the middle of an update as well.
            # Without it, `next` finds out.
            signal.signal(signal.SIGCHLD, before)

    def __next__(self) -> T:
        try:
            return next(self._items)
        except RuntimeError as error:
            killed = [code for code in map(_exit_code, getattr(self._items, "_workers", ())) if code]
            if not killed:
                raise
            if -killed[0] in _ALSO_OURS:
                time.sleep(_GRACE)
            raise self._killed(killed[0]) from error

    def _killed(self, code: int) -> DataError:
        workers, cache = self._config.workers, self._config.cache_mb
        how = f"was killed ({_name(-code)})" if code < 0 else f"ended with exit code {code}"
        if -code == getattr(signal, "SIGBUS", None):
            remedy = "give the container more shared memory (docker run --shm-size=1g), or use data.workers=0"
        else:
            remedy = f"if memory ran out, use fewer data.workers (now {workers}) or less data.cache_mb (now {cache})"
        return DataError("data.workers", f"a process that reads images {how}", remedy)


class InTurn(Dataset[T]):
    """Items of an iterator as a dataset, for one process that is ahead of those that need them.

    Args:
        items: Makes them one after another, whatever their key.
    """

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items

    def __getitem__(self, key: Any) -> T:
        return next(self._items)


def _leave_signals(worker: int) -> None:
    """Leave Ctrl-C and a closed terminal to the training, which ends these processes when it has saved."""
    for number in {*_ALSO_OURS} - {signal.SIGTERM}:  # with which PyTorch ends them
        signal.signal(number, signal.SIG_IGN)


def _exit_code(process: Any) -> int:
    process.join(0)
    return process.exitcode or 0


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _unchanged(item: T) -> T:
    return item
