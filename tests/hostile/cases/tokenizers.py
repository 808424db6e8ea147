"""Tokenizers, and the files that say which of their tokens end a text."""

import base64
import json
import struct

from tests.hostile.changes import Cases, both, edited, replaced
from tests.hostile.good_folders import BOTH

CASES = Cases()
case = CASES.add

ADDED = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}


def token(number, content):
    return {"id": number, "content": content, **ADDED}


def vocabulary(**fields):
    return edited("tokenizer.json", lambda v: v.update(fields))


def bpe(**fields):
    model = {"type": "BPE", "vocab": {"<eos>": 0, "<bos>": 1, "a": 2, "b": 3, "ab": 4}, "merges": [["a", "b"]]}
    return vocabulary(model={**model, **fields}, added_tokens=[])


def split_by(pattern):
    return vocabulary(
        pre_tokenizer={"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    )


NO_TOKENIZER = "is not a tokenizer"
TOKENIZERS = {
    "ids beyond 32 bits": (bpe(vocab={"<eos>": 2**32}), NO_TOKENIZER),
    "ids below 0": (bpe(vocab={"<eos>": -1}), NO_TOKENIZER),
    "an id beyond the vocabulary": (bpe(vocab={"<eos>": 2**32 - 1, "<bos>": 1}, merges=[]), "4294967296|has none of"),
    "a merge of nothing": (bpe(merges=[["x", "y"]]), NO_TOKENIZER),
    "a merge of one": (bpe(merges=["a"]), NO_TOKENIZER),
    "a prefix that is longer than its tokens": (bpe(continuing_subword_prefix="##########"), NO_TOKENIZER),
    # A public folder names its tokens in other files, too, and these are added: such a model can end, and loads.
    "no eos": (bpe(vocab={"a": 0}, merges=[]), None),
    "no tokens": (bpe(vocab={}, merges=[]), None),
    "an unknown model": (vocabulary(model={"type": "Evil"}), NO_TOKENIZER),
    "no model": (vocabulary(model=None), NO_TOKENIZER),
    "another version": (vocabulary(version="9.9"), NO_TOKENIZER),
    "30,000 special tokens": (
        vocabulary(added_tokens=[token(2 + i, f"<{i}>") for i in range(30_000)]), "30000 added tokens"),
    "added tokens without a field": (vocabulary(added_tokens=[{"id": 1}]), NO_TOKENIZER),
    "added tokens of another kind": (vocabulary(added_tokens={"a": 1}), NO_TOKENIZER),
    "ids that are lists": (vocabulary(added_tokens=[token([], "x")]), NO_TOKENIZER),
    "a pattern that is none": (split_by("("), NO_TOKENIZER),
    "a pattern nested deep": (split_by("(" * 50_000 + ")" * 50_000), NO_TOKENIZER),
    "a pattern that takes for ever": (split_by("(a+)+(a|aa)+$"), None),
    "a pattern that counts far": (split_by("((a{1000}){1000}){1000}"), None),
    "pieces of no length": (vocabulary(pre_tokenizer={"type": "FixedLength", "length": 0}), NO_TOKENIZER),
    "parts nested deep": (vocabulary(pre_tokenizer=json.loads(
        '{"type":"Sequence","pretokenizers":[' * 200 + "]}" * 200)), NO_TOKENIZER),
    "an unknown part": (vocabulary(normalizer={"type": "Evil", "code": "import os"}), NO_TOKENIZER),
    "padding without end": (vocabulary(padding={
        "strategy": {"Fixed": 2**40}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0,
        "pad_token": "x"}), ""),
    "a mean template": (vocabulary(post_processor={
        "type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x", "type_id": 0}}], "pair": [],
        "special_tokens": {}}), None),
    "13 million lists": (
        replaced("tokenizer.json", lambda _: '{"model":[' + "[]," * (13 * 10**6) + "[]]}"), "more than 4,000,000"),
    "a name with a line break": (
        vocabulary(added_tokens=[token(2, "<bos>\n"), token(3, "<eos>\n")]), None),
}  # fmt: skip
for charsmap in (b"", b"\0\0\0", b"\xff\xff\xff\xff", struct.pack("<I", 2**30) + bytes(8), b"\4\0\0\0" + bytes(4)):
    coded = base64.b64encode(charsmap).decode()
    precompiled = vocabulary(normalizer={"type": "Precompiled", "precompiled_charsmap": coded})
    TOKENIZERS[f"a charsmap of {charsmap[:5]!r}"] = (precompiled, NO_TOKENIZER)
TOKENIZERS["a charsmap under a hidden name"] = (
    both(
        vocabulary(normalizer={"type": "Precompiled", "precompiled_charsmap": "/////w=="}),
        replaced(
            "tokenizer.json", lambda f: (f / "tokenizer.json").read_text().replace("precompiled_", "\\u0070recompiled_")
        ),
    ),
    NO_TOKENIZER,
)
for what, (change, said) in TOKENIZERS.items():
    case(f"tokenizer with {what}", BOTH, change, said)

for what, value in {
    "a number": 3, "a list": ["x"], "an unknown token": "<evil>", "1 MB": "x" * 10**6, "a line break": "\n",
    "half": "\ud800", "a mapping": {"content": 3}, "nothing": "", "null": None, "nested": {"content": {"content": "x"}},
}.items():  # fmt: skip
    case(
        f"eos_token is {what}", "llava", edited("tokenizer_config.json", lambda v, x=value: v.update(eos_token=x)), None
    )
for what, value in {
    "a text": "x", "a fraction": 1.5, "beyond": 2**70, "below 0": -1, "true": True, "nested": [[1]], "a million": list(
        range(10**6)), "null": None, "a mapping": {},
}.items():  # fmt: skip
    case(
        f"eos_token_id is {what}",
        "llava",
        edited("generation_config.json", lambda v, x=value: v.update(eos_token_id=x)),
        None,
    )
