"""How runs end: saved, failed, interrupted. Nothing that was learned is lost, and no model that was there."""

import random
import shutil
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

import ojito
from ojito.checkpoint.files import CheckpointError
from ojito.data import Batches
from ojito.errors import OjitoError
from ojito.pipeline import Pipeline
from ojito.trainer import TrainingError, last_good


def test_model_that_is_there_stays_unless_force_is_given(train, tmp_path):
    train(out=tmp_path / "mine")
    before = (tmp_path / "mine" / "model.safetensors").read_bytes()
    with pytest.raises(OjitoError, match="holds a model already; choose another folder, or replace it with force=True"):
        train(out=tmp_path / "mine", settings=["train.seed=5"])
    assert (tmp_path / "mine" / "model.safetensors").read_bytes() == before
    train(out=tmp_path / "mine", settings=["train.seed=5"], force=True)
    assert (tmp_path / "mine" / "model.safetensors").read_bytes() != before
    lines = (tmp_path / "mine" / "metrics.jsonl").read_text().splitlines()
    assert sum('"loss"' in line for line in lines) == 6  # nothing of the first run is lost


def test_folder_that_is_a_file_is_refused_before_training(train, tmp_path):
    for out in (tmp_path / "a.png", tmp_path / "a.png" / "mine"):
        with pytest.raises(OjitoError, match="a file; give a folder"):
            train(out=out)


def test_metrics_may_go_elsewhere(train, tmp_path):
    train(out=tmp_path / "mine", metrics=tmp_path / "log")
    assert (tmp_path / "log" / "metrics.jsonl").is_file()
    assert not (tmp_path / "mine" / "metrics.jsonl").exists()


def test_run_that_fails_leaves_its_last_good_weights(train, tmp_path, capsys):
    def fail(state):
        if state.clock.step == 2:
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        train(out=tmp_path / "mine", on_step=fail, quiet=False)
    assert f"the last good weights are in {tmp_path / 'mine'}" in capsys.readouterr().err
    assert ojito.load(tmp_path / "mine", device="cpu").config.train.steps == 3


def test_run_that_fails_beside_a_model_leaves_its_weights_beside_it(train, tmp_path, capsys):
    def fail(state):
        raise RuntimeError("out of memory")

    train(out=tmp_path / "mine")
    before = (tmp_path / "mine" / "model.safetensors").read_bytes()
    for name in ("mine-failed", "mine-failed-2"):
        with pytest.raises(RuntimeError, match="out of memory"):
            train(out=tmp_path / "mine", force=True, on_step=fail, quiet=False)
        assert f"the last good weights are in {tmp_path / name}" in capsys.readouterr().err
        assert ojito.load(tmp_path / name, device="cpu").config.train.steps == 3
    assert (tmp_path / "mine" / "model.safetensors").read_bytes() == before


def test_run_that_fails_before_its_first_step_says_that_the_model_stays(train, tmp_path, capsys, monkeypatch):
    train(out=tmp_path / "mine")
    before = (tmp_path / "mine" / "model.safetensors").read_bytes()
    monkeypatch.setattr(Batches, "__next__", lambda batches: pytest.fail("broken rows"))
    with pytest.raises(pytest.fail.Exception):
        train(out=tmp_path / "mine", force=True, quiet=False)
    assert f"the weights in {tmp_path / 'mine'} are those of before" in capsys.readouterr().err
    assert (tmp_path / "mine" / "model.safetensors").read_bytes() == before


def test_weights_that_a_failed_run_cannot_save_are_called_lost(train, tmp_path, capsys, monkeypatch):
    def fail(state):
        raise RuntimeError("out of memory")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ojito.writer.save_model", full)
    with pytest.raises(RuntimeError, match="out of memory"):
        train(out=tmp_path / "mine", on_step=fail, quiet=False)
    assert "the last good weights are lost: " in capsys.readouterr().err


def test_save_that_fails_at_the_end_leaves_the_model_before_it(train, tmp_path, monkeypatch):
    train(out=tmp_path / "mine")
    before = {path.name: path.read_bytes() for path in (tmp_path / "mine").iterdir()}

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ojito.writer.save_model", full)
    with pytest.raises(OjitoError, match=r"cannot be written \(No space left on device\); free the disk, or save else"):
        train(out=tmp_path / "mine", force=True, metrics=tmp_path / "log", settings=["train.seed=5"])
    assert {path.name: path.read_bytes() for path in (tmp_path / "mine").iterdir()} == before


def test_model_that_cannot_be_saved_any_more_is_saved_elsewhere(train, tmp_path, monkeypatch):
    save, spare = Pipeline.save, tmp_path / "spare"
    spare.mkdir()

    def full(pipe, folder):
        if Path(folder) == tmp_path / "mine":
            raise CheckpointError(folder, "cannot be written (No space left on device)", "free the disk")
        save(pipe, folder)

    monkeypatch.setattr(Pipeline, "save", full)
    monkeypatch.setattr("tempfile.tempdir", str(spare))
    with pytest.raises(CheckpointError, match=r"No space left on device\); the model is in .*ojito-") as caught:
        train(out=tmp_path / "mine")
    (folder,) = spare.iterdir()
    assert str(folder) in str(caught.value)
    assert ojito.load(folder, device="cpu")


