"""A row of a file becomes samples.

    {"image": "a.jpg", "caption": "a red ball"}                        one caption
    {"image": "a.jpg", "question": ..., "choices": ["a ball", "a dog"], "answer": "a dog"}    or its letter, "B"
    {"image": ["a.jpg", "b.jpg"], "captions": ["...", "..."]}          several images, several captions
    {"image": "a.jpg", "question": "what is it?", "answer": "ball"}    or "answers": [...]
    {"image": "a.jpg", "qa": [{"question": ..., "answer": ...}, ...]}  several questions, beside captions or alone
    {"image": "a.jpg", "conversations": [{"from": "human", "value": "<image>\\nwhat?"}, {"from": "gpt", ...}]}

"split" and "kind" may stand in any row; other keys are left alone. `keys` has the names that other tools give to these,
`chats` the forms of conversations. Paths are relative to the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Union

from ojito.data.chats import Chat, image_of, read_messages, read_texts
from ojito.data.choices import choices_of, letters_of, with_choices
from ojito.data.keys import (
    ANSWERS,
    CAPTION,
    CHATS,
    IMAGE,
    LABEL,
    QUESTIONS,
    BadRow,
    Keys,
    all_texts,
    json_name,
    list_of,
    text_of,
    texts_of,
)
from ojito.data.splits import split_name
from ojito.processor.prompts import IMAGE_TAG
from ojito.records import Sample, Turn

WHAT = "what is it?"
"""The question that a class answers, where data have classes and no questions."""

Find = Callable[[str], Path]
"""Finds an image by the name that a row has for it."""


class RawRow(NamedTuple):
    """A row as its file has it.

    Attributes:
        origin: Where it stands, "captions.jsonl:12".
        values: Its keys and values, or why it has none.
        folder: The folder that its images are relative to.
    """

    origin: str
    values: Union[Mapping[str, Any], BadRow]
    folder: Path


def with_split(row: RawRow, split: str) -> RawRow:
    """The row, of this split unless it names its own."""
    if not isinstance(row.values, Mapping):
        return row
    own = next((key for key in row.values if str(key).strip().lower() == "split" and row.values[key]), None)
    return row if own else row._replace(values={**row.values, "split": split})


def samples_of(row: Mapping[str, Any], find: Find, origin: str) -> list[Sample]:
    """Return the samples of a row: each caption turn, question or conversation apart.

    Args:
        row: Keys and values as the file has them.
        find: Finds an image by its name.
        origin: Where the row stands, "captions.jsonl:12".

    Raises:
        BadRow: Something is missing, misspelt or of the wrong type.
        ImageError: An image is not there.
    """
    keys = Keys.of(row)
    chats = _chats(keys)
    images = _images(keys, [image for chat in chats for image in chat.images], find)
    split = split_name(keys.option("split"))
    samples = []
    for chat in chats:
        _check_tags(chat, len(images))
        together = len(chat.turns) > 1 or bool(chat.system)
        samples.append(Sample(images, turns=chat.turns, split=split, origin=origin, system=chat.system, chat=together))
    return samples


def _images(keys: Keys, named: list[Any], find: Find) -> list[Any]:
    key = keys.first(IMAGE)
    if key == "image" and "images" in keys.values:
        raise BadRow("has both image and images", "write one of them")
    if key:
        value = keys.values[key]
        values = value if isinstance(value, list) else [value]
    else:
        values = named
        near = keys.misspelt(("image", "images", "file_name"))
        if near or (not named and _needs_image(keys)):
            raise keys.lacks("image", 'write "image": [] for a row of text alone')
    found = []
    for image in map(image_of, values):
        found.append(find(image) if isinstance(image, str) else image)
    return found


def _needs_image(keys: Keys) -> bool:
    """Whether a row without an image says something about one."""
    return not (keys.first(CHATS) or keys.first(QUESTIONS) or "qa" in keys.values)


def _chats(keys: Keys) -> list[Chat]:
    """Captions, questions and conversation of a row, which may hold all of them side by side."""
    kind = keys.option("kind")
    found = []
    captions = _captions(keys)
    if captions:
        found.append(Chat((Turn("", captions, kind or "caption"),)))
    question = next((name for name in QUESTIONS if _asks(keys, name)), "")
    if question == "prompt" and isinstance(keys.values.get(question), list):
        messages = list_of(keys.values, "prompt") + list_of(keys.values, "completion")
        found.append(_with_system(read_messages(messages, "prompt", kind), keys))
    elif question:
        found.append(_with_system(Chat((_question(keys, question, kind),)), keys))
    if "qa" in keys.values:
        for number, entry in enumerate(list_of(keys.values, "qa"), 1):
            if not isinstance(entry, Mapping):
                raise BadRow(
                    f"qa {number} is {json_name(entry)}, not an object", 'write {"question": ..., "answer": ...}'
                )
            inner = Keys.of(entry)
            found.append(Chat((_question(inner, "question", inner.option("kind") or kind),)))
    for name in CHATS:
        if name == "texts" and name in keys.values:
            found.append(read_texts(list_of(keys.values, name), kind))
        elif name in keys.values:
            found.append(_with_system(read_messages(list_of(keys.values, name), name, kind), keys))
    label = keys.first(LABEL)
    if not found and label:
        found.append(Chat((Turn(WHAT, (text_of(keys.values, label),), kind or "class"),)))
    asked = keys.first(QUESTIONS)
    if not found and asked:
        raise keys.lacks(ANSWERS[asked][0], "write one")
    if not found:
        raise keys.lacks("caption, question, qa or conversations", "write one of them")
    return found


def _captions(keys: Keys) -> tuple[str, ...]:
    if "caption" in keys.values or "captions" in keys.values:
        return texts_of(keys.values, "caption", "captions")
    other = keys.first(CAPTION)
    if not other or keys.first((*QUESTIONS, *CHATS)):  # other tools' "text" beside a chat is the chat as one text
        return ()
    value = keys.values[other]
    return all_texts(other, value) if isinstance(value, list) and value else (text_of(keys.values, other),)


def _asks(keys: Keys, name: str) -> bool:
    """Whether a row asks something under this key. PaliGemma's suffix without a prefix is a caption."""
    if name == "question":
        return name in keys.values
    return bool(keys.first(ANSWERS[name])) and (name in keys.values or name == "prefix")


