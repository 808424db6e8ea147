"""A run that ended before it was over goes on, and ends with the same bytes as one that never did."""

import json
import signal

import pytest
from PIL import Image

import ojito
from ojito.checkpoint.files import CheckpointError, UnsavedError
from ojito.errors import OjitoError
from ojito.settings import ConfigError
from ojito.trainer.checkpoints import files

KIND = ["train.steps=12", "train.save_every=4", "train.threads=1", "model.decoder.dropout=0.2"]


@pytest.fixture
def rows(some_bad):
    """Seven rows that can be read, of three captions each: an epoch ends within a step."""
    return some_bad(8, lambda number: ["zebra", "quokka", "a red zebra"])


@pytest.fixture
def go(train, rows, tmp_path):
    """The same run in a folder of that name, with settings over it."""

    def go(name, *settings, resume="auto", **options):
        settings = [*KIND, "data.max_bad=0.5", "train.eval_every=5", *settings]
        return train(data=rows, out=tmp_path / name, resume=resume, settings=settings, **options)

    return go


def weights(result):
    return (result.out / "model.safetensors").read_bytes()


def record(result):
    """metrics.jsonl without times, and what is told of the machine."""
    lines = [json.loads(line) for line in (result.out / "metrics.jsonl").read_text().splitlines()]
    machine = ("seconds", "samples_per_second", "tokens_per_second", "mfu", "mfu_language", "peak_memory")
    return [{k: v for k, v in line.items() if k not in machine} for line in lines]


class Killed(Exception):
    """Stands in for SIGKILL: nothing after it is saved."""


@pytest.fixture
def kill(go, monkeypatch):
    """Ends a run after a step as SIGKILL does: with the checkpoints that it has, and nothing else."""

    def kill(name, step, *settings, **options):
        def die(state):
            if state.clock.step == step:
                raise Killed

        with monkeypatch.context() as patched:
            patched.setattr("ojito.training.folder.RunFolder.save_after_failure", lambda *args: None)
            with pytest.raises(Killed):
                go(name, *settings, on_step=die, **options)

    return kill


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("data.workers=2",),
        ("data.pack=64",),
        ("data.pack=64", "data.workers=2"),
        ("train.accumulate=2",),
        ("train.optimizer=muon",),
    ],
    ids=str,
)
def test_resume_is_bitwise(go, kill, settings):
    whole = go("whole", *settings)
    for step in (1, 4, 6, 11):  # before the first checkpoint, at one, after it, resumed twice in a row
        kill("cut", step, *settings)
    cut = go("cut", *settings)
    assert weights(cut) == weights(whole)
    assert (cut.resumed, whole.resumed) == (8, 0)
    assert cut.problems == whole.problems
    assert len(cut.problems) == 1
    assert cut.scores == whole.scores
    assert (cut.history.steps, cut.history.samples) == (whole.history.steps, whole.history.samples)


@pytest.mark.parametrize("step", range(1, 12))
def test_signal_after_any_step_loses_no_step(go, step):
    """Some of these end an epoch, some are evaluated, some are saved anyway."""
    whole = go("whole")
    cut = go("cut", on_step=lambda state: signal.raise_signal(signal.SIGTERM) if state.clock.step == step else None)
    assert (cut.history.steps, cut.history.signal) == (step, signal.SIGTERM)
    cut = go("cut")
    assert (cut.resumed, weights(cut) == weights(whole)) == (step, True)
    assert record(cut) == record(whole)


def test_signal_within_an_evaluation_goes_on_with_the_evaluation(go, monkeypatch):
    whole = go("whole")
    with monkeypatch.context() as patched:
        patched.setattr("ojito.training.scoring.evaluate", lambda *args, **_: signal.raise_signal(signal.SIGINT))
        assert go("cut").history.steps == 5
    cut = go("cut")
    assert weights(cut) == weights(whole)
    assert [line["step"] for line in cut.history.evaluations] == [5, 10]
    assert record(cut) == record(whole)


