"""Words of a text in any script, and what exact match compares."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"\w+(?:'\w+)*")
_VARIATIONS = dict.fromkeys((0xFE0E, 0xFE0F))  # an emoji as text or in colour: the same emoji
_JOINER = "\u200d"  # between the parts of one emoji
_ENDS = " .,;:!?\u3002\u0964\u06d4\u061f"  # full stops of Chinese, Hindi and Urdu, question mark of Arabic

# Scripts that do not put spaces between words: Thai to Tibetan, Myanmar, Khmer, kana and Bopomofo, Chinese characters.
_SPACELESS = ((0x0E00, 0x0FFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3005, 0x3007), (0x3040, 0x312F),
              (0x31A0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA980, 0xA9DF), (0xF900, 0xFAFF),
              (0x20000, 0x3FFFF))  # fmt: skip


def normalize(text: str) -> str:
    """Return the text that exact match compares: without case, extra white space, and .,;:!? at the end.

    Articles stay: "a ball" is not "ball". Canonically equal Unicode is equal. A text of such marks alone stays as it
    is, so that nothing is equal to "" but what is empty.
    """
    text = " ".join(_folded(text).split())
    return text.rstrip(_ENDS) or text


def words(text: str) -> list[str]:
    """Return the words of a text, without case and punctuation; canonically equal Unicode is equal.

    A character of a script without spaces is a word, and so is a symbol or an emoji. Of a text that is punctuation
    alone, every mark is one.
    """
    text = _folded(text).replace("\u2019", "'")
    found = _WORD.findall(text) if text.isascii() else _split(text)
    return found or [character for character in text if not character.isspace()]


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().translate(_VARIATIONS)


def _split(text: str) -> list[str]:
    """The words of a text that is not ASCII alone: `_WORD`, with accents that are characters of their own."""
    found: list[str] = []
    grows = False  # whether a letter or digit goes on with the last word
    for i, character in enumerate(text):
        category = unicodedata.category(character)
        joined = i > 0 and text[i - 1] == _JOINER
        if found and (category[0] == "M" or character == _JOINER or joined or _completes(character, found[-1])):
            found[-1] += character
        elif category[0] in "LN" or character == "_":
            alone = _is_spaceless(character)
            if grows and not alone:
                found[-1] += character
            else:
                found.append(character)
            grows = not alone
        elif character == "'" and grows and text[i + 1 : i + 2].isalnum():
            found[-1] += character
        else:
            grows = False
            if category[0] == "S" and not character.isascii():
                found.append(character)
    return found


def _completes(character: str, word: str) -> bool:
    """Whether the character belongs to the emoji before it: the colour of its skin, or the second half of a flag."""
    if 0x1F3FB <= ord(character) <= 0x1F3FF:
        return unicodedata.category(word[0]) == "So"
    return len(word) == 1 and all(0x1F1E6 <= ord(half) <= 0x1F1FF for half in (word, character))


def _is_spaceless(character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in _SPACELESS)
