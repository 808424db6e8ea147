"""Adapters beside linear layers: what they compute, which layers get them, and how they end up in the weights."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ojito.config import LoraConfig, ResNetConfig
from ojito.errors import ConfigError, OjitoError
from ojito.inference import prepare, quantize
from ojito.model import VLM
from ojito.model.lora import (
    LoraLinear,
    adapt,
    adapted_layers,
    adapter_parameters,
    attach,
    merge,
    merged_state,
    target_layers,
)
from ojito.model.meta import on_meta

PARTS = ("vision", "connector", "decoder")


@pytest.fixture
def model(tiny_config):
    torch.manual_seed(0)
    return VLM(tiny_config.model).eval()


@pytest.fixture
def batch(row, model):
    return row(model)


def drawn(model, size=0.3):
    """The model, with other numbers in its adapters than those that it began with."""
    torch.manual_seed(2)
    with torch.no_grad():
        for matrix in adapter_parameters(model):
            matrix.copy_(torch.randn(matrix.shape) * size)
    return model


def layer(**options):
    torch.manual_seed(0)
    plain = nn.Linear(6, 5)
    return plain, LoraLinear(plain, torch.randn(2, 6), torch.randn(5, 2), **{"scale": 0.7, **options})


def names(model):
    return [name for name, _ in adapted_layers(model)]


# ------------------------------------------------------------------------------------------------------------ the layer


def test_adapter_adds_the_scaled_product_of_its_matrices():
    plain, adapted = layer()
    hidden = torch.randn(3, 4, 6)
    added = hidden @ adapted.lora_A.T @ adapted.lora_B.T
    torch.testing.assert_close(adapted(hidden), plain(hidden) + 0.7 * added)


def test_scale_changes_output():
    hidden = torch.randn(3, 6)
    assert not torch.equal(layer(scale=0.7)[1](hidden), layer(scale=0.8)[1](hidden))


def test_dropout_changes_output_in_training_alone():
    _, adapted = layer(dropout=0.5)
    hidden = torch.randn(3, 6)
    assert adapted.training
    assert not torch.equal(adapted(hidden), layer()[1](hidden))
    assert torch.equal(adapted.eval()(hidden), layer()[1](hidden))


def test_layer_keeps_its_weight_its_bias_and_its_mode():
    plain, _ = layer()
    adapted = LoraLinear(plain.eval(), torch.zeros(2, 6), torch.zeros(5, 2), 1.0)
    assert adapted.weight is plain.weight
    assert adapted.bias is plain.bias
    assert not adapted.training
    assert LoraLinear(nn.Linear(6, 5, bias=False), torch.zeros(2, 6), torch.zeros(5, 2), 1.0).bias is None
    assert "rank=2, scale=1" in repr(adapted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_merged_weight_computes_the_same(dtype):
    _, adapted = layer()
    adapted.weight.data, adapted.bias.data = adapted.weight.data.to(dtype), adapted.bias.data.to(dtype)
    hidden = torch.randn(3, 6, dtype=dtype)
    merged = F.linear(hidden, adapted.merged_weight(), adapted.bias)
    assert merged.dtype == dtype
    torch.testing.assert_close(
        adapted(hidden), merged, **({} if dtype == torch.float32 else {"atol": 0.1, "rtol": 0.1})
    )


def test_layer_learns_under_autocast_in_bfloat16():
    _, adapted = layer()
    with torch.autocast("cpu", torch.bfloat16):
        made = adapted(torch.randn(3, 6))
    made.sum().backward()
    assert adapted.lora_A.grad.dtype == adapted.lora_B.grad.dtype == torch.float32


# ------------------------------------------------------------------------------------------------------- which layers


def test_model_computes_the_same_until_its_adapters_learn(model, batch):
    before = model(batch)
    adapt(model, LoraConfig(rank=2), PARTS)
    assert torch.equal(model(batch), before)
    assert not torch.allclose(drawn(model)(batch), before)


@pytest.mark.parametrize(
    ("targets", "ends"),
    [
        (["attention"], {"attention.q", "attention.k", "attention.v", "attention.out"}),
        (["mlp"], {"mlp.up", "mlp.gate", "mlp.down"}),
        (["attention.q", "mlp.down"], {"attention.q", "mlp.down"}),
        (["q", "decoder.blocks.*.mlp.up"], {"attention.q", "mlp.up"}),
    ],
)
def test_targets_name_groups_ends_and_patterns(tiny_config, targets, ends):
    decoder = dataclasses.replace(tiny_config.model.decoder, mlp="gated")
    model = on_meta(dataclasses.replace(tiny_config.model, decoder=decoder), "tiny")
    found = target_layers(model, LoraConfig(rank=2, targets=tuple(targets)), ["decoder"])
    assert {name.split(".", 3)[-1] for name in found} == ends
    assert {name.split(".")[2] for name in found} == {"0", "1"}


def test_all_linear_is_every_layer_but_the_head(tiny_config):
    decoder = dataclasses.replace(tiny_config.model.decoder, tied_head=False)
    model = on_meta(dataclasses.replace(tiny_config.model, decoder=decoder), "tiny")
    linear = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    assert {*target_layers(model, LoraConfig(rank=2), PARTS)} == linear - {"decoder.untied_head"}
    named = target_layers(model, LoraConfig(rank=2, targets=("untied_head",)), PARTS)
    assert [*named] == ["decoder.untied_head"]


@pytest.mark.parametrize("part", PARTS)
def test_parts_changes_which_layers_get_adapters(model, part):
    adapt(model, LoraConfig(rank=2), [part])
    assert {name.partition(".")[0] for name in names(model)} == {part}


def test_target_that_is_no_layer_names_those_there_are(model):
    with pytest.raises(ConfigError) as error:
        adapt(model, LoraConfig(rank=2, targets=("attention", "q_proj")), ["decoder"])
    assert str(error.value) == (
        "train.lora.targets: 'q_proj' is no linear layer of decoder; choose from all-linear, attention, mlp, "
        "attention.q, attention.k, attention.v, attention.out, mlp.gate, mlp.up, mlp.down"
    )
    assert not names(model)


def test_part_without_linear_layers_gets_none(tiny_config):
    vision = ResNetConfig(image_size=16, stem_width=4, blocks=(1, 1), width=8)
    model = on_meta(dataclasses.replace(tiny_config.model, vision=vision), "tiny")
    assert not any(name.startswith("vision") for name in target_layers(model, LoraConfig(rank=2), PARTS))


# ------------------------------------------------------------------------------------------------------- how they begin


def test_a_is_drawn_as_peft_draws_it_and_b_is_zero(model):
    adapt(model, LoraConfig(rank=4), ["decoder"], seed=5)
    first = next(adapted_layers(model))[1]
    drawn = torch.empty(4, 32)
    nn.init.kaiming_uniform_(drawn, a=5**0.5, generator=torch.Generator().manual_seed(5))
    assert torch.equal(first.lora_A, drawn)
    assert not first.lora_B.any()


def test_seed_changes_a_and_random_numbers_of_others_stay(tiny_config):
    found = []
    for seed in (0, 0, 1):
        model = VLM(tiny_config.model)
        torch.manual_seed(3)
        adapt(model, LoraConfig(rank=2), PARTS, seed)
        found.append((next(adapted_layers(model))[1].lora_A, torch.rand(3)))
    assert torch.equal(found[0][0], found[1][0])
    assert not torch.equal(found[0][0], found[2][0])
    torch.manual_seed(3)
    assert all(torch.equal(after, found[0][1]) for after in (found[2][1], torch.rand(3)))


@pytest.mark.parametrize(
    ("settings", "scale"),
    [
        ({"rank": 4}, 1.0),
        ({"rank": 4, "alpha": 8.0}, 2.0),
        ({"rank": 4, "alpha": 8.0, "rslora": True}, 4.0),
        ({"rank": 4, "rslora": True}, 2.0),
    ],
)
def test_alpha_and_rslora_change_the_scale(model, settings, scale):
    adapt(model, LoraConfig(**settings), PARTS)
    assert {layer.scale for _, layer in adapted_layers(model)} == {scale}


def test_dropout_is_that_of_the_settings(model):
    adapt(model, LoraConfig(rank=2, dropout=0.3), PARTS)
    assert {layer.dropout.share for _, layer in adapted_layers(model)} == {0.3}


def test_names_of_the_weights_stay(model):
    before = model.state_dict()
    adapt(model, LoraConfig(rank=2), PARTS)
    after = model.state_dict()
    assert all(after[name] is tensor or torch.equal(after[name], tensor) for name, tensor in before.items())
    added = {name.rpartition(".")[2] for name in after.keys() - before.keys()}
    assert added == {"lora_A", "lora_B"}


def test_layer_keeps_the_adapter_that_it_has(model):
    adapt(model, LoraConfig(rank=2), ["decoder"])
    there = dict(adapted_layers(drawn(model)))
    adapt(model, LoraConfig(rank=2), PARTS)
    assert all(dict(adapted_layers(model))[name] is layer for name, layer in there.items())
    assert len(names(model)) > len(there)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 4}, "train.lora: asks for rank 4, and the model has adapters of rank 2; leave it"),
        ({"rank": 2, "alpha": 8.0}, "asks for scale 4 (train.lora.alpha, train.lora.rslora), and the model"),
        ({"rank": 2, "rslora": True}, "asks for scale 1.41421 (train.lora.alpha"),
    ],
)
def test_adapters_of_another_form_are_refused(model, settings, message):
    adapt(model, LoraConfig(rank=2), PARTS)
    with pytest.raises(ConfigError) as error:
        adapt(model, LoraConfig(**settings), PARTS)
    assert message in str(error.value)


def test_adapter_for_what_is_no_linear_layer_is_refused(model):
    for name in ("decoder.norm", "decoder.nothing"):
        with pytest.raises(ConfigError, match=f"^{name}: is no linear layer of the model"):
            attach(model, name, torch.zeros(2, 32), torch.zeros(32, 2), 1.0, 0.0)


# ------------------------------------------------------------------------------------------------------------- merging


def test_merged_model_computes_what_the_adapted_one_did(model, batch):
    adapt(model, LoraConfig(rank=3, alpha=5.0), PARTS)
    before = drawn(model)(batch)
    merge(model)
    assert not names(model)
    assert model.adapters is None
    torch.testing.assert_close(model(batch), before, atol=1e-5, rtol=1e-5)


def test_merged_state_is_that_of_the_merged_model_and_leaves_the_model(model):
    plain = [*model.state_dict()]
    adapt(drawn(model), LoraConfig(rank=3), PARTS)
    before = {name: tensor.clone() for name, tensor in drawn(model).state_dict().items()}
    state = merged_state(model)
    assert [*state] == plain
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    merge(model)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_rank_zero_merges(model, batch):
    adapt(model, LoraConfig(rank=3), PARTS)
    before = drawn(model)(batch)
    adapt(model, LoraConfig(), PARTS)
    assert not names(model)
    torch.testing.assert_close(model(batch), before, atol=1e-5, rtol=1e-5)


def test_model_with_adapters_is_neither_prepared_nor_quantized(model):
    adapt(model, LoraConfig(rank=2), PARTS)
    for attempt in (prepare, lambda model: quantize(model, "int8")):
        with pytest.raises(OjitoError, match="has adapters of LoRA; merge them first"):
            attempt(model)
    merge(model)
    quantize(model, "int8")


# ------------------------------------------------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": -1}, "rank: -1 must be at least 0; use 0 for no adapters"),
        ({"alpha": -1.0}, "alpha: -1.0 must be at least 0; use 0 for the rank"),
        ({"dropout": 1.0}, "dropout: 1.0 must be at least 0 and less than 1"),
        ({"targets": ()}, "targets: is empty; name some of attention, mlp, all-linear"),
        ({"parts": ()}, "parts: is empty; name some of vision, connector, decoder"),
    ],
)
def test_impossible_setting_is_named(settings, message):
    with pytest.raises(ConfigError) as error:
        LoraConfig(**settings)
    assert str(error.value).startswith(message)
