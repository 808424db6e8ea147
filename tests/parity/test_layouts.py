"""Names of tensors in folders of the families: of the Hub, of transformers 4 and 5, of its modules."""

import functools
import re

import pytest
import torch
from safetensors.torch import load_file, save_file

import ojito
from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.folder import describe
from ojito.checkpoint.tensors.reading import read_weights
from tests.parity import reference

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")

MODEL_LANGUAGE = {r"^language_model\.model\.": "model.language_model.", r"^language_model\.lm_head": "lm_head"}
PROJECTOR = {r"^multi_modal_projector": "model.multi_modal_projector"}
LAYOUTS = {
    "A, the Hub's files": {r"^vision_tower\.": "vision_tower.vision_model."},
    "B, transformers 4.52": {
        **MODEL_LANGUAGE, **PROJECTOR, r"^vision_tower\.": "model.vision_tower.vision_model.",
    },
    "C, transformers 5 as it saves": {},
    "D, the names of its modules": {**MODEL_LANGUAGE, **PROJECTOR, r"^vision_tower\.": "model.vision_tower."},
}  # fmt: skip


@pytest.fixture
def saved(usual, tmp_path):
    """A family's folder, its tensors, and our model from it."""

    def saved(family):
        theirs, ours = usual(family)
        theirs.save(tmp_path)
        state = load_file(tmp_path / "model.safetensors")
        return tmp_path, {name: tensor.clone() for name, tensor in state.items()}, ours.model  # the file is overwritten

    return saved


def load_state(folder, model):
    return read_weights(folder, model.state_dict(), keys=describe(folder).keys)


def renamed(name, patterns):
    return functools.reduce(lambda made, pattern: re.sub(pattern, patterns[pattern], made), patterns, name)


@pytest.mark.parametrize("extra", [False, True], ids=["alone", "with what older files keep"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("family", ["paligemma", "paligemma2", "llava", "gemma3"])
def test_loads_every_layout(saved, family, layout, extra):
    folder, state, model = saved(family)
    assert "language_model.model.norm.weight" in state
    assert ("language_model.lm_head.weight" in state) == (family == "llava")
    assert "vision_tower.embeddings.patch_embedding.weight" in state
    if extra:
        state.setdefault("language_model.lm_head.weight", state["language_model.model.embed_tokens.weight"].clone())
        state["language_model.model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(5)
        state["vision_tower.embeddings.position_ids"] = torch.arange(16)[None]
        state["vision_tower.head.attention.in_proj_weight"] = torch.ones(3, 2)
    save_file({renamed(name, LAYOUTS[layout]): t for name, t in state.items()}, folder / "model.safetensors")
    found = load_state(folder, model)
    assert found.keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("family", ["idefics3", "smolvlm"])
def test_loads_what_older_files_keep_beside_the_weights(saved, family):
    folder, state, model = saved(family)
    state["model.text_model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(5)
    state["model.vision_model.embeddings.position_ids"] = torch.arange(625)[None]
    save_file(state, folder / "model.safetensors")
    assert torch.equal(load_state(folder, model)["decoder.untied_head.weight"], model.decoder.untied_head.weight)


LOST = ["embed_tokens", "layers.1.self_attn.k_proj", "embeddings.patch_embedding.bias", "position_embedding", "lm_head"]
LOST += ["projector", "modality_projection", "post_layernorm.bias", "encoder.layers.0.mlp.fc1.weight", "model.norm"]


@pytest.mark.parametrize("family", reference.FAMILIES)
def test_a_tensor_that_is_missing_or_called_otherwise_is_named(saved, family):
    folder, state, model = saved(family)
    found = [[name for name in state if part in name][:1] for part in LOST]
    names = [name for first in found for name in first]
    assert len(names) > 5
    for name in names:
        rest = {other: tensor for other, tensor in state.items() if other != name}
        save_file({**rest, f"{name}2": state[name]}, folder / "model.safetensors")
        with pytest.raises(CheckpointError, match=re.escape(f"1 missing ({name}); 1 unexpected ({name}2)")):
            load_state(folder, model)
    save_file(rest, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=re.escape(f"1 missing ({name});")):
        ojito.load(folder, device="cpu")
