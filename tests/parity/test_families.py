"""Every family of vision-language models against transformers: folders of tiny random models, loaded as ours."""

import ast
import dataclasses
import functools
import inspect
import json
import re

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

import ojito
from ojito import Sample, Turn
from ojito.checkpoint import CheckpointError, read_weights
from ojito.checkpoint.huggingface import decoders, families, read_folder, towers
from ojito.checkpoint.huggingface.decoders import DECODERS
from ojito.checkpoint.huggingface.families import FAMILIES, read_model
from ojito.checkpoint.huggingface.fields import Fields
from ojito.checkpoint.huggingface.towers import TOWERS
from ojito.checks import on_meta
from ojito.config import DecoderConfig, ViTConfig
from ojito.model.vit import fractional_places
from ojito.presets import preset
from ojito.records import IGNORE, IMAGE, PADDING, SHARED, Batch
from ojito.settings import ConfigError, read
from tests.parity import reference
from tests.parity.reference import PICTURES, transformers
from tests.parity.released import released

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")

ONE = Sample(PICTURES[:1], "what is it?")
SEVERAL = Sample(PICTURES[1:], "cat")
NONE = Sample((), "the red dog is in the ball")
ROWS = {"one image": [ONE], "several": [SEVERAL], "none": [NONE], "unequal": [ONE, SEVERAL, NONE]}
ANSWERED = [
    dataclasses.replace(sample, prompt="", turns=(Turn(sample.prompt, (answer,)),))
    for sample, answer in zip(ROWS["unequal"], ["it is red", "in the ball, 2 dogs", "a"], strict=True)
]
SPEAKING = 5  # a seed with which no family says the same token again and again


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A family's reference, and ours from its folder. Arguments as for `reference.make`."""

    def pair(family, **changes):
        theirs = reference.make(family, **changes)
        return theirs, load(theirs, tmp_path_factory.mktemp(family))

    return pair


@pytest.fixture(scope="module")
def usual(pair):
    """The same, without changes, made once."""
    return functools.cache(pair)


def load(theirs, folder, dtype="float32"):
    return ojito.load(theirs.save(folder), device="cpu", dtype=dtype)


def our_logits(pipe, batch):
    with torch.inference_mode():
        return pipe.model(batch)


def assert_same_logits(theirs, pipe, batch):
    read = batch.segments != PADDING
    expected = theirs.logits(batch)[read]
    assert expected.std() > 0.1  # or nothing is compared
    torch.testing.assert_close(our_logits(pipe, batch)[read], expected, rtol=1e-5, atol=1e-5)


# --------------------------------------------------------------------------------------------------------------- logits


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("family", reference.FAMILIES)
def test_matches_reference_logits(usual, family, rows):
    theirs, ours = usual(family)
    batch = ours.processor(ROWS[rows])
    assert bool((batch.segments == PADDING)[:, 0].any()) == (rows == "unequal")
    assert_same_logits(theirs, ours, batch)


@pytest.mark.parametrize("family", reference.FAMILIES)
def test_matches_reference_training_rows(usual, family):
    theirs, ours = usual(family)
    batch = ours.processor(ANSWERED, training=True)
    assert (batch.segments == PADDING)[:, -1].any()
    # Its labels stand where the token is, and our targets at the place before.
    labels = torch.cat((torch.full_like(batch.targets[:, :1], IGNORE), batch.targets[:, :-1]), dim=1)
    expected, logits = theirs.run(batch, labels=labels), our_logits(ours, batch)
    read = batch.segments != PADDING
    torch.testing.assert_close(logits[read], expected.logits[read], rtol=1e-5, atol=1e-5)
    loss = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())
    torch.testing.assert_close(loss, expected.loss, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["paligemma", "paligemma2"])
