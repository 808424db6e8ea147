"""Blocks that are computed anew in the backward pass, and compiled ones, beside the usual way."""

import dataclasses
import subprocess
import sys

import pytest
import torch

from ojito import allocator
from ojito.allocator import keeping_freed_memory
from ojito.config import ResNetConfig, TrainConfig
from ojito.errors import ConfigError, OjitoError
from ojito.model import VLM
from ojito.model.blocks import call_block
from ojito.records import IGNORE, PADDING
from ojito.trainer import TrainState, blocks, fit
from ojito.trainer.blocks import block_calls, padded
from ojito.trainer.loss import token_loss
from ojito.trainer.optim import set_trainable

CPU = torch.device("cpu")
BOTH = ("vision", "decoder")


@pytest.fixture
def batch(tiny_processor, samples):
    return tiny_processor(samples, training=True)


@pytest.fixture
def gradients(tiny_config, batch):
    """Loss and gradients of a fresh model with these settings."""

    def compute(dropout=0.0, bfloat16=False, batch=batch, **settings):
        model = tiny_config.model
        parts = {name: dataclasses.replace(getattr(model, name), dropout=dropout) for name in BOTH}
        torch.manual_seed(0)
        model, config = VLM(dataclasses.replace(model, **parts)), TrainConfig(**settings)
        set_trainable(model, config)
        with block_calls(model, config, CPU):
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                loss = token_loss(model, batch)
            loss.backward()
        return [loss.detach(), *(p.grad for p in model.parameters() if p.grad is not None)]

    return compute


@pytest.mark.parametrize("parts", [("vision",), ("decoder",), BOTH])
@pytest.mark.parametrize("kind", ["full", "selective"])
@pytest.mark.parametrize(("dropout", "bfloat16"), [(0.0, False), (0.3, False), (0.0, True)])
def test_blocks_that_are_computed_anew_have_the_same_gradients_to_the_bit(gradients, parts, kind, dropout, bfloat16):
    usual = gradients(dropout, bfloat16)
    anew = gradients(dropout, bfloat16, checkpoint=parts, checkpoint_kind=kind)
    assert len(usual) == len(anew)
    assert all(map(torch.equal, usual, anew))


def kept(model, batch, config):
    """Bytes that wait for the backward pass, each storage once, parameters left out."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    sizes = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    set_trainable(model, config)
    with block_calls(model, config, CPU), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = token_loss(model, batch)
    del loss
    return sum(sizes.values())


@pytest.mark.parametrize("part", BOTH)
def test_each_part_that_is_computed_anew_keeps_less(tiny_model, batch, part):
    usual = kept(tiny_model, batch, TrainConfig())
    assert kept(tiny_model, batch, TrainConfig(checkpoint=(part,))) < usual
    both = kept(tiny_model, batch, TrainConfig(checkpoint=BOTH))
    assert both < kept(tiny_model, batch, TrainConfig(checkpoint=(part,)))


def test_frozen_parts_keep_nothing_and_get_no_gradient(tiny_model, batch):
    everything = kept(tiny_model, batch, TrainConfig())
    without = kept(tiny_model, batch, TrainConfig(freeze=("vision",)))
    patches = dataclasses.replace(batch, images=None, patches=tiny_model.see(batch.images).detach())
    alone = kept(tiny_model, patches, TrainConfig(freeze=("vision",)))
    # Of the tower nothing: as much as if it had never run.
    assert without == alone < everything
    token_loss(tiny_model, batch).backward()
    assert all(p.grad is None for p in tiny_model.vision.parameters())


def test_a_frozen_decoder_keeps_no_inputs_of_its_matrices(tiny_model, batch):
    learning = kept(tiny_model, batch, TrainConfig(freeze=("vision",)))
    assert kept(tiny_model, batch, TrainConfig(freeze=("vision", "decoder"))) < 0.8 * learning


def test_blocks_are_called_as_usual_without_a_backward_pass_and_afterwards(tiny_model, batch, monkeypatch):
    monkeypatch.setattr(blocks, "checkpoint", lambda *_, **__: pytest.fail("computed anew"))
    with block_calls(tiny_model, TrainConfig(checkpoint=BOTH), CPU), torch.no_grad():
        tiny_model(batch)
    assert tiny_model.vision.call_block is tiny_model.decoder.call_block is call_block


def test_a_tower_of_convolutions_cannot_be_computed_anew(tiny_config):
    config = dataclasses.replace(tiny_config.model, vision=ResNetConfig(image_size=32, width=64, blocks=(1,)))
    with (
        pytest.raises(OjitoError, match="batch norms would count twice"),
        block_calls(VLM(config), TrainConfig(checkpoint=("vision",)), CPU),
    ):
        pass


def test_fit_computes_anew_what_its_settings_name(tiny_config, tiny_model, batch, monkeypatch):
    calls = []
    anew = blocks.checkpoint
    monkeypatch.setattr(blocks, "checkpoint", lambda *args, **options: calls.append(1) or anew(*args, **options))
    config = dataclasses.replace(tiny_config.train, steps=1, checkpoint=("decoder",))
    fit(TrainState(tiny_model, config), [batch], quiet=True)
    assert len(calls) == len(tiny_model.decoder.blocks)


COMPILED = """
import torch
from ojito.config import TrainConfig
from ojito.model import VLM
from ojito.presets import preset
from ojito.records import IGNORE, IMAGE, SHARED, Batch
from ojito.trainer.blocks import block_calls, padded
from ojito.trainer.loss import token_loss

