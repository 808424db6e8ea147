"""nanoVLM: SigLIP, pixel shuffle, one matrix, SmolLM2. Its config.json has fields of its own and no model_type.

Three formats were released, and one was in the code only. They differ in the tokens that they add to the vocabulary:

    222M                none                                    one square, before all text     Question: … Answer:
    450M                `<|image|>`                             one square, before all text     Question: … Answer:
    code of July 2025   that, and                               tiles alone, where the text     a chat
                        `<row_1_col_1>` to `<row_8_col_8>`      says, a small image is one
    460M-8k, 230M-8k    all these and `<|global_image|>`        the whole image and its         a chat
                                                                tiles, where the text says

Source: github.com/huggingface/nanoVLM at 6ba9082, 731d8c6, 800b182 (July) and 9c560d2. Its chat template is never run;
how it writes is in `_CHAT`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ojito.checkpoint.files import CONFIG, KEEPS, CheckpointError
from ojito.checkpoint.huggingface.fields import Fields
from ojito.checkpoint.keys import Key, KeyMap, Section, Table
from ojito.config import DecoderConfig, ModelConfig, PixelShuffleConfig, ProcessorConfig, PromptConfig, ViTConfig
from ojito.settings import ConfigError, Settings, differences, read

if TYPE_CHECKING:
    from torch import Tensor

VOCABULARIES = ("HuggingFaceTB/cosmo2-tokenizer", "HuggingFaceTB/SmolLM2-360M-Instruct")
"""What the releases without added tokens, and those with them, name for theirs."""
_ENTRIES = 49152  # of both
_FIELDS = ("vit_hidden_dim", "lm_hidden_dim", "mp_pixel_shuffle_factor")
_IMAGE = "<image>"

_ASK: Settings = {
    "image": "front", "bos": False, "joined": True, "user": "Question: ", "separator": " Answer:",
    "caption": "What is this?",
}  # fmt: skip
_CHAT: Settings = {
    "image": "inline", "bos": False, "joined": True, "user": "<|im_start|>user\n",
    "separator": "<|im_end|>\n<|im_start|>assistant\n", "after_answer": "\n", "image_number": "<image: {number}>",
    "caption": "What is this?",
}  # fmt: skip
_TILES: Settings = {"tile": "<row_{row}_col_{column}><image>", "whole": "first"}
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""For nanoVLM to run: the same chat."""

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
        import torch  # here: presets read this file too, and must not wait for torch

        return 1 / c.rope_theta ** (torch.arange(0, c.head_dim, 2, dtype=torch.float32) / c.head_dim)

    copies = {f"{name}weight": "decoder.embedding.weight" for name in (head, embedding)} if c.tied_head else {}
    return KeyMap(sections, copies=copies, constants={"decoder.rotary_embd.inv_freq": frequencies})


def is_nanovlm(values: Mapping[str, Any]) -> bool:
    """Whether these are the fields of its config.json."""
    return "model_type" not in values and all(name in values for name in _FIELDS)


def read_nanovlm(f: Fields) -> tuple[ModelConfig, Settings, KeyMap]:
    """The model that config.json describes, the processor's settings but for its tokenizer's file, and the key names.

    Raises:
        CheckpointError: A field that Ojito cannot follow.
        ConfigError: Sizes that make no model.
    """
    model, tokens = _read_model(f), added_tokens(f)
    tiled = f.get("max_img_size") is not None and "r1c1" in tokens
    # Between the releases, the tokens of 450M were spoken to in the chat of the later ones.
    chats = tiled or (bool(tokens) and f.get("lm_chat_template") is not None)
    tiling = _read_tiling(f, model.vision.image_size, tokens) if tiled else None
    if not tiled and set(tokens) - {"image_token"}:
        raise f.error("vlm_extra_tokens", list(tokens), "Ojito knows those of the releases 450M, 230M-8k and 460M-8k")
    if chats:
        _check_template(f)
    return model, processor_settings(tokens, chats, tiling, model.decoder.max_positions), key_map(model.decoder)


