import functools
import json
import re
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from ojito import Sample, Turn, demo, load
from ojito.data import training_texts
from ojito.evaluate import Graded, Report
from ojito.presets import preset
from ojito.settings import ConfigError
from ojito.trainer import History

MATCHES = (
    "exact_match",
    "exact_match_unseen_combinations",
    "exact_match_blank_image",
    "exact_match_exchanged_image",
)
PRESET_MINUTES = preset("tiny").train.minutes


def learn_from_few_texts(monkeypatch):
    # The tokenizer's 2,000 scenes are most of the time that the demo takes besides training.
    monkeypatch.setattr("ojito.training.begin.training_texts", functools.partial(training_texts, drawn=40))


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """All of the demo, with half a second of training and few questions."""
    out = tmp_path_factory.mktemp("demo") / "runs" / "demo"
    lines = []
    with pytest.MonkeyPatch.context() as patch:
        learn_from_few_texts(patch)
        patch.setattr(demo, "QUESTIONS", 20)
        scores = demo.run(out, minutes=0.01, device="cpu", seed=3, say=lines.append)
    return SimpleNamespace(out=out, scores=scores, lines=lines)


def graded(right):
    """Four questions, of which `right` are answered right."""
    sample = Sample([Image.new("RGB", (4, 4))], turns=(Turn("what?", ("x",), "what"),))
    return tuple(Graded(sample, "x", number < right) for number in range(4))


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """Runs the demo without training and asking; returns what it would have trained on and asked."""
    learn_from_few_texts(monkeypatch)
    evaluations = [Report(graded(3), blank=graded(1), exchanged=graded(0)), Report(graded(2))]

    def run(**options):
        met = SimpleNamespace(asked=[], lines=[])

        def fit(state, batches, *, out, evaluate, **options):
            met.weights = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
            met.batch, met.config, met.metrics = next(batches), state.config, out
            met.evaluate = evaluate
            return History(
                steps=3,
                seconds=2.04,
                samples=48,
                log=[{"seconds": 1.0, "loss": 3.0}, {"seconds": 2.0, "loss": 1.0}],
            )

        def evaluate(pipe, samples, *, controls=("blank", "exchanged"), seed=0):
            met.asked.append(SimpleNamespace(samples=samples, controls=controls, seed=seed))
            return evaluations[len(met.asked) - 1]

        monkeypatch.setattr("ojito.training.run.fit", fit)
        monkeypatch.setattr(demo, "evaluate", evaluate)
        met.scores = demo.run(tmp_path, say=met.lines.append, **{"device": "cpu", **options})
        return met

    return run


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


# ---------------------------------------------------------------------------------------------------------- all of it


def test_demo_leaves_a_report_scores_a_model_and_images(shown):
    names = {path.name for path in shown.out.iterdir()}
    assert {"report.html", "scores.json", "model", "images"} <= names
    assert json.loads((shown.out / "scores.json").read_text()) == shown.scores


def test_scores_are_shares_of_equally_many_questions(shown):
    assert 0 < shown.scores["train_seconds"] < 30
    assert [key for key in MATCHES if not 0 <= shown.scores[key] <= 1] == []
    assert shown.scores["questions"] == dict.fromkeys(MATCHES, 20)
    assert {len(kinds) for kinds in shown.scores["per_kind"].values()} == {10}
    assert set(shown.scores["per_kind"]) == set(MATCHES)


def test_saved_model_answers_about_the_images(shown):
    pipe = load(shown.out / "model", device="cpu", dtype="float32")
    images = [shown.out / "images" / f"scene{number}.png" for number in (1, 2)]
    assert pipe.name == "tiny"
    assert sum(p.numel() for p in pipe.model.parameters()) == shown.scores["parameters"]
    for image in images:
        assert Image.open(image).size == (48, 48)
        assert pipe.ask(image, "what colour is the ball?", max_new_tokens=4).finish in ("eos", "length")
    assert images[0].read_bytes() != images[1].read_bytes()


def test_model_keeps_the_recipe_that_it_was_trained_by(shown):
    config = load(shown.out / "model", device="cpu").config
    assert (config.name, config.train.minutes, config.train.seed) == ("tiny", 0.01, 3)


def test_report_shows_images_of_the_questions(shown):
    html = (shown.out / "report.html").read_text(encoding="utf-8")
    assert html.count('src="data:image/png;base64,') == 20
    assert "20 questions about new scenes" in html


