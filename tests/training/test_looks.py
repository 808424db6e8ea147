import json

import pytest


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def looked(train, tmp_path, many):
    """Trains on forty rows; returns the lines of metrics.jsonl by kind."""

    def run(*settings, **options):
        train(data=many, out=tmp_path / "mine", force=True, settings=[*settings], **options)
        lines = metrics(tmp_path / "mine")
        return [line for line in lines if "grounding_gap" in line], [line for line in lines if "shown" in line]

    return run


def test_gap_and_answers_are_looked_at_on_rows_that_are_held_out(looked):
    gaps, shown = looked()
    assert [line["step"] for line in gaps] == [3]
    assert [one["references"] for one in shown[0]["shown"]] == [["zebra"]] * 3


def test_settings_say_how_often(looked):
    gaps, shown = looked("train.grounding_every=1", "train.show_every=2")
    assert [line["step"] for line in gaps] == [1, 2, 3]
    assert [line["step"] for line in shown] == [2, 3]


@pytest.mark.parametrize(
    ("settings", "options"),
    [(["train.grounding_rows=0", "train.show_rows=0"], {}), ([], {"evaluate": False})],
)
def test_looks_can_be_switched_off(looked, settings, options):
    assert looked(*settings, **options) == ([], [])


def test_rows_that_are_learned_are_looked_at_where_none_are_held_out(looked):
    gaps, shown = looked("data.hold_out=0")
    assert len(gaps) == 1
    origins = [one["origin"] for one in shown[0]["shown"]]
    assert origins[0] == "many.jsonl:1"
    assert len(set(origins)) == 3


def test_images_of_a_frozen_tower_are_encoded_once(looked, monkeypatch):
    from ojito.model import VLM

    encoded = []
    see = VLM.see
    monkeypatch.setattr(VLM, "see", lambda self, images: encoded.append(len(images)) or see(self, images))
    gaps, _ = looked("train.freeze=[vision]", "train.grounding_every=1", "train.show_rows=0")
    assert len(gaps) == 3
    assert encoded.count(1) == 8  # in three looks


def test_scenes_without_end_are_looked_at(train, tmp_path):
    settings = ["train.steps=1", "train.batch_size=4", "train.show_rows=1", "train.eval_samples=8"]
    train("tiny", out=tmp_path / "scenes", settings=settings)
    assert [set(line) & {"loss", "grounding_gap", "shown", "evaluation"} for line in metrics(tmp_path / "scenes")] == [
        {"loss"}, {"grounding_gap"}, {"shown"}, {"evaluation"},
    ]  # fmt: skip


def test_logs_of_the_recipe_are_written(looked, tmp_path):
    pytest.importorskip("tensorboard")
    looked("train.logs=[tensorboard]")
    assert [*(tmp_path / "mine" / "tensorboard").iterdir()]


def test_logs_need_a_folder_before_anything_is_read(train):
    with pytest.raises(ValueError, match="tensorboard needs a folder to write to"):
        train(settings=["train.logs=[tensorboard]"])


def test_run_that_is_gone_on_with_has_the_lines_of_an_unbroken_one(train, tmp_path, many):
    def kinds(folder):
        return [(line["step"], *sorted(set(line) & {"loss", "grounding_gap", "shown"})) for line in metrics(folder)]

    settings = ["train.steps=6", "train.grounding_every=2", "train.show_every=3", "train.save_every=2"]
    whole = train(data=many, out=tmp_path / "whole", settings=settings)

    def killed(state):
        if state.clock.step == 5:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        train(data=many, out=tmp_path / "broken", settings=settings, on_step=killed)
    again = train(data=many, out=tmp_path / "broken", settings=settings, resume="auto")
    assert again.resumed == 4
    assert kinds(tmp_path / "broken") == kinds(tmp_path / "whole")
    for name in ("steps", "samples", "loss", "parts"):
        assert again.report[name] == whole.report[name], name
    assert again.report["grounding"]["grounding_gap"] == whole.report["grounding"]["grounding_gap"]
