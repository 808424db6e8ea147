"""Idefics3 and SmolVLM: SigLIP over tiles, pixel shuffle, LLaMA.

SmolVLM is written as Idefics3: the same model but for videos, and a processor that needs no further packages.

Source: arXiv 2408.12637, arXiv 2504.05299; transformers `Idefics3Processor`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from ojito.checkpoint.huggingface.families.family import Family
from ojito.checkpoint.huggingface.fields import Fields
from ojito.config import ModelConfig, PixelShuffleConfig
from ojito.settings import Settings


def _read(f: Fields, vision: Settings, decoder: Settings) -> Settings:
    factor = f.integer("scale_factor", default=2)
    connector: Settings = {"bias": False}
    if factor > 1:
        connector |= {"reduce": "pixel_shuffle", "factor": factor}
    tied = f.flag("tie_word_embeddings", default=False)
    # The reference's class applies no softcap to the final logits, whatever its decoder would do by itself.
    return {"connector": connector, "decoder": {"tied_head": tied, "final_softcap": 0.0}}


def _write(c: ModelConfig) -> dict[str, Any]:
    factor = c.connector.factor if isinstance(c.connector, PixelShuffleConfig) else 1
    return {"scale_factor": factor, "tie_word_embeddings": c.decoder.tied_head}


def _prompt(chat: bool) -> Settings:
    return {
        "image": "inline", "joined": True, "user": "User:", "before_text": " ",
        "separator": "<end_of_utterance>\nAssistant:", "before_answer": " ", "after_answer": "\n",
        "image_text": "<fake_token_around_image><global-img><image><fake_token_around_image>",
        "tile": "<fake_token_around_image><row_{row}_col_{column}><image>", "tile_row_end": "\n",
        "tiles_end": "\n", "caption": "Can you describe this image?",
    }  # fmt: skip


IDEFICS3 = Family(
    "idefics3",
    "Idefics3ForConditionalGeneration",
    towers=("idefics3_vision",),
    decoders=("llama", "qwen2", "qwen3"),
    vision=("model.vision_model.",),
    language=("model.text_model.",),
    heads=("",),
    connector=("model.connector.",),
    table={"project": "modality_projection.proj"},
    read=_read,
    write=_write,
    prompt=_prompt,
    image={"fit": "tiles"},
    end=("<end_of_utterance>",),
    own_tower=True,  # the released files have three names for it, SigLIP's among them
    processor_class="Idefics3Processor",
    image_id_field="image_token_id",
    needed=("<fake_token_around_image>", "<end_of_utterance>"),
    processor_fields=lambda model: {"image_seq_len": model.image_tokens},
)

SMOLVLM = dataclasses.replace(
    IDEFICS3,
    model_type="smolvlm",
    architecture="SmolVLMForConditionalGeneration",
    towers=("smolvlm_vision",),
    exported=False,
)
