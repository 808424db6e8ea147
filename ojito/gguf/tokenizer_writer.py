"""A tokenizer as the metadata of a GGUF file: the other direction of `gguf.tokenizer`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import tokenizers

from ojito.gguf.tokenizer import (
    BYTE,
    CONTROL,
    MERGES,
    MODEL,
    NORMAL,
    NORMALIZED,
    PRE,
    SCORES,
    SPLITS,
    TOKENS,
    TYPES,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    WHOLE_WORDS,
)


def write_tokenizer(tokenizer: tokenizers.Tokenizer, architecture: str, size: int) -> dict[str, Any] | None:
    """The metadata of a vocabulary that a file can hold.

    Args:
        tokenizer: The tokenizer.
        architecture: Of the model.
        size: Entries that the vocabulary shall have: those that are missing are filled in.

    Returns:
        The metadata by their keys, without the ids of special tokens; None where it is a tokenizer of another kind.
    """
    state = json.loads(tokenizer.to_str())
    model = state["model"]
    if model.get("type") != "BPE" or model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        return None
    ids = tokenizer.get_vocab()
    names: list[str] = [f"[PAD{i}]" for i in range(size)]
    types = [UNUSED] * size
    unknown = model.get("unk_token")
    for token, number in ids.items():
        names[number] = token
        single = model.get("byte_fallback") and re.fullmatch(r"<0x[0-9A-F]{2}>", token)
        types[number] = BYTE if single else UNKNOWN if token == unknown else NORMAL
    for number, added in tokenizer.get_added_tokens_decoder().items():
        if types[number] != UNKNOWN:
            types[number] = CONTROL if added.special else USER_DEFINED
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    values: dict[str, Any] = {TOKENS: names, TYPES: types}
    if model.get("byte_fallback"):
        return _written_sentencepiece(state, values, merges, architecture)
    pre = _pre_of(state)
    if pre is None or not merges:
        return None
    return {MODEL: "gpt2", PRE: pre, **values, MERGES: merges}


def _pre_of(state: Mapping[str, Any]) -> str | None:
    """The name of how a byte-level tokenizer splits texts, as `tokenizer.ggml.pre` has it; None where it has none."""
    for name, make in SPLITS.items():
        normalizer = {"type": "NFC"} if name in NORMALIZED else None
        whole = bool(state["model"].get("ignore_merges"))
        same = state["normalizer"] == normalizer and whole == (name in WHOLE_WORDS)
        if same and name != "default" and _plain(json.loads(make().__getstate__())) == _plain(state["pre_tokenizer"]):
            return name
    return None


def _plain(splitter: Any) -> Any:
    """A pre-tokenizer without what changes no token."""
    if isinstance(splitter, Mapping):
        return {key: _plain(value) for key, value in splitter.items() if key != "trim_offsets"}
    return [_plain(entry) for entry in splitter] if isinstance(splitter, list) else splitter


def _written_sentencepiece(
    state: Mapping[str, Any], values: dict[str, Any], merges: list[str], architecture: str
) -> dict[str, Any] | None:
    """SentencePiece's BPE; its scores put the tokens into the order of the merges that make them."""
    if architecture.startswith("gemma"):
        scores = [-float(i) for i in range(len(values[TOKENS]))]
        space = False
    else:
        parts = json.dumps([state["normalizer"], state["pre_tokenizer"]])
        space = '"Prepend"' in parts or '"prepend_scheme": "first"' in parts or '"prepend_scheme": "always"' in parts
        order: dict[str, int] = {}
        for merge in merges:
            order.setdefault(merge.replace(" ", ""), len(order))
        scores = [-1.0 - order[name] if name in order else 0.0 for name in values[TOKENS]]
    written = {MODEL: "llama", PRE: "default", **values, SCORES: scores}
    return {**written, "tokenizer.ggml.add_space_prefix": space}
