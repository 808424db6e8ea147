"""nanoVLM's own folders: a config.json without a model_type, and model.safetensors.

The vocabulary is another repository's, which config.json names: one beside config.json is taken, else the one that the
Hub's cache has, where the folder is in that, too.

Three formats were released. Their config.json differs in the tokens that it adds to the vocabulary:

    222M                none                                    one square, before all text     Question: … Answer:
    450M                `<|image|>`                             one square, before all text     Question: … Answer:
    460M-8k, 230M-8k    that, `<|global_image|>`, and           the whole picture and its       a chat
                        `<row_1_col_1>` to `<row_8_col_8>`      tiles, where the text says

Source: github.com/huggingface/nanoVLM at 6ba9082, 731d8c6 and 9c560d2. Its chat template is never run; how it writes is
in `_CHAT`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ojito.checkpoint.files import CheckpointError, read_json
from ojito.checkpoint.hub.cache import is_hub_id, neighbour
from ojito.checkpoint.huggingface.fields import Fields
from ojito.checkpoint.huggingface.preprocessing import TOKENIZER
from ojito.checkpoint.keys import Key, KeyMap, Section, Table
from ojito.checkpoint.saving import KEEPS
from ojito.checkpoint.tensors import CONFIG, write_weights
from ojito.config import DecoderConfig, ModelConfig, PixelShuffleConfig, ProcessorConfig, PromptConfig, ViTConfig
from ojito.records import Progress
from ojito.settings import ConfigError, Settings, differences, read

_VOCABULARIES = ("HuggingFaceTB/cosmo2-tokenizer", "HuggingFaceTB/SmolLM2-360M-Instruct")
"""What the releases without added tokens, and those with them, name for theirs."""
_ENTRIES = 49152  # of both
_FIELDS = ("vit_hidden_dim", "lm_hidden_dim", "mp_pixel_shuffle_factor")
_MARK = "<image>"

# ---------------------------------------------------------------------------------------------------------- the prompts

_ASK: Settings = {
    "image": "front", "bos": False, "joined": True, "user": "Question: ", "separator": " Answer:",
    "caption": "What is this?",
}  # fmt: skip
_CHAT: Settings = {
    "image": "inline", "bos": False, "joined": True, "user": "<|im_start|>user\n",
    "separator": "<|im_end|>\n<|im_start|>assistant\n", "after_answer": "\n", "picture_number": "<image: {number}>",
    "caption": "What is this?",
}  # fmt: skip
_TILES: Settings = {"tile": "<row_{row}_col_{column}><image>", "whole": "first"}
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""For nanoVLM to run: the same chat."""

# -------------------------------------------------------------------------------------------------------------- tensors

_VISION: Table = {
    "stem": "patch_embedding.conv",
    "positions.weight": Key("patch_embedding.position_embedding", leading=1),
    "blocks.*.attention_norm": "blocks.*.ln1",
    "blocks.*.attention.q": Key("blocks.*.attn.qkv_proj", part=0, parts=3),
    "blocks.*.attention.k": Key("blocks.*.attn.qkv_proj", part=1, parts=3),
    "blocks.*.attention.v": Key("blocks.*.attn.qkv_proj", part=2, parts=3),
    "blocks.*.attention.out": "blocks.*.attn.out_proj",
    "blocks.*.mlp_norm": "blocks.*.ln2",
    "blocks.*.mlp.up": "blocks.*.mlp.fc1",
    "blocks.*.mlp.down": "blocks.*.mlp.fc2",
    "norm": "layer_norm",
}
_DECODER: Table = {
    "blocks.*.attention_norm": "blocks.*.norm1",
    "blocks.*.attention.q": "blocks.*.attn.q_proj",
    "blocks.*.attention.k": "blocks.*.attn.k_proj",
    "blocks.*.attention.v": "blocks.*.attn.v_proj",
    "blocks.*.attention.out": "blocks.*.attn.out_proj",
    "blocks.*.mlp_norm": "blocks.*.norm2",
    "blocks.*.mlp.gate": "blocks.*.mlp.gate_proj",
    "blocks.*.mlp.up": "blocks.*.mlp.up_proj",
    "blocks.*.mlp.down": "blocks.*.mlp.down_proj",
    "norm": "norm",
    "untied_head": "head",
}


