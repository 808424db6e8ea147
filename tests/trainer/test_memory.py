import dataclasses

import pytest
import torch

from ojito.config import TrainConfig
from ojito.model import VLM
from ojito.trainer import last_good, memory
from ojito.trainer.memory import Shape, TrainingMemory, training_memory

SHAPE = Shape(rows=8, length=40, labels=10)


@pytest.fixture
def foretell(tiny_config):
    def foretell(shape=SHAPE, config=tiny_config.model, device=None, **settings):
        return training_memory(config, TrainConfig(**settings), shape, device)

    return foretell


def test_weights_moments_and_copy_are_those_of_the_model(foretell, tiny_config, monkeypatch):
    model = VLM(tiny_config.model)
    size = sum(p.nbytes for p in model.parameters())
    found = foretell()
    assert found.weights == found.copy == size
    assert found.optimizer == pytest.approx(2 * size, rel=0.01)
    assert found.peak == found.weights + found.optimizer + found.copy + found.step + found.baseline
    monkeypatch.setattr(last_good, "MOST", 0)
    assert foretell().copy == 0


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"shape": dataclasses.replace(SHAPE, rows=16)}, "step"),
        ({"shape": dataclasses.replace(SHAPE, length=80)}, "step"),
        ({"shape": dataclasses.replace(SHAPE, labels=30)}, "step"),
        ({"shape": dataclasses.replace(SHAPE, images=2)}, "step"),
        ({"shape": dataclasses.replace(SHAPE, encoded=True)}, "step"),
        ({"checkpoint": ("vision", "decoder")}, "step"),
        ({"precision": "bfloat16"}, "step"),
        ({"freeze": ("vision",)}, "optimizer"),
        ({"optimizer": "muon"}, "optimizer"),
    ],
)
def test_everything_that_is_asked_changes_what_is_foretold(foretell, changed, part):
    usual = {"precision": "float32"}
    assert getattr(foretell(**{**usual, **changed}), part) != getattr(foretell(**usual), part)


def test_checkpoints_take_less_full_ones_least(foretell):
    shape = dataclasses.replace(SHAPE, rows=64)
    usual, selective, full = (
        foretell(shape, checkpoint=parts, checkpoint_kind=kind).step
        for parts, kind in (((), "full"), (("vision", "decoder"), "selective"), (("vision", "decoder"), "full"))
    )
    assert full < selective < usual


def test_frozen_parts_take_neither_gradients_nor_activations(foretell):
    assert foretell(freeze=("vision",)).step < foretell().step
    assert foretell(freeze=("vision", "connector")).optimizer < foretell(freeze=("vision",)).optimizer


def test_several_micro_batches_hold_their_gradients_meanwhile(foretell):
    assert foretell(accumulate=2).step > foretell().step
    assert foretell(accumulate=4).step == foretell(accumulate=2).step


def test_shares_of_gradients_and_of_the_rest_are_lost_between_pieces(foretell, monkeypatch):
    steps = []
    for shares in ((0.0, 0.0), (0.5, 0.0), (0.5, 0.5)):
        monkeypatch.setattr(memory, "_HOLES", {"cpu": shares})
        steps.append(foretell().step)
    assert steps[1] - steps[0] == pytest.approx(foretell().weights / 2, rel=0.1)  # there is a gradient of each
    assert steps[2] == int(1.5 * steps[0])


def test_baseline_is_added(foretell, tiny_config):
    with_baseline = training_memory(tiny_config.model, TrainConfig(), SHAPE, baseline=10**9)
    assert with_baseline.peak - foretell().peak == 10**9
    assert TrainingMemory(1, 2, 3, 4, 5).to_dict()["peak"] == 15


def test_foretelling_leaves_no_memory_and_draws_nothing(foretell):
    before = torch.get_rng_state()
    foretell()
    assert torch.equal(torch.get_rng_state(), before)
