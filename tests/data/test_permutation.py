import itertools

import pytest

from ojito.data.permutation import Permutation


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 65, 1000])
def test_every_number_is_there_once(count):
    order = Permutation(count, "seed")
    assert len(order) == count
    assert sorted(order[place] for place in range(count)) == [*range(count)]


def test_seed_changes_output():
    one, same, other = ([*map(Permutation(100, seed).__getitem__, range(100))] for seed in ("a", "a", "b"))
    assert one == same != other
    assert one != sorted(one)


def test_order_looks_random():
    order = Permutation(1000, "seed")
    places = [*map(order.__getitem__, range(1000))]
    # Of random numbers, a half are in the lower half, in whichever part of the order; of neighbours, few stay so.
    assert all(40 <= sum(place < 500 for place in places[start : start + 100]) <= 65 for start in range(0, 1000, 100))
    assert sum(abs(a - b) == 1 for a, b in itertools.pairwise(places)) < 12


def test_order_of_more_than_memory_holds():
    order = Permutation(10**15, "seed")
    assert len({order[place] for place in range(100)}) == 100
    with pytest.raises(IndexError):
        order[10**15]
