"""The models to start from: each a handful of settings over the defaults of `config`, sharing what they share."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path

from ojito.checkpoint.huggingface.families import nanovlm
from ojito.checkpoint.huggingface.families.paligemma import PALIGEMMA
from ojito.checkpoint.packaged import PACKAGED
from ojito.config import Config, only_length
from ojito.errors import nearest
from ojito.settings import ConfigError, Settings, is_yaml_file, merge, override, read, read_yaml, write

OWN_DATA = "captions.jsonl"
"""Path of a preset that is for the user's own images."""

# ------------------------------------------------------------------------------------------- towers, decoders, families

_VIT_B = {"image_size": 224, "patch_size": 16, "width": 768, "layers": 12, "heads": 12, "mlp_dim": 3072}

_SIGLIP_B = {**_VIT_B, "activation": "gelu_tanh"}

_GPT2 = {
    "vocab_size": 50257, "width": 768, "layers": 12, "heads": 12, "mlp_dim": 3072, "mlp": "plain",
    "activation": "gelu_tanh", "norm": "layer", "norm_eps": 1e-5, "positions": "learned", "max_positions": 1024,
    "bias": True, "dropout": 0.1,
}  # fmt: skip

_SMOLLM2_135M = {
    "vocab_size": 49152, "width": 576, "layers": 30, "heads": 9, "kv_heads": 3, "mlp_dim": 1536,
    "norm_eps": 1e-5, "max_positions": 8192, "rope_theta": 100000.0,
}  # fmt: skip

_SMOLLM2_360M = {**_SMOLLM2_135M, "width": 960, "layers": 32, "heads": 15, "kv_heads": 5, "mlp_dim": 2560}

_GEMMA = {
    "vocab_size": 257216, "width": 2048, "layers": 18, "heads": 8, "kv_heads": 1, "head_dim": 256, "mlp_dim": 16384,
    "activation": "gelu_tanh", "norm": "rms_plus_one", "max_positions": 8192, "scale_embeddings": True,
    "mask": "prefix",
}  # fmt: skip

_GEMMA2 = {
    **_GEMMA, "width": 2304, "layers": 26, "kv_heads": 4, "mlp_dim": 9216, "post_norms": True,
    "attention_softcap": 50.0, "final_softcap": 30.0, "window": 4096,
}  # fmt: skip

_GEMMA2_27B = {
    **_GEMMA2, "width": 4608, "layers": 46, "heads": 32, "kv_heads": 16, "head_dim": 128, "mlp_dim": 36864,
    "query_scalar": 144.0,
}  # fmt: skip

# ImageNet's statistics are what a classic ViT or ResNet was trained with.
_IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "resample": "bilinear"}

_CAREFUL = {"lr": 3e-4, "weight_decay": 0.1}


def _paligemma(decoder: Settings, image_size: int = 224) -> Settings:
    so400m = {
        "image_size": image_size, "patch_size": 14, "width": 1152, "layers": 27, "heads": 16, "mlp_dim": 4304,
        "activation": "gelu_tanh",
    }  # fmt: skip
    return {
        "model": {"vision": so400m, "decoder": decoder},
        "processor": PALIGEMMA.processor_settings("siglip_vision_model", False, decoder["max_positions"]),
        "train": {"lr": 1e-5, "batch_size": 8},
    }


def _scenes(width: int, stem_widths: list[int], decoder_layers: int, minutes: float) -> Settings:
    """A small model for drawn scenes: many blind questions share one look at the image."""
    heads = width // 32
    return {
        "model": {
            # No transformer layers: the tower is convolutions, positions and a norm.
            "vision": {
                "image_size": 48, "patch_size": 16, "width": width, "layers": 0, "heads": heads,
                "mlp_dim": 4 * width, "stem": "conv", "stem_widths": stem_widths,
            },
            "decoder": {
                "vocab_size": 512, "width": width, "layers": decoder_layers, "heads": heads, "mlp_dim": 4 * width,
                "mlp": "plain", "activation": "relu2", "max_positions": 1024,
            },
        },
        "processor": {
            "tokenizer": {"phrases": 0.02},
            "prompt": {
                "turns": "blind", "answers": "all", "bos": False, "separator": "", "caption": "describe",
            },
        },
        "data": {"path": "scenes", "scenes": {"questions": 10}},
        "train": {
            "steps": 0, "minutes": minutes, "batch_size": 16, "optimizer": "muon", "lr": 2e-3, "muon_lr": 0.02,
            "weight_decay": 0.02,
        },
    }  # fmt: skip


