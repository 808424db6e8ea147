"""The reference's processors: the files that make theirs write the same rows, of the same pixels, as ours.

A processor there is more than settings: what it writes around a picture is in its code. So a model that learned to read
another prompt, or pictures fitted in another way, is refused, and not given to a processor that does not know it.

Everything is in the spelling of the Hub's own files, which old versions read as well as new ones.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, models

from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.huggingface.families import Family
from ojito.checkpoint.huggingface.fields import Fields
from ojito.checkpoint.huggingface.preprocessing import RESAMPLE
from ojito.checkpoint.huggingface.towers import TOWERS
from ojito.config import ImageConfig, ModelConfig, PromptConfig, ViTConfig
from ojito.settings import read

KEEPS = "`save` keeps it as it is"
"""What remains to be done with a model that cannot be written here."""

_FREE = ("caption", "turns", "answers", "loss", "max_tokens")
"""Settings of a prompt that are about training, or about what is asked: they change no place of a row."""


@dataclass(frozen=True)
class ProcessorFamily:
    """What the files beside the weights say of a family.

    Attributes:
        processor: The reference's class.
        images: That for images; "" means the tower's.
        image_id: How config.json calls the id of the image token.
        needed: Tokens that the processor writes around a picture.
        picture: How a text shows a picture; "" means the prompt's own `picture`.
        chats: Whether a template says how turns are written.
        encoding_begins: Whether the first token of a row is left to the tokenizer, where that writes one by itself.
    """

    processor: str
    images: str = ""
    image_id: str = "image_token_index"
    needed: tuple[str, ...] = ()
    picture: str = "<image>"
    chats: bool = True
    encoding_begins: bool = False


PROCESSORS: dict[str, ProcessorFamily] = {
    "paligemma": ProcessorFamily("PaliGemmaProcessor", chats=False),
    "llava": ProcessorFamily("LlavaProcessor", picture="", encoding_begins=True),
    "idefics3": ProcessorFamily(
        "Idefics3Processor", image_id="image_token_id",
        needed=("<fake_token_around_image>", "<end_of_utterance>"),
    ),
    "gemma3": ProcessorFamily(
        "Gemma3Processor", "Gemma3ImageProcessor", needed=("<start_of_image>", "<end_of_image>"),
        picture="<start_of_image>",
    ),
}  # fmt: skip


# ------------------------------------------------------------------------------------------------------- the vocabulary


@dataclass(frozen=True)
class Marks:
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
        image: The id at the places of images, which ours has no token for.
        ids: The ids that begin, end and fill a row, as config.json and generation_config.json call them.
        bos: The token that begins a row; "" where there is none.
        eos: The token that training writes after an answer.
        begins: Whether it writes `bos` by itself.
    """

    def __init__(self, path: Path, family: Family, marks: Marks, size: int) -> None:
        """Reads the folder's tokenizer.json, and adds the image token where it lacks it.

        Args:
            path: The file.
            family: Whose processor it is for.
            marks: The tokens' ids.
            size: The model's `vocab_size`.

        Raises:
            CheckpointError: A token is missing that the processor writes, or there is no room for the image token.
        """
        self._tokenizer = Tokenizer.from_file(str(path))
        self._family, self._marks = family, marks
        added = {token.content for token in self._tokenizer.get_added_tokens_decoder().values()}
        for token in PROCESSORS[family.model_type].needed:
            if token not in added:
                raise CheckpointError(
                    f"the tokenizer has no {token}, which the processor of {family.model_type} writes; name it in "
                    f"processor.tokenizer.special before training, or stay with Ojito: {KEEPS}"
                )
        if family.image_token not in added:
            self._tokenizer.add_special_tokens([AddedToken(family.image_token, normalized=False, special=True)])
            self._tokenizer.save(str(path))
        image = self.id_of(family.image_token)
        if image is None or image >= size:
            raise CheckpointError(
                f"the model's vocabulary of {size} has no room for {family.image_token}, which stands for an image in "
                f"{family.model_type}; make the model with decoder.vocab_size {(image or size) + 1} or more"
            )
        self.image = image
        ends = list(marks.ends)
        self.ids = {
            "bos_token_id": marks.bos,
            "eos_token_id": ends if len(ends) > 1 else ends[0],
            "pad_token_id": marks.pad,
        }
        self.bos = "" if marks.bos is None else self._name(marks.bos)
        self.eos = self._name(marks.ends[0])
        self.begins = marks.bos in self._tokenizer.encode("").ids

    def check_borders(self, prompt: PromptConfig) -> None:
        """Whether texts that we tokenize each apart get the tokens that their processor finds in all of them as one.

        Raises:
            CheckpointError: They do not, as with a tokenizer that puts a space before every text; or there is no token
                that begins a row, where the processor counts on it.
        """
        if prompt.joined:
            return
        if not self.bos:
            raise CheckpointError(
                f"the tokenizer has no token that begins a row, and the processor of {self._family.model_type} writes "
                f"one; name it in processor.tokenizer.bos before training, or stay with Ojito: {KEEPS}"
            )
        texts = (self.bos, "a", prompt.separator)
        apart = [i for text in texts for i in self._encode(text)]
        if apart != self._encode("".join(texts)):
            raise CheckpointError(
                f"the processor of {self._family.model_type} tokenizes {prompt.separator!r} with the question before "
                "it, and this tokenizer then makes other tokens of it than in training; use one that puts no space "
                f"before every text (processor.tokenizer.kind=characters, or a file), or stay with Ojito: {KEEPS}"
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
        """What tokenizer_config.json says."""
        family = PROCESSORS[self._family.model_type]
        fields: dict[str, Any] = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "processor_class": family.processor,
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
        if self._family.model_type == "gemma3":
            names = dict(zip(("boi_token", "eoi_token"), family.needed, strict=True))
            names["image_token"] = self._family.image_token
            fields |= {**names, "extra_special_tokens": names}
        return fields

    def _is_gemmas(self) -> bool:
        """Whether it is of Gemma's make; the class of that name makes itself anew from the bare vocabulary."""
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


# --------------------------------------------------------------------------------------------------------- the pictures


def image_fields(family: Family, fields: Fields, image: ImageConfig, model: ModelConfig) -> dict[str, Any]:
    """What preprocessor_config.json says, beside the fields of config.json.

    Raises:
        CheckpointError: Pictures are fitted in a way that the family's processor has not.
    """
    pictures, (tower, _) = family.pictures(fields), family.parts(fields)
    for name in ("fit", "tiling"):
        mine, usual = getattr(image, name), pictures.get(name, getattr(ImageConfig, name))
        if mine != usual:
            raise CheckpointError(
                f"processor.image.{name} is {mine!r}, and the processor of {family.model_type} has only {usual!r}; "
                f"stay with Ojito: {KEEPS}"
            )
    its, size = PROCESSORS[family.model_type], model.vision.image_size
    numbers = {ours: number for number, ours in RESAMPLE.items()}
    made: dict[str, Any] = {
        "image_processor_type": its.images or TOWERS[tower].images,
        "processor_class": its.processor,
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"height": size, "width": size},
        "resample": numbers[image.resample],
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(image.mean),
        "image_std": list(image.std),
    }
    if image.fit == "squash":
        made["image_seq_length"] = model.image_tokens
    elif image.fit == "crop":
        made["size"] = {"shortest_edge": size}
        made |= {"do_center_crop": True, "crop_size": {"height": size, "width": size}}
    else:
        made["size"] = {"longest_edge": image.longest_side}
        made |= {"max_image_size": {"longest_edge": size}, "do_image_splitting": image.split, "do_pad": True}
    return made


