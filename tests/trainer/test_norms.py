import dataclasses
import math

import pytest
import torch

from ojito.trainer import TrainState
from ojito.trainer.last_good import LastGood
from ojito.trainer.norms import clip_gradients, figures, rates, update_ratios
from ojito.trainer.optim import set_rate
from ojito.trainer.step import gradients, train_step, update


@pytest.fixture
def batch(tiny_processor, samples):
    return tiny_processor(samples, training=True)


@pytest.fixture
def state(tiny_config, tiny_model):
    def make(**settings):
        return TrainState(tiny_model, dataclasses.replace(tiny_config.train, **settings))

    return make


def norm(tensors):
    return math.sqrt(sum(float(tensor.double().square().sum()) for tensor in tensors))


def grads(module):
    return [p.grad for p in module.parameters() if p.grad is not None]


def test_norms_of_the_parts_are_those_from_before_clipping(state, batch):
    free = gradients(unclipped := state(clip=0.0), [batch])
    expected = {name: norm(grads(part)) for name, part in unclipped.model.parts.items()}
    expected["all"] = norm(grads(unclipped.model))
    assert free.norms == pytest.approx(expected, rel=1e-5)
    unclipped.model.zero_grad()
    clipped = gradients(state(clip=0.01), [batch])
    assert clipped.norms == pytest.approx(expected, rel=1e-5)
    assert norm(grads(unclipped.model)) == pytest.approx(0.01, rel=1e-3)


def test_gradients_are_clipped_as_pytorch_clips_them(state, batch):
    one = state(clip=0.0)
    gradients(one, [batch])
    before = [grad.clone() for grad in grads(one.model)]
    torch.nn.utils.clip_grad_norm_(one.model.parameters(), 0.5)
    theirs = [grad.clone() for grad in grads(one.model)]
    for grad, old in zip(grads(one.model), before, strict=True):
        grad.copy_(old)
    clip_gradients(one.model, 0.5)
    for ours, expected in zip(grads(one.model), theirs, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-6, atol=0)


def test_frozen_part_has_no_norm(state, batch):
    assert set(gradients(state(freeze=("vision",)), [batch]).norms) == {"connector", "decoder", "all"}


def test_model_without_gradients_has_a_norm_of_zero(tiny_model):
    assert clip_gradients(tiny_model, 1.0) == {"all": 0.0}


def test_rates_are_those_in_use_of_each_part(state):
    one = state(lr=1e-3, vision_lr=1e-4, optimizer="muon", muon_lr=0.02)
    set_rate(one.optimizers, 0.5)
    assert rates(one.optimizers) == pytest.approx(
        {
            "vision": 5e-5, "connector": 5e-4, "decoder": 5e-4,
            "vision muon": 1e-3, "connector muon": 1e-2, "decoder muon": 1e-2,
        }
    )  # fmt: skip


def test_update_ratio_is_the_norm_of_the_change_to_that_of_the_weights(state, batch):
    one = state(freeze=("vision",))
    good = LastGood(one.model)
    before = {name: [p.detach().clone() for p in part.parameters()] for name, part in one.model.parts.items()}
    step = gradients(one, [batch])
    good.keep(batch)
    update(one, step, 1.0)
    found = update_ratios(one.model, good.before())
    assert set(found) == {"connector", "decoder"}
    for name, ratio in found.items():
        now = [p.detach() for p in one.model.parts[name].parameters()]
        change = norm([a - b for a, b in zip(now, before[name], strict=True)])
        assert ratio == pytest.approx(change / norm(before[name]), rel=1e-4)


def test_figures_of_a_step_are_in_the_log_for_each_part(state, batch):
    one = state()
    good = LastGood(one.model)
    assert set(figures(one, good)) == {"grad_norm", "part_lr"}  # nothing has moved yet
    good.keep(batch)
    step = train_step(one, [batch], 0.5)
    one.movement.add(step)
    found = figures(one, good)
    parts = {"vision", "connector", "decoder"}
    assert {name: set(values) for name, values in found.items()} == {
        "grad_norm": parts | {"all"}, "part_lr": parts, "update_ratio": parts,
    }  # fmt: skip
    assert found["grad_norm"]["all"] == pytest.approx(step.norms["all"], rel=1e-4)
    assert found["part_lr"]["vision"] == pytest.approx(0.5 * one.config.lr)
