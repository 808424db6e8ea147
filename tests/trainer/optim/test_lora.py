"""Training by LoRA: what learns, what stays to the last byte, and how a run goes on."""

import dataclasses
import itertools

import pytest
import torch
from torch import nn

from ojito.config import Config, LoraConfig, StageConfig, TrainConfig, ViTConfig
from ojito.errors import ConfigError
from ojito.model import VLM
from ojito.model.lora import adapted_layers, with_adapters_of
from ojito.trainer import TrainState, fit
from ojito.trainer.optim import optimizers, set_trainable

SETTINGS = {
    "decoder": {"lora": LoraConfig(rank=2, parts=("decoder",)), "lora_lr": 1e-2, "freeze": ("vision", "connector")},
    "decoder, connector in full": {
        "lora": LoraConfig(rank=2, parts=("decoder",)),
        "lora_lr": 1e-2,
        "freeze": ("vision",),
    },
    "vision": {"lora": LoraConfig(rank=2, parts=("vision",)), "lora_lr": 1e-2, "freeze": ("connector", "decoder")},
    "everywhere": {"lora": LoraConfig(rank=2), "lora_lr": 1e-2},
    "dropout": {"lora": LoraConfig(rank=2, dropout=0.3), "lora_lr": 1e-2},
}


@pytest.fixture
def start(tiny_config):
    """A new state of a run; the seed is that of the weights."""

    def make(model_config=None, **settings):
        torch.manual_seed(0)
        train = dataclasses.replace(tiny_config.train, **settings)
        return TrainState(VLM(model_config or tiny_config.model), train)

    return make


@pytest.fixture
def batches(tiny_processor, samples):
    return lambda: itertools.repeat(tiny_processor(samples, training=True))