def processor_settings(tokens: Mapping[str, str], chats: bool, tiling: Settings | None, max_positions: int) -> Settings:
    """The processor's settings of a release.

    Args:
        tokens: Those that it adds to the vocabulary, by their names.
        chats: Whether it is asked as a chat.
        tiling: The `image` settings for tiles; None means one square.
        max_positions: Of the decoder: the most tokens of text.
    """
    ends = "<|im_end|>" if tokens else "<|endoftext|>"
    image: Settings = {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0], "resample": "bilinear", **(tiling or {})}
    prompt = {**(_CHAT if chats else _ASK), "max_tokens": max_positions}
    if tiling and "global_image_token" in tokens:
        prompt |= {**_TILES, "image_text": tokens["global_image_token"] + _IMAGE}
    elif tiling:
        prompt |= {**_TILES, "whole": "none"}
    if not tokens:
        prompt["before_answer"] = "  "  # as its training wrote; what asks for an answer has never ended in spaces
    tokenizer = {"bos": "<|im_start|>" if tokens else ends, "eos": [ends], "pad": ends, "special": [*tokens.values()]}
    return {"image": image, "tokenizer": tokenizer, "prompt": prompt}


def tiling_settings(longest_side: int, enlarge: bool = True) -> Settings:
    """The `image` settings of the releases that cut images into tiles."""
    return {
        "fit": "tiles", "tiling": "nanovlm", "longest_side": longest_side, "enlarge": enlarge, "resample": "bicubic",
    }  # fmt: skip


def tile_tokens(side: int) -> dict[str, str]:
    """The tokens that the releases with tiles add, by their names: `side` x `side` tiles at most."""
    names = {"image_token": "<|image|>", "global_image_token": "<|global_image|>"}
    numbers = range(1, side + 1)
    return {**names, **{f"r{row}c{column}": f"<row_{row}_col_{column}>" for row in numbers for column in numbers}}