def test_log_of_the_training_is_in_the_folder(shown):
    lines = (shown.out / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == shown.scores["steps"] > 0


def test_demo_says_what_it_asks(shown):
    assert shown.lines == [
        "asking 20 questions about new scenes, 20 about pairs it never saw, and again without the image",
    ]


# ---------------------------------------------------------------------------------------------- what it is made of


def test_each_score_is_that_of_its_own_questions(quick):
    scores = quick(short=True).scores
    assert [scores[key] for key in MATCHES] == [0.75, 0.5, 0.25, 0.0]
    assert [scores["per_kind"][key] for key in MATCHES] == [{"what": share} for share in (0.75, 0.5, 0.25, 0.0)]
    assert scores["questions"] == dict.fromkeys(MATCHES, 4)


def test_scores_tell_the_run_and_the_machine(quick):
    scores = quick(short=True).scores
    assert [scores[key] for key in ("train_seconds", "steps", "images", "images_per_second")] == [2.0, 3, 48, 23.5]
    assert scores["machine"]["device"] == "cpu"
    assert scores["machine"]["torch"] == torch.__version__


def test_report_shows_the_scores_and_the_curve(quick, tmp_path):
    scores = quick(short=True).scores
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    shown = re.findall(r"<b>([\d.]+%)</b>([^<]*)", html)
    assert shown == [
        ("75.0%", "right"),
        ("50.0%", "on pairs it never saw"),
        ("25.0%", "with a blank image"),
        ("0.0%", "with another image"),
    ]
    assert "Loss from 3.00 to 1.00 in 2 seconds" in html
    assert f"{scores['parameters']:,} parameters, trained from nothing for 2 seconds (48 images)" in html


@pytest.mark.parametrize(("short", "count"), [(False, 600), (True, 100)])
def test_new_scenes_and_unseen_pairs_are_asked_equally_often(quick, short, count):
    met = quick(short=short)
    new, unseen = met.asked
    assert {sample.split for sample in new.samples} == {"dev"}
    assert {sample.split for sample in unseen.samples} == {"unseen"}
    assert len(new.samples) == len(unseen.samples) == count
    assert (set(new.controls), set(unseen.controls)) == ({"blank", "exchanged"}, set())
    assert met.lines[0].startswith(f"asking {count} questions about new scenes, {count} about pairs")


@pytest.mark.parametrize(
    ("options", "minutes"),
    [({}, PRESET_MINUTES), ({"short": True}, 0.25), ({"minutes": 0.5}, 0.5), ({"minutes": 0.5, "short": True}, 0.5)],
    ids=str,
)
def test_minutes_of_training_are_the_presets_unless_said_otherwise(quick, monkeypatch, options, minutes):
    monkeypatch.setattr(demo, "QUESTIONS", 10)
    met = quick(**options)
    assert met.config.minutes == minutes
    assert met.config.steps == 0


def test_recipe_is_the_preset_that_is_trained(quick, tmp_path):
    met = quick(recipe="scenes", short=True)
    assert met.evaluate is None  # the demo asks its own questions
    assert load(tmp_path / "model", device="cpu").name == "scenes"
    assert met.scores["parameters"] > quick(short=True).scores["parameters"]


@pytest.mark.parametrize("name", ["vit-llama-96", "paligemma-3b-224", "none"])
def test_recipe_for_other_data_is_an_error(quick, name):
    with pytest.raises(ConfigError, match=f"preset: {name} is not a recipe for drawn scenes; use tiny or scenes"):
        quick(recipe=name)


def test_seed_decides_on_weights_scenes_and_exchange(quick):
    first, again, other = (quick(short=True, seed=seed) for seed in (0, 0, 1))
    assert same(first.weights, again.weights)
    assert not same(first.weights, other.weights)
    assert torch.equal(first.batch.images, again.batch.images)
    assert not torch.equal(first.batch.images, other.batch.images)
    assert [asked.seed for met in (first, other) for asked in met.asked] == [0, 0, 1, 1]


def test_seed_is_zero_where_none_is_given(quick):
    assert same(quick(short=True).weights, quick(short=True, seed=0).weights)


def test_trained_weights_are_saved(quick, tmp_path):
    weights = quick(short=True).weights
    assert same(weights, load(tmp_path / "model", device="cpu", dtype="float32").model.state_dict())


def test_folder_keeps_what_else_it_holds(quick, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert quick(short=True).metrics == tmp_path
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_images_to_ask_about_are_new(quick, tmp_path):
    asked = {sample.images[0].tobytes() for sample in quick(short=True).asked[0].samples}
    assert not asked & {Image.open(path).tobytes() for path in (tmp_path / "images").iterdir()}


def test_demo_runs_where_it_is_told(quick):
    with pytest.raises(ValueError, match="device: 'gpu' is not one of auto, cpu"):
        quick(device="gpu")


def test_demo_that_is_interrupted_at_once_replaces_nothing(quick, monkeypatch, tmp_path):
    quick(short=True)
    before = (tmp_path / "model" / "model.safetensors").read_bytes()
    monkeypatch.setattr("ojito.training.run.fit", lambda *args, **options: History(interrupted=True))
    assert demo.run(tmp_path, short=True, device="cpu", seed=1, say=lambda text: None) is None
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == before
