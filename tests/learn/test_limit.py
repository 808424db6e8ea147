"""A limit on how long a learner's function may compute."""

import threading

import pytest

from ojito.learn.limit import Endless, limited


def count(seconds, to):
    with limited(seconds):
        number = 0
        while number < to:
            number += 1
    return number


def test_loop_is_stopped_and_later_ones_are_not():
    with pytest.raises(Endless, match=r"stopped after 0.1 s"):
        count(0.1, float("inf"))
    assert count(5.0, 1000) == 1000


def test_there_is_no_limit_outside_of_the_main_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(count(0.001, 200_000)))
    thread.start()
    thread.join()
    assert found == [200_000]
