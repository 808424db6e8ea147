"""Models with random weights, and prompts for them."""

import dataclasses
import random

import pytest
import torch
from PIL import Image

from ojito.config import DecoderConfig, ModelConfig, ProcessorConfig, TokenizerConfig, ViTConfig
from ojito.model import VLM
from ojito.processor import Processor, Tokenizer
from ojito.records import Sample


@pytest.fixture
def tiny_config():
    return ModelConfig(
        vision=ViTConfig(image_size=16, patch_size=8, width=32, layers=1, heads=2, mlp_dim=64),
        decoder=DecoderConfig(vocab_size=64, width=32, layers=2, heads=4, kv_heads=2, mlp_dim=64, max_positions=96),
    )


@pytest.fixture
def tiny_model(tiny_config):
    torch.manual_seed(0)
    return VLM(tiny_config).eval()


@pytest.fixture
def sharp(tiny_config):
    """Makes a model with these settings of the decoder, and logits so far apart that rounding decides nothing."""

    def make(seed=1, **decoder):
        torch.manual_seed(seed)
        decoder = dataclasses.replace(tiny_config.decoder, **decoder)
        model = VLM(dataclasses.replace(tiny_config, decoder=decoder)).eval()
        for parameter in model.decoder.parameters():
            parameter.data.mul_(4 if parameter.ndim > 1 else 1)
        return model

    return make


@pytest.fixture
def tiny_processor(tiny_config):
    config = ProcessorConfig(tokenizer=TokenizerConfig(kind="characters"))
    tokenizer = Tokenizer.train(config.tokenizer, ["abcdefghijklmnopqrstuvwxyz \n"], 64)
    return Processor(config, tokenizer, tiny_config.vision.image_size, tiny_config.image_tokens)


@pytest.fixture
def questions():
    """Prompts of unequal length, with no, one and two images."""
    rng = random.Random(0)
    a, b, c, d = (Image.frombytes("RGB", (16, 16), rng.randbytes(768)) for _ in range(4))
    return [
        Sample([a], "which colour is it"),
        Sample([b], "it"),
        Sample([], "a colour"),
        Sample([c, d], "which"),
    ]


@pytest.fixture
def reads(monkeypatch):
    """Records the shapes of what a model reads."""

    def record(model):
        read, features = [], model.features
        monkeypatch.setattr(
            model,
            "features",
            lambda batch, cache, **last: read.append(tuple(batch.tokens.shape)) or features(batch, cache, **last),
        )
        return read

    return record
