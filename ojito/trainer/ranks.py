"""The processes that train one model together, one a device: who I am, what we agree on, and who is lost.

`torchrun` starts them and tells each its number. Alone, everything here does nothing.
"""

from __future__ import annotations

import datetime
import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from ojito.errors import OjitoError

_POLL = 0.05  # seconds between two looks for the others
_GRACE = 3.0  # seconds in which those that are left report, before the others are called lost

# Kept until the process ends. DDP holds its group as well, and when the model is the last to hold it, it waits for the
# group's threads without giving up the interpreter's lock, for which one of them may be waiting (pytorch#56297).
_left: list[Any] = []


class LostRankError(OjitoError):
    """Another process of this run is gone, so that no step can be finished."""

    exit_code = 4


class Ranks:
    """This process among those of its run. Made by `join`; alone, it is rank 0 of 1.

    Attributes:
        rank: Number of this process.
        count: Processes of the run.
        local: Number of this process on its machine, which is that of its GPU.
        step: Step that is under way, for messages.
    """

    def __init__(self, rank: int = 0, count: int = 1, local: int = 0) -> None:
        self.rank, self.count, self.local = rank, count, local
        self.step = 0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there is no other."""
        return self.count == 1

    def sums(self, *numbers: float) -> list[float]:
        """Return the sums of numbers over all ranks.

        Raises:
            LostRankError: A rank is gone.
        """
        return self._reduce(numbers, dist.ReduceOp.SUM)

    def greatest(self, *numbers: float) -> list[float]:
        """Return the greatest of each number over all ranks. Arguments and errors as for `sums`."""
        return self._reduce(numbers, dist.ReduceOp.MAX)

    def _reduce(self, numbers: Sequence[float], operation: Any) -> list[float]:
        if self.alone:
            return [*numbers]
        shared = torch.tensor(numbers, dtype=torch.float64)
        with self.watched():
            dist.all_reduce(shared, operation)
        return shared.tolist()

    def gather(self, value: Mapping[str, Any]) -> list[Any]:
        """Return the values of all ranks, in their order.

        Args:
            value: What JSON can hold.

        Raises:
            LostRankError: A rank is gone.
        """
        if self.alone:
            return [value]
        mine = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        (longest,) = self.greatest(len(mine))
        padded = torch.zeros(int(longest), dtype=torch.uint8)
        padded[: len(mine)] = mine
        every = [torch.zeros_like(padded) for _ in range(self.count)]
        with self.watched():
            dist.all_gather(every, padded)
        return [json.loads(bytes(each.tolist()).rstrip(b"\0")) for each in every]

    def gather_tensor(self, tensor: Tensor) -> list[Tensor]:
        """Return the tensors of all ranks, which have one shape, on the CPU. Errors as for `gather`."""
        if self.alone:
            return [tensor]
        every = [torch.zeros_like(tensor) for _ in range(self.count)]
        with self.watched():
            dist.all_gather(every, tensor)
        return every

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Give what fails in here, because another process is gone, the name of that process.

        Raises:
            LostRankError: A rank is gone.
        """
        try:
            yield
        except RuntimeError as error:
            if self.alone or isinstance(error, torch.cuda.OutOfMemoryError):
                raise
            raise self._lost(error) from error

    def _lost(self, error: RuntimeError) -> LostRankError:
        missing = _missing(self)
        who = f"rank {', '.join(map(str, missing))}" if missing else "a rank"
        return LostRankError(
            f"rank {self.rank}",
            f"{who} of {self.count} was lost in step {self.step + 1}",
            "see its own messages; the same command with --resume auto goes on",
            [str(error).splitlines()[0]],
        )


