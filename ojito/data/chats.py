"""Conversations: LLaVA's `conversations`, OpenAI's `messages`, The Cauldron's `texts`, all as turns.

{"conversations": [{"from": "human", "value": "<image>\\nwhat?"}, {"from": "gpt", "value": "a dog"}]}
{"messages": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "what?"}]}, ...]}
{"texts": [{"user": "what?", "assistant": "a dog", "source": "vqav2"}, ...]}
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ojito.data.keys import BadRow, is_absent, json_name, text_of
from ojito.processor.prompts import IMAGE_TAG
from ojito.records import Turn

_ASKING = ("human", "user")
_ANSWERING = ("gpt", "assistant", "model", "bot", "chatgpt", "bard")
_SYSTEM = ("system", "developer")
_FORMS = (("from", "value"), ("role", "content"))


@dataclass(frozen=True)
class Chat:
    """A conversation.

    Attributes:
        turns: Its questions and answers.
        system: Its system message.
        images: Images that its messages name themselves: paths, or encoded bytes.
    """

    turns: tuple[Turn, ...]
    system: str = ""
    images: tuple[Any, ...] = ()


def read_messages(messages: Sequence[Any], key: str, kind: str = "") -> Chat:
    """Read messages that take turns.

    A first message from the model answers nothing, and a last one from the user is not answered: both are left out, as
    LLaVA's own code does.

    Args:
        messages: As the row has them.
        key: Its key, for messages.
        kind: The kind of all its questions.

    Raises:
        BadRow: A message that is none, or speaks out of turn.
    """
    system = ""
    texts: list[str] = []
    images: list[Any] = []
    for number, message in enumerate(messages, 1):
        who, content = _message(message, number, key)
        if who in _SYSTEM and not texts and not system:
            system = "" if is_absent(content) else _text(content, number, key)[0]
            continue
        roles = _ANSWERING if len(texts) % 2 else _ASKING
        if who in _ANSWERING and not texts and number < len(messages):
            continue
        if who not in roles:
            turns = "gpt" if len(texts) % 2 else "human"
            raise BadRow(f"message {number} is from {who!r}, not {turns}", "let human and gpt take turns")
        text, shown = _text(content, number, key)
        if shown and who in _ANSWERING:
            raise BadRow(f"message {number} answers with an image", "leave the image out")
        texts.append(text)
        images += [image for image in shown if image is not None]
    if len(texts) < 2:
        raise BadRow(f"{key} ends with a question", "end it with an answer from gpt")
    pairs = zip(texts[::2], texts[1::2], strict=False)  # without a last question that nobody answers
    return Chat(tuple(_turn(question, answer, kind) for question, answer in pairs), system, tuple(images))


def read_texts(pairs: Sequence[Any], kind: str = "") -> Chat:
    """Read The Cauldron's pairs of `user` and `assistant`; a pair's `source` is its kind.

    Args:
        pairs: As the row has them.
        kind: The kind of those that name none.

    Raises:
        BadRow: A pair is none.
    """
    turns = []
    for number, pair in enumerate(pairs, 1):
        if not isinstance(pair, Mapping) or "user" not in pair or "assistant" not in pair:
            raise BadRow(f"text {number} of texts lacks user or assistant", "write both")
        source = "" if is_absent(pair.get("source")) else text_of(pair, "source")
        turns.append(_turn(text_of(pair, "user"), text_of(pair, "assistant"), kind or source))
    return Chat(tuple(turns))


def image_of(value: Any) -> Any:
    """An image as rows write it: a path; an address with the whole image in it; or an object with one of them.

    Raises:
        BadRow: It is nothing of that.
    """
    if isinstance(value, Mapping):  # Hugging Face's {"bytes": ..., "path": ...}, OpenAI's {"url": ...}
        inner = next((value[k] for k in ("bytes", "path", "url") if not is_absent(value.get(k))), None)
        if inner is None:
            raise BadRow("image is an object without bytes, path or url", "write the image's file name")
        return image_of(inner)
    if isinstance(value, str) and value.strip()[:11].lower() == "data:image/" and ";base64," in value[:64]:
        try:
            return base64.b64decode(value.partition(",")[2], validate=True)
        except binascii.Error:
            raise BadRow("image is an address whose base64 is damaged", "write it again, or a file name") from None
    if is_absent(value) or isinstance(value, (bool, int, float, list)):
        raise BadRow(f"image is {json_name(value)}, not a path", "write the image's file name")
    return value


def _turn(question: str, answer: str, kind: str) -> Turn:
    bare = not question.replace(IMAGE_TAG, "").strip()  # an image alone asks for its caption
    return Turn("" if bare else question, (answer,), kind or "caption" * bare, tagged=not bare)


def _message(message: Any, number: int, key: str) -> tuple[str, Any]:
    if isinstance(message, BadRow):
        raise message
    if isinstance(message, Mapping):
        for who, what in _FORMS:
            if who in message and what in message:
                return str(message[who]).strip().lower(), message[what]
    raise BadRow(f"message {number} of {key} lacks from or value", "write both, or role and content")


def _text(content: Any, number: int, key: str) -> tuple[str, list[Any]]:
    """The text of a message with a tag for each of its images, and the images, None where the row names them."""
    name = f"message {number} of {key}"
    if not isinstance(content, list):
        return text_of({name: content}, name), []
    text, images = "", []
    for part in content:
        kind = part.get("type", "text" if "text" in part else "") if isinstance(part, Mapping) else "text"
        if isinstance(part, str):
            text += part
        elif kind in ("text", "input_text", "output_text") and isinstance(part, Mapping):
            text += "" if is_absent(part.get("text")) else text_of(part, "text")
        elif kind in ("image", "image_url", "input_image") and isinstance(part, Mapping):
            named = next((part[k] for k in ("image", "image_url", "url", "path") if not is_absent(part.get(k))), None)
            text += IMAGE_TAG + "\n"
            images.append(None if named is None else image_of(named))
        else:
            raise BadRow(f"{name} has a part of type {json_name(kind)}", "write parts of type text and image")
    return text_of({name: text}, name), images