def key_map(c: DecoderConfig) -> KeyMap:
    """The names of all tensors of a model with this decoder."""
    # Of a head that is the embedding, the file has one: the head, as safetensors keeps the first name of the alphabet.
    head, embedding = "decoder.head.", "decoder.token_embedding."
    sections = (
        Section("vision.", ("vision_encoder.",), _VISION),
        Section("connector.", ("MP.",), {"project": "proj"}),
        Section("decoder.embedding.", (head, embedding) if c.tied_head else (embedding,), {"weight": "weight"}),
        Section("decoder.", ("decoder.",), _DECODER),
    )

    def frequencies() -> Tensor:
        return 1 / c.rope_theta ** (torch.arange(0, c.head_dim, 2, dtype=torch.float32) / c.head_dim)

    copies = {f"{name}weight": "decoder.embedding.weight" for name in (head, embedding)} if c.tied_head else {}
    return KeyMap(sections, copies=copies, constants={"decoder.rotary_embd.inv_freq": frequencies})


# -------------------------------------------------------------------------------------------------------------- reading


def is_nanovlm(values: Mapping[str, Any]) -> bool:
    """Whether these are the fields of its config.json."""
    return "model_type" not in values and all(name in values for name in _FIELDS)


def read_nanovlm(f: Fields) -> tuple[ModelConfig, Settings, KeyMap]:
    """The model that config.json describes, the processor's settings but for its tokenizer's file, and the keys.

    Raises:
        CheckpointError: A field that Ojito cannot follow.
        ConfigError: Sizes that make no model.
    """
    model, tokens = _read_model(f), _tokens(f)
    tiles = f.get("max_img_size") is not None and "r1c1" in tokens
    # Between the releases, the tokens of 450M were spoken to in the chat of the later ones.
    chats = tiles or (bool(tokens) and f.get("lm_chat_template") is not None)
    ends = "<|im_end|>" if tokens else "<|endoftext|>"
    image: Settings = {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0], "resample": "bilinear"}
    prompt = {**(_CHAT if chats else _ASK), "max_tokens": model.decoder.max_positions}
    if tiles:
        image |= _read_tiling(f, model.vision.image_size, tokens)
        prompt |= {**_TILES, "picture": tokens["global_image_token"] + _MARK}
    elif set(tokens) - {"image_token"}:
        raise f.error("vlm_extra_tokens", list(tokens), "Ojito knows those of the releases 450M, 230M-8k and 460M-8k")
    if not tokens:
        prompt["before_answer"] = "  "  # as its training wrote; what asks for an answer has never ended in spaces
    if chats:
        _check_template(f)
    tokenizer = {"bos": "<|im_start|>" if tokens else ends, "eos": [ends], "pad": ends, "special": [*tokens.values()]}
    return model, {"image": image, "tokenizer": tokenizer, "prompt": prompt}, key_map(model.decoder)


