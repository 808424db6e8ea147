import dataclasses
import itertools

import pytest
import torch
import torch.nn.functional as F

from ojito.trainer import TrainState, products
from ojito.trainer.blocks import block_calls
from ojito.trainer.loss import token_loss
from ojito.trainer.products import LinearFunction, choose, fast_products

EVERY = list(itertools.product((False, True), repeat=3))


@pytest.mark.parametrize("chosen", EVERY)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(5, 24), (2, 3, 24)])
def test_every_choice_computes_the_layer_and_its_gradients(chosen, bias, shape):
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(size, generator=generator) for size in (shape, (16, 24), (16,))][: 2 + bias]
    results = []
    for layer in (F.linear, lambda *args: LinearFunction.apply(*args, *[None] * (3 - len(args)), chosen)):
        leaves = [tensor.clone().requires_grad_() for tensor in tensors]
        output = layer(*leaves)
        output.square().sum().backward()
        results.append([output.detach(), *(leaf.grad for leaf in leaves)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-4)


def test_a_frozen_layer_keeps_no_input_and_gets_no_gradient():
    hidden, weight = torch.ones(3, 4).requires_grad_(), torch.ones(2, 4)
    output = LinearFunction.apply(hidden, weight, None, (True, True, True))
    assert output.grad_fn.saved_tensors[0] is None
    output.sum().backward()
    assert torch.equal(hidden.grad, torch.full((3, 4), 2.0))


@pytest.mark.parametrize(("faster", "expected"), [(1.0, False), (1.2, False), (2.0, True)])
def test_only_a_product_that_is_clearly_faster_is_chosen(monkeypatch, faster, expected):
    choose.cache_clear()
    monkeypatch.setattr(products, "_is_slow_for_mkl", lambda: True)
    monkeypatch.setattr(products, "_seconds", lambda product, _: 1.0 if product is F.linear else 1.0 / faster)
    assert choose(1) == (expected,) * 3
    choose.cache_clear()


@pytest.mark.parametrize(
    ("capability", "name", "measured"),
    [("AVX512", "AMD EPYC 9R45", True), ("AVX2", "AMD EPYC", False), ("AVX512", "Intel(R) Xeon(R)", False)],
)
def test_products_are_measured_where_mkl_may_be_slow_alone(monkeypatch, capability, name, measured):
    choose.cache_clear()
    asked = []
    monkeypatch.setattr(products, "machine", lambda device: {"cpu": name})
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(products, "_seconds", lambda *_: asked.append(1) or 1.0)
    assert choose(1) == (False, False, False)
    assert bool(asked) == measured
    choose.cache_clear()


@pytest.mark.parametrize("kind", ["full", "selective"])
def test_blocks_that_are_computed_anew_go_the_same_way_again(
    tiny_config, tiny_model, tiny_processor, samples, monkeypatch, kind
):
    batch = tiny_processor(samples, training=True)
    monkeypatch.setattr(products, "choose", lambda _: (True, True, True))
    gradients = []
    for parts in ((), ("vision", "decoder")):
        settings = {"precision": "float32", "checkpoint": parts, "checkpoint_kind": kind}
        state = TrainState(tiny_model, dataclasses.replace(tiny_config.train, **settings))
        tiny_model.zero_grad()
        with fast_products(state), block_calls(tiny_model, state.config, state.device):
            token_loss(tiny_model, batch).backward()
        gradients.append([p.grad for p in tiny_model.parameters() if p.grad is not None])
    assert all(map(torch.equal, *gradients))


def test_training_takes_what_was_chosen(tiny_config, tiny_model, tiny_processor, samples, monkeypatch):
    batch = tiny_processor(samples, training=True)
    used = []
    apply = LinearFunction.apply
    monkeypatch.setattr(LinearFunction, "apply", lambda *args: used.append(args[3]) or apply(*args))
    gradients = []
    for chosen in ((False, False, False), (True, True, True)):
        monkeypatch.setattr(products, "choose", lambda _, chosen=chosen: chosen)
        state = TrainState(tiny_model, dataclasses.replace(tiny_config.train, precision="float32"))
        tiny_model.zero_grad()
        with fast_products(state):
            token_loss(tiny_model, batch).backward()
        gradients.append([p.grad for p in tiny_model.parameters() if p.grad is not None])
        assert set(used) == ({chosen} if any(chosen) else set())
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_bfloat16_is_left_as_it_is(tiny_config, tiny_model, monkeypatch):
    monkeypatch.setattr(products, "choose", lambda _: pytest.fail("measured"))
    state = TrainState(tiny_model, dataclasses.replace(tiny_config.train, precision="bfloat16"))
    with fast_products(state):
        pass


def test_run_that_goes_on_keeps_what_it_began_with(tiny_model, tiny_config, monkeypatch):
    train = dataclasses.replace(tiny_config.train, precision="float32")
    state = TrainState(tiny_model, train)
    monkeypatch.setattr(products, "choose", lambda threads: (False, True, False))
    with fast_products(state):
        pass
    saved = state.state_dict()
    monkeypatch.setattr(products, "choose", lambda threads: pytest.fail("measured again"))
    resumed = TrainState(tiny_model, train)
    resumed.load_state_dict(saved)
    with fast_products(resumed):
        assert resumed.products == (False, True, False)
