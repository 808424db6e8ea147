"""What surrounds a save: modes, room, a folder beside. How it goes through is in test_files.py and hostile/."""

import itertools
import os
import stat
from pathlib import Path

import pytest
import torch

from ojito.checkpoint import saving
from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.folder import describe
from ojito.checkpoint.saving import check_room, free_beside, staged_save
from ojito.checkpoint.tensors.writing import write_weights


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


# ------------------------------------------------------------------------------------------------------------- adapters

ADAPTER = ("adapter_config.json", "adapter_model.safetensors", "processor.json")
MODEL = ("config.json", "model.safetensors", "processor.json")
OVER = {"adapter over adapter": (ADAPTER, ADAPTER), "adapter over model": (MODEL, ADAPTER),
        "model over adapter": (ADAPTER, MODEL)}  # fmt: skip
STEPS = {"fsync": os, "replace": os, "rename": Path, "unlink": Path}
"""The calls that a save is made of, and where they are."""


def save_texts(folder, names, text):
    with staged_save(folder) as staging:
        for name in names:
            (staging / name).write_text(text)


def texts(folder):
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def cut_short(monkeypatch, folder, names, call, k, times):
    """Saves over a folder while the k-th call fails, and as many after it. Returns whether there was one."""
    real, count = getattr(STEPS[call], call), itertools.count()

    def breaking(*args, **kwargs):
        if k <= next(count) < k + times:
            raise OSError(5, "Input/output error")
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(STEPS[call], call, breaking)
        try:
            save_texts(folder, names, "new")
        except CheckpointError as error:
            assert "Input/output error" in str(error)  # noqa: PT017
        return next(count) > k


@pytest.mark.parametrize("call", STEPS)
@pytest.mark.parametrize(("before", "after"), OVER.values(), ids=OVER)
def test_save_of_an_adapter_that_fails_at_any_moment_leaves_the_folder_as_it_was(
    tmp_path, monkeypatch, call, before, after
):
    for k in range(40):
        folder = tmp_path / str(k)
        save_texts(folder, before, "old")
        if not cut_short(monkeypatch, folder, after, call, k, times=1):
            break
        assert texts(folder) == dict.fromkeys(before, "old")
    assert k > 0
    assert texts(folder) == dict.fromkeys(after, "new")


@pytest.mark.parametrize("call", STEPS)
@pytest.mark.parametrize(("before", "after"), OVER.values(), ids=OVER)
def test_save_of_an_adapter_that_is_killed_never_leaves_a_mixture(tmp_path, monkeypatch, call, before, after):
    for k in range(40):
        folder = tmp_path / str(k)
        save_texts(folder, before, "old")
        monkeypatch.setattr(saving, "_put_back", lambda *_: None)
        there = cut_short(monkeypatch, folder, after, call, k, times=99)
        monkeypatch.undo()
        left = texts(folder)
        if "config.json" in left or "adapter_config.json" in left:  # without either, nothing loads
            assert left in (dict.fromkeys(before, "old"), dict.fromkeys(after, "new"))
        else:
            assert texts(folder / ".before") == dict.fromkeys(before, "old")
            with pytest.raises(CheckpointError, match="a save into it was cut short"):
                describe(folder)
        if not there:
            break
    assert k > 0


def test_saving_an_adapter_again_replaces_nothing_but_its_tensors(tmp_path, monkeypatch):
    save_texts(tmp_path, ADAPTER, "same")
    replaced, replace = [], os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: replaced.append(Path(b).name) or replace(a, b))
    save_texts(tmp_path, ADAPTER, "same")
    assert replaced == ["adapter_model.safetensors"]
