"""Adapters beside PEFT's: ours load there, theirs load here, and both compute the same."""

import dataclasses
import json

import pytest
import torch

import ojito
from ojito.config import LoraConfig
from ojito.loading import load_for, recipe_of
from ojito.model.lora import adapter_parameters
from ojito.trainer import TrainState
from tests.parity import reference

peft = pytest.importorskip("peft")

FAMILIES = ("paligemma", "paligemma2", "llava", "idefics3", "gemma3")
CLOSE = {"atol": 1e-5, "rtol": 1e-5}
PARTS = {"vision": "vision", "connector": ("connector", "projector"), "decoder": ("language_model", "text_model")}


@pytest.fixture
def base(tmp_path):
    """A family's reference, the folder that it is saved in, and a batch for it."""

    def make(family, **changes):
        theirs = reference.make(family, **changes)
        folder = theirs.save(tmp_path / family)
        batch = ojito.load(folder, device="cpu", dtype="float32").processor([reference.ONE])
        return theirs, folder, batch

    return make


def linear_layers(model, *parts):
    """Names of linear layers of these parts, without the head."""
    words = tuple(word for part in parts for word in ([PARTS[part]] if part == "vision" else PARTS[part]))
    linear = (name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear))
    return [name for name in linear if any(word in name for word in words)]


def adapted(theirs, folder, base, **settings):
    """Wrap the reference by PEFT, with random adapters; save them, naming the base. Returns the wrapped model."""
    torch.manual_seed(0)
    model = peft.get_peft_model(theirs.model, peft.LoraConfig(init_lora_weights=False, **settings)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "modules_to_save" in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    values = json.loads((folder / "adapter_config.json").read_text())
    values["base_model_name_or_path"] = str(base)
    (folder / "adapter_config.json").write_text(json.dumps(values))
    return dataclasses.replace(theirs, model=model)


def learned(folder, **settings):
    """Our model of a base's folder with random adapters, as training leaves it."""
    recipe = recipe_of(folder)
    recipe = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, **settings))
    pipe = load_for(recipe, folder, "cpu")
    state = TrainState(pipe.model, recipe.train)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in state.learning:
            parameter.add_(torch.randn_like(parameter) * 0.1)
    pipe.model.eval()
    return pipe


THEIRS = {
    "decoder": ({"r": 4}, ("decoder",), ()),
    "vision": ({"r": 3, "lora_alpha": 5}, ("vision",), ()),
    "rslora": ({"r": 4, "lora_alpha": 6, "use_rslora": True}, ("decoder", "vision"), ()),
    "connector in full": ({"r": 4}, ("decoder",), ("connector",)),
}


@pytest.mark.parametrize("kind", THEIRS)
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_adapters_of_peft_compute_the_same_here(base, tmp_path, family, kind):
    theirs, folder, batch = base(family)
    plain = theirs.logits(batch)
    settings, parts, whole = THEIRS[kind]
    name = "connector" if family == "idefics3" else "multi_modal_projector"
    more = {"modules_to_save": [name]} if whole else {}
    wrapped = adapted(
        theirs, tmp_path / "adapter", folder, target_modules=linear_layers(theirs.model, *parts), **settings, **more
    )
    ours = ojito.load(tmp_path / "adapter", device="cpu", dtype="float32")
    torch.testing.assert_close(ours.model(batch), wrapped.logits(batch), **CLOSE)
    assert not torch.allclose(ours.model(batch), plain, atol=1e-2)


@torch.no_grad()
def test_ranks_and_scales_of_single_layers_are_followed(base, tmp_path):
    theirs, folder, batch = base("paligemma")
    settings = {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"layers.1.self_attn.v_proj": 20, "o_proj": 3}}
    targets = linear_layers(theirs.model, "decoder")
    wrapped = adapted(theirs, tmp_path / "adapter", folder, target_modules=targets, r=4, lora_alpha=8, **settings)
    ours = ojito.load(tmp_path / "adapter", device="cpu", dtype="float32")
    torch.testing.assert_close(ours.model(batch), wrapped.logits(batch), **CLOSE)


@torch.no_grad()
def test_adapter_of_the_head_is_followed(base, tmp_path):
    theirs, folder, batch = base("llava")
    wrapped = adapted(theirs, tmp_path / "adapter", folder, target_modules=["lm_head"], r=4)
    ours = ojito.load(tmp_path / "adapter", device="cpu", dtype="float32")
    torch.testing.assert_close(ours.model(batch), wrapped.logits(batch), **CLOSE)


@torch.no_grad()
def test_adapter_of_fused_projections_is_followed(base, tmp_path):
    text = {
        "model_type": "gpt2", "n_embd": 24, "n_layer": 2, "n_head": 4, "n_positions": 128, "n_inner": 40,
        "tie_word_embeddings": False,
    }  # fmt: skip
    theirs = reference.make("llava")
    config = theirs.model.config.to_dict()
    config["text_config"] = {**text, "vocab_size": config["text_config"]["vocab_size"]}
    made = type(theirs.model)(type(theirs.model.config).from_dict(config)).eval()
    theirs = dataclasses.replace(theirs, model=made)
    folder = theirs.save(tmp_path / "gpt2")
    batch = ojito.load(folder, device="cpu", dtype="float32").processor([reference.ONE])
    wrapped = adapted(theirs, tmp_path / "adapter", folder, target_modules=["c_attn", "c_proj", "c_fc"], r=4)
    ours = ojito.load(tmp_path / "adapter", device="cpu", dtype="float32")
    torch.testing.assert_close(ours.model(batch), wrapped.logits(batch), **CLOSE)


OURS = {
    "decoder": {"lora": LoraConfig(rank=3, alpha=5.0, parts=("decoder",)), "freeze": ("vision", "connector")},
    "connector in full": {"lora": LoraConfig(rank=3, parts=("decoder",)), "freeze": ("vision",)},
    "vision": {"lora": LoraConfig(rank=3, parts=("vision",)), "freeze": ("connector", "decoder")},
    "rslora": {"lora": LoraConfig(rank=4, rslora=True, parts=("vision", "decoder")), "freeze": ("connector",)},
    "vision in full": {"lora": LoraConfig(rank=3, parts=("decoder",)), "freeze": ("connector",)},
}


@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_adapters_of_ours_compute_the_same_in_peft(base, tmp_path, family, kind, recwarn):
    theirs, folder, batch = base(family)
    with torch.enable_grad():
        pipe = learned(folder, **OURS[kind])
    pipe.save(tmp_path / "adapter")
    wrapped = peft.PeftModel.from_pretrained(theirs.model, tmp_path / "adapter").eval()
    assert not [warning for warning in recwarn if "missing" in str(warning.message).lower()]
    theirs = dataclasses.replace(theirs, model=wrapped)
    torch.testing.assert_close(pipe.model(batch), theirs.logits(batch), **CLOSE)
    again = ojito.load(tmp_path / "adapter", device="cpu", dtype="float32")
    torch.testing.assert_close(again.model(batch), pipe.model(batch), **CLOSE)
    assert adapter_parameters(pipe.model)


def test_adapters_begin_as_those_of_peft(base):
    theirs, folder, _ = base("paligemma")
    pipe = learned(folder, lora=LoraConfig(rank=4, parts=("decoder",)), freeze=("vision",))
    wrapped = peft.get_peft_model(
        theirs.model, peft.LoraConfig(r=4, target_modules=linear_layers(theirs.model, "decoder"))
    )
    sizes = [p.numel() for name, p in wrapped.named_parameters() if "lora_" in name]
    assert sorted(sizes) == sorted(matrix.numel() for matrix in adapter_parameters(pipe.model))
