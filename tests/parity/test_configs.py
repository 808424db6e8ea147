"""Configs of the families: both spellings, there and back, and those of the released models."""

import dataclasses
import json

import pytest
import torch

from ojito.checkpoint.folder import describe
from ojito.checkpoint.huggingface.decoders import DECODERS
from ojito.checkpoint.huggingface.families import FAMILIES
from ojito.checkpoint.huggingface.fields import Fields
from ojito.checkpoint.huggingface.towers import TOWERS
from ojito.config import DecoderConfig
from ojito.model.meta import on_meta
from ojito.presets import preset
from ojito.settings import read
from tests.parity import reference
from tests.parity.reference import FULL, NONE, ONE
from tests.parity.released import released, released_folder

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")

# --------------------------------------------------------------------------------------- both spellings, there and back


def as_before(config):
    """The spelling of transformers 4."""
    text, names = config["text_config"], {"dtype": "torch_dtype"}
    for group in (config, text, config["vision_config"]):
        for name in names.keys() & group.keys():
            group[names[name]] = group.pop(name)
    rope = text.pop("rope_parameters")
    if "full_attention" in rope:
        text["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        text["sliding_window_pattern"] = 6
        rope = rope["full_attention"]
        del text["layer_types"]
        text.pop("_sliding_window_pattern", None)
    text["rope_theta"] = rope.pop("rope_theta")
    text["rope_scaling"] = None if rope["rope_type"] == "default" else {"type": rope["rope_type"], **rope}
    if text["model_type"] == "gemma":
        text |= {"hidden_act": "gelu", "hidden_activation": None}


@pytest.mark.parametrize("family", reference.FAMILIES)
def test_both_spellings_of_a_config_are_read(usual, tmp_path, family):
    theirs, ours = usual(family)
    theirs.save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert "rope_theta" not in config["text_config"]
    as_before(config)
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert describe(tmp_path).model == ours.model.config


def written(config, family, tower, decoder):
    """Our config in their words."""
    return {
        "model_type": family.model_type,
        "vision_config": {"model_type": tower, **TOWERS[tower].write(config.vision)},
        "text_config": {"model_type": decoder, **DECODERS[decoder].write(config.decoder)},
        **family.write(config),
    }


@pytest.mark.parametrize("name", reference.FAMILIES)
def test_config_roundtrips(usual, name):
    theirs, ours = usual(name)
    config, family = ours.model.config, FAMILIES[theirs.model.config.model_type]
    before = json.loads(theirs.model.config.to_json_string(use_diff=False))
    parts = family.parts(Fields(before, ""))
    after = json.loads(json.dumps(written(config, family, *parts)))
    assert family.read_model(Fields(after, "")) == (config, family.keys(*parts, config.decoder.tied_head))

    # And what is written means the same to the reference.
    usual_ids = {key: before[key] for key in before if key.endswith(("token_id", "token_index"))}
    again = type(theirs.model.config)(**after, **usual_ids)
    again._attn_implementation = "eager"
    model = type(theirs.model)(again).eval()
    model.load_state_dict(theirs.model.state_dict())
    batch = ours.processor([ONE, NONE])
    assert torch.equal(dataclasses.replace(theirs, model=model).logits(batch), theirs.logits(batch))


@pytest.mark.parametrize(
    "changes", [{}, {"sliding_window_pattern": 2}, {"sliding_window_pattern": 5}, {"layer_types": [FULL]}]
)
@pytest.mark.parametrize("kind", ["gemma2", "gemma3_text"])
def test_windows_roundtrip(kind, changes):
    changes = {**changes, "num_hidden_layers": len(changes.get("layer_types", [""] * 3))}
    config = read(DecoderConfig, DECODERS[kind].read(Fields(changes, "")))
    assert read(DecoderConfig, DECODERS[kind].read(Fields(DECODERS[kind].write(config), ""))) == config


# ------------------------------------------------------------------------------------------------------ released models


# Parameters, tensors and image tokens, as transformers counts them; PaliGemma's, LLaVA's, SmolVLM-256M's and Gemma 3's
# parameters are published, too.
COUNTS = {
    "paligemma-3b-pt-224": (2_923_466_480, 603, 256),
    "paligemma-3b-pt-448": (2_924_351_216, 603, 1024),
    "paligemma-3b-pt-896": (2_927_890_160, 603, 4096),
    "paligemma2-3b-pt-224": (3_032_242_416, 727, 256),
    "paligemma2-3b-pt-224, in full": (3_032_242_416, 727, 256),
    "paligemma2-10b-pt-224": (9_662_638_832, 903, 256),
    "paligemma2-28b-pt-224": (27_650_487_024, 947, 256),
    "llava-1.5-7b-hf": (7_063_427_072, 686, 576),
    "llava-1.5-13b-hf": (13_351_494_656, 758, 576),
    "SmolVLM-256M-Instruct": (256_484_928, 471, 64),
    "SmolVLM-500M-Instruct": (507_482_304, 489, 64),
    "SmolVLM2-500M-Video-Instruct": (507_482_304, 489, 64),
    "SmolVLM-Instruct": (2_246_272_880, 657, 81),
    "Idefics3-8B-Llama3": (8_462_086_384, 729, 169),
    "gemma-3-4b-it": (4_300_079_472, 883, 256),
    "gemma-3-12b-it": (12_187_325_040, 1065, 256),
    "gemma-3-27b-it": (27_432_406_640, 1247, 256),
}


def read_released(name):
    config = released(name)
    return FAMILIES[config["model_type"]].read_model(Fields(config, name))


@pytest.mark.parametrize("name", COUNTS)
def test_released_config_makes_a_model_of_the_published_size(name):
    config, keys = read_released(name)
    state = on_meta(config, name).state_dict()
    assert (sum(t.numel() for t in state.values()), len(state), config.image_tokens) == COUNTS[name]
    assert len({key.name for key in keys.resolve(state).values()}) == len(state)


def test_released_config_is_read_in_full():
    assert read_released("paligemma2-3b-pt-224, in full") == read_released("paligemma2-3b-pt-224")
    for name in ("paligemma-3b-pt-224", "paligemma2-28b-pt-224"):
        decoder = read_released(name)[0].decoder
        assert (decoder.mask, decoder.scale_embeddings, decoder.rope_theta) == ("prefix", True, 10000.0)
    # Of the last of these, the scale of attention is not the root of the heads' size.
    assert (decoder.score_scale, decoder.head_dim) == (1 / 12, 128)
    assert (decoder.window, decoder.full_every) == (4096, 2)
    gemma3 = read_released("gemma-3-4b-it")[0].decoder
    assert (gemma3.rope_theta, gemma3.window_theta) == (1e6, 1e4)
    assert (gemma3.rope_scaling.kind, gemma3.rope_scaling.factor) == ("linear", 8.0)
    assert [gemma3.window_of(layer) for layer in range(7)] == [1024] * 5 + [0, 1024]
    smolvlm = read_released("SmolVLM-256M-Instruct")[0]
    assert smolvlm.vision.positions == "fractional"  # though its tower calls itself SigLIP
    assert (smolvlm.decoder.rope_theta, smolvlm.decoder.tied_head) == (100000, False)
    assert read_released("SmolVLM-Instruct")[0].vision.crop


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("paligemma-3b-224", "paligemma-3b-pt-224"),
        ("paligemma-3b-448", "paligemma-3b-pt-448"),
        ("paligemma-3b-896", "paligemma-3b-pt-896"),
        ("paligemma2-3b", "paligemma2-3b-pt-224"),
        ("paligemma2-10b", "paligemma2-10b-pt-224"),
        ("paligemma2-28b", "paligemma2-28b-pt-224"),
    ],
)
def test_preset_is_the_released_model(tmp_path, ours, theirs):
    released_folder(tmp_path, "paligemma-3b-pt-224")  # the others have the same files, for images of their own size
    (tmp_path / "config.json").write_text(json.dumps(released(theirs)))
    images, config = json.loads((tmp_path / "preprocessor_config.json").read_text()), preset(ours)
    images["size"] = dict.fromkeys(images["size"], config.model.vision.image_size)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(images))
    described = describe(tmp_path)
    assert described.model == config.model
    assert described.processor.image == config.processor.image
    assert described.processor.prompt == config.processor.prompt
    assert described.processor.tokenizer.added == config.processor.tokenizer.added


def test_sizes_of_paligemma_differ_in_the_table_of_positions_only():
    shapes = []
    for size in (224, 448, 896):
        state = on_meta(preset(f"paligemma-3b-{size}").model, "").state_dict()
        shapes.append({name: tuple(tensor.shape) for name, tensor in state.items()})
    assert [made.pop("vision.positions.weight") for made in shapes] == [(256, 1152), (1024, 1152), (4096, 1152)]
    assert shapes[0] == shapes[1] == shapes[2]
