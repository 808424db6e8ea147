import pytest
import torch

from ojito.model import attention
from ojito.model.attention import Attention, attend, attend_eager, attend_sdpa
from ojito.model.masks import mask_to_bias

B, T, S, K = 2, 7, 9, 6


def heads(num_heads, num_kv_heads, requires_grad=False):
    generator = torch.Generator().manual_seed(0)
    shapes = ((B, num_heads, T, K), (B, num_kv_heads, S, K), (B, num_kv_heads, S, K))
    return [torch.randn(shape, generator=generator).requires_grad_(requires_grad) for shape in shapes]


def some_mask():
    mask = torch.rand(B, 1, T, S, generator=torch.Generator().manual_seed(1)) < 0.5
    mask[..., 0] = True
    return mask


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("num_heads", "num_kv_heads"), [(4, 4), (4, 2), (4, 1)])
def test_both_forms_agree_with_gradients(num_heads, num_kv_heads, masked):
    mask = some_mask() if masked else None
    results = []
    for form in (attend_sdpa, attend_eager):
        tensors = heads(num_heads, num_kv_heads, requires_grad=True)
        gathered = form(*tensors, mask, 0.3)
        gathered.square().sum().backward()
        results.append([gathered, *(tensor.grad for tensor in tensors)])
    for fused, written in zip(*results, strict=True):
        torch.testing.assert_close(fused, written, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mask_heads", [None, 1, 4])
@pytest.mark.parametrize("num_kv_heads", [1, 2, 4])
def test_both_forms_agree_for_one_query(num_kv_heads, mask_heads):
    """Its heads that share a key head are then so many queries."""
    q, k, v = heads(4, num_kv_heads)
    mask = None
    if mask_heads:
        mask = torch.rand(B, mask_heads, 1, S, generator=torch.Generator().manual_seed(1)) < 0.5
        mask[..., 0] = True
    expected = attend_eager(q[:, :, :1], k, v, mask, 0.3)
    torch.testing.assert_close(attend_sdpa(q[:, :, :1], k, v, mask, 0.3), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("form", [attend_sdpa, attend_eager])
def test_mask_may_be_given_as_numbers_to_add(form):
    tensors, mask = heads(4, 2), some_mask()
    torch.testing.assert_close(form(*tensors, mask, 0.3), form(*tensors, mask_to_bias(mask, torch.float32), 0.3))


@pytest.mark.parametrize("form", [attend_sdpa, attend_eager])
def test_key_that_no_query_may_attend_to_changes_nothing(form):
    q, k, v = heads(4, 2)
    mask = torch.ones(1, 1, T, S, dtype=torch.bool)
    mask[..., 3] = False
    before = form(q, k, v, mask, 0.3)
    k[:, :, 3], v[:, :, 3] = 9.0, -9.0
    torch.testing.assert_close(form(q, k, v, mask, 0.3), before)


@pytest.mark.parametrize("requires_grad", [False, True])
def test_attend_is_either_form(requires_grad):
    tensors = heads(4, 2, requires_grad)
    torch.testing.assert_close(attend(*tensors, some_mask(), 0.3), attend_eager(*tensors, some_mask(), 0.3))


@pytest.mark.parametrize(
    ("length", "options", "form"),
    [
        (7, {}, "attend_sdpa"),
        (7, {"softcap": 5.0}, "attend_eager"),  # the fused form cannot
        (7, {"dropout": 0.1}, "attend_eager"),
        (7, {"dropout": 0.1, "requires_grad": False}, "attend_sdpa"),
        (7, {"dtype": torch.bfloat16}, "by hand"),
        (7, {"dtype": torch.bfloat16, "dropout": 0.1}, "attend_eager"),
        (7, {"dtype": torch.bfloat16, "requires_grad": False}, "attend_sdpa"),
        (300, {"dtype": torch.bfloat16}, "by hand"),
        (300, {"dropout": 0.1}, "attend_sdpa"),
    ],
)
def test_form_is_the_fastest_one(monkeypatch, length, options, form):
    used = []
    monkeypatch.setattr(attention.AttendFunction, "apply", lambda q, *_: used.append("by hand") or q)
    for name in ("attend_eager", "attend_sdpa"):
        monkeypatch.setattr(attention, name, lambda q, *_, name=name: used.append(name) or q)
    q = torch.randn(1, 2, length, K, dtype=options.get("dtype"), requires_grad=options.get("requires_grad", True))
    attend(q, q, q, None, 0.3, options.get("softcap", 0.0), options.get("dropout", 0.0))
    assert used == [form]


def test_scale_changes_output():
    tensors = heads(2, 2)
    assert not torch.allclose(attend(*tensors, None, 0.3), attend(*tensors, None, 0.4))


def test_softcap_changes_output_and_bounds_the_scores():
    q, k, v = heads(2, 2)
    capped = attend(q * 1000, k, v, None, 1.0, softcap=1e-3)
    torch.testing.assert_close(capped, v.mean(dim=2, keepdim=True).expand_as(capped), rtol=0, atol=1e-2)
    assert not torch.allclose(attend(q, k, v, None, 1.0, softcap=1.0), attend(q, k, v, None, 1.0))


@pytest.mark.parametrize("form", [attend_sdpa, attend_eager])
def test_dropout_changes_output(form):
    tensors = heads(2, 2)
    assert not torch.allclose(form(*tensors, None, 0.3, dropout=0.5), form(*tensors, None, 0.3))


def test_attention_drops_weights_in_training_only():
    torch.manual_seed(0)
    module, hidden = Attention(12, 2, dropout=0.5), torch.randn(1, 4, 12)
    assert not torch.allclose(module(hidden), module(hidden))
    module.eval()
    torch.testing.assert_close(module(hidden), module(hidden))


def test_context_is_what_attention_reads():
    torch.manual_seed(0)
    module, hidden, context = Attention(12, 2), torch.randn(1, 4, 12), torch.randn(1, 6, 12)
    assert module(hidden, context=context).shape == hidden.shape
    assert not torch.allclose(module(hidden, context=context), module(hidden))
    torch.testing.assert_close(module(hidden, context=hidden), module(hidden))


def test_bias_gives_every_projection_one():
    for bias in (True, False):
        module = Attention(12, 2, bias=bias)
        assert all((x.bias is not None) == bias for x in (module.q, module.k, module.v, module.out))
