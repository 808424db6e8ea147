import itertools
import multiprocessing
import os
import signal
import time

import pytest
from torch.utils.data import Dataset
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from ojito.config import DataConfig
from ojito.data import DataError, workers
from ojito.data.workers import Workers

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has other signals")


class Numbers(Dataset):
    """Numbers, read by processes of which one ends at the third."""

    def __init__(self, end=None):
        self.end = end

    def __getitem__(self, number):
        if number == 2 and self.end:
            self.end()
        return number


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """PyTorch looks every five seconds whether its processes live."""
    monkeypatch.setattr(_MultiProcessingDataLoaderIter._try_get_data, "__defaults__", (0.2,))


def test_items_come_in_order_from_the_start():
    assert list(itertools.islice(Workers(Numbers(), DataConfig(workers=2), itertools.count(5)), 6)) == [*range(5, 11)]


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), r"was killed \(SIGKILL\); if memory ran out, use fewer "
         r"data.workers \(now 2\) or less data.cache_mb \(now 7\)$"),
        (lambda: os.kill(os.getpid(), signal.SIGBUS), r"was killed \(SIGBUS\); give the container more shared memory"),
        (lambda: os._exit(3), "ended with exit code 3"),
    ],
    ids=["killed", "shared memory", "exit"],
)  # fmt: skip
def test_killed_process_is_named_with_its_remedy(end, said):
    with pytest.raises(DataError, match=f"^data.workers: a process that reads images {said}"):
        list(itertools.islice(Workers(Numbers(end), DataConfig(workers=2, cache_mb=7), itertools.count()), 9))


def test_error_within_a_process_stays_what_it_is():
    def fail():
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        list(itertools.islice(Workers(Numbers(fail), DataConfig(workers=1), itertools.count()), 9))


def test_signal_for_the_whole_group_is_waited_for(monkeypatch):

    def sent(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(workers.time, "sleep", sent)
    items = Workers(Numbers(lambda: os.kill(os.getpid(), signal.SIGTERM)), DataConfig(workers=1), itertools.count())
    with pytest.raises(KeyboardInterrupt):
        list(itertools.islice(items, 9))


def test_processes_leave_ctrl_c_to_the_training():
    items = Workers(Numbers(lambda: os.kill(os.getpid(), signal.SIGINT)), DataConfig(workers=1), itertools.count())
    assert list(itertools.islice(items, 5)) == [*range(5)]


def test_process_that_ends_raises_nothing_elsewhere():
    before = signal.getsignal(signal.SIGCHLD)
    Workers(Numbers(), DataConfig(workers=1), itertools.count())
    assert signal.getsignal(signal.SIGCHLD) == before


class Counted(Dataset):
    """Numbers, and how many of them were read."""

    def __init__(self):
        self.read = multiprocessing.Value("i", 0)

    def __getitem__(self, number):
        with self.read:
            self.read.value += 1
        return number


@pytest.mark.parametrize(("processes", "prefetch"), [(1, 1), (1, 4), (2, 2)])
def test_no_more_is_read_ahead_than_is_asked_for(processes, prefetch):
    numbers = Counted()
    items = Workers(numbers, DataConfig(workers=processes, prefetch=prefetch), itertools.count())
    taken = [next(items) for _ in range(3)]
    time.sleep(0.3)
    assert taken == [0, 1, 2]
    assert numbers.read.value == 3 + processes * prefetch
