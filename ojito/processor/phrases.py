"""Phrases as tokens: "what colour is the ball?" is two, " what colour is the" and " ball?".

Byte-level BPE stops at the ends of words. A second round of merges goes on from there, with whole words, for as long as
it finds a pair of neighbours in enough texts (SuperBPE, Liu et al. 2025, arXiv 2503.13423). What always stands together
becomes one token, what varies stays apart. Rows get shorter, and so do the ways inside a model: it answers from the
last token of a question, and where that token is the name asked about, finding the thing takes one look, not two.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Mapping

import tokenizers
from tokenizers import pre_tokenizers

SPACE = "Ġ"  # how byte-level BPE writes a space

Pair = tuple[str, str]


def words_with_their_marks() -> pre_tokenizers.PreTokenizer:
    """Cuts a text before every space only, so that "ball?" is one word."""
    return pre_tokenizers.Sequence([_bytes(), pre_tokenizers.Split(SPACE, behavior="merged_with_next")])


def add_phrases(made: tokenizers.Tokenizer, texts: Mapping[str, int], share: float, size: int) -> tokenizers.Tokenizer:
    """A byte-level BPE that was trained on `words_with_their_marks`, with merges across words added.

    Args:
        made: The tokenizer of words.
        texts: What to learn from, and how often each comes up.
        share: A pair of neighbours is merged if it comes up this often, as a share of all texts.
        size: The most entries of the vocabulary.
    """
    made.encode_special_tokens = True  # "<eos>" in a text is five characters
    rows = [(made.encode(text, add_special_tokens=False).tokens, count) for text, count in texts.items()]
    enough = share * sum(texts.values())
    state = json.loads(made.to_str())
    vocabulary, merges = state["model"]["vocab"], state["model"]["merges"]
    while len(vocabulary) < size:
        pair, count = _most_frequent(rows)
        if count < max(enough, 2):
            break
        merges.append(list(pair))
        vocabulary.setdefault("".join(pair), len(vocabulary))
        rows = [(_merged(row, pair), count) for row, count in rows]
    made = tokenizers.Tokenizer.from_str(json.dumps(state))
    made.pre_tokenizer = _bytes()  # from now on, nothing is cut
    return made


def _bytes() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False)


def _most_frequent(rows: list[tuple[list[str], int]]) -> tuple[Pair, int]:
    pairs: Counter[Pair] = Counter()
    for row, count in rows:
        for pair in itertools.pairwise(row):
            pairs[pair] += count
    return max(pairs.items(), key=lambda item: (item[1], item[0]), default=(("", ""), 0))


def _merged(row: list[str], pair: Pair) -> list[str]:
    merged: list[str] = []
    for token in row:
        if merged and (merged[-1], token) == pair:
            merged[-1] += token
        else:
            merged.append(token)
    return merged
