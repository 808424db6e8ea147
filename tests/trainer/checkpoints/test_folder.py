import contextlib
import errno
import json
import os
import resource
from pathlib import Path

import pytest
import torch

from ojito.checkpoint.files import UnsavedError
from ojito.trainer import checkpoints as module
from ojito.trainer.checkpoints import Checkpoints, files, folder, read_state, step_of, write_state

VALUES = {"model": {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.ones(3, dtype=torch.bfloat16)}, "step": 7}


def save(checkpoints, step, value=0.0, best=False):
    return checkpoints.save(step, lambda path: write_state(path, {"model": {"w": torch.full((64,), value)}}), best)


def names(checkpoints):
    return [path.name for path in checkpoints.all()]


def test_checkpoint_is_the_newest_with_its_values(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    assert checkpoints.newest() is None
    assert checkpoints.all() == []
    save(checkpoints, 10, 1.0)
    path = save(checkpoints, 200, 2.0)
    assert (checkpoints.newest(), step_of(path), path.name) == (path, 200, "step-00000200")
    assert read_state(path)["model"]["w"].tolist() == [2.0] * 64
    assert (tmp_path / "checkpoints" / "latest").read_text() == "step-00000200\n"


@pytest.mark.parametrize(("keep", "left"), [(1, [40]), (2, [30, 40]), (9, [10, 20, 30, 40])])
def test_as_many_are_kept_as_asked_for(tmp_path, keep, left):
    checkpoints = Checkpoints(tmp_path, keep)
    for step in (10, 20, 30, 40):
        save(checkpoints, step)
    assert [step_of(path) for path in checkpoints.all()] == left


def test_best_one_stays_until_there_is_a_better_one(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=1)
    assert checkpoints.best() is None
    save(checkpoints, 10, best=True)
    save(checkpoints, 20)
    save(checkpoints, 30)
    assert names(checkpoints) == ["step-00000010", "step-00000030"]
    assert step_of(checkpoints.best()) == 10
    save(checkpoints, 40, best=True)
    assert (names(checkpoints), step_of(checkpoints.best())) == (["step-00000040"], 40)


def test_pointer_out_of_the_folder_is_no_best_one(tmp_path):
    checkpoints = Checkpoints(tmp_path / "mine")
    save(Checkpoints(tmp_path / "other"), 10)
    save(checkpoints, 10)
    (tmp_path / "mine" / "best").write_text("../other/step-00000010\n")
    assert checkpoints.best() is None


@pytest.mark.parametrize("file", ["state.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_damaged_checkpoint_is_passed_over_and_named(tmp_path, file, damage):
    checkpoints = Checkpoints(tmp_path)
    older, newer = save(checkpoints, 10), save(checkpoints, 20)
    path, content = newer / file, (newer / file).read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-2] if damage == "cut" else bytes([content[0] ^ 1]) + content[1:])
    said = []
    assert checkpoints.newest(said.append) == older
    assert len(said) == 1
    assert "step-00000020" in said[0]
    assert "an older checkpoint is used" in said[0]


def test_manifest_that_names_another_folder_is_damaged(tmp_path):
    path = save(Checkpoints(tmp_path), 10)
    (path / "manifest.json").write_text(json.dumps({"files": {"../latest": {"bytes": 14, "sha256": "0"}}}))
    assert Checkpoints(tmp_path).newest() is None


def test_names_of_other_things_are_no_checkpoints(tmp_path):
    save(Checkpoints(tmp_path), 10)
    for name in ("step-1", "step-0000000x", "steps", "latest.txt", ".saving"):
        (tmp_path / name).mkdir()
    assert names(Checkpoints(tmp_path)) == ["step-00000010"]


def test_what_a_killed_save_left_is_in_nobodys_way(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    (tmp_path / ".saving").mkdir()
    (tmp_path / ".saving" / "state.safetensors").write_bytes(b"half")
    (tmp_path / ".dropped").mkdir()
    save(checkpoints, 10)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".dropped", "latest", "step-00000010"]


def test_step_that_is_saved_again_replaces_a_damaged_one(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    (save(checkpoints, 10) / "state.json").write_text("{}")
    assert checkpoints.newest() is None
    path = save(checkpoints, 10, 3.0)
    assert checkpoints.newest() == path
    assert read_state(path)["model"]["w"][0] == 3.0


def test_checkpoints_are_set_aside_under_a_name_that_is_free(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    assert checkpoints.set_aside() is None
    for expected in ("checkpoints-1", "checkpoints-2"):
        save(checkpoints, 10)
        assert checkpoints.set_aside() == tmp_path / expected
        assert names(checkpoints) == []
        assert names(Checkpoints(tmp_path / expected)) == ["step-00000010"]


CALLS = [(os, "fsync"), (os, "rename"), (os, "replace"), (files, "save_file"), (Path, "write_text"), (Path, "mkdir")]


@contextlib.contextmanager
def failing(number):
    """The n-th of all writing calls fails as a broken disk does; yields the list of those that were made."""
    made, originals = [], [(owner, name, getattr(owner, name)) for owner, name in CALLS]

    def wrapped(original, name):
        def call(*args, **options):
            made.append(name)
            if len(made) == number:
                raise OSError(errno.EIO, "Input/output error")
            return original(*args, **options)

        return call

    try:
        for owner, name, original in originals:
            setattr(owner, name, wrapped(original, name))
        yield made
    finally:
        for owner, name, original in originals:
            setattr(owner, name, original)


def test_error_in_any_write_leaves_the_checkpoint_before_it(tmp_path):
    number = failed = 0
    while True:
        number += 1
        checkpoints = Checkpoints(tmp_path / str(number), keep=1)
        save(checkpoints, 10, 1.0, best=True)
        with failing(number) as made:
            try:
                save(checkpoints, 20, 2.0, best=True)
                saved = True
            except UnsavedError:
                saved, failed = False, failed + 1
        newest = checkpoints.newest()
        value = read_state(newest)["model"]["w"][0].item()
        assert (step_of(newest), value) in ([(20, 2.0)] if saved else [(10, 1.0), (20, 2.0)])  # a rename may be done
        assert step_of(checkpoints.best()) in (10, 20)
        assert not (checkpoints.folder / ".saving").exists()
        save(checkpoints, 30, 3.0)  # the disk was mended
        assert step_of(checkpoints.newest()) == 30
        if number > len(made):
            break
    assert failed > 10


@pytest.mark.parametrize("levels", [16, pytest.param(64, marks=pytest.mark.slow)])
def test_full_disk_leaves_the_checkpoint_before_it(tmp_path, levels):
    """A limit on the size of files stands in for the disk: the system ends the write in the middle of the file."""
    checkpoints = Checkpoints(tmp_path)
    values = {"model": {"w": torch.zeros(5000)}}
    checkpoints.save(1, lambda path: write_state(path, values))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    whole, refused = 22_000, 0
    for level in range(levels):
        resource.setrlimit(resource.RLIMIT_FSIZE, (whole * level // (levels - 1), before[1]))
        try:
            checkpoints.save(level + 2, lambda path: write_state(path, values))
        except UnsavedError:
            refused += 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert checkpoints.newest() is not None
    assert levels // 2 < refused < levels


def test_every_file_and_folder_is_synced_before_its_name_is_seen(tmp_path, monkeypatch):
    events = []
    monkeypatch.setattr(folder, "sync", lambda path: events.append(("sync", path.name)))
    rename = os.rename
    monkeypatch.setattr(os, "rename", lambda old, new: (events.append(("rename", Path(new).name)), rename(old, new)))
    replace = folder.replace_text
    monkeypatch.setattr(
        folder, "replace_text", lambda path, text: (events.append(("write", path.name)), replace(path, text))
    )
    save(Checkpoints(tmp_path), 10)
    seen = events.index(("rename", "step-00000010"))
    assert {name for kind, name in events[:seen] if kind == "sync"} == {
        "state.safetensors", "state.json", "manifest.json", ".saving",
    }  # fmt: skip
    assert events[seen + 1 :] == [("sync", tmp_path.name), ("write", "latest")]


def test_state_comes_back_with_dtypes_shapes_and_plain_values(tmp_path):
    write_state(tmp_path, {**VALUES, "list": [1, 2.5, None, "é"], "nested": {"empty": {}, "deep": {"x": True}}})
    back = read_state(tmp_path)
    assert torch.equal(back["model"]["a.weight"], VALUES["model"]["a.weight"])
    assert torch.equal(back["model"]["b"], VALUES["model"]["b"])
    assert back["model"]["b"].dtype == torch.bfloat16
    assert (back["step"], back["list"], back["nested"]) == (7, [1, 2.5, None, "é"], {"empty": {}, "deep": {"x": True}})
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    assert module.__doc__


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 99}', "{}"])
def test_state_of_another_version_is_refused(tmp_path, text):
    write_state(tmp_path, VALUES)
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(ValueError, match=r"cannot be read|is not of format 1"):
        read_state(tmp_path)
