"""The vocabulary in a GGUF file's metadata, as a tokenizer of the library that Ojito uses.

    tokenizer.ggml.model: gpt2     byte-level BPE, with its merges; tokenizer.ggml.pre says how texts are split before
    tokenizer.ggml.model: llama    SentencePiece's BPE: its merges follow from the scores

Source: llama.cpp's `llama-vocab.cpp` for how texts are split; transformers 5.23 for the merges that follow from scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers

from ojito.errors import nearest
from ojito.gguf.container import GgufFile
from ojito.gguf.header import Array, GgufError

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
"""Types of tokens, as `tokenizer.ggml.token_type` has them."""

MODEL, PRE = "tokenizer.ggml.model", "tokenizer.ggml.pre"
TOKENS, TYPES, SCORES, MERGES = (f"tokenizer.ggml.{name}" for name in ("tokens", "token_type", "scores", "merges"))
_LONGEST = 256  # characters of a token whose merges are looked for; those of real ones have a tenth
_MOST_ADDED = 20_000
_MOST_MERGES = 2_000_000  # that follow from scores; Gemma's vocabulary has a quarter
_SPACE = "▁"  # how SentencePiece writes a space
_UNREAL = "use the file of a real model"

_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def _split_by(pattern: str) -> Any:
    """Pieces that a pattern finds, then bytes."""
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _gpt2() -> Any:
    return pre_tokenizers.ByteLevel(add_prefix_space=False)


def _digits() -> Any:
    """GPT-2's pieces, and every digit by itself."""
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), _gpt2()])


SPLITS: dict[str, Callable[[], Any]] = {
    **dict.fromkeys(("default", "gpt-2", "gpt2"), _gpt2),
    **dict.fromkeys(("smollm", "starcoder", "refact", "codeshell"), _digits),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3"), lambda: _split_by(_LLAMA3)),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen"), lambda: _split_by(_QWEN2)),
}
"""How a byte-level vocabulary splits texts, by `tokenizer.ggml.pre`."""

WHOLE_WORDS = ("llama-bpe", "llama3", "llama-v3")
"""Vocabularies in which a word that is an entry is that token, whatever the merges say. They also begin with bos."""

NORMALIZED = ("qwen2", "deepseek-r1-qwen")
"""Vocabularies whose texts are composed first (NFC), as in these models' own tokenizers."""


def read_tokenizer(file: GgufFile) -> tokenizers.Tokenizer:
    """The file's tokenizer. It writes no token by itself before or after a text: prompts say that.

    Raises:
        GgufError: The file has none, or one that is damaged, or of a kind that Ojito does not have.
    """
    kind = file.metadata.get(MODEL)
    if kind is None:
        raise GgufError(file.path, "has no tokenizer", "use the file of a whole language model")
    if kind not in ("gpt2", "llama"):
        raise GgufError(file.path, f"has a tokenizer of the kind {kind!r}", "Ojito knows gpt2 and llama")
    tokens, types = _vocabulary(file)
    make = _byte_level if kind == "gpt2" else _sentencepiece
    try:
        made: tokenizers.Tokenizer = make(file, tokens)
        _add(made, tokens, types, byte_level=kind == "gpt2")
    except GgufError:
        raise
    except BaseException as error:  # the library raises bare Exceptions, and panics, which are not even that
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        raise GgufError(file.path, "has a damaged vocabulary", "copy it again") from error
    return made


def begins_with_bos(file: GgufFile) -> bool:
    """Whether the vocabulary puts its bos before every text, as its file says or as llama.cpp takes for granted."""
    said = file.metadata.get("tokenizer.ggml.add_bos_token")
    usual = file.metadata.get(MODEL) == "llama" or file.metadata.get(PRE) in WHOLE_WORDS
    return usual if said is None else said is True


