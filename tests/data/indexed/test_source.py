import itertools
import json
import pickle
import tracemalloc

import pytest
import torch

from ojito.config import DataConfig
from ojito.data import Batches, DataError, drawn_rows, hold_out, mark_held_out, read_source
from ojito.data.indexed.source import IndexedSource
from ojito.learned import Learned
from ojito.records import Turn
from tests.data.test_loader import PROCESSOR, TRAIN, answers

ROWS = [
    {"image": "a.png", "caption": "a red kite"},
    {"image": "b.png", "captions": ["a dog", "a brown dog"], "split": "val"},
    {"Image": "c.png", "question": "what?", "answer": "é", "kind": "object"},
    {"image": ["d.png", "e.png"], "conversations": [
        {"from": "human", "value": "<image><image>which?"}, {"from": "gpt", "value": "both"},
        {"from": "human", "value": "sure?"}, {"from": "gpt", "value": "yes"}]},
    {"question": "hi?", "answer": "hello", "split": "test"},
    {"messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "image", "path": "f.png"}, {"type": "text", "text": "what?"}]},
        {"role": "assistant", "content": "a dog"}]},
]  # fmt: skip
SEVERAL = {"image": "g.png", "caption": "x", "qa": [{"question": f"{n}?", "answer": "y"} for n in range(3)]}
WAYS = [{"pack": pack, "conversations": how} for pack, how in ((False, "chat"), (True, "chat"), (True, "blind"))]


def write(data, rows, name):
    return data.lines(*(rows if name.endswith("l") else [json.dumps(rows, indent=1, ensure_ascii=False)]), name=name)


@pytest.mark.parametrize("options", [*WAYS, {"system": False}], ids=str)
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json"])
def test_rows_are_the_same_as_of_data_that_are_read_whole(data, name, options):
    rows = [*ROWS, SEVERAL]
    write(data, rows, name)
    whole, indexed = data.whole(name, **options), data.indexed(name, **options)
    assert (isinstance(indexed, IndexedSource), isinstance(whole, IndexedSource)) == (True, False)
    assert indexed.splits == whole.splits
    assert indexed.total == whole.total == len(rows)
    for split in ("train", "val", "test"):
        assert [*map(str, indexed.samples(split))] == [*map(str, whole.samples(split))]


def test_rows_about_one_image_stay_apart(data):
    data.lines(*({"image": "a.png", "caption": text} for text in "xy"))
    assert [row.turns for row in data.indexed().rows] == [(Turn("", (text,), "caption"),) for text in "xy"]


def test_size_of_the_rows_decides_how_they_are_read(data):
    path = data.lines(*({"image": "a.png", "caption": "x" * 2**19} for _ in range(4)))
    kinds = [type(read_source(path, rows_mb=size)).__name__ for size in (1, 3)]
    assert kinds == ["IndexedSource", "Source"]


def test_rows_can_be_picked_from_either_end_and_in_slices(data):
    data.lines(*({"image": "a.png", "caption": str(n)} for n in range(9)))
    rows = data.indexed().samples("train")
    said = [row.turns[0].answers[0] for row in (rows[0], rows[-1], *rows[2:8:3])]
    assert said == ["0", "8", "2", "5"]
    assert [row.origin for row in rows][:2] == ["rows.jsonl:1", "rows.jsonl:2"]
    with pytest.raises(IndexError):
        rows[9]


def test_empty_lines_and_a_mark_of_utf8_count_as_they_do_in_an_editor(data):
    data.path.joinpath("rows.jsonl").write_bytes(
        b'\xef\xbb\xbf{"image": "a.png", "caption": "x"}\r\n\r\n \n{"image": "b.png", "caption": "y"}\n\n'
    )
    assert [row.origin for row in data.indexed().rows] == ["rows.jsonl:1", "rows.jsonl:4"]


