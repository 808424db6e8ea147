import math

import torch

from ojito.records import IGNORE
from ojito.trainer.loss import count_labels, token_loss


def test_loss_is_the_sum_over_labelled_tokens(tiny_model, tiny_processor, samples):
    batch = tiny_processor(samples, training=True)
    logits = tiny_model(batch).detach()
    expected = 0.0
    for row in range(len(samples)):
        for place, target in enumerate(batch.targets[row].tolist()):
            if target != IGNORE:
                expected -= float(logits[row, place].log_softmax(dim=-1)[target])
    assert math.isclose(float(token_loss(tiny_model, batch).detach()), expected, rel_tol=1e-5)
    assert count_labels(batch) == sum(len(s.turns[0].answers[0]) + 1 for s in samples)  # characters, and eos


def test_loss_of_a_batch_without_labels_is_zero_and_has_a_gradient(tiny_model, tiny_processor, samples):
    batch = tiny_processor(samples)
    loss = token_loss(tiny_model, batch)
    loss.backward()
    assert float(loss.detach()) == 0
    assert all(bool(p.grad.isfinite().all()) for p in tiny_model.parameters() if p.grad is not None)


def packs_of(processor, samples, *numbers, length=40):
    return processor.packed([[processor.row(samples[n], training=True) for n in row] for row in numbers], length)


def test_packed_rows_have_the_loss_and_gradients_of_single_ones(tiny_model, tiny_processor, samples):
    losses, gradients = [], []
    for batch in (
        tiny_processor(samples, training=True),
        packs_of(tiny_processor, samples, [2], [0, 1], [], [3], length=60),
    ):
        tiny_model.zero_grad()
        loss = token_loss(tiny_model, batch)
        loss.backward()
        losses.append(float(loss.detach()))
        gradients.append([p.grad.clone() for p in tiny_model.parameters()])
    assert math.isclose(*losses, rel_tol=1e-5)
    largest = max(float(gradient.abs().max()) for gradient in gradients[0])
    for packed, single in zip(*gradients, strict=True):
        torch.testing.assert_close(packed, single, rtol=1e-5, atol=1e-5 * largest)


def test_nothing_is_learned_from_rows_of_padding(tiny_model, tiny_processor):
    batch = tiny_processor.packed([(), ()], 1)
    assert (count_labels(batch), batch.num_samples) == (0, 0)
    loss = token_loss(tiny_model, batch)
    loss.backward()
    assert float(loss.detach()) == 0
    assert not any(p.grad.any() for p in tiny_model.parameters() if p.grad is not None)


def test_loss_runs_the_head_at_labelled_places_only(tiny_model, tiny_processor, samples, monkeypatch):
    batch = tiny_processor(samples, training=True)
    shapes = []
    head = tiny_model.head
    monkeypatch.setattr(tiny_model, "head", lambda hidden: shapes.append(hidden.shape) or head(hidden))
    token_loss(tiny_model, batch)
    assert shapes == [torch.Size([count_labels(batch), 32])]
