import copy
import dataclasses
import itertools

import pytest
import torch
from PIL import Image

from ojito.config import DataConfig, TrainConfig
from ojito.data import Batches, Source
from ojito.model import VLM
from ojito.records import Sample, Turn
from ojito.trainer import TrainingError, TrainState, fit

LEARNING = [{"optimizer": "muon"}, {"optimizer": "adamw", "accumulate": 2, "freeze": ("vision",)}]


@pytest.fixture
def model_config(tiny_config):
    """With dropout, so that the random numbers of a run matter."""
    decoder = dataclasses.replace(tiny_config.model.decoder, dropout=0.3)
    return dataclasses.replace(tiny_config.model, decoder=decoder)


@pytest.fixture
def start(model_config):
    """A new state of a run of six steps; the seed is that of the weights."""

    def make(seed=0, **settings):
        torch.manual_seed(seed)
        train = TrainConfig(steps=6, batch_size=4, lr=3e-3, precision="float32", **settings)
        return TrainState(VLM(model_config), train)

    return make


@pytest.fixture
def data(tiny_processor):
    """Batches of eight rows with several answers each, which are drawn."""
    rows = [
        Sample([Image.new("RGB", (16, 16), (30 * n, 0, 99))], turns=(Turn("which", ("red", "crimson", "a dark red")),))
        for n in range(8)
    ]

    def make(state, workers=0):
        batches = Batches(Source("rows", rows), tiny_processor, DataConfig(workers=workers), state.config)
        if state.position:
            batches.load_state_dict(state.position)
        return batches

    return make


def stop_after(steps):
    return lambda state: "stop" if state.clock.step == steps else None


def differ(a, b):
    return [
        name for name, tensor in a.model.state_dict().items() if not torch.equal(tensor, b.model.state_dict()[name])
    ]


@pytest.mark.parametrize("settings", LEARNING, ids=str)
def test_resume_is_bitwise(start, data, settings):
    whole = start(**settings)
    fit(whole, data(whole), quiet=True)

    first = start(**settings)
    fit(first, data(first), on_step=stop_after(3), quiet=True)
    saved = copy.deepcopy(first.state_dict())
    resumed = start(seed=1, **settings)  # other weights, other random numbers
    if "freeze" in settings:  # what never changes is not saved: the run begins with it again
        resumed.model.vision.load_state_dict(first.model.vision.state_dict())
        assert not any(name.startswith("vision") for name in saved["model"])
    assert differ(first, resumed)
    resumed.load_state_dict(saved)
    assert not differ(first, resumed)
    torch.rand(3)
    resumed.load_state_dict(saved)
    history = fit(resumed, data(resumed), quiet=True)
    assert (history.steps, history.samples, history.log[-1]["step"]) == (6, 24, 6)
    assert not differ(whole, resumed)


@pytest.mark.parametrize("missing", ["model", "optimizer", "clock", "position", "random"])
def test_every_part_of_the_state_decides_how_the_run_goes_on(start, data, missing):
    whole = start()
    fit(whole, data(whole), quiet=True)
    first = start()
    fit(first, data(first), on_step=stop_after(3), quiet=True)
    saved = copy.deepcopy(first.state_dict())
    resumed = start(seed=1)
    other = start(seed=1)
    fit(other, data(other), on_step=stop_after(1), quiet=True)
    saved[missing] = other.state_dict()[missing]
    resumed.load_state_dict(saved)
    fit(resumed, data(resumed), quiet=True)
    assert differ(whole, resumed)


def test_position_is_where_the_loader_goes_on(start, data):
    state = start(accumulate=2)
    fit(state, data(state), on_step=stop_after(3), quiet=True)
    assert (state.position["number"], state.clock.samples) == (6, 12)
    batches = data(state)
    other = start(accumulate=2)
    expected = next(itertools.islice(data(other), 6, None))
    assert torch.equal(next(batches).tokens, expected.tokens)


def test_position_counts_batches_of_an_iterator_without_one(start, data):
    state = start(accumulate=2)
    fit(state, (batch for batch in data(state)), on_step=stop_after(2), quiet=True)
    assert state.position == {"number": 4}


def test_number_of_processes_changes_nothing_that_is_learned(start, data):
    states = []
    for workers in (0, 2):
        state = start()
        fit(state, data(state, workers), on_step=stop_after(2), quiet=True)
        states.append(state)
    assert not differ(*states)


def test_state_of_another_model_is_refused(start, data, tiny_config):
    smaller = dataclasses.replace(tiny_config.model.decoder, layers=1)
    other = TrainState(VLM(dataclasses.replace(tiny_config.model, decoder=smaller)), tiny_config.train)
    with pytest.raises(TrainingError, match="state: is not that of this model and recipe"):
        start().load_state_dict(other.state_dict())
    learned = start()
    fit(learned, data(learned), on_step=stop_after(1), quiet=True)
    with pytest.raises(TrainingError, match="state: is not that of this model and recipe"):
        start(optimizer="muon").load_state_dict(learned.state_dict())
