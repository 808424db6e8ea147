"""Every field of the families' configs changes what is read, or is refused by name; no other is read."""

import pytest

from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.huggingface import decoders, families, rope, towers
from ojito.checkpoint.huggingface.decoders import DECODERS
from ojito.checkpoint.huggingface.families import FAMILIES
from ojito.checkpoint.huggingface.fields import Fields
from ojito.checkpoint.huggingface.towers import TOWERS
from ojito.config import DecoderConfig, ViTConfig
from ojito.settings import ConfigError, read
from tests.parity.reading import fields_read
from tests.parity.reference import FULL, SLIDING, transformers

SIZES = {
    "vocab_size": 7, "hidden_size": 6400, "num_hidden_layers": 3, "num_attention_heads": 64, "num_key_value_heads": 2,
    "head_dim": 66, "intermediate_size": 9, "rms_norm_eps": 0.5, "max_position_embeddings": 11,
    "rope_theta": 5.0, "rope_scaling": {"rope_type": "linear", "factor": 2.0}, "rope_parameters": {"rope_theta": 5.0},
}  # fmt: skip
UNTIED, TIED = {"tie_word_embeddings": True}, {"tie_word_embeddings": False}  # by default
WINDOW = {
    "sliding_window": 8, "sliding_window_pattern": 3, "_sliding_window_pattern": 3, "layer_types": [FULL] * 26,
    "query_pre_attn_scalar": 3, "final_logit_softcapping": 3.0,
}  # fmt: skip
TOWER = {
    "hidden_size": 1200, "num_hidden_layers": 3, "num_attention_heads": 24, "intermediate_size": 9,
    "hidden_act": "gelu", "layer_norm_eps": 0.5, "patch_size": 8,
}  # fmt: skip
# What to change each field to, from what its class has by default.
FIELDS = {
    "llama": SIZES | UNTIED,
    "qwen2": SIZES | UNTIED,
    "qwen3": SIZES | UNTIED,
    "gemma": SIZES | TIED,
    "gemma2": SIZES | TIED | WINDOW | {"attn_logit_softcapping": 3.0},
    "gemma3_text": SIZES | TIED | WINDOW
    | {"rope_local_base_freq": 5.0, "rope_parameters": {"full_attention": {"rope_theta": 5.0}}},
    "gpt2": TIED | {
        "vocab_size": 7, "n_embd": 24, "hidden_size": 24, "n_layer": 3, "num_hidden_layers": 3, "n_head": 4,
        "num_attention_heads": 4, "n_inner": 9, "activation_function": "gelu", "layer_norm_epsilon": 0.5,
        "n_positions": 11, "max_position_embeddings": 11, "resid_pdrop": 0.5, "attn_pdrop": 0.0,
    },
    "siglip_vision_model": TOWER | {"image_size": 96},
    "siglip2_vision_model": TOWER | {"num_patches": 64},
    "clip_vision_model": TOWER | {"image_size": 96},
    "vit": {**TOWER, "hidden_act": "quick_gelu"} | {"image_size": 96},
    "idefics3_vision": TOWER | {"image_size": 96},
    "smolvlm_vision": TOWER | {"image_size": 96},
    "paligemma": TIED | {"vision_config.model_type": "clip_vision_model", "text_config.model_type": "gemma2"},
    "llava": UNTIED | {
        "text_config.tie_word_embeddings": True, "vision_feature_layer": -3, "multimodal_projector_bias": False,
        "vision_config.layer_norm_eps": 0.5,
    },
    "idefics3": UNTIED | {"scale_factor": 4, "text_config.model_type": "qwen2"},
    "smolvlm": UNTIED | {"scale_factor": 4, "vision_config.hidden_act": "gelu"},
    "gemma3": TIED | {"mm_tokens_per_image": 64, "text_config.rms_norm_eps": 0.5},
}  # fmt: skip
ROPE, NO_BIAS = {"partial_rotary_factor": 0.5, "rope_scaling": {"type": "yarn"}}, {"attention_bias": True}
NO_WINDOW, SILU, GELU = {"use_sliding_window": True}, {"hidden_act": "gelu"}, {"hidden_activation": "silu"}
# What none of our models can do, and is refused.
REFUSED = {
    "llama": ROPE | SILU | {"mlp_bias": True, "rope_parameters": {"partial_rotary_factor": 0.5}},
    "qwen2": ROPE | SILU | NO_WINDOW,
    "qwen3": ROPE | SILU | NO_WINDOW | NO_BIAS,
    "gemma": ROPE | GELU | NO_BIAS | {"hidden_act": "silu"},
    "gemma2": ROPE | GELU | NO_BIAS | {"layer_types": [FULL, SLIDING] * 13, "sliding_window_pattern": 0},
    "gemma3_text": ROPE | GELU | NO_BIAS | {
        "attn_logit_softcapping": 3.0, "use_bidirectional_attention": True, "layer_types": [SLIDING] * 3,
        "rope_parameters": {"sliding_attention": {"rope_type": "linear"}},
    },
    "gpt2": {"scale_attn_weights": False, "scale_attn_by_inverse_layer_idx": True, "activation_function": "relu"},
    **{kind: {"num_channels": 1, "hidden_act": "relu"} for kind in TOWERS},
    "paligemma": {"vision_config.model_type": "resnet", "text_config.model_type": "bert"},
    "llava": {
        "vision_feature_layer": -1, "vision_feature_select_strategy": "full", "projector_hidden_act": "relu",
        "text_config.model_type": "bert",
    },
    "idefics3": {"text_config.model_type": "bert"},
    "gemma3": {"mm_tokens_per_image": 60, "text_config.final_logit_softcapping": 3.0},
}  # fmt: skip
REFUSED["siglip2_vision_model"]["num_patches"] = 60
REFUSED["vit"]["qkv_bias"] = False
FREQUENCIES = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
OTHER_FREQUENCIES = {
    "rope_type": "linear", "factor": 2.0, "low_freq_factor": 0.5, "high_freq_factor": 5.0,
    "original_max_position_embeddings": 32,
}  # fmt: skip


