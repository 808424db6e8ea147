"""How a built model is asked: prompt, chat form and vocabulary of its decoder."""

import json

import torch

from ojito.records import Sample
from tests.public_parts import save_decoder


def test_prompt_is_the_question_and_a_line_break_as_one_text(join, image):
    pipe = join()
    tokens = pipe.processor([Sample([image], "what?")]).tokens[0, 16:].tolist()
    assert tuple(tokens) == pipe.processor.tokenizer.encode("what?\n", "token")


def test_prompt_of_a_prefix_lm_is_paligemmas(join, image):
    pipe = join(settings=["model.decoder.mask=prefix"])
    tokens = pipe.processor([Sample([image], "what?")]).tokens[0, 16:].tolist()
    tokenizer = pipe.processor.tokenizer
    assert tokens == [tokenizer.bos, *tokenizer.encode("what?"), *tokenizer.encode("\n")]


def test_build_like_idefics3_adds_its_tokens_to_the_vocabulary(join, parts):
    pipe, plain = join(like="idefics3"), join()
    tokenizer, decoder = pipe.processor.tokenizer, pipe.model.decoder
    assert tokenizer.eos == tokenizer.parse("<end_of_utterance>")[0]
    assert tokenizer.size < decoder.config.vocab_size
    assert torch.equal(decoder.embedding.weight[:280], plain.model.decoder.embedding.weight)


def test_vocabulary_may_be_larger_than_the_decoders(join):
    plain, larger = join(), join(settings=["model.decoder.vocab_size=300"])
    rows = larger.model.decoder.embedding.weight
    assert torch.equal(rows[:280], plain.model.decoder.embedding.weight)
    assert torch.equal(rows[280:], rows[:280].mean(dim=0).expand(20, -1))


def test_tokenizer_with_one_special_token_lends_it_to_all(join, parts, image):
    pipe = join(decoder=parts / "gpt2")
    tokenizer = pipe.processor.tokenizer
    assert tokenizer.bos == tokenizer.eos == tokenizer.pad
    assert tokenizer.ends == (tokenizer.eos,)
    pipe.generate([Sample([image], "what?"), Sample([image], "what is it?")], max_new_tokens=2)


def test_row_has_no_bos_where_the_decoder_names_none(join, tmp_path):
    """The file has a token of a usual name, which begins messages and not rows."""
    folder = save_decoder(tmp_path / "qwen")
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": None, "eos_token": "<|im_end|>"}))
    pipe = join(decoder=folder)
    tokenizer = pipe.processor.tokenizer
    assert tokenizer.bos is None
    row = pipe.processor.row(Sample([], "what?"))
    assert tuple(row.tokens) == tokenizer.encode("what?\n")


CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def test_decoder_that_was_trained_to_chat_keeps_its_chat(join, tmp_path):
    folder = save_decoder(tmp_path / "chat")
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>", "chat_template": CHATML}))
    pipe = join(decoder=folder, settings=["processor.prompt.system=be short"])
    ids = pipe.processor.tokenizer.parse
    row = pipe.processor.row(Sample([], "what?")).tokens
    (start,), (end,) = ids("<|im_start|>"), ids("<|im_end|>")
    assert (row.count(start), row.count(end), pipe.processor.tokenizer.eos) == (3, 2, end)
    assert row[0] == start
    other = join(decoder=folder)
    assert other.processor.row(Sample([], "what?", system="be short")).tokens == row
    assert other.processor.row(Sample([], "what?")).tokens.count(start) == 2


def test_decoder_with_a_chat_of_no_known_form_is_asked_by_the_question_alone(join, tmp_path, caplog):
    folder = save_decoder(tmp_path / "odd")
    odd = {"eos_token": "<|im_end|>", "chat_template": "{{ 'Q: ' + messages[0]['content'] }}"}
    (folder / "tokenizer_config.json").write_text(json.dumps(odd))
    assert join(decoder=folder).config.processor.prompt.separator == "\n"
    assert "has a chat template of a form that Ojito does not know" in caplog.text