config = preset("tiny", ["model.vision.dropout=0", "model.decoder.dropout=0"]).model
torch.manual_seed(0)
tokens = torch.randint(3, 9, (2, config.image_tokens + 5))
tokens[:, : config.image_tokens] = IMAGE
like = torch.zeros_like(tokens)
positions = like + torch.arange(tokens.shape[1])
targets = tokens.where(tokens != IMAGE, IGNORE)
images = torch.rand(2, 3, config.vision.image_size, config.vision.image_size)
batch = Batch(tokens, positions, like + SHARED, like.bool(), targets, images)
found = []
for train in (TrainConfig(), TrainConfig(compile=True)):
    torch.manual_seed(0)
    model = VLM(config)
    with block_calls(model, train, torch.device("cpu")):
        loss = token_loss(model, padded(batch, train))
        loss.backward()
    found.append([loss.detach(), *(p.grad for p in model.parameters())])
for usual, compiled in zip(*found, strict=True):
    torch.testing.assert_close(usual, compiled, rtol=1e-4, atol=1e-5)
assert any(not torch.equal(*pair) for pair in zip(*found))
"""


@pytest.mark.slow
def test_compiled_blocks_compute_the_same():
    """In a process of its own: the shapes that annotations name are checked in this one, which cannot be compiled."""
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_compiled_rows_are_padded_to_a_multiple_and_learn_the_same(gradients, batch):
    longer = padded(batch, TrainConfig(compile=True))
    length = batch.tokens.shape[1]
    assert longer.tokens.shape[1] % blocks.MULTIPLE == 0
    assert (longer.segments[:, length:] == PADDING).all()
    assert (longer.targets[:, length:] == IGNORE).all()
    assert padded(longer, TrainConfig(compile=True)) is longer
    assert padded(batch, TrainConfig()) is batch
    for one, other in zip(gradients(), gradients(batch=longer), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("checkpoint", "most"), [(BOTH, [8, 32]), (("vision",), [8, 32]), ((), [])])
def test_large_memory_is_mapped_where_blocks_are_computed_anew(tiny_model, monkeypatch, checkpoint, most):
    asked = []
    with keeping_freed_memory():
        monkeypatch.setattr(allocator, "_function", lambda name: lambda parameter, size: asked.append(size // 2**20))
        with block_calls(tiny_model, TrainConfig(checkpoint=checkpoint), CPU):
            pass
        monkeypatch.undo()
    assert asked == most


def test_compiling_without_a_compiler_is_an_error(tiny_model, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    from torch._inductor import config, cpp_builder

    monkeypatch.setattr(config.cpp, "cxx", ("no-such-compiler",))
    for name in ("get_cpp_compiler", "cpp_compiler_search"):
        getattr(getattr(cpp_builder, name, None), "cache_clear", lambda: None)()
    with (
        pytest.raises(OjitoError, match=r"needs a C\+\+ compiler, and there is none"),
        block_calls(tiny_model, TrainConfig(compile=True), CPU),
    ):
        pass


def test_compile_and_selective_do_not_go_together():
    with pytest.raises(ConfigError, match="does not go with compile"):
        TrainConfig(compile=True, checkpoint=("vision",), checkpoint_kind="selective")
