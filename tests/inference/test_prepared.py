"""The prepared model against the exact one, of every decoder style with either vision tower."""

import copy
import dataclasses

import pytest
import torch

from ojito.inference import Preparation, Prepared, decoder, prepare, quantize
from ojito.model import KVCache


@torch.inference_mode()
def test_prepared_equals_exact(model, row):
    batch = row(model)
    torch.testing.assert_close(prepare(model)(batch), model(batch), rtol=1e-4, atol=2e-5)


@torch.inference_mode()
def test_prepared_equals_exact_in_a_padded_batch(model, row, join):
    batch = join([row(model, prompt=3, seed=1), row(model, prompt=9, seed=2)], "left")
    read = batch.segments >= 0
    torch.testing.assert_close(prepare(model)(batch)[read], model(batch)[read], rtol=1e-4, atol=2e-5)


@torch.inference_mode()
def test_cached_steps_equal_exact(model, row, columns):
    batch = row(model, prompt=5, answer=6)
    length = batch.tokens.shape[1]
    prepared, expected = prepare(model), model(batch)
    cache = KVCache(model.config.decoder, 1, length)
    made = [prepared(columns(batch, 0, length - 4, images=True), cache)]
    made += [prepared(columns(batch, at, at + 1), cache) for at in range(length - 4, length)]
    torch.testing.assert_close(torch.cat(made, dim=1), expected, rtol=1e-4, atol=2e-5)


@torch.inference_mode()
def test_later_positions_than_any_before_are_turned_as_in_the_exact_model(model, row, monkeypatch):
    monkeypatch.setattr(decoder, "_POSITIONS", 1)
    prepared, batch = prepare(model), row(model)
    prepared(batch)  # which makes the tables
    room = model.config.decoder.max_positions - int(batch.positions.max()) - 1
    assert room
    for further in (1, room):
        later = dataclasses.replace(batch, positions=batch.positions + further)
        torch.testing.assert_close(prepared(later), model(later), rtol=1e-4, atol=2e-5)


@torch.inference_mode()
def test_positions_that_nobody_asks_for_take_no_memory(build, row):
    model = build()
    batch = row(model)
    config = dataclasses.replace(model.config.decoder, max_positions=2**31)
    model.decoder.config = config
    model.config = dataclasses.replace(model.config, decoder=config)
    prepared = prepare(model)
    prepared(batch)
    assert all(len(part) <= 1024 for table in prepared.decoder._tables.values() for part in table)


@pytest.mark.parametrize("prepared", [False, True])
@torch.inference_mode()
def test_last_is_the_last_position_alone(model, row, prepared):
    batch = row(model)
    expected = model.features(batch)[:, -1:]
    made = (prepare(model) if prepared else model).features(batch, last=True)
    torch.testing.assert_close(made, expected, rtol=1e-4, atol=2e-5)


@torch.inference_mode()
def test_last_fills_the_cache_as_well(model, row):
    batch = row(model)
    length = batch.tokens.shape[1]
    whole, last = (KVCache(model.config.decoder, 1, length) for _ in range(2))
    prepared = prepare(model)
    prepared.features(batch, whole)
    prepared.features(batch, last, last=True)
    torch.testing.assert_close(last.keys, whole.keys)
    torch.testing.assert_close(last.values, whole.values)


@pytest.mark.parametrize(("form", "least"), [("int8", 0.995), ("int4", 0.9995)])
@torch.inference_mode()
def test_prepared_quantized_is_near_its_plain_modules(model, row, form, least):
    made = quantize(copy.deepcopy(model), form)
    batch = row(model)
    expected, logits = made(batch), prepare(made)(batch)
    assert torch.nn.functional.cosine_similarity(logits.flatten(), expected.flatten(), 0) > least


@torch.inference_mode()
def test_bfloat16_is_near_the_exact_model(model, row):
    batch = row(model)
    model = copy.deepcopy(model).to(torch.bfloat16)
    expected, logits = model(batch), prepare(model)(batch)
    assert torch.nn.functional.cosine_similarity(logits.flatten(), expected.flatten(), 0) > 0.999


@pytest.mark.parametrize("style", ["gpt2", "llama", "gemma"])
def test_weights_that_no_kernel_packs_are_shared(build, style):
    model = build(style)
    prepared = prepare(model)
    assert prepared.decoder.embedding is model.decoder.embedding
    assert prepared.vision.positions is not model.vision.positions
    assert prepared.vision.positions.weight is model.vision.positions.weight
    assert (prepared.device, prepared.dtype) == (model.device, model.dtype)


def test_connectors_are_prepared(build):
    from ojito.config import PerceiverConfig, PixelShuffleConfig
    from ojito.inference.linear import PreparedLinear

    for connector in (PerceiverConfig(queries=2, layers=1, heads=2), PixelShuffleConfig(factor=2)):
        prepared = prepare(build("llama", connector=connector))
        assert any(isinstance(module, PreparedLinear) for module in prepared.connector.modules())
        assert not any(type(module) is torch.nn.Linear for module in prepared.connector.modules())


class TestPreparation:
    def test_is_kept_while_the_weights_are_the_same(self, build):
        model, preparation = build("llama"), Preparation()
        first = preparation.of(model)
        assert isinstance(first, Prepared)
        assert preparation.of(model) is first

    def test_is_made_anew_after_a_change_in_place(self, build, row):
        model, preparation = build("llama"), Preparation()
        with torch.inference_mode():
            before = preparation.of(model)(row(model))
        with torch.no_grad():
            model.decoder.blocks[0].attention.v.weight.mul_(2)
        with torch.inference_mode():
            after = preparation.of(model)(row(model))
            torch.testing.assert_close(after, model(row(model)), rtol=1e-4, atol=2e-5)
        assert not torch.allclose(before, after)

    def test_is_made_anew_after_other_weights_are_loaded(self, build):
        model, preparation = build("llama"), Preparation()
        first = preparation.of(model)
        model.load_state_dict({name: tensor.clone() for name, tensor in model.state_dict().items()}, assign=True)
        assert preparation.of(model) is not first

    def test_model_in_training_answers_itself(self, build):
        model = build("llama").train()
        assert Preparation().of(model) is model

    def test_model_with_hooks_answers_itself(self, build):
        model = build("llama")
        hook = model.decoder.blocks[1].attention.weights.register_forward_hook(lambda module, args, weights: None)
        assert Preparation().of(model) is model
        hook.remove()
        assert Preparation().of(model) is not model

    def test_once_reaches_the_projections(self, build):
        model = build("llama")
        assert Preparation().of(model, once=True).decoder.blocks[0].out.once
        assert not Preparation().of(model).decoder.blocks[0].out.once
