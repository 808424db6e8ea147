"""Text to ids and back: single characters, byte-level BPE, or any `tokenizer.json`. All three are one such file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from ojito.config import TokenizerConfig
from ojito.processor.phrases import add_phrases, words_with_their_marks
from ojito.settings import ConfigError

# What the three tokens are called in the files people have. Ours are the first of each row.
PAD = ("<pad>", "[PAD]", "<|pad|>", "<|finetune_right_pad_id|>")
BOS = ("<bos>", "<s>", "[BOS]", "<|begin_of_text|>", "<|startoftext|>", "<|im_start|>")
EOS = ("<eos>", "</s>", "[EOS]", "<|end_of_text|>", "<|im_end|>", "<|endoftext|>")
UNKNOWN = "<unk>"

_MEMORY = 100_000  # texts whose ids are kept: the questions of a data set repeat


class Tokenizer:
    """A vocabulary with the three ids that a dialogue needs.

    Our own BPE tokenizes a text the same wherever it stands: word boundaries are written as leading spaces, and every
    text gets one, so that the answer "red" is the same token as the word in "a red ball". `decode` takes it off again.

    Attributes:
        size: Ids run from 0 to size - 1.
        eos: Ends every answer.
        pad: Fills rows to one length; never read, so that a file without such a token lends `eos` for it.
        bos: Begins the text of a row; None where the file has no such token.
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer, origin: str = "tokenizer") -> None:
        """Wraps what `train` and `read` make.

        Raises:
            ConfigError: There is no token that ends an answer.
        """
        # Whoever writes "<eos>" into a caption means five characters, not the end of it.
        tokenizer.encode_special_tokens = True
        self._tokenizer = tokenizer
        self._ids: dict[str, tuple[int, ...]] = {}
        self.size: int = max(tokenizer.get_vocab().values(), default=-1) + 1
        eos = self._first(EOS)
        if eos is None:
            raise ConfigError(origin, f"has none of the tokens {', '.join(EOS)}, so answers could not end; add one")
        pad = self._first(PAD)
        self.eos, self.pad, self.bos = eos, eos if pad is None else pad, self._first(BOS)

    @classmethod
    def train(cls, config: TokenizerConfig, texts: Iterable[str], vocab_size: int) -> Tokenizer:
        """Learns the tokenizer of `config.kind` from texts (kind=file: reads it).

        Args:
            config: The recipe's `processor.tokenizer`.
            texts: Everything that the model shall read and write, `prompts.texts` of the training rows.
            vocab_size: The most entries, where `config.vocab_size` does not say.

        Raises:
            ConfigError: The vocabulary is too small, or the file unusable.
        """
        size = config.vocab_size or vocab_size
        if config.kind == "file":
            return cls.read(config.path)
        if config.kind == "characters":
            return cls(_characters(texts, size))
        return cls(_bpe(texts, size, config.phrases))

    @classmethod
    def read(cls, path: Path | str) -> Tokenizer:
        """The tokenizer in a `tokenizer.json`.

        Raises:
            ConfigError: No such file, not a tokenizer, or one that cannot end an answer.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "is not UTF-8 text"
            raise ConfigError(str(path), f"cannot be read ({reason}); give the path of a tokenizer.json") from None
        try:
            made = tokenizers.Tokenizer.from_str(text)
        except Exception as error:  # the library raises bare Exceptions
            raise ConfigError(
                str(path), "is not a tokenizer; give a tokenizer.json of Hugging Face's tokenizers library"
            ) from error
        made.no_padding()
        made.no_truncation()
        return cls(made, str(path))

    def __reduce__(self) -> tuple[type[Tokenizer], tuple[tokenizers.Tokenizer]]:
        # Loader processes get a copy; the library's own forgets that special tokens in a text are plain text.
        return Tokenizer, (self._tokenizer,)

    def save(self, path: Path | str) -> None:
        """Writes the `tokenizer.json` that `read` reads."""
        Path(path).write_text(self._tokenizer.to_str(pretty=True), encoding="utf-8")

    def encode(self, text: str) -> Sequence[int]:
        """The ids of a text, without bos and eos. Ids of texts met before come from memory."""
        ids = self._ids.get(text)
        if ids is None:
            if len(self._ids) >= _MEMORY:
                self._ids.clear()
            ids = self._ids[text] = tuple(self._tokenizer.encode(text, add_special_tokens=False).ids)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; bos, eos, pad and other special tokens write nothing."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text.removeprefix(" ")

    def _first(self, names: Sequence[str]) -> int | None:
        found = (self._tokenizer.token_to_id(name) for name in names)
        return next((i for i in found if i is not None), None)


def _characters(texts: Iterable[str], size: int) -> tokenizers.Tokenizer:
    """One token a character, the most frequent `size` of them."""
    counts = Counter(c for text in texts for c in text)
    specials = [PAD[0], BOS[0], EOS[0], UNKNOWN]
    if size <= len(specials):
        raise ConfigError("processor.tokenizer.vocab_size", f"{size} leaves no room for characters; use 100 or more")
    seen = sorted(counts, key=lambda c: (-counts[c], c))
    vocabulary = {token: i for i, token in enumerate([*specials, *seen[: size - len(specials)]])}
    made = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    made.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(r"[\s\S]"), behavior="isolated")
    made.decoder = decoders.Fuse()
    made.add_special_tokens(specials)
    return made


def _bpe(texts: Iterable[str], size: int, phrases: float) -> tokenizers.Tokenizer:
    """Byte-level BPE: the 256 bytes, so that nothing is unknown, and the most useful merges of them."""
    specials = [PAD[0], BOS[0], EOS[0]]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    smallest = len(alphabet) + len(specials)
    if size < smallest:
        raise ConfigError(
            "processor.tokenizer.vocab_size",
            f"{size} has no room for the 256 bytes and {len(specials)} special tokens; "
            f"use {smallest} or more, or kind=characters",
        )
    counts = Counter(texts)
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = words_with_their_marks() if phrases else pre_tokenizers.ByteLevel(add_prefix_space=True)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(
        counts.elements(),
        # From few texts every word is learned, even one that comes up once: the rest of the vocabulary would lie idle.
        trainers.BpeTrainer(vocab_size=size, special_tokens=specials, initial_alphabet=alphabet, show_progress=False),
    )
    return add_phrases(made, counts, phrases, size) if phrases else made
