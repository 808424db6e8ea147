"""Chat templates: the rows of every form against what Jinja makes of the template. Only these tests run templates."""

import json

import pytest

from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.huggingface.chat_templates import decoder_chat, family_chat, flatten
from ojito.checkpoint.huggingface.families import FAMILIES
from ojito.config import PromptConfig
from ojito.processor.prompts import RowWriter
from ojito.processor.tokenizers import Tokenizer
from ojito.records import Sample, Turn
from ojito.settings import read
from tests.parity.reference import byte_tokenizer

# ruff: noqa: E501
# Of public models, in our words: what they write is theirs.
CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a small model.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
QWEN = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- endif %}
    {{- "\\n\\n# Tools\\n\\n<tools>" }}
    {{- "\\n</tools>\\n\\nFor each call<|im_end|>\\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou help.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "tool" %}
        {{- '<|im_start|>user' }}
        {{- '\\n<tool_response>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
LLAMA3 = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + "
    "'<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}"
    "{% else %}{% set role = message['role'] %}{% endif %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
)
PHI3 = (
    "{% for message in messages %}{% if message['role'] == 'system' %}{{'<|system|>\n' + message['content'] + '<|end|>\n'}}"
    "{% elif message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + '<|end|>\n'}}"
    "{% elif message['role'] == 'assistant' %}{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}"
    "{% set system_message = false %}{% endif %}{% for message in loop_messages %}"
    "{% if loop.index0 == 0 and system_message != false %}"
    "{% set content = '<<SYS>>\n' + system_message + '\n<</SYS>>\n\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ message['content'] + eos_token}}{% endif %}{% endfor %}"
)
VICUNA = (
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ 'USER: ' + message['content'] + ' ' }}"
    "{% else %}{{ 'ASSISTANT: ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
TOKENS = [
    "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<start_of_turn>",
    "<end_of_turn>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>", "<s>", "</s>", "<image>",
]  # fmt: skip
# A template, and whether it knows a system message.
FORMS = {
    "chatml": (CHATML, True), "smollm2": (SMOLLM2, True), "qwen": (QWEN, True), "llama3": (LLAMA3, True),
    "gemma": (GEMMA, False), "phi3": (PHI3, True), "mistral": (MISTRAL, False), "vicuna": (VICUNA, False),
}  # fmt: skip
CHAT = ["what?", "a ball", " and now?\n"]


@pytest.fixture(scope="module")
def theirs():
    return byte_tokenizer(TOKENS, bos_token="<s>", eos_token="</s>", pad_token="</s>")


def rows(theirs, template, texts, folder, system="", begins=False):
    """The ids of a chat, from Jinja and from ours."""
    messages = [{"role": "system", "content": system}] if system else []
    messages += [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]
    made = theirs.apply_chat_template(messages, chat_template=template, add_generation_prompt=True, tokenize=False)
    theirs.backend_tokenizer.save(str(folder / "tokenizer.json"))
    chat = decoder_chat(template, "<s>", begins, "folder")
    from ojito.config import TokenizerConfig

    tokenizer = Tokenizer.read(
        folder / "tokenizer.json", TokenizerConfig(bos="<s>", eos=(chat.end or "</s>",), pad="</s>")
    )
    turns = tuple(Turn(q, (a,)) for q, a in zip(texts[::2], [*texts[1::2], ""], strict=True))
    writer = RowWriter(read(PromptConfig, chat.prompt), tokenizer, 4)
    ours = writer.write(Sample(turns=turns, system=system), training=False).tokens
    return theirs.encode(made, add_special_tokens=False), ours, theirs


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("count", [1, 3])
def test_recognized_form_has_the_ids_of_its_template(theirs, tmp_path, form, count):
    want, ours, tokenizer = rows(theirs, FORMS[form][0], CHAT[:count], tmp_path)
    assert tokenizer.decode(ours) == tokenizer.decode(want)
    assert ours == want


@pytest.mark.parametrize("form", [form for form, (_, system) in FORMS.items() if system])
def test_system_message_has_the_ids_of_its_template(theirs, tmp_path, form):
    want, ours, _ = rows(theirs, FORMS[form][0], CHAT, tmp_path, system="be short")
    assert ours == want


def test_llama_2_has_the_ids_of_its_template_for_a_question(theirs, tmp_path):
    for system in ("", "be short"):
        want, ours, _ = rows(theirs, LLAMA2, CHAT[:1], tmp_path, system=system)
        assert ours == want


@pytest.mark.parametrize(
    "template",
    [
        CHATML.replace("'<|im_end|>' + '\n'", "'<|im_end|>'"),
        CHATML.replace("message['role'] + '\n'", "message['role'] + ' '"),
        LLAMA3.replace("<|end_header_id|>\n\n", "<|end_header_id|>\n"),
        PHI3.replace("<|end|>\n", "<|end|>"),
        "{% for m in messages %}{{ 'Q: ' + m['content'] }}{% endfor %}",
    ],
)
def test_template_that_differs_from_its_form_is_refused(template):
    with pytest.raises(CheckpointError, match="has a chat template"):
        decoder_chat(template, "<s>", False, "folder")
    for family in FAMILIES.values():
        with pytest.raises(CheckpointError, match="has a chat template"):
            family_chat(template, family, "<s>", False, "folder")


@pytest.mark.parametrize("family", ["llava", "idefics3", "gemma3"])
def test_other_form_is_honoured_in_a_family(family):
    chat = family_chat(CHATML, FAMILIES[family], "", False, "folder")
    assert (chat.end, chat.prompt["user"], chat.prompt["after_answer"]) == ("<|im_end|>", "<|im_start|>user\n", "\n")
    assert chat.prompt["bos"] is False
    assert chat.prompt["image_text"] == FAMILIES[family].prompt(True)["image_text"].replace("<image>\n", "<image>")


@pytest.mark.parametrize("name", ["llava", "idefics3", "smolvlm", "gemma3"])
def test_template_that_writes_nothing_of_its_own_leaves_the_familys_chat(name):
    family = FAMILIES[name]
    for begins in (True, False):
        chat = family_chat("{{ messages }}", family, "<s>", begins, "folder")
        assert chat.prompt == {"bos": begins or name != "llava", **family.prompt(True)}


def test_branches_about_tools_are_left_out():
    assert "Tools" not in flatten(QWEN, "folder")
    assert "<|im_start|>" in flatten(QWEN, "folder")


@pytest.mark.parametrize("template", ["{{ '\\x' }}", "a" * 100_001])
def test_template_that_cannot_be_read_is_refused(template):
    with pytest.raises(CheckpointError, match="has a chat template"):
        flatten(template, "folder")


def test_nothing_in_a_template_is_run(tmp_path):
    hostile = (
        "{{ ''.__class__.__mro__[1].__subclasses__() }}{% for i in range(10**12) %}{{ '<|im_start|>' }}{% endfor %}"
    )
    assert json.dumps(flatten(hostile, "folder"))