def test_signal_within_the_last_evaluation_evaluates_the_next_time(go, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("ojito.training.scoring.evaluate", lambda *args, **_: signal.raise_signal(signal.SIGINT))
        assert go("cut", "train.eval_every=0").history.interrupted
    again = go("cut", "train.eval_every=0")
    assert (again.resumed, again.history.steps, again.scores["n"]) == (12, 12, 2)


def test_complete_run_is_told_again_and_does_nothing(go, monkeypatch):
    first = go("mine")
    monkeypatch.setattr("ojito.training.run.fit", lambda *args, **_: pytest.fail("trained again"))
    again = go("mine", "train.log_every=3", "data.workers=1")
    assert (again.resumed, again.scores, again.problems) == (12, first.scores, first.problems)
    assert again.history.steps == 12
    assert again.pipeline.caption(Image.new("RGB", (20, 20), "red")) == first.pipeline.caption(
        Image.new("RGB", (20, 20), "red")
    )


def test_complete_run_goes_on_if_more_steps_are_asked_for(go):
    go("mine")
    more = go("mine", "train.steps=20")
    assert (more.resumed, more.history.steps) == (12, 20)


def test_run_without_a_checkpoint_begins(go):
    assert go("new").resumed == 0
    with pytest.raises(CheckpointError, match="holds no checkpoint to go on with; begin with --resume auto"):
        go("other", resume="must")


def test_settings_that_would_make_another_run_are_refused(go, kill):
    kill("mine", 5)
    for setting in ("train.batch_size=4", "train.seed=3", "model.decoder.dropout=0", "data.flip=true"):
        key = setting.partition("=")[0]
        with pytest.raises(ConfigError, match=f"{key}: is .*, and the run that is gone on with has"):
            go("mine", setting)
    assert go("mine").resumed == 4


def test_other_settings_may_change_and_are_told(go, kill, capsys):
    kill("mine", 5)
    go("mine", "train.lr=1e-4", "train.log_every=6", quiet=False)
    said = capsys.readouterr().err
    assert "train.lr is 0.0001 from here on, and was 0.003" in said
    assert "log_every" not in said
    assert "going on after step 4" in said


def test_other_rows_are_refused(go, kill, rows):
    kill("mine", 5)
    lines = rows.read_text()
    rows.write_text(lines.replace("quokka", "wombat", 1))
    with pytest.raises(CheckpointError, match="has other rows than when the run began"):
        go("mine")
    rows.write_text(lines)
    assert go("mine").resumed == 4


def test_unfinished_run_is_not_replaced_unless_force_is_given(go, kill, tmp_path, capsys):
    kill("mine", 5)
    with pytest.raises(CheckpointError, match=r"holds a run that came to step 4; go on with --resume auto"):
        go("mine", resume="no")
    result = go("mine", resume="no", force=True, quiet=False)
    assert (result.resumed, result.history.steps) == (0, 12)
    assert f"the checkpoints of the run before are in {tmp_path / 'mine' / 'checkpoints-1'}" in capsys.readouterr().err
    assert (tmp_path / "mine" / "checkpoints-1" / "step-00000004").is_dir()


def test_damaged_checkpoint_goes_on_with_the_one_before(go, kill, tmp_path, capsys):
    whole = go("whole")
    kill("mine", 10)
    (tmp_path / "mine" / "checkpoints" / "step-00000008" / "state.json").write_text("{}")
    result = go("mine", quiet=False)
    assert (result.resumed, weights(result) == weights(whole)) == (4, True)
    assert "an older checkpoint is used" in capsys.readouterr().err
    kill("other", 5)
    (tmp_path / "other" / "checkpoints" / "step-00000004" / "state.json").write_text("{}")
    with pytest.raises(CheckpointError, match="holds damaged checkpoints only"):
        go("other")


def test_threads_of_the_run_stay(go, kill, monkeypatch):
    import torch

    monkeypatch.setattr("ojito.threads.Threads._fastest", lambda self: 1)
    kill("mine", 5, "train.threads=0")
    monkeypatch.setattr("ojito.threads.Threads._fastest", lambda self: pytest.fail("measured again"))
    seen = []
    go("mine", "train.threads=0", on_step=lambda state: seen.append(torch.get_num_threads()))
    assert set(seen) == {1}


def test_state_that_cannot_be_saved_at_the_end_of_an_interrupted_run_is_an_error_of_its_own(go, monkeypatch, tmp_path):
    monkeypatch.setattr(files, "save_file", lambda *args: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(UnsavedError, match="No space left on device"):
        go("mine", on_step=lambda state: signal.raise_signal(signal.SIGINT))
    assert ojito.load(tmp_path / "mine", device="cpu")  # the model itself is there


def test_full_disk_in_the_middle_does_not_end_a_run(go, monkeypatch, capsys):
    monkeypatch.setattr(files, "save_file", lambda *args: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    assert go("mine", quiet=False).history.steps == 12
    assert "no checkpoint of this moment" in capsys.readouterr().err


def test_saves_change_nothing_that_is_learned(go):
    assert weights(go("often", "train.save_every=1")) == weights(go("never", "train.save_every=0"))


def test_short_run_leaves_no_checkpoint_unless_one_was_asked_for(train, tmp_path):
    train(out=tmp_path / "mine")
    assert not (tmp_path / "mine" / "checkpoints").exists()


def test_run_of_so_many_samples_ends_with_them(go):
    result = go("mine", "train.samples=14")
    assert (result.history.steps, result.history.samples) == (8, 14)  # one step had a bad row


def test_resume_needs_a_folder(train):
    with pytest.raises(OjitoError, match="resume: "):
        train(resume="auto")


def test_resume_that_is_no_choice_is_refused(go):
    with pytest.raises(OjitoError, match="resume: 'perhaps'"):
        go("mine", resume="perhaps")
