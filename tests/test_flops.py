import dataclasses

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ojito.config import PerceiverConfig, TrainConfig
from ojito.flops import StepOperations
from ojito.model import VLM, attention
from ojito.presets import preset
from ojito.records import IGNORE, IMAGE, Batch
from ojito.trainer.loss import token_loss
from ojito.trainer.optim import set_trainable

ROWS, LENGTH, LABELS = 3, 24, 5


def batch_of(config, length=LENGTH):
    tokens = torch.ones(ROWS, length, dtype=torch.int64)
    tokens[:, : config.image_tokens] = IMAGE
    targets = torch.full_like(tokens, IGNORE)
    targets[:, -LABELS:] = 1
    numbers, prefix = torch.zeros_like(tokens), torch.zeros_like(tokens, dtype=torch.bool)
    images = torch.zeros(ROWS, 3, config.vision.image_size, config.vision.image_size)
    return Batch(tokens, numbers, numbers, prefix, targets, images)


def counted_by_torch(model, batch, monkeypatch):
    """What PyTorch counts, with attention written out: its fused form's backward pass computes the scores again."""
    monkeypatch.setattr(attention, "prefers_eager", lambda *_: True)
    with FlopCounterMode(display=False) as counter:
        token_loss(model, batch).backward()
    return counter.get_total_flops()


SMALL = (
    "model.vision.width=32", "model.vision.heads=2", "model.vision.mlp_dim=64", "model.vision.layers=2",
    "model.decoder.width=32", "model.decoder.heads=4", "model.decoder.head_dim=8", "model.decoder.mlp_dim=48",
    "model.decoder.layers=2", "model.decoder.vocab_size=300",
)  # fmt: skip


@pytest.mark.parametrize("freeze", [(), ("vision",), ("vision", "connector"), ("decoder",), ("vision", "decoder")])
@pytest.mark.parametrize("connector", ["linear", "perceiver"])
def test_operations_are_those_that_pytorch_counts(tiny_config, freeze, connector, monkeypatch):
    config = tiny_config.model
    if connector == "perceiver":
        resampler = PerceiverConfig(queries=config.vision.grid**2, layers=2, heads=2, project="mlp")
        config = dataclasses.replace(config, connector=resampler)
    model, batch = VLM(config), batch_of(config)
    set_trainable(model, TrainConfig(freeze=freeze))
    ours = StepOperations(model).of(ROWS, [LENGTH] * ROWS, ROWS * LABELS).total
    assert ours == pytest.approx(counted_by_torch(model, batch, monkeypatch), rel=0.02)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("tiny", ["model.vision.image_size=32"]),
        ("minimal-gpt", [*SMALL, "model.vision.image_size=32", "model.decoder.dropout=0"]),
        ("nanovlm-222m", [*SMALL, "model.vision.image_size=64", "model.decoder.kv_heads=2"]),
        ("photos", ["model.vision.image_size=64"]),
    ],
)
def test_operations_of_every_kind_of_tower_are_those_that_pytorch_counts(name, settings, monkeypatch):
    config = preset(name, settings)
    model, batch = VLM(config.model), batch_of(config.model)
    set_trainable(model, config.train)
    ours = StepOperations(model).of(ROWS, [LENGTH] * ROWS, ROWS * LABELS).total
    assert ours == pytest.approx(counted_by_torch(model, batch, monkeypatch), rel=0.03)


def test_every_argument_changes_the_operations(tiny_config):
    operations = StepOperations(VLM(tiny_config.model))
    usual = operations.of(2, [10, 12], 6)
    assert operations.of(3, [10, 12], 6).vision == pytest.approx(1.5 * usual.vision)
    assert operations.of(2, [10, 12, 12], 6).decoder > usual.decoder
    assert operations.of(2, [10, 12], 7).head > usual.head
    encoded = operations.of(2, [10, 12], 6, encoded=True)
    assert encoded.vision == 0 < encoded.connector < usual.connector
    assert usual.language == usual.decoder + usual.head
    assert usual.total == usual.language + usual.vision + usual.connector


def test_counting_leaves_the_model_as_it_was():
    model = VLM(preset("tiny").model).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    StepOperations(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_a_model_of_text_alone_has_no_operations_of_images(tiny_config):
    config = dataclasses.replace(tiny_config.model, vision=dataclasses.replace(preset("tiny").model.vision))
    assert StepOperations(VLM(config)).of(0, [4], 1).vision == 0
