"""A model small enough to train in a test, and four rows to train it on."""

import pytest
import torch
from PIL import Image

from ojito.config import (
    Config,
    ConnectorConfig,
    DecoderConfig,
    ModelConfig,
    ProcessorConfig,
    TokenizerConfig,
    TrainConfig,
    ViTConfig,
)
from ojito.model import VLM
from ojito.processor import Processor, Tokenizer
from ojito.records import Sample, Turn

COLOURS = {"red": (220, 30, 30), "green": (30, 160, 60), "blue": (40, 70, 220), "white": (250, 250, 250)}


@pytest.fixture
def tiny_config():
    """Transformer layers of width 32 on 16-pixel pictures."""
    return Config(
        model=ModelConfig(
            vision=ViTConfig(image_size=16, patch_size=8, width=32, layers=1, heads=2, mlp_dim=64),
            connector=ConnectorConfig(project="mlp"),
            decoder=DecoderConfig(vocab_size=64, width=32, layers=2, heads=4, kv_heads=2, mlp_dim=64),
        ),
        processor=ProcessorConfig(tokenizer=TokenizerConfig(kind="characters")),
        train=TrainConfig(steps=4, batch_size=4, lr=3e-3, warmup=0.0, precision="float32"),
    )


@pytest.fixture
def tiny_processor(tiny_config):
    texts = ["abcdefghijklmnopqrstuvwxyz \n"]
    tokenizer = Tokenizer.train(tiny_config.processor.tokenizer, texts, 64)
    model = tiny_config.model
    return Processor(tiny_config.processor, tokenizer, model.vision.image_size, model.image_tokens)


@pytest.fixture
def tiny_model(tiny_config):
    torch.manual_seed(0)
    return VLM(tiny_config.model).eval()


@pytest.fixture
def samples():
    """Four plain pictures, each with a question whose answer is their colour."""
    return [
        Sample([Image.new("RGB", (16, 16), rgb)], turns=(Turn("which colour", (name,)),), origin=name)
        for name, rgb in COLOURS.items()
    ]
