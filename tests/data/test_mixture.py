import itertools
import json
import pickle
from collections import Counter

import pytest

from ojito.config import Config, DataConfig, MixedConfig
from ojito.data import Batches, DataError, hold_out, is_lazy, open_data
from ojito.data.indexed.lazy_rows import LazyRows
from ojito.data.mixture import MixedOrder, MixedRows, mix
from ojito.data.source import Source
from ojito.learned import Learned
from ojito.records import Sample, Turn
from ojito.settings import ConfigError, override, read, write
from tests.data.test_loader import PROCESSOR, TRAIN, answers


def source(name, count, **more):
    return Source(
        name,
        [Sample(turns=(Turn(f"{name}{n}?", (f"{name}{n}",)),), origin=f"{name} {n}", **more) for n in range(count)],
    )


def taken(order, start, count):
    return list(order(start, count))


def test_each_source_has_its_share_at_any_time():
    order = MixedOrder([50, 1000], [1, 3], seed=0)
    for start in (0, 256, 9984):
        shares = Counter(row < 50 for row in taken(order, start, 512))
        assert abs(shares[True] - 128) <= 4


def test_each_source_is_gone_through_in_epochs_of_its_own():
    rows = taken(MixedOrder([50, 1000], [1, 3], seed=0), 0, 4000)
    small, large = [row for row in rows if row < 50], [row for row in rows if row >= 50]
    assert all(sorted(small[start : start + 50]) == [*range(50)] for start in range(0, 950, 50))
    assert small[:50] != small[50:100]
    assert all(sorted(large[start : start + 1000]) == [*range(50, 1050)] for start in (0, 1000))
    assert large[:1000] != large[1000:2000]


def test_row_depends_on_the_seed_and_its_number_alone():
    whole = taken(MixedOrder([7, 11, 300], [0.2, 1, 0.7], seed=5), 0, 3000)
    for start, count in ((0, 1), (255, 3), (1234, 500), (2999, 1)):
        again = pickle.loads(pickle.dumps(MixedOrder([7, 11, 300], [0.2, 1, 0.7], seed=5)))
        assert again(start, count) == whole[start : start + count]
    assert taken(MixedOrder([7, 11, 300], [0.2, 1, 0.7], seed=6), 0, 3000) != whole


def test_weights_change_output_and_need_not_add_up_to_one():
    orders = [taken(MixedOrder([9, 9], weights, seed=0), 0, 500) for weights in ((1, 2), (2, 4), (2, 1))]
    assert orders[0] == orders[1] != orders[2]


def test_share_that_is_tiny_is_kept_in_a_long_run():
    order = MixedOrder([10, 10], [1, 1e6], seed=1)
    far = 10**12
    assert len(order(far, 3)) == 3
    assert order(far, 3) == [order(far + n, 1)[0] for n in range(3)]
    assert sum(row < 10 for row in taken(MixedOrder([10, 10], [1, 999], seed=1), 0, 20_000)) in (19, 20, 21)


def test_rows_of_all_sources_are_one_sequence():
    rows = MixedRows([source("a", 3).rows, source("b", 2).rows], [1, 1])
    assert [row.origin for row in rows] == ["a 0", "a 1", "a 2", "b 0", "b 1"]
    assert [rows[n].origin for n in (0, 3, -1)] == ["a 0", "b 0", "b 1"]
    assert [row.origin for row in rows[2:4]] == ["a 2", "b 0"]
    with pytest.raises(IndexError):
        rows[5]


def test_mixture_tells_what_its_sources_are():
    made = mix([source("a", 3), source("b", 1, split="dev")], [1, 3])
    assert made.splits == {"train": 3, "dev": 1}
    assert made.turns.startswith("25.0% a (")
    assert [row.origin for row in made.samples("val")] == ["b 0"]
    assert len(made.rows) == 4
    with pytest.raises(DataError, match="mixture of 2: has no split 'odd'; it has train"):
        made.samples("odd")


def test_limit_and_seed_of_a_mixture_change_output():
    made = mix([source("a", 30), source("b", 30)], [1, 3])
    drawn = made.samples("train", 10, seed=1)
    assert len(drawn) == 10
    assert drawn == made.samples("train", 10, seed=1) != made.samples("train", 10, seed=2)


