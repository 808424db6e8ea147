"""RoPE settings in every spelling give transformers' frequencies, or are refused by the field's name."""

import itertools
import json

import pytest
import torch

from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.huggingface.decoders import DECODERS
from ojito.checkpoint.huggingface.fields import Fields
from ojito.config import DecoderConfig
from ojito.model.rope import rope_cos_sin
from ojito.settings import read
from tests.parity.reference import FULL, SLIDING, transformers

SIZES = {
    "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "num_hidden_layers": 6,
    "vocab_size": 7, "intermediate_size": 9, "max_position_embeddings": 48,
}  # fmt: skip
LINEAR = {"rope_type": "linear", "factor": 4.0}
LLAMA3 = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 3.0}
DEFAULT = {"rope_type": "default", "rope_theta": 500.0}
ROTARY = {
    "llama": "LlamaRotaryEmbedding", "qwen2": "Qwen2RotaryEmbedding", "qwen3": "Qwen3RotaryEmbedding",
    "gemma": "GemmaRotaryEmbedding", "gemma2": "Gemma2RotaryEmbedding",
}  # fmt: skip
SPELLINGS = {
    "nothing": {},
    "nulls": {"rope_scaling": None, "rope_parameters": None},
    "theta beside": {"rope_theta": 500.0},
    "theta as a whole number": {"rope_theta": 500000},
    "theta within": {"rope_parameters": DEFAULT},
    "theta beside and within": {"rope_theta": 700.0, "rope_parameters": DEFAULT},
    "theta beside, kind within": {"rope_theta": 700.0, "rope_parameters": LINEAR},
    "a group of theta alone": {"rope_parameters": {"rope_theta": 500.0}},
    "old": {"rope_theta": 500.0, "rope_scaling": LINEAR},
    "old type": {"rope_scaling": {"type": "linear", "factor": 2}},
    "old default": {"rope_scaling": {"type": "default"}},
    "default with more": {"rope_scaling": {"type": "default", "factor": 8.0, "mrope_section": [2, 3, 3]}},
    "both names of the kind": {"rope_scaling": {"type": "linear", "rope_type": "default", "factor": 2.0}},
    "new type": {"rope_parameters": {"type": "linear", "factor": 4.0, "rope_theta": 500.0}},
    "old beside new": {"rope_parameters": DEFAULT, "rope_scaling": {**LINEAR, "rope_theta": 500.0}},
    "old without theta beside new": {"rope_parameters": DEFAULT, "rope_scaling": LINEAR},
    "old without theta beside new and theta": {
        "rope_parameters": DEFAULT, "rope_scaling": LINEAR, "rope_theta": 90.0,
    },
    "old default beside new": {"rope_parameters": {**LINEAR, "rope_theta": 5.0}, "rope_scaling": DEFAULT},
    "an empty old beside new": {"rope_parameters": {**LINEAR, "rope_theta": 5.0}, "rope_scaling": {}},
    "an empty new": {"rope_parameters": {}, "rope_theta": 500.0},
    "llama3": {"rope_parameters": {**LLAMA3, "rope_theta": 500.0, "original_max_position_embeddings": 32}},
    "llama3, old": {"rope_theta": 500.0, "rope_scaling": {**LLAMA3, "original_max_position_embeddings": 32}},
    "llama3, original positions nowhere": {"rope_parameters": LLAMA3},
    "llama3, original positions beside": {"rope_parameters": LLAMA3, "original_max_position_embeddings": 32},
    "llama3, original positions beside and within": {
        "rope_parameters": {**LLAMA3, "original_max_position_embeddings": 64}, "original_max_position_embeddings": 32,
    },
    "a whole partial factor": {"partial_rotary_factor": 1.0, "rope_parameters": {"partial_rotary_factor": 1.0}},
}  # fmt: skip
GEMMA3_SPELLINGS = {
    **{name: values for name, values in SPELLINGS.items() if "rope_parameters" not in values or "null" in name},
    "theta of both kinds, old": {"rope_theta": 300.0, "rope_local_base_freq": 40.0},
    "groups": {"rope_parameters": {SLIDING: {"rope_type": "default", "rope_theta": 50.0}, FULL: DEFAULT}},
    "groups without kinds": {"rope_parameters": {SLIDING: {"rope_theta": 50.0}, FULL: {"rope_theta": 5.0}}},
    "scaled group": {"rope_parameters": {FULL: {**LINEAR, "rope_theta": 700.0}}},
    "scaled group of type": {"rope_parameters": {FULL: {"type": "linear", "factor": 3.0}}},
    "a group, theta beside": {"rope_parameters": {FULL: LINEAR}, "rope_theta": 300.0, "rope_local_base_freq": 40.0},
    "a group that is null": {"rope_parameters": {FULL: LINEAR, SLIDING: None}},
    "more beside the groups": {"rope_parameters": {FULL: DEFAULT, SLIDING: DEFAULT, "rope_theta": 3.0}},
    "old beside groups": {"rope_parameters": {FULL: DEFAULT, SLIDING: DEFAULT}, "rope_scaling": LINEAR},
    "old type beside groups without kinds": {
        "rope_parameters": {FULL: {"rope_theta": 5.0}}, "rope_scaling": {"type": "linear", "factor": 3.0},
    },
    "llama3 group": {"rope_parameters": {FULL: LLAMA3}},
    "llama3 group, original positions beside": {
        "rope_parameters": {FULL: LLAMA3}, "original_max_position_embeddings": 32,
    },
}  # fmt: skip
for refused in ("old type", "both names of the kind"):
    del GEMMA3_SPELLINGS[refused]


