"""The model that the tests fetch, owl/eyes-3b, and how to look at what came of it."""

import json

import pytest

from ojito.checkpoint.files import CheckpointError
from ojito.hub.download import download
from ojito.hub.transfer import HubError

NAME = "owl/eyes-3b"
FIRST, SECOND = "1" * 40, "2" * 40
WEIGHTS = bytes(range(256)) * 2000
INDEX = json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}})
MODEL = {"config.json": b'{"model_type": "owl"}', "tokenizer.json": b"{}" * 900, "model.safetensors": WEIGHTS}
SHARDS = {
    "config.json": b"{}",
    "model.safetensors.index.json": INDEX.encode(),
    "model-00001-of-00002.safetensors": WEIGHTS,
    "model-00002-of-00002.safetensors": WEIGHTS[:5000],
}
TOKEN = "hf_secretsecretsecret"


def contents(folder):
    """Name to bytes."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def tree(folder):
    """The files below, at any depth."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def failure(name=NAME):
    """What a user reads; one line."""
    with pytest.raises(HubError) as caught:
        download(name)
    assert isinstance(caught.value, CheckpointError)
    assert "\n" not in str(caught.value)
    assert TOKEN not in str(caught.value)
    return str(caught.value)


def set_first(listing, **changes):
    """What the Hub lists of config.json."""
    listing["siblings"][0].update(changes)


def set_large(listing, **changes):
    """What the Hub lists of the weights."""
    listing["siblings"][2]["lfs"].update(changes)