@pytest.mark.parametrize("free", [100, 10**9])
def test_room_for_the_model_is_looked_for_before_the_first_step(train, tmp_path, monkeypatch, free):
    usage = shutil.disk_usage(tmp_path)._replace(free=free)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    steps = []
    if free > 10**6:
        assert train(out=tmp_path / "mine", on_step=lambda state: steps.append(1)).out
        return
    with pytest.raises(OjitoError, match=r"mine: is to hold a model of 0 MiB, and 0 MiB of the disk are free"):
        train(out=tmp_path / "mine", on_step=lambda state: steps.append(1))
    assert not steps


def test_folder_that_cannot_be_written_is_found_before_the_model_is_made(train, tmp_path, monkeypatch):
    def refuse(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    monkeypatch.setattr("ojito.training.begin.prepare", lambda *args: pytest.fail("made"))
    with pytest.raises(OjitoError, match=r"mine: cannot be written \(Permission denied\); give another folder"):
        train(out=tmp_path / "new" / "mine")
    assert not (tmp_path / "new").exists()


def test_ruined_weights_are_never_saved(train, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(last_good, "MOST", 0)
    with pytest.raises(TrainingError, match="give no finite loss"):
        train(out=tmp_path / "mine", settings=["train.lr=1e38", "train.steps=1"], quiet=False)
    assert "nothing was saved: the weights give no finite loss" in capsys.readouterr().err
    assert not (tmp_path / "mine" / "model.safetensors").exists()


def test_signal_while_data_are_opened_ends_the_run_at_once(train, tmp_path, monkeypatch):
    monkeypatch.setattr("ojito.training.begin.open_data", lambda *args: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt) as caught:
        train(out=tmp_path / "mine")
    assert caught.value.signal == signal.SIGTERM
    assert not (tmp_path / "mine").exists()


def test_second_signal_does_not_undo_the_saving(train, tmp_path, monkeypatch, capsys):
    save = Pipeline.save

    def killed(pipe, folder):
        signal.raise_signal(signal.SIGINT)
        save(pipe, folder)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Pipeline, "save", killed)
    result = train(out=tmp_path / "mine", on_step=lambda state: signal.raise_signal(signal.SIGINT))
    assert (result.history.steps, result.history.signal) == (1, signal.SIGINT)
    assert ojito.load(tmp_path / "mine", device="cpu")
    assert capsys.readouterr().err.count("ojito: SIGINT: saving what was learned comes first") == 2
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def test_signal_within_the_save_of_a_run_that_is_over_leaves_out_the_evaluation(train, dev, tmp_path, monkeypatch):
    save = Pipeline.save
    monkeypatch.setattr(Pipeline, "save", lambda *args: (signal.raise_signal(signal.SIGTERM), save(*args)))
    result = train(data=dev, out=tmp_path / "mine")
    assert (result.history.steps, result.history.signal, result.scores) == (3, signal.SIGTERM, None)
    assert ojito.load(tmp_path / "mine", device="cpu")


def test_signal_within_the_last_evaluation_leaves_the_model(train, dev, tmp_path, monkeypatch):
    monkeypatch.setattr("ojito.training.scoring.evaluate", lambda *args, **_: signal.raise_signal(signal.SIGTERM))
    result = train(data=dev, out=tmp_path / "mine")
    assert (result.history.interrupted, result.history.signal, result.scores) == (True, signal.SIGTERM, None)
    assert ojito.load(tmp_path / "mine", device="cpu")


@pytest.mark.slow
def test_signal_at_any_moment_loses_nothing(train, dev, tmp_path):
    """In loading, in steps, in evaluations, in the save, after it: whatever was learned is whole on the disk."""
    settings = ["train.steps=12", "train.eval_every=4"]
    started = time.monotonic()
    train(data=dev, out=tmp_path / "whole", settings=settings)
    length, ends = time.monotonic() - started, Counter()
    for number in range(100):
        out, steps, result = tmp_path / str(number), [], None
        timer = threading.Timer(random.Random(number).uniform(0, 1.1 * length), signal.raise_signal, [signal.SIGINT])
        try:
            timer.start()
            result = train(data=dev, out=out, settings=settings, on_step=lambda state, steps=steps: steps.append(1))
            timer.join()
        except KeyboardInterrupt:
            pass  # before the first step, or after the run
        timer.join()
        taken = result.history.steps if result else len(steps)
        ends["nothing" if not taken else "all" if taken == 12 else "some"] += 1
        assert (out / "model.safetensors").exists() == (taken > 0)
        if taken:
            assert ojito.load(out, device="cpu")
        assert not (out / ".saving").exists()
    assert len(ends) == 3, ends


def test_interrupt_before_the_first_step_saves_nothing(train, tmp_path, monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Batches, "__next__", interrupted)
    result = train(out=tmp_path / "mine")
    assert (result.history.interrupted, result.out) == (True, None)
    assert not (tmp_path / "mine" / "model.safetensors").exists()
