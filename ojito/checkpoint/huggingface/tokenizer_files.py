"""Tokenizer files of an export: the tokens that a processor needs in tokenizer.json, and tokenizer_config.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, models, processors

from ojito.checkpoint.files import KEEPS, CheckpointError
from ojito.checkpoint.huggingface.families import Family
from ojito.config import PromptConfig


@dataclass(frozen=True)
class SpecialIds:
    """The tokens that begin, end and fill a row, by their ids.

    Attributes:
        bos: None where there is none.
        ends: Those that end an answer; training writes the first.
        pad: What fills rows to one length.
    """

    bos: int | None
    ends: tuple[int, ...]
    pad: int


class Vocabulary:
    """The tokenizer of a folder, with the tokens that a family's processor needs.

    Attributes:
        image_id: The id at the places of images, which ours has no token for. Beyond the model's vocabulary, if that
            is full.
        ids: The ids that begin, end and fill a row, as config.json and generation_config.json call them.
        bos: The token that begins a row; "" where there is none.
        eos: The token that training writes after an answer.
        begins: Whether it writes `bos` by itself.
        template_bos: What a chat template begins with: `bos`, or "" where a processor leaves that to the tokenizer.
    """

    def __init__(self, path: Path, family: Family, marks: SpecialIds, images_first: bool = False) -> None:
        """Read the folder's tokenizer.json, and add the image token where it lacks it.

        Args:
            path: The file.
            family: Whose processor it is for.
            marks: The tokens' ids.
            images_first: Whether the token that begins a row comes after the images, so that a chat template has to
                write it, and the tokenizer must not.

        Raises:
            CheckpointError: A token is missing that the processor writes.
        """
        self._tokenizer = Tokenizer.from_buffer(path.read_bytes())  # a path would have to be UTF-8
        self._family, self._marks = family, marks
        added = {token.content for token in self._tokenizer.get_added_tokens_decoder().values()}
        for token in family.needed:
            if token not in added:
                raise CheckpointError(
                    "the tokenizer",
                    f"has no {token}, which the processor of {family.model_type} writes",
                    f"name it in processor.tokenizer.special before training, or {KEEPS}",
                )
        begins = bool(self._tokenizer.encode("").ids)
        if family.any_prompt and images_first and begins:
            self._tokenizer.post_processor = processors.TemplateProcessing("$A", "$A $B", [])
        if family.image_token not in added:
            self._tokenizer.add_special_tokens([AddedToken(family.image_token, normalized=False, special=True)])
        if family.image_token not in added or begins != bool(self._tokenizer.encode("").ids):
            path.write_text(self._tokenizer.to_str(pretty=True), encoding="utf-8")
        self.image_id = self.id_of(family.image_token) or 0  # which is there by now
        ends = list(marks.ends)
        self.ids = {
            "bos_token_id": marks.bos,
            "eos_token_id": ends if len(ends) > 1 else ends[0],
            "pad_token_id": marks.pad,
        }
        self.bos = "" if marks.bos is None else self._name(marks.bos)
        self.eos = self._name(marks.ends[0])
        self.begins = bool(self._tokenizer.encode("").ids)
        left = family.encoding_begins and self.begins
        self.template_bos = "" if left else self.bos

    def check_borders(self, prompt: PromptConfig) -> None:
        """Check that texts tokenized apart, as in training, get the tokens that the processor finds in the joined text.

        Raises:
            CheckpointError: They do not, as with a tokenizer that puts a space before every text; or there is no token
                that begins a row, where the processor counts on it.
        """
        if self.begins and not prompt.bos:
            raise CheckpointError(
                "processor.prompt.bos",
                "is false, and the tokenizer by itself writes a token before every text",
                f"train with true, or {KEEPS}",
            )
        if prompt.joined:
            return
        if self._family.any_prompt:
            self._check_separator(prompt)
            return
        if not self.bos:
            raise CheckpointError(
                "the tokenizer",
                f"has no token that begins a row, and the processor of {self._family.model_type} writes one",
                f"name it in processor.tokenizer.bos before training, or {KEEPS}",
            )
        texts = (self.bos, "a", prompt.separator)
        apart = [i for text in texts for i in self._encode(text)]
        if apart != self._encode("".join(texts)):
            raise CheckpointError(
                "processor.prompt.separator",
                f"the processor of {self._family.model_type} tokenizes {prompt.separator!r} with the question before "
                "it, and this tokenizer then makes other tokens of it than in training",
                "use one that puts no space before every text (processor.tokenizer.kind=characters, or a file), or "
                f"{KEEPS}",
            )

    def _check_separator(self, prompt: PromptConfig) -> None:
        for end in ("a", "?", ".", ":", "1", "e\u0301"):
            if self._encode(end) + self._encode(prompt.separator) != self._encode(end + prompt.separator):
                raise CheckpointError(
                    "processor.prompt.separator",
                    f"the processor of {self._family.model_type} tokenizes {prompt.separator!r} with the question "
                    f"before it, and this tokenizer then makes other tokens of {end + prompt.separator!r} than in "
                    "training",
                    f"train with processor.prompt.joined=true, or {KEEPS}",
                )

    def _encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def id_of(self, token: str) -> int | None:
        """The id of a token; None where there is none."""
        found: int | None = self._tokenizer.token_to_id(token)
        return found

    def _name(self, token: int) -> str:
        return str(self._tokenizer.id_to_token(token))

    def fields(self, max_positions: int) -> dict[str, Any]:
        """Return the fields of tokenizer_config.json."""
        family = self._family
        fields: dict[str, Any] = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "processor_class": family.processor_class,
            "eos_token": self.eos,
            "pad_token": self._name(self._marks.pad),
            "padding_side": "left",
            "model_max_length": max_positions,
            "clean_up_tokenization_spaces": False,
            "model_input_names": ["input_ids", "attention_mask"],  # older versions add a third that no model takes
        }
        if self.bos:
            fields["bos_token"] = self.bos
        unknown = getattr(self._tokenizer.model, "unk_token", None)
        if unknown:
            fields["unk_token"] = unknown
        if self._is_gemmas():
            # Only of this class older versions can be told that PaliGemma's processor writes the first token itself.
            fields |= {"tokenizer_class": "GemmaTokenizer", "add_bos_token": self.begins, "add_eos_token": False}
        if family.tokenizer_fields:
            names = dict(family.tokenizer_fields)
            fields |= {**names, "extra_special_tokens": names}
        return fields

    def _is_gemmas(self) -> bool:
        """Whether this is Gemma's tokenizer, whose class rebuilds itself from the bare vocabulary."""
        model, normalizer, splitter = (getattr(self._tokenizer, n) for n in ("model", "normalizer", "pre_tokenizer"))
        if not isinstance(model, models.BPE) or not model.byte_fallback or normalizer is None:
            return False
        spaces = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
        split = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
        return (
            json.loads(normalizer.__getstate__()) == spaces
            and (splitter is None or json.loads(splitter.__getstate__()) == split)
            and all(self.id_of(token) is not None for token in ("<unk>", "<mask>"))
        )
