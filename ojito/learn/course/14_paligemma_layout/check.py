"""How lesson 14 is checked."""

import json
import re
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

from ojito.checkpoint.huggingface.families.paligemma import PALIGEMMA
from ojito.checkpoint.huggingface.fields import Fields
from ojito.checkpoint.tensors.reading import read_weights
from ojito.learn import Case, Exercise, Question
from ojito.model.meta import on_meta

QUESTION = Question(
    "The Hub's file of PaliGemma-3B, 603 tensors in layout A, is loaded with `strict=False` into a model whose modules are "
    "named as in layout C. What happens?",
    {
        "a": "an error, because most of the keys do not fit",
        "b": "nothing is said: the whole language model and the connector arrive, and the eye stays random",
        "c": "nothing is said: not one tensor arrives, and the model writes noise",
    },
    "b",
    "A and C name the language model and the connector alike: 166 keys fit. The 437 of the vision tower do not. What comes "
    "out is fluent English about images that it does not see. (With `strict=False`, load_state_dict *returns* the keys "
    "that it could not use, and most callers let them fall. Of wrong shapes it complains even so.)",
)

# ------------------------------------------------------------------------------------------------- the library's answer

OURS = {
    "attention_norm": "norm1", "mlp_norm": "norm2", "stem": "patch", "connector.project": "connector",
    "untied_head": "embedding", "attention.": "", "mlp.": "", "blocks.": "layers.",
}  # fmt: skip


def plain(name):
    """The lesson's name for a weight of the library's model."""
    module, _, kind = name.rpartition(".")
    for old, new in OURS.items():
        module = module.replace(old, new)
    return module + "_bias" * (kind == "bias")


def reference_names(keys):
    found = PALIGEMMA.keys("siglip_vision_model", "gemma", tied=True).owners(keys)
    return {key: plain(next(iter(ours))) for key, ours in found.items()}


def reference_config(config):
    if config["text_config"].get("rms_norm_eps") == 0:  # a value like any other to read; the library refuses it later
        found = reference_config(with_fields(config, {"rms_norm_eps": None}))
        return {**found, "decoder": {**found["decoder"], "eps": 0.0}}
    model, _ = PALIGEMMA.read_model(Fields(config, "config.json"))
    v, d = model.vision, model.decoder
    return {
        "vision": {
            "width": v.width, "mlp": v.mlp_dim, "layers": v.layers, "heads": v.heads, "size": v.patch_size,
            "image_size": v.image_size, "eps": v.norm_eps,
        },
        "decoder": {
            "vocabulary": d.vocab_size, "width": d.width, "mlp": d.mlp_dim, "layers": d.layers, "heads": d.heads,
            "kv_heads": d.kv_heads, "head_size": d.head_dim, "theta": d.rope_theta, "eps": d.norm_eps,
        },
        "image_token": config["image_token_index"], "bos": config["bos_token_id"], "eos": config["eos_token_id"],
    }  # fmt: skip


def reference_load(folder):
    config = json.loads((folder / "config.json").read_text())
    model, keys = PALIGEMMA.read_model(Fields(config, "config.json"))
    read = read_weights(folder, on_meta(model, "lesson").state_dict(), torch.float32, keys=keys)
    weights = {plain(name): weight.flatten(1) if "stem.weight" in name else weight for name, weight in read.items()}
    return weights, reference_config(config)


# ---------------------------------------------------------------------------------------------------------------- cases

LAYOUTS = {
    "A": ("language_model.model.", "vision_tower.vision_model.", "multi_modal_projector."),
    "B": ("model.language_model.", "model.vision_tower.vision_model.", "model.multi_modal_projector."),
    "C": ("language_model.model.", "vision_tower.", "multi_modal_projector."),
    "D": ("model.language_model.", "model.vision_tower.", "model.multi_modal_projector."),
}


def relaid(key, layout):
    """A key of layout A in another one."""
    for mine, theirs in zip(LAYOUTS["A"], LAYOUTS[layout], strict=True):
        if key.startswith(mine):
            return theirs + key.removeprefix(mine)
    return key


