"""nanoVLM's own folders: a config.json without a model_type, model.safetensors, and a vocabulary from elsewhere.

The vocabulary is another repository's, which config.json names: a tokenizer.json beside config.json is taken, else the
one that the Hub's cache has, where the folder is in that cache too. What config.json says is in `families/nanovlm.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ojito.checkpoint.description import Described, OpenFolder, Part, PartKind
from ojito.checkpoint.files import CONFIG, CheckpointError, read_json
from ojito.checkpoint.hub_cache import is_hub_id, neighbour
from ojito.checkpoint.huggingface.families import nanovlm as family
from ojito.checkpoint.huggingface.fields import Fields, config_of
from ojito.checkpoint.huggingface.preprocessing import TOKENIZER, read_tokenizer_settings
from ojito.config import ProcessorConfig
from ojito.settings import read as read_settings

_NAMED = ("kind", "path", "bos", "eos", "pad")
"""What is read of the vocabulary's files; the tokens that are added to it are config.json's."""


def recognizes(values: Mapping[str, Any]) -> bool:
    """Whether a config.json with these fields is nanoVLM's."""
    return family.is_nanovlm(values)


def read(opened: OpenFolder) -> Described:
    """Describe the model of a folder.

    Raises:
        CheckpointError: A file is missing or damaged, or describes what Ojito does not have.
        ConfigError: Sizes that make no model.
    """
    with config_of(opened) as f:
        model, settings, keys = family.read_nanovlm(f)
        place = find_tokenizer(opened.path, f)
        settings["tokenizer"] |= {
            key: value for key, value in read_tokenizer_settings(place, ()).items() if key in _NAMED and value
        }
        processor = read_settings(ProcessorConfig, settings, "processor")
    return Described(
        opened, "nanovlm", opened.name, model, processor, Path(processor.tokenizer.path), keys, family="nanovlm"
    )


def read_part(opened: OpenFolder, kind: PartKind) -> Part:
    """Refuse to take a part out: nanoVLM's folders are read as a whole only.

    Raises:
        CheckpointError: Always.
    """
    problem = "is that of a whole model of nanoVLM, and a part is needed"
    raise CheckpointError(
        opened.path / CONFIG, problem, "load the model, save it with Ojito, and give the folder of that"
    )


def missing_tokenizer(opened: OpenFolder) -> str:
    """The Hub id of the tokenizer that the folder lacks; "" if it lacks none, or does not name one of the Hub's."""
    with config_of(opened) as f:
        return _missing_tokenizer(opened.path, f)


def _missing_tokenizer(folder: Path, f: Fields) -> str:
    name = family.tokenizer_name(f)
    return name if is_hub_id(name) and not (folder / TOKENIZER).is_file() else ""


def find_tokenizer(folder: Path, f: Fields) -> Path:
    """Find the folder with the vocabulary that config.json names, in which the added tokens get their ids.

    Raises:
        CheckpointError: There is none, or another.
    """
    missing, home = _missing_tokenizer(folder, f), f"https://huggingface.co/{family.tokenizer_name(f)}"
    place = (neighbour(folder, missing) if missing else None) or folder
    path, tokens = place / TOKENIZER, family.added_tokens(f)
    if not path.is_file():
        raise CheckpointError(
            folder,
            f"has no {TOKENIZER}, and nanoVLM's folders bring none",
            f"copy that of {home} there, which its lm_tokenizer names",
        )
    base = f.integer("lm_base_vocab_size", default=family.size_of(f, "lm_vocab_size") - len(tokens))
    ids = vocabulary_ids(place)
    size = vocabulary_size(ids) + sum(token not in ids for token in tokens.values())
    if tokens and size != base + len(tokens):
        problem = f"has {size} entries with the added tokens, and lm_base_vocab_size and they make {base + len(tokens)}"
        raise CheckpointError(path, problem, f"copy that of {home} there")
    return place


def vocabulary_ids(folder: Path) -> dict[str, int]:
    """The entries of the folder's tokenizer.json, added tokens included, to their ids."""
    values = read_json(folder, TOKENIZER)
    model, added = values.get("model"), values.get("added_tokens")
    vocabulary = model.get("vocab") if isinstance(model, Mapping) else None
    entries = list(vocabulary.items()) if isinstance(vocabulary, Mapping) else []
    if isinstance(added, list):
        entries += [(entry.get("content"), entry.get("id")) for entry in added if isinstance(entry, Mapping)]
    return {name: number for name, number in entries if isinstance(name, str) and type(number) is int}


def vocabulary_size(ids: Mapping[str, int]) -> int:
    """One more than the highest id."""
    return max(ids.values(), default=-1) + 1
