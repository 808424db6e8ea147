import pytest
import torch

from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.folder import describe
from tests.checkpoint.peft.conftest import LAYER, PREFIX, tensors_of

Q = LAYER["own"]


def refusal(folder):
    with pytest.raises(CheckpointError) as error:
        describe(folder)
    assert error.value.remedy
    return str(error.value)


def test_layers_are_found_by_either_names(adapter):
    own = describe(adapter()).adapter
    public = describe(adapter("llava", folder="public")).adapter
    assert {*own.layers} == {*public.layers} == {Q}
    assert own.layers[Q].scale == public.layers[Q].scale == 2.0


@pytest.mark.parametrize(
    "layer",
    ["model.language_model.layers.0.self_attn.q_proj", "language_model.model.layers.0.self_attn.q_proj", Q],
)
def test_layout_of_any_version_is_known(adapter, layer):
    assert [*describe(adapter("llava", tensors_of(layer))).adapter.layers] == [Q]


def test_rslora_changes_the_scale(adapter):
    assert describe(adapter(use_rslora=True)).adapter.layers[Q].scale == 4 / 2**0.5


def test_rank_is_that_of_the_matrices(adapter):
    assert describe(adapter(tensors=tensors_of(Q, rank=4))).adapter.layers[Q].scale == 1.0


def test_settings_say_how_such_an_adapter_is_made(adapter):
    both = tensors_of("decoder.blocks.0.attention.q", "vision.blocks.0.mlp.down")
    settings = describe(adapter(tensors=both, lora_dropout=0.2)).adapter.settings
    assert (settings.rank, settings.alpha, settings.dropout, settings.rslora) == (2, 4.0, 0.2, False)
    assert settings.parts == ("vision", "decoder")
    assert {*settings.targets} == {"decoder.blocks.*.attention.q", "vision.blocks.*.mlp.down"}


def changed(tensors, **changes):
    return {**tensors, **{PREFIX + name.replace("@", "."): tensor for name, tensor in changes.items()}}


A, B = f"{PREFIX}{Q}.lora_A.weight", f"{PREFIX}{Q}.lora_B.weight"


@pytest.mark.parametrize(
    ("tensors", "problem"),
    [
        ({}, "has no adapters"),
        (tensors_of("decoder.blocks.7.attention.q"), "has adapters for decoder.blocks.7.attention.q, and"),
        (tensors_of("model.layers.0.q_proj"), "has adapters for model.layers.0.q_proj, and"),
        (tensors_of("decoder.norm"), "for decoder.norm, which do not fit"),
        (tensors_of(Q, size=9), "has [2, 9] and [9, 2] for decoder.blocks.0.attention.q, which do not fit"),
        ({A: torch.zeros(2, 8)}, "has only one matrix for decoder.blocks.0.attention.q"),
        ({A: torch.zeros(2, 8), B: torch.zeros(8, 3)}, "has [2, 8] and [8, 3] for"),
        ({A: torch.zeros(0, 8), B: torch.zeros(8, 0)}, "has [0, 8] and [8, 0] for"),
        ({A: torch.zeros(2, 8, 1), B: torch.zeros(8, 2)}, "has [2, 8, 1] and [8, 2] for"),
        ({A: torch.zeros(2, 8, dtype=torch.int64), B: torch.zeros(8, 2)}, "has [2, 8] and [8, 2] for"),
        ({"x.lora_A.weight": torch.zeros(2, 8)}, "has a tensor x.lora_A.weight; give an adapter of PEFT's form"),
        ({f"{PREFIX}x.lora_embedding_A": torch.zeros(2, 8)}, "and Ojito adapts linear layers by A and B alone"),
        ({f"{PREFIX}x.lora_magnitude_vector.weight": torch.zeros(2)}, "and Ojito adapts linear layers"),
        ({**tensors_of(Q), f"{PREFIX}decoder.norm.weight": torch.zeros(9)}, "decoder.norm.weight of shape [9]"),
        ({**tensors_of(Q), f"{PREFIX}decoder.nothing": torch.zeros(9)}, "has adapters for decoder.nothing, and"),
        (
            {**tensors_of(Q), f"{PREFIX}decoder.embedding.weight": torch.zeros(300, 8)},
            "has learned an embedding anew, and in this model the head is the embedding (tied)",
        ),
    ],
)
def test_tensors_that_do_not_fit_the_model_are_refused(adapter, tensors, problem):
    assert problem in refusal(adapter(tensors=tensors))


def test_damaged_file_is_refused(adapter):
    folder = adapter()
    (folder / "adapter_model.safetensors").write_bytes(b"x" * 100)
    assert "adapter_model.safetensors" in refusal(folder)
    (folder / "adapter_model.safetensors").unlink()
    assert "has no adapter_model.safetensors" in refusal(folder)
