"""Tiny models of the public families, made by transformers with random weights: what ours must equal.

Sizes are chosen so that a mistake shows: heads that are not width / heads, windows shorter than an image, grids at
which Idefics3's position ids skip some, scales of attention that are not the root of anything else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
from PIL import Image
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn

import ojito
from ojito import Pipeline, Sample
from ojito.records import IMAGE, PADDING, Batch

transformers = pytest.importorskip("transformers")
transformers.utils.logging.disable_progress_bar()

IMAGES = [
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8))
    for seed, shape in enumerate([(22, 52), (61, 25), (32, 32)])
]
ASK = "what is it?"
ONE, SEVERAL, NONE = Sample(IMAGES[:1], ASK), Sample(IMAGES[1:], "cat"), Sample((), "the red dog is in the ball")
"""With one image, with several, with none."""
WORDS = ("cat", "dog", "red", "ball", "what", "is", "it", "the", "▁cat", "▁is", "▁the", "in")
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;?!<>_-/|"
SIZE = 32  # pixels, of the squares of all but Idefics3 and SmolVLM

# ------------------------------------------------------------------------------------------------------- the tokenizers


def merged(letters: Sequence[str], words: Sequence[str] = WORDS) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A vocabulary of these and of `WORDS`, and the merges that lead there."""
    names = dict.fromkeys(letters)
    merges = []
    for word in words:
        for end in range(1, len(word)):
            if word[: end + 1] not in names:
                names[word[: end + 1]] = None
                merges.append((word[:end], word[end]))
    return {name: i for i, name in enumerate(names)}, merges


