"""The model card, README.md: what a model is and how to load it, all taken from the model's files."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import yaml

from ojito.config import ModelConfig

CARD = "README.md"

_CARD = """\
---
{front}---

<!-- license: is left to you. What is made from another model has to keep to the terms of that one. -->

# {title}

A vision-language model of the family `{family}`, with {parameters:,} parameters in {dtype}. It reads images as
squares of {size} x {size} pixels, each of them {tokens} tokens, and answers in text. Ojito wrote these files.

## Prompt

A question about an image is written as

{fence}text
{row}
{fence}

{writer}

## Loading

FOLDER is where these files are, or the name of their repository. In Ojito:

{fence}python
import ojito

pipe = ojito.load("FOLDER")
print(pipe.ask("photo.jpg", {question}))
{fence}

In transformers:

{fence}python
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

processor = AutoProcessor.from_pretrained("FOLDER")
model = AutoModelForImageTextToText.from_pretrained("FOLDER")
image = Image.open("photo.jpg").convert("RGB")
{inputs}
ids = model.generate(**inputs, max_new_tokens=64)
print(processor.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
{fence}
"""

_IN_TURNS = """\
turn = {{"role": "user", "content": [{{"type": "image", "image": image}}, {{"type": "text", "text": {question}}}]}}
inputs = processor.apply_chat_template(
    [turn], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
)"""
_ALONE = 'inputs = processor(images=image, text={given}, return_tensors="pt")'


@dataclass(frozen=True)
class Facts:
    """Facts of a card that are not in the model's config.

    Attributes:
        name: What the model is called.
        family: The name of its family.
        parameters: How many numbers it has.
        dtype: Of them, in the files.
        row: A question about an image, as the model reads it.
        given: What of it a caller writes; "" where the chat template does.
        question: The question in it.
        base_model: The model on the Hub that it was made from; "" where that is not known.
    """

    name: str
    family: str
    parameters: int
    dtype: str
    row: str
    given: str
    question: str
    base_model: str = ""


def card(facts: Facts, model: ModelConfig) -> str:
    """Return the text of README.md."""
    front: dict[str, Any] = {"library_name": "transformers", "pipeline_tag": "image-text-to-text"}
    if facts.base_model:
        front["base_model"] = facts.base_model
    front["tags"] = ["ojito", "vision-language", facts.family]
    # A text in JSON is one in Python as well, whatever is in it.
    given, question = (json.dumps(text, ensure_ascii=False) for text in (facts.given, facts.question))
    ticks = "`" * (1 + max(map(len, re.findall("`+", facts.row)), default=0))  # what may stand around the texts
    return _CARD.format(
        fence=max("```", ticks),
        front=yaml.safe_dump(front, sort_keys=False, allow_unicode=True),
        title=" ".join(facts.name.split()),
        family=facts.family,
        parameters=facts.parameters,
        dtype=facts.dtype,
        size=model.vision.image_size,
        tokens=model.image_tokens,
        row=facts.row,
        writer=f"of which a caller writes {ticks}{given}{ticks}, and the processor the rest."
        if facts.given
        else "which the chat template does.",
        question=question,
        inputs=(_ALONE if facts.given else _IN_TURNS).format(given=given, question=question),
    )