def name_cases():
    A = [
        "language_model.model.embed_tokens.weight",
        "language_model.model.layers.0.input_layernorm.weight",
        "language_model.model.layers.0.post_attention_layernorm.weight",
        "language_model.model.layers.0.self_attn.q_proj.weight",
        "language_model.model.layers.0.self_attn.o_proj.weight",
        "language_model.model.layers.17.mlp.gate_proj.weight",
        "language_model.model.layers.17.mlp.up_proj.weight",
        "language_model.model.layers.17.mlp.down_proj.weight",
        "language_model.model.norm.weight",
        "multi_modal_projector.linear.weight",
        "multi_modal_projector.linear.bias",
        "vision_tower.vision_model.embeddings.patch_embedding.weight",
        "vision_tower.vision_model.embeddings.patch_embedding.bias",
        "vision_tower.vision_model.embeddings.position_embedding.weight",
        "vision_tower.vision_model.encoder.layers.1.layer_norm1.bias",
        "vision_tower.vision_model.encoder.layers.1.layer_norm2.weight",
        "vision_tower.vision_model.encoder.layers.1.self_attn.v_proj.bias",
        "vision_tower.vision_model.encoder.layers.26.self_attn.out_proj.weight",
        "vision_tower.vision_model.encoder.layers.26.mlp.fc1.weight",
        "vision_tower.vision_model.encoder.layers.26.mlp.fc2.bias",
        "vision_tower.vision_model.post_layernorm.weight",
    ]
    strange = [
        "language_model.model.layers.0.pre_feedforward_layernorm.weight",
        "language_model.model.layers.0.self_attn.rotary_emb.inv_freq",
        "language_model.model.layers.0.self_attn.q_proj.weight_scale",
        "vision_tower.vision_model.head.mlp.fc1.weight",
    ]
    yield Case("layout C, as transformers 5 writes it", {"keys": [relaid(key, "C") for key in A]})
    yield Case("layout A, as the Hub has it, and its head", {"keys": [*A, "language_model.lm_head.weight"]})
    yield Case("layout B, and its head", {"keys": [*(relaid(key, "B") for key in A), "lm_head.weight"]})
    yield Case("layout D", {"keys": [relaid(key, "D") for key in A]})
    yield Case("keys that are no weights of ours", {"keys": [*A[:3], *strange]})


HUB = {  # PaliGemma-3B with its sizes alone, as the Hub has it
    "bos_token_id": 2, "eos_token_id": 1, "hidden_size": 2048, "ignore_index": -100, "image_token_index": 257152,
    "model_type": "paligemma", "pad_token_id": 0, "projection_dim": 2048,
    "text_config": {
        "hidden_size": 2048, "intermediate_size": 16384, "model_type": "gemma", "num_attention_heads": 8,
        "num_hidden_layers": 18, "num_image_tokens": 256, "num_key_value_heads": 1, "torch_dtype": "float32",
        "vocab_size": 257216,
    },
    "vision_config": {
        "hidden_size": 1152, "intermediate_size": 4304, "model_type": "siglip_vision_model", "num_attention_heads": 16,
        "num_hidden_layers": 27, "num_image_tokens": 256, "patch_size": 14, "projection_dim": 2048,
        "projector_hidden_act": "gelu_fast", "vision_use_head": False,
    },
}  # fmt: skip
TINY = {
    "bos_token_id": 2, "eos_token_id": 1, "image_token_index": 10, "model_type": "paligemma",
    "text_config": {
        "hidden_size": 8, "intermediate_size": 7, "model_type": "gemma", "num_attention_heads": 3,
        "num_hidden_layers": 2, "num_key_value_heads": 1, "vocab_size": 11, "head_dim": 4,
    },
    "vision_config": {
        "hidden_size": 6, "intermediate_size": 10, "model_type": "siglip_vision_model", "num_attention_heads": 2,
        "num_hidden_layers": 1, "patch_size": 2, "image_size": 6,
    },
}  # fmt: skip


def with_fields(config, text=None, vision=None):
    return {
        **config,
        "text_config": {**config["text_config"], **(text or {})},
        "vision_config": {**config["vision_config"], **(vision or {})},
    }


def config_cases():
    yield Case("PaliGemma-3B with its sizes alone, as the Hub has it", {"config": HUB})
    text = {"num_attention_heads": 5, "rope_theta": 5000.0, "rms_norm_eps": 1e-5}
    vision = {"image_size": 448, "layer_norm_eps": 1e-5}
    yield Case("a theta of its own, and five heads in a width of 2048", {"config": with_fields(HUB, text, vision)})
    text = {"rope_parameters": {"rope_theta": 20000.0, "rope_type": "default"}, "head_dim": 128}
    yield Case("as transformers 5 writes it", {"config": with_fields(HUB, text)})
    text = {"rope_theta": 5000.0, "rope_parameters": {"rope_theta": 20000.0, "rope_type": "default"}}
    yield Case("theta in both places", {"config": with_fields(HUB, text)})
    yield Case("an eps of 0", {"config": with_fields(HUB, {"rms_norm_eps": 0.0})})
    text = {"head_dim": None, "rope_theta": None, "rope_parameters": None, "rms_norm_eps": None}
    yield Case("some fields are null", {"config": with_fields(HUB, text, {"image_size": None})})


