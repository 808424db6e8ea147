import json

import pytest

from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.peft.config_file import read_adapter_config, write_adapter_config

WRITTEN = {
    "base": "owl/eyes", "revision": "a" * 40, "architecture": ("LlavaForConditionalGeneration", "llava"), "rank": 4,
    "alpha": 8.0, "rslora": True, "dropout": 0.1, "layers": ["a.q_proj"], "whole": ["connector"],
}  # fmt: skip


def read(tmp_path, **values):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", **values}))
    return read_adapter_config(tmp_path)


def test_what_is_written_is_read(tmp_path):
    write_adapter_config(tmp_path, **WRITTEN)
    found = read_adapter_config(tmp_path)
    for name in ("base", "revision", "rank", "alpha", "rslora", "dropout"):
        assert getattr(found, name) == WRITTEN[name]
    values = json.loads((tmp_path / "adapter_config.json").read_text())
    assert values["target_modules"] == ["a.q_proj"]
    assert values["modules_to_save"] == ["connector"]
    assert values["lora_alpha"] == 8
    assert values["auto_mapping"] == {
        "base_model_class": "LlavaForConditionalGeneration",
        "parent_library": "transformers.models.llava.modeling_llava",
    }


def test_what_is_written_is_what_peft_reads(tmp_path):
    peft = pytest.importorskip("peft")
    write_adapter_config(tmp_path, **WRITTEN)
    theirs = peft.PeftConfig.from_pretrained(str(tmp_path))
    assert (theirs.r, theirs.lora_alpha, theirs.use_rslora, theirs.lora_dropout) == (4, 8, True, 0.1)
    assert theirs.base_model_name_or_path == "owl/eyes"


def test_what_peft_writes_by_itself_is_read(tmp_path):
    peft = pytest.importorskip("peft")
    peft.LoraConfig(r=3, lora_alpha=5, target_modules=["q_proj"], modules_to_save=["x"]).save_pretrained(str(tmp_path))
    found = read_adapter_config(tmp_path)
    assert (found.rank, found.alpha, found.base, found.revision) == (3, 5.0, "", "")


def test_settings_that_are_left_out_are_those_of_peft(tmp_path):
    found = read(tmp_path)
    assert (found.rank, found.alpha, found.rslora, found.dropout) == (8, 8.0, False, 0.0)


def test_scales_of_single_layers_go_by_the_ends_of_their_names(tmp_path):
    found = read(tmp_path, lora_alpha=4, alpha_pattern={"layers.1.q_proj": 8, "v_proj": 16})
    layers = ("layers.0.q_proj", "layers.1.q_proj", "layers.11.q_proj", "x.layers.1.v_proj", "kv_proj")
    assert [found.alpha_of(layer) for layer in layers] == [4, 8, 4, 16, 4]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"peft_type": "IA3"}, "has peft_type 'IA3', and Ojito knows LORA; merge it"),
        ({"use_dora": True}, "has use_dora at True, which Ojito does not have; merge it"),
        ({"lora_bias": True}, "has lora_bias at True, which"),
        ({"bias": "all"}, "has bias at 'all', and Ojito's adapters have none"),
        ({"trainable_token_indices": [3]}, "has trainable_token_indices at [3], which"),
        ({"layer_replication": [[0, 2]]}, "has layer_replication at [[0, 2]], which"),
        ({"target_parameters": ["experts"]}, "has target_parameters at ['experts'], which"),
        ({"invented_tomorrow": 3}, "has invented_tomorrow at 3, which Ojito does not have"),
        ({"init_lora_weights": "pissa"}, "began with 'pissa', which changes the base model's weights; convert it"),
        ({"init_lora_weights": ["olora"]}, "began with ['olora'], which"),
        ({"alpha_pattern": {"q.*": 3}}, "has a pattern 'q.*' in alpha_pattern, and Ojito knows names"),
        ({"alpha_pattern": {"q": "3"}}, "has a pattern 'q' in alpha_pattern"),
        ({"alpha_pattern": 3}, "alpha_pattern is '3'; a group of fields is needed"),
        ({"r": -1}, "r is '-1'; a whole number is needed"),
        ({"lora_alpha": "many"}, "lora_alpha is 'many'; a number is needed"),
        ({"lora_dropout": 1.5}, "lora_dropout is '1.5'; at least 0 and less than 1 is needed"),
        ({"use_rslora": 1}, "use_rslora is '1'; true or false is needed"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(tmp_path, values, problem):
    with pytest.raises(CheckpointError) as error:
        read(tmp_path, **values)
    assert str(error.value).startswith(str(tmp_path / "adapter_config.json"))
    assert problem in str(error.value)
    assert error.value.remedy


@pytest.mark.parametrize("fine", [{"init_lora_weights": "gaussian"}, {"loftq_config": {}}, {"rank_pattern": {"q": 3}}])
def test_what_the_tensors_say_or_training_alone_needs_is_left_to_them(tmp_path, fine):
    read(tmp_path, **fine)