def _read_model(f: Fields) -> ModelConfig:
    # With a class token, the reference hands on that one alone; with tokens in, its decoder reads no pictures.
    for name, value in (("vit_cls_flag", False), ("lm_use_tokens", False), ("lm_attn_scaling", 1)):
        f.demand(name, value)
    factor = _size(f, "mp_pixel_shuffle_factor")
    settings = {
        "vision": {
            "image_size": _size(f, "vit_img_size"),
            "patch_size": _size(f, "vit_patch_size"),
            "width": _size(f, "vit_hidden_dim"),
            "layers": _size(f, "vit_n_blocks"),
            "heads": _size(f, "vit_n_heads"),
            "mlp_dim": _size(f, "vit_inter_dim"),
            "activation": "gelu_tanh",
            "norm_eps": f.number("vit_ln_eps", default=1e-6),
            "dropout": f.number("vit_dropout", default=0.0),
        },
        "connector": {"bias": False, **({"reduce": "pixel_shuffle", "factor": factor} if factor > 1 else {})},
        "decoder": {
            "vocab_size": _size(f, "lm_vocab_size"),
            "width": _size(f, "lm_hidden_dim"),
            "layers": _size(f, "lm_n_blocks"),
            "heads": _size(f, "lm_n_heads"),
            "kv_heads": _size(f, "lm_n_kv_heads"),
            "mlp_dim": _size(f, "lm_inter_dim"),
            "norm_eps": f.number("lm_rms_eps", default=1e-5),
            "max_positions": f.integer("lm_max_position_embeddings", default=8192),
            "rope_theta": f.number("lm_re_base", default=100000.0),
            "tied_head": f.flag("lm_tie_weights", default=True),
            "dropout": f.number("lm_dropout", default=0.0),
        },
    }
    model = read(ModelConfig, settings, "model")
    f.demand("mp_image_token_length", model.image_tokens)
    return model


def _size(f: Fields, name: str) -> int:
    """A size that every config.json of nanoVLM's has."""
    size = f.integer(name, default=0)
    if not size:
        raise f.error(name, f.get(name), "a whole number greater than 0 is needed")
    return size


def _tokens(f: Fields) -> dict[str, str]:
    """The tokens that are added to the vocabulary, in the order of their ids."""
    tokens = f.group("vlm_extra_tokens").values
    if not all(isinstance(token, str) for token in tokens.values()) or (tokens and "image_token" not in tokens):
        raise f.error("vlm_extra_tokens", dict(tokens), "names and tokens, image_token among them, are needed")
    return dict(tokens)


def _read_tiling(f: Fields, size: int, tokens: Mapping[str, str]) -> Settings:
    longest = _size(f, "max_img_size")
    if longest % size:
        raise f.error("max_img_size", longest, f"whole tiles of vit_img_size {size} are needed")
    if "global_image_token" not in tokens:
        raise f.error("vlm_extra_tokens", list(tokens), "Ojito has only tiles with the whole picture before them")
    count = longest // size
    for row, column in ((i + 1, j + 1) for i in range(count) for j in range(count)):
        name, token = f"r{row}c{column}", f"<row_{row}_col_{column}>"
        if tokens.get(name) != token:
            raise f.error("vlm_extra_tokens", tokens.get(name), f"Ojito has only {token} for {name}")
    enlarge = f.flag("resize_to_max_side_len", default=True)
    return {"fit": "tiles", "tiling": "nanovlm", "longest_side": longest, "enlarge": enlarge, "resample": "bicubic"}


def _check_template(f: Fields) -> None:
    """Whether the template writes a chat of this kind, as far as can be seen without running it."""
    template = f.get("lm_chat_template")
    written = ("<|im_start|>", "<|im_end|>", "assistant")
    if template is not None and not (isinstance(template, str) and all(text in template for text in written)):
        raise f.error("lm_chat_template", template, f"Ojito has only chats with {' and '.join(written[:2])}")


def missing_tokenizer(folder: Path, f: Fields) -> str:
    """The Hub's id of the tokenizer that the folder lacks; empty if it lacks none, or names none of the Hub's."""
    name = _tokenizer_name(f)
    return name if is_hub_id(name) and not (folder / TOKENIZER).is_file() else ""


def _tokenizer_name(f: Fields) -> str:
    return f.text("lm_tokenizer") if f.get("lm_tokenizer") else _VOCABULARIES[bool(_tokens(f))]


