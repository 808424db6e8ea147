"""The processor's `tokenizer` and `prompt` settings, of a vocabulary and a chat template in a GGUF file.

The template is a program, and is never run: it is recognized as that of a folder is.
"""

from __future__ import annotations

import logging

from ojito.checkpoint.files import CheckpointError, path_setting
from ojito.checkpoint.gguf.opened import OpenGguf
from ojito.checkpoint.huggingface.chat_templates import Chat, decoder_chat, family_chat
from ojito.checkpoint.huggingface.families import Family
from ojito.checkpoint.huggingface.text_settings import Text
from ojito.gguf.tokenizer import begins_with_bos, read_tokens, token_name
from ojito.settings import Settings

_TEMPLATE = "tokenizer.chat_template"

ENDS = ("eos", "eot", "eom")
"""Tokens that end an answer, as the metadata names them: of the text, of a turn, of a message."""

log = logging.getLogger(__name__)


def read_text(opened: OpenGguf, family: Family | None = None) -> Text:
    """The settings of a file.

    Args:
        opened: The file.
        family: The family of the model with images; None for a model of text alone, or a decoder that is joined into a
            new model. These are asked by the question alone if the template is of a form that Ojito does not know.

    Raises:
        CheckpointError: The template of a model with images is of such a form; or it ends turns with what is no token.
        GgufError: A damaged vocabulary.
    """
    file, where = opened.text, str(opened.path)
    tokens = read_tokens(file)
    named = {name: token_name(file, name, tokens) for name in ("bos", *ENDS, "padding")}
    begins = bool(named["bos"]) and begins_with_bos(file)
    template = opened.fields.get(_TEMPLATE)
    if template is not None and not isinstance(template, str):
        raise opened.fields.error(_TEMPLATE, template, "the text of a template is needed")
    if family is not None:
        chat = family_chat(template, family, named["bos"], begins, where)
    else:
        chat = _decoder_chat(template, named["bos"], begins, where)
    if chat.end and chat.end not in tokens:
        problem = f"has a chat template that ends every turn with {chat.end}, which is no token of its vocabulary"
        raise CheckpointError(where, problem, "use a file with the template of its own model")
    ends = [end for end in (chat.end, *(named[name] for name in ENDS)) if end]
    settings: Settings = {
        "kind": "file",
        "path": path_setting(opened.path),
        "bos": named["bos"],
        "pad": named["padding"],
    }
    settings |= {"eos": [*dict.fromkeys(ends)], "has_bos": bool(named["bos"])}
    return Text({name: value for name, value in settings.items() if value != "" and value != []}, chat.prompt)


def _decoder_chat(template: str | None, bos: str, begins: bool, where: str) -> Chat:
    plain = Chat({"image": "inline", "joined": True, "bos": begins, "separator": ""})
    if template is None:
        return plain
    try:
        return decoder_chat(template, bos, begins, where)
    except CheckpointError as error:
        log.warning("%s; it is asked by the question alone", error)
        return plain
