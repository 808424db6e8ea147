"""Public vision towers: their config.json and the names of their tensors, in both directions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ojito.checkpoint.huggingface.fields import Fields
from ojito.checkpoint.keys import Key, Table
from ojito.config import ViTConfig
from ojito.settings import Settings

_ACTIVATIONS = {"gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh", "quick_gelu": "quick_gelu"}


@dataclass(frozen=True)
class TowerFamily:
    """A family of vision towers. Attributes as in `DecoderFamily`, and:

    Attributes:
        image_settings: The processor's `image` settings that it was trained with.
        image_class: The reference's class that prepares them.
    """

    model_type: str
    architecture: str
    table: Table
    read: Callable[[Fields], Settings]
    write: Callable[[ViTConfig], dict[str, Any]]
    image_settings: Settings
    image_class: str


_LAYERS: Table = {
    "blocks.*.attention_norm": "encoder.layers.*.layer_norm1",
    "blocks.*.attention.q": "encoder.layers.*.self_attn.q_proj",
    "blocks.*.attention.k": "encoder.layers.*.self_attn.k_proj",
    "blocks.*.attention.v": "encoder.layers.*.self_attn.v_proj",
    "blocks.*.attention.out": "encoder.layers.*.self_attn.out_proj",
    "blocks.*.mlp_norm": "encoder.layers.*.layer_norm2",
    "blocks.*.mlp.up": "encoder.layers.*.mlp.fc1",
    "blocks.*.mlp.down": "encoder.layers.*.mlp.fc2",
    "positions": "embeddings.position_embedding",
}
_SIGLIP: Table = {**_LAYERS, "stem": "embeddings.patch_embedding", "norm": "post_layernorm"}
_NAFLEX: Table = {**_SIGLIP, "stem": Key("embeddings.patch_embedding", flat_patches=True)}
_CLIP: Table = {
    **_SIGLIP,
    "class_token": "embeddings.class_embedding",
    "pre_norm": "pre_layrnorm",  # the checkpoints' own spelling
}
# Its modules were renamed in transformers 5, but not its files.
_VIT: Table = {
    "stem": "embeddings.patch_embeddings.projection",
    "class_token": Key("embeddings.cls_token", leading=2),
    "positions.weight": Key("embeddings.position_embeddings", leading=1),
    "blocks.*.attention_norm": "encoder.layer.*.layernorm_before",
    "blocks.*.attention.q": "encoder.layer.*.attention.attention.query",
    "blocks.*.attention.k": "encoder.layer.*.attention.attention.key",
    "blocks.*.attention.v": "encoder.layer.*.attention.attention.value",
    "blocks.*.attention.out": "encoder.layer.*.attention.output.dense",
    "blocks.*.mlp_norm": "encoder.layer.*.layernorm_after",
    "blocks.*.mlp.up": "encoder.layer.*.intermediate.dense",
    "blocks.*.mlp.down": "encoder.layer.*.output.dense",
    "norm": "layernorm",
}


def _read_sizes(f: Fields, activation: str, eps: float, **defaults: int) -> Settings:
    f.demand("num_channels", 3)
    return {
        "width": f.integer("hidden_size", default=defaults["width"]),
        "layers": f.integer("num_hidden_layers", default=12),
        "heads": f.integer("num_attention_heads", default=defaults["heads"]),
        "mlp_dim": f.integer("intermediate_size", default=3072),
        "activation": f.choice("hidden_act", among=_ACTIVATIONS, default=activation),
        "norm_eps": f.number("layer_norm_eps", default=eps),
        "patch_size": f.integer("patch_size", default=defaults["patch_size"]),
    }


def _write_sizes(c: ViTConfig) -> dict[str, Any]:
    names = {ours: theirs for theirs, ours in _ACTIVATIONS.items()}
    return {
        "hidden_size": c.width,
        "num_hidden_layers": c.layers,
        "num_attention_heads": c.heads,
        "intermediate_size": c.mlp_dim,
        "hidden_act": names[c.activation],
        "layer_norm_eps": c.norm_eps,
        "patch_size": c.patch_size,
        "num_channels": 3,
    }


def _image_size(f: Fields, patch_size: int, default: int) -> Settings:
    """Return the settings of the image's side, of which SigLIP's convolution may leave a rest unread."""
    size = f.integer("image_size", default=default)
    return {"image_size": size, "crop": bool(patch_size and size % patch_size)}


def _read_siglip(f: Fields) -> Settings:
    sizes = _read_sizes(f, "gelu_tanh", 1e-6, width=768, heads=12, patch_size=16)
    return {**sizes, **_image_size(f, sizes["patch_size"], 224)}


def _write_square(c: ViTConfig) -> dict[str, Any]:
    return {**_write_sizes(c), "image_size": c.image_size}


def _write_siglip(c: ViTConfig) -> dict[str, Any]:
    return {**_write_square(c), "vision_use_head": False}


def _read_idefics3(f: Fields) -> Settings:
    sizes = _read_sizes(f, "gelu_tanh", 1e-6, width=1152, heads=16, patch_size=32)
    return {**sizes, **_image_size(f, sizes["patch_size"], 224), "positions": "fractional"}


def _read_naflex(f: Fields) -> Settings:
    sizes = _read_sizes(f, "gelu_tanh", 1e-6, width=768, heads=12, patch_size=16)
    places = f.integer("num_patches", default=256)
    side = round(places**0.5)
    if side * side != places or not side:
        raise f.error("num_patches", places, "a square number is needed")
    # It reads images of any shape; here, squares of the size that its table of positions is for.
    return {**sizes, "image_size": side * sizes["patch_size"], "positions": "resized", "position_grid": side}


def _write_naflex(c: ViTConfig) -> dict[str, Any]:
    return {**_write_sizes(c), "num_patches": c.position_grid**2, "vision_use_head": False}


def _read_clip(f: Fields) -> Settings:
    sizes = _read_sizes(f, "quick_gelu", 1e-5, width=768, heads=12, patch_size=32)
    return {
        **sizes,
        **_image_size(f, sizes["patch_size"], 224),
        "class_token": True,
        "pre_norm": True,
        "stem_bias": False,
        # The last layer is trained for its class token alone (LLaVA, arXiv 2304.08485, section 4.1).
        "feature_layer": -2 if sizes["layers"] > 1 else -1,
    }


def _read_vit(f: Fields) -> Settings:
    f.demand("qkv_bias", True)
    sizes = _read_sizes(f, "gelu", 1e-12, width=768, heads=12, patch_size=16)
    return {**sizes, **_image_size(f, sizes["patch_size"], 224), "class_token": True}


_STANDARD = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
_OPENAI = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}


def _idefics3(name: str, architecture: str) -> TowerFamily:
    image = {**_STANDARD, "fit": "tiles", "resample": "lanczos"}
    return TowerFamily(name, architecture, _SIGLIP, _read_idefics3, _write_square, image, "Idefics3ImageProcessor")


TOWERS: dict[str, TowerFamily] = {
    family.model_type: family
    for family in (
        TowerFamily(
            "siglip_vision_model", "SiglipVisionModel", _SIGLIP, _read_siglip, _write_siglip,
            {**_STANDARD, "resample": "bicubic"}, "SiglipImageProcessor",
        ),
        TowerFamily(
            "siglip2_vision_model", "Siglip2VisionModel", _NAFLEX, _read_naflex, _write_naflex,
            {**_STANDARD, "resample": "bilinear"}, "Siglip2ImageProcessor",
        ),
        TowerFamily(
            "clip_vision_model", "CLIPVisionModel", _CLIP, _read_clip, _write_square,
            {**_OPENAI, "fit": "crop", "resample": "bicubic"}, "CLIPImageProcessor",
        ),
        TowerFamily(
            "vit", "ViTModel", _VIT, _read_vit, _write_square, {**_STANDARD, "resample": "bilinear"},
            "ViTImageProcessor",
        ),
        _idefics3("idefics3_vision", "Idefics3VisionTransformer"),
        _idefics3("smolvlm_vision", "SmolVLMVisionTransformer"),
    )
}  # fmt: skip

IGNORED = (
    r".*\bembeddings\.position_ids",
    r"(.*\.)?head\.(attention|layernorm|mlp|probe)\b.*",
    r"(.*\.)?pooler\.dense\..*",
)
"""Constants of older files, and the pooling head, which makes one vector of an image."""
