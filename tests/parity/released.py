"""The files of public models beside their weights, without fields that nobody reads."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

_SO400M = {
    "hidden_size": 1152, "intermediate_size": 4304, "model_type": "siglip_vision_model", "num_attention_heads": 16,
    "num_hidden_layers": 27, "patch_size": 14, "vision_use_head": False,
}  # fmt: skip


def _paligemma(text: dict[str, Any], **vision: Any) -> dict[str, Any]:
    width = text["hidden_size"]
    return {
        "architectures": ["PaliGemmaForConditionalGeneration"], "bos_token_id": 2, "eos_token_id": 1,
        "hidden_size": 2048, "ignore_index": -100, "image_token_index": 257152, "model_type": "paligemma",
        "pad_token_id": 0, "projection_dim": width, "torch_dtype": "float32",
        "text_config": {"num_image_tokens": 256, "torch_dtype": "float32", "vocab_size": 257216, **text},
        "vision_config": {
            **_SO400M, "num_image_tokens": 256, "projection_dim": width, "projector_hidden_act": "gelu_fast", **vision,
        },
    }  # fmt: skip


_GEMMA = {
    "hidden_size": 2048, "intermediate_size": 16384, "model_type": "gemma", "num_attention_heads": 8,
    "num_hidden_layers": 18, "num_key_value_heads": 1,
}  # fmt: skip
# Gemma 2's sizes, and nothing of what its class has by default.
_GEMMA2 = {
    "hidden_size": 2304, "intermediate_size": 9216, "model_type": "gemma2", "num_attention_heads": 8,
    "num_hidden_layers": 26, "num_key_value_heads": 4,
}  # fmt: skip
_GEMMA2_IN_FULL = {
    **_GEMMA2, "architectures": ["Gemma2ForCausalLM"], "query_pre_attn_scalar": 256, "sliding_window": 4096,
    "cache_implementation": "hybrid", "hidden_activation": "gelu_pytorch_tanh", "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0, "head_dim": 256, "torch_dtype": "bfloat16",
}  # fmt: skip
_GEMMA2_9B = {
    **_GEMMA2, "hidden_size": 3584, "intermediate_size": 14336, "num_attention_heads": 16, "num_hidden_layers": 42,
    "num_key_value_heads": 8,
}  # fmt: skip
_GEMMA2_27B = {
    **_GEMMA2, "hidden_size": 4608, "intermediate_size": 36864, "num_attention_heads": 32, "num_hidden_layers": 46,
    "num_key_value_heads": 16, "head_dim": 128, "query_pre_attn_scalar": 144,
}  # fmt: skip


def _gemma3(**text: Any) -> dict[str, Any]:
    return {
        "architectures": ["Gemma3ForConditionalGeneration"], "boi_token_index": 255999, "eoi_token_index": 256000,
        "eos_token_id": [1, 106], "image_token_index": 262144, "initializer_range": 0.02, "mm_tokens_per_image": 256,
        "model_type": "gemma3", "torch_dtype": "bfloat16", "transformers_version": "4.50.0.dev0",
        "text_config": {
            "model_type": "gemma3_text", "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
            "sliding_window": 1024, **text,
        },
        "vision_config": {**_SO400M, "image_size": 896},
    }  # fmt: skip


def _idefics3(tower: str, factor: int, vocabulary: int, text: dict[str, Any], vision: dict[str, Any]) -> dict[str, Any]:
    return {
        "architectures": ["Idefics3ForConditionalGeneration"], "image_token_id": vocabulary - 2,
        "model_type": "smolvlm" if tower == "smolvlm_vision" else "idefics3", "pad_token_id": 128002,
        "scale_factor": factor, "tie_word_embeddings": False, "torch_dtype": "bfloat16", "vocab_size": vocabulary,
        "text_config": {
            "architectures": ["VLlama3ForCausalLM"], "model_type": "llama", "hidden_act": "silu", "rms_norm_eps": 1e-05,
            "rope_scaling": None, "qk_layer_norms": False, "pixel_shuffle_factor": factor, "use_resampler": False,
            "perceiver_config": {"model_type": "vllama3"}, "tie_word_embeddings": False, "pad_token_id": 2,
            "vocab_size": vocabulary, **text,
        },
        "vision_config": {
            "model_type": tower, "use_base_siglip": False, "tie_word_embeddings": False,
            "max_image_size": {"longest_edge": vision["image_size"]}, **vision,
        },
    }  # fmt: skip


_SMOLLM2_135M = {
    "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
    "num_key_value_heads": 3, "head_dim": 64, "rope_theta": 100000, "max_position_embeddings": 8192,
}  # fmt: skip
_SMOLLM2_360M = {
    "hidden_size": 960, "intermediate_size": 2560, "num_hidden_layers": 32, "num_attention_heads": 15,
    "num_key_value_heads": 5, "head_dim": 64, "rope_theta": 100000, "max_position_embeddings": 8192,
}  # fmt: skip
_SMOLLM2_1B7 = {
    "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 24, "num_attention_heads": 32,
    "num_key_value_heads": 32, "head_dim": 64, "rope_theta": 273768.0, "max_position_embeddings": 16384,
}  # fmt: skip
_LLAMA3_8B = {
    "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "rope_theta": 500000.0, "max_position_embeddings": 10240,
}  # fmt: skip
_SIGLIP_512 = {"hidden_size": 768, "image_size": 512, "num_attention_heads": 12, "patch_size": 16}
_SIGLIP_384 = {
    "hidden_size": 1152, "image_size": 384, "intermediate_size": 4304, "num_attention_heads": 16,
    "num_hidden_layers": 27, "patch_size": 14,
}  # fmt: skip


_CLIP_VISION = {
    "hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 24,
    "patch_size": 14, "projection_dim": 768,
}  # fmt: skip
_CLIP_TEXT = {
    "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12,
    "projection_dim": 768,
}  # fmt: skip


def _siglip(vocabulary: int) -> dict[str, Any]:
    return {
        "architectures": ["SiglipModel"], "initializer_factor": 1.0, "model_type": "siglip", "torch_dtype": "float32",
        "text_config": {"model_type": "siglip_text_model", "vocab_size": vocabulary},
        "vision_config": {"model_type": "siglip_vision_model"},
    }  # fmt: skip


def _llava(**text: Any) -> dict[str, Any]:
    return {
        "architectures": ["LlavaForConditionalGeneration"], "ignore_index": -100, "image_token_index": 32000,
        "model_type": "llava", "pad_token_id": 32001, "projector_hidden_act": "gelu",
        "text_config": {
            "architectures": ["LlamaForCausalLM"], "max_position_embeddings": 4096, "model_type": "llama",
            "rms_norm_eps": 1e-05, "torch_dtype": "float16", "vocab_size": 32064, **text,
        },
        "tie_word_embeddings": False, "torch_dtype": "float16",
        "vision_config": {
            "hidden_size": 1024, "image_size": 336, "intermediate_size": 4096, "model_type": "clip_vision_model",
            "num_attention_heads": 16, "num_hidden_layers": 24, "patch_size": 14, "projection_dim": 768,
            "vocab_size": 32000,
        },
        "vision_feature_layer": -2, "vision_feature_select_strategy": "default", "vocab_size": 32064,
    }  # fmt: skip


_LLAMA_13B = {
    "hidden_size": 5120, "intermediate_size": 13824, "num_attention_heads": 40, "num_hidden_layers": 40,
    "num_key_value_heads": 40,
}  # fmt: skip
_RELEASED: dict[str, dict[str, Any]] = {
    "paligemma-3b-pt-224": _paligemma(_GEMMA),
    "paligemma-3b-pt-448": _paligemma(_GEMMA, image_size=448, num_image_tokens=1024),
    "paligemma-3b-pt-896": _paligemma(_GEMMA, image_size=896, num_image_tokens=4096),
    "paligemma2-3b-pt-224": _paligemma(_GEMMA2, image_size=224),
    "paligemma2-3b-pt-224, in full": _paligemma(_GEMMA2_IN_FULL, image_size=224),
    "paligemma2-10b-pt-224": _paligemma(_GEMMA2_9B),
    "paligemma2-28b-pt-224": _paligemma(_GEMMA2_27B),
    "llava-1.5-7b-hf": _llava(),
    "llava-1.5-13b-hf": _llava(**_LLAMA_13B),
    "SmolVLM-256M-Instruct": _idefics3("siglip_vision_model", 4, 49280, _SMOLLM2_135M, _SIGLIP_512),
    "SmolVLM-500M-Instruct": _idefics3("idefics3", 4, 49280, _SMOLLM2_360M, _SIGLIP_512),
    "SmolVLM2-500M-Video-Instruct": _idefics3("smolvlm_vision", 4, 49280, _SMOLLM2_360M, _SIGLIP_512),
    "SmolVLM-Instruct": _idefics3("idefics3", 3, 49155, _SMOLLM2_1B7, _SIGLIP_384),
    "Idefics3-8B-Llama3": _idefics3("idefics3", 2, 128259, _LLAMA3_8B, {**_SIGLIP_384, "image_size": 364}),
    "gemma-3-4b-it": _gemma3(hidden_size=2560, intermediate_size=10240, num_hidden_layers=34),
    "gemma-3-12b-it": _gemma3(
        hidden_size=3840, intermediate_size=15360, num_attention_heads=16, num_hidden_layers=48, num_key_value_heads=8
    ),
    "gemma-3-27b-it": _gemma3(
        head_dim=128, hidden_size=5376, intermediate_size=21504, num_attention_heads=32, num_hidden_layers=62,
        num_key_value_heads=16, query_pre_attn_scalar=168,
    ),
    "siglip-base-patch16-224": _siglip(32000),
    "siglip2-base-patch16-224": _siglip(256000),
    "clip-vit-large-patch14": {
        "architectures": ["CLIPModel"], "initializer_factor": 1.0, "logit_scale_init_value": 2.6592,
        "model_type": "clip", "projection_dim": 768, "text_config": _CLIP_TEXT, "text_config_dict": _CLIP_TEXT,
        "torch_dtype": "float32",
        "vision_config": {
            **_CLIP_VISION, "dropout": 0.0, "hidden_act": "quick_gelu", "image_size": 224, "layer_norm_eps": 1e-05,
            "model_type": "clip_vision_model",
        },
        "vision_config_dict": _CLIP_VISION,
    },
    "SmolLM2-135M": {
        **_SMOLLM2_135M, "architectures": ["LlamaForCausalLM"], "attention_bias": False, "bos_token_id": 0,
        "eos_token_id": 0, "hidden_act": "silu", "is_llama_config": True, "model_type": "llama",
        "rms_norm_eps": 1e-05, "rope_interleaved": False, "rope_scaling": None, "tie_word_embeddings": True,
        "torch_dtype": "bfloat16", "vocab_size": 49152,
    },
    "gpt2": {
        "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "bos_token_id": 50256,
        "eos_token_id": 50256, "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": 1024, "n_embd": 768,
        "n_head": 12, "n_layer": 12, "n_positions": 1024, "summary_activation": None, "vocab_size": 50257,
    },
}  # fmt: skip


def released(name: str) -> dict[str, Any]:
    """The config.json of a public model."""
    return copy.deepcopy(_RELEASED[name])


_RESCALED = {"do_normalize": True, "do_rescale": True, "do_resize": True, "rescale_factor": 0.00392156862745098}
_STANDARD = {**_RESCALED, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
_OPENAI = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
}  # fmt: skip


def _square(size: int, resample: int) -> dict[str, Any]:
    sides = {"height": size, "width": size}
    return {**_STANDARD, "image_processor_type": "SiglipImageProcessor", "resample": resample, "size": sides}


_TEMPLATE = "{% for message in messages %}{{ message }}{% endfor %}"  # not theirs, which nobody runs
_IMAGES, _TOKENS, _ENDS = "preprocessor_config.json", "tokenizer_config.json", "generation_config.json"
_BESIDE: dict[str, dict[str, Any]] = {
    "paligemma-3b-pt-224": {
        _IMAGES: {**_square(224, 3), "do_convert_rgb": None, "image_seq_length": 256},
        _TOKENS: {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"},
        _ENDS: {"_from_model_config": True, "bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0},
    },
    "llava-1.5-7b-hf": {
        _IMAGES: {
            **_RESCALED, **_OPENAI, "crop_size": {"height": 336, "width": 336}, "do_center_crop": True,
            "do_convert_rgb": True, "image_processor_type": "CLIPImageProcessor", "processor_class": "LlavaProcessor",
            "resample": 3, "size": {"shortest_edge": 336},
        },
        "processor_config.json": {
            "image_token": "<image>", "patch_size": 14, "processor_class": "LlavaProcessor",
            "vision_feature_select_strategy": "default",
        },
        "chat_template.json": {"chat_template": _TEMPLATE},
        _TOKENS: {
            "add_bos_token": True, "bos_token": "<s>", "eos_token": "</s>", "image_token": "<image>",
            "pad_token": "<pad>", "padding_side": "left", "unk_token": "<unk>",
        },
        _ENDS: {"_from_model_config": True, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 32001},
    },
    "SmolVLM-256M-Instruct": {
        _IMAGES: {
            **_STANDARD, "do_convert_rgb": True, "do_image_splitting": True, "do_pad": True,
            "image_processor_type": "Idefics3ImageProcessor", "max_image_size": {"longest_edge": 512},
            "processor_class": "Idefics3Processor", "resample": 1, "size": {"longest_edge": 2048},
        },
        "processor_config.json": {"image_seq_len": 64, "processor_class": "Idefics3Processor"},
        "chat_template.json": {"chat_template": _TEMPLATE},
        _TOKENS: {
            "bos_token": "<|im_start|>", "chat_template": _TEMPLATE, "eos_token": "<end_of_utterance>",
            "pad_token": "<|im_end|>", "unk_token": "<|endoftext|>",
        },
        _ENDS: {"_from_model_config": True, "bos_token_id": 1, "eos_token_id": 49279, "pad_token_id": 2},
    },
    "gemma-3-4b-it": {
        _IMAGES: {
            **_square(896, 2), "do_convert_rgb": None, "do_pan_and_scan": None, "image_seq_length": 256,
            "image_processor_type": "Gemma3ImageProcessor", "pan_and_scan_max_num_crops": None,
            "pan_and_scan_min_crop_size": None, "pan_and_scan_min_ratio_to_activate": None,
            "processor_class": "Gemma3Processor",
        },
        "processor_config.json": {"image_seq_length": 256, "processor_class": "Gemma3Processor"},
        "chat_template.json": {"chat_template": _TEMPLATE},
        _TOKENS: {"bos_token": "<bos>", "chat_template": _TEMPLATE, "eos_token": "<eos>", "pad_token": "<pad>"},
        _ENDS: {
            "bos_token_id": 2, "cache_implementation": "hybrid", "do_sample": True, "eos_token_id": [1, 106],
            "pad_token_id": 0, "top_k": 64, "top_p": 0.95,
        },
    },
    "siglip-base-patch16-224": {_IMAGES: _square(224, 3)},
    "siglip2-base-patch16-224": {_IMAGES: {**_square(224, 2), "do_convert_rgb": None}},
    "clip-vit-large-patch14": {
        _IMAGES: {
            **_OPENAI, "crop_size": 224, "do_center_crop": True, "do_normalize": True, "do_resize": True,
            "feature_extractor_type": "CLIPFeatureExtractor", "resample": 3, "size": 224,
        },
    },
    "SmolLM2-135M": {
        _TOKENS: {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"},
        _ENDS: {"_from_model_config": True, "bos_token_id": 0, "eos_token_id": 0},
    },
    "gpt2": {
        _TOKENS: {"model_max_length": 1024},
        _ENDS: {"_from_model_config": True, "bos_token_id": 50256, "eos_token_id": 50256},
    },
}  # fmt: skip
_GEMMAS = {0: "<pad>", 1: "<eos>", 2: "<bos>"}
_ADDED: dict[str, dict[int, str]] = {
    "paligemma-3b-pt-224": _GEMMAS,
    "llava-1.5-7b-hf": {0: "<unk>", 1: "<s>", 2: "</s>", 32000: "<image>", 32001: "<pad>"},
    "SmolVLM-256M-Instruct": {0: "<|endoftext|>", 1: "<|im_start|>", 2: "<|im_end|>", 49279: "<end_of_utterance>"},
    "gemma-3-4b-it": {**_GEMMAS, 106: "<end_of_turn>"},
    "SmolLM2-135M": {0: "<|endoftext|>"},
    "gpt2": {50256: "<|endoftext|>"},
}
"""Of their tokenizer.json: the tokens that are never split, as far as the other files name them."""


def released_folder(folder: Path, name: str) -> Path:
    """A folder with all files of a public model but its weights; of its vocabulary, the tokens that are never split."""
    added = [{"id": number, "content": token} for number, token in _ADDED.get(name, {}).items()]
    for file, values in {
        "config.json": released(name),
        "tokenizer.json": {"added_tokens": added},
        **_BESIDE[name],
    }.items():
        (folder / file).write_text(json.dumps(values))
    return folder