def find_tokenizer(folder: Path, f: Fields) -> Path:
    """The folder with the vocabulary that config.json names, which is such that the added tokens get their ids.

    Raises:
        CheckpointError: There is none, or another.
    """
    lacks, home = missing_tokenizer(folder, f), f"https://huggingface.co/{_tokenizer_name(f)}"
    place = (neighbour(folder, lacks) if lacks else None) or folder
    path, tokens = place / TOKENIZER, _tokens(f)
    if not path.is_file():
        raise CheckpointError(
            f"{folder} has no {TOKENIZER}, and nanoVLM's folders bring none; copy that of {home} there, which its "
            "lm_tokenizer names"
        )
    base = f.integer("lm_base_vocab_size", default=_size(f, "lm_vocab_size") - len(tokens))
    ids = _ids(place)
    size = _size_of(ids) + sum(token not in ids for token in tokens.values())
    if tokens and size != base + len(tokens):
        raise CheckpointError(
            f"{path} has {size} entries with those that are added, and lm_base_vocab_size and they make "
            f"{base + len(tokens)}; copy that of {home} there"
        )
    return place


def _ids(folder: Path) -> dict[str, int]:
    """The entries of the folder's tokenizer.json."""
    values = read_json(folder, TOKENIZER)
    model, added = values.get("model"), values.get("added_tokens")
    vocabulary = model.get("vocab") if isinstance(model, Mapping) else None
    entries = list(vocabulary.items()) if isinstance(vocabulary, Mapping) else []
    if isinstance(added, list):
        entries += [(entry.get("content"), entry.get("id")) for entry in added if isinstance(entry, Mapping)]
    return {name: number for name, number in entries if isinstance(name, str) and type(number) is int}


def _size_of(ids: Mapping[str, int]) -> int:
    return max(ids.values(), default=-1) + 1


# -------------------------------------------------------------------------------------------------------------- writing


def fits_nanovlm(model: ModelConfig) -> bool:
    """Whether nanoVLM has models of this kind."""
    try:
        _compare_model(model)
    except (CheckpointError, ConfigError):
        return False
    return True


