"""What a machine without a GPU cannot show: the same answers there, and training in bfloat16."""

import dataclasses
import itertools

import pytest
import torch

from ojito.data import Batches, Scenes
from ojito.evaluation import evaluate
from ojito.pipeline import Pipeline
from ojito.presets import preset
from ojito.records import Sample
from ojito.trainer import TrainState, fit
from ojito.training import prepare

pytestmark = pytest.mark.gpu
SETTINGS = ["train.minutes=0", "train.steps=60", "train.log_every=10"]


@pytest.fixture
def config():
    return preset("tiny", SETTINGS)


def made(config, device):
    source = Scenes(config.data.scenes)
    model, processor = prepare(config, source, device)
    return Pipeline(model, processor, config), source


def test_logits_are_those_of_the_cpu(config):
    (here, source), (there, _) = made(config, "cpu"), made(config, "cuda")
    there.model.load_state_dict(here.model.state_dict())
    batch = next(Batches(source, here.processor, config.data, config.train))
    with torch.no_grad():
        expected, found = here.model.eval()(batch), there.model.eval()(batch)  # the batch is on the CPU both times
    assert found.device.type == "cuda"
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_learns_and_keeps_float32_weights(config, precision):
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, precision=precision))
    pipe, source = made(config, "cuda")
    history = fit(
        TrainState(pipe.model, config.train), Batches(source, pipe.processor, config.data, config.train), quiet=True
    )
    assert history.log[-1]["loss"] < 0.5 * history.log[0]["loss"]
    assert not history.skipped
    assert {p.dtype for p in pipe.model.parameters()} == {torch.float32}
    assert evaluate(pipe, source.samples("dev", 20)).scores.n == 20


def test_answers_are_those_of_the_cpu_token_for_token(config):
    (here, source), (there, _) = made(config, "cpu"), made(config, "cuda")
    fit(TrainState(here.model, config.train), Batches(source, here.processor, config.data, config.train), quiet=True)
    there.model.load_state_dict(here.model.state_dict())
    questions = [Sample(sample.images, "what colour is the ball?") for sample in source.samples("dev", 8)]
    assert here.generate(questions, max_new_tokens=4) == there.generate(questions, max_new_tokens=4)
    beams = [pipe.generate(questions, max_new_tokens=4, beams=3) for pipe in (here, there)]
    assert beams[0] == beams[1]


def test_batches_from_workers_reach_the_gpu(config):
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, workers=2))
    pipe, source = made(config, "cuda")
    batches = Batches(source, pipe.processor, config.data, config.train)
    for batch in itertools.islice(batches, 2):
        assert pipe.model(batch).isfinite().all()