def test_bad_rows_are_found_when_the_index_is_made_or_when_they_are_read(data):
    data.lines(ROWS[0], "{", "[]", {"image": "gone.png", "caption": "x"}, {"image": "a.png", "captoin": "x"}, "")
    whole, indexed = data.whole(), data.indexed()
    rows = indexed.samples("train")
    assert indexed.problems == [whole.problems[number] for number in (0, 1, 3)]
    (problem,) = [str(row.problem) for row in rows if row.problem]
    assert problem == whole.problems[2].replace("did you mean g.png?", "check the path")


def test_more_bad_rows_than_the_budget_are_refused_with_the_first_of_them(data):
    data.lines(ROWS[0], "{")
    with pytest.raises(
        DataError, match=r"rows.jsonl: 1 of 2 rows are bad, .*max_bad=0.4 allows.*\n  rows.jsonl:2: is not"
    ):
        data.indexed(max_bad=0.4)


@pytest.mark.parametrize(("rows", "says"), [(["{"], "all 1 rows are bad"), ([""], "holds no rows")])
def test_data_without_a_good_row_are_refused(data, rows, says):
    data.lines(*rows)
    with pytest.raises(DataError, match=says):
        data.indexed()


def test_split_that_is_not_there_is_refused_with_those_that_are(data):
    data.lines(*ROWS)
    with pytest.raises(DataError, match=r"has no split 'other'; it has train \(4\), dev \(1\), test \(1\)"):
        data.indexed().samples("other")


def test_limit_draws_rows_that_can_be_read(data):
    data.lines(*({"image": f"{'a' if n % 2 else n}.png", "caption": str(n)} for n in range(40)))
    source = data.indexed()
    drawn = source.samples("train", 20, seed=1)
    assert all(row.problem is None for row in drawn)
    assert len(drawn) + len(source.problems) == 20
    assert drawn == data.indexed().samples("train", 20, seed=1) != data.indexed().samples("train", 20, seed=2)


def test_rows_travel_to_processes_that_are_started_anew(data):
    data.lines(*ROWS)
    rows = data.indexed().samples("train")
    assert [*pickle.loads(pickle.dumps(rows))] == [*rows]


def test_file_that_changes_after_it_was_indexed_ends_the_run(data):
    path = data.lines(*ROWS)
    rows = data.indexed().samples("train")
    path.write_text("")
    with pytest.raises(DataError, match=r"rows.jsonl: has changed since it was indexed"):
        rows[0]


