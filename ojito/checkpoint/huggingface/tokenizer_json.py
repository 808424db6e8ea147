"""Two parts of a tokenizer.json that are read without its vocabulary: the added tokens and the post-processor."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ojito.checkpoint.files import MAX_JSON, CheckpointError

_ADDED = re.compile(r'"added_tokens"\s*:\s*(?=\[)')
_POST_PROCESSOR = re.compile(r'"post_processor"\s*:\s*(?=\{)')


@dataclass(frozen=True)
class AddedToken:
    """A token that is never split.

    Attributes:
        content: Its text.
        special: Whether decoding leaves it out.
    """

    content: str
    special: bool


@dataclass(frozen=True)
class TokenizerFile:
    """What a tokenizer.json says beside its vocabulary.

    Attributes:
        path: The file.
        added: Its added tokens, by their ids.
        post_processor: What it does with the ids of a text; empty where it does nothing.
    """

    path: Path
    added: Mapping[int, AddedToken]
    post_processor: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> TokenizerFile:
        """Reads these parts alone: as Python's objects, a whole vocabulary would take more memory than some models.

        Raises:
            CheckpointError: It is not a tokenizer.
        """
        try:
            text = path.read_text(encoding="utf-8")
            entries = _part(text, _ADDED) or []
            added = {e["id"]: AddedToken(str(e["content"]), bool(e.get("special", False))) for e in entries}
            post_processor = _part(text, _POST_PROCESSOR) or {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise CheckpointError(path, "is not a tokenizer", "copy it again") from None
        return cls(path, added, post_processor)

    @property
    def names(self) -> set[str]:
        """The texts of all added tokens."""
        return {token.content for token in self.added.values()}

    def is_special(self, name: str) -> bool:
        """Whether this is one of its special tokens."""
        return any(token.special and token.content == name for token in self.added.values())

    def begin(self) -> str:
        """The token that it writes before every text; "" where it writes none.

        Raises:
            CheckpointError: It writes several, or one after every text, which no row of a dialogue has.
        """
        try:
            before, after = _around(self.post_processor)
        except (KeyError, TypeError, IndexError, AttributeError, RecursionError):
            raise CheckpointError(self.path, "has a damaged post_processor", "copy it again") from None
        if len(before) > 1 or after:
            written = " ".join([*before, "...", *after])
            raise CheckpointError(
                self.path, f"writes {written} around every text, and Ojito has one token before it", "use another one"
            )
        return before[0] if before else ""


def _part(text: str, name: re.Pattern[str]) -> Any:
    start = name.search(text)
    return json.JSONDecoder().raw_decode(text[start.end() : start.end() + MAX_JSON])[0] if start else None


def _around(processor: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The tokens that a post-processor writes before and after a text."""
    before: list[str] = []
    after: list[str] = []
    kind = processor.get("type")
    if kind == "Sequence":
        for one in processor.get("processors", []):
            first, last = _around(one)
            before, after = [*first, *before], [*after, *last]
    elif kind == "TemplateProcessing":
        found = before
        for piece in processor.get("single", []):
            if "Sequence" in piece:
                found = after
            else:
                found += processor["special_tokens"][piece["SpecialToken"]["id"]]["tokens"]
    elif kind in ("BertProcessing", "RobertaProcessing"):
        before, after = [str(processor["cls"][0])], [str(processor["sep"][0])]
    return before, after
