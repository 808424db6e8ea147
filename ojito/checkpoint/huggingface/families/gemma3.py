"""Gemma 3: SigLIP at 896 px, average pool to 256 tokens, a norm and one matrix, Gemma 3's decoder.

Source: arXiv 2503.19786; transformers `Gemma3ForConditionalGeneration`, `Gemma3Processor`.
"""

from __future__ import annotations

import math
from typing import Any

from ojito.checkpoint.huggingface.families.family import Family
from ojito.checkpoint.huggingface.fields import Fields
from ojito.checkpoint.keys import Key
from ojito.config import ModelConfig
from ojito.settings import Settings

_BEGIN, _END, _IMAGE = "<start_of_image>", "<end_of_image>", "<image_soft_token>"


def _read(f: Fields, vision: Settings, decoder: Settings) -> Settings:
    # The reference reads it in the model for text alone: with it, two answers would be right.
    f.group("text_config").demand("final_logit_softcapping", None)
    tokens = f.integer("mm_tokens_per_image", default=256)
    grid = vision["image_size"] // max(vision["patch_size"], 1)
    side = math.isqrt(tokens)
    if not side or side * side != tokens or grid % side:
        raise f.error("mm_tokens_per_image", tokens, f"a square number is needed whose root divides the grid of {grid}")
    connector: Settings = {"norm": "rms_plus_one", "norm_eps": vision["norm_eps"], "bias": False}
    if grid > side:
        connector |= {"reduce": "average_pool", "factor": grid // side}
    tied = f.flag("tie_word_embeddings", default=True)
    return {"connector": connector, "decoder": {"mask": "image", "tied_head": tied}}


def _write(c: ModelConfig) -> dict[str, Any]:
    return {"mm_tokens_per_image": c.image_tokens, "tie_word_embeddings": c.decoder.tied_head}


def _prompt(chat: bool) -> Settings:
    prompt: Settings = {
        "image": "inline", "joined": True, "separator": "", "caption": "Describe this image in detail.",
        "image_text": f"\n\n{_BEGIN}<image>{_END}\n\n",
    }  # fmt: skip
    if chat:
        prompt |= {"user": "<start_of_turn>user\n", "separator": "<end_of_turn>\n<start_of_turn>model\n",
                   "after_answer": "\n", "trim": True}  # fmt: skip
    return prompt


GEMMA3 = Family(
    "gemma3",
    "Gemma3ForConditionalGeneration",
    towers=("siglip_vision_model",),
    decoders=("gemma3_text",),
    # The projection is kept as (in, out), and without the ending that a layer's weight has.
    table={"norm": "mm_soft_emb_norm", "project.weight": Key("mm_input_projection_weight", transposed=True)},
    read=_read,
    write=_write,
    prompt=_prompt,
    image={"resample": "bilinear"},
    end=("<end_of_turn>",),
    image_token=_IMAGE,
    processor_class="Gemma3Processor",
    image_class="Gemma3ImageProcessor",
    needed=(_BEGIN, _END),
    token_id_fields={_BEGIN: "boi_token_index", _END: "eoi_token_index"},
    image_tag=_BEGIN,
    processor_fields=lambda model: {"image_seq_length": model.image_tokens},
    tokenizer_fields={"boi_token": _BEGIN, "eoi_token": _END, "image_token": _IMAGE},
)