def token_name(file: GgufFile, key: str, tokens: list[str]) -> str:
    """The token whose id is in the metadata under `tokenizer.ggml.<key>_token_id`; "" where there is none.

    Raises:
        GgufError: It is beyond the vocabulary.
    """
    key = f"tokenizer.ggml.{key}_token_id"
    number = file.metadata.get(key)
    if number is None:
        return ""
    if type(number) is not int or not 0 <= number < len(tokens):
        raise GgufError(file.path, f"has {number!r} as {key}, and {len(tokens)} tokens", _UNREAL)
    return tokens[number]


def read_tokens(file: GgufFile) -> list[str]:
    """The texts of all tokens, by their ids.

    Raises:
        GgufError: It has none, or what is no list of texts.
    """
    return _vocabulary(file)[0]


def _vocabulary(file: GgufFile) -> tuple[list[str], list[int]]:
    """Tokens and their types.

    Raises:
        GgufError: There are none, two are the same, or the lists do not fit together.
    """
    tokens, types = file.array(TOKENS), file.array(TYPES)
    if not tokens or not all(type(token) is str for token in tokens):
        raise GgufError(file.path, f"has no list of texts as {TOKENS}", _UNREAL)
    types = types or [NORMAL] * len(tokens)
    if len(types) != len(tokens):
        raise GgufError(file.path, f"has {len(tokens)} tokens, and types of {len(types)}", _UNREAL)
    # Unused ones at the end fill the vocabulary up to the rows of the embedding.
    count = next((i + 1 for i in range(len(types) - 1, -1, -1) if types[i] != UNUSED), 0)
    tokens, types = tokens[:count], types[:count]
    if len(set(tokens)) != len(tokens):
        raise GgufError(file.path, "has a token twice", _UNREAL)
    return tokens, types


def _byte_level(file: GgufFile, tokens: list[str]) -> tokenizers.Tokenizer:
    alphabet = set(pre_tokenizers.ByteLevel.alphabet())
    # What is not written in the alphabet of bytes is a token by its text, such as one of another script that was added.
    vocabulary = {t if set(t) <= alphabet else _spelled(t): i for i, t in enumerate(tokens)}
    if len(vocabulary) != len(tokens):
        raise GgufError(file.path, "has a token in two spellings", _UNREAL)
    merges = [_pair(file, merge) for merge in file.array(MERGES)]
    pre = file.metadata.get(PRE, "default")
    if pre not in SPLITS:
        remedy = nearest(str(pre)[:100], SPLITS, f"Ojito knows {', '.join(SPLITS)}")
        raise GgufError(file.path, f"splits texts in a way that Ojito does not know ({PRE}: {str(pre)[:100]})", remedy)
    made = tokenizers.Tokenizer(models.BPE(vocabulary, merges, ignore_merges=pre in WHOLE_WORDS))
    if pre in NORMALIZED:
        made.normalizer = normalizers.NFC()
    made.pre_tokenizer = SPLITS[str(pre)]()
    made.decoder = decoders.ByteLevel()
    return made


def _spelled(token: str) -> str:
    """A text in the alphabet of bytes."""
    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return "".join(piece for piece, _ in splitter.pre_tokenize_str(token))


def _pair(file: GgufFile, merge: Any) -> tuple[str, str]:
    first, space, second = str(merge).partition(" ")
    if not space or not first or not second or " " in second:
        raise GgufError(file.path, f"has {str(merge)[:100]!r} among its merges, which is no pair", _UNREAL)
    return first, second


