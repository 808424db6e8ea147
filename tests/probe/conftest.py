"""Tiny pipelines whose inside is known, and an image to look at."""

import dataclasses

import pytest
import torch

from ojito.probe.forced import force
from tests.noise import noise
from tests.pipeline.toy import CONFIG, make

LOCAL = dataclasses.replace(
    CONFIG, model=dataclasses.replace(CONFIG.model, vision=dataclasses.replace(CONFIG.model.vision, layers=0))
)
"""The toy, whose four visual tokens each see a quarter of the image and nothing else."""

PATCH = 2
"""The quarter, at the lower left, that the planted model sees alone."""


@pytest.fixture
def pipe():
    return make(dataclasses.replace(CONFIG, model=dataclasses.replace(CONFIG.model, decoder=TWO_LAYERS)))


TWO_LAYERS = dataclasses.replace(CONFIG.model.decoder, layers=2)


@pytest.fixture
def planted():
    """A pipeline whose answers depend on one patch alone: the other visual tokens are zero."""
    made = make(LOCAL)

    def keep_one(module, args, visual):
        kept = torch.zeros_like(visual)
        kept[:, PATCH] = visual[:, PATCH]
        return kept

    made.model.connector.register_forward_hook(keep_one)
    return made


@pytest.fixture
def image():
    """16 x 16, as the models read it."""
    return noise((16, 16), seed=1)


@pytest.fixture
def forced(pipe, image):
    return force(pipe.processor, image, "what?", "red kite")


@pytest.fixture
def hooks():
    """Counts the hooks of a model's modules."""
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return lambda model: sum(len(getattr(module, name)) for module in model.modules() for name in names)
