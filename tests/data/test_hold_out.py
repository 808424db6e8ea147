import json

import pytest
from PIL import Image

from ojito.config import DataConfig
from ojito.data import Scenes, Source, find_split, hold_out, mark_held_out
from ojito.data.hold_out import by_image
from ojito.learned import Learned, keys_of
from ojito.records import Sample, Turn


def image(number):
    return Image.new("RGB", (2, 2), (number % 256, number // 256, 0))


def rows(count, images=None, split=""):
    """So many rows, about so many images in turn; each about its own by default."""
    shown = [image(number) for number in range(images or count)]
    return [Sample([shown[n % len(shown)]], turns=(Turn("", (f"{n}",)),), split=split) for n in range(count)]


def held(count, images=None, seed=0, before=None, **data):
    return hold_out(Source("rows", rows(count, images)), DataConfig(**data), seed, before)


@pytest.mark.parametrize(
    ("count", "expected"), [(39, 0), (40, 8), (100, 20), (400, 20), (1000, 50), (2040, 102)], ids=str
)
def test_share_is_five_in_a_hundred_but_twenty_at_least_and_a_fifth_at_most(count, expected):
    found = held(count)
    assert len(found.rows) == expected
    assert found.source.splits.get("dev", 0) == expected
    assert sum(found.source.splits.values()) == count


def test_what_is_held_out_is_said_in_a_line():
    expected = "held out 102 of 2,040 rows, by image, to score the model on; data.hold_out=0 switches this off"
    assert held(2040).said == expected
    assert held(30).said == "nothing is held out: 30 rows are too few to spare some"
    assert held(100, images=2).said == "nothing is held out: the 100 rows are about too few images"


def test_share_and_split_are_those_of_the_recipe():
    assert held(400, hold_out=0.25, eval_split="kept").source.splits == {"train": 300, "kept": 100}
    off = held(400, hold_out=0)
    assert (off.rows, off.said, off.source.splits) == ((), "", {"train": 400})
    assert not held(400, eval_split="train").rows


def test_seed_decides_which_rows():
    chosen = [[row.turns[0].answers[0] for row in held(100, seed=seed).rows] for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]


def test_rows_about_one_image_are_on_one_side():
    for seed in range(5):
        found = held(500, images=50, seed=seed)
        learned = keys_of(found.source.samples("train"))
        assert found.rows
        assert learned.isdisjoint(keys_of(found.rows))
        assert len(found.rows) % 10 == 0


def test_rows_are_grouped_through_any_image_that_they_share():
    a, b, c, d = (image(number) for number in range(4))
    found = by_image([Sample([a]), Sample([b]), Sample([c, a]), Sample([d]), Sample([b, c]), Sample(prompt="x")])
    assert found == [[0, 1, 2, 4], [3], [5]]


def test_copy_of_an_image_under_another_name_is_that_image(tmp_path):
    for name in ("a.png", "copy.png"):
        image(1).save(tmp_path / name)
    image(2).save(tmp_path / "b.png")
    rows = [Sample([tmp_path / name]) for name in ("a.png", "b.png", "copy.png", "a.png")]
    assert by_image(rows) == [[0, 2, 3], [1]]
    assert by_image(rows, most=3) == [[0, 3], [1], [2]]  # too many to read all


def test_data_with_splits_and_data_without_end_stay_as_they_are():
    named = Source("rows", [*rows(99), *rows(1, split="train")])
    scenes = Scenes()
    for source in (named, scenes):
        found = hold_out(source, DataConfig())
        assert (found.source, found.rows, found.said) == (source, (), "")


def test_source_itself_is_left_alone():
    source = Source("rows", rows(100))
    assert hold_out(source, DataConfig()).source.splits == {"train": 80, "dev": 20}
    assert source.splits == {"train": 100}


def test_rows_that_a_model_held_out_before_are_held_out_again_and_none_that_it_learned():
    first = held(100, seed=3)
    before = Learned.of(first.source.samples("train"), first.rows)
    again = held(100, seed=4, before=before)
    assert keys_of(again.rows) == keys_of(first.rows)
    all_learned = Learned.of(rows(100))
    assert held(100, before=all_learned).said == "nothing is held out: the model has learned these 100 rows before"
    half = held(100, before=Learned.of(rows(50)))
    assert len(half.rows) == 20
    assert all(int(row.turns[0].answers[0]) >= 50 for row in half.rows)


def test_held_out_rows_are_known_again_when_the_data_are_opened_later():
    first = held(100)
    learned = Learned.from_dict(json.loads(json.dumps(Learned.of(first.source.samples("train"), first.rows).to_dict())))
    marked = mark_held_out(Source("again", rows(100)), learned, "dev")
    assert [row.split for row in marked.rows] == [row.split for row in first.source.rows]
    named = Source("again", rows(100, split="train"))
    assert mark_held_out(named, learned, "dev") is named
    assert mark_held_out(named, None, "dev") is named


@pytest.mark.parametrize(
    ("known", "asked", "expected"),
    [
        (["train", "dev"], "dev", "dev"),
        (["train", "validation"], "dev", "validation"),
        (["train", "test", "val"], "dev", "val"),
        (["train", "test"], "dev", "test"),
        (["train", "dev"], "test", "dev"),
        (["train"], "dev", "dev"),
        (["train", "dev"], "mine", "mine"),
    ],
)
def test_usual_names_of_splits_stand_for_each_other(known, asked, expected):
    assert find_split(known, asked) == expected


def test_test_split_stands_for_no_other_where_a_user_names_one():
    assert find_split(["train", "test"], "dev", test=False) == "dev"
    assert find_split(["train", "dev"], "test", test=False) == "test"
    assert find_split(["train", "valid"], "dev", test=False) == "valid"
