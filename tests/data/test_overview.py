import json
from pathlib import Path

import pytest
from PIL import Image

from ojito.data import Source, read_source
from ojito.data.overview import Kind, Spread, examples_of, overview, table
from ojito.records import Sample, Turn


@pytest.fixture
def source(tmp_path):
    for name, size in (("a.jpg", (40, 30)), ("b.jpg", (10, 20))):
        Image.new("RGB", size).save(tmp_path / name)
    (tmp_path / "c.jpg").write_text("no image")
    rows = [
        {"image": "a.jpg", "caption": "a dog"},
        {"image": "a.jpg", "caption": "a brown dog on grass"},
        {"image": "a.jpg", "question": "what is it?", "answer": "dog", "kind": "object", "split": "val"},
        {"image": "b.jpg", "question": "is it a cat?", "answer": "yes"},
        {"image": "c.jpg", "question": "is it?", "answer": "yes"},
        {"image": "gone.jpg", "caption": "x"},
        {"image": "lost.jpg", "caption": "x"},
        {"image": "a.jpg", "caption": 7.5, "captions": []},
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return read_source(tmp_path / "rows.jsonl", max_bad=1)


def test_overview_counts_what_is_there(source):
    found = overview(source)
    assert (found.form, found.total, found.images, found.sampled, found.bad) == ("JSON Lines", 8, 3, 3, 3)
    assert found.splits == {
        "train": {"samples": 3, "turns": 3, "images": 3},
        "dev": {"samples": 1, "turns": 1, "images": 1},
    }
    assert (found.widths, found.heights) == (Spread(10, 25, 40), Spread(20, 25, 30))
    assert found.aspect == pytest.approx((40 / 30 + 20 / 10) / 2)
    assert found.kinds["caption"] == Kind(1, 2, 2, None, Spread(2, 3, 5), Spread(5, 12, 20))
    assert found.kinds["question"] == Kind(2, 2, 1, Spread(2, 3, 4), Spread(1, 1, 1), Spread(3, 3, 3))
    assert [*found.kinds] == ["question", "caption", "object"]
    assert found.turns == Spread(1, 1, 1)


def test_overview_says_what_is_wrong(source):
    found = overview(source)
    assert {problem: count for problem, (count, _) in found.problems.items()} == {
        "does not exist": 2,
        "has both caption and captions": 1,
    }
    assert found.problems["does not exist"][1].startswith("rows.jsonl:6: ")
    (broken,) = found.broken
    assert "c.jpg: is not an image" in broken


def test_table_shows_it_all(source):
    text = table(overview(source), examples=source.rows[:1])
    for words in (
        "rows.jsonl: JSON Lines, 8 rows",
        "2 captions and 3 questions about 3 images, each asked apart",
        "train        3      3       3",
        "width 10 to 40 (25), height 20 to 30 (25) pixels",
        "broken images       1 of 3",
        "bad rows            3 of 8",
        "rows.jsonl:1  a.jpg  train",
        "caption  ->  a dog | a brown dog on grass",
    ):
        assert words in text


def test_kinds_changes_output(source):
    assert "and 2 more" in table(overview(source), kinds=1)


def test_overview_is_json(source):
    values = json.loads(json.dumps(overview(source).to_dict()))
    assert (values["bad"], values["kinds"]["caption"]["turns"]) == (3, 1)
    assert values["widths"] == {"least": 10, "median": 25, "most": 40}


def test_seed_decides_which_examples_and_which_images_are_shown(tmp_path):
    rows = [Sample([], turns=(Turn(f"{n}?", ("x",)),), origin=f"{n}") for n in range(50)]
    source = Source("samples", rows)
    first, again, other = ([s.origin for s in examples_of(source, 5, seed)] for seed in (0, 0, 1))
    assert first == again != other
    assert first == sorted(first, key=int)
    assert len(examples_of(source, 99)) == 50
    images = []
    for n in range(201):
        images.append(tmp_path / f"{n}.bmp")
        Image.new("RGB", (n + 1, 1)).save(images[-1])
    many = Source("samples", [Sample([Path(image)], turns=(Turn("", ("x",)),)) for image in images])
    sums = {overview(many, seed).widths for seed in range(4)}
    assert len(sums) > 1
    assert overview(many).sampled == 200


def test_spread_of_nothing_is_none():
    assert Spread.of([]) is None
    assert [str(Spread.of(numbers)) for numbers in ([3], [1, 2, 9])] == ["3", "1 to 9 (2)"]
