"""The public vision-language models: which parts they join, what their config.json says, how they are spoken to.

A family is found by its `model_type`. `read` and `write` are inverse: a model is of a family if its config survives
both, which is how `write_folder` knows what it may call itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ojito.checkpoint.huggingface import decoders, towers
from ojito.checkpoint.huggingface.decoders import DECODERS, HEAD
from ojito.checkpoint.huggingface.fields import Fields
from ojito.checkpoint.huggingface.towers import TOWERS
from ojito.checkpoint.keys import Key, KeyMap, Section, Table
from ojito.config import ModelConfig, PixelShuffleConfig
from ojito.settings import Settings, read


@dataclass(frozen=True)
class Family:
    """One family of vision-language models.

    Attributes:
        model_type: How its config.json calls it.
        architecture: The reference's class.
        tower, decoder: Names in `TOWERS` and `DECODERS` of the parts, where config.json does not say.
        own_tower: Whether the tower is this one, whatever config.json calls it.
        vision, language, heads, connector: Beginnings of their names for each part; the first is written.
        table: Names in the connector.
        read: Their fields to settings of connector, vision and decoder, over those of the parts.
        write: Our config to their fields beside the groups of the parts.
        prompt: The processor's `prompt` settings, for a model that was trained to chat, or not.
        image: The processor's `image` settings that are not those of the tower.
        added: Tokens that a text may hold, and that are never split.
        end: Tokens that end an answer besides those that the folder names, of a model that chats.
        image_token: How the place of an image token is called in their tokenizer.
    """

    model_type: str
    architecture: str
    tower: str
    decoder: str
    vision: tuple[str, ...]
    language: tuple[str, ...]
    heads: tuple[str, ...]
    connector: tuple[str, ...]
    table: Table
    read: Callable[[Fields, Settings, Settings], Settings]
    write: Callable[[ModelConfig], dict[str, Any]]
    prompt: Callable[[bool], Settings]
    image: Settings = field(default_factory=dict)
    added: tuple[str, ...] = ()
    end: tuple[str, ...] = ()
    image_token: str = "<image>"  # noqa: S105 - not a password
    own_tower: bool = False

    def parts(self, f: Fields) -> tuple[str, str]:
        """Names in `TOWERS` and `DECODERS` of the parts of a config.json.

        Raises:
            CheckpointError: A part that Ojito has not.
        """
        tower, towers = self.tower, {name: name for name in TOWERS}
        if not self.own_tower:
            tower = f.group("vision_config").choice("model_type", among=towers, default=tower)
        decoders = {name: name for name in DECODERS}
        return tower, f.group("text_config").choice("model_type", among=decoders, default=self.decoder)

    def pictures(self, f: Fields) -> Settings:
        """The processor's `image` settings, where no file of the folder says otherwise."""
        return {**TOWERS[self.parts(f)[0]].image_settings, **self.image}

    def keys(self, tower: str, decoder: str, tied: bool) -> KeyMap:
        """The names of all tensors."""
        sections = (
            Section("vision.", self.vision, TOWERS[tower].table),
            Section("connector.", self.connector, self.table),
            Section("decoder.", self.language, DECODERS[decoder].table),
            Section("decoder.", self.heads, HEAD),
        )
        return KeyMap(sections, (*decoders.IGNORED, *towers.IGNORED), decoders.copies(self.heads) if tied else {})


# ------------------------------------------------------------------------------------------------------------ PaliGemma


def _read_paligemma(f: Fields, vision: Settings, decoder: Settings) -> Settings:
    tied = f.flag("tie_word_embeddings", default=True)  # what the group of the decoder says of it is not used
    return {"decoder": {"mask": "prefix", "tied_head": tied}}


def _write_paligemma(c: ModelConfig) -> dict[str, Any]:
    return {
        "hidden_size": c.decoder.width,
        "projection_dim": c.decoder.width,
        "vocab_size": c.decoder.vocab_size,
        "tie_word_embeddings": c.decoder.tied_head,
    }


def _prompt_paligemma(chat: bool) -> Settings:
    return {"image": "front", "bos": True, "separator": "\n", "caption": "caption en"}


# ---------------------------------------------------------------------------------------------------------------- LLaVA


def _read_llava(f: Fields, vision: Settings, decoder: Settings) -> Settings:
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
    tied = f.flag("tie_word_embeddings", default=False) or decoder["tied_head"]  # the group of the decoder may say it
    return {"vision": {"feature_layer": layer}, "connector": connector, "decoder": {"tied_head": tied}}


def _strategy(class_token: bool) -> str:
    """LLaVA's word for leaving out the class token; it would leave out a patch where there is none."""
    return "default" if class_token else "full"


def _write_llava(c: ModelConfig) -> dict[str, Any]:
    return {
        "vision_feature_layer": c.vision.feature_layer if c.vision.kind == "vit" else None,
        "vision_feature_select_strategy": _strategy(c.vision.kind == "vit" and c.vision.class_token),
        "projector_hidden_act": "gelu",
        "multimodal_projector_bias": c.connector.bias,
        "image_seq_length": c.image_tokens,
        "tie_word_embeddings": c.decoder.tied_head,
    }


