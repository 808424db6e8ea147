"""Rows of single characters, drawn as text."""

from dataclasses import replace

from ojito.config import PromptConfig, TokenizerConfig
from ojito.processor import Tokenizer
from ojito.processor.prompts import RowWriter
from ojito.records import IGNORE, IMAGE, Sample, Turn

SPECIAL = {"<user>": "U", "<end>": "E", "<fake>": "F", "<x1y2>": "X"}  # and how they are drawn

CHARACTERS = Tokenizer.train(
    TokenizerConfig(kind="characters", special=tuple(SPECIAL)), ["abcdefghnqrstuvxy0123456789 |<image>\n"], 100
)
CHAT = PromptConfig(separator="|", caption="c")
BLIND = replace(CHAT, turns="blind")
SYSTEM = replace(CHAT, user="u", user_with_system="<user>{system}<end>v")
INLINE = replace(CHAT, image="inline")
QA = Turn("qr", ("ab",))
TWO = Sample(["p"], turns=(QA, Turn("s", ("d", "ef"))))


def drawn(ids):
    names = {IMAGE: "i", IGNORE: ".", CHARACTERS.bos: "^", CHARACTERS.eos: "$"}
    names |= {CHARACTERS.parse(token)[0]: letter for token, letter in SPECIAL.items()}
    return "".join(names.get(i) or CHARACTERS.decode([i]) for i in ids)


def write(sample, config=CHAT, training=True, image_tokens=2, rng=None, grids=()):
    return RowWriter(config, CHARACTERS, image_tokens).write(sample, training, rng, grids)


def draw(sample, config=CHAT, **options):
    row = write(sample, config, **options)
    marks = "".join("x" if p else "." for p in row.prefix)
    digits = ("".join(map(str, numbers)) for numbers in (row.segments, row.positions))
    return [drawn(row.tokens), drawn(row.targets), marks, *digits]
