import os
import signal
import threading
import time

import pytest
import torch

from ojito.errors import OjitoError
from ojito.trainer import ranks as ranks_module
from ojito.trainer.ranks import Ranks, join, meet
from tests.together import Together, together


def test_alone_every_number_is_its_own_sum():
    ranks = Ranks()
    assert (ranks.alone, ranks.first, ranks.sums(2, 3), ranks.greatest(4, True)) == (True, True, [2, 3], [4, True])
    assert ranks.gather({"a": 1}) == [{"a": 1}]
    (tensor,) = ranks.gather_tensor(torch.ones(2))
    assert tensor.tolist() == [1, 1]


def test_without_torchrun_a_process_is_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join("cpu") as ranks:
        assert (ranks.rank, ranks.count) == (0, 1)


def test_environment_that_is_not_whole_is_named(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(OjitoError, match="WORLD_SIZE: is 2, and 'RANK' is not set; start with torchrun"), join("cpu"):
        pass


def test_ranks_sum_compare_and_gather():
    def call(rank):
        with join("cpu", 20) as ranks:
            tensors = ranks.gather_tensor(torch.full((2,), rank, dtype=torch.uint8))
            return [
                ranks.first, ranks.sums(rank + 1, 0.5), ranks.greatest(rank, -rank),
                ranks.gather({"name": "é" * rank}), [tensor.tolist() for tensor in tensors],
            ]  # fmt: skip

    shared = [[3, 1], [1, 0], [{"name": ""}, {"name": "é"}], [[0, 0], [1, 1]]]
    assert together(2, call) == [[True, *shared], [False, *shared]]


def test_group_that_is_left_is_kept_for_the_model_that_outlives_it():
    """A model that is the last to hold its group can wait for ever for the group's threads."""

    def call(rank):
        with join("cpu", 30) as ranks:
            ranks.sums(1)
            group = torch.distributed.group.WORLD
        return any(kept is group for kept in ranks_module._left)

    assert together(2, call) == [True, True]


@pytest.mark.parametrize("late", [0.0, 0.7])
def test_rank_that_is_killed_is_named_with_the_step(late):
    def call(rank):
        if rank == 2:  # slower than rank 0, which keeps the store that both look into
            ranks_module._GRACE += late
        with join("cpu", 30) as ranks:
            ranks.step = 41
            ranks.sums(1)
            if rank == 1:
                time.sleep(60)
            ranks.sums(1)

    ranks = Together(3, call)
    time.sleep(1.5)
    started = time.monotonic()
    ranks.kill(1)
    first, killed, last = ranks.results()
    assert killed is None
    assert first["error"].startswith("LostRankError: rank 0: rank 1 of 3 was lost in step 42; see its own messages")
    assert last["error"].startswith("LostRankError: rank 2: rank 1 of 3 was lost in step 42")
    assert time.monotonic() - started < 30


def test_rank_that_stands_still_ends_the_others_after_the_timeout():
    def call(rank):
        with join("cpu", 2) as ranks:
            ranks.sums(1)
            if rank == 1:
                os.kill(os.getpid(), signal.SIGSTOP)
            ranks.sums(1)

    ranks = Together(2, call)
    pid = ranks.pids[0]
    started = time.monotonic()
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None and time.monotonic() - started < 30:
        time.sleep(0.1)
    ranks.kill(1)
    first, _ = ranks.results()
    assert first["error"].startswith("LostRankError: rank 0: rank 1 of 2 was lost in step 1")


def test_processes_meet_those_that_run_now_and_no_older_ones():
    """A store that is kept over a restart still has the words of processes that are gone."""
    store, older = torch.distributed.HashStore(), set()
    for generation in range(3):
        words = [""] * 3
        late = [threading.Timer(0.2 * ((rank + generation) % 3), _meet, (store, words, rank)) for rank in range(3)]
        for thread in late:
            thread.start()
        for thread in late:
            thread.join()
        assert len(set(words)) == 1
        assert words[0]
        assert words[0] not in older
        older.add(words[0])


def test_processes_that_do_not_come_are_an_error():
    with pytest.raises(RuntimeError, match=r"not all of 2 processes came within 0\.2 seconds"):
        meet(torch.distributed.HashStore(), Ranks(0, 2), 0.2)
    with pytest.raises(RuntimeError, match="not all of 2 processes"):
        meet(torch.distributed.HashStore(), Ranks(1, 2), 0.2)


def _meet(store, words, rank):
    words[rank] = meet(store, Ranks(rank, len(words)), 20)
