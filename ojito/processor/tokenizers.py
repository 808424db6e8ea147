"""Text to ids and back: single characters, byte-level BPE, or any `tokenizer.json`. All three are one such file."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import tokenizers
from tokenizers import AddedToken
from tokenizers.models import Unigram
from tokenizers.pre_tokenizers import ByteLevel

from ojito.config import TokenizerConfig
from ojito.errors import nearest
from ojito.gguf.container import GgufFile, is_gguf_file
from ojito.gguf.tokenizer import read_tokenizer
from ojito.processor.vocabulary import learn_bpe, learn_characters
from ojito.settings import ConfigError, read_text, shown

# What the three tokens are called in the files people have. Ours are the first of each row.
PAD = ("<pad>", "[PAD]", "<|pad|>", "<|finetune_right_pad_id|>")
BOS = ("<bos>", "<s>", "[BOS]", "<|begin_of_text|>", "<|startoftext|>", "<|im_start|>")
EOS = ("<eos>", "</s>", "[EOS]", "<|end_of_text|>", "<|im_end|>", "<|endoftext|>")

After = Literal["start", "token", "text"]
"""What a text follows: nothing (or bos), a special or added token or an image, other text."""

_MEMORY = 100_000  # texts whose ids are kept: the questions of a data set repeat
_MOST_NAMES = 10_000  # that one entry of `added` or `special` may stand for
_LONGEST_NAME = 200  # characters
_MOST_ADDED = 20_000  # special and added tokens
_LARGEST = 64 * 2**20  # bytes of a file
_MOST_VALUES = 4_000_000  # in a file; Gemma's has half of them
_SPELT = re.compile(r"\\u00[4-7]")  # how a letter may be hidden in JSON
_RANGE = re.compile(r"\{(\d{1,4})\.\.(\d{1,4})\}")
# How normalizers and pre-tokenizers are told, in their files, to put no space before a text.
_NO_SPACE_BEFORE = {"prepend_scheme": "never", "add_prefix_space": False, "prepend": ""}


class Tokenizer:
    """A vocabulary with the ids that a dialogue needs.

    Our own BPE tokenizes a text the same wherever it stands: word boundaries are written as leading spaces, and every
    text gets one, so that the answer "red" is the same token as the word in "a red ball". `decode` takes it off again.

    Attributes:
        size: Ids run from 0 to size - 1.
        eos: Ends every answer in training.
        ends: Any of these ends an answer in generation; `eos` is the first.
        pad: Fills rows to one length; never read, so that a file without such a token lends `eos` for it.
        bos: Begins the text of a row; None where the file has no such token.
        whole: The ids of all special and added tokens: text beside them is tokenized as if they were not there.
    """

    def __init__(
        self,
        tokenizer: tokenizers.Tokenizer,
        config: TokenizerConfig = TokenizerConfig(),  # noqa: B008 - frozen
        origin: str = "tokenizer",
    ) -> None:
        """Wrap a tokenizer of the library, as `train` and `read` do.

        Args:
            tokenizer: Gets the tokens of `config.special` and `config.added` that it lacks.
            config: Names its tokens; what it says about learning is not looked at.
            origin: For messages.

        Raises:
            ConfigError: There is no token that ends an answer, or none of a name that `config` gives.
        """
        # "<eos>" in a caption means five characters, not the end of it.
        tokenizer.encode_special_tokens = True
        self._tokenizer, self._config = tokenizer, config
        self._ids: dict[tuple[str, After], tuple[int, ...]] = {}
        known = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
        special = {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}
        tokenizer.add_special_tokens([name for name in _names(config.special) if name not in special])
        added = (AddedToken(name, normalized=False) for name in _names(config.added) if name not in known)
        tokenizer.add_tokens(list(added))

        ends = [self._named("eos", name, origin) for name in config.eos]
        more = [i for i in config.eos_ids if tokenizer.id_to_token(i) is not None]
        eos = ends[0] if ends else self._first(EOS)
        if eos is None and more:  # an ordinary word, which the model was trained to end with
            eos = more[0]
        if eos is None:
            raise ConfigError(
                origin, f"has none of the tokens {', '.join(EOS)}, so answers could not end", "name one as eos"
            )
        self.eos, self.ends = eos, tuple(dict.fromkeys([eos, *ends, *more]))
        self.bos = None
        if config.has_bos:
            self.bos = self._named("bos", config.bos, origin) if config.bos else self._first(BOS)
        pad = self._named("pad", config.pad, origin) if config.pad else self._first(PAD)
        self.pad = eos if pad is None else pad

        self.size = _size(tokenizer)
        whole = tokenizer.get_added_tokens_decoder()
        self.whole = frozenset(whole)
        self._special = {token.content: i for i, token in whole.items() if token.special}
        longest_first = sorted(self._special, key=len, reverse=True)
        self._border = re.compile(f"({'|'.join(map(re.escape, longest_first)) or '(?!)'})")
        self._within: dict[After, tokenizers.Tokenizer] = {"start": tokenizer}
        self._spaced = any(part.get("add_prefix_space") for part in _parts(tokenizer.pre_tokenizer)[1])

    @classmethod
    def train(cls, config: TokenizerConfig, texts: Iterable[str], vocab_size: int) -> Tokenizer:
        """Learn the tokenizer of `config.kind` from texts (kind=file: read it).

        Args:
            config: The recipe's `processor.tokenizer`.
            texts: Everything that the model shall read and write, `prompts.texts` of the training rows.
            vocab_size: The most entries, where `config.vocab_size` does not say.

        Raises:
            ConfigError: The vocabulary is too small, or the file unusable.
        """
        if config.kind == "file":
            return cls.read(config.path, config)
        size = config.vocab_size or vocab_size
        named = (config.pad or PAD[0], config.bos or BOS[0], *(config.eos or EOS[:1]), *_names(config.special))
        special, added = list(dict.fromkeys(named)), len(_names(config.added))
        if config.kind == "characters":
            return cls(learn_characters(texts, size, special, added), config)
        return cls(learn_bpe(texts, size, special, added, config.phrases), config)

    @classmethod
    def read(
        cls,
        path: Path | str,
        config: TokenizerConfig = TokenizerConfig(),  # noqa: B008 - frozen
    ) -> Tokenizer:
        """The tokenizer in a `tokenizer.json`, or in the metadata of a GGUF file.

        Args:
            path: The file.
            config: Names its tokens.

        Raises:
            ConfigError: No such file, not a tokenizer, one that cannot end an answer, or lacks a token that is named.
            GgufError: A GGUF file that is damaged, or has a tokenizer of another kind.
        """
        if is_gguf_file(path):
            return cls(read_tokenizer(GgufFile(path)), config, str(path))
        made = _parse(read_text(path, _LARGEST, "give the path of a tokenizer.json"), str(path))
        return cls(made, config, str(path))

    def __reduce__(self) -> tuple[type[Tokenizer], tuple[tokenizers.Tokenizer, TokenizerConfig]]:
        # Loader processes get a copy; the library's own forgets that special tokens in a text are plain text.
        return Tokenizer, (self._tokenizer, self._config)

    @property
    def reach(self) -> int:
        """One more than the highest id of a token that text, or `config`, can name.

        Some files have special tokens of other models behind the last that their own has an embedding for. In a text
        those are plain text, as all special tokens.
        """
        plain = set(self._tokenizer.get_vocab().values()) - set(self._special.values())
        named = (self._special[name] for name in _names(self._config.special))
        return 1 + max({*plain, *named, *self.ends, self.pad, -1 if self.bos is None else self.bos})

    def library(self) -> tokenizers.Tokenizer:
        """A copy of the tokenizer of the library, in which special tokens in a text are themselves."""
        return tokenizers.Tokenizer.from_str(self._tokenizer.to_str())

    def save(self, path: Path | str) -> None:
        """Write the `tokenizer.json` that `read` reads, with the added tokens."""
        Path(path).write_text(self._tokenizer.to_str(pretty=True), encoding="utf-8")

    def encode(self, text: str, after: After = "start") -> Sequence[int]:
        """The ids of a text, without bos and eos. Ids of texts met before come from memory.

        Args:
            text: Special tokens in it are plain text.
            after: What it follows. Vocabularies with words that begin with a space have one put before a text, some
                before every text and some at the beginning of a row only: within a row there must be none too many.
        """
        ids = self._ids.get((text, after))
        if ids is None:
            if len(self._ids) >= _MEMORY:
                self._ids.clear()
            if after not in self._within:
                self._within[after] = _within(self._tokenizer, after)
            ids = tuple(self._within[after].encode(text, add_special_tokens=False).ids)
            self._ids[text, after] = ids
        return ids

    def missing(self, texts: Iterable[str]) -> dict[str, int]:
        """Count the characters of texts that have no entry: they are read as one unknown token, and never written.

        Args:
            texts: Not looked at where every byte has an entry.

        Returns:
            The characters, the most frequent first.
        """
        bytes_of_bpe = ByteLevel.alphabet()
        if any(part.get("type") == "ByteLevel" for part in _parts(self._tokenizer.pre_tokenizer)[1]) and all(
            self._tokenizer.token_to_id(byte) is not None for byte in bytes_of_bpe
        ):
            return {}
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(text)
        unknown = self._unknown()
        return {c: count for c, count in counts.most_common() if self._lacks(c, unknown)}

    def _lacks(self, character: str, unknown: int | None) -> bool:
        if unicodedata.category(character)[0] in "CMZ":  # controls, accents and spaces are the normalizer's
            return False
        try:
            ids = self.encode(character)
        except Exception:  # noqa: BLE001 - the library's own: it has no token, not even an unknown one
            return True
        return unknown in ids or not self.decode(ids).strip()

    def _unknown(self) -> int | None:
        """The id of the token for what has no entry."""
        model = self._tokenizer.model
        if isinstance(model, Unigram):
            unknown: int | None = json.loads(self._tokenizer.to_str())["model"].get("unk_id")
            return unknown
        name = getattr(model, "unk_token", None)
        found: int | None = None if name is None else self._tokenizer.token_to_id(name)
        return found

    def parse(self, text: str) -> list[str | int]:
        """A text from the recipe, whose special tokens are meant as such: their ids and the text between them."""
        parts: list[str | int] = []
        for part in self._border.split(text):
            parts += [self._special.get(part, part)] if part else []
        return parts

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; bos, eos, pad and other special tokens write nothing.

        Source: the file's own decoder, as in transformers. Byte-level BPE that puts a space before every text, as our
        own does, leaves it there; here it is taken off.
        """
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text.removeprefix(" ") if self._spaced else text

    def shown(self, token: int) -> str:
        """The text of one token for a reader; of a special one, and of half a character, its name in the vocabulary."""
        text = self.decode([token])
        return text if text and "\ufffd" not in text else str(self._tokenizer.id_to_token(token))

    def _named(self, setting: str, name: str, origin: str) -> int:
        """The id of a token that the recipe names; from now on, it is a special one."""
        found: int | None = self._tokenizer.token_to_id(name)
        if found is None:
            tokens = self._tokenizer.get_added_tokens_decoder().values()
            remedy = nearest(name[:_LONGEST_NAME], [token.content for token in tokens], "name one that it has")
            raise ConfigError(f"processor.tokenizer.{setting}", f"{shown(name)} is not a token of {origin}", remedy)
        if not self._tokenizer.get_added_tokens_decoder().get(found, AddedToken(name)).special:
            self._tokenizer.add_special_tokens([name])
        return found

    def _first(self, names: Sequence[str]) -> int | None:
        """The id of the first of these that is a special token: in Qwen's vocabulary, "<s>" is an ordinary word."""
        special = {token.content: i for i, token in self._tokenizer.get_added_tokens_decoder().items() if token.special}
        return next((special[name] for name in names if name in special), None)