def _question(keys: Keys, name: str, kind: str) -> Turn:
    values = keys.values
    if name == "prefix" and name not in values:
        return Turn("", (text_of(values, "suffix"),), kind or "caption")
    if name not in values:
        raise keys.lacks(name, "write one")
    if "answer" in values and "answers" in values and name == "question":
        raise BadRow("has both answer and answers", "write one of them")
    given = keys.first(ANSWERS[name])
    if not given:
        raise keys.lacks(ANSWERS[name][0], "write one, or a list of answers")
    value = values[given]
    several = isinstance(value, list) and given not in ("answer", "response", "completion", "suffix")
    if given in ("answers", "responses") and not several:
        list_of(values, given)  # says that it is no list
    answers = all_texts(given, list_of(values, given)) if several else (text_of(values, given),)
    prompt, choices = text_of(values, name), choices_of(values)
    if choices:
        prompt, answers = with_choices(prompt, choices), letters_of(answers, choices)
    return Turn(prompt, answers, kind, tagged=IMAGE_TAG in prompt, choices=choices)


def _with_system(chat: Chat, keys: Keys) -> Chat:
    """The conversation with the system message that stands in a key of its own."""
    system = keys.option("system")
    return Chat(chat.turns, system, chat.images) if system and not chat.system else chat


def _check_tags(chat: Chat, images: int) -> None:
    """Check that a text asks for as many images as there are, if it asks for any.

    Raises:
        BadRow: It does not.
    """
    tags = sum(turn.prompt.count(IMAGE_TAG) for turn in chat.turns)
    if tags and tags != images:
        raise BadRow(f"the text has {tags} {IMAGE_TAG} tags, and there are {images} images", "make them agree")