def _sentencepiece(file: GgufFile, tokens: list[str]) -> tokenizers.Tokenizer:
    """SentencePiece's BPE: LLaMA's puts a space before a text and Gemma's does not."""
    gemma = file.architecture.startswith("gemma")
    if gemma:  # their runs of spaces are kept as spaces
        tokens = [_SPACE * len(token) if token and not token.strip(" ") else token for token in tokens]
        # Their merges were made in the order of the ids, and the scores do not say so.
        scores: list[Any] = [-i for i in range(len(tokens))]
    else:
        scores = _scores(file)[: len(tokens)]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    if len(vocabulary) != len(tokens):
        raise GgufError(file.path, "has a token in two spellings", _UNREAL)
    merges = [_pair(file, merge) for merge in file.array(MERGES)] or implied_merges(vocabulary, scores)
    unknown = token_name(file, "unknown", tokens) or None
    made = tokenizers.Tokenizer(models.BPE(vocabulary, merges, fuse_unk=True, byte_fallback=True, unk_token=unknown))
    parts = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if gemma:
        made.normalizer = normalizers.Replace(" ", _SPACE)
        made.pre_tokenizer = pre_tokenizers.Split(" ", behavior="merged_with_previous")
    else:
        spaced = file.metadata.get("tokenizer.ggml.add_space_prefix", True) is True
        scheme = "first" if spaced else "never"
        made.pre_tokenizer = pre_tokenizers.Metaspace(_SPACE, prepend_scheme=scheme, split=False)
        parts += [decoders.Strip(" ", 1, 0)] if spaced else []
    made.decoder = decoders.Sequence(parts)
    return made


def _scores(file: GgufFile) -> list[float]:
    """The scores of all tokens, those that fill up included.

    Raises:
        GgufError: They are not one finite number a token.
    """
    scores, listed = file.array(SCORES), file.metadata[TOKENS]
    count = listed.length if isinstance(listed, Array) else 0
    if len(scores) != count or not all(isinstance(score, (int, float)) for score in scores):
        raise GgufError(file.path, f"has {count} tokens, and scores of {len(scores)}", _UNREAL)
    if not all(map(math.isfinite, scores)):
        raise GgufError(file.path, f"has a score that is not finite ({SCORES})", _UNREAL)
    return scores


def implied_merges(vocabulary: Mapping[str, int], scores: list[float]) -> list[tuple[str, str]]:
    """The merges of SentencePiece's BPE: every way to make a token of two others, the best tokens first.

    Args:
        vocabulary: Tokens to ids, in their order from 0 on.
        scores: Of the tokens, by their ids.

    Raises:
        ValueError: More than two million merges.
    """
    tokens = [*vocabulary]  # a piece that was cut off is forgotten, and its entry used in its place
    found: list[tuple[float, str, str]] = []
    for token, number in vocabulary.items():
        if not 1 < len(token) <= _LONGEST:
            continue
        pairs = ((vocabulary.get(token[:cut]), vocabulary.get(token[cut:])) for cut in range(1, len(token)))
        known = sorted((first, second) for first, second in pairs if first is not None and second is not None)
        found += [(scores[number], tokens[first], tokens[second]) for first, second in known]
        if len(found) > _MOST_MERGES:
            raise ValueError("too many")  # caught where it is called
    found.sort(key=lambda entry: (entry[0], len(entry[1]), len(entry[2])), reverse=True)
    return [(first, second) for _, first, second in found]


def _add(made: tokenizers.Tokenizer, tokens: list[str], types: list[int], byte_level: bool) -> None:
    """Add the tokens that are never split: those that control as special ones, and those that a user defined.

    A few files mark ordinary words of a byte-level vocabulary as controlling; what is not written in its alphabet is
    none of its tokens, and would be added behind the last.
    """
    alphabet = set(pre_tokenizers.ByteLevel.alphabet()) if byte_level else None
    control = [
        AddedToken(token, normalized=False, special=True)
        for token, kind in zip(tokens, types, strict=True)
        if kind == CONTROL and token and (alphabet is None or set(token) <= alphabet)
    ]
    plain = [
        AddedToken(token, normalized=False, special=False)
        for token, kind in zip(tokens, types, strict=True)
        if kind == USER_DEFINED and token and made.token_to_id(token) is not None
    ]
    if len(control) + len(plain) > _MOST_ADDED:
        raise ValueError("too many")  # caught where it is called
    made.add_special_tokens(control)
    made.add_tokens(plain)