def _parse(text: str, path: str) -> tokenizers.Tokenizer:
    """Parse a tokenizer.json. The library trusts its files; what could exhaust memory or end the process is refused.

    Raises:
        ConfigError: It is no tokenizer, or such a one.
    """
    if sum(map(text.count, ",[{")) > _MOST_VALUES:
        raise ConfigError(path, f"holds more than {_MOST_VALUES:,} values", "give the file of a real tokenizer")
    try:
        if "precompiled_charsmap" in text or _SPELT.search(text):
            json.loads(text, object_pairs_hook=_check_charsmap)
        made = tokenizers.Tokenizer.from_str(text)
        made.no_padding()  # before it is used: the file may ask for any length
        made.no_truncation()
        num_added = len(made.get_added_tokens_decoder())
        _try(made)
    except BaseException as error:  # the library raises bare Exceptions, and panics, which are not even that
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        remedy = "give a tokenizer.json of Hugging Face's tokenizers library"
        raise ConfigError(path, "is not a tokenizer", remedy) from error
    if num_added > _MOST_ADDED:
        raise ConfigError(path, f"has {num_added} added tokens", f"give a tokenizer with {_MOST_ADDED} or fewer")
    return made


def _size(tokenizer: tokenizers.Tokenizer) -> int:
    """One more than the highest id."""
    count: int = tokenizer.get_vocab_size()
    if all(map(tokenizer.id_to_token, range(count))):
        return count  # so many entries for so many ids: nothing is left for a higher one
    return max(tokenizer.get_vocab().values(), default=-1) + 1


