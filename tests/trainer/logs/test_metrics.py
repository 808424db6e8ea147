import json
import sys
from pathlib import Path

import pytest

from ojito.errors import OjitoError
from ojito.trainer.logs import Metrics, check_logs
from ojito.trainer.logs import metrics as module


class Recorder:
    """A log that remembers its lines, and fails where it is told to."""

    def __init__(self, folder, after, fails=()):
        self.name, self.after, self.fails = "recorder", after, fails
        self.lines, self.closed = [], 0

    def write(self, line):
        if "write" in self.fails:
            raise RuntimeError("out of order")
        self.lines.append(line)

    def close(self):
        self.closed += 1
        if "close" in self.fails:
            raise OSError(28, "No space left on device")


@pytest.fixture
def recorder(monkeypatch):
    """Puts a recorder in the place of TensorBoard."""
    made = []

    def install(fails=()):
        def make(folder, after):
            made.append(Recorder(folder, after, fails))
            return made[-1]

        monkeypatch.setitem(module._SINKS, "tensorboard", make)
        return made

    return install


def test_without_a_folder_nothing_is_written(tmp_path, recorder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = recorder()
    with Metrics(None, also=["tensorboard"]) as metrics:
        metrics.write({"step": 1})
    assert not made
    assert not [*tmp_path.iterdir()]


def test_every_log_gets_every_line_and_the_step_that_the_run_goes_on_from(tmp_path, recorder):
    made = recorder()
    with Metrics(tmp_path, after=4, also=["tensorboard"]) as metrics:
        metrics.write({"step": 5})
    (log,) = made
    assert (log.lines, log.after, log.closed) == ([{"step": 5}], 4, 1)
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"step": 5}


def test_after_drops_later_lines(tmp_path):
    for after in (None, 1):
        with Metrics(tmp_path, after=after) as metrics:
            metrics.write({"step": 1 if after is None else 2})
            metrics.write({"step": 2 if after is None else 3})
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1}\n{"step": 2}\n{"step": 3}\n'


def test_a_log_that_fails_ends_and_the_others_go_on(tmp_path, recorder, caplog):
    made = recorder(["write"])
    with Metrics(tmp_path, also=["tensorboard"]) as metrics:
        for step in (1, 2):
            metrics.write({"step": step})
    assert (made[0].lines, made[0].closed) == ([], 1)
    assert [r.getMessage() for r in caplog.records] == [
        "recorder: cannot be written (RuntimeError: out of order); training goes on without it"
    ]
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1}\n{"step": 2}\n'


def test_a_log_that_cannot_be_closed_is_told(tmp_path, recorder, caplog):
    recorder(["close"])
    with Metrics(tmp_path, also=["tensorboard"]):
        pass
    assert "recorder: cannot be written (No space left on device)" in caplog.text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_metrics_that_fill_the_disk_do_not_end_the_run(tmp_path, caplog):
    with Metrics(tmp_path) as metrics:
        metrics._sinks[0].close()
        metrics._sinks[0]._file = Path("/dev/full").open("w")  # noqa: SIM115 - metrics closes it
        metrics.write({"step": 1})
        metrics.write({"step": 2})
    (record,) = caplog.records
    assert "metrics.jsonl: cannot be written (No space left on device); training goes on without it" in (
        record.getMessage()
    )


@pytest.mark.parametrize(
    ("name", "modules", "remedy"),
    [
        ("tensorboard", ["torch.utils.tensorboard"], "pip install 'ojito[log]'"),
        ("wandb", ["wandb"], "pip install wandb"),
    ],
)
def test_a_package_that_is_missing_is_told_before_training_with_how_to_install_it(
    monkeypatch, tmp_path, name, modules, remedy
):
    for one in modules:
        monkeypatch.setitem(sys.modules, one, None)
    with pytest.raises(OjitoError, match=f"train.logs: {name} cannot be imported .*{remedy}".replace("[", r"\[")):
        check_logs([name], tmp_path)
    with pytest.raises(OjitoError, match=name):
        Metrics(tmp_path, also=[name])


def test_logs_need_a_folder():
    check_logs([], None)
    with pytest.raises(OjitoError, match="tensorboard needs a folder to write to; give out"):
        check_logs(["tensorboard"], None)
