"""Vocabularies learned from text: single characters, or byte-level BPE."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from ojito.processor.phrases import add_phrases, words_with_their_marks
from ojito.settings import ConfigError

UNKNOWN = "<unk>"


def learn_characters(texts: Iterable[str], size: int, special: list[str], added: int) -> tokenizers.Tokenizer:
    """One token a character, the most frequent ones; `size` tokens with the special ones and the added."""
    counts = Counter(c for text in texts for c in text)
    specials = [*special, UNKNOWN]
    if size <= len(specials) + added:
        raise ConfigError("processor.tokenizer.vocab_size", f"{size} leaves no room for characters", "use 100 or more")
    seen = sorted(counts, key=lambda c: (-counts[c], c))
    vocabulary = {token: i for i, token in enumerate([*specials, *seen[: size - added - len(specials)]])}
    made = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    made.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(r"[\s\S]"), behavior="isolated")
    made.decoder = decoders.Fuse()
    made.add_special_tokens(specials)
    return made


def learn_bpe(texts: Iterable[str], size: int, special: list[str], added: int, phrases: float) -> tokenizers.Tokenizer:
    """Byte-level BPE: the 256 bytes, so that nothing is unknown, and the most useful merges of them.

    Args:
        texts: What to learn from.
        size: The most entries, special and added tokens among them.
        special: The special tokens.
        added: How many tokens are added later.
        phrases: As in the recipe.
    """
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    smallest = len(alphabet) + len(special) + added
    if size < smallest:
        raise ConfigError(
            "processor.tokenizer.vocab_size",
            f"{size} has no room for the 256 bytes and {len(special) + added} special tokens",
            f"use {smallest} or more, or kind=characters",
        )
    counts = Counter(texts)
    size -= added
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = words_with_their_marks() if phrases else pre_tokenizers.ByteLevel(add_prefix_space=True)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(
        counts.elements(),
        # From few texts every word is learned, even one that comes up once: the rest of the vocabulary would lie idle.
        trainers.BpeTrainer(vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    return add_phrases(made, counts, phrases, size) if phrases else made
