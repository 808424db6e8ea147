"""`ojito.train`, and the loops that its parts make."""

import dataclasses
import itertools
from pathlib import Path

import pytest
import torch

import ojito
from ojito.config import DataConfig
from ojito.data import open_data
from ojito.errors import OjitoError
from ojito.settings import ConfigError


def differ(a, b):
    a, b = a.model.state_dict(), b.model.state_dict()
    return [name for name in a if not torch.equal(a[name], b[name])]


def test_verb_and_its_rooms_do_not_share_a_name():
    import ojito.evaluate.runner
    import ojito.trainer.loop

    assert callable(ojito.train)
    assert callable(ojito.evaluate)
    assert ojito.trainer.loop.fit is ojito.fit


def test_train_learns_saves_and_returns_a_model_that_answers(train, tmp_path):
    result = train(out=tmp_path / "mine", settings=["train.steps=40"])
    assert result.history.log[-1]["loss"] < 0.5 * result.history.log[0]["loss"]
    assert (result.history.steps, result.out, result.scores, result.problems) == (40, tmp_path / "mine", None, ())
    loaded = ojito.load(tmp_path / "mine", device="cpu", dtype="float32")
    assert not differ(result.pipeline, loaded)
    assert loaded.config.train.steps == 40
    lines = (tmp_path / "mine" / "metrics.jsonl").read_text().splitlines()
    assert sum('"loss"' in line for line in lines) == 40
    image = tmp_path / "a.png"
    assert result.pipeline.ask(image, "").text == loaded.ask(image, "").text


def test_train_without_a_folder_writes_nothing(train, tmp_path):
    before = {path.name for path in tmp_path.iterdir()}
    result = train()
    assert result.out is None
    assert {path.name for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("form", ["path", "text", "source", "samples"])
def test_data_may_be_a_path_a_source_or_samples(train, recipe, form):
    path = recipe.data.path
    forms = {"path": Path(path), "text": path, "source": open_data(recipe), "samples": open_data(recipe).rows}
    result = train(dataclasses.replace(recipe, data=DataConfig(path="nothing")), forms[form])
    assert not differ(result.pipeline, train().pipeline)
    assert result.pipeline.config.data.path == {"source": "rows.jsonl", "samples": "samples"}.get(form, path)


def test_start_may_be_the_name_of_a_preset(train, recipe):
    small = ["model.vision.layers=1", "model.decoder.layers=1", "train.minutes=0"]
    result = train("tiny", recipe.data.path, settings=small)
    assert result.pipeline.name == "tiny"
    assert result.pipeline.config.data.path == recipe.data.path


def test_folder_as_start_goes_on_with_its_weights_and_recipe(train, tmp_path):
    first = train(out=tmp_path / "mine")
    again = train(tmp_path / "mine", settings=["train.lr=1e-12", "train.weight_decay=0"])
    assert again.pipeline.config.train.lr == 1e-12
    assert again.pipeline.config.data == first.pipeline.config.data
    for name, tensor in first.pipeline.model.state_dict().items():
        torch.testing.assert_close(again.pipeline.model.state_dict()[name], tensor, rtol=0, atol=1e-9)


def test_weights_go_into_the_recipe_that_is_given(train, recipe, tmp_path):
    first = train(out=tmp_path / "mine")
    config = dataclasses.replace(first.pipeline.config, name="other")
    again = train(config, weights=tmp_path / "mine", settings=["train.lr=1e-12", "train.weight_decay=0"])
    assert again.pipeline.name == "other"
    name = "decoder.embedding.weight"
    expected = first.pipeline.model.state_dict()[name]
    torch.testing.assert_close(again.pipeline.model.state_dict()[name], expected, rtol=0, atol=1e-9)
    with pytest.raises(OjitoError, match="weights: go with a recipe as start"):
        train(tmp_path / "mine", weights=tmp_path / "mine")


def test_pipeline_as_start_is_trained_in_place(train):
    pipe = train().pipeline
    before = pipe.model.decoder.embedding.weight.clone()
    result = train(pipe, settings=["train.seed=4"])
    assert result.pipeline.model is pipe.model
    assert result.pipeline.config.train.seed == 4
    assert not torch.equal(before, pipe.model.decoder.embedding.weight)


def test_pipeline_that_cannot_be_trained_is_refused(train):
    pipe = train().pipeline
    with pytest.raises(ConfigError, match="model: is another than that of the Pipeline"):
        train(pipe, settings=["model.decoder.norm_eps=0.5"])
    pipe.model.to(torch.bfloat16)
    with pytest.raises(OjitoError, match=r'start: .* has weights in bfloat16; load it with dtype="float32"'):
        train(pipe)


def test_callbacks_hear_of_the_run_and_may_stop_it(train, tmp_path):
    steps, lines = [], []
    result = train(out=tmp_path / "mine", on_step=lambda state: steps.append(state.clock.step), on_log=lines.append)
    assert steps == [line["step"] for line in lines] == [1, 2, 3]
    result = train(on_log=lambda line: "stop" if line["step"] == 2 else None)
    assert (result.history.steps, result.history.stopped) == (2, True)


def test_bad_rows_are_in_the_result(train, recipe):
    with Path(recipe.data.path).open("a") as file:
        file.write('\n{"image": "gone.png", "caption": "x"}')
    result = train(settings=["data.max_bad=0.5"])
    assert [problem.split(":")[:2] for problem in result.problems] == [["rows.jsonl", "3"]]


@pytest.mark.parametrize("data", [[], ["a.png"], 3])
def test_data_that_are_none_are_refused(train, data):
    with pytest.raises(OjitoError, match="data: is no list of samples"):
        train(data=data)


def test_device_that_is_not_there_is_named(train):
    with pytest.raises(ValueError, match="gpu"):
        train(device="gpu")


def test_parts_make_a_training_loop(recipe):
    config = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, steps=40, batch_size=2, log_every=20))
    # The README's snippet, from here on.
    data = ojito.open_data(config)
    model, processor = ojito.prepare(config, data, "cpu")
    batches = ojito.Batches(data, processor, config.data, config.train)
    state = ojito.TrainState(model, config.train)
    history = ojito.fit(state, batches, quiet=True)
    report = ojito.evaluate(ojito.Pipeline(model, processor, config), data.samples("train"))
    assert history.log[-1]["loss"] < 0.5 * history.log[0]["loss"]
    assert report.scores.n == 2


def test_parts_make_a_training_loop_from_scratch(recipe):
    config = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, batch_size=2))
    losses = []
    # The README's snippet, from here on.
    from ojito.trainer import count_labels, token_loss

    data = ojito.open_data(config)
    model, processor = ojito.prepare(config, data, "cpu")
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    model.train()
    for batch in itertools.islice(ojito.Batches(data, processor, config.data, config.train), 40):
        loss = token_loss(model, batch) / count_labels(batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