def processor_fields(family: Family, model: ModelConfig) -> dict[str, Any]:
    """What processor_config.json says."""
    fields: dict[str, Any] = {"processor_class": PROCESSORS[family.model_type].processor}
    if family.model_type == "llava" and isinstance(model.vision, ViTConfig):
        fields |= {
            "image_token": family.image_token,
            "patch_size": model.vision.patch_size,
            "num_additional_image_tokens": int(model.vision.class_token),
            "vision_feature_select_strategy": family.write(model)["vision_feature_select_strategy"],
        }
    elif family.model_type == "idefics3":
        fields["image_seq_len"] = model.image_tokens
    elif family.model_type == "gemma3":
        fields["image_seq_length"] = model.image_tokens
    return fields


# ----------------------------------------------------------------------------------------------------------- the prompt


def check_prompt(family: Family, prompt: PromptConfig) -> bool:
    """Whether the family's processor writes this prompt, and in turns.

    Returns:
        Whether there is a chat template.

    Raises:
        CheckpointError: It writes another one; names the settings.
    """
    known = [read(PromptConfig, family.prompt(chat)) for chat in (True, False)]
    differing = [_differing(prompt, usual) for usual in known]
    if all(differing):
        problems = min(differing, key=len)
        raise CheckpointError(
            f"the processor of {family.model_type} writes another prompt: {'; '.join(problems)}; train with its "
            f"settings, or stay with Ojito: {KEEPS}"
        )
    return PROCESSORS[family.model_type].chats and not differing[0]


