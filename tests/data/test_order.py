import numpy as np
import pytest

from ojito.data.order import ByLength, Counted, Shuffled
from ojito.records import Sample, Turn

ROWS = [Sample(turns=(Turn("", ("a" * (n * 7 % 23),)),)) for n in range(37)]


@pytest.mark.parametrize("order", [Shuffled(37, 5), ByLength(ROWS, 5, 4)], ids=["shuffled", "by length"])
def test_order_is_a_function_of_the_number_of_a_sample(order):
    whole = order(0, 37 * 4)
    for epoch in range(4):
        assert sorted(whole[37 * epoch : 37 * epoch + 37]) == [*range(37)]
    for start, count in ((100, 20), (3, 50), (36, 2), (0, 1), (110, 38)):  # forth and back
        assert order(start, count) == whole[start : start + count]


def test_seed_changes_the_order():
    assert Shuffled(37, 5)(0, 37) != Shuffled(37, 6)(0, 37)
    assert ByLength(ROWS, 5, 4)(0, 37) != ByLength(ROWS, 6, 4)(0, 37)


def test_size_decides_which_rows_share_a_batch():
    for size in (4, 8):
        order = ByLength(ROWS, 5, size)
        lengths = [[len(ROWS[row].turns[0].answers[0]) for row in order(start, size)] for start in range(0, 32, size)]
        assert all(one == sorted(one) for one in lengths)
        assert max(max(one) - min(one) for one in lengths) < 12


def test_permutation_takes_four_bytes_a_row():
    order = Shuffled(1000, 0)
    assert (order.of_epoch(1).dtype, order.of_epoch(1).nbytes) == (np.uint32, 4000)
    assert all(type(row) is int for row in order(0, 3))


def test_samples_of_a_stream_are_counted():
    assert Counted()(5, 3) == [5, 6, 7]
