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
    """Split a text before every space only, so that "ball?" is one word."""
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
    rows = _Rows([made.encode(text, add_special_tokens=False).tokens for text in texts], list(texts.values()))
    enough = max(share * sum(texts.values()), 2)
    state = json.loads(made.to_str())
    vocabulary, merges = state["model"]["vocab"], state["model"]["merges"]
    while len(vocabulary) < size:
        pair, count = rows.most_frequent()
        if count < enough:
            break
        rows.merge(pair)
        merges.append(list(pair))
        vocabulary.setdefault("".join(pair), len(vocabulary))
    made = tokenizers.Tokenizer.from_str(json.dumps(state))
    made.pre_tokenizer = _bytes()  # from now on, nothing is cut
    return made


def _bytes() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False)


class _Rows:
    """Tokenized texts, and how often each pair of neighbours stands in them."""

    def __init__(self, rows: list[list[str]], weights: list[int]) -> None:
        self._rows, self._weights = rows, weights
        self._counts: Counter[Pair] = Counter()
        self._found: dict[Pair, set[int]] = {}  # rows that have, or once had, this pair
        for number in range(len(rows)):
            self._count(number, 1)

    def most_frequent(self) -> tuple[Pair, int]:
        """Return the most frequent pair and its count; ties go by letters."""
        return max(self._counts.items(), key=lambda item: (item[1], item[0]), default=(("", ""), 0))

    def merge(self, pair: Pair) -> None:
        """Merge the two into one token wherever they are neighbours."""
        for number in self._found.pop(pair):
            self._count(number, -1)
            self._rows[number] = _merged(self._rows[number], pair)
            self._count(number, 1)

    def _count(self, number: int, sign: int) -> None:
        for pair in itertools.pairwise(self._rows[number]):
            self._counts[pair] += sign * self._weights[number]
            self._found.setdefault(pair, set()).add(number)


def _merged(row: list[str], pair: Pair) -> list[str]:
    merged: list[str] = []
    for token in row:
        if merged and (merged[-1], token) == pair:
            merged[-1] += token
        else:
            merged.append(token)
    return merged
