"""What surrounds a save: modes, room, a folder beside. How it goes through is in test_files.py and hostile/."""

import os
import stat

import pytest
import torch

from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.saving import check_room, free_beside, staged_save
from ojito.checkpoint.tensors import write_weights


@pytest.mark.skipif(os.name == "nt", reason="Windows has other modes")
@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_all_files_have_the_mode_of_any_new_file(tmp_path, umask):
    before = os.umask(umask)
    try:
        with staged_save(tmp_path / "model") as staging:
            write_weights(staging, {"a": torch.ones(9), "b": torch.ones(9)}, max_shard=40)
            (staging / "config.json").write_text("{}")
    finally:
        os.umask(before)
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "model").iterdir()}
    assert len(files) == 4
    assert set(files.values()) == {0o666 & ~umask}


def test_check_leaves_nothing_behind(tmp_path):
    check_room(tmp_path / "a" / "b", size=10)
    check_room(tmp_path)
    assert not list(tmp_path.iterdir())


def test_check_leaves_folders_that_were_there(tmp_path):
    (tmp_path / "a").mkdir()
    check_room(tmp_path / "a" / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_folder_within_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"b: cannot be written \(Not a directory\)"):
        check_room(tmp_path / "file" / "b")


def test_model_larger_than_the_disk_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"is to hold a model of [\d,]+ MiB, and [\d,]+ MiB of the disk are free"):
        check_room(tmp_path, 2**60)


def test_folder_beside_is_one_that_is_not_there(tmp_path, monkeypatch):
    assert free_beside(tmp_path / "mine") == tmp_path / "mine-failed"
    (tmp_path / "mine-failed").mkdir()
    (tmp_path / "mine-failed-2").touch()
    assert free_beside(tmp_path / "mine") == tmp_path / "mine-failed-3"
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert free_beside(".") == tmp_path / "here-failed"
    assert str(free_beside("mine")) == "mine-failed"