def _try(tokenizer: tokenizers.Tokenizer) -> None:
    """Use the tokenizer once: some broken ones panic only then."""
    with contextlib.suppress(Exception):  # a text that it has no tokens for
        tokenizer.encode("a b", add_special_tokens=False)


def _check_charsmap(pairs: list[tuple[str, Any]]) -> None:
    """Check an object of the file: a charsmap begins with the size of its table, which the library allocates unchecked.

    Raises:
        ValueError: The table is larger than the charsmap.
    """
    for key, value in pairs:
        if key == "precompiled_charsmap":
            data = base64.b64decode(value, validate=True)
            if not 4 <= 4 + int.from_bytes(data[:4], "little") <= len(data):
                raise ValueError("no charsmap")  # caught below


def _names(patterns: Iterable[str]) -> list[str]:
    """Expand patterns such as `<loc{0000..1023}>`."""
    names: list[str] = []
    for pattern in patterns:
        names += _written_out(pattern)
        if len(names) > _MOST_ADDED:
            raise ConfigError("processor.tokenizer", f"names more than {_MOST_ADDED} tokens", "write fewer")
    return names


def _written_out(pattern: str) -> list[str]:
    if len(pattern) > _LONGEST_NAME:
        problem = f"{shown(pattern)} has {len(pattern)} characters"
        raise ConfigError("processor.tokenizer", problem, f"write {_LONGEST_NAME} or fewer")
    first, *rest = _RANGE.split(pattern)
    names = [first]
    for low, high, text in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
        numbers = range(int(low), int(high) + 1)
        if not 0 < len(names) * len(numbers) <= _MOST_NAMES:
            raise ConfigError(
                "processor.tokenizer",
                f"{pattern!r} stands for {len(names) * len(numbers)} tokens",
                f"write 1 to {_MOST_NAMES}, for example '<loc{{0000..1023}}>'",
            )
        names = [f"{name}{number:0{len(low)}}{text}" for name in names for number in numbers]
    return names


def _within(tokenizer: tokenizers.Tokenizer, after: After) -> tokenizers.Tokenizer:
    """The tokenizer for texts within a row."""
    state: dict[str, Any] = {}
    for name in ("normalizer", "pre_tokenizer"):
        tree, parts = _parts(getattr(tokenizer, name))
        for part in parts:
            for setting, no_space in _NO_SPACE_BEFORE.items():
                # After a token, all but those for the beginning of a row go on putting theirs.
                if part.get(setting, no_space) != no_space and (after == "text" or part[setting] == "first"):
                    part[setting], state[name] = no_space, tree
    if not state:
        return tokenizer
    made = tokenizers.Tokenizer.from_str(json.dumps({**json.loads(tokenizer.to_str()), **state}))
    made.encode_special_tokens = True
    return made


def _parts(component: Any) -> tuple[Any, list[dict[str, Any]]]:
    """The settings of a normalizer or pre-tokenizer, as a tree and as a list of the tree's parts."""
    parts: list[dict[str, Any]] = []

    def keep(part: dict[str, Any]) -> dict[str, Any]:
        parts.append(part)
        return part

    return (None, parts) if component is None else (json.loads(component.__getstate__(), object_hook=keep), parts)
