from pathlib import Path

import pytest

from ojito.data import DataError
from ojito.data.forms.patterns import expanded


@pytest.fixture
def files(tmp_path):
    for name in ("a-00.tar", "a-01.tar", "a-02.tar", "b-1-9.tar", "b-2-9.tar", "{1..2}.tar"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a-{00..02}.tar", ["a-00.tar", "a-01.tar", "a-02.tar"]),
        ("b-{1..2}-{9..9}.tar", ["b-1-9.tar", "b-2-9.tar"]),
        ("a-*.tar", ["a-00.tar", "a-01.tar", "a-02.tar"]),
        ("a-0[12].tar", ["a-01.tar", "a-02.tar"]),
        ("{1..2}.tar", []),
        ("a-00.tar", []),
        ("nothing-*", []),
    ],
)
def test_pattern_stands_for_files(files, pattern, names):
    assert [path.name for path in expanded(files / pattern)] == names


def test_files_of_a_range_that_are_not_there_are_named(files):
    with pytest.raises(DataError, match=r"2 of 5 files are not there: a-03.tar, a-04.tar; check the numbers"):
        expanded(files / "a-{00..04}.tar")


def test_range_of_too_many_files_is_refused():
    with pytest.raises(DataError, match="stands for 99,999,999 files"):
        expanded(Path("a-{1..99999999}.tar"))


def test_files_of_a_pattern_are_read_together_each_in_its_split(folder):
    folder.images("a.png")
    for name in ("train-0", "train-1", "val-0"):
        folder.write(f"{name}.jsonl", {"image": "a.png", "caption": name})
    source = folder.read("*-{0..1}.jsonl".replace("*", "train"))
    assert source.form == "JSON Lines in 2 files"
    assert folder.read("*.jsonl").splits == {"train": 1, "dev": 1}
    folder.write("x.bin", "")
    with pytest.raises(DataError, match=r"x.bin: is no list of rows"):
        folder.read("*[nl]")
