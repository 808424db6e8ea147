"""Backward passes by hand, beside PyTorch's own of the same formulas."""

import pytest
import torch
import torch.nn.functional as F

from ojito.model import backward
from ojito.model.attention import Attention, attend_eager
from ojito.model.backward import AttendFunction, RMSNormFunction, RopeFunction, by_hand, in_autocast
from ojito.model.mlp import GatedMLP
from ojito.model.norms import make_norm
from ojito.model.rope import apply_rope, rope_cos_sin


def random(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def gradients(function, *tensors):
    """The result of a function, and the gradients of an uneven sum of it."""
    leaves = [tensor.detach().clone().requires_grad_() for tensor in tensors]
    result = function(*leaves)
    (result * random(*result.shape, seed=9, dtype=result.dtype)).sum().backward()
    return [result.detach(), *(leaf.grad for leaf in leaves)]


def kept_bytes(function):
    """The bytes of tensors that a function keeps for its backward pass, each storage once."""
    kept = {}
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: (
            kept.setdefault(tensor.untyped_storage().data_ptr(), tensor.untyped_storage().nbytes()) and tensor
        ),
        lambda tensor: tensor,
    ):
        result = function()
    assert result.requires_grad
    return sum(kept.values())


@pytest.mark.parametrize("shape", [(3, 5, 8), (7, 8), (2, 3, 4, 8)])
def test_rms_norm_has_the_gradients_of_its_formula(shape):
    formula = lambda x, w: F.rms_norm(x, w.shape, w, eps=1e-5)  # noqa: E731
    tensors = (random(*shape), random(8, seed=1))
    for ours, theirs in zip(
        gradients(lambda x, w: RMSNormFunction.apply(x, w, 1e-5), *tensors), gradients(formula, *tensors), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["rms", "rms_plus_one"])
def test_norm_is_the_same_with_and_without_a_backward_pass(kind):
    norm, hidden = make_norm(kind, 16, 1e-6), random(4, 16)
    norm.weight.data.copy_(random(16, seed=2))
    with torch.no_grad():
        alone = norm(hidden)
    torch.testing.assert_close(norm(hidden), alone, rtol=1e-5, atol=1e-6)


def test_rms_norm_keeps_its_input_and_no_copy_of_it():
    norm, hidden = make_norm("rms", 64, 1e-6), random(50, 64)
    assert kept_bytes(lambda: norm(hidden.clone().requires_grad_())) == 4 * (50 * 64 + 64 + 50)


def test_rms_norm_that_does_not_learn_has_no_gradient_of_its_weight():
    norm, hidden = make_norm("rms", 8, 1e-6).requires_grad_(False), random(4, 8).requires_grad_()
    norm(hidden).sum().backward()
    assert norm.weight.grad is None
    assert hidden.grad is not None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rope_has_the_gradients_of_its_formula(monkeypatch, dtype):
    rope = rope_cos_sin(torch.arange(5).expand(2, 5), 8, 100.0)
    heads = random(2, 5, 3, 8, dtype=dtype).transpose(1, 2)
    ours = gradients(lambda x: RopeFunction.apply(x, *(part.to(dtype) for part in rope)), heads)
    monkeypatch.setattr("ojito.model.rope.by_hand", lambda tensor: False)
    for one, other in zip(ours, gradients(lambda x: apply_rope(x, rope), heads), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6 if dtype == torch.float32 else 0.02)


@pytest.mark.parametrize("at_once", [1, 10**9])
@pytest.mark.parametrize("kept", [0, 10**9])
@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (4, 2), (4, 1)])
@pytest.mark.parametrize("masks", [None, 1, 3])
def test_attention_has_the_gradients_of_its_formula(monkeypatch, at_once, kept, heads, kv_heads, masks):
    monkeypatch.setattr(backward, "_AT_ONCE", at_once)
    monkeypatch.setattr(backward, "_KEPT", kept)
    mask = None
    if masks:
        mask = torch.where(random(masks, 1, 5, 7) > 0, 0.0, float("-inf"))
        mask[..., 0] = 0.0
    tensors = random(3, 5, heads, 6).transpose(1, 2), random(3, 7, kv_heads, 6, seed=1).transpose(1, 2), None
    tensors = (*tensors[:2], random(3, 7, kv_heads, 6, seed=2).transpose(1, 2))
    ours = gradients(lambda q, k, v: AttendFunction.apply(q, k, v, mask, 0.3), *tensors)
    theirs = gradients(lambda q, k, v: attend_eager(q, k, v, mask, 0.3), *tensors)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_attention_in_bfloat16_is_as_near_as_the_eager_form():
    tensors = [random(2, 4, 9, 16, seed=seed, dtype=torch.bfloat16) for seed in range(3)]
    exact = gradients(lambda q, k, v: attend_eager(q, k, v, None, 0.25), *(tensor.float() for tensor in tensors))
    for ours, true in zip(
        gradients(lambda q, k, v: AttendFunction.apply(q, k, v, None, 0.25), *tensors), exact, strict=True
    ):
        assert (ours.float() - true).norm() < 0.01 * true.norm()


def test_attention_keeps_weights_of_short_rows_alone(monkeypatch):
    q = random(2, 4, 9, 16).requires_grad_()
    hands_out = lambda: AttendFunction.apply(q, q, q, None, 0.25)  # noqa: E731
    with_weights = kept_bytes(hands_out)
    monkeypatch.setattr(backward, "_KEPT", 80)
    assert with_weights - kept_bytes(hands_out) == 4 * 2 * 4 * 9 * 9


def test_backward_pass_is_by_hand_only_for_training_on_a_cpu():
    assert by_hand(torch.ones(1))
    assert not by_hand(torch.ones(1, device="meta"))
    with torch.no_grad():
        assert not by_hand(torch.ones(1))


def test_hidden_states_are_rounded_once_for_all_layers_that_read_them():
    hidden = random(2, 3, 16).requires_grad_()
    gated, attention = GatedMLP(16, 32, "silu", bias=False), Attention(16, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert in_autocast(hidden).dtype == torch.bfloat16
        for module in (gated, attention):
            casts = [node for node in nodes(module(hidden)) if node.name() == "ToCopyBackward0"]
            of_hidden = [node for node in casts if node.next_functions[0][0].variable is hidden]
            assert len(of_hidden) == 1
    assert in_autocast(hidden) is hidden


def nodes(tensor):
    """All nodes of a tensor's graph."""
    found, ahead = {}, [tensor.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is not None and node not in found:
            found[node] = True
            ahead += [following for following, _ in node.next_functions]
    return list(found)
