import io
import os

import pytest

from ojito.data import DataError
from ojito.data.indexed.stored import StoredFile, Window


@pytest.fixture
def stored(tmp_path):
    (tmp_path / "x").write_bytes(bytes(range(100)))
    return StoredFile.of(tmp_path / "x")


def test_piece_of_a_file_is_read_by_its_place(stored, monkeypatch):
    assert stored.read(10, 3) == bytes((10, 11, 12))
    assert stored.read(98, 9) == bytes((98, 99))
    monkeypatch.delattr(os, "pread", raising=False)  # as on Windows
    assert stored.read(10, 3) == bytes((10, 11, 12))


def test_window_is_a_file_that_ends_where_its_part_does(stored):
    window = Window(stored, 10, 20)
    assert (window.read(4), window.tell(), window.read(), window.read()) == (
        bytes(range(10, 14)),
        4,
        bytes(range(14, 20)),
        b"",
    )
    assert (window.seek(-2, io.SEEK_END), window.read(9)) == (8, bytes((18, 19)))
    assert window.seek(3) == window.seek(0, io.SEEK_CUR) == 3
    assert window.readable()
    assert window.seekable()


def test_file_that_is_not_there_or_has_changed_is_named(stored):
    stored.path.write_bytes(b"other")
    with pytest.raises(DataError, match="x: has changed since it was indexed; leave it alone, or start again"):
        stored.read(0, 1)
    stored.path.unlink()
    with pytest.raises(DataError, match=r"x: cannot be read \(No such file"):
        stored.read(0, 1)
    with pytest.raises(DataError, match=r"x: cannot be read \(No such file"):
        StoredFile.of(stored.path)