def write_nanovlm(
    folder: Path,
    model: ModelConfig,
    processor: ProcessorConfig,
    marks: Mapping[str, int],
    state: Mapping[str, Tensor],
    progress: Progress | None = None,
) -> None:
    """Writes a model as nanoVLM does, when the folder has its tokenizer.json; and `tokenizer_config.json` for that.

    nanoVLM fetches its vocabulary from the Hub. One that is another than SmolLM2's it takes from where it is run: from
    this folder.

    Args:
        folder: Where to.
        model: The model's config.
        processor: How it is spoken to.
        marks: The ids of tokens by what they are for: "eos_token".
        state: The state dict.
        progress: Hears of the bytes of weights that are written, and of all of them.

    Raises:
        CheckpointError: It computes, sees or is spoken to otherwise than nanoVLM's models; names the first setting.
        OSError: The disk is full.
    """
    ids = _ids(folder)
    values = write_config(model, processor, _size_of(ids))
    names = {number: name for name, number in ids.items()}
    tokens = {"tokenizer_class": "PreTrainedTokenizerFast", **{mark: names[number] for mark, number in marks.items()}}
    for file, fields in ((CONFIG, values), ("tokenizer_config.json", tokens)):
        (folder / file).write_text(json.dumps(fields, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")
    write_weights(folder, key_map(model.decoder).to_theirs(state), progress=progress)


def write_config(model: ModelConfig, processor: ProcessorConfig, entries: int) -> dict[str, Any]:
    """The fields of config.json, but for those that only say how nanoVLM trains.

    Args:
        model: The model's config.
        processor: How it is spoken to.
        entries: Of its vocabulary, with the tokens that are added.

    Raises:
        CheckpointError: As for `write_nanovlm`.
    """
    values, special = _compare_model(model), processor.tokenizer.special
    base = entries - len(special)
    values["lm_tokenizer"] = _VOCABULARIES[bool(special)] if base == _ENTRIES else "."
    if special:
        values |= {
            "lm_base_vocab_size": base,
            "extra_token_amount": len(special),
            "mp_image_token_length": model.image_tokens,
            "vlm_extra_tokens": {_name_of(token, processor.prompt): token for token in special},
        }
    if processor.image.fit == "tiles":
        values |= {"max_img_size": processor.image.longest_side, "resize_to_max_side_len": processor.image.enlarge}
    if special and processor.prompt.image == "inline":
        values["lm_chat_template"] = _TEMPLATE
    # These fields have no place for what is not as it was on the way back.
    known = read(ProcessorConfig, read_nanovlm(Fields(values, _AS_WRITTEN))[1], "processor")
    _compare("processor.image", processor.image, known.image, _SEEN)
    _compare("processor.prompt", processor.prompt, known.prompt, _WRITTEN)
    _compare("processor.tokenizer", processor.tokenizer, known.tokenizer, ("special",))
    return values


def _compare_model(model: ModelConfig) -> dict[str, Any]:
    """The model's fields.

    Raises:
        CheckpointError: nanoVLM has no such model.
        ConfigError: As before.
    """
    values = _write_model(model)
    _compare("model", model, _read_model(Fields(values, _AS_WRITTEN)))
    return values


_AS_WRITTEN = f"nanoVLM's {CONFIG}"
_SEEN = ("fit", "longest_side", "tiling", "enlarge", "resample", "mean", "std")
_WRITTEN = (
    "image", "bos", "user", "separator", "after_answer", "joined", "picture", "picture_number", "tile",
    "tile_row_end", "tiles_end", "whole",
)  # fmt: skip


def _write_model(c: ModelConfig) -> dict[str, Any]:
    vision, decoder = c.vision, c.decoder
    if not isinstance(vision, ViTConfig):
        raise CheckpointError(f"model.vision.kind is {vision.kind}, and nanoVLM's is vit; {KEEPS}")
    return {
        "vit_hidden_dim": vision.width,
        "vit_inter_dim": vision.mlp_dim,
        "vit_patch_size": vision.patch_size,
        "vit_img_size": vision.image_size,
        "vit_n_heads": vision.heads,
        "vit_dropout": vision.dropout,
        "vit_n_blocks": vision.layers,
        "vit_ln_eps": vision.norm_eps,
        "vit_cls_flag": False,
        "lm_hidden_dim": decoder.width,
        "lm_inter_dim": decoder.mlp_dim,
        "lm_rms_eps": decoder.norm_eps,
        "lm_re_base": int(decoder.rope_theta) if decoder.rope_theta % 1 == 0 else decoder.rope_theta,
        "lm_max_position_embeddings": decoder.max_positions,
        "lm_vocab_size": decoder.vocab_size,
        "lm_n_heads": decoder.heads,
        "lm_n_kv_heads": decoder.kv_heads,
        "lm_dropout": decoder.dropout,
        "lm_n_blocks": decoder.layers,
        "lm_attn_scaling": 1.0,
        "lm_use_tokens": False,
        "lm_tie_weights": decoder.tied_head,
        "mp_pixel_shuffle_factor": c.connector.factor if isinstance(c.connector, PixelShuffleConfig) else 1,
    }


def _name_of(token: str, prompt: PromptConfig) -> str:
    """What vlm_extra_tokens calls a token."""
    place = re.fullmatch(r"<row_(\d+)_col_(\d+)>", token)
    if place:
        return f"r{place[1]}c{place[2]}"
    return "global_image_token" if token + _MARK == prompt.picture else "image_token"


def _compare(where: str, config: Any, read_back: Any, names: Sequence[str] | None = None) -> None:
    """Whether the settings of these names, or all, are the same.

    Raises:
        CheckpointError: One is not.
    """
    for key, value, known in differences(config, read_back, where):
        if names is None or key.rpartition(".")[2] in names:
            raise CheckpointError(f"{key} is {value!r}, and nanoVLM's is {known!r}; {KEEPS}")