def copied(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def changed(before, model):
    return {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_training_changes_adapters_and_the_parts_in_full_alone(start, batches, settings, optimizer):
    state = start(**settings, optimizer=optimizer)
    before = copied(state.model)
    fit(state, batches(), quiet=True)
    adapted, frozen = settings["lora"].parts, settings.get("freeze", ())
    learns = {
        name
        for name in before
        if (name.endswith(("lora_A", "lora_B")) if name.partition(".")[0] in adapted else True)
        and name.partition(".")[0] not in frozen
    }
    assert changed(before, state.model) == learns
    assert learns


def test_loss_falls_by_adapters_alone(start, batches):
    history = fit(start(steps=60, log_every=20, **SETTINGS["everywhere"]), batches(), quiet=True)
    losses = [line["loss"] for line in history.log]
    assert losses[-1] < 0.7 * losses[0]


def test_batch_norms_of_an_adapted_part_stay(start, batches, tiny_config):
    vision = ViTConfig(
        image_size=16, patch_size=8, width=32, layers=1, heads=2, mlp_dim=64, stem="conv", stem_widths=(8, 8, 16)
    )
    model = dataclasses.replace(tiny_config.model, vision=vision)
    state = start(model, lora=LoraConfig(rank=2))
    before = copied(state.model)
    fit(state, batches(), quiet=True)
    assert all(name.endswith(("lora_A", "lora_B")) for name in changed(before, state.model))
    assert any(isinstance(module, nn.BatchNorm2d) for module in state.model.vision.modules())


def test_adapters_learn_at_their_own_rate_and_decay(start):
    state = start(lora=LoraConfig(rank=2, parts=("decoder",)), lora_lr=5e-4, freeze=("vision",), optimizer="muon")
    groups = {group["name"]: group for optimizer in state.optimizers for group in optimizer.param_groups}
    assert {*groups} == {"connector muon", "connector no decay", "decoder lora"}
    assert groups["decoder lora"]["peak_lr"] == 5e-4
    assert groups["decoder lora"]["weight_decay"] == state.config.weight_decay > 0
    assert len(groups["decoder lora"]["params"]) == 2 * len([*adapted_layers(state.model)])


def test_every_parameter_that_learns_is_held_once(start):
    state = start(lora=LoraConfig(rank=2, parts=("vision", "decoder")))
    held = [p for o in optimizers(state.model, state.config) for g in o.param_groups for p in g["params"]]
    assert {*map(id, held)} == {id(p) for p in state.model.parameters() if p.requires_grad}
    assert len(held) == len({*map(id, held)})


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_resume_is_bitwise_with_adapters(start, batches, settings):
    whole = start(steps=4, **settings)
    fit(whole, batches(), quiet=True)
    first = start(steps=4, **settings)
    fit(first, batches(), on_step=lambda state: "stop" if state.clock.step == 2 else None, quiet=True)
    saved = first.state_dict()
    second = start(steps=4, **settings)
    second.load_state_dict(saved)
    fit(second, batches(), quiet=True)
    assert not changed(whole.model.state_dict(), second.model)


def test_state_of_a_run_leaves_out_the_weights_that_never_change(start):
    state = start(**SETTINGS["decoder"])
    assert {name.rpartition(".")[2] for name in state.state_dict()["model"]} == {"lora_A", "lora_B"}


def test_seed_changes_the_adapters(start):
    first, second, again = (start(lora=LoraConfig(rank=2), seed=seed).model for seed in (0, 1, 0))
    assert not changed(first.state_dict(), again)
    assert all(name.endswith("lora_A") for name in changed(first.state_dict(), second))
    assert changed(first.state_dict(), second)


def test_parts_that_learned_in_full_are_remembered(start):
    state = start(lora=LoraConfig(rank=2, parts=("decoder",)), freeze=("vision",))
    assert state.model.adapters.whole == {"connector"}
    # The next stage leaves the connector as it is.
    set_trainable(state.model, TrainConfig(lora=LoraConfig(rank=2), freeze=("connector",)))
    assert state.model.adapters.whole == {"connector"}
    assert not state.model.connector.training


STAGES = {
    "lora": LoraConfig(rank=2, parts=("decoder",)),
    "lora_lr": 1e-2,
    "stages": (StageConfig(2, freeze=("vision", "decoder")), StageConfig(2, freeze=("vision", "connector"))),
}


def test_stages_may_learn_one_part_in_full_and_then_another_by_adapters(start, batches):
    state = start(**STAGES)
    before = copied(state.model)
    seen = []
    fit(state, batches(), on_step=lambda state: seen.append(changed(before, state.model)), quiet=True)
    assert {name.partition(".")[0] for name in seen[1]} == {"connector"}
    assert {name.partition(".")[0] for name in seen[3]} == {"connector", "decoder"}
    assert all(name.endswith(("lora_A", "lora_B")) for name in seen[3] if name.startswith("decoder"))
    assert state.model.adapters.whole == {"connector"}


@pytest.mark.parametrize("step", [1, 2, 3])
def test_resume_is_bitwise_in_every_stage(start, batches, step):
    whole = start(**STAGES)
    fit(whole, batches(), quiet=True)
    first = start(**STAGES)
    fit(first, batches(), on_step=lambda state: "stop" if state.clock.step == step else None, quiet=True)
    saved = first.state_dict()
    assert not [name for name in saved["model"] if name.startswith("decoder") and not name.endswith(("_A", "_B"))]
    second = start(**STAGES)
    second.load_state_dict(saved)
    fit(second, batches(), quiet=True)
    assert not changed(whole.model.state_dict(), second.model)


def test_model_that_is_put_together_again_has_the_same_adapters(start):
    model = start(lora=LoraConfig(rank=2, alpha=3.0, dropout=0.2)).model
    made = with_adapters_of(model, VLM(model.config))
    made.load_state_dict(model.state_dict())
    assert made.adapters is model.adapters
    for (_, ours), (_, theirs) in zip(adapted_layers(made), adapted_layers(model), strict=True):
        assert (ours.scale, ours.dropout.share) == (theirs.scale, theirs.dropout.share) == (1.5, 0.2)


def test_frozen_part_has_no_adapters_and_a_part_that_has_them_may_be_frozen(start):
    state = start(lora=LoraConfig(rank=2), freeze=("vision",))
    assert not [*adapted_layers(state.model.vision)]
    set_trainable(state.model, TrainConfig(lora=LoraConfig(rank=2), freeze=("decoder",)))
    assert not any(parameter.requires_grad for parameter in state.model.decoder.parameters())


def test_adapters_of_parts_that_are_all_frozen_are_refused():
    with pytest.raises(ConfigError) as error:
        Config(train=TrainConfig(lora=LoraConfig(rank=2, parts=("vision",)), freeze=("vision",)))
    assert str(error.value) == (
        "train.lora.parts: ['vision'] never learn (train.freeze), and get no adapters; leave one of them out of "
        "freeze, or set train.lora.rank=0"
    )
