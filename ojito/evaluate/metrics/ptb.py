"""Words as the published caption scores count them: the tokens of the Penn Treebank, without punctuation.

    A dog's ball isn't on the (wet) grass.    a dog 's ball is n't on the -lrb- wet -rrb- grass

CIDEr, BLEU and ROUGE-L count words, so a score depends on what a word is, and two scores are comparable only if both
cut alike. COCO's scorers cut with Stanford's tokenizer for English, a program in Java. These rules give the same
tokens for what captions are made of; text that is rarer there (web addresses, smileys, sums of money in many forms)
is cut by the same ideas, and may differ in places.

Source: the tokens that PTBTokenizer of Stanford CoreNLP 3.4.1 gives with -lowerCase, and the marks that COCO's
evaluation then leaves out.
"""

from __future__ import annotations

import re
from functools import lru_cache

_SPELLED = str.maketrans({
    "\u2018": "`", "\u2019": "'", "\u201c": "``", "\u201d": "''", "\u2013": "--", "\u2014": "--", "\u2026": "...",
    "\u00bd": "1/2", "\u00bc": "1/4", "\u00be": "3/4", "\u00a3": "#", "\u20ac": "$", "\u00a0": " ", "\u00ad": "",
})  # fmt: skip
_ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&nbsp;": " "}
_BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
_LEFT_OUT = {"``", "''", "`", "'", ".", "?", "!", ",", ":", "-", "--", "...", ";"}
_OPENS = " \t([{`'\"-/"  # before a quotation mark that opens

# Words that are written as one and counted as two, with the length of the first.
_MERGED = {
    "cannot": 3, "gonna": 3, "gotta": 3, "wanna": 3, "lemme": 3, "gimme": 3, "'tis": 2, "'twas": 2, "y'all": 2,
}  # fmt: skip

# Abbreviations that keep their full stop.
_TITLES = (
    "mr|mrs|ms|dr|jr|sr|st|mt|sgt|lt|gen|col|capt|cpt|prof|rev|sen|gov|rep|vs|etc|inc|co|corp|ltd|bros|ave|blvd|rd|dept"
    "|ft|est|jan|feb|mar|apr|jun|jul|aug|sep|sept|oct|nov|dec|mon|tue|tues|wed|thu|thurs|fri|ph\\.d|al"
)

_TOKEN = re.compile(
    rf"""
      (?P<address> (?:https?://|www\.)\S+?(?=[.,;:!?)"']*(?:\s|$)) | [\w.+-]+@[\w-]+(?:\.[\w-]+)+ )
    | (?P<tag> </?[A-Za-z][^<>\s]*> )
    | (?P<merged> \b(?:cannot|gonna|gotta|wanna|lemme|gimme)\b | (?<![\w])'(?:tis|twas)\b | \by'all\b )
    | (?P<clipped> (?<!\w)'(?:em|til|cause|n'|\d\ds?)(?!\w) | \b(?:ol|d)'(?=\s) )
    | (?P<abbreviation> \b(?:{_TITLES})\.(?!\w) | \b[A-Za-z](?:\.[A-Za-z])+\.(?!\w) | \b[A-Za-z]\.(?![\w.])
        | \bno\.(?=\s\d) )
    | (?P<number> \d+(?:[/]\d+)+ | (?<!\w)[+-]?\d+(?:[.,:]\d+)+(?![A-Za-z]) | \d{{1,3}}(?:,\d{{3}})+
        | (?<![\w.])[+-]\d+\b(?!-) | (?<=\w)\.\d+ )
    | (?P<company> (?-i:\b[A-Z]+(?:&[A-Z]+)+\b) )
    | (?P<negated> [^\W\d_]+?(?=n't\b) )
    | (?P<ending> n't\b | 'n'(?=\w) | '(?:s|re|ve|ll|d|m|n)\b )
    | (?P<elided> \b(?:o|O|d|D|l|L|j|J|c)'[A-Za-z]{{2,}} | \bma'am\b )
    | (?P<word> \w[\w\u0300-\u036f]*(?:[-/._]\w+)* )
    | (?P<handle> [@]\w+ )
    | (?P<dots> \.{{3,}} ) | (?P<dashes> -{{2,}} ) | (?P<cries> [!?]+ ) | (?P<quotes> ``|'' )
    | (?P<mark> \S )
    """,
    re.VERBOSE | re.IGNORECASE,
)


@lru_cache(maxsize=100_000)
def tokenize(text: str) -> tuple[str, ...]:
    """Return the words of a caption in lower case, without the punctuation that scores leave out."""
    for entity, character in _ENTITIES.items():
        text = text.replace(entity, character)
    text = text.translate(_SPELLED)
    found: list[str] = []
    for match in _TOKEN.finditer(text):
        found += _spelled(match.lastgroup or "mark", match.group(), text, match.start())
    return tuple(token for token in found if token not in _LEFT_OUT)


def _spelled(kind: str, token: str, text: str, start: int) -> tuple[str, ...]:
    lower = token.lower()
    if kind == "merged":
        length = _MERGED[lower]
        return lower[:length], lower[length:]
    if kind == "dots":
        return ("...",)
    if kind == "dashes":
        return ("--",)
    if lower == '"':
        return ("``" if start == 0 or text[start - 1] in _OPENS else "''",)
    return (_BRACKETS.get(lower, lower),)
