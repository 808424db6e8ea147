import threading

import pytest
import torch

from ojito.checkpoint.files import UnsavedError
from ojito.config import TrainConfig
from ojito.trainer.checkpoints import Checkpoints, Saver, files, read_state, saver, step_of


@pytest.fixture
def make(tmp_path):
    def make(now=lambda: 0.0, again=False, **settings):
        said = []
        config = TrainConfig(**{"save_minutes": 0, **settings})
        checkpoints = Checkpoints(tmp_path / "checkpoints", config.keep)
        made = Saver(checkpoints, config, None, {"rows": "abc"}, again, -1, said.append, now)
        return made, said

    return make


def test_save_is_due_every_so_many_steps(make):
    made, _ = make(save_every=5)
    assert [step for step in range(16) if made.due(step)] == [5, 10, 15]
    made, _ = make()
    assert not any(made.due(step) for step in range(100))


def test_save_is_due_after_so_many_minutes(make):
    now = [0.0]
    made, _ = make(lambda: now[0], save_minutes=2)
    now[0] = 119
    assert not made.due(1)
    now[0] = 120
    assert made.due(2)
    made.save(2, {})
    assert not made.due(2)
    assert not made.due(3)
    now[0] = 240
    assert made.due(4)
    made.finish()


def test_step_that_is_saved_is_not_due_again(make):
    made, _ = make(save_every=5)
    made.save(5, {})
    assert not made.due(5)
    made.finish()


def test_training_goes_on_while_the_state_is_written(make, monkeypatch):
    """The values are those of the moment of the save, however they change while the thread waits for the disk."""
    made, said = make(save_every=1)
    weights, go_on = torch.ones(4), threading.Event()
    save_file = files.save_file
    monkeypatch.setattr(files, "save_file", lambda *args: (go_on.wait(10), save_file(*args)))
    made.save(1, {"model": {"w": weights}})
    weights.fill_(9)
    go_on.set()
    made.finish()
    state = read_state(made.checkpoints.newest())
    assert (state["model"]["w"].tolist(), state["rows"], said) == ([1.0] * 4, "abc", [])


def test_training_waits_where_memory_has_no_room_for_a_copy(make, monkeypatch):
    made, _ = make(save_every=1)
    monkeypatch.setattr(saver, "available_memory", lambda device: 10)
    monkeypatch.setattr(saver, "copied", lambda values: pytest.fail("copied"))
    made.save(1, {"model": {"w": torch.ones(4)}})
    assert step_of(made.checkpoints.newest()) == 1


def test_save_that_fails_is_told_and_loses_nothing(make, monkeypatch):
    made, said = make(save_every=1)
    made.save(1, {"model": {"w": torch.ones(4)}})
    made.finish()
    with monkeypatch.context() as patched:
        patched.setattr(files, "save_file", lambda *args: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        made.save(2, {"model": {"w": torch.ones(4)}})
        made.save(3, {"model": {"w": torch.ones(4)}})
        assert len(said) == 1
        made.finish()
    assert len(said) == 2
    assert "cannot be written (No space left on device)" in said[0]
    assert "the last one is step-00000001, and training goes on" in said[0]
    made.save(4, {"model": {"w": torch.ones(4)}})
    made.finish()
    assert step_of(made.checkpoints.newest()) == 4


def test_save_that_is_waited_for_raises(make, monkeypatch):
    made, said = make()
    monkeypatch.setattr(files, "save_file", lambda *args: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(UnsavedError, match="No space left on device") as caught:
        made.save(1, {"model": {"w": torch.ones(4)}}, wait=True)
    assert (caught.value.exit_code, said) == (3, [])


def test_error_in_the_thread_that_is_not_the_disks_is_told_too(make, monkeypatch):
    made, said = make()
    monkeypatch.setattr(files, "save_file", lambda *args: (_ for _ in ()).throw(MemoryError("no memory")))
    made.save(1, {"model": {"w": torch.ones(4)}})
    made.finish()
    assert "no memory" in said[0]
    assert "there is none yet" in said[0]


def test_state_at_the_end_is_wanted_where_somebody_may_go_on_with_it(make):
    made, _ = make()
    assert not made.wanted(interrupted=False)
    assert made.wanted(interrupted=True)
    assert make(save_every=3)[0].wanted(interrupted=False)
    assert make(again=True)[0].wanted(interrupted=False)
    made.save(1, {}, wait=True)
    assert made.wanted(interrupted=False)
