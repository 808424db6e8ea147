import dataclasses

import pytest
import torch

from ojito.config import PerceiverConfig, TrainConfig, ViTConfig
from ojito.model import VLM
from ojito.trainer.muon import Muon
from ojito.trainer.optim import optimizers, set_rate, set_trainable


@pytest.fixture
def model(tiny_config):
    """One with every kind of parameter: convolutions, batch norms, learned tables, class token, untied head."""
    vision = ViTConfig(
        image_size=16, patch_size=4, width=32, layers=1, heads=2, mlp_dim=64, class_token=True,
        stem="conv", stem_widths=(8, 16),
    )  # fmt: skip
    connector = PerceiverConfig(queries=4, layers=1, heads=2)
    decoder = dataclasses.replace(tiny_config.model.decoder, tied_head=False, positions="learned", bias=True)
    return VLM(dataclasses.replace(tiny_config.model, vision=vision, connector=connector, decoder=decoder))


def groups(model, **settings):
    """Group name -> (group, names of its parameters)."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    found = {}
    for optimizer in optimizers(model, TrainConfig(**settings)):
        for group in optimizer.param_groups:
            found[group["name"]] = (group, {names[parameter] for parameter in group["params"]})
    return found


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_optimizers_hold_every_parameter_once(model, optimizer):
    held = [p for o in optimizers(model, TrainConfig(optimizer=optimizer)) for g in o.param_groups for p in g["params"]]
    assert len(held) == len({id(p) for p in held}) == len(list(model.parameters()))


def test_norms_biases_and_learned_tables_do_not_decay(model):
    found = groups(model, weight_decay=0.3)
    for part in ("vision", "connector", "decoder"):
        decay, still = found[f"{part} decay"], found[f"{part} no decay"]
        assert decay[0]["weight_decay"] == 0.3
        assert still[0]["weight_decay"] == 0.0
        for name in decay[1]:
            assert model.get_parameter(name).ndim >= 2
            assert not any(word in name for word in ("embedding", "positions", "queries"))
    assert "vision.class_token" in found["vision no decay"][1]
    assert "decoder.embedding.weight" in found["decoder no decay"][1]
    assert "decoder.untied_head.weight" in found["decoder decay"][1]
    assert "connector.reduce.queries.weight" in found["connector no decay"][1]


def test_parts_learn_at_their_own_rate(model):
    found = groups(model, lr=1e-3, vision_lr=1e-5, decoder_lr=2e-3)
    peaks = {name: group["peak_lr"] for name, (group, _) in found.items()}
    assert peaks["vision decay"] == peaks["vision no decay"] == 1e-5
    assert peaks["connector decay"] == 1e-3
    assert peaks["decoder decay"] == 2e-3
    peaks = {name: group["peak_lr"] for name, (group, _) in groups(model, connector_lr=7e-3).items()}
    assert peaks["connector decay"] == peaks["connector no decay"] == 7e-3


def test_muon_gets_hidden_matrices_and_convolutions_and_adamw_the_rest(model):
    found = groups(model, optimizer="muon")
    for part in ("vision", "connector", "decoder"):
        for name in found[f"{part} muon"][1]:
            assert name.endswith("weight")
            assert model.get_parameter(name).ndim >= 2
    assert "vision.stem.0.weight" in found["vision muon"][1]
    assert "decoder.blocks.0.mlp.up.weight" in found["decoder muon"][1]
    assert found["decoder decay"][1] == {"decoder.untied_head.weight"}
    assert "decoder.embedding.weight" in found["decoder no decay"][1]


def test_muon_rate_follows_the_parts_own_rate(model):
    found = groups(model, optimizer="muon", lr=1e-3, muon_lr=0.02, vision_lr=1e-4)
    assert found["decoder muon"][0]["peak_lr"] == 0.02
    assert found["vision muon"][0]["peak_lr"] == pytest.approx(0.002)


def test_adamw_is_fused_and_has_the_configured_betas(model):
    (adamw,) = optimizers(model, TrainConfig(betas=(0.7, 0.8)))
    assert adamw.defaults["fused"]
    assert {group["betas"] for group in adamw.param_groups} == {(0.7, 0.8)}


def test_muon_has_the_configured_weight_decay(model):
    muon = optimizers(model, TrainConfig(optimizer="muon", weight_decay=0.4))[1]
    assert isinstance(muon, Muon)
    assert {group["weight_decay"] for group in muon.param_groups} == {0.4}


def test_set_rate_multiplies_every_peak(model):
    made = optimizers(model, TrainConfig(optimizer="muon", vision_lr=1e-5))
    set_rate(made, 0.5)
    set_rate(made, 0.25)
    for optimizer in made:
        for group in optimizer.param_groups:
            assert group["lr"] == group["peak_lr"] * 0.25


def test_frozen_parts_have_no_group_no_gradient_and_stay_in_evaluation_mode(model):
    config = TrainConfig(freeze=("vision",))
    set_trainable(model, config)
    assert not any(name.startswith("vision") for name in groups(model, freeze=("vision",)))
    assert not any(p.requires_grad for p in model.vision.parameters())
    assert not any(module.training for module in model.vision.modules())
    assert all(module.training for module in model.decoder.modules())


def test_a_part_learns_again_when_it_is_no_longer_frozen(model):
    set_trainable(model, TrainConfig(freeze=("vision", "decoder")))
    set_trainable(model, TrainConfig())
    assert all(p.requires_grad for p in model.parameters())
    assert all(module.training for module in model.modules())


def test_adamw_step_changes_every_parameter_with_a_gradient(model):
    made = optimizers(model, TrainConfig(lr=1e-2, optimizer="muon"))
    before = [p.detach().clone() for p in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    set_rate(made, 1.0)
    for optimizer in made:
        optimizer.step()
    assert not any(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
