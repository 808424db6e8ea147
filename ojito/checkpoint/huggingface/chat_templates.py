"""Chat templates: which form of chat a model was trained on, found by the marks in its template.

A chat template is a program in Jinja. It is never run: a folder may come from anywhere. Its literal texts are taken out
instead, in their order, with `VALUE` where a value is written and `TAG` where there is a tag for a loop or a condition:

    {% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}{% endfor %}
    TAG                     <|im_start|>       VALUE       \\n      VALUE          <|im_end|>\\n               TAG

A form is recognized if each of its marks stands there, and nowhere otherwise than that form writes it. So a template
that differs in a line break is refused, not followed by half.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.huggingface.families import FAMILIES, Family
from ojito.settings import Settings

VALUE, TAG = "\0", "\1"

_PARTS = re.compile(r"\{%-?.*?-?%\}|\{\{-?.*?-?\}\}|\{#-?.*?-?#\}", re.DOTALL)
_STRINGS = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_TOOLS = re.compile(r"tool|function|document", re.IGNORECASE)
_NO_TOOLS = re.compile(r"\bnot\s+[\w.\[\]'\"]*tool\w*|tool\w*\s+is\s+(?:not\s+defined|none)", re.IGNORECASE)
_TRIMS = re.compile(r"\|\s*trim|\.strip\(\)")
_SET = re.compile(r'^\{%- set (\w+) = (".*"|true|false) -%\}$', re.MULTILINE)
_LONGEST = 100_000  # characters of a template; the longest of public models have a tenth


@dataclass(frozen=True)
class ChatForm:
    """A form of chat.

    Attributes:
        name: For messages.
        marks: Patterns of texts of which each must be in a template of this form.
        contexts: By the beginning of a mark, the pattern that every text which begins so must match.
        prompt: The processor's `prompt` settings.
        end: The token that ends a turn; "" where it is the tokenizer's own.
        trims: Whether every template of this form drops the white space around texts.
        default_system: A pattern of the system message that is written where none is given, in its first group.
    """

    name: str
    marks: tuple[str, ...]
    contexts: tuple[tuple[str, str], ...]
    prompt: Settings
    end: str = ""
    trims: bool = False
    default_system: str = ""


_ROLES = rf"(?:user|assistant|system|model|{VALUE})"
FORMS = (
    ChatForm(
        "ChatML",
        (r"<\|im_start\|>", r"<\|im_end\|>"),
        (
            (r"<\|im_start\|>", rf"<\|im_start\|>{_ROLES}{TAG}*\n"),
            (r"<\|im_end\|>", rf"<\|im_end\|>{TAG}*\n"),
        ),
        {
            "user": "<|im_start|>user\n", "separator": "<|im_end|>\n<|im_start|>assistant\n", "after_answer": "\n",
            "user_with_system": "<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n",
        },
        end="<|im_end|>",
        default_system=rf"<\|im_start\|>system\n([^{VALUE}{TAG}<]+)<\|im_end\|>",
    ),
    ChatForm(
        "Llama 3",
        (r"<\|start_header_id\|>", r"<\|end_header_id\|>", r"<\|eot_id\|>"),
        ((r"<\|start_header_id\|>", rf"<\|start_header_id\|>{_ROLES}<\|end_header_id\|>\n\n"),),
        {
            "user": "<|start_header_id|>user<|end_header_id|>\n\n",
            "separator": "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
            "user_with_system": "<|start_header_id|>system<|end_header_id|>\n\n{system}<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\n",
        },
        end="<|eot_id|>",
        default_system=rf"system<\|end_header_id\|>\n\n([^{VALUE}{TAG}<]+)<\|eot_id\|>",
    ),
    ChatForm(
        "Gemma",
        ("<start_of_turn>", "<end_of_turn>"),
        (("<start_of_turn>", rf"<start_of_turn>{_ROLES}\n"), ("<end_of_turn>", "<end_of_turn>\n")),
        {
            "user": "<start_of_turn>user\n", "separator": "<end_of_turn>\n<start_of_turn>model\n",
            "after_answer": "\n", "user_with_system": "<start_of_turn>user\n{system}\n\n",
        },
        end="<end_of_turn>",
        trims=True,
    ),
    ChatForm(
        "Phi 3",
        (r"<\|(?:user\|>|\0)", r"<\|(?:assistant\|>|\0)", r"<\|end\|>"),
        (
            (r"<\|(?:user|assistant|system)\|>", rf"<\|\w+\|>{TAG}*\n"),
            (r"<\|end\|>", rf"<\|end\|>{TAG}*\n"),
        ),
        {
            "user": "<|user|>\n", "separator": "<|end|>\n<|assistant|>\n", "after_answer": "\n",
            "user_with_system": "<|system|>\n{system}<|end|>\n<|user|>\n",
        },
        end="<|end|>",
    ),
    ChatForm(
        "Llama 2",
        (r"\[INST\]", r"\[/INST\]", "<<SYS>>"),
        (
            (r"\[INST\]", rf"\[INST\] {VALUE}"),
            (r"\[/INST\]", r" ?\[/INST\]"),
            ("<<SYS>>", rf"<<SYS>>\n(?:{VALUE}|[^{VALUE}{TAG}])*\n<</SYS>>\n\n"),
        ),
        {
            "user": "[INST] ", "separator": " [/INST]", "before_answer": " ",
            "user_with_system": "[INST] <<SYS>>\n{system}\n<</SYS>>\n\n",
        },
        trims=True,
    ),
    ChatForm(
        "Mistral",
        (r"\[INST\]", r"\[/INST\]"),
        ((r"\[INST\]", rf"\[INST\] {VALUE}"), (r"\[/INST\]", rf"\[/INST\](?: ?[{VALUE}{TAG}]|$)")),
        {"user": "[INST] ", "separator": " [/INST]", "before_answer": " "},
    ),
    ChatForm(
        "Vicuna",
        ("ASSISTANT:", rf"USER: ?|{VALUE}: "),
        (("ASSISTANT:", rf"ASSISTANT:(?: ?[{VALUE}{TAG}]|$)"),),
        {"user": "USER: ", "separator": " ASSISTANT:", "before_answer": " ", "user_with_system": "{system} USER: "},
    ),
    ChatForm(
        "Idefics3",
        ("<end_of_utterance>", "Assistant:"),
        (("<end_of_utterance>", "<end_of_utterance>\n"), ("Assistant:", rf"Assistant:(?:[{VALUE}{TAG}]|$)")),
        {
            "user": "User:", "before_text": " ", "separator": "<end_of_utterance>\nAssistant:", "before_answer": " ",
            "after_answer": "\n", "user_with_system": "System: {system}<end_of_utterance>\nUser:",
        },
        end="<end_of_utterance>",
    ),
)  # fmt: skip

_LEAVES_BOS = ("llava",)
"""Families whose own template leaves the token that begins a row to the tokenizer."""


@dataclass(frozen=True)
class Chat:
    """The prompt settings of a chat model.

    Attributes:
        prompt: The processor's `prompt` settings.
        end: The token that ends a turn; "" where it is the tokenizer's own.
    """

    prompt: Settings = field(default_factory=dict)
    end: str = ""


def family_chat(template: str | None, family: Family, bos: str, begins: bool, where: str) -> Chat:
    """The prompt of a family's model.

    Args:
        template: The chat template of its folder; None where it has none.
        family: Its family.
        bos: The token that begins a row; "" where there is none.
        begins: Whether the tokenizer writes it by itself.
        where: The folder, for messages.

    Raises:
        CheckpointError: The template writes a chat that Ojito does not know.
    """
    if template is None:
        return Chat({"bos": begins, **family.prompt(False)})
    own = family.prompt(True)
    end = family.end[0] if family.end else ""
    written = _exported(template, family)
    if written:
        begin = bool(written.pop("beginning"))
        return Chat({**own, "bos": begins or begin, **written}, end)
    texts = flatten(template, where)
    if not re.search(rf"[^\s{VALUE}{TAG}]", texts):  # it writes nothing of its own around what is said
        return Chat({"bos": begins or family.model_type not in _LEAVES_BOS, **own}, end)
    if own == family.prompt(False) and "user" not in own:
        raise CheckpointError(
            where, f"has a chat template, and {family.model_type} has no chat", "remove the template, if it is not used"
        )
    form = _form(texts, where)
    settings = {"bos": begins or _writes_bos(template, texts, bos, form), **_read(form, template, texts)}
    if form.prompt["separator"] == own["separator"]:
        return Chat({**own, **settings}, end)
    image = {"image_text": "<image>"} if own.get("image_text") == "<image>\n" else {}
    shown = re.search(rf"(<image>|<start_of_image>){TAG}*(\n?)({TAG}*)(\n?){VALUE}", texts)
    if shown and shown[2] and shown[3]:
        image = {"image_text": "<image>\n"}
    elif shown and (shown[2] or shown[4]):
        settings |= {"after_images": "\n", "before_text": "\n"}
    around = dict.fromkeys(("before_text", "before_answer", "after_answer"), "")
    return Chat({**own, **around, **image, **settings}, form.end)


def _exported(template: str, family: Family) -> Settings:
    """The `prompt` settings, and the `beginning`, of a template that `write_folder` wrote; empty if it did not."""
    if "{{- end + after_answer -}}" not in template:
        return {}
    try:
        values = {name: json.loads(value) for name, value in _SET.findall(template)}
    except ValueError:
        return {}
    if not {"beginning", "user", "before_text", "separator", "before_answer", "after_answer"} <= set(values):
        return {}
    names = ("beginning", "user", "before_text", "separator", "before_answer", "after_answer")
    settings: Settings = {name: values[name] for name in names}
    settings |= {"trim": bool(values.get("trims", False)), "system": values.get("system", "")}
    if "caption" in values:
        settings["caption"] = str(values["caption"])
    if family.any_prompt and "image_in_front" in values:
        settings["image"] = "front" if values["image_in_front"] else "inline"
        settings["joined"] = bool(values.get("joined", True))
        settings["image_text"] = str(values.get("image", "<image>")).replace(family.image_token, "<image>")
    if values.get("system_known"):
        settings["user_with_system"] = f"{values['before_system']}{{system}}{values['after_system']}"
    return settings


def decoder_chat(template: str, bos: str, begins: bool, where: str) -> Chat:
    """The prompt of a decoder that was trained to chat, for a model that it is joined into.

    Args:
        template: The chat template of its folder.
        bos: As for `family_chat`.
        begins: As for `family_chat`.
        where: As for `family_chat`.

    Raises:
        CheckpointError: The template writes a chat that Ojito does not know.
    """
    written = _exported(template, FAMILIES["llava"])
    if written:
        return Chat({"bos": begins or bool(written.pop("beginning")), **written})
    texts = flatten(template, where)
    form = _form(texts, where)
    bos_too = begins or _writes_bos(template, texts, bos, form)
    settings = {"image": "inline", "joined": True, "bos": bos_too, **_read(form, template, texts)}
    return Chat(settings, form.end)


def _form(texts: str, where: str) -> ChatForm:
    """The form of these texts.

    Raises:
        CheckpointError: There is none.
    """
    found = [form for form in FORMS if all(re.search(mark, texts) for mark in form.marks)]
    for form in found:
        if all(_stands(texts, mark, context) for mark, context in form.contexts):
            return form
    if not found:
        known = ", ".join(form.name for form in FORMS)
        raise CheckpointError(
            where,
            f"has a chat template of a form that Ojito does not know; it knows {known}",
            "convert the model's prompt to one of these, or remove the template to ask without a chat",
        )
    raise CheckpointError(
        where,
        f"has a chat template with the tokens of {found[0].name} that writes them in another way",
        "use a model with the usual template, or remove the template to ask without a chat",
    )


def _stands(texts: str, mark: str, context: str) -> bool:
    return all(re.match(context, texts[found.start() :]) for found in re.finditer(mark, texts))


def _read(form: ChatForm, template: str, texts: str) -> Settings:
    """The `prompt` settings of a template of this form."""
    settings = dict(form.prompt)
    default = re.search(form.default_system, texts) if form.default_system else None
    if default:
        settings["system"] = default[1]
    if form.trims or any(_TRIMS.search(part) for part in _PARTS.findall(template) if _says(part)):
        settings["trim"] = True
    if form.name == "Mistral":
        settings["separator"] = " [/INST]" if " [/INST]" in texts else "[/INST]"
        settings["before_answer"] = " " if re.search(rf"(?:[{TAG}]|\[/INST\]) {VALUE}", texts) else ""
    return settings


def _says(part: str) -> bool:
    return not part.startswith("{#") and any(name in part for name in ("content", "text", "message"))


def _writes_bos(template: str, texts: str, bos: str, form: ChatForm) -> bool:
    if re.search(r"\bbos_token\b", template):
        return True
    return bool(bos) and texts.lstrip(TAG).startswith(bos) and not any(re.fullmatch(m, bos) for m in form.marks)


def flatten(template: str, where: str) -> str:
    """The texts that a template writes, in their order, without those about tools.

    Args:
        template: The template.
        where: Its folder, for messages.

    Returns:
        The texts, with `VALUE` for every value and `TAG` for every tag.

    Raises:
        CheckpointError: It is not a template.
    """
    if len(template) > _LONGEST:
        raise CheckpointError(where, f"has a chat template of {len(template)} characters", "use a shorter one")
    made: list[str] = []
    skipped: list[bool] = []
    for kind, text in _parts(template):
        word = text.split(None, 1)[0] if text.split() else ""
        if kind == "tag":
            if word in ("if", "for"):
                skipped.append(_about_tools(text))
            elif word in ("elif", "else") and skipped:
                # What follows a branch about tools is for chats without, and the other way round.
                skipped[-1] = _about_tools(text)
            elif word in ("endif", "endfor") and skipped:
                skipped.pop()
        if any(skipped):
            continue
        if kind == "text":
            made.append(text)
        elif kind == "value":
            made.append(_written(text, where))
        else:
            made.append(TAG)
            name, equals, value = text.partition("=")
            if word == "set" and equals and not name.rstrip().endswith(("!", "<", ">")):
                made += [_written(value, where), TAG]
    return re.sub(f"{TAG}+", TAG, "".join(made))


def _about_tools(tag: str) -> bool:
    return bool(_TOOLS.search(_NO_TOOLS.sub("", tag)))


def _parts(template: str) -> Iterator[tuple[str, str]]:
    """Texts, values and tags, with the white space that Jinja leaves (trim_blocks, lstrip_blocks)."""
    at, strip = 0, ""
    for part in _PARTS.finditer(template):
        text, found = template[at : part.start()], part[0]
        kind = {"{": "value", "%": "tag", "#": "comment"}[found[1]]
        text = _stripped(text, strip)
        if found[2] == "-":
            text = text.rstrip()
        elif kind != "value":
            line = text[text.rfind("\n") + 1 :]
            text = text if line.strip() else text[: len(text) - len(line)]
        if text:
            yield "text", text
        if kind != "comment":
            yield kind, found[2:-2].strip("-").strip()
        at, strip = part.end(), "all" if found[-3] == "-" else "" if kind == "value" else "line"
    rest = _stripped(template[at:], strip)
    if rest:
        yield "text", rest


def _stripped(text: str, strip: str) -> str:
    return text.lstrip() if strip == "all" else text.removeprefix("\n") if strip == "line" else text


def _written(expression: str, where: str) -> str:
    """What an expression writes: its texts as they are, and `VALUE` for everything else."""
    made = ""
    for operand in _operands(expression):
        inner = operand.strip()
        if inner.startswith("(") and inner.endswith(")") and len(_operands(inner[1:-1])) > 1:
            made += _written(inner[1:-1], where)
        elif _STRINGS.fullmatch(inner):
            try:
                made += str(ast.literal_eval(inner.replace("\n", "\\n")))
            except (ValueError, SyntaxError):
                raise CheckpointError(
                    where, f"has a chat template with {inner[:50]!r}, no text", "copy it again"
                ) from None
        elif inner not in ("bos_token", "eos_token", "''", '""'):
            made += VALUE
    return made


def _operands(expression: str) -> list[str]:
    """The operands of `+` and `~` that stand in no brackets."""
    operands, depth, at = [""], 0, 0
    while at < len(expression):
        string = _STRINGS.match(expression, at)
        piece = string[0] if string else expression[at]
        at += len(piece)
        depth += (piece in "([{") - (piece in ")]}") if len(piece) == 1 else 0
        if piece in ("+", "~") and not depth:
            operands.append("")
        else:
            operands[-1] += piece
    return operands
