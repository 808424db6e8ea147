"""Stages of a run, and the model with the best score."""

import json
import signal

import pytest
import torch

import ojito
from ojito.settings import ConfigError
from ojito.trainer.checkpoints import Checkpoints, read_state

STAGES = (
    "train.stages=[{steps: 3, freeze: [vision, decoder], lr: 1e-2}, {steps: 4, freeze: [vision], decoder_lr: 1e-4}, "
    "{steps: 2}]"
)


@pytest.fixture
def staged(train, many, tmp_path):
    def staged(name, *settings, resume="no", **options):
        options = {"data": many, "evaluate": False, **options}
        settings = ["train.steps=0", STAGES, "train.threads=1", "train.save_every=2", *settings]
        return train(out=tmp_path / name, settings=settings, resume=resume, **options)

    return staged


def copies(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def moved(before, after):
    return {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}


def test_each_stage_moves_its_parts_at_its_rates(staged):
    seen, rates = {}, {}

    def look(state):
        seen[state.clock.step] = copies(state.model)
        rates[state.clock.step] = {
            group["name"].split()[0]: group["peak_lr"]
            for optimizer in state.optimizers
            for group in optimizer.param_groups
        }

    result = staged("run", on_step=look)
    assert result.history.steps == 9
    assert moved(seen[1], seen[3]) == {"connector"}
    assert moved(seen[3], seen[7]) == {"connector", "decoder"}
    assert moved(seen[7], seen[9]) == {"vision", "connector", "decoder"}
    usual = result.pipeline.config.train.lr
    assert rates[2] == {"connector": 1e-2}
    assert rates[5] == {"connector": usual, "decoder": 1e-4}
    assert rates[9] == {"vision": usual, "connector": usual, "decoder": usual}


def test_schedule_begins_anew_in_every_stage(staged):
    lines = staged("run", "train.warmup=0").history.log
    assert [line["step"] for line in lines] == list(range(1, 10))
    lr = [line["lr"] for line in lines]
    assert lr[0] > lr[1] > lr[2]
    assert lr[3] > lr[4] > lr[5] > lr[6]
    assert lr[7] > lr[6] < lr[3]


@pytest.mark.parametrize("step", [1, 2, 3, 5, 7, 8])
def test_run_that_stops_in_any_stage_goes_on_to_the_bit(staged, step):
    whole = staged("whole", resume="auto")
    staged("cut", resume="auto", on_step=lambda state: "stop" if state.clock.step == step else None)
    (staged("cut", resume="auto").out / "run.json").unlink(missing_ok=True)
    cut = staged("cut", resume="auto")
    assert cut.history.steps == 9
    read = lambda result: (result.out / "model.safetensors").read_bytes()  # noqa: E731
    assert read(cut) == read(whole)


def test_length_of_a_staged_run_is_that_of_its_stages(tiny_config):
    with pytest.raises(ConfigError, match=r"train.steps: 5, and the stages have 9 together; leave it out"):
        ojito.preset("tiny", [STAGES, "train.steps=5"])
    with pytest.raises(ConfigError, match=r"train.minutes: 2.0 beside train.stages"):
        ojito.preset("tiny", [STAGES, "train.steps=0", "train.minutes=2"])
    with pytest.raises(ConfigError, match=r"train.stages\[0\].freeze: .* leaves nothing to train"):
        ojito.preset("tiny", ["train.stages=[{steps: 1, freeze: [vision, connector, decoder]}]"])
    assert ojito.preset("tiny", [STAGES, "train.steps=0"]).train.steps == 9


@pytest.fixture
def scored(train, dev, tmp_path, monkeypatch):
    """A run whose evaluations give these scores, one after the other."""

    def scored(scores, *settings, name="run", **options):
        left = iter(scores)

        class Report:
            problems = ()

            class scores:
                @staticmethod
                def to_dict():
                    return {"n": 1, **next(left)}

        monkeypatch.setattr("ojito.training.scoring.evaluate", lambda *args, **_: Report)
        monkeypatch.setattr("ojito.training.scoring.Scoring._loss", lambda *args: {})  # the one that is given stays
        settings = ["train.steps=6", "train.eval_every=1", "train.keep=1", *settings]
        return train(data=dev, out=tmp_path / name, settings=settings, **options)

    return scored


def exact(*values):
    return [{"exact_match": value} for value in values]


def test_model_with_the_best_score_is_left(scored, tmp_path):
    seen = {}
    result = scored(
        exact(0.1, 0.5, 0.2, 0.5, 0.3, 0.1), "train.score=exact_match", quiet=False,
        on_step=lambda state: seen.update({state.clock.step: copies(state.model)}),
    )  # fmt: skip
    assert result.history.steps == 6
    assert not moved(seen[2], copies(result.pipeline.model))  # the first of the two
    assert not moved(seen[2], copies(ojito.load(tmp_path / "run", "cpu", "float32").model))
    assert (tmp_path / "run" / "checkpoints" / "best").read_text() == "step-00000002\n"


def test_of_a_loss_the_smallest_is_the_best(scored, tmp_path):
    scored([{"loss": value} for value in (3.0, 1.0, 2.0, 4.0, 5.0, 6.0)], "train.score=loss")
    assert (tmp_path / "run" / "checkpoints" / "best").read_text() == "step-00000002\n"


def test_run_ends_when_the_score_is_no_better_for_too_long(scored):
    result = scored(exact(0.1, 0.5, 0.2, 0.5, 0.9, 0.9), "train.score=exact_match", "train.patience=2")
    assert (result.history.steps, result.history.stopped) == (4, True)


def test_run_that_ended_early_is_complete(scored, tmp_path):
    scored(exact(0.5, 0.2, 0.2, 0.2), "train.score=exact_match", "train.patience=2", resume="auto")
    again = scored(exact(), "train.score=exact_match", "train.patience=2", resume="auto")
    assert (again.resumed, again.history.steps) == (3, 3)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["history"]["steps"] == 3


def test_score_that_is_not_there_is_named(scored):
    with pytest.raises(
        ConfigError, match=r"train.score: 'exact' is no score of these evaluations; did you mean exact_match"
    ):
        scored(exact(0.1), "train.score=exact")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["train.patience=2"], "train.patience: 2 needs a score to wait for"),
        (["train.score=loss", "train.eval_every=0"], "train.score: 'loss' needs evaluations"),
    ],
)
def test_score_needs_evaluations_and_patience_a_score(settings, message):
    with pytest.raises(ConfigError, match=message):
        ojito.preset("tiny", settings)


