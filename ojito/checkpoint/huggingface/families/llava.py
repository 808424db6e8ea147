"""LLaVA-1.5: a CLIP tower read one layer before its last, two matrices with a GELU, LLaMA or Qwen.

Source: arXiv 2310.03744; transformers `LlavaForConditionalGeneration`, `LlavaProcessor`.
"""

from __future__ import annotations

from typing import Any

from ojito.checkpoint.huggingface.families.family import Family
from ojito.checkpoint.huggingface.fields import Fields
from ojito.config import ModelConfig, ViTConfig
from ojito.settings import Settings


def _read(f: Fields, vision: Settings, decoder: Settings) -> Settings:
    layer = f.get("vision_feature_layer")
    layer = -2 if layer is None else layer
    if type(layer) is not int:
        raise f.error("vision_feature_layer", layer, "one whole number is needed")
    if layer >= 0:
        layer -= vision["layers"] + 1  # counted from the embeddings, which are 0
    if layer == -1:
        raise f.error("vision_feature_layer", layer, "Ojito reads the last layer with its norm, and LLaVA without")
    strategy = f.get("vision_feature_select_strategy") or "default"
    if strategy != _strategy(vision.get("class_token", False)):
        raise f.error("vision_feature_select_strategy", strategy, "Ojito drops the class token, and nothing else")
    f.demand("projector_hidden_act", "gelu")
    connector = {"project": "mlp", "bias": f.flag("multimodal_projector_bias", default=True)}
    tied = f.flag("tie_word_embeddings", default=False) or decoder["tied_head"]  # the decoder's group may say it
    return {
        "vision": {"feature_layer": layer},
        "connector": connector,
        # The reference's class applies no softcap to the final logits, whatever its decoder would do by itself.
        "decoder": {"tied_head": tied, "final_softcap": 0.0},
    }


def _strategy(class_token: bool) -> str:
    """LLaVA's word for dropping the class token; it would drop a patch where there is none."""
    return "default" if class_token else "full"


def _write(c: ModelConfig) -> dict[str, Any]:
    return {
        "vision_feature_layer": c.vision.feature_layer if c.vision.kind == "vit" else None,
        "vision_feature_select_strategy": _strategy(c.vision.kind == "vit" and c.vision.class_token),
        "projector_hidden_act": "gelu",
        "multimodal_projector_bias": c.connector.bias,
        "image_seq_length": c.image_tokens,
        "tie_word_embeddings": c.decoder.tied_head,
    }


def _prompt(chat: bool) -> Settings:
    return {
        "image": "inline", "joined": True, "user": "USER: ", "image_text": "<image>\n", "separator": " ASSISTANT:",
        "before_answer": " ", "caption": "Describe the picture.",
    }  # fmt: skip


def _processor_fields(c: ModelConfig) -> dict[str, Any]:
    if not isinstance(c.vision, ViTConfig):
        return {}
    return {
        "image_token": "<image>",
        "patch_size": c.vision.patch_size,
        "num_additional_image_tokens": int(c.vision.class_token),
        "vision_feature_select_strategy": _strategy(c.vision.class_token),
    }


LLAVA = Family(
    "llava",
    "LlavaForConditionalGeneration",
    towers=("clip_vision_model", "siglip_vision_model"),
    decoders=("llama", "qwen2", "qwen3"),
    table={"project.0": "linear_1", "project.2": "linear_2"},
    read=_read,
    write=_write,
    prompt=_prompt,
    processor_class="LlavaProcessor",
    image_tag="",
    encoding_begins=True,
    processor_fields=_processor_fields,
)