def sentencepiece(special: Sequence[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """As `merged`, with single bytes and lines."""
    vocabulary, merges = merged([*special, *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *LETTERS, "\n", "\n\n"])
    return vocabulary, [*merges, ("\n", "\n")]


def gemma_tokenizer(special: Sequence[str] = (), **options: Any) -> Any:
    """Gemma's: spaces are replaced, none is put in front."""
    vocabulary, merges = sentencepiece(["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *special])
    made = transformers.GemmaTokenizer(vocab=vocabulary, merges=merges, padding_side="left", **options)
    made.add_tokens(list(special), special_tokens=True)
    return made


def llama_tokenizer() -> Any:
    """LLaMA 2's: a space is put before every text, and encoding adds the first token."""
    vocabulary, merges = sentencepiece(["<unk>", "<s>", "</s>", "<image>", "<pad>"])
    made = tokenizers.Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    made.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A <s> $B", [("<s>", 1)])
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    return wrapped(made, ["<image>"], **names)


def byte_tokenizer(special: Sequence[str], **options: Any) -> Any:
    """Of the byte-level make of LLaMA 3 and SmolLM."""
    words = [word.replace("▁", "Ġ") for word in WORDS]
    made = tokenizers.Tokenizer(models.BPE(*merged(sorted(pre_tokenizers.ByteLevel.alphabet()), words)))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return wrapped(made, special, **options)


def wrapped(made: tokenizers.Tokenizer, special: Sequence[str], **options: Any) -> Any:
    """A tokenizer for a processor, with these special tokens."""
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, additional_special_tokens=list(special), padding_side="left", **options
    )


# ----------------------------------------------------------------------------------------------------------- the models

LLAMA = {
    "model_type": "llama", "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 10, "intermediate_size": 40, "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0},
}  # fmt: skip
GEMMA = {
    "model_type": "gemma", "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 1, "head_dim": 10, "intermediate_size": 40, "max_position_embeddings": 512,
}  # fmt: skip
GEMMA2 = {
    **GEMMA, "model_type": "gemma2", "num_hidden_layers": 4, "num_key_value_heads": 2, "query_pre_attn_scalar": 7,
    "attn_logit_softcapping": 0.5, "final_logit_softcapping": 1.5, "sliding_window": 6,
}  # fmt: skip
GEMMA3 = {
    **GEMMA, "model_type": "gemma3_text", "num_hidden_layers": 7, "num_key_value_heads": 2, "query_pre_attn_scalar": 7,
    "sliding_window": 6,
    "rope_parameters": {
        "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 700.0},
    },
}  # fmt: skip
# Other settings, for `make`.
FULL, SLIDING = "full_attention", "sliding_attention"
LLAMA3 = {
    "rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 3.0,
    "original_max_position_embeddings": 32, "rope_theta": 500.0,
}  # fmt: skip
TOWER = {
    "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": SIZE,
    "patch_size": 8,
}  # fmt: skip
SIGLIP = {**TOWER, "model_type": "siglip_vision_model", "vision_use_head": False}
CLIP = {**TOWER, "model_type": "clip_vision_model", "num_hidden_layers": 3}


@dataclass(frozen=True)
class Family:
    """How a family is made.

    Attributes:
        name: Of its config and model, in transformers.
        text: Its decoder's config.
        vision: Its tower's.
        processor: From the side of a square, in pixels, and its image tokens to the processor.
        whole: The rest of its config.
        fold: Patches along a side that become one image token.
        tiles: Whether an image is several squares.
        scale: Of weights with which its logits are no smaller than others'.
        lively: Of weights with which it does not say the same token again and again.
    """

    name: str
    text: Mapping[str, Any]
    vision: Mapping[str, Any]
    processor: Callable[[int, int], Any]
    whole: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    fold: int = 1
    tiles: bool = False
    scale: float = 0.1
    lively: float = 0.1


def paligemma_processor(size: int, tokens: int) -> Any:
    """Adds its own tokens to the tokenizer."""
    images = transformers.SiglipImageProcessorPil(size={"height": size, "width": size})
    images.image_seq_length = tokens
    return transformers.PaliGemmaProcessor(images, gemma_tokenizer())


def llava_processor(size: int, tokens: int) -> Any:
    """CLIP's tower has a class token, which is left out."""
    images = transformers.CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size={"height": size, "width": size})
    return transformers.LlavaProcessor(
        images, llama_tokenizer(), patch_size=8, vision_feature_select_strategy="default", num_additional_image_tokens=1
    )


CHAT = "{{ messages }}"  # only that there is one says that a model chats
AROUND = ["<fake_token_around_image>", "<image>", "<end_of_utterance>"]


def idefics3_processor(size: int, tokens: int) -> Any:
    """To its tokenizer, places of tiles are ordinary text."""
    names = {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>", "pad_token": "<|end_of_text|>"}
    images = transformers.Idefics3ImageProcessorPil(
        size={"longest_edge": 2 * size}, max_image_size={"longest_edge": size}
    )
    tokenizer = byte_tokenizer(AROUND, **names)
    return transformers.Idefics3Processor(images, tokenizer, image_seq_len=tokens, chat_template=CHAT)


def smolvlm_processor(size: int, tokens: int) -> Any:
    """Positions of tiles are tokens. (Its own class, which differs in videos only, asks for packages for them.)"""
    names = {"bos_token": "<|im_start|>", "eos_token": "<end_of_utterance>", "pad_token": "<|im_end|>"}
    places = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    images = transformers.SmolVLMImageProcessorPil(
        size={"longest_edge": 2 * size}, max_image_size={"longest_edge": size}
    )
    tokenizer = byte_tokenizer(["<global-img>", *places, *AROUND], **names)
    return transformers.Idefics3Processor(images, tokenizer, image_seq_len=tokens, chat_template=CHAT)


def gemma3_processor(size: int, tokens: int) -> Any:
    """Its image token is not what a text shows an image by."""
    names = {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
    tokenizer = gemma_tokenizer(["<start_of_turn>", "<end_of_turn>"], extra_special_tokens=names)
    images = transformers.Gemma3ImageProcessorPil(size={"height": size, "width": size})
    return transformers.Gemma3Processor(images, tokenizer, image_seq_length=tokens, chat_template=CHAT)


# At 25 patches a side, position ids skip some; with 51 pixels, the last of them is not read.
FRACTIONAL = {**TOWER, "hidden_size": 18, "image_size": 50, "patch_size": 2}
RESTLESS = {**FRACTIONAL, "image_size": 51}
PALIGEMMA, TILED = {"projection_dim": 24}, {"scale_factor": 5}
FAMILIES = {
    "paligemma": Family("PaliGemma", GEMMA, SIGLIP, paligemma_processor, PALIGEMMA, lively=0.5),
    "paligemma2": Family("PaliGemma", GEMMA2, SIGLIP, paligemma_processor, PALIGEMMA),
    "llava": Family("Llava", LLAMA, CLIP, llava_processor, scale=0.2, lively=0.5),
    "idefics3": Family(
        "Idefics3", LLAMA, FRACTIONAL, idefics3_processor, TILED, fold=5, tiles=True, scale=0.2, lively=0.5
    ),
    "smolvlm": Family("SmolVLM", LLAMA, RESTLESS, smolvlm_processor, TILED, fold=5, tiles=True, scale=0.2, lively=0.5),
    "gemma3": Family(
        "Gemma3", GEMMA3, {**SIGLIP, "patch_size": 4}, gemma3_processor, {"mm_tokens_per_image": 16}, fold=2
    ),
}


@dataclass(frozen=True)
class Reference:
    """A model of transformers' with random weights, and its processor.

    Attributes:
        family: A name in `FAMILIES`.
        model: In evaluation mode, with its attention written out: the forms that are fused differ in their masks.
        processor: With a tokenizer that pads on the left.
    """

    family: str
    model: nn.Module
    processor: Any

    @property
    def image_id(self) -> int:
        """The token at the places of images."""
        return int(self.model.config.image_token_id)

    def save(self, folder: Path) -> Path:
        """As transformers saves it."""
        self.model.save_pretrained(folder)
        self.processor.save_pretrained(folder)
        return folder

    def ours(self, folder: Path, dtype: str = "float32") -> Pipeline:
        """Our model, from what it saves in this folder."""
        return ojito.load(self.save(folder), device="cpu", dtype=dtype)

    def inputs(self, batch: Batch) -> dict[str, Tensor]:
        """One of our batches, in their words."""
        read, image = batch.segments != PADDING, batch.tokens == IMAGE
        inputs = {"input_ids": batch.tokens.masked_fill(image, self.image_id), "attention_mask": read.long()}
        if batch.images is not None:
            # Those with tiles have an axis of rows, and do not mind in which row a tile is.
            inputs["pixel_values"] = batch.images[None] if FAMILIES[self.family].tiles else batch.images
        # Without them, the mask depends on the form of attention, and on padding.
        if self.family.startswith("paligemma"):
            inputs["token_type_ids"] = (~batch.prefix & read).long()
        if self.family == "gemma3":
            inputs["token_type_ids"] = image.long()
        return inputs

    @torch.no_grad()
    def run(self, batch: Batch, **more: Tensor) -> Any:
        """What the model makes of one of our batches."""
        first = int(self.family.startswith("paligemma"))  # it counts positions from 1
        return self.model(**self.inputs(batch), position_ids=batch.positions + first, **more)

    def logits(self, batch: Batch) -> Tensor:
        """Of one of our batches."""
        return self.run(batch).logits

    def generate(self, batch: Batch, count: int, ends: Sequence[int]) -> list[list[int]]:
        """What it says, greedily: at most so many tokens, up to one of the ends."""
        inputs = self.inputs(batch)
        ids = self.model.generate(**inputs, max_new_tokens=count, do_sample=False, eos_token_id=list(ends))
        rows = ids[:, batch.tokens.shape[1] :].tolist()
        return [row[: min((row.index(end) for end in ends if end in row), default=count)] for row in rows]


def make(
    family: str,
    text: Mapping[str, Any] | None = None,
    vision: Mapping[str, Any] | None = None,
    whole: Mapping[str, Any] | None = None,
    scale: float = 0.0,
    seed: int = 0,
) -> Reference:
    """A model of a family, with other settings.

    Args:
        family: A name in `FAMILIES`.
        text: Over those of its decoder.
        vision: Over those of its tower.
        whole: Over the others.
        scale: Of its weights; 0 means the family's. All of them are normal numbers of this spread: defaults like 0 for
            a bias would hide that it is missing.
        seed: Of these numbers.
    """
    its = FAMILIES[family]
    vision, whole = {**its.vision, **(vision or {})}, {**its.whole, **(whole or {})}
    grid = vision["image_size"] // vision["patch_size"]
    processor = its.processor(vision["image_size"], (grid // its.fold) ** 2)
    if family == "llava" and vision["model_type"] == SIGLIP["model_type"]:
        size = {"height": vision["image_size"], "width": vision["image_size"]}
        processor.image_processor = transformers.SiglipImageProcessorPil(size=size)
    tokenizer = processor.tokenizer
    ids = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("bos", "eos", "pad")}
    image = getattr(tokenizer, "image_token", None) or "<image>"
    config = getattr(transformers, f"{its.name}Config")(
        text_config={"vocab_size": len(tokenizer), **its.text, **ids, **(text or {})},
        vision_config=vision,
        image_token_id=tokenizer.convert_tokens_to_ids(image),
        **whole,
    )
    config._attn_implementation = "eager"
    model = getattr(transformers, f"{its.name}ForConditionalGeneration")(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * (scale or its.scale))
    return Reference(family, model, processor)