def is_first() -> bool:
    """Whether this process is the first, or the only one, of those that `torchrun` started."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def join(device: torch.device | str = "auto", timeout: float = 300.0) -> Iterator[Ranks]:
    """Join the processes that `torchrun` started; without it, be alone.

    Args:
        device: Where to train; "auto" is the GPU of this process, where there is one.
        timeout: Seconds that a rank waits for another.

    Raises:
        OjitoError: The environment of `torchrun` is not whole, or the others do not come.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or dist.is_initialized():
        yield Ranks(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else Ranks()
        return
    try:
        ranks = Ranks(int(os.environ["RANK"]), count, int(os.environ["LOCAL_RANK"]))
    except (KeyError, ValueError) as error:
        raise OjitoError("WORLD_SIZE", f"is {count}, and {error} is not set", "start with torchrun") from None
    on_gpu = torch.cuda.is_available() and not str(device).startswith("cpu")
    if on_gpu:
        torch.cuda.set_device(ranks.local)
    try:
        backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
        limit = datetime.timedelta(seconds=timeout)
        shared = _store(limit)
        store = PrefixStore(meet(shared, ranks, timeout), shared)
        dist.init_process_group(backend, store=store, rank=ranks.rank, world_size=count, timeout=limit)
    except (RuntimeError, ValueError) as error:
        problem = f"cannot meet the others: {str(error).splitlines()[0]}"
        raise OjitoError(f"rank {ranks.rank}", problem, "start all of them with torchrun") from error
    try:
        yield ranks
    finally:
        _leave()


def meet(store: Store, ranks: Ranks, timeout: float) -> str:
    """Return a word that only the processes know which run now, to tell their entries in the store from older ones.

    When `torchrun` starts the processes again, the store is the one of before, and has the addresses of those that are
    gone. So each process brings a word of its own. The first one writes down the words of all that answer to its own;
    who finds itself there has met the others.

    Args:
        store: That all processes reach.
        ranks: All of them.
        timeout: Seconds to wait for the others.

    Raises:
        RuntimeError: They did not come.
    """
    mine, until = uuid.uuid4().hex, time.monotonic() + timeout
    others = range(1, ranks.count)
    if ranks.first:
        store.set("ojito/first", mine)
    while time.monotonic() < until:
        if ranks.first:
            answers = [_read(store, f"ojito/answer/{rank}").partition(" ") for rank in others]
            if all(first == mine for first, _, _ in answers):
                store.set(f"ojito/met/{mine}", " ".join(other for _, _, other in answers))
                return mine
        else:
            first = _read(store, "ojito/first")
            if mine in _read(store, f"ojito/met/{first}").split():
                return first
            store.set(f"ojito/answer/{ranks.rank}", f"{first} {mine}")
        time.sleep(_POLL)
    raise RuntimeError(f"not all of {ranks.count} processes came within {timeout:g} seconds")


def _read(store: Store, key: str) -> str:
    return store.get(key).decode() if store.check([key]) else ""


def _store(timeout: datetime.timedelta) -> Store:
    """The store that `torchrun` keeps, or the first process where it keeps none."""
    store, _, _ = next(rendezvous("env://", timeout=timeout))
    return store


def _missing(ranks: Ranks) -> list[int]:
    """The ranks that do not report within a moment."""
    try:
        store = dist.distributed_c10d._get_default_store()
        store.set(f"ojito/alive/{ranks.step}/{ranks.rank}", "1")
        time.sleep(_GRACE)
        missing = [rank for rank in range(ranks.count) if not store.check([f"ojito/alive/{ranks.step}/{rank}"])]
        store.set(f"ojito/known/{ranks.step}/{ranks.rank}", "1")
        if ranks.first:  # it may keep the store, which would be lost with it before the others have looked
            known = [f"ojito/known/{ranks.step}/{rank}" for rank in range(ranks.count) if rank not in missing]
            end = time.monotonic() + _GRACE
            while not store.check(known) and time.monotonic() < end:
                time.sleep(0.02)
        return missing
    except (RuntimeError, ValueError):  # the process that keeps the store is among the lost
        return [0]


def _leave() -> None:
    """Leave the others; those that are lost are not waited for."""
    _left.append(dist.group.WORLD)
    try:
        dist.destroy_process_group()
    except RuntimeError:
        return