def test_prefix_with_suffix_is_read_as_the_references_own(usual, family):
    """Token types and labels of its processor's making."""
    theirs, ours = usual(family)
    samples = ANSWERED[:1] * 2 + [dataclasses.replace(ANSWERED[1], images=PICTURES[1:2])]
    made = theirs.processor(
        images=[list(sample.images) for sample in samples],
        text=[f"<image>{sample.turns[0].prompt}" for sample in samples],
        suffix=[sample.turns[0].answers[0] for sample in samples],
        padding=True, padding_side="right", return_tensors="pt",
    )  # fmt: skip
    batch = ours.processor(samples, training=True)
    read = batch.segments != PADDING
    assert torch.equal(made["attention_mask"].bool(), read)
    assert torch.equal(batch.tokens.masked_fill(batch.tokens == IMAGE, theirs.image_id)[read], made["input_ids"][read])
    labels = made.pop("labels")
    assert torch.equal(labels[:, 1:][read[:, 1:]], batch.targets[:, :-1][read[:, 1:]])
    with torch.no_grad():
        expected = theirs.model(**made).logits
    torch.testing.assert_close(our_logits(ours, batch)[read], expected[read], rtol=1e-5, atol=1e-5)


LLAMA3 = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 3.0,
          "original_max_position_embeddings": 32, "rope_theta": 500.0}  # fmt: skip