def test_drawn_rows_are_spread_over_large_data_and_all_of_others(data):
    data.lines(*({"image": "a.png", "caption": str(n)} for n in range(10)))
    found = [[int(row.turns[0].answers[0]) for row in drawn_rows(data.indexed().rows, most)] for most in (3, 3, 10, 99)]
    assert found[0] == found[1] == sorted(found[0])
    assert [number * 3 // 10 for number in found[0]] == [0, 1, 2]
    assert found[2] == found[3] == [*range(10)]
    assert len(drawn_rows(data.whole(pack=False).rows, 0)) == 1


def images(rows):
    return {image.name for row in rows for image in row.images}


def many(data, count=200, **more):
    return data.lines(*({"image": f"{n // 2}.png", "caption": str(n), **more} for n in range(count)))


def test_rows_are_held_out_by_image(data):
    data.images(*(f"{n}.png" for n in range(100)))
    many(data)
    held = hold_out(data.indexed(), DataConfig(hold_out=0.2), seed=3)
    train, dev = held.source.samples("train"), held.source.samples("dev")
    assert len(train) + len(dev) == 200
    assert 20 <= len(dev) <= 60
    assert not images(train) & images(dev)
    assert {row.split for row in dev} == {"dev"}
    assert [*held.rows] == [*dev]
    assert held.said.startswith(f"held out {len(dev)} of 200 rows, by image")
    other = hold_out(data.indexed(), DataConfig(hold_out=0.2), seed=4).source
    assert images(other.samples("dev")) != images(dev)


def test_row_that_shows_images_of_both_sides_is_on_neither(data):
    data.images(*(f"{n}.png" for n in range(101)))
    data.lines(*({"image": [f"{n}.png", f"{n + 1}.png"], "caption": "x"} for n in range(100)))
    held = hold_out(data.indexed(), DataConfig(hold_out=0.3))
    train, dev = held.source.samples("train"), held.source.samples("dev")
    assert not images(train) & images(dev)
    assert 0 < len(train) + len(dev) < 100
    assert held.said.endswith(f"({100 - len(train) - len(dev)} that show images of both sides are left out)")


def test_nothing_is_held_out_of_data_with_splits_or_of_few_rows(data):
    many(data, split="train")
    assert hold_out(data.indexed(), DataConfig()).rows == ()
    many(data, count=30)
    assert hold_out(data.indexed(), DataConfig()).rows == ()
    many(data)
    assert hold_out(data.indexed(), DataConfig(hold_out=0)).rows == ()


def test_the_same_images_are_held_out_again_and_marked_for_evaluation(data):
    data.images(*(f"{n}.png" for n in range(100)))
    many(data)
    first = hold_out(data.indexed(), DataConfig(hold_out=0.2), seed=3).source
    before = Learned.from_dict(Learned(rule=first.held).to_dict())
    again = hold_out(data.indexed(), DataConfig(), seed=9, before=before).source
    marked = mark_held_out(data.indexed(), before, "dev")
    assert images(again.samples("dev")) == images(marked.samples("dev")) == images(first.samples("dev"))
    assert mark_held_out(data.indexed(), Learned(), "dev").splits == {"train": 200}


def batches(source, count, **data):
    return [*itertools.islice(Batches(source, PROCESSOR, DataConfig(**data), TRAIN), count)]


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_rows_are_left_out_and_counted_when_they_are_met(data, workers):
    data.lines(*({"image": f"{'gone' if n == 3 else 'a'}.png", "caption": str(n)} for n in range(40)))
    feed = Batches(data.indexed(), PROCESSOR, DataConfig(workers=workers, max_bad=0.1), TRAIN)
    said = {text for batch in itertools.islice(feed, 12) for text in answers(batch)}
    assert said == {str(n) for n in range(40)} - {"3"}
    assert feed.problems == [f"rows.jsonl:4: {data.path}/gone.png: does not exist; check the path"]
    with pytest.raises(DataError, match=r"1 of 40 rows are bad, more than data.max_bad=0.01 allows"):
        batches(data.indexed(), 12, workers=workers, max_bad=0.01)


def test_batches_are_those_of_data_that_are_read_whole(data):
    data.lines(*({"image": f"{'abcdef'[n % 6]}.png", "question": f"{n}?", "answer": str(n)} for n in range(40)))
    for one, other in zip(batches(data.whole(), 25), batches(data.indexed(), 25), strict=True):
        assert torch.equal(one.tokens, other.tokens)
        assert torch.equal(one.images, other.images)


def test_reading_on_and_on_takes_no_more_memory(data):
    data.lines(*({"image": f"{'abcdef'[n % 6]}.png", "caption": str(n)} for n in range(400)))
    feed = Batches(data.indexed(), PROCESSOR, DataConfig(cache_mb=0), TRAIN)
    [*itertools.islice(feed, 150)]  # the memory of what is remembered fills
    tracemalloc.start()
    [*itertools.islice(feed, 20)]
    before, _ = tracemalloc.get_traced_memory()
    [*itertools.islice(feed, 300)]
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 200_000  # 400,000 if each of the rows left its sample behind


def test_bad_rows_are_the_same_again_when_a_run_is_gone_on_with(data):
    data.lines(*({"image": f"{'gone' if n % 9 == 3 else 'a'}.png", "caption": str(n)} for n in range(40)))
    settings = DataConfig(max_bad=0.5)

    def fed(count, state=None):
        feed = Batches(data.indexed(), PROCESSOR, settings, TRAIN)
        if state:
            feed.load_state_dict(state)
        said = [text for batch in itertools.islice(feed, count) for text in answers(batch)]
        return said, json.loads(json.dumps(feed.state_dict())), feed.problems

    whole, _, problems = fed(12)
    first, state, _ = fed(5)
    second, state, _ = fed(4, state)
    third, _, again = fed(3, state)
    assert first + second + third == whole
    assert sorted(again) == sorted(problems)
    assert len(problems) == 5