def with_field(kind, field="", value=None):
    """What is read of a config that says nothing but this."""
    values = {"vision_config": {"image_size": 448, "patch_size": 14}, "text_config": {}} if kind in FAMILIES else {}
    *group, name = field.split(".")
    (values[group[0]] if group else values)[name] = value
    f = Fields(values, "config.json")
    return FAMILIES[kind].read_model(f)[0] if kind in FAMILIES else (DECODERS | TOWERS)[kind].read(f)


@pytest.mark.parametrize("kind", FIELDS)
def test_every_field_changes_what_is_read(kind):
    for field, value in FIELDS[kind].items():
        assert with_field(kind, field, value) != with_field(kind), field


@pytest.mark.parametrize("kind", REFUSED)
def test_a_field_that_ojito_cannot_follow_is_refused_by_name(kind):
    for field, value in REFUSED[kind].items():
        name = field.rpartition(".")[2]
        name = {"rope_scaling": "type"}.get(name, name)
        if name == "rope_parameters":
            name = {SLIDING: "rope_type"}.get(next(iter(value)), next(iter(value)))
        with pytest.raises(CheckpointError, match=rf"^config\.json: (.*: )?{name} is ['\"].*; .*[A-Za-z]"):
            with_field(kind, field, value)


@pytest.mark.parametrize("spelling", ["rope_scaling", "rope_parameters"])
@pytest.mark.parametrize("field", OTHER_FREQUENCIES)
def test_every_field_of_the_frequencies_changes_what_is_read(spelling, field):
    usual = with_field("llama", spelling, FREQUENCIES)
    assert with_field("llama", spelling, {**FREQUENCIES, field: OTHER_FREQUENCIES[field]}) != usual
    older = {
        "type": FREQUENCIES["rope_type"],
        **{name: FREQUENCIES[name] for name in FREQUENCIES if name != "rope_type"},
    }
    assert with_field("llama", spelling, older) == usual


def test_no_field_is_read_that_is_not_tested():
    paths = [path for table in (FIELDS, REFUSED) for fields in table.values() for path in fields]
    tested = {"type", *FREQUENCIES, FULL, SLIDING, *(name for path in paths for name in path.split("."))}
    found = fields_read(decoders, rope, towers, families)
    assert "rope_local_base_freq" in found
    assert found <= tested


@pytest.mark.parametrize("kind", [*DECODERS, *TOWERS])
def test_fields_that_are_missing_have_the_references_defaults(kind):
    defaults = transformers.models.auto.configuration_auto.CONFIG_MAPPING[kind]().to_dict()
    assert (DECODERS | TOWERS)[kind].read(Fields(defaults, "")) == with_field(kind)


@pytest.mark.parametrize("kind", FIELDS)
def test_every_change_of_a_part_roundtrips(kind):
    if kind in FAMILIES:
        return
    part, config = (DECODERS | TOWERS)[kind], ViTConfig if kind in TOWERS else DecoderConfig
    for field, value in FIELDS[kind].items():
        try:
            once = read(config, with_field(kind, field, value))
        except ConfigError:  # the field alone makes no model
            continue
        assert read(config, part.read(Fields(part.write(once), ""))) == once, field
