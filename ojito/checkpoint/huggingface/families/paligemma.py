"""PaliGemma 1 and 2: SigLIP, one matrix, Gemma 1 or 2; image and prompt are read in both directions (prefix-LM).

The reference's class takes other decoders, too: all with rotary positions, which do not mind that it counts from 1, and
without windows of their own.

Source: arXiv 2407.07726, arXiv 2412.03555; big_vision `models/proj/paligemma`; transformers `PaliGemmaProcessor`.
"""

from __future__ import annotations

from typing import Any

from ojito.checkpoint.huggingface.families.family import Family
from ojito.checkpoint.huggingface.fields import Fields
from ojito.config import ModelConfig
from ojito.settings import Settings


def _read(f: Fields, vision: Settings, decoder: Settings) -> Settings:
    tied = f.flag("tie_word_embeddings", default=True)  # what the decoder's own group says of it has no effect
    return {"decoder": {"mask": "prefix", "tied_head": tied}}


def _write(c: ModelConfig) -> dict[str, Any]:
    return {
        "hidden_size": c.decoder.width,
        "projection_dim": c.decoder.width,
        "vocab_size": c.decoder.vocab_size,
        "tie_word_embeddings": c.decoder.tied_head,
    }


def _text_fields(decoder: str) -> dict[str, Any]:
    """Fields that the reference's class looks for in its decoder's config, and that only Gemma's have by themselves."""
    return {} if decoder.startswith("gemma") else {"use_bidirectional_attention": True}


def _prompt(chat: bool) -> Settings:
    return {"image": "front", "bos": True, "separator": "\n", "caption": "caption en"}


PALIGEMMA = Family(
    "paligemma",
    "PaliGemmaForConditionalGeneration",
    towers=("siglip_vision_model",),
    decoders=("gemma", "gemma2", "llama", "qwen2", "qwen3"),
    table={"project": "linear"},
    read=_read,
    write=_write,
    text_fields=_text_fields,
    prompt=_prompt,
    added=("<loc{0000..1023}>", "<seg{000..127}>"),
    processor_class="PaliGemmaProcessor",
    chats=False,
)
