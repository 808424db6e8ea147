"""A pipeline, an image, and presets of their own."""

import dataclasses
import random
import sys
import types

import pytest
from PIL import Image

from tests.pipeline.toy import CONFIG, make


@pytest.fixture
def pipe():
    return make()


@pytest.fixture
def image():
    return Image.frombytes("L", (40, 30), random.Random(1).randbytes(40 * 30))


@pytest.fixture
def presets(monkeypatch):
    """Two presets, whatever the real ones are."""
    known = {"tiny": CONFIG, "tinier": dataclasses.replace(CONFIG, name="tinier")}
    stub = types.ModuleType("ojito.presets")
    stub.PRESETS, stub.preset = known, known.__getitem__
    monkeypatch.setitem(sys.modules, "ojito.presets", stub)
    return known
