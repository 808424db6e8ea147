import json

import pytest

from ojito.trainer import History
from ojito.trainer.movement import PartMoved
from ojito.training.report import conclude, lines, warnings


def part(change=0.1, still=(), tensors=4, learned=100):
    return PartMoved(100, learned, change, tensors, tuple(still), 1.0, 1.0)


def found(steps=100, skipped=0, **parts):
    return warnings(parts, History(steps=steps, skipped=[*range(skipped)]))


def test_part_that_was_to_learn_and_did_not_move_is_told():
    still = [f"vision.{i}" for i in range(4)]
    assert found(vision=part(0.0, still), decoder=part()) == [
        "vision was to learn, but did not move: no gradient reaches it, or its learning rate is 0"
    ]


def test_tensors_that_did_not_move_are_named():
    still = [f"vision.{i}" for i in range(4)]
    assert found(vision=part(0.1, still, tensors=9)) == [
        "4 of 9 tensors of vision did not move: vision.0, vision.1, vision.2, ..."
    ]


def test_part_that_hardly_moved_is_told_with_the_setting_that_helps():
    assert found(connector=part(2e-6)) == [
        "connector hardly moved (0.0002% in 100 steps): raise train.connector_lr, or freeze it"
    ]
    assert found(connector=part(2e-6), steps=10) == []


def test_frozen_parts_and_runs_without_a_step_are_right():
    assert found(vision=part(None, tensors=0, learned=0)) == []
    assert found(steps=0, vision=part(0.0, ["vision.0"])) == []
    assert found(steps=3, skipped=3, vision=part(0.0, ["vision.0"])) == []


def test_lines_are_for_people():
    gap = {"grounding_gap": 0.5, "loss_right": 1.25, "loss_exchanged": 1.75}
    values = {"vision": (0, None), "connector": (10, 0.412), "decoder": (10, 0.00321)}
    parts = {name: {"learned": learned, "change": change} for name, (learned, change) in values.items()}
    report = {"steps": 5, "parts": parts, "grounding": gap}
    assert lines(report) == [
        "weights changed by: vision frozen, connector 41%, decoder 0.32%",
        "grounding gap 0.500: loss 1.250 with the right image, 1.750 with that of another row",
    ]
    assert lines({**report, "steps": 0, "grounding": None}) == []
    assert lines({**report, "grounding": {"grounding_gap": None}}) == lines(report)[:1]


def test_report_of_a_run_tells_what_it_took_and_came_to(train, tmp_path, dev):
    result = train(data=dev, out=tmp_path / "mine", settings=["train.freeze=[vision]", "train.seed=3"])
    report = json.loads((tmp_path / "mine" / "report.json").read_text())
    assert report == json.loads(json.dumps(result.report))
    assert {name: report[name] for name in ("ended", "error", "steps", "samples", "seed", "bad_rows", "precision")} == {
        "ended": "done", "error": None, "steps": 3, "samples": 6, "seed": 3, "bad_rows": 0, "precision": "float32",
    }  # fmt: skip
    assert report["loss"] == result.history.log[-1]["loss"]
    assert report["scores"] == result.scores
    assert report["parts"]["vision"]["learned"] == 0
    assert report["parts"]["decoder"]["change"] > 0
    assert report["parts"]["decoder"]["gradient_norm"] > 0
    assert report["warnings"] == []
    assert {"torch", "python", "cpu", "threads", "system"} <= set(report["machine"])
    assert report["device"] == "cpu"


def test_part_that_a_recipe_forgot_is_warned_of(train, monkeypatch, caplog):
    from ojito.trainer import optim

    whole = optim.optimizers

    def forgetful(model, config):  # vision has gradients, and nothing that takes them
        made = whole(model, config)
        for optimizer in made:
            optimizer.param_groups[:] = [g for g in optimizer.param_groups if not g["name"].startswith("vision")]
        return made

    monkeypatch.setattr("ojito.trainer.state.optimizers", forgetful)
    result = train()
    assert result.report["parts"]["vision"]["change"] == 0
    assert [w for w in result.report["warnings"] if w.startswith("vision was to learn, but did not move")]
    assert "vision was to learn, but did not move" in caplog.text


def test_run_that_failed_or_was_stopped_says_so(train, tmp_path):
    def fail(state):
        if state.clock.step == 2:
            raise RuntimeError("the device is gone")

    with pytest.raises(RuntimeError):
        train(out=tmp_path / "mine", on_step=fail)
    report = json.loads((tmp_path / "mine" / "report.json").read_text())
    assert (report["ended"], report["error"], report["steps"]) == ("failed", "the device is gone", 2)

    def interrupt(state):
        raise KeyboardInterrupt

    assert train(on_step=interrupt).report["ended"] == "interrupted"
    assert train(on_step=lambda state: "stop").report["ended"] == "stopped"


def test_report_on_a_full_disk_is_told_and_loses_nothing(tmp_path, caplog):
    (tmp_path / "report.json").mkdir()
    said = []

    class Display:
        say = staticmethod(said.append)

    conclude({"steps": 0, "parts": {}, "grounding": None, "warnings": ["something"]}, tmp_path, Display)
    assert "report.json: cannot be written (Is a directory)" in caplog.text
    assert "something" in caplog.text