def _photos() -> Settings:
    """The features of a tower that knows the world's things, and a small decoder that learns the words."""
    tiny = _scenes(128, [], decoder_layers=2, minutes=4.0)
    lite2 = PACKAGED["efficientnet-lite2"]
    return {
        "model": {
            "vision": {**write(lite2.config), "image_size": 160},
            "connector": {"norm": "rms", "project": "mlp"},
            "decoder": {
                **tiny["model"]["decoder"],
                "vocab_size": 2048,
                "dropout": 0.1,
                "attention_dropout": False,
            },
        },
        "processor": {**tiny["processor"], "image": {**lite2.image}},
        "data": {"path": OWN_DATA},
        "train": {**tiny["train"], "freeze": ["vision"]},
        "pretrained": {"vision": "efficientnet-lite2"},
    }


def _photos_smol() -> Settings:
    """The same features, and a decoder that can write before it has seen an image."""
    photos = _photos()
    return {
        **photos,
        "model": {**photos["model"], "decoder": _SMOLLM2_135M},
        "processor": {
            "image": photos["processor"]["image"],
            "prompt": {"turns": "blind", "answers": "all", "bos": False, "separator": "\n"},
        },
        "train": {
            "steps": 0,
            "minutes": 60.0,
            "batch_size": 16,
            "lr": 1e-4,
            "connector_lr": 2e-3,
            "freeze": ["vision"],
        },
        "pretrained": {**photos["pretrained"], "decoder": "HuggingFaceTB/SmolLM2-135M"},
    }


_PRESETS: dict[str, tuple[str, Settings]] = {
    "tiny": (
        "the demo's: 48 px, learns drawn scenes in two minutes on a laptop",
        _scenes(128, [32, 64, 128, 192], decoder_layers=2, minutes=2.0),
    ),
    "scenes": (
        "the demo's longer recipe: twenty minutes on a laptop",
        _scenes(192, [48, 96, 192, 256], decoder_layers=3, minutes=20.0),
    ),
    "photos": (
        "captions for photographs in minutes: EfficientNet-Lite2 (ImageNet) and a small decoder",
        _photos(),
    ),
    "photos-smol": (
        "the same tower and SmolLM2-135M: better sentences, for a GPU or an hour",
        _photos_smol(),
    ),
    "vit-llama-96": (
        "a 16-layer ViT, a linear projection, a thin LLaMA",
        {
            "model": {
                "vision": {
                    "image_size": 96,
                    "patch_size": 16,
                    "width": 512,
                    "layers": 16,
                    "heads": 8,
                    "mlp_dim": 2048,
                    "class_token": True,
                    "dropout": 0.4,
                },
                "decoder": {"width": 128, "layers": 8, "heads": 8, "mlp_dim": 11008, "dropout": 0.4},
            },
            "data": {"path": "photos16"},
            "train": {"steps": 500, "batch_size": 16, "lr": 1e-3, "weight_decay": 0.01},
        },
    ),
    "minimal-gpt": (
        "ViT-B/16 and GPT-2 small, joined by a two-layer MLP",
        {
            "model": {
                "vision": {**_VIT_B, "class_token": True},
                "connector": {"project": "mlp"},
                "decoder": _GPT2,
            },
            "train": _CAREFUL,
        },
    ),
    "minimal-resnet": (
        "ResNet-50 and GPT-2 small, joined by a two-layer MLP",
        {
            "model": {"vision": {"kind": "resnet"}, "connector": {"project": "mlp"}, "decoder": _GPT2},
            "processor": {"image": _IMAGENET},
            "train": _CAREFUL,
        },
    ),
    "minimal-smol": (
        "SigLIP-B/16 and SmolLM2-135M, joined by a two-layer MLP",
        {
            "model": {"vision": _SIGLIP_B, "connector": {"project": "mlp"}, "decoder": _SMOLLM2_135M},
            "train": _CAREFUL,
        },
    ),
    "char": (
        "a small ViT and a decoder that spells",
        {
            "model": {
                "vision": {
                    "image_size": 96,
                    "patch_size": 16,
                    "width": 192,
                    "layers": 4,
                    "heads": 6,
                    "mlp_dim": 768,
                },
                "decoder": {
                    **_GPT2,
                    "vocab_size": 256,
                    "width": 192,
                    "layers": 4,
                    "heads": 6,
                    "mlp_dim": 768,
                    "dropout": 0.0,
                },
            },
            "processor": {"tokenizer": {"kind": "characters"}},
            "train": {"lr": 1e-3},
        },
    ),
    "nanovlm-222m": (
        "SigLIP-B/16, pixel shuffle to 49 tokens, SmolLM2-135M",
        {
            "model": {
                "vision": _SIGLIP_B,
                "connector": {"reduce": "pixel_shuffle", "factor": 2, "bias": False},
                "decoder": _SMOLLM2_135M,
            },
            "processor": nanovlm.processor_settings({}, False, None, 8192),
            "train": {"lr": 1e-4, "connector_lr": 2e-3},
        },
    ),
    "nanovlm-460m-8k": (
        "SigLIP 2 B/16 at 512 px, tiles of 64 tokens and the whole, SmolLM2-360M",
        {
            "model": {
                "vision": {**_SIGLIP_B, "image_size": 512},
                "connector": {"reduce": "pixel_shuffle", "factor": 4, "bias": False},
                "decoder": {**_SMOLLM2_360M, "vocab_size": 49218},
            },
            "processor": nanovlm.processor_settings(nanovlm.tile_tokens(8), True, nanovlm.tiling_settings(2048), 8192),
            "train": {"lr": 5e-5, "connector_lr": 5e-3},
        },
    ),
    "paligemma-3b-224": ("PaliGemma: SigLIP-So400m and Gemma 2B, prefix-LM", _paligemma(_GEMMA)),
    "paligemma-3b-448": ("the same at 448 px", _paligemma(_GEMMA, 448)),
    "paligemma-3b-896": ("the same at 896 px", _paligemma(_GEMMA, 896)),
    "paligemma2-3b": ("PaliGemma 2 with Gemma 2 2B", _paligemma(_GEMMA2)),
    "paligemma2-10b": (
        "PaliGemma 2 with Gemma 2 9B",
        _paligemma({**_GEMMA2, "width": 3584, "layers": 42, "heads": 16, "kv_heads": 8, "mlp_dim": 14336}),
    ),
    "paligemma2-28b": ("PaliGemma 2 with Gemma 2 27B", _paligemma(_GEMMA2_27B)),
}