def _prompt_llava(chat: bool) -> Settings:
    return {
        "image": "inline", "joined": True, "user": "USER: ", "picture": "<image>\n", "separator": " ASSISTANT:",
        "before_answer": " ", "caption": "Describe the picture.",
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------- Idefics3 and SmolVLM


def _read_idefics3(f: Fields, vision: Settings, decoder: Settings) -> Settings:
    factor = f.integer("scale_factor", default=2)
    connector: Settings = {"bias": False}
    if factor > 1:
        connector |= {"reduce": "pixel_shuffle", "factor": factor}
    return {"connector": connector, "decoder": {"tied_head": f.flag("tie_word_embeddings", default=False)}}


def _write_idefics3(c: ModelConfig) -> dict[str, Any]:
    factor = c.connector.factor if isinstance(c.connector, PixelShuffleConfig) else 1
    return {"scale_factor": factor, "tie_word_embeddings": c.decoder.tied_head}


def _prompt_idefics3(chat: bool) -> Settings:
    return {
        "image": "inline", "joined": True, "user": "User:", "before_text": " ",
        "separator": "<end_of_utterance>\nAssistant:", "before_answer": " ", "after_answer": "\n",
        "picture": "<fake_token_around_image><global-img><image><fake_token_around_image>",
        "tile": "<fake_token_around_image><row_{row}_col_{column}><image>", "tile_row_end": "\n",
        "tiles_end": "\n", "caption": "Can you describe this image?",
    }  # fmt: skip


# -------------------------------------------------------------------------------------------------------------- Gemma 3


def _read_gemma3(f: Fields, vision: Settings, decoder: Settings) -> Settings:
    # The reference has it in the model for text alone; which of the two was meant, nobody could say.
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


def _write_gemma3(c: ModelConfig) -> dict[str, Any]:
    return {"mm_tokens_per_image": c.image_tokens, "tie_word_embeddings": c.decoder.tied_head}


def _prompt_gemma3(chat: bool) -> Settings:
    prompt: Settings = {
        "image": "inline", "joined": True, "separator": "", "caption": "Describe this image in detail.",
        "picture": "\n\n<start_of_image><image><end_of_image>\n\n",
    }  # fmt: skip
    if chat:
        prompt |= {"user": "<start_of_turn>user\n", "separator": "<end_of_turn>\n<start_of_turn>model\n",
                   "after_answer": "\n"}  # fmt: skip
    return prompt


# --------------------------------------------------------------------------------------------------------------- tables

_LINEAR: Table = {"project": "linear"}
_MLP: Table = {"project.0": "linear_1", "project.2": "linear_2"}
_SHUFFLE: Table = {"project": "modality_projection.proj"}
# The projection is kept as (in, out), and without the ending that a layer's weight has.
_GEMMA3: Table = {
    "norm": "mm_soft_emb_norm",
    "project.weight": Key("mm_input_projection_weight", transposed=True),
}

# Four layouts: the Hub's files, transformers 4.52, transformers 5 as it saves, and its modules' own names.
_VISION = (
    "vision_tower.vision_model.",
    "model.vision_tower.vision_model.",
    "vision_tower.",
    "model.vision_tower.",
)
_LANGUAGE = ("language_model.model.", "model.language_model.")
_HEADS = ("language_model.", "")
_PROJECTOR = ("multi_modal_projector.", "model.multi_modal_projector.")


def _idefics3(name: str, architecture: str, tower: str) -> Family:
    return Family(
        name, architecture, tower, "llama",
        vision=("model.vision_model.",), language=("model.text_model.",), heads=("",), connector=("model.connector.",),
        table=_SHUFFLE, read=_read_idefics3, write=_write_idefics3, prompt=_prompt_idefics3,
        image={"fit": "tiles"}, end=("<end_of_utterance>",),
        own_tower=True,  # the released files have three names for it, one of them SigLIP's
    )  # fmt: skip


FAMILIES: dict[str, Family] = {
    family.model_type: family
    for family in (
        Family(
            "paligemma", "PaliGemmaForConditionalGeneration", "siglip_vision_model", "gemma",
            vision=_VISION, language=_LANGUAGE, heads=_HEADS, connector=_PROJECTOR, table=_LINEAR,
            read=_read_paligemma, write=_write_paligemma, prompt=_prompt_paligemma,
            added=("<loc{0000..1023}>", "<seg{000..127}>"),
        ),
        Family(
            "llava", "LlavaForConditionalGeneration", "clip_vision_model", "llama",
            vision=_VISION, language=_LANGUAGE, heads=_HEADS, connector=_PROJECTOR, table=_MLP,
            read=_read_llava, write=_write_llava, prompt=_prompt_llava,
        ),
        _idefics3("idefics3", "Idefics3ForConditionalGeneration", "idefics3_vision"),
        _idefics3("smolvlm", "SmolVLMForConditionalGeneration", "smolvlm_vision"),
        Family(
            "gemma3", "Gemma3ForConditionalGeneration", "siglip_vision_model", "gemma3_text",
            vision=_VISION, language=_LANGUAGE, heads=_HEADS, connector=_PROJECTOR, table=_GEMMA3,
            read=_read_gemma3, write=_write_gemma3, prompt=_prompt_gemma3,
            image={"resample": "bilinear"}, end=("<end_of_turn>",),
            image_token="<image_soft_token>",  # noqa: S106 - not a password
        ),
    )
}  # fmt: skip


def read_model(family: Family, f: Fields) -> tuple[ModelConfig, KeyMap]:
    """The model that their config.json describes, and what its tensors are called.

    Raises:
        CheckpointError: A field that Ojito cannot follow.
        ConfigError: Sizes that make no model.
    """
    tower, decoder = family.parts(f)
    vision, text = TOWERS[tower].read(f.group("vision_config")), DECODERS[decoder].read(f.group("text_config"))
    over = family.read(f, vision, text)
    settings = {
        "vision": {**vision, **over.get("vision", {})},
        "connector": over.get("connector", {}),
        "decoder": {**text, **over.get("decoder", {})},
    }
    config = read(ModelConfig, settings, "model")
    return config, family.keys(tower, decoder, config.decoder.tied_head)