def _differing(prompt: PromptConfig, usual: PromptConfig) -> list[str]:
    names = [field.name for field in dataclasses.fields(PromptConfig) if field.name not in _FREE]
    pairs = ((name, getattr(prompt, name), getattr(usual, name)) for name in names)
    return [f"processor.prompt.{name} is {mine!r}, not {its!r}" for name, mine, its in pairs if mine != its]


def shown(family: Family, prompt: PromptConfig) -> str:
    """How a text shows a picture."""
    return PROCESSORS[family.model_type].picture or prompt.picture.replace("<image>", family.image_token)


_TURNS = """\
{{- beginning -}}
{%- for message in messages -%}
    {%- if message['role'] != ['user', 'assistant'][loop.index0 % 2] -%}
        {{- raise_exception('roles must alternate: user, assistant, user, ...') -}}
    {%- endif -%}
    {%- set content = message['content'] -%}
    {%- if content is string -%}
        {%- set content = [{'type': 'text', 'text': content}] -%}
    {%- endif -%}
    {%- if message['role'] == 'assistant' -%}
        {{- separator + before_answer -}}
    {%- else -%}
        {{- user -}}
        {%- if content[0]['type'] != 'image' -%}
            {{- before_text -}}
        {%- endif -%}
    {%- endif -%}
    {%- for part in content -%}
        {{- picture if part['type'] == 'image' else part['text'] -}}
    {%- endfor -%}
    {%- if message['role'] == 'assistant' -%}
        {{- end + after_answer -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- separator -}}
{%- endif -%}
"""


def chat_template(family: Family, prompt: PromptConfig, vocabulary: Vocabulary) -> str:
    """The program in Jinja that writes turns as the text that our rows are made of.

    What follows a question is written where an answer comes, or is asked for.
    """
    by_itself = PROCESSORS[family.model_type].encoding_begins and vocabulary.begins
    texts = {
        "beginning": vocabulary.bos if prompt.bos and not by_itself else "",
        "user": prompt.user,
        "before_text": prompt.before_text,
        "separator": prompt.separator,
        "before_answer": prompt.before_answer,
        "end": vocabulary.eos,
        "after_answer": prompt.after_answer,
        "picture": shown(family, prompt),
    }
    names = (f"{{%- set {name} = {json.dumps(text, ensure_ascii=False)} -%}}\n" for name, text in texts.items())
    return "".join(names) + _TURNS
