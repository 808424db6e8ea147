"""Why an answer ends, and stop texts: found in an answer, cut off it, and held back from a stream while incomplete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from ojito.errors import OjitoError

Finish = Literal["eos", "length", "stop", "cancelled"]
Stop = Callable[[Sequence[int]], bool]
"""Whether a row's tokens, of which the last is new, end its answer."""

_UNFINISHED = "\ufffd"  # what the bytes of half a character decode to


class StopTexts:
    """Texts that end an answer and are not part of it.

    A special token, such as "<|eot_id|>", writes no text when it is decoded. As a stop text it ends the answer by its
    id, and also where the model spells it out.

    Args:
        texts: The stop texts, none of them empty; the list may be.
        decode: Ids to text, without special tokens.
        parse: A text to the ids of special tokens and the text between them.

    Raises:
        OjitoError: A text has a special token beside other text, so that it can never be found.
    """

    def __init__(
        self,
        texts: Sequence[str],
        decode: Callable[[Sequence[int]], str],
        parse: Callable[[str], Sequence[str | int]],
    ) -> None:
        self.texts, self._decode = texts, decode
        self._ids: set[int] = set()
        for text in texts:
            parts = parse(text)
            found = [part for part in parts if isinstance(part, int)]
            if found and len(parts) > 1:
                problem = f"{text!r} has a special token beside other text, and answers are text without them"
                raise OjitoError("stop", problem, "give the special token and the text each by itself")
            self._ids.update(found)

    def __call__(self, tokens: Sequence[int]) -> bool:
        """Return whether these tokens, of which the last is new, end the answer."""
        if not self.texts:
            return False
        if tokens[-1] in self._ids:
            return True
        text = self._decode(tokens).rstrip(_UNFINISHED)
        return any(stop in text for stop in self.texts)

    def cut(self, tokens: Sequence[int]) -> str:
        """Return the text of the tokens up to the first stop text."""
        text = self._decode(tokens)
        return text[: min((text.index(stop) for stop in self.texts if stop in text), default=len(text))]

    def settled(self, tokens: Sequence[int]) -> str:
        """Return the text that no further token changes: without half a character or the beginning of a stop text."""
        text = self.cut(tokens).rstrip(_UNFINISHED)
        begun = (n for stop in self.texts for n in range(len(stop) - 1, 0, -1) if text.endswith(stop[:n]))
        return text[: len(text) - max(begun, default=0)]