def _read_model(f: Fields) -> ModelConfig:
    # With a class token, the reference hands on that one alone; with tokens in, its decoder reads no images.
    for name, value in (("vit_cls_flag", False), ("lm_use_tokens", False), ("lm_attn_scaling", 1)):
        f.demand(name, value)
    factor = size_of(f, "mp_pixel_shuffle_factor")
    settings = {
        "vision": {
            "image_size": size_of(f, "vit_img_size"),
            "patch_size": size_of(f, "vit_patch_size"),
            "width": size_of(f, "vit_hidden_dim"),
            "layers": size_of(f, "vit_n_blocks"),
            "heads": size_of(f, "vit_n_heads"),
            "mlp_dim": size_of(f, "vit_inter_dim"),
            "activation": "gelu_tanh",
            "norm_eps": f.number("vit_ln_eps", default=1e-6),
            "dropout": f.number("vit_dropout", default=0.0),
        },
        "connector": {"bias": False, **({"reduce": "pixel_shuffle", "factor": factor} if factor > 1 else {})},
        "decoder": {
            "vocab_size": size_of(f, "lm_vocab_size"),
            "width": size_of(f, "lm_hidden_dim"),
            "layers": size_of(f, "lm_n_blocks"),
            "heads": size_of(f, "lm_n_heads"),
            "kv_heads": size_of(f, "lm_n_kv_heads"),
            "mlp_dim": size_of(f, "lm_inter_dim"),
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


def size_of(f: Fields, name: str) -> int:
    """A size that every config.json of nanoVLM's has."""
    size = f.integer(name, default=0)
    if not size:
        raise f.error(name, f.get(name), "a whole number greater than 0 is needed")
    return size


def added_tokens(f: Fields) -> dict[str, str]:
    """The tokens that are added to the vocabulary, in the order of their ids."""
    tokens = f.group("vlm_extra_tokens").values
    if not all(isinstance(token, str) for token in tokens.values()) or (tokens and "image_token" not in tokens):
        raise f.error("vlm_extra_tokens", dict(tokens), "names and tokens, image_token among them, are needed")
    return dict(tokens)


def _read_tiling(f: Fields, size: int, tokens: Mapping[str, str]) -> Settings:
    longest = size_of(f, "max_img_size")
    if longest % size:
        raise f.error("max_img_size", longest, f"whole tiles of vit_img_size {size} are needed")
    count = longest // size
    for row, column in ((i + 1, j + 1) for i in range(count) for j in range(count)):
        name, token = f"r{row}c{column}", f"<row_{row}_col_{column}>"
        if tokens.get(name) != token:
            raise f.error("vlm_extra_tokens", tokens.get(name), f"Ojito has only {token} for {name}")
    # Both came with the code of August 2025: before it, an image had no whole view and was not enlarged.
    enlarge = f.flag("resize_to_max_side_len", default="global_image_token" in tokens)
    return tiling_settings(longest, enlarge)


def _check_template(f: Fields) -> None:
    """Check that the template writes a chat of this kind, as far as can be seen without running it."""
    template = f.get("lm_chat_template")
    written = ("<|im_start|>", "<|im_end|>", "assistant")
    if template is not None and not (isinstance(template, str) and all(text in template for text in written)):
        raise f.error("lm_chat_template", template, f"Ojito has only chats with {' and '.join(written[:2])}")


def tokenizer_name(f: Fields) -> str:
    """The name of the vocabulary that config.json asks for: a repository of the Hub."""
    return f.text("lm_tokenizer") if f.get("lm_tokenizer") else VOCABULARIES[bool(added_tokens(f))]


def fits_nanovlm(model: ModelConfig) -> bool:
    """Whether nanoVLM has models of this kind."""
    try:
        _compare_model(model)
    except (CheckpointError, ConfigError):
        return False
    return True


def write_config(model: ModelConfig, processor: ProcessorConfig, entries: int) -> dict[str, Any]:
    """Return the fields of config.json, except those about nanoVLM's training.

    Args:
        model: The model's config.
        processor: How it is spoken to.
        entries: Of its vocabulary, with the tokens that are added.

    Raises:
        CheckpointError: As for `write_nanovlm`.
    """
    values, special = _compare_model(model), processor.tokenizer.special
    base = entries - len(special)
    values["lm_tokenizer"] = VOCABULARIES[bool(special)] if base == _ENTRIES else "."
    if special:
        values |= {
            "lm_base_vocab_size": base,
            "extra_token_amount": len(special),
            "mp_image_token_length": model.image_tokens,
            "vlm_extra_tokens": {_name_of(token, processor.prompt): token for token in special},
        }
    if processor.image.fit == "tiles":
        values["max_img_size"] = processor.image.longest_side
        if processor.prompt.whole != "none":  # its code knows no such field, and refuses what it does not know
            values["resize_to_max_side_len"] = processor.image.enlarge
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
    "image", "bos", "user", "separator", "after_answer", "joined", "image_text", "image_number", "tile",
    "tile_row_end", "tiles_end", "whole",
)  # fmt: skip


def _write_model(c: ModelConfig) -> dict[str, Any]:
    vision, decoder = c.vision, c.decoder
    if not isinstance(vision, ViTConfig):
        raise CheckpointError("model.vision.kind", f"is {vision.kind}, and nanoVLM's is vit", KEEPS)
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
    """Return the key of a token in vlm_extra_tokens."""
    place = re.fullmatch(r"<row_(\d+)_col_(\d+)>", token)
    if place:
        return f"r{place[1]}c{place[2]}"
    return "global_image_token" if token + _IMAGE == prompt.image_text else "image_token"


def _compare(where: str, config: Any, read_back: Any, names: Sequence[str] | None = None) -> None:
    """Check that the settings of these names, or all, are the same.

    Raises:
        CheckpointError: One is not.
    """
    for key, value, known in differences(config, read_back, where):
        if names is None or key.rpartition(".")[2] in names:
            raise CheckpointError(key, f"is {value!r}, and nanoVLM's is {known!r}", KEEPS)
