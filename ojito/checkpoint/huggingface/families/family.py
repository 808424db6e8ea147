"""A family of public vision-language models: its config, key names, prompt and processor files, in both directions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ojito.checkpoint.huggingface import decoders, towers
from ojito.checkpoint.huggingface.decoders import DECODERS, HEAD
from ojito.checkpoint.huggingface.fields import Fields
from ojito.checkpoint.huggingface.towers import TOWERS
from ojito.checkpoint.keys import KeyMap, Section, Table
from ojito.config import ModelConfig
from ojito.settings import Settings, read

# Four layouts of key names: the Hub's files, transformers 4.52, transformers 5 as it saves, and its modules' own names.
VISION = ("vision_tower.vision_model.", "model.vision_tower.vision_model.", "vision_tower.", "model.vision_tower.")
LANGUAGE = ("language_model.model.", "model.language_model.")
HEADS = ("language_model.", "")
PROJECTOR = ("multi_modal_projector.", "model.multi_modal_projector.")


def _no_fields(model: ModelConfig) -> dict[str, Any]:
    return {}


def _no_text_fields(decoder: str) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Family:
    """One family of vision-language models.

    Attributes:
        model_type: Its name in config.json.
        architecture: The reference's class.
        towers: Names in `TOWERS` that it is written with; the first is the default of its config.json.
        decoders: Likewise in `DECODERS`.
        vision, language, heads, connector: Prefixes of its key names, part by part; the first of each is written.
        table: Key names within the connector.
        read: Its config.json, with the settings of tower and decoder, to settings that are laid over those.
        write: A model's config to the fields of config.json beside the groups of the parts.
        text_fields: A decoder's name in `DECODERS` to more fields of its group.
        prompt: The processor's `prompt` settings of a model that was trained to chat, or was not.
        image: The processor's `image` settings where they differ from the tower's.
        added: Tokens that a text may contain and that are never split.
        end: Tokens that end an answer besides those of the folder, in a model that chats.
        image_token: The placeholder of an image token in its tokenizer.
        own_tower: Whether the tower is always `towers[0]`, whatever config.json calls it.
        exported: Whether models are written as this family.
        processor_class: The reference's processor.
        image_class: The reference's image processor; "" means the tower's.
        image_id_field: The field of config.json with the id of `image_token`.
        needed: Tokens that the reference's processor writes around an image.
        token_id_fields: More fields of config.json for ids of tokens, by the token.
        image_tag: How a text refers to an image; "" means the prompt's own `image_text`.
        chats: Whether a chat template says how turns are written.
        encoding_begins: Whether bos is left to a tokenizer that writes one by itself.
        any_prompt: Whether its processor writes nothing but an image's tokens, so that a chat template may write any
            prompt around them.
        processor_fields: A model's config to the fields of processor_config.json beside the class.
        tokenizer_fields: Named tokens in tokenizer_config.json.
    """

    model_type: str
    architecture: str
    towers: tuple[str, ...]
    decoders: tuple[str, ...]
    table: Table
    read: Callable[[Fields, Settings, Settings], Settings]
    write: Callable[[ModelConfig], dict[str, Any]]
    prompt: Callable[[bool], Settings]
    processor_class: str
    text_fields: Callable[[str], dict[str, Any]] = _no_text_fields
    vision: tuple[str, ...] = VISION
    language: tuple[str, ...] = LANGUAGE
    heads: tuple[str, ...] = HEADS
    connector: tuple[str, ...] = PROJECTOR
    image: Settings = field(default_factory=dict)
    added: tuple[str, ...] = ()
    end: tuple[str, ...] = ()
    image_token: str = "<image>"  # noqa: S105 - not a password
    own_tower: bool = False
    exported: bool = True
    image_class: str = ""
    image_id_field: str = "image_token_index"
    needed: tuple[str, ...] = ()
    token_id_fields: Mapping[str, str] = field(default_factory=dict)
    image_tag: str = "<image>"
    chats: bool = True
    encoding_begins: bool = False
    any_prompt: bool = False
    processor_fields: Callable[[ModelConfig], dict[str, Any]] = _no_fields
    tokenizer_fields: Mapping[str, str] = field(default_factory=dict)

    def parts(self, f: Fields) -> tuple[str, str]:
        """The names in `TOWERS` and `DECODERS` of a config.json's parts.

        Raises:
            CheckpointError: A part that Ojito does not have.
        """
        tower, known = self.towers[0], {name: name for name in TOWERS}
        if not self.own_tower:
            tower = f.group("vision_config").choice("model_type", among=known, default=tower)
        known = {name: name for name in DECODERS}
        return tower, f.group("text_config").choice("model_type", among=known, default=self.decoders[0])

    def image_settings(self, tower: str) -> Settings:
        """The processor's `image` settings with this tower, where no file of the folder says otherwise."""
        return {**TOWERS[tower].image_settings, **self.image}

    def processor_settings(self, tower: str, chat: bool, max_positions: int) -> Settings:
        """The processor's settings where no file of the folder says otherwise.

        Args:
            tower: Its name in `TOWERS`.
            chat: Whether the model was trained to chat.
            max_positions: Of the decoder: the most tokens of text.
        """
        return {
            "image": self.image_settings(tower),
            "tokenizer": {"added": [*self.added]},
            "prompt": {**self.prompt(chat), "max_tokens": max_positions},
        }

    def keys(self, tower: str, decoder: str, tied: bool) -> KeyMap:
        """The names of all tensors."""
        sections = (
            Section("vision.", self.vision, TOWERS[tower].table),
            Section("connector.", self.connector, self.table),
            Section("decoder.", self.language, DECODERS[decoder].table),
            Section("decoder.", self.heads, HEAD),
        )
        return KeyMap(sections, (*decoders.IGNORED, *towers.IGNORED), decoders.copies(self.heads) if tied else {})

    def read_model(self, f: Fields) -> tuple[ModelConfig, KeyMap]:
        """The model that a config.json describes, and the names of its tensors.

        Raises:
            CheckpointError: A field that Ojito cannot follow.
            ConfigError: Sizes that make no model.
        """
        tower, decoder = self.parts(f)
        vision, text = TOWERS[tower].read(f.group("vision_config")), DECODERS[decoder].read(f.group("text_config"))
        over = self.read(f, vision, text)
        settings = {
            "vision": {**vision, **over.get("vision", {})},
            "connector": over.get("connector", {}),
            "decoder": {**text, **over.get("decoder", {})},
        }
        config = read(ModelConfig, settings, "model")
        return config, self.keys(tower, decoder, config.decoder.tied_head)
