import os

import numpy as np
import pytest

from ojito.data.indexed import json_scan
from ojito.data.indexed.facts import Facts
from ojito.data.indexed.index import Index, IndexBuilder
from ojito.data.indexed.index_file import cache_folder, read_index, write_index

INDEX = Index(np.array([0, 5, 9]), np.array([0, 1], np.uint8), ("", "dev"), np.array([7, 2**63], np.uint64))


def same(one, other):
    arrays = other.arrays()
    return all(np.array_equal(a, arrays[name]) for name, a in one.arrays().items()) and one.names == other.names


def test_index_comes_back_as_it_was_written(tmp_path):
    write_index(tmp_path / "new" / "x.index", INDEX, {"size": "9"})
    assert same(read_index(tmp_path / "new" / "x.index", {"size": "9"}), INDEX)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["x.index"]


def test_index_of_another_file_is_none(tmp_path):
    write_index(tmp_path / "x.index", INDEX, {"size": "9"})
    assert read_index(tmp_path / "x.index", {"size": "8"}) is None
    assert read_index(tmp_path / "y.index", {}) is None


def test_index_that_is_damaged_is_none_at_whatever_byte_it_ends(tmp_path):
    path = tmp_path / "x.index"
    write_index(path, INDEX, {})
    content = path.read_bytes()
    for end in range(0, len(content), 7):
        path.write_bytes(content[:end])
        assert read_index(path, {}) is None
    path.write_bytes(content.replace(b'"shape":[2]', b'"shape":[3]'))
    assert read_index(path, {}) is None


def test_index_that_cannot_be_written_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "replace", lambda *paths: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        write_index(tmp_path / "x.index", INDEX, {})
    assert not [*tmp_path.iterdir()]


def test_index_is_made_once_and_again_when_the_file_changes(data, monkeypatch):
    scanned = []
    scan = json_scan.scan_lines
    monkeypatch.setattr("ojito.data.forms.json_rows.scan_lines", lambda *args: scanned.append(1) or scan(*args))
    path = data.lines({"image": "a.png", "caption": "x"})
    assert [len(data.indexed().rows) for _ in range(2)] == [1, 1]
    assert len(scanned) == 1
    path.write_text(path.read_text() + "\n" + path.read_text())
    assert len(data.indexed().rows) == 2
    assert len(scanned) == 2


def test_cache_that_cannot_be_written_is_done_without(data, monkeypatch):
    data.lines({"image": "a.png", "caption": "x"})
    monkeypatch.setenv("OJITO_CACHE", str(data.path / "rows.jsonl"))
    assert len(data.indexed().rows) == 1


def test_environment_says_where_indices_are_kept(tmp_path, monkeypatch):
    monkeypatch.delenv("OJITO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "ojito"


def test_progress_is_told_in_bytes(data):
    path = data.lines(*({"image": "a.png", "caption": "x"} for _ in range(3)))
    told = []
    data.indexed(progress=lambda done, total: told.append((done, total)))
    assert told
    assert all(0 < done <= total == path.stat().st_size for done, total in told)


def test_too_many_splits_are_no_splits():
    builder = IndexBuilder("rows.jsonl")
    for number in range(255):
        builder.add(0, Facts(str(number)))
    with pytest.raises(ValueError, match="names more than 255 splits, 'one more' among them"):
        builder.add(0, Facts("one more"))
