"""A GGUF file, alone or with its mmproj, and what it says in Ojito's settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ojito.checkpoint.description import Described, OpenFolder, Part, PartKind
from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.gguf.decoders import GGUF_DECODERS, constants, decoder_table, read_decoder
from ojito.checkpoint.gguf.opened import OpenGguf
from ojito.checkpoint.gguf.text import read_text
from ojito.checkpoint.gguf.towers import IGNORED, Mmproj, read_mmproj
from ojito.checkpoint.huggingface.decoders import IGNORED as IN_DECODERS
from ojito.checkpoint.keys import KeyMap, Section
from ojito.config import DecoderConfig, ModelConfig, ProcessorConfig, ViTConfig
from ojito.settings import ConfigError, Settings
from ojito.settings import read as read_settings


def read(opened: OpenFolder) -> Described:
    """Describe the model of a file.

    Raises:
        CheckpointError: Metadata that Ojito cannot follow, or that are missing.
        ConfigError: Sizes that make no model.
        GgufError: A damaged vocabulary.
    """
    opened = _gguf(opened)
    with _naming(opened):
        decoder, mmproj = read_decoder(opened), None
        model: Settings = {"vision": {"kind": "none"}, "decoder": decoder}
        if opened.vision is not None:
            mmproj = read_mmproj(opened)
            model = {"vision": mmproj.vision, "connector": mmproj.connector, "decoder": {**decoder, **mmproj.decoder}}
        config = read_settings(ModelConfig, model, "model")
        text = read_text(opened, mmproj.family if mmproj else None)
        settings = {
            "image": mmproj.image if mmproj else {},
            "tokenizer": text.tokenizer,
            "prompt": {**text.prompt, "max_tokens": config.decoder.max_positions},
        }
        processor = read_settings(ProcessorConfig, settings, "processor")
    family = mmproj.family.model_type if mmproj else GGUF_DECODERS[opened.text.architecture].model_type
    keys = _keys(opened, config.decoder, mmproj)
    return Described(opened, "gguf", opened.name, config, processor, opened.path, keys, family=family)


def read_part(opened: OpenFolder, kind: PartKind) -> Part:
    """Describe the vision tower or the decoder of a file.

    Raises:
        CheckpointError: There is none, or metadata that Ojito cannot follow.
        ConfigError: Sizes that make no such part.
        GgufError: A damaged vocabulary.
    """
    opened = _gguf(opened)
    with _naming(opened):
        if kind == "decoder":
            config = read_settings(DecoderConfig, read_decoder(opened), "decoder")
            text = read_text(opened)
            # One that does not chat is asked, in a new model, as any other decoder is.
            prompt = text.prompt if text.prompt["separator"] else {"bos": text.prompt["bos"]}
            keys = _keys(opened, config, None, (r"(v|mm)\..*",))
            return Part(config, keys, tokenizer=text.tokenizer, prompt=prompt, name=opened.name, folder=opened)
        if opened.vision is None:
            raise CheckpointError(opened.path, "has no vision tower", "give another model for it")
        mmproj = read_mmproj(opened)
        vision = read_settings(ViTConfig, mmproj.vision, "vision")
    keys = KeyMap((Section("vision.", ("",), mmproj.tower),), (*IGNORED, r"(?!v\.).*"))
    image = {name: mmproj.image[name] for name in ("resample", "mean", "std")}
    return Part(vision, keys, image=image, name=opened.name, folder=opened)


def _gguf(opened: OpenFolder) -> OpenGguf:
    assert isinstance(opened, OpenGguf)  # noqa: S101 - the caller's to see
    return opened


def _keys(opened: OpenGguf, config: DecoderConfig, mmproj: Mmproj | None, ignored: tuple[str, ...] = ()) -> KeyMap:
    """The names of the tensors."""
    sections = [Section("decoder.", ("",), decoder_table(opened.text.architecture, config))]
    if mmproj is not None:
        sections += [Section("vision.", ("",), mmproj.tower), Section("connector.", ("",), mmproj.projector)]
    return KeyMap(tuple(sections), (*IN_DECODERS, *IGNORED, *ignored), constants=constants(config))


@contextmanager
def _naming(opened: OpenGguf) -> Iterator[Any]:
    """Context in which a `ConfigError` names the file that the settings come from."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{opened.path}: {error.where}", error.problem, error.remedy) from None
