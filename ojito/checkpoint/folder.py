"""What any folder with a model, or a GGUF file, holds, described once.

    describe(folder)                    a whole model
    describe_part(folder, "vision")     a tower or a decoder, by itself or out of a whole model

Each form of folder is a module with the same three functions: `recognizes` tells by config.json whether a folder is of
this form, `read` describes the whole model, `read_part` a part of it.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from ojito.checkpoint import nanovlm, native, timm
from ojito.checkpoint.description import Described, OpenFolder, Part, PartKind
from ojito.checkpoint.files import CONFIG, CheckpointError
from ojito.checkpoint.gguf import folder as gguf
from ojito.checkpoint.gguf.opened import OpenGguf, open_gguf
from ojito.checkpoint.huggingface import folder as huggingface
from ojito.checkpoint.peft.base_model import find_base, is_adapter
from ojito.checkpoint.peft.config_file import read_adapter_config
from ojito.checkpoint.peft.folder import read as read_adapter

FORMS: tuple[ModuleType, ...] = (native, huggingface, nanovlm, timm)


def describe(
    folder: Path | str | OpenFolder | Described,
    mmproj: Path | str | None = None,
    base: Path | str | None = None,
) -> Described:
    """Describe the model in a folder or a GGUF file, without its weights. A description is returned as it is.

    Args:
        folder: The folder or file.
        mmproj: The file with the vision tower of a model in GGUF.
        base: The folder of the model that an adapter belongs to; None takes the one that the adapter names.

    Raises:
        CheckpointError: A file is missing or damaged, or describes what Ojito does not have; an adapter's model is
            not here.
        ConfigError: A setting that cannot be used.
        GgufError: A GGUF file is damaged.
    """
    if isinstance(folder, Described):
        return folder
    if not isinstance(folder, OpenFolder) and is_adapter(folder):
        adapter = read_adapter_config(folder)
        return read_adapter(adapter, describe(find_base(adapter, base)))
    if base is not None:
        where = folder.path if isinstance(folder, OpenFolder) else folder
        raise CheckpointError(where, "is no adapter, and only an adapter has a base", "leave the base out")
    opened = open_folder(folder, mmproj)
    made: Described = _form_of(opened).read(opened)
    return made


def describe_part(folder: Path | str | OpenFolder, kind: PartKind) -> Part:
    """Describe the vision tower or the decoder of a folder: by itself, one of a pair, or part of a whole model.

    Raises:
        CheckpointError: A file is missing or damaged, or there is no such part that Ojito knows.
        ConfigError: A setting that cannot be used.
        GgufError: A GGUF file is damaged.
    """
    opened = open_folder(folder)
    plain = kind == "vision" and not isinstance(opened, OpenGguf)
    alone = timm.read_weights_alone(opened) if plain else None
    made: Part = alone or _form_of(opened).read_part(opened, kind)
    return made


def missing_tokenizer(folder: Path | str | OpenFolder) -> str:
    """The Hub id of the tokenizer that a folder names and does not have; "" if it needs no other.

    Raises:
        CheckpointError: No config.json, or one that is damaged.
    """
    opened = open_folder(folder)
    return nanovlm.missing_tokenizer(opened) if _form_of(opened) is nanovlm else ""


def open_folder(folder: Path | str | OpenFolder, mmproj: Path | str | None = None) -> OpenFolder:
    """Open a folder, or a GGUF file. What is open is returned as it is.

    Args:
        folder: The folder or file.
        mmproj: As for `describe`.

    Raises:
        CheckpointError: An mmproj for what is no GGUF file; several GGUF files that could be meant.
        GgufError: A GGUF file is damaged.
    """
    if isinstance(folder, OpenFolder):
        return folder
    opened = open_gguf(folder, mmproj)
    if opened is None and mmproj is not None:
        raise CheckpointError(folder, "is no GGUF file, and only such a file has an mmproj", "leave the mmproj out")
    return opened or OpenFolder(folder)


def _form_of(opened: OpenFolder) -> ModuleType:
    if isinstance(opened, OpenGguf):
        return gguf
    for form in FORMS:
        if form.recognizes(opened.values):
            return form
    raise CheckpointError(
        opened.path / CONFIG,
        "has no format, as Ojito's has, no model_type, as transformers' has, and no architecture, as timm's has",
        "give a folder in one of these forms",
    )
