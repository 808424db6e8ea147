import random

import pytest

from ojito.data.packing import pack


def tokens(rows, lengths):
    return [sum(lengths[number] for number in row) for row in rows]


def test_rows_are_filled_to_the_last_token_where_they_can_be():
    lengths = [6, 5, 5, 4, 3, 3, 2, 2]  # 30
    assert tokens(pack(lengths, 10), lengths) == [10, 10, 10]


def test_longest_that_is_left_begins_a_row_and_long_ones_fill_it():
    assert pack([1, 1, 1, 1, 4, 6], 10) == [[4, 5], [0, 1, 2, 3]]


@pytest.mark.parametrize(("least", "most"), [(1, 100), (20, 40), (55, 75), (30, 100), (33, 33)])
def test_every_sample_is_in_one_row_that_holds_it(least, most):
    rng = random.Random(0)
    for _ in range(20):
        lengths = [rng.randint(least, most) for _ in range(rng.randint(1, 80))]
        rows = pack(lengths, 100)
        assert sorted(number for row in rows for number in row) == [*range(len(lengths))]
        assert max(tokens(rows, lengths)) <= 100
        assert all(row == sorted(row) for row in rows)


def test_samples_of_about_one_length_fill_rows():
    rng = random.Random(1)
    lengths = [rng.randint(58, 82) for _ in range(1000)]  # of captions behind an image: 7 or 8 in a row of 512
    assert sum(lengths) / 512 / len(pack(lengths, 512)) > 0.97


def test_samples_without_length_go_into_rows_that_there_are():
    assert pack([0, 5, 0, 0], 5) == [[1, 0, 2, 3]]
    assert pack([0, 0], 5) == [[0, 1]]
    assert pack([], 5) == []


def test_rows_are_the_same_every_time():
    lengths = [7, 3, 3, 7, 3, 7, 3, 3]
    assert pack(lengths, 10) == pack(lengths, 10) == [[0, 1], [2, 3], [4, 5], [6, 7]]
