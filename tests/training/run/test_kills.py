"""A run whose process is ended again and again, at any moment, ends with the same bytes as one that is left alone."""

import contextlib
import json
import os
import random
import select
import signal
import sys
import time

import pytest
from PIL import Image

from ojito.trainer.checkpoints import Checkpoints

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

SETTINGS = ["train.steps=24", "train.save_every=2", "train.eval_every=6", "train.threads=1", "train.log_every=1"]


@pytest.fixture
def rows(tmp_path):
    rows = []
    for number in range(7):
        Image.new("RGB", (20, 20), (30 * number, 90, 0)).save(tmp_path / f"{number}.png")
        rows.append({"image": f"{number}.png", "captions": ["zebra", "quokka"], "split": "train"})
    rows.append({"image": "0.png", "caption": "zebra", "split": "dev"})
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "rows.jsonl"


class Child:
    """A process that makes the call, forked from this one: it has everything loaded."""

    def __init__(self, call):
        self._read, write = os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(write)
            return
        code = 1
        try:
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), 2)
            save = Checkpoints.save

            def told(*args, **options):
                os.write(write, b"s")
                return save(*args, **options)

            Checkpoints.save = told
            history = call().history
            code = 0 if not history.interrupted else 3 if history.steps else 4
        except KeyboardInterrupt:
            code = 4  # as after no step: there was nothing to save
        except BaseException:  # noqa: BLE001 - it goes no further than this process
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)

    def kill(self, number, after, in_save):
        """Sends the signal after some seconds, or so long after a save has begun; returns how the process ended."""
        waits = select.select([self._read], [], [], 30)[0] if in_save else []
        time.sleep(after / 50 if waits else after)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
        return self.wait()

    def wait(self):
        os.close(self._read)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def ends(train, rows, tmp_path, number, kills):
    """Lets runs be ended so many times; returns how often each kind of end was met, after comparing all bytes."""

    def go(name):
        return train(data=rows, out=tmp_path / name, settings=SETTINGS, resume="auto")

    go("first")  # what is loaded when it is first used counts for no run
    start = time.monotonic()
    whole = (go("whole").out / "model.safetensors").read_bytes()
    length = time.monotonic() - start
    rng, counts, run = random.Random(number), {}, 0
    while sum(counts.values()) < kills:
        run += 1
        while True:
            child = Child(lambda run=run: go(f"run{run}"))
            over = sum(counts.values()) >= kills
            code = child.wait() if over else child.kill(number, rng.uniform(0, length), rng.random() < 1 / 3)
            if code == 0:
                break
            counts[code] = counts.get(code, 0) + 1
            folder = Checkpoints(tmp_path / f"run{run}" / "checkpoints")
            assert not any(map(folder.problem, folder.all()))  # what is seen is whole
            if code == 3:
                assert folder.all()
        assert (tmp_path / f"run{run}" / "model.safetensors").read_bytes() == whole
    return counts


def test_killed_run_ends_with_the_same_bytes(train, rows, tmp_path):
    assert ends(train, rows, tmp_path, signal.SIGKILL, kills=20).keys() == {-signal.SIGKILL}


def test_run_that_is_asked_to_end_saves_and_ends_with_the_same_bytes(train, rows, tmp_path):
    counts = ends(train, rows, tmp_path, signal.SIGTERM, kills=8)
    assert counts.keys() <= {3, 4, -signal.SIGTERM}
    assert counts[3]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "kills"), [(signal.SIGKILL, 200), (signal.SIGTERM, 100)])
def test_run_that_is_ended_hundreds_of_times_ends_with_the_same_bytes(train, rows, tmp_path, number, kills):
    assert sum(ends(train, rows, tmp_path, number, kills).values()) >= kills
