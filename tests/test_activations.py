"""Memory of hidden states, beside the tensors that are alive while a model answers."""

import dataclasses
import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ojito.activations import activation_bytes
from ojito.config import ModelConfig
from ojito.generate import GenerateOptions, prefill, step
from ojito.model import VLM
from ojito.presets import preset
from ojito.records import IGNORE, IMAGE, SHARED, Batch


class Alive(TorchDispatchMode):
    """Counts the bytes of tensors that are alive, and the most there ever were; those known before do not count."""

    def __init__(self, known):
        super().__init__()
        self.known, self.alive, self.now, self.peak = {t.data_ptr() for t in known}, {}, 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor) and (key := tensor.untyped_storage().data_ptr()) not in self.known:
                if key not in self.alive:
                    self.alive[key] = [0, tensor.untyped_storage().nbytes()]
                    self.now += self.alive[key][1]
                self.alive[key][0] += 1
                weakref.finalize(tensor, self.drop, key)
        self.peak = max(self.peak, self.now)
        return out

    def drop(self, key):
        self.alive[key][0] -= 1
        if not self.alive[key][0]:
            self.now -= self.alive.pop(key)[1]


def taken(config: ModelConfig, dtype, rows, text):
    """The most bytes that are alive, cache and weights not counted."""
    model = VLM(config).to(dtype).eval()
    length, size = config.image_tokens + text, config.vision.image_size
    with torch.inference_mode(), Alive([*model.parameters(), *model.buffers()]) as alive:
        tokens = torch.full((rows, length), 1)
        tokens[:, : config.image_tokens] = IMAGE
        batch = Batch(
            tokens=tokens,
            positions=torch.arange(length).expand(rows, -1),
            segments=torch.full_like(tokens, SHARED),
            prefix=torch.ones_like(tokens, dtype=torch.bool),
            targets=torch.full_like(tokens, IGNORE),
            images=torch.zeros(rows, 3, size, size),
        )
        state = prefill(model, batch, GenerateOptions(max_new_tokens=2), eos=())
        step(state)
    return alive.peak - state.cache.keys.nbytes - state.cache.values.nbytes


SMALL = ["model.vision.layers=1", "model.decoder.layers=2", "model.decoder.vocab_size=500"]


@pytest.mark.parametrize(
    ("name", "settings", "rows", "text"),
    [
        ("char", [], 2, 8),
        ("tiny", [], 3, 16),
        ("nanovlm-222m", [*SMALL, "model.vision.image_size=64"], 2, 8),
        ("nanovlm-222m", [*SMALL, "model.vision.image_size=64"], 2, 300),
        ("minimal-gpt", [*SMALL, "model.vision.image_size=64"], 2, 30),
        ("paligemma2-3b", [*SMALL, "model.vision.image_size=56", "model.decoder.width=128",
                           "model.decoder.mlp_dim=512"], 1, 200),
        ("minimal-resnet", [*SMALL[1:], "model.vision.image_size=64"], 1, 8),
        ("photos", ["model.decoder.layers=1", "model.vision.image_size=64"], 1, 8),
    ],
)  # fmt: skip
def test_activations_are_what_is_alive_while_a_model_answers(name, settings, rows, text):
    config, dtype = preset(name, settings).model, torch.float32
    foretold = activation_bytes(config, dtype, rows, config.image_tokens + text, rows)
    assert foretold == pytest.approx(taken(config, dtype, rows, text), rel=0.2)


def test_activations_of_bfloat16_are_what_is_alive():
    config = preset("nanovlm-222m", [*SMALL, "model.vision.image_size=64"]).model
    foretold = activation_bytes(config, torch.bfloat16, 2, config.image_tokens + 30, 2)
    assert foretold == pytest.approx(taken(config, torch.bfloat16, 2, 30), rel=0.2)


def test_activations_grow_with_rows_prompt_and_images(tiny_config):
    config = tiny_config.model
    base = activation_bytes(config, torch.float32, 1, 64, 1)
    assert activation_bytes(config, torch.float32, 2, 64, 1) > base
    assert activation_bytes(config, torch.float32, 1, 128, 1) > base
    assert activation_bytes(config, torch.float32, 1, 64, 9) > base
    assert activation_bytes(config, torch.bfloat16, 1, 64, 1) < base


def test_scores_count_only_where_they_are_bounded(tiny_config):
    config = tiny_config.model
    bounded = dataclasses.replace(config, decoder=dataclasses.replace(config.decoder, attention_softcap=50.0))
    long = (torch.float32, 1, 1000, 1)
    assert activation_bytes(bounded, *long) > 2 * activation_bytes(config, *long)
    assert activation_bytes(bounded, *long) - activation_bytes(config, *long) < 3 * 4 * 4 * 1000**2
