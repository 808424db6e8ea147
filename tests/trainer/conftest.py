"""A model small enough to train in a test, and four rows to train it on."""

import pytest
import torch
from PIL import Image

from ojito.model import VLM
from ojito.processor import Processor, Tokenizer
from ojito.records import Sample, Turn

COLOURS = {"red": (220, 30, 30), "green": (30, 160, 60), "blue": (40, 70, 220), "white": (250, 250, 250)}


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
    """Four plain images, each with a question whose answer is their colour."""
    return [
        Sample([Image.new("RGB", (16, 16), rgb)], turns=(Turn("which colour", (name,)),), origin=name)
        for name, rgb in COLOURS.items()
    ]