def ours(kind, values):
    return read(DecoderConfig, DECODERS[kind].read(Fields({**SIZES, **values}, "config.json")))


def theirs(kind, values):
    """Reference config, as read from a file: its class changes the groups that it is given."""
    return transformers.models.auto.configuration_auto.CONFIG_MAPPING[kind](
        **json.loads(json.dumps({**SIZES, **values}))
    )


POSITIONS = torch.arange(48)[None]


@pytest.mark.parametrize(("kind", "spelling"), [*itertools.product(ROTARY, SPELLINGS)])
def test_matches_reference_angles_of_every_spelling(kind, spelling):
    module = getattr(getattr(transformers.models, kind), f"modeling_{kind}")
    cos, sin = getattr(module, ROTARY[kind])(theirs(kind, SPELLINGS[spelling]))(torch.zeros(1), POSITIONS)
    config = ours(kind, SPELLINGS[spelling])
    got = rope_cos_sin(POSITIONS, config.head_dim, config.rope_theta, config.rope_scaling)
    torch.testing.assert_close(got, (cos[:, None], sin[:, None]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("spelling", GEMMA3_SPELLINGS)
def test_matches_reference_angles_of_both_kinds_of_gemma3s_layers(spelling):
    rotary = transformers.models.gemma3.modeling_gemma3.Gemma3RotaryEmbedding(
        theirs("gemma3_text", GEMMA3_SPELLINGS[spelling])
    )
    config = ours("gemma3_text", GEMMA3_SPELLINGS[spelling])
    for layer_type, theta, scaling in (
        (FULL, config.rope_theta, (config.rope_scaling,)),
        (SLIDING, config.window_theta, ()),
    ):
        cos, sin = rotary(torch.zeros(1), POSITIONS, layer_type)
        got = rope_cos_sin(POSITIONS, config.head_dim, theta, *scaling)
        torch.testing.assert_close(got, (cos[:, None], sin[:, None]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", [*ROTARY, "gemma3_text"])
@pytest.mark.parametrize("scaling", ["dynamic", "yarn", "longrope", "proportional", "su", "Linear"])
@pytest.mark.parametrize("spelling", ["rope_scaling", "rope_parameters"])
def test_a_kind_of_scaling_that_ojito_has_not_is_refused_by_name(kind, scaling, spelling):
    group = {"rope_type": scaling, "factor": 2.0, "original_max_position_embeddings": 8}
    group = {FULL: group} if (kind, spelling) == ("gemma3_text", "rope_parameters") else group
    with pytest.raises(CheckpointError, match=f"{spelling}: .*rope_type is '{scaling}'"):
        ours(kind, {spelling: group})


@pytest.mark.parametrize("name", ["factor", "low_freq_factor", "high_freq_factor"])
def test_a_number_that_is_missing_is_refused_as_there(name):
    group = {key: value for key, value in LLAMA3.items() if key != name}
    with pytest.raises(CheckpointError, match=f"{name} is 'None'; a number is needed where rope_type is llama3"):
        ours("llama", {"rope_parameters": group})
    with pytest.raises(KeyError, match=name):
        theirs("llama", {"rope_parameters": group})


@pytest.mark.parametrize(
    ("kind", "values", "name"),
    [
        ("llama", {"rope_parameters": {FULL: DEFAULT}}, FULL),
        ("gemma2", {"rope_parameters": {SLIDING: DEFAULT, FULL: DEFAULT}}, FULL),
        ("gemma3_text", {"rope_parameters": DEFAULT}, "rope_type"),
        ("gemma3_text", {"rope_scaling": {"type": "linear", "factor": 2.0}}, "type"),
        ("gemma3_text", {"rope_scaling": {"type": "linear", "rope_type": "default", "factor": 2.0}}, "type"),
        ("gemma3_text", {"rope_parameters": {FULL: DEFAULT}, "rope_scaling": {"type": "linear"}}, "type"),
        ("gemma3_text", {"rope_parameters": {SLIDING: {"type": "linear", "factor": 2.0}}}, "type"),
        ("gemma3_text", {"rope_parameters": {SLIDING: {"partial_rotary_factor": 0.5}}}, "partial_rotary_factor"),
        ("gemma3_text", {"rope_parameters": {FULL: {"partial_rotary_factor": 0.5}}}, "partial_rotary_factor"),
        ("llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ("llama", {"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
        ("llama", {"rope_scaling": {**LINEAR, "factor": "4"}}, "factor"),
        ("llama", {"rope_scaling": [LINEAR]}, "rope_scaling"),
    ],
)
def test_settings_that_the_reference_ignores_or_cannot_follow_are_refused_by_name(kind, values, name):
    with pytest.raises(CheckpointError, match=rf"^config\.json: (\w+: )*{name} is "):
        ours(kind, values)