def tensors(layout, dtype=torch.float32):
    """Random weights for TINY's model, under the keys of a layout."""
    made = torch.Generator().manual_seed(0)
    model, keys = PALIGEMMA.read_model(Fields(TINY, "config.json"))
    state = {name: torch.randn(t.shape, generator=made) for name, t in on_meta(model, "lesson").state_dict().items()}
    return {relaid(key, layout): tensor.to(dtype) for key, tensor in keys.to_theirs(state).items()}


def load_cases():
    names = dict.fromkeys(("refused", "word"))
    yield Case("layout C", {"config": TINY, "files": [tensors("C")], **names})
    stored = tensors("A", torch.bfloat16)
    stored["language_model.lm_head.weight"] = stored["language_model.model.embed_tokens.weight"].clone()
    halves = [dict(list(stored.items())[start::2]) for start in (0, 1)]
    yield Case("layout A in bfloat16, in two files, with the head", {"config": TINY, "files": halves, **names})
    stored = tensors("D")
    del stored["model.language_model.layers.1.mlp.up_proj.weight"]
    word = "layers.1.up|layers.1.mlp.up_proj"
    yield Case("a weight is missing", {"config": TINY, "files": [stored], "refused": "missing", "word": word})
    stored = tensors("C")
    stored["language_model.model.layers.0.pre_feedforward_layernorm.weight"] = torch.zeros(8)
    word = "pre_feedforward_layernorm"
    yield Case("a norm of Gemma 2", {"config": TINY, "files": [stored], "refused": "unexpected", "word": word})
    stored = tensors("C")
    stored["language_model.model.layers.2.mlp.up_proj.weight"] = torch.zeros(7, 8)
    word = "layers.2.up|layers.2.mlp.up_proj"
    yield Case(
        "a layer more than config.json says", {"config": TINY, "files": [stored], "refused": "unexpected", "word": word}
    )
    larger = with_fields(TINY, vision={"image_size": 8})
    word = "positions|position_embedding"
    yield Case(
        "positions for another image size",
        {"config": larger, "files": [tensors("C")], "refused": "misshapen", "word": word},
    )
    stored = tensors("B")
    stored["lm_head.weight"] = torch.zeros(11, 8)
    yield Case(
        "a head that is no copy",
        {"config": TINY, "files": [stored], "refused": "a copy that is none", "word": "lm_head|embed"},
    )


def use_load(solution, inputs):
    """Load from files; where an error is due, whether there is one that names what is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(inputs["config"]))
        count = len(inputs["files"])
        names = [f"model-{one:05d}-of-{count:05d}.safetensors" for one in range(1, count + 1)]
        names = names if count > 1 else ["model.safetensors"]
        for name, file in zip(names, inputs["files"], strict=True):
            save_file(file, Path(folder) / name)
        where = {key: name for name, file in zip(names, inputs["files"], strict=True) for key in file}
        if count > 1:
            (Path(folder) / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
        try:
            weights, config = solution(Path(folder))
            return {"weights": weights, "config": config}
        except ValueError as error:
            if inputs["refused"] is None:
                error.args = (told(str(error).replace(folder, "the folder")),)  # the same text every time
                raise
            return f"refused, {'naming' if re.search(inputs['word'], str(error)) else 'not naming'} what is wrong"


def told(text):
    """An error's text with its lists of names in order: a set has them in another one each time."""
    parts = []
    for part in text.split("; "):
        kind, _, names = part.rpartition(": ")
        listed = kind.endswith(("missing", "unexpected"))
        parts.append(f"{kind}: {', '.join(sorted(names.split(', ')))}" if listed else part)
    return "; ".join(parts)


EXERCISES = [
    Exercise(
        "plain_names",
        lambda: list(name_cases()),
        hints=[
            "Draw the stream of lesson 9: norm, attention, plus; norm, MLP, plus. Which of the two norms comes after the "
            "attention?",
            "`removeprefix` and `replace` return the changed text. Do for the vision tower what the line above does for the "
            "language model.",
            'ours.replace("*", layer[1]) puts the number in; without a layer, `ours` is the name already.',
        ],
        reference=reference_names,
    ),
    Exercise(
        "fill_defaults",
        lambda: list(config_cases()),
        hints=[
            "A field may be there and say null. `value` is None in both cases, missing and null.",
            "Gemma's head size does not follow from its width. See the page for the defaults.",
            'Theta: read(rope, "rope_theta", X), where X is what `text` says, or else 10000.0: another call of read.',
        ],
        reference=reference_config,
        tolerance=1e-8,
    ),
    Exercise(
        "load",
        lambda: list(load_cases()),
        hints=[
            "A kernel (D, 3, size, size) becomes a matrix with flatten(1): D stays, the rest becomes one axis.",
            "Missing: names of `expected` that are not in `weights`. The other list goes through the files' keys, `stored`.",
            "names.get(key) is our name for a key, or None; in both cases ask whether it is in `expected`.",
        ],
        reference=reference_load,
        use=use_load,
    ),
]
