"""GGUF files of tiny models of transformers', written by the package `gguf` as llama.cpp's conversion writes them.

Nothing here is Ojito's: names come from the package's own tables, and what the conversion does to tensors (queries and
keys in neighbouring pairs, norms with 1 added) is written down once more.
"""

import re

import gguf
import numpy as np
import torch

PERMUTED, PLUS_ONE = ("llama",), ("gemma", "gemma2", "gemma3")
Q = gguf.GGMLQuantizationType


def permuted(weight, heads):
    """Rows of queries or keys: those that are turned together next to each other."""
    return weight.reshape(heads, 2, -1, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def add_tokenizer(writer, tokenizer, model, pre=None, template=None, **more):
    """The vocabulary of a fast tokenizer of transformers'."""
    vocabulary = tokenizer.get_vocab()
    names = sorted(vocabulary, key=vocabulary.get)
    assert sorted(vocabulary.values()) == list(range(len(names)))
    special = set(tokenizer.all_special_tokens)
    types = [
        gguf.TokenType.CONTROL if name in special
        else gguf.TokenType.BYTE if re.fullmatch("<0x..>", name) else gguf.TokenType.NORMAL
        for name in names
    ]  # fmt: skip
    writer.add_tokenizer_model(model)
    writer.add_token_list(names)
    writer.add_token_types(types)
    if model == "gpt2":
        import json

        merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
        writer.add_token_merges([" ".join(merge) for merge in merges])
        writer.add_tokenizer_pre(pre or "gpt-2")
    else:
        writer.add_token_scores([-float(i) for i in range(len(names))])
        writer.add_add_space_prefix(bool(more.pop("space", False)))
    for kind in ("bos", "eos", "pad"):
        number = getattr(tokenizer, f"{kind}_token_id")
        if number is not None:
            getattr(writer, f"add_{kind}_token_id")(number)
    writer.add_add_bos_token(bool(more.pop("begins", False)))
    if template:
        writer.add_chat_template(template)
    assert not more


def add_config(writer, arch, config):
    """The sizes of a decoder."""
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    rope = config.rope_parameters
    if arch == "gemma3":
        writer.add_rope_freq_base(rope["full_attention"]["rope_theta"])
        writer.add_float32("gemma3.rope.freq_base_swa", rope["sliding_attention"]["rope_theta"])
        rope = rope["full_attention"]
    else:
        writer.add_rope_freq_base(rope["rope_theta"])
    if rope.get("rope_type") == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    if arch in ("gemma2", "gemma3"):
        writer.add_sliding_window(config.sliding_window)
    if arch == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)


def write_text(path, arch, config, state, tokenizer, kind="gpt2", types=None, **more):
    """A language model.

    Args:
        path: The file.
        arch: Its architecture in llama.cpp.
        config: Of transformers.
        state: Its tensors by the names that `LlamaForCausalLM` and the like have for them.
        tokenizer: Of transformers.
        kind: `tokenizer.ggml.model`.
        types: Name of a tensor, as a pattern, to the type that it is stored as; others are F32.
        **more: For `add_tokenizer`; and `extra`, called with the writer.
    """
    extra = more.pop("extra", None)
    writer = gguf.GGUFWriter(path, arch)
    add_config(writer, arch, config)
    add_tokenizer(writer, tokenizer, kind, **more)
    if extra:
        extra(writer)
    number = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}[arch]
    names = gguf.get_tensor_name_map(number, config.num_hidden_layers)
    for name, tensor in state.items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        theirs = names.get_name(name, try_suffixes=(".weight", ".bias"))
        weight = tensor.float().numpy()
        if arch in PERMUTED and name.split(".")[-2] in ("q_proj", "k_proj"):
            heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
            weight = permuted(weight, heads)
        if arch in PLUS_ONE and name.endswith("norm.weight"):
            weight = weight + np.float32(1)
        add(writer, theirs, weight, types)
    finish(writer)
    return path


def write_mmproj(path, kind, vision, state, **more):
    """An mmproj.

    Args:
        path: The file.
        kind: `clip.projector_type`.
        vision: The tower's config, of transformers.
        state: Its tensors and those of the projector by their names in llama.cpp.
        **more: `types` as for `write_text`; `layers`, if other than the config's; `gelu`; `scale`; `longest`.
    """
    types = more.get("types")
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_clip_has_vision_encoder(True)
    writer.add_clip_projector_type(kind)
    writer.add_vision_image_size(vision.image_size)
    writer.add_vision_patch_size(vision.patch_size)
    writer.add_vision_embedding_length(vision.hidden_size)
    writer.add_vision_feed_forward_length(vision.intermediate_size)
    writer.add_vision_block_count(more.get("layers", vision.num_hidden_layers))
    writer.add_vision_head_count(vision.num_attention_heads)
    writer.add_vision_attention_layernorm_eps(vision.layer_norm_eps)
    writer.add_vision_image_mean([0.5, 0.5, 0.5])
    writer.add_vision_image_std([0.5, 0.5, 0.5])
    if more.get("gelu", True):
        writer.add_vision_use_gelu(True)
    if "scale" in more:
        writer.add_vision_projector_scale_factor(more["scale"])
    if "longest" in more:
        writer.add_uint32("clip.vision.preproc_image_size", more["longest"])
    for name, tensor in state.items():
        add(writer, name, tensor.float().numpy(), types)
    finish(writer)
    return path


def add(writer, name, weight, types):
    """A tensor, in the type that the first pattern of its name says."""
    kind = next((kind for pattern, kind in (types or {}).items() if re.fullmatch(pattern, name)), Q.F32)
    if kind in (Q.F32, Q.F16):
        writer.add_tensor(name, weight.astype(np.float16 if kind == Q.F16 else np.float32))
        return
    writer.add_tensor(name, gguf.quantize(weight, kind), raw_dtype=kind)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def dequantized(state, types, arch, config):
    """What `write_text` stores of a state dict, as numbers: the weights that a reference must have to be compared."""
    made = dict(state)
    names = gguf.get_tensor_name_map(
        {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}[arch], config.num_hidden_layers
    )
    for name, tensor in state.items():
        theirs = names.get_name(name, try_suffixes=(".weight", ".bias")) or ""
        kind = next((kind for pattern, kind in types.items() if re.fullmatch(pattern, theirs)), Q.F32)
        if kind != Q.F32:
            weight = tensor.float().numpy()
            made[name] = torch.from_numpy(
                gguf.dequantize(gguf.quantize(weight, kind), kind).reshape(weight.shape).copy()
            )
    return made