LINEAR = {"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0}
FULL, SLIDING = "full_attention", "sliding_attention"
VARIANTS = {
    "paligemma at 48 pixels": ("paligemma", {"vision": {"image_size": 48}}),
    "paligemma at 37 pixels, which are no whole patches": ("paligemma", {"vision": {"image_size": 37}}),
    "paligemma with another activation": ("paligemma", {"vision": {"hidden_act": "gelu"}}),
    "paligemma with Gemma's first word for tanh": ("paligemma", {"text": {"hidden_act": "gelu"}}),
    "paligemma with other eps": ("paligemma", {"vision": {"layer_norm_eps": 0.1}, "text": {"rms_norm_eps": 0.1}}),
    "paligemma of many key heads": ("paligemma", {"text": {"num_key_value_heads": 4}}),
    "paligemma2 without softcaps": (
        "paligemma2", {"text": {"attn_logit_softcapping": None, "final_logit_softcapping": None}},
    ),
    "paligemma2 of another scale": ("paligemma2", {"text": {"query_pre_attn_scalar": 144}}),
    "paligemma2 with a window longer than the row": ("paligemma2", {"text": {"sliding_window": 400}}),
    "paligemma2 with full layers first": ("paligemma2", {"text": {"layer_types": [FULL] * 4}}),
    "llava with an earlier layer": ("llava", {"whole": {"vision_feature_layer": -3}}),
    "llava with a layer counted from the first": ("llava", {"whole": {"vision_feature_layer": 1}}),
    "llava without biases": ("llava", {"whole": {"multimodal_projector_bias": False}}),
    "llava with a tied head": ("llava", {"whole": {"tie_word_embeddings": True}}),
    "llava whose decoder ties its head": ("llava", {"text": {"tie_word_embeddings": True}}),
    "llava with SigLIP": (
        "llava", {"vision": {"model_type": "siglip_vision_model", "vision_use_head": False},
                  "whole": {"vision_feature_select_strategy": "full"}},
    ),
    "llava with biases in the decoder": ("llava", {"text": {"attention_bias": True, "mlp_bias": True}}),
    "llava with LLaMA 3's frequencies": ("llava", {"text": {"rope_parameters": LLAMA3}}),
    "llava with slower frequencies": ("llava", {"text": {"rope_parameters": LINEAR}}),
    "llava with Qwen 2": ("llava", {"text": {"model_type": "qwen2"}}),
    "llava with Qwen 3": ("llava", {"text": {"model_type": "qwen3"}}),
    "idefics3 without folding": ("idefics3", {"vision": {"patch_size": 10}, "whole": {"scale_factor": 1}}),
    "smolvlm with a tied head": ("smolvlm", {"vision": {"patch_size": 5}, "whole": {"tie_word_embeddings": True}}),
    "gemma3 of every second layer": (
        "gemma3", {"text": {"layer_types": [SLIDING, FULL, SLIDING, FULL], "num_hidden_layers": 4}},
    ),
    "gemma3 of windows only": ("gemma3", {"text": {"num_hidden_layers": 2, "layer_types": [SLIDING] * 2}}),
    "gemma3 with other eps": ("gemma3", {"vision": {"layer_norm_eps": 0.1}, "text": {"rms_norm_eps": 0.1}}),
    "gemma3 without pooling": ("gemma3", {"vision": {"patch_size": 8}}),
    "gemma3 with a longer window": ("gemma3", {"text": {"sliding_window": 20}}),
}  # fmt: skip
FOLDS = {"idefics3 without folding": 1, "smolvlm with a tied head": 5, "gemma3 without pooling": 1}


@pytest.mark.parametrize("variant", VARIANTS)
def test_matches_reference_variant(pair, monkeypatch, variant):
    family, changes = VARIANTS[variant]
    if variant in FOLDS:
        changed = dataclasses.replace(reference.FAMILIES[family], fold=FOLDS[variant])
        monkeypatch.setitem(reference.FAMILIES, family, changed)
    theirs, ours = pair(family, **changes)
    assert_same_logits(theirs, ours, ours.processor(ROWS["unequal"]))


def test_position_ids_are_the_references_at_every_grid():
    embeddings = pytest.importorskip("transformers.models.idefics3.modeling_idefics3").Idefics3VisionEmbeddings
    skipping = []
    for grid in range(5, 41):
        config = transformers.models.idefics3.Idefics3VisionConfig(hidden_size=1, image_size=grid, patch_size=1)
        module = embeddings(config)
        with torch.no_grad():
            module.patch_embedding.weight.zero_()
            module.patch_embedding.bias.zero_()
            module.position_embedding.weight.copy_(torch.arange(grid**2)[:, None])
            ids = module(torch.zeros(1, 3, grid, grid), torch.ones(1, grid, grid, dtype=torch.bool)).flatten().long()
        assert torch.equal(fractional_places(grid), ids)
        skipping += [grid] * (not torch.equal(ids, torch.arange(grid**2)))
    assert reference.FRACTIONAL["image_size"] // reference.FRACTIONAL["patch_size"] in skipping


# ----------------------------------------------------------------------------------------------------------- generation


@pytest.mark.parametrize("family", reference.FAMILIES)
def test_generates_the_references_tokens(usual, family):
    theirs, ours = usual(family, scale=reference.FAMILIES[family].lively, seed=SPEAKING)
    count = 16  # more than twice the window
    expected = theirs.generate(ours.processor(ROWS["unequal"]), count, ours.processor.tokenizer.ends)
    assert len(expected[1]) == count
    assert all(len(set(row)) > 2 for row in expected)  # or anything would equal it
    answers = ours.generate(ROWS["unequal"], max_new_tokens=count)
    assert [list(answer.tokens) for answer in answers] == expected

    # And without the cache, the row read anew for every token.
    samples, count = [ONE, NONE], 4 if reference.FAMILIES[family].tiles else count
    batch, said = ours.processor(samples), []
    for _ in range(count):
        said.append(our_logits(ours, batch)[:, -1].argmax(-1, keepdim=True))
        batch = longer(batch, said[-1])
    for row, its in zip(torch.cat(said, dim=1).tolist(), expected[::2], strict=True):
        assert row[: len(its)] == its[:count]


def longer(batch, tokens):
    """The rows with a token more."""
    return Batch(
        tokens=torch.cat((batch.tokens, tokens), dim=1),
        positions=torch.cat((batch.positions, batch.positions[:, -1:] + 1), dim=1),
        segments=F.pad(batch.segments, (0, 1), value=SHARED),
        prefix=F.pad(batch.prefix, (0, 1), value=False),
        targets=F.pad(batch.targets, (0, 1), value=IGNORE),
        images=batch.images,
    )


# ------------------------------------------------------------------------------------------------------------ processor


CHATS = {
    "paligemma": ["<image>what is it?"],
    "llava": [
        "USER: <image>\nwhat is it? ASSISTANT:",
        "USER: <image>\nwhat is it? ASSISTANT: red</s>USER: the cat ASSISTANT:",
    ],
    "idefics3": [
        "<|begin_of_text|>User:<image>what is it?<end_of_utterance>\nAssistant:",
        "<|begin_of_text|>User:<image>what is it?<end_of_utterance>\nAssistant: red<end_of_utterance>\n"
        "User: the cat<end_of_utterance>\nAssistant:",
    ],
    "smolvlm": [
        "<|im_start|>User:<image>what is it?<end_of_utterance>\nAssistant:",
        "<|im_start|>User:<image>what is it?<end_of_utterance>\nAssistant: red<end_of_utterance>\n"
        "User: the cat<end_of_utterance>\nAssistant:",
    ],
    "gemma3": [
        "<bos><start_of_turn>user\n<start_of_image>what is it?<end_of_turn>\n<start_of_turn>model\n",
        "<bos><start_of_turn>user\n<start_of_image>what is it?<end_of_turn>\n<start_of_turn>model\nred<end_of_turn>\n"
        "<start_of_turn>user\nthe cat<end_of_turn>\n<start_of_turn>model\n",
    ],
}
TURNS = Sample(PICTURES[:1], turns=(Turn(ONE.prompt, ("red",)), Turn("the cat")))


@pytest.mark.parametrize("family", CHATS)
def test_reads_a_picture_and_a_question_as_the_references_processor(usual, family):
    theirs, ours = usual(family)
    options = {"add_special_tokens": family == "llava"}  # where the template does not write the first token
    for sample, text in zip([ONE, TURNS], CHATS[family], strict=False):
        made = theirs.processor(images=[list(sample.images)], text=[text], return_tensors="pt", **options)
        batch = ours.processor([sample])
        assert torch.equal(batch.tokens.masked_fill(batch.tokens == IMAGE, theirs.image_id), made["input_ids"])
        assert torch.equal(batch.images, made["pixel_values"].reshape(batch.images.shape))
        assert len(batch.images) == (3 if reference.FAMILIES[family].tiles else 1)


# -------------------------------------------------------------------------------------------------------------- layouts


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
    return read_weights(folder, model.state_dict(), keys=read_folder(folder).keys)


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


# -------------------------------------------------------------------------------------------------------------- configs


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
def test_both_spellings_of_a_config_are_read(saved, family):
    folder, _, model = saved(family)
    config = json.loads((folder / "config.json").read_text())
    assert "rope_theta" not in config["text_config"]
    as_before(config)
    (folder / "config.json").write_text(json.dumps(config))
    assert read_folder(folder).model == model.config


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
    assert read_model(family, Fields(after, "")) == (config, family.keys(*parts, config.decoder.tied_head))

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
    return read_model(FAMILIES[config["model_type"]], Fields(config, name))


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
    assert (decoder.score_scale, decoder.head_size) == (1 / 12, 128)
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
def test_preset_is_the_released_model(ours, theirs):
    assert preset(ours).model == read_released(theirs)[0]


def test_sizes_of_paligemma_differ_in_the_table_of_positions_only():
    shapes = []
    for size in (224, 448, 896):
        state = on_meta(preset(f"paligemma-3b-{size}").model, "").state_dict()
        shapes.append({name: tuple(tensor.shape) for name, tensor in state.items()})
    assert [made.pop("vision.positions.weight") for made in shapes] == [(256, 1152), (1024, 1152), (4096, 1152)]
    assert shapes[0] == shapes[1] == shapes[2]


# --------------------------------------------------------------------------------------------------------------- fields


SIZES = {
    "vocab_size": 7, "hidden_size": 6400, "num_hidden_layers": 3, "num_attention_heads": 64, "num_key_value_heads": 2,
    "head_dim": 66, "intermediate_size": 9, "rms_norm_eps": 0.5, "max_position_embeddings": 11,
    "rope_theta": 5.0, "rope_scaling": {"type": "linear", "factor": 2.0}, "rope_parameters": {"rope_theta": 5.0},
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
        "n_positions": 11, "max_position_embeddings": 11, "resid_pdrop": 0.5,
    },
    "siglip_vision_model": TOWER | {"image_size": 96},
    "siglip2_vision_model": TOWER | {"num_patches": 64},
    "clip_vision_model": TOWER | {"image_size": 96},
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
HOW = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
       "original_max_position_embeddings": 64}  # fmt: skip
