import numpy as np
import pytest
import torch

from ojito.config import ConnectorConfig, ModelConfig
from ojito.errors import OjitoError
from ojito.model import VLM
from ojito.probe.attention import attention_map, recording, rollout_map
from ojito.records import IMAGE, SHARED, Batch
from tests.model.conftest import STYLES, TOWERS, randomize


def row(length=5):
    """Four visual tokens of an image, a question and an answer."""
    tokens = torch.tensor([[*[IMAGE] * 4, *range(1, length + 1)]])
    places = torch.arange(4 + length)[None]
    images = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    return Batch(tokens, places, torch.full_like(tokens, SHARED), places < 7, torch.full_like(tokens, -100), images)


@pytest.mark.parametrize("style", STYLES)
def test_recorded_weights_and_values_make_the_output_of_the_fused_form(style):
    model, batch = randomize(VLM(ModelConfig(TOWERS["vit"], ConnectorConfig(), STYLES[style]))), row()
    seen = []
    attentions = [block.attention for block in model.decoder.blocks]
    # A hook on the whole module leaves the fused form in place.
    hooks = [a.register_forward_hook(lambda module, args, out: seen.append((args[0], out))) for a in attentions]
    with torch.no_grad():
        model(batch)
        for hook in hooks:
            hook.remove()
        with recording(model) as recorded:
            model(batch)
        assert len(recorded) == len(attentions) == len(seen)
        for attention, weights, (hidden, output) in zip(attentions, recorded, seen, strict=True):
            v = attention.v(hidden).unflatten(-1, (attention.kv_heads, -1)).transpose(1, 2)
            v = v.repeat_interleave(attention.heads // attention.kv_heads, dim=1)
            torch.testing.assert_close(attention.out((weights @ v).transpose(1, 2).flatten(2)), output)
            torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:-1]))


def test_recorded_weights_keep_to_the_mask():
    model, batch = randomize(VLM(ModelConfig(TOWERS["vit"], ConnectorConfig(), STYLES["llama"]))), row()
    with torch.no_grad(), recording(model) as recorded:
        model(batch)
    assert all(torch.equal(weights, weights.tril()) for weights in recorded)


def test_recording_changes_no_logits_and_leaves_no_hooks(pipe, forced, hooks):
    batch = forced.batch(pipe.processor)
    with torch.no_grad():
        before = pipe.model(batch)
        with recording(pipe.model):
            during = pipe.model(batch)
        torch.testing.assert_close(during, before)
        assert torch.equal(pipe.model(batch), before)
    assert hooks(pipe.model) == 0


def test_recording_leaves_no_hooks_when_it_fails(pipe, hooks):
    with pytest.raises(RuntimeError), recording(pipe.model):
        raise RuntimeError
    assert hooks(pipe.model) == 0


def one_hot_in(layer, head, patch):
    """Makes a head attend to one patch alone."""

    def replace(module, args, weights):
        weights = weights.clone()
        weights[:, head] = 0
        weights[:, head, :, patch] = 1
        return weights

    return lambda pipe: pipe.model.decoder.blocks[layer].attention.weights.register_forward_hook(replace)


def test_map_shows_the_patch_that_a_head_is_made_to_attend_to(pipe, forced):
    one_hot_in(layer=1, head=0, patch=2)(pipe)
    batch, word = forced.batch(pipe.processor), forced.find("kite")
    assert attention_map(pipe.model, batch, forced, word, layer=1, head=0).tolist() == [0, 0, 1, 0]
    assert attention_map(pipe.model, batch, forced, word, layer=1, head=1)[2] < 1
    assert attention_map(pipe.model, batch, forced, word, layer=0, head=0)[2] < 1


def test_map_without_layer_or_head_is_their_mean(pipe, forced):
    batch, word = forced.batch(pipe.processor), forced.find("red")
    each = [[attention_map(pipe.model, batch, forced, word, layer, head) for head in (0, 1)] for layer in (0, 1)]
    assert not torch.allclose(each[0][0], each[0][1])
    assert not torch.allclose(each[0][0], each[1][0])
    torch.testing.assert_close(attention_map(pipe.model, batch, forced, word, 0), torch.stack(each[0]).mean(0))
    torch.testing.assert_close(attention_map(pipe.model, batch, forced, word, None, 1), (each[0][1] + each[1][1]) / 2)
    whole = attention_map(pipe.model, batch, forced, word)
    torch.testing.assert_close(whole, torch.stack([m for layer in each for m in layer]).mean(0))
    assert 0 < whole.sum() < 1  # the rest goes to the question


def test_map_is_of_the_positions_that_predict_the_word(pipe, forced):
    batch = forced.batch(pipe.processor)
    with torch.no_grad(), recording(pipe.model) as recorded:
        pipe.model(batch)
    asked = len(forced.row.tokens) - len(forced.tokens)
    rows = [asked + i for i in range(3)]  # "red": the last of the question, "r", "e"
    expected = torch.stack(recorded)[:, 0, :, rows, :4].mean(dim=(0, 1, 2))
    torch.testing.assert_close(attention_map(pipe.model, batch, forced, forced.find("red")), expected)


def test_rollout_multiplies_the_layers(pipe, forced):
    batch, word = forced.batch(pipe.processor), forced.find("kite")
    with torch.no_grad(), recording(pipe.model) as recorded:
        pipe.model(batch)
    first, second = (weights[0].mean(0).double().numpy() for weights in recorded)
    eye = np.eye(len(first))
    expected = ((second + eye) / 2 @ (first + eye) / 2)[forced.positions(word)][:, :4].mean(axis=0)
    np.testing.assert_allclose(rollout_map(pipe.model, batch, forced, word), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"layer": 2}, "layer: 2 is none of the decoder's 2; use 0 to 1"),
        ({"layer": -1}, "layer: -1 is none of the decoder's 2; use 0 to 1"),
        ({"head": 7}, "head: 7 is none of the decoder's 2; use 0 to 1"),
    ],
)
def test_layer_or_head_that_is_not_there_is_refused(pipe, forced, how, said):
    with pytest.raises(OjitoError) as error:
        attention_map(pipe.model, forced.batch(pipe.processor), forced, forced.words[0], **how)
    assert str(error.value) == said
