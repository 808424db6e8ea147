"""A model small enough to be measured in a moment, and a machine that is known without measuring."""

import json

import pytest

from ojito.bench import run as running
from ojito.bench.roofline import Limits

MICRO = {
    "name": "micro",
    "model": {
        "vision": {"image_size": 16, "patch_size": 8, "width": 16, "layers": 1, "heads": 2, "mlp_dim": 16},
        "decoder": {"vocab_size": 300, "width": 16, "layers": 1, "heads": 2, "mlp_dim": 16, "max_positions": 96},
    },
}


@pytest.fixture(scope="session")
def micro(tmp_path_factory):
    """A recipe."""
    path = tmp_path_factory.mktemp("recipe") / "micro.yaml"
    path.write_text(json.dumps(MICRO))
    return path


@pytest.fixture
def limits(monkeypatch):
    """The machine reads a byte and does an operation a second."""
    monkeypatch.setattr(running, "measure_limits", lambda *_: Limits(1.0, 1.0))
