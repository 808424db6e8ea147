"""Folders that come from anywhere: broken, contradictory, and made to do harm.

Whatever is in a folder, loading it runs no code, reads no file outside, and takes no more memory and time than its
files are worth. It ends in the model, or in one line that names the file. A case (`cases/`) changes a good folder
(`good_folders.py`); the tests also go over every field of the good folders, and put every kind of nonsense into each
(`nonsense.py`). All of it is done once more in a process that may take 256 MiB more than a good model needs, with a
hook that hears of every file that Python opens (`watched.py`).
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.tensors.header import read_header
from tests.hostile.attempt import attempt
from tests.hostile.cases import CASES
from tests.hostile.changes import canary
from tests.hostile.good_folders import BOTH, KINDS, Good, make
from tests.hostile.nonsense import NONSENSE, WALKED, walk

pytest.importorskip("resource", reason="limits and alarms as on Unix")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The good folders by their kind."""
    made = {}
    for kind in KINDS:
        folder = tmp_path_factory.mktemp("good") / kind
        make(folder, kind)
        made[kind] = Good.of(folder)
    return made


def sampled(number, of):
    """Every so many-th case now, and the others where there is time."""
    return [pytest.param(name, marks=() if i % of == number else pytest.mark.slow) for i, name in enumerate(CASES)]


@pytest.mark.parametrize("name", sampled(0, 3))
def test_hostile_folder_is_refused_in_one_line_or_loads_as_before(good, tmp_path, name):
    one = CASES[name]
    folder = good[one.kind].copy(tmp_path / "model")
    one.change(folder)
    said, wrong = attempt(folder, good[one.kind].state)
    assert not wrong
    assert not canary(folder).exists()
    if one.said is not None:
        assert re.search(one.said, said) if one.said else not said


def test_there_are_more_than_two_hundred_hostile_folders():
    assert len(CASES) > 200
    assert {one.kind for one in CASES.values()} >= {*BOTH, "llava-shards"}


@pytest.mark.parametrize("per_place", [1, pytest.param(len(NONSENSE), marks=pytest.mark.slow)])
@pytest.mark.parametrize(("kind", "name"), WALKED)
def test_nonsense_anywhere_in_a_file_is_refused_in_one_line_or_changes_nothing(good, tmp_path, kind, name, per_place):
    count, wrong = walk(good, tmp_path / "model", kind, name, per_place)
    assert count > 0
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("step", [499, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", BOTH)
def test_weights_cut_off_at_any_byte_are_refused(good, tmp_path, kind, step):
    folder = good[kind].copy(tmp_path / "model")
    whole = good[kind].files["model.safetensors"]
    assert len(read_header(folder)) > 20
    for length in range(0, len(whole), step):
        (folder / "model.safetensors").write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="truncated"):
            read_header(folder)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits and hooks as on Linux")
@pytest.mark.parametrize("share", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_hostile_folders_read_nothing_outside_and_take_no_memory(tmp_path, share):
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile.watched", str(tmp_path), str(share)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "RUST_BACKTRACE": "0"},
    )
    assert done.returncode == 0, done.stderr[-5000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert not result["wrong"], "\n".join(result["wrong"])
    assert result["count"] > 200 / share
    assert result["opened"] > 200
