import dataclasses
import itertools
import json

import pytest
import torch

from ojito.config import ResNetConfig
from ojito.errors import OjitoError
from ojito.model import VLM
from ojito.trainer import TrainState, fit
from ojito.trainer.optim import set_trainable
from ojito.trainer.watch import undisturbed


class Looking:
    """A watch that remembers when it looked, and disturbs what it can."""

    def __init__(self, every, name="looking", found=None, fails=False):
        self.every, self.name, self.found, self.fails = every, name, found or {"seen": 1}, fails
        self.steps = []

    def __call__(self, state):
        self.steps.append(state.clock.step)
        assert not any(module.training for module in state.model.modules())
        torch.rand(3)
        if self.fails:
            raise OjitoError("logits", "are not finite", "none")
        return self.found if self.found != "nothing" else None


@pytest.fixture
def train(tiny_config, tiny_processor, samples):
    def run(*watches, state=None, out=None, model_config=None, **settings):
        torch.manual_seed(0)
        config = dataclasses.replace(tiny_config.train, **{"steps": 5, "log_every": 5, **settings})
        state = state or TrainState(VLM(model_config or tiny_config.model), config)
        batches = itertools.cycle([tiny_processor(samples, training=True)])
        fit(state, batches, watches=watches, out=out, quiet=True)
        return state

    return run


@pytest.mark.parametrize(("every", "steps"), [(2, [2, 4, 5]), (5, [5]), (0, [5]), (9, [5])])
def test_watch_looks_every_so_many_steps_and_at_the_end(train, every, steps):
    watch = Looking(every)
    train(watch)
    assert watch.steps == steps


def test_what_is_seen_is_a_line_of_metrics_and_the_last_of_it_in_the_record(train, tmp_path):
    state = train(Looking(2, found={"gap": 0.5}), Looking(4, "nothing", "nothing"), out=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "gap" in line] == [2, 4, 5]
    assert state.history.seen["looking"]["gap"] == 0.5
    assert state.history.seen["looking"]["step"] == 5
    assert set(state.history.seen["nothing"]) == {"step", "seconds"}


@pytest.mark.parametrize("vision", [None, "resnet"])
def test_watches_change_no_weight_and_no_statistic(train, tiny_config, vision):
    model = tiny_config.model
    if vision:
        tower = ResNetConfig(image_size=16, stem_width=4, blocks=(1, 1), width=32)
        model = dataclasses.replace(model, vision=tower)
    model = dataclasses.replace(model, decoder=dataclasses.replace(model.decoder, dropout=0.3))
    alone = train(model_config=model).model.state_dict()
    watched = train(Looking(1), Looking(2, "other"), model_config=model).model.state_dict()
    for name, tensor in alone.items():
        assert torch.equal(tensor, watched[name]), name


def test_watch_that_has_looked_does_not_look_again_when_the_run_goes_on(train, tiny_config):
    first = train(Looking(2), steps=4)
    again = TrainState(VLM(tiny_config.model), dataclasses.replace(tiny_config.train, steps=6, log_every=5))
    again.load_state_dict(first.state_dict())
    watch = Looking(2)
    train(watch, state=again)
    assert watch.steps == [6]


def test_watch_that_fails_does_not_end_the_run(train):
    state = train(watch := Looking(2, fails=True))
    assert (watch.steps, state.clock.step) == ([2, 4, 5], 5)
    assert state.history.seen == {"looking": {"step": 5, "seconds": state.history.seen["looking"]["seconds"]}}


def test_time_of_a_look_does_not_count(train, monkeypatch):
    now = [0.0]

    class Slow(Looking):
        def __call__(self, state):
            now[0] += 100
            return super().__call__(state)

    monkeypatch.setattr("time.monotonic", lambda: now[0])
    from ojito.trainer.schedule import Clock

    monkeypatch.setattr(Clock.__init__, "__defaults__", (lambda: now[0],))
    assert train(Slow(1)).clock.seconds < 1


def test_undisturbed_gives_each_module_its_mode_back(tiny_model, tiny_config):
    set_trainable(tiny_model, dataclasses.replace(tiny_config.train, freeze=("vision",)))
    before = [module.training for module in tiny_model.modules()]
    random = torch.get_rng_state()

    def disturb():
        with undisturbed(tiny_model):
            assert not tiny_model.training
            torch.rand(1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        disturb()
    assert [module.training for module in tiny_model.modules()] == before
    assert True in before
    assert False in before
    assert torch.equal(torch.get_rng_state(), random)
