"""Drafting by prompt lookup: tokens that repeat from the prompt or the answer are guessed, and read in one pass.

Where the last tokens of a text have stood in it before, what followed them there is a good guess at what follows now:
in boxes, tables and copied text. A pass over several tokens takes little longer than a pass over one, and its logits
tell which of the guesses the model would have chosen itself. Those are kept, and no other, so that the answer is that
of plain greedy decoding.

Source: prompt lookup decoding (Saxena 2023, github.com/apoorvumang/prompt-lookup-decoding); checking a draft in one
pass is that of speculative decoding, Leviathan et al. 2023, arXiv 2211.17192.
"""

from __future__ import annotations

from collections.abc import Iterable

from ojito.generate.options import GenerateOptions
from ojito.generate.sampling import Greedy, Temperature, TopK, TopP, is_greedy
from ojito.records import IMAGE

_SIZES = (3, 2)  # of the last tokens that are looked for, the longer ones first
_FIRST_PAUSE, _LAST_PAUSE = 4, 64  # tokens without a guess after a wrong one


class Lookup:
    """The text of one row, with an index of where its last two and three tokens stood before.

    A lookup is two reads of a dictionary, however long the text is. A guess that was right throughout doubles the
    length of the next one; a wrong token shortens it. When not even the first token was right, guessing pauses, twice
    as long each time, up to 64 tokens. So a text that never repeats costs next to nothing.

    Args:
        prompt: Its tokens; `IMAGE` where images stand.
        most: The most tokens that are guessed at once.
    """

    def __init__(self, prompt: Iterable[int], most: int) -> None:
        self._most = most
        self._size = max(1, most // 2)
        self._pause = _FIRST_PAUSE
        self._waits = 0  # tokens until the next guess
        self._text: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}  # the place after the last occurrence of a piece
        self._found = 0  # the place that followed an earlier occurrence of the last tokens; 0 is none
        for token in prompt:
            self._add(token)

    def add(self, token: int) -> None:
        """Append a new token of the answer."""
        self._add(token)
        self._waits = max(0, self._waits - 1)

    def _add(self, token: int) -> None:
        text = self._text
        text.append(token)
        self._found = 0
        for size in _SIZES:
            piece = tuple(text[-size:])
            if len(piece) == size and IMAGE not in piece:
                self._found = self._found or self._after.get(piece, 0)
                self._after[piece] = len(text)

    def guess(self, most: int) -> list[int]:
        """Return a guess at the next tokens, `most` at most; empty where the last ones are new, or in a pause."""
        if not self._found or self._waits:
            return []
        text, guess = self._text, list[int]()
        for place in range(self._found, self._found + min(most, self._size)):
            # Behind the end of the text it goes on as guessed: a text that repeats every two tokens still does.
            token = text[place] if place < len(text) else guess[place - len(text)]
            if token == IMAGE:
                break
            guess.append(token)
        return guess

    def judge(self, guessed: int, right: int) -> None:
        """Adapt to how many tokens of a guess were right; call it before these are added."""
        if not guessed:
            return
        if right == guessed:
            self._size = min(2 * self._size, self._most)
        else:
            self._size = max(right + 1, self._size // 2)
        if right:
            self._pause = _FIRST_PAUSE
        else:
            # The token that is right in place of the guess is added next, and counts.
            self._waits, self._pause = self._pause + 1, min(2 * self._pause, _LAST_PAUSE)


def may_draft(options: GenerateOptions) -> bool:
    """Whether a row's tokens may be guessed: only where it takes the likeliest token, whatever came before.

    A sampler of one's own may choose as it likes, a repetition penalty changes with every token, and a mask of allowed
    tokens is computed for one token at a time.
    """
    # Not `isinstance`: a class made of one of these may choose as it likes, too.
    plain = type(options.sampler) in (Greedy, Temperature, TopK, TopP) and is_greedy(options.sampler)
    free = options.beams == options.repetition_penalty == 1 and options.allowed is None
    return options.drafts > 0 and plain and free
