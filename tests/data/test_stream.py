import itertools
import pickle

import pytest

from ojito.data.scenes import Scenes
from ojito.data.sources import Source
from ojito.data.stream import Drawn, Rows, Stream
from ojito.records import Sample


class Counting:
    """A stream that counts how often it is begun."""

    name = "counting"

    def __init__(self):
        self.begun = 0

    def stream(self, split, seed):
        self.begun += 1
        return (Sample(prompt=f"{split} {seed} {number}") for number in itertools.count())


def test_sample_is_the_same_in_whatever_order_it_is_drawn():
    drawn = Drawn(Counting(), "train", 3, 4)
    there = [drawn[number].prompt for number in range(12)]
    assert [drawn[number].prompt for number in (7, 2, 11, 0, 3, 4)] == [there[n] for n in (7, 2, 11, 0, 3, 4)]
    assert len(set(there)) == 12
    assert len({prompt.split()[1] for prompt in there}) == 3  # a stream for each step


def test_samples_of_a_step_are_drawn_once():
    source = Counting()
    drawn = Drawn(source, "train", 3, 4)
    for number in range(8):
        drawn[number]
    assert source.begun == 1 + 2  # and once to see that the split is one


@pytest.mark.parametrize("change", [("dev", 3, 4), ("train", 4, 4), ("train", 3, 2)])
def test_split_seed_and_size_change_output(change):
    assert Drawn(Counting(), *change)[3].prompt != Drawn(Counting(), "train", 3, 4)[3].prompt


def test_wrong_split_is_refused_at_once():
    with pytest.raises(ValueError, match="'trian' is no split of scenes"):
        Drawn(Scenes(), "trian", 0, 4)


def test_it_can_be_sent_to_a_process_before_the_first_sample():
    drawn = Drawn(Counting(), "train", 3, 4)
    assert pickle.loads(pickle.dumps(drawn))[2].prompt == drawn[2].prompt


def test_sources_are_of_one_kind():
    assert isinstance(Source("rows", []), Rows)
    assert not isinstance(Source("rows", []), Stream)
    assert isinstance(Scenes(), Stream)
