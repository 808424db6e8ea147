import pytest
import torch

from ojito import threads as module
from ojito.threads import EVERY, Threads, keeping_threads


@pytest.fixture(autouse=True)
def nobody_has_chosen(monkeypatch):
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    with keeping_threads():
        yield


def machine(**seconds):
    """A machine on which some work takes so many seconds with so many threads: t4=1.0."""
    return lambda count: seconds[f"t{count}"]


def test_all_threads_are_used_where_they_are_fastest():
    assert Threads(most=4, measure=machine(t4=1.0, t3=1.3, t2=2.0, t1=4.0)).count == 4


def test_fewer_threads_are_used_beside_a_busy_process():
    assert Threads(most=4, measure=machine(t4=9.0, t3=1.3, t2=2.0, t1=4.0)).count == 3
    assert Threads(most=2, measure=machine(t2=9.0, t1=2.0)).count == 1
    assert torch.get_num_threads() == 1


def test_small_difference_changes_nothing():
    assert Threads(most=4, measure=machine(t4=1.1, t3=1.0, t2=1.05, t1=4.0)).count == 4


def test_one_slow_measurement_changes_nothing():
    measured = []

    def hiccup(count):
        measured.append(count)
        return 50.0 if len(measured) == 2 else {2: 1.0, 1: 2.0}[count]

    assert Threads(most=2, measure=hiccup).count == 2
    assert measured[:5] == [1, 2, 1, 2, 1]  # in turn, so that a busy moment slows down both


@pytest.mark.parametrize("most", [1, 8])
def test_number_that_is_given_is_taken_without_measuring(most):
    assert Threads(3, most, measure=lambda count: pytest.fail("measured")).count == 3
    assert torch.get_num_threads() == 3


def test_single_core_and_a_number_from_outside_are_not_measured(monkeypatch):
    assert Threads(most=1, measure=lambda count: pytest.fail("measured")).count == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert Threads(most=5, measure=lambda count: pytest.fail("measured")).count == 5


def test_number_is_measured_again_after_a_while():
    now, busy = [0.0], [False]

    def measure(count):
        return {2: 9.0 if busy[0] else 1.0, 1: 2.0}[count]

    chosen = Threads(most=2, measure=measure, now=lambda: now[0])
    assert chosen.count == 2
    busy[0] = True
    now[0] = EVERY - 1
    assert not chosen.again()
    now[0] = EVERY
    assert chosen.again()
    assert (chosen.count, torch.get_num_threads()) == (1, 1)
    now[0] = 1.5 * EVERY
    busy[0] = False
    assert not chosen.again()
    now[0] = 2 * EVERY
    assert chosen.again()
    assert not Threads(2, most=2, now=lambda: 1e9).again()


def test_real_work_takes_time_with_every_number():
    assert module._seconds(1) > 0
    assert torch.get_num_threads() == 1


def test_threads_are_as_before_afterwards():
    before = torch.get_num_threads()
    with keeping_threads():
        torch.set_num_threads(before + 1)
    assert torch.get_num_threads() == before
