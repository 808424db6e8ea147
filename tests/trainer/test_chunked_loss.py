import dataclasses

import pytest
import torch

from ojito.model import VLM
from ojito.trainer import chunked_loss
from ojito.trainer.chunked_loss import summed_loss


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def model(tiny_config, request):
    config = tiny_config.model
    decoder = dataclasses.replace(config.decoder, tied_head=request.param)
    torch.manual_seed(0)
    return VLM(dataclasses.replace(config, decoder=decoder))


def some(model, labels=13):
    generator = torch.Generator().manual_seed(1)
    decoder = model.config.decoder
    hidden = torch.randn(labels, decoder.width, generator=generator) * 3
    return hidden, torch.randint(0, decoder.vocab_size, (labels,), generator=generator)


def gradients(model, monkeypatch, small=0, chunk=None, bfloat16=False, labels=13):
    """Loss, and gradients of the hidden states and of the head, in chunks of some rows."""
    monkeypatch.setattr(chunked_loss, "SMALL", small)
    monkeypatch.setattr(chunked_loss, "CHUNK", (chunk or 4) * model.config.decoder.vocab_size)
    hidden, targets = some(model, labels)
    hidden.requires_grad_()
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        loss = summed_loss(model, hidden, targets)
    (loss / labels).backward()
    return [loss.detach(), hidden.grad, model.decoder.head.weight.grad]


PLAIN = 10**9


@pytest.mark.parametrize("softcap", [0.0, 2.0])
@pytest.mark.parametrize("chunk", [1, 4, 13, 100])
def test_chunks_give_the_loss_and_the_gradients_of_the_whole(model, monkeypatch, chunk, softcap):
    model.decoder.head.softcap = softcap
    whole = gradients(model, monkeypatch, small=PLAIN)
    for ours, theirs in zip(gradients(model, monkeypatch, chunk=chunk), whole, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_chunks_under_autocast_are_as_near_as_the_whole(model, monkeypatch):
    exact = gradients(model, monkeypatch, small=PLAIN)
    whole = gradients(model, monkeypatch, small=PLAIN, bfloat16=True)
    chunks = gradients(model, monkeypatch, bfloat16=True)
    assert [one.dtype for one in chunks] == [torch.float32] * 3
    for ours, theirs, true in zip(chunks, whole, exact, strict=True):
        assert (ours - true).norm() < 1.2 * (theirs - true).norm() + 1e-6 * true.norm()


def test_a_head_with_something_in_its_place_is_called_for_each_chunk(model, monkeypatch):
    if model.decoder.untied_head is None:
        pytest.skip("there is no module to replace")

    class Adapted(torch.nn.Linear):
        def forward(self, hidden):
            return 2 * super().forward(hidden)

    model.decoder.untied_head.__class__ = Adapted
    whole = gradients(model, monkeypatch, small=PLAIN)
    for ours, theirs in zip(gradients(model, monkeypatch), whole, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_a_frozen_head_gets_no_gradient(model, monkeypatch):
    whole = gradients(model, monkeypatch)
    model.decoder.head.weight.requires_grad_(False)
    loss, for_hidden, for_weight = gradients(model, monkeypatch)
    assert for_weight is None
    torch.testing.assert_close([loss, for_hidden], whole[:2], rtol=1e-6, atol=1e-6)


def test_logits_of_all_labels_are_never_there_at_once(model, monkeypatch):
    largest = 0

    class Watching(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                largest = max(largest, result.numel())
            return result

    vocabulary = model.config.decoder.vocab_size
    with Watching():
        gradients(model, monkeypatch, chunk=4, labels=500)
    assert largest <= max(4 * vocabulary, 500 * model.config.decoder.width)
    with Watching():
        gradients(model, monkeypatch, small=PLAIN, labels=500)
    assert largest == 500 * vocabulary


def test_small_losses_go_the_plain_way(model, monkeypatch):
    monkeypatch.setattr(chunked_loss.ChunkedLoss, "apply", lambda *_: pytest.fail("chunks"))
    hidden, targets = some(model)
    assert torch.isfinite(summed_loss(model, hidden, targets))


def test_without_a_backward_pass_the_loss_is_the_same(model, monkeypatch):
    loss = gradients(model, monkeypatch)[0]
    asked = []
    apply = chunked_loss.ChunkedLoss.apply
    monkeypatch.setattr(
        chunked_loss.ChunkedLoss, "apply", lambda *args: asked.extend(a.requires_grad for a in args[:2]) or apply(*args)
    )
    with torch.no_grad():
        assert torch.equal(summed_loss(model, *some(model)), loss)
    assert asked == [False, False]