ROPES = {"rope_type": "linear", "factor": 2.0, "low_freq_factor": 0.5, "high_freq_factor": 5.0,
         "original_max_position_embeddings": 32}  # fmt: skip


def with_field(kind, field="", value=None):
    """What is read of a config that says nothing but this."""
    values = {"vision_config": {"image_size": 448, "patch_size": 14}, "text_config": {}} if kind in FAMILIES else {}
    *group, name = field.split(".")
    (values[group[0]] if group else values)[name] = value
    f = Fields(values, "config.json")
    return read_model(FAMILIES[kind], f)[0] if kind in FAMILIES else (DECODERS | TOWERS)[kind].read(f)


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
@pytest.mark.parametrize("field", ROPES)
def test_every_field_of_the_frequencies_changes_what_is_read(spelling, field):
    usual = with_field("llama", spelling, HOW)
    assert with_field("llama", spelling, {**HOW, field: ROPES[field]}) != usual
    older = {"type": HOW["rope_type"], **{name: HOW[name] for name in HOW if name != "rope_type"}}
    assert with_field("llama", spelling, older) == usual


def test_no_field_is_read_that_is_not_tested():
    paths = [path for table in (FIELDS, REFUSED) for fields in table.values() for path in fields]
    tested = {"type", *HOW, FULL, SLIDING, *(name for path in paths for name in path.split("."))}
    found = set()
    for module in (decoders, towers, families):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called == "f.get" or called.rpartition(".")[2] in READERS:
                names = node.args[:1] if called.endswith("demand") else node.args
                found |= {
                    name.value for name in names if isinstance(name, ast.Constant) and isinstance(name.value, str)
                }
    assert "rope_local_base_freq" in found
    assert found <= tested


