"""Scores of a run, and the rows that they are of."""

import dataclasses
import json
import math

import pytest
import torch

import ojito
from ojito.evaluate import Report
from ojito.trainer import count_labels, token_loss
from ojito.trainer.progress import Display
from ojito.training.scoring import Scoring


def test_scores_are_those_after_the_last_step(train, dev):
    assert train(data=dev).scores["n"] == 1
    assert train(data=dev, evaluate=False).scores is None
    assert train(data=dev, settings=["data.eval_split=other"]).scores is None
    scored = []
    result = train(data=dev, settings=["train.eval_every=3"], on_eval=scored.append)
    assert scored == result.history.evaluations
    assert result.scores == {name: scored[0][name] for name in result.scores}
    assert result.scores["n"] == 1


def test_rows_without_a_split_are_held_out_and_scored(train, many, tmp_path, capsys):
    result = train(data=many, out=tmp_path / "mine", quiet=False)
    assert (result.scores["n"], result.split, result.held_out) == (8, "dev", 8)
    assert "held out 8 of 40 rows, by image" in capsys.readouterr().err
    learned = ojito.load(tmp_path / "mine", device="cpu").learned
    assert (len(learned.learned), len(learned.held_out), learned.kinds) == (32, 8, {"question": 32})
    off = train(data=many, settings=["data.hold_out=0"])
    assert (off.scores, off.split, off.held_out) == (None, "", 0)


def test_rows_that_are_scored_although_their_images_were_learned_are_counted(train, dev, many):
    assert train(data=dev).learned == 1
    assert train(data=many).learned == 0


def test_training_that_goes_on_holds_out_the_same_rows(train, many, tmp_path):
    first = train(data=many, out=tmp_path / "mine").pipeline
    for start in (tmp_path / "mine", first):
        again = train(start, settings=["train.seed=7"])
        assert again.held_out == 8
        assert again.pipeline.learned.held_out == first.learned.held_out
        assert again.pipeline.learned.kinds == {"question": 64}


def test_seed_of_training_draws_the_rows_of_an_evaluation(train, many, monkeypatch):
    drawn = []

    def evaluate(pipe, rows, **options):
        drawn.append([row.origin for row in rows])
        return Report(())

    monkeypatch.setattr("ojito.training.scoring.evaluate", evaluate)
    lines = [
        json.loads(line) | {"split": split} for line in many.read_text().splitlines() for split in ("train", "dev")
    ]
    many.write_text("\n".join(map(json.dumps, lines)))
    for seed in (0, 0, 1):
        train(data=many, settings=["train.eval_samples=3", f"train.seed={seed}"])
    assert drawn[0] == drawn[1] != drawn[2]
    assert {len(rows) for rows in drawn} == {3}


@pytest.mark.parametrize("name", ["val", "valid", "validation", "test"])
def test_other_usual_names_of_the_evaluation_split_are_understood(train, dev, name):
    dev.write_text(dev.read_text().replace('"dev"', f'"{name}"'))
    result = train(data=dev)
    assert (result.split, result.scores["n"]) == ("test" if name == "test" else "dev", 1)


@pytest.mark.parametrize("bad", [{"image": "bad.png", "caption": "x"}, {"image": "a.png", "question": "z" * 600}])
def test_row_that_cannot_be_asked_does_not_end_the_training(train, dev, tmp_path, capsys, bad):
    (tmp_path / "bad.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    good = dev.read_text()
    bad = json.dumps({"answer": "x", "split": "dev"} | bad)
    if "caption" in bad:
        bad = bad.replace('"answer": "x", ', "")
    dev.write_text(good.replace('"dev"', '"train"') + "\n" + bad)
    settings = ["data.max_bad=0.5", "train.eval_every=1"]
    result = train(data=dev, settings=settings, quiet=False)
    assert (result.history.steps, result.scores, result.split) == (3, None, "dev")
    assert [problem.split(":")[:2] for problem in result.problems] == [["split.jsonl", "3"]]
    assert capsys.readouterr().err.count("not asked in the evaluation: split.jsonl:3") == 1
    dev.write_text(good + "\n" + bad)
    result = train(data=dev, settings=settings)
    assert (result.scores["n"], len(result.problems)) == (1, 1)


def test_loss_is_a_score_where_it_is_asked_for(recipe, dev):
    config = dataclasses.replace(
        recipe,
        data=dataclasses.replace(recipe.data, path=str(dev)),
        train=dataclasses.replace(recipe.train, score="loss", eval_every=1),
    )
    source = ojito.open_data(config)
    model, processor = ojito.prepare(config, source, "cpu")
    scoring = Scoring(ojito.Pipeline(model, processor, config), config, source, Display(quiet=True))
    scores = scoring.score()
    batch = processor(source.samples("dev"), training=True)
    with torch.no_grad():
        expected = float(token_loss(model.eval(), batch)) / count_labels(batch)
    assert scores["loss"] == pytest.approx(expected, abs=1e-5)
    assert scores["perplexity"] == pytest.approx(math.exp(expected), rel=1e-4)
    plain = dataclasses.replace(config, train=dataclasses.replace(config.train, score=""))
    assert "loss" not in Scoring(ojito.Pipeline(model, processor, plain), plain, source, Display(quiet=True)).score()