PRESETS: tuple[str, ...] = tuple(_PRESETS)
"""The names: those for drawn scenes first, the largest last."""


def describe(name: str) -> str:
    """One line on what a preset is."""
    return _entry(name)[0]


def settings_of(name: str) -> Settings:
    """A preset's settings, as `config.read` takes them: only what differs from the defaults.

    Args:
        name: Of the preset, or the path of a recipe in YAML, which may name a `preset` that it stands on.

    Raises:
        ConfigError: No such preset; names the nearest. Or the recipe cannot be read.
    """
    if not is_yaml_file(name):
        return {"name": name, **copy.deepcopy(_entry(name)[1])}
    values = read_yaml(name)
    under = values.pop("preset", None)
    if under is None:
        return {"name": Path(name).stem, **values}
    if under not in list(PRESETS):
        raise ConfigError(f"{name}: preset", f"{under!r} is not one", nearest(str(under), PRESETS))
    return {
        **merge(merge(settings_of(under), only_length(values)), values),
        "name": values.get("name", Path(name).stem),
    }


def preset(name: str, settings: Iterable[str] = ()) -> Config:
    """The preset's recipe, with `dotted.key=value` settings over it.

    Args:
        name: Of the preset, or the path of a recipe in YAML.
        settings: Over it; train.steps alone replaces the preset's minutes, and the other way round.

    Raises:
        ConfigError: No such preset, or a setting that cannot be used.
    """
    settings = [settings] if isinstance(settings, str) else [*settings]
    values = merge(settings_of(name), only_length(override({}, settings)))
    return read(Config, override(values, settings))


def _entry(name: str) -> tuple[str, Settings]:
    if name not in _PRESETS:
        raise ConfigError("preset", f"{name!r} is not one", nearest(name, PRESETS))
    return _PRESETS[name]
