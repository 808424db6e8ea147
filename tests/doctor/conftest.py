"""Healthy tiny models, and one that has learned the colours of cards."""

import dataclasses
import functools

import pytest
import torch
from PIL import Image

from ojito.config import (
    Config,
    ConnectorConfig,
    ImageConfig,
    ModelConfig,
    NoVisionConfig,
    ProcessorConfig,
    PromptConfig,
    TokenizerConfig,
)
from ojito.data import Scenes
from ojito.model import VLM
from ojito.pipeline import Pipeline
from ojito.processor import Processor, Tokenizer, texts
from ojito.records import Sample, Turn
from tests.model.conftest import STYLES, TOWERS, randomize

COLOURS = {"red": (220, 30, 30), "green": (30, 170, 60), "blue": (40, 60, 220), "white": (250, 250, 250)}


@functools.cache
def tokenizer_for(prompt):
    """One that leaves some of the decoder's 320 embeddings to tokens that a test adds."""
    return Tokenizer.train(TokenizerConfig(), texts(Scenes().samples("dev", 200), prompt), 300)


def make_pipe(style="llama", tower="vit", prompt=None, image=None, random_norms=False, recipe=False, connector=None):
    """A model of a decoder style with random weights, and its processor."""
    decoder = dataclasses.replace(STYLES[style], vocab_size=320, max_positions=192)
    vision = NoVisionConfig() if tower == "none" else TOWERS.get(tower, tower) if isinstance(tower, str) else tower
    model = ModelConfig(vision, connector or ConnectorConfig(project="mlp"), decoder)
    processor = ProcessorConfig(prompt=prompt or PromptConfig(), image=image or ImageConfig())
    tokenizer = tokenizer_for(processor.prompt)
    torch.manual_seed(0)
    made = VLM(model).eval()
    if random_norms:
        with torch.no_grad():
            randomize(made)
    config = Config(model=model, processor=processor) if recipe else None
    return Pipeline(made, Processor.for_model(processor, tokenizer, model), config)


@pytest.fixture
def pipe():
    return make_pipe()


@pytest.fixture(scope="session")
def cards():
    """Cards of four colours, with the colour as the answer."""
    rows = []
    for number in range(16):
        name = list(COLOURS)[number % 4]
        shade = tuple(min(255, max(0, level + number - 8)) for level in COLOURS[name])
        rows.append(Sample([Image.new("RGB", (20, 20), shade)], turns=(Turn("what is it?", (f"a {name} card",)),)))
    return rows


def train(cards, look=True, steps=120, shift=0):
    """A model that has learned the cards.

    Args:
        cards: The rows.
        look: Whether with their own images; otherwise each step shows those of others.
        steps: Of training.
        shift: So many places after a target's own stand the logits that learn it.
    """
    pipe = make_pipe()
    batch = pipe.processor(cards, training=True)
    targets, shuffle = batch.targets.roll(shift, 1).flatten(), torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(pipe.model.parameters(), lr=5e-3)
    pipe.model.train()
    for _ in range(steps):
        order = torch.arange(len(cards)) if look else torch.randperm(len(cards), generator=shuffle)
        logits = pipe.model(dataclasses.replace(batch, images=batch.images[order]))
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    pipe.model.eval()
    return pipe


@pytest.fixture(scope="session")
def learned(cards):
    return train(cards)


@pytest.fixture(scope="session")
def blind(cards):
    return train(cards, look=False, steps=400)