def test_mixture_is_as_lazy_as_its_sources():
    lazy = LazyRows(lambda number: [Sample()], range(3))
    assert [is_lazy(MixedRows([rows, [Sample()]], [1, 1])) for rows in (lazy, [Sample()])] == [True, False]


def test_rows_are_held_out_of_each_source():
    made = mix([source("a", 100), source("b", 10), source("c", 50)], [1, 1, 1])
    held = hold_out(made, DataConfig(hold_out=0.2))
    assert held.source.weights == (1, 1, 1)
    counts = Counter(row.origin[0] for row in held.source.samples("dev"))
    assert counts == Counter(row.origin[0] for row in held.rows)
    assert set(counts) == {"a", "c"}
    assert held.said.startswith("a: held out 20 of 100 rows")
    assert "b: nothing is held out: 10 rows are too few" in held.said
    again = hold_out(made, DataConfig(hold_out=0.2), before=Learned.of(held.source.samples("train"), held.rows))
    assert {row.origin for row in again.rows} == {row.origin for row in held.rows}


@pytest.fixture
def recipe(tmp_path):
    for name, count in (("a", 6), ("b", 30)):
        rows = [{"question": f"{name}{n}?", "answer": f"{name} {n}"} for n in range(count)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    mixed = [{"path": str(tmp_path / "a.jsonl"), "weight": 1}, {"path": str(tmp_path / "b.jsonl"), "weight": 3}]
    return read(Config, {"data": {"mixture": mixed}})


def test_recipe_opens_its_mixture(recipe):
    opened = open_data(recipe)
    assert (opened.name, opened.splits, opened.weights) == ("mixture of 2", {"train": 36}, (1.0, 3.0))
    assert read(Config, write(recipe)) == recipe


def test_mixture_can_be_given_as_one_setting(recipe):
    text = json.dumps(write(recipe)["data"]["mixture"])
    assert read(Config, override({}, [f"data.mixture={text}"])).data == recipe.data


def fed(opened, data, count, state=None):
    """The answers of some batches, and the state of the batches after them."""
    batches = Batches(opened, PROCESSOR, data, TRAIN)
    if state:
        batches.load_state_dict(state)
    return [text for b in itertools.islice(batches, count) for text in answers(b)], batches.state_dict()


@pytest.mark.parametrize("pack", [0, 64])
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_those_of_the_order_with_any_processes_and_gone_on_with_anywhere(recipe, workers, pack):
    opened = open_data(recipe)
    data = DataConfig(workers=workers, pack=pack)
    said, _ = fed(opened, data, 32)
    assert said == fed(opened, DataConfig(pack=pack), 32)[0]
    if not pack:  # rows of one length share a batch, among so many as are drawn together
        rows = opened.samples("train")
        assert sorted(said[:64]) == sorted(rows[row].turns[0].answers[0] for row in rows.order(TRAIN.seed)(0, 64))
        assert 7 <= sum(text.startswith("a") for text in said[:64]) <= 25
    first, state = fed(opened, data, 5)
    assert first + fed(opened, data, 27, json.loads(json.dumps(state)))[0] == said


@pytest.mark.parametrize(
    ("mixture", "says"),
    [
        ([{"path": "a", "weight": 0}], r"data.mixture\[0\].weight: 0.0 must be greater than 0"),
        ([{"weight": 1}], r"data.mixture\[0\].path: '' names nothing"),
        ([{"path": "a"}, {"path": "a"}], r"data.mixture\[1\]: a is there twice"),
        ([{"path": "a", "wieght": 1}], r"data.mixture\[0\].wieght: unknown setting; did you mean weight"),
        ("a", r"data.mixture: 'a' is not a list"),
    ],
)
def test_mixture_that_cannot_be_is_refused(mixture, says):
    with pytest.raises(ConfigError, match=says):
        read(Config, {"data": {"mixture": mixture}})


def test_source_without_end_is_not_mixed():
    with pytest.raises(DataError, match="scenes: are drawn without end, and cannot be mixed; give files or folders"):
        open_data(Config(data=DataConfig(mixture=(MixedConfig("scenes"),))))
