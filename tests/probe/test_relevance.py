import pytest
import torch

from ojito.probe.attention import recording
from ojito.probe.forced import answer_logits, force
from ojito.probe.relevance import gradient_map, relevance_map
from tests.probe.conftest import PATCH

LETTERS = "abcdefgh"


def test_relevance_is_at_the_only_patch_that_is_seen(planted, image):
    found = 0
    for letter in LETTERS:
        forced = force(planted.processor, image, "what?", letter)
        relevance = relevance_map(planted.model, forced.batch(planted.processor), forced, forced.words[0])
        assert relevance.sum() == relevance[PATCH]
        found += bool(relevance[PATCH] > 0)  # for other letters, the patch speaks against them
    assert found >= 2


def test_gradient_is_at_the_only_patch_that_is_seen(planted, image):
    forced = force(planted.processor, image, "what?", "red")
    (square,) = gradient_map(planted.model, forced.batch(planted.processor), forced, forced.words[0])
    assert square.shape == (16, 16)
    assert square[8:, :8].sum() > 0  # the lower left
    assert square[8:, :8].sum() == square.sum()


@pytest.mark.parametrize("method", [relevance_map, gradient_map])
def test_word_changes_the_map(pipe, forced, method):
    batch = forced.batch(pipe.processor)
    red, kite = (method(pipe.model, batch, forced, word) for word in forced.words)
    assert not torch.allclose(red / red.sum(), kite / kite.sum(), atol=1e-3)


def test_relevance_is_passed_on_layer_by_layer(pipe, image):
    forced = force(pipe.processor, image, "what?", "k")
    batch, token = forced.batch(pipe.processor), forced.tokens[0]
    with recording(pipe.model) as layers:
        p = answer_logits(pipe.model, batch, forced)[0, 0].double().softmax(dim=-1)[token]
        gradients = torch.autograd.grad((p / (1 - p)).log(), layers)
    first, second = ((w * g)[0].clamp(min=0).mean(dim=0) for w, g in zip(layers, gradients, strict=True))
    eye = torch.eye(len(first))
    expected = ((eye + second) @ (eye + first))[-1, :4]
    torch.testing.assert_close(
        relevance_map(pipe.model, batch, forced, forced.words[0]), expected.detach(), rtol=1e-3, atol=1e-6
    )


@pytest.mark.parametrize("method", [relevance_map, gradient_map])
def test_frozen_model_has_relevance_too_and_gradients_stay_away(pipe, forced, method, hooks):
    batch, word = forced.batch(pipe.processor), forced.words[0]
    learning = method(pipe.model, batch, forced, word)
    pipe.model.requires_grad_(False)
    torch.testing.assert_close(method(pipe.model, batch, forced, word), learning)
    assert all(parameter.grad is None for parameter in pipe.model.parameters())
    assert hooks(pipe.model) == 0
    assert not batch.images.requires_grad


def test_relevance_works_where_gradients_are_off(pipe, forced):
    with torch.no_grad():
        relevance = relevance_map(pipe.model, forced.batch(pipe.processor), forced, forced.words[0])
    assert relevance.sum() > 0