READERS = {"integer", "number", "flag", "choice", "group", "demand", "_softcap"}


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


# ------------------------------------------------------------------------------------------------------------- bfloat16


@pytest.mark.parametrize("family", reference.FAMILIES)
def test_bfloat16_is_the_references_bit_for_bit(tmp_path, family):
    """With its form of attention, and positions counted from where it counts them: so it loses as much, no more.

    Without PaliGemma 2's cap on logits, which it rounds three times on the way and we never.
    """
    coarse = {"patch_size": 10} if reference.FAMILIES[family].tiles else {}
    uncapped = {"final_logit_softcapping": None} if family == "paligemma2" else {}
    for seed in range(3):
        theirs = reference.make(family, text=uncapped, vision=coarse, seed=seed)
        ours = load(theirs, tmp_path, "bfloat16")
        frequencies = {name: kept for name, kept in theirs.model.named_buffers() if "inv_freq" in name}
        theirs.model.bfloat16()
        for name, kept in frequencies.items():  # from_pretrained leaves them in float32
            theirs.model.get_buffer(name).data = kept
        text = "eager" if ours.model.config.decoder.attention_softcap else "sdpa"
        theirs.model.set_attn_implementation({"vision_config": "sdpa", "text_config": text})
        batch = ours.processor(ROWS["unequal"])
        expected = theirs.logits(batch)
        first = int(family.startswith("paligemma"))
        logits = our_logits(ours, dataclasses.replace(batch, positions=batch.positions + first))
        read = batch.segments != PADDING
        assert torch.equal(logits[read], expected[read].float())
