"""The processor's files, written so that the reference's processor makes the same rows and pixels as Ojito's.

`preprocessing` reads them; those of the tokenizer are written by `vocabulary`.

A processor there is more than settings: its code fixes what it writes around an image. So a model that was trained on
another prompt, or on images fitted in another way, is refused.

Everything is in the spelling of the Hub's own files, which old versions read as well as new ones.
"""

from __future__ import annotations

import json
from typing import Any

from ojito.checkpoint.files import KEEPS, CheckpointError
from ojito.checkpoint.huggingface.families import Family
from ojito.checkpoint.huggingface.preprocessing import RESAMPLE
from ojito.checkpoint.huggingface.towers import TOWERS
from ojito.config import ImageConfig, ModelConfig, PromptConfig
from ojito.settings import differences, read

_FREE = ("caption", "turns", "answers", "loss", "max_tokens")
"""Settings of a prompt that are about training, or about what is asked: they change no token of a row."""

_IN_TEMPLATE = ("bos", "system", "user_with_system", "trim")
"""Settings that a chat template writes, whatever is usual in a family."""


def image_fields(family: Family, tower: str, image: ImageConfig, model: ModelConfig) -> dict[str, Any]:
    """Return the fields of preprocessor_config.json.

    Raises:
        CheckpointError: Images are fitted in a way that the family's processor does not support.
    """
    usual_settings = family.image_settings(tower)
    for name in ("fit", "tiling"):
        mine, usual = getattr(image, name), usual_settings.get(name, getattr(ImageConfig, name))
        if mine != usual:
            raise CheckpointError(
                f"processor.image.{name}",
                f"is {mine!r}, and the processor of {family.model_type} has only {usual!r}",
                KEEPS,
            )
    size = model.vision.image_size
    numbers = {ours: number for number, ours in RESAMPLE.items()}
    made: dict[str, Any] = {
        "image_processor_type": family.image_class or TOWERS[tower].image_class,
        "processor_class": family.processor_class,
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
    """The fields of processor_config.json."""
    return {"processor_class": family.processor_class, **family.processor_fields(model)}


def check_prompt(family: Family, prompt: PromptConfig) -> bool:
    """Check that the family's processor writes this prompt; return whether it writes turns.

    Returns:
        Whether there is a chat template.

    Raises:
        CheckpointError: It writes another one; names the settings.
    """
    if family.any_prompt:
        _check_any_prompt(family, prompt)
        return True
    differing = []
    for chat in (True, False):
        free = (*_FREE, *(_IN_TEMPLATE if chat and family.chats else ()))
        found = differences(prompt, read(PromptConfig, family.prompt(chat)), "processor.prompt")
        differing.append([f"{key} is {mine!r}, not {its!r}" for key, mine, its in found if key[17:] not in free])
    if all(differing):
        problems = min(differing, key=len)
        raise CheckpointError(
            "processor.prompt",
            f"the processor of {family.model_type} writes another prompt: {'; '.join(problems)}",
            f"train with its settings, or {KEEPS}",
        )
    return family.chats and not differing[0]


def _check_any_prompt(family: Family, prompt: PromptConfig) -> None:
    """Check that a chat template can write this prompt.

    Raises:
        CheckpointError: It cannot.
    """
    for name in ("after_images", "image_number"):
        text = getattr(prompt, name)
        if text:
            problem = f"is {text!r}, and the processor of {family.model_type} writes nothing there"
            raise CheckpointError(f"processor.prompt.{name}", problem, f"train without it, or {KEEPS}")


def image_text(family: Family, prompt: PromptConfig) -> str:
    """How a text refers to an image."""
    return family.image_tag or prompt.image_text.replace("<image>", family.image_token)


_IMAGES_FIRST = """\
{%- for message in messages -%}
    {%- if message['content'] is not string -%}
        {%- for part in message['content'] -%}
            {{- image if part['type'] == 'image' else '' -}}
        {%- endfor -%}
    {%- endif -%}
{%- endfor -%}
"""
"""What comes before a row of image=front."""

_TURNS = """\
{{- beginning -}}
{%- if messages and messages[0]['role'] == 'system' -%}
    {%- if not system_known -%}
        {{- raise_exception('this model was not trained with a system message') -}}
    {%- endif -%}
    {%- set system = messages[0]['content'] -%}
    {%- if system is not string -%}
        {%- set system = system[0]['text'] -%}
    {%- endif -%}
    {%- set messages = messages[1:] -%}
{%- endif -%}
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
        {%- if loop.first and system -%}
            {{- before_system + (system | trim if trims else system) + after_system -}}
        {%- else -%}
            {{- user -}}
        {%- endif -%}
        {%- if image_in_front or content[0]['type'] != 'image' -%}
            {{- before_text -}}
        {%- endif -%}
    {%- endif -%}
    {%- for part in content -%}
        {%- if part['type'] != 'image' -%}
            {{- part['text'] | trim if trims else part['text'] -}}
        {%- elif not image_in_front -%}
            {{- image -}}
        {%- endif -%}
    {%- endfor -%}
    {%- if message['role'] == 'assistant' -%}
        {{- end + after_answer -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- separator -}}
{%- endif -%}
"""


def chat_template(family: Family, prompt: PromptConfig, bos: str, eos: str) -> str:
    """Return the Jinja template that writes turns as the text of Ojito's rows.

    What follows a question is written where an answer comes, or is asked for.

    Args:
        family: Whose processor runs it.
        prompt: How the model is spoken to.
        bos: The token that begins a row, where the program has to write it; "" where it has not.
        eos: The token that ends an answer.
    """
    before, _, after = prompt.user_with_system.partition("{system}")
    texts: dict[str, str | bool] = {
        "system": prompt.system,
        "system_known": bool(prompt.user_with_system),
        "before_system": before,
        "after_system": after,
        "trims": prompt.trim,
        "beginning": bos if prompt.bos else "",
        "user": prompt.user,
        "before_text": prompt.before_text,
        "separator": prompt.separator,
        "before_answer": prompt.before_answer,
        "end": eos,
        "after_answer": prompt.after_answer,
        "image": image_text(family, prompt),
        "image_in_front": prompt.image == "front",
        "joined": prompt.joined,
        "caption": prompt.caption,
    }
    names = (f"{{%- set {name} = {json.dumps(text, ensure_ascii=False)} -%}}\n" for name, text in texts.items())
    return "".join(names) + (_IMAGES_FIRST if prompt.image == "front" else "") + _TURNS
