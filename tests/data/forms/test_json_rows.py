import json

import pytest

ROWS = [{"image": "a.jpg", "caption": "a dog"}, {"image": "b.jpg", "question": "what?", "answer": "a cat"}]
LEARNED = [("a.jpg", "", ("a dog",)), ("b.jpg", "what?", ("a cat",))]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.ndjson", "rows.json"])
@pytest.mark.parametrize(
    "text",
    ["\n".join(map(json.dumps, ROWS)), json.dumps(ROWS), json.dumps(ROWS, indent=2), "\ufeff" + json.dumps(ROWS)],
    ids=["lines", "array", "indented array", "byte order mark"],
)
def test_lines_and_arrays_are_read_whatever_the_file_is_called(folder, learned, name, text):
    folder.images("a.jpg", "b.jpg").write(name, text)
    assert learned(name) == learned("") == LEARNED


def test_object_with_an_array_for_each_split(folder):
    folder.images("a.jpg", "b.jpg").write("rows.json", {"train": ROWS[:1], "validation": ROWS[1:], "about": "dogs"})
    source = folder.read("rows.json")
    assert source.splits == {"train": 1, "dev": 1}
    assert [row.origin for row in source.rows] == ["rows.json train row 1", "rows.json validation row 1"]


def test_object_that_wraps_an_array(folder, learned):
    folder.images("a.jpg", "b.jpg").write("rows.json", {"version": 2, "data": ROWS})
    assert learned("rows.json") == LEARNED


def test_object_that_is_a_row(folder, learned):
    folder.images("a.jpg").write("rows.json", ROWS[0])
    assert learned("rows.json") == LEARNED[:1]


def test_key_that_is_there_twice_spoils_its_row_alone(folder):
    twice = '{"image": "a.jpg", "caption": "x", "caption": "y"}'
    folder.images("a.jpg").write("rows.json", f"[{twice}, {json.dumps(ROWS[0])}]")
    source = folder.read("rows.json", max_bad=0.5)
    assert source.problems == ["rows.json row 1: has the key 'caption' twice; leave one of them out"]
    assert len(source.rows) == 1


@pytest.mark.parametrize("value", ["NaN", "null", '""', '"  "'])
def test_value_that_is_none_is_as_if_its_key_were_missing(folder, learned, value):
    row = f'{{"image": "a.jpg", "caption": {value}, "question": "what?", "answer": "a dog"}}'
    folder.images("a.jpg").write("rows.jsonl", row)
    assert learned("rows.jsonl") == [("a.jpg", "what?", ("a dog",))]


@pytest.mark.parametrize("value", ["NaN", "null", '""', "Infinity", "-Infinity"])
def test_row_whose_only_text_is_none_is_bad(folder, value):
    row = f'{{"image": "a.jpg", "caption": {value}}}'
    folder.images("a.jpg").write("rows.jsonl", f"{row}\n{json.dumps(ROWS[0])}")
    (problem,) = folder.read("rows.jsonl", max_bad=0.5).problems
    assert problem.startswith("rows.jsonl:1: caption is ")


def test_json_of_another_form_is_named_by_its_keys(folder):
    folder.write("config.json", {"model_type": "llava", "hidden_size": 8})
    with pytest.raises(ValueError, match="is an object with the keys model_type, hidden_size, which is no form"):
        folder.read("config.json")