def test_scores_of_the_result_are_those_of_the_model_that_is_left(scored):
    result = scored(exact(0.1, 0.5, 0.2, 0.3, 0.3, 0.1), "train.score=exact_match")
    assert result.scores["exact_match"] == 0.5


def test_signal_in_a_run_with_a_best_model_saves_the_state_of_its_last_step(scored, tmp_path):
    """The best model takes the place of the last one in memory, and not in the checkpoint that goes on."""
    whole = scored(exact(0.9, *[0.1] * 5), "train.score=exact_match", "train.threads=1", name="whole", resume="auto")
    stop = lambda state: signal.raise_signal(signal.SIGTERM) if state.clock.step == 4 else None  # noqa: E731
    settings = ["train.score=exact_match", "train.threads=1"]
    scored(exact(0.9, 0.1, 0.1), *settings, name="cut", resume="auto", on_step=stop)
    cut = scored(exact(0.1, 0.1, 0.1), *settings, name="cut", resume="auto")
    last = [read_state(Checkpoints(tmp_path / name / "checkpoints").newest()) for name in ("whole", "cut")]
    assert [state["clock"]["step"] for state in last] == [6, 6]
    assert not moved(last[0]["model"], last[1]["model"])
    assert cut.scores == whole.scores


def test_tower_that_learns_in_a_stage_is_not_encoded_beforehand(staged):
    """A recipe that froze it, and encodes its images once, gets stages in which it learns."""
    before = {}
    look = lambda state: before.update(copies(state.model)) if state.clock.step == 7 else None  # noqa: E731
    result = staged("run", "train.freeze=[vision]", on_step=look)
    assert "vision" in moved(before, copies(result.pipeline.model))
