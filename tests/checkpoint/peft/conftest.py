"""Adapters for a tiny model of Ojito's own and for a tiny LLaVA, written by hand."""

import json

import pytest
import torch
from safetensors.torch import save_file

from tests.hostile.good_folders import make

LAYER = {
    "own": "decoder.blocks.0.attention.q",
    "llava": "model.language_model.layers.0.self_attn.q_proj",
}
PREFIX = "base_model.model."


@pytest.fixture(scope="session")
def bases(tmp_path_factory):
    """A tiny model that Ojito saved, and a tiny LLaVA in transformers' form."""
    made = tmp_path_factory.mktemp("bases")
    for kind in LAYER:
        make(made / kind, kind)
    return made


def tensors_of(*layers, rank=2, size=8):
    """Matrices for square layers, under PEFT's names."""
    torch.manual_seed(0)
    found = {}
    for layer in layers:
        found[f"{PREFIX}{layer}.lora_A.weight"] = torch.randn(rank, size)
        found[f"{PREFIX}{layer}.lora_B.weight"] = torch.randn(size, rank)
    return found


@pytest.fixture
def adapter(bases, tmp_path):
    """Writes an adapter: settings over the usual ones, and tensors."""

    def write(kind="own", tensors=None, folder="adapter", **settings):
        path = tmp_path / folder
        path.mkdir()
        values = {"peft_type": "LORA", "base_model_name_or_path": str(bases / kind), "r": 2, "lora_alpha": 4}
        (path / "adapter_config.json").write_text(json.dumps({**values, **settings}))
        save_file(tensors_of(LAYER[kind]) if tensors is None else tensors, path / "adapter_model.safetensors")
        return path

    return write
