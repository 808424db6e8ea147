import json

import pytest

from ojito.data import DataError
from ojito.data.indexed import json_scan

TEXTS = {"a": "plain", "b": "ünïcödé 🎈", "c": 'a "quote" and ] } , [', "d": "\\n\\\\"}
ROWS = [{"image": f"{name}.png", "caption": text} for name, text in TEXTS.items()]


@pytest.mark.parametrize("piece", [2, 7, 64, 1 << 20])
@pytest.mark.parametrize("options", [{}, {"indent": 2}, {"ensure_ascii": False}])
@pytest.mark.parametrize("frame", ["{}", "\ufeff \n{}\n\n"])
def test_elements_of_an_array_are_found_wherever_a_piece_of_the_file_ends(data, monkeypatch, piece, options, frame):
    monkeypatch.setattr(json_scan, "_PIECE", piece)
    data.lines(frame.format(json.dumps(ROWS, **options)), name="rows.json")
    assert [*map(str, data.indexed("rows.json").rows)] == [*map(str, data.whole("rows.json").rows)]


def test_element_that_is_no_object_is_a_bad_row(data):
    data.lines(json.dumps([ROWS[0], 3, [], ROWS[1]]), name="rows.json")
    source = data.indexed("rows.json")
    assert source.problems == data.whole("rows.json").problems
    assert len(source.rows) == 2


@pytest.mark.parametrize(
    ("text", "byte"),
    [
        ('[{"a": 1}, {"b": }]', 11),
        ('[{"a": 1} {"b": 2}]', 10),
        ('[{"a": 1}, ', 11),
        ('[{"a": 1}', 9),
        ('[{"a": 1},]', 10),
    ],
)
def test_large_array_that_is_no_json_is_refused_with_the_place(data, monkeypatch, text, byte):
    monkeypatch.setattr("ojito.data.forms.form._LARGE", 0)
    data.lines(text, name="rows.json")
    with pytest.raises(DataError, match=rf"rows.json: is not JSON from byte {byte} of {len(text)} on"):
        data.indexed("rows.json")
    with pytest.raises(DataError, match=r"rows.json: is not JSON; download or write it again"):
        data.whole("rows.json")


def test_large_array_is_not_read_whole_to_tell_its_form(data, monkeypatch):
    monkeypatch.setattr("ojito.data.forms.form._LARGE", 0)
    monkeypatch.setattr("ojito.data.forms.form.Place.value", property(lambda place: pytest.fail("was read")))
    data.lines(json.dumps(ROWS), name="rows.json")
    assert len(data.indexed("rows.json").rows) == len(ROWS)


def test_file_that_is_broken_in_the_middle_is_not_read_to_its_end(data, monkeypatch):
    monkeypatch.setattr(json_scan, "_PIECE", 16)
    monkeypatch.setattr(json_scan, "_LONGEST", 64)
    reads = []
    monkeypatch.setattr(
        json_scan._Window, "_grow", lambda self, grow=json_scan._Window._grow: reads.append(1) or grow(self)
    )
    data.lines('[{"image": "a.png", "caption": ]' + " " * 5000 + "]", name="rows.jsonl")
    monkeypatch.setattr("ojito.data.forms.form._LARGE", 0)
    with pytest.raises(DataError, match="is not JSON from byte 1 "):
        data.indexed()
    assert len(reads) < 10
