"""The processor's `tokenizer` and `prompt` settings of a folder, which depend on each other."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.huggingface.chat_templates import Chat, decoder_chat, family_chat
from ojito.checkpoint.huggingface.families import Family
from ojito.checkpoint.huggingface.fields import Fields
from ojito.checkpoint.huggingface.preprocessing import (
    TOKENIZER,
    read_chat_template,
    read_tokenizer_settings,
    writes_bos,
)
from ojito.checkpoint.huggingface.tokenizer_json import TokenizerFile
from ojito.settings import Settings

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Text:
    """The settings of a processor that are about text.

    Attributes:
        tokenizer: Its `tokenizer` settings.
        prompt: Its `prompt` settings.
    """

    tokenizer: Settings
    prompt: Settings


def read_family_text(folder: Path, config: Fields, family: Family) -> Text:
    """The settings of a family's model.

    Args:
        folder: Its folder.
        config: The fields of its config.json.
        family: Its family.

    Raises:
        CheckpointError: A file is missing or damaged, or the chat template is of a form that Ojito does not know.
    """
    settings = read_tokenizer_settings(folder, (), config)
    chat = family_chat(read_chat_template(folder), family, settings.get("bos", ""), writes_bos(folder), str(folder))
    added = [*_own_tokens(folder, config, family), *settings.get("added", ())]
    return _joined({**settings, **({"added": added} if added else {})}, chat, folder)


def _own_tokens(folder: Path, config: Fields, family: Family) -> tuple[str, ...]:
    """The tokens that a family adds to its vocabulary, which a model of other parts in its form has no room for."""
    if not family.added:
        return ()
    last, size = config.get(family.image_id_field), config.group("text_config").get("vocab_size")
    first = _RANGE.sub(r"\1", family.added[0])
    count = sum(int(high) - int(low) + 1 for name in family.added for low, high in _RANGE.findall(name))
    # The image token comes last: a vocabulary that ends before so many tokens cannot hold them, and may lack the room.
    full = type(last) is int and type(size) is int and (last + 1 >= size or last < count > size - last - 1)
    return () if full and first not in TokenizerFile.read(folder / TOKENIZER).names else family.added


def read_decoder_text(folder: Path, config: Fields, family: Family | None = None) -> Text:
    """The settings of a decoder, for a model that it is joined into.

    Args:
        folder: Its folder.
        config: The fields of its config.json.
        family: The family of the model that it is part of, if it is.

    Raises:
        CheckpointError: A file is missing or damaged.
    """
    settings, begins = read_tokenizer_settings(folder, (), config), writes_bos(folder)
    begins = begins or bool(family and family.prompt(False).get("bos"))
    template = read_chat_template(folder)
    if template is None:
        return Text(settings, {"bos": begins})
    try:
        return _joined(settings, decoder_chat(template, settings.get("bos", ""), begins, str(folder)), folder)
    except CheckpointError as error:  # it has much to learn anyway, and may learn to be asked in another way
        log.warning("%s; it is asked by the question alone", error)
        return Text(settings, {"bos": begins})


def _joined(tokenizer: Settings, chat: Chat, folder: Path) -> Text:
    """These settings, with the token that ends a turn as the first of the ends.

    Raises:
        CheckpointError: The tokenizer has no such token.
    """
    if not chat.end:
        return Text(tokenizer, chat.prompt)
    if chat.end not in TokenizerFile.read(folder / TOKENIZER).names:
        problem = f"has a chat template that ends every turn with {chat.end}, which is no token of its tokenizer"
        raise CheckpointError(folder, problem, "use the files of one model")
    return Text({**tokenizer, "eos": [*dict.fromkeys([chat.end, *tokenizer.get("eos", ())])]}, chat.prompt)
