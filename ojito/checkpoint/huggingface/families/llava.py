"""LLaVA: a tower read one layer before its last, two matrices with a GELU, a decoder of any kind.

LLaVA-1.5 has CLIP and LLaMA. The reference's class takes whatever tower and decoder its config names, so that it is
the form for other pairs of the same plan, too.

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
    if tied and decoder.get("positions") == "learned":
        raise f.error("tie_word_embeddings", tied, "the reference's class cannot tie GPT-2's head to its embedding")
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
        # It cannot read the last layer after its norm: the layer before is the nearest that it can.
        "vision_feature_layer": min(c.vision.feature_layer, -2) if isinstance(c.vision, ViTConfig) else None,
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
    decoders=("llama", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "gpt2"),
    table={"project.0": "linear_1", "project.2": "linear_2"},
    read=_read,
    write=_write,
    prompt=_prompt,
    processor_class="LlavaProcessor",
    image_tag="",
    encoding_begins=True,
    any_prompt=True,
    processor_fields=_processor_fields,
)
