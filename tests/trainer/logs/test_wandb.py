"""Weights & Biases as it is called: the package itself is not among those of the tests."""

import sys
import types

import pytest

from ojito.trainer.logs.wandb import WandB


@pytest.fixture
def wandb(monkeypatch):
    """A module in the place of wandb, which remembers what it is given."""
    for name in ("WANDB_MODE", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    module = types.ModuleType("wandb")
    module.lines, module.ended = [], 0

    class Run:
        def define_metric(self, name, step_metric):
            module.metric = (name, step_metric)

        def log(self, values):
            module.lines.append(values)

        def finish(self):
            module.ended += 1

    def init(**settings):
        module.settings = settings
        return Run()

    module.init = init
    module.Table = lambda columns, data: ("table", columns, data)
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


def test_nothing_goes_online_unless_the_user_says_so(wandb, tmp_path, monkeypatch):
    WandB(tmp_path)
    assert wandb.settings["mode"] == "offline"
    monkeypatch.setenv("WANDB_MODE", "online")
    WandB(tmp_path)
    assert wandb.settings["mode"] == "online"


def test_a_run_is_called_as_its_folder_and_lies_in_it(wandb, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    WandB(tmp_path / "mine")
    assert {k: wandb.settings[k] for k in ("project", "group", "name")} == {
        "project": "ojito", "group": "mine", "name": "mine",
    }  # fmt: skip
    assert wandb.settings["dir"] == str(tmp_path / "mine")
    monkeypatch.setenv("WANDB_PROJECT", "kites")
    WandB(tmp_path / "mine", after=40)
    assert (wandb.settings["project"], wandb.settings["group"]) == ("kites", "mine")
    assert wandb.settings["name"] == "mine from step 40"


def test_figures_and_texts_go_to_the_step_of_their_line(wandb, tmp_path):
    log = WandB(tmp_path)
    log.write({"step": 1, "loss": 2.5, "grad_norm": {"vision": 0.5}})
    log.write({"evaluation": True, "step": 1, "exact_match": 0.25})
    shown = [{"origin": "a.png", "prompt": "", "answer": "a kite", "references": ["kite", "red kite"]}]
    log.write({"step": 1, "shown": shown})
    log.write({"step": 2})
    log.close()
    table = ("table", ["origin", "prompt", "answer", "references"], [["a.png", "", "a kite", "kite / red kite"]])
    assert wandb.metric == ("*", "step")
    assert wandb.lines == [
        {"step": 1, "loss": 2.5, "grad_norm/vision": 0.5},
        {"step": 1, "evaluation/exact_match": 0.25},
        {"step": 1, "shown": table},
    ]
    assert wandb.ended == 1
