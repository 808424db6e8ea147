"""Options of generation, as `ask`, `caption`, `generate` and `stream` take them."""

import pytest
import torch

from ojito.errors import OjitoError
from ojito.generate import GenerateOptions, Greedy, Temperature, TopK, TopP
from ojito.records import Sample
from tests.pipeline.toy import says, says_ids


@pytest.mark.parametrize(
    "change",
    [
        {"max_new_tokens": 3},
        {"sampler": Temperature(3.0)},
        {"repetition_penalty": 50.0},
        {"sampler": Temperature(3.0), "seed": 9},
    ],
    ids=str,
)
def test_option_changes_the_answer(pipe, image, change):
    base = {"sampler": change["sampler"], "seed": 1} if "seed" in change else {}
    options = {"max_new_tokens": 20, **base}
    assert pipe.ask(image, "what", **{**options, **change}) != pipe.ask(image, "what", **options)
    changed = "".join(pipe.stream(image, "what", **{**options, **change}))
    assert changed == str(pipe.ask(image, "what", **{**options, **change}))
    assert changed != "".join(pipe.stream(image, "what", **options))


def test_ids_beyond_the_tokenizer_are_never_chosen(pipe, image):
    answer = pipe.ask(image, "what", max_new_tokens=60, sampler=Temperature(100.0))
    assert max(answer.tokens) < pipe.processor.tokenizer.size


def test_any_token_that_ends_an_answer_does(pipe, image):
    said = pipe.ask(image, "what is it", max_new_tokens=9).tokens
    end = next(token for token in said if token != said[0])
    pipe.processor.tokenizer.ends = (pipe.processor.tokenizer.eos, end)
    answer = pipe.ask(image, "what is it", max_new_tokens=9)
    assert (answer.tokens, answer.finish) == (said[: said.index(end)], "eos")
    assert "".join(pipe.stream(image, "what is it", max_new_tokens=9)) == answer.text


@pytest.mark.parametrize("stop", [["STOP"], "STOP", ("x", "ST")])
def test_stop_string_ends_the_text_and_is_not_part_of_it(monkeypatch, pipe, image, stop):
    says(monkeypatch, pipe, "one STOP two")
    answer = pipe.ask(image, "what", stop=stop)
    assert str(answer) == "one "
    assert answer.finish == "stop"
    assert len(answer.tokens) == len("one STOP" if "ST" not in list(stop) else "one ST")


def test_stop_string_stops_each_row_by_itself(monkeypatch, pipe, image):
    says(monkeypatch, pipe, "one. two", "three", "four.")
    answers = pipe.generate([Sample([image])] * 3, stop=["."])
    assert [(str(a), a.finish) for a in answers] == [("one", "stop"), ("three", "eos"), ("four", "stop")]


def test_empty_stop_string_is_an_error(pipe, image):
    with pytest.raises(ValueError, match="stop: '' is part of every text"):
        pipe.ask(image, "what", stop=["a", ""])


@pytest.mark.parametrize(
    ("keywords", "options"),
    [
        ({"temperature": 3.0, "seed": 2}, {"sampler": Temperature(3.0), "seed": 2}),
        ({"top_k": 4, "temperature": 3.0}, {"sampler": TopK(4, 3.0)}),
        ({"top_p": 0.9, "temperature": 3.0}, {"sampler": TopP(0.9, 3.0)}),
        ({"beams": 4}, {"beams": 4}),
    ],
    ids=str,
)
def test_numbers_of_a_sampler_stand_in_for_it(pipe, image, keywords, options):
    given = GenerateOptions(max_new_tokens=9, **options)
    expected = pipe.ask(image, "what", given)
    assert pipe.ask(image, "what", max_new_tokens=9, **keywords) == expected != pipe.ask(image, "what")
    assert pipe.caption(image, given) == pipe.caption(image, max_new_tokens=9, **keywords)
    assert pipe.generate([Sample([image], "what")], max_new_tokens=9, **keywords) == [expected]
    assert "".join(pipe.stream(image, "what", max_new_tokens=9, **keywords)) == expected.text
    assert "".join(pipe.stream(image, "what", given)) == expected.text


def test_samples_may_have_options_of_their_own(pipe, image):
    samples = [Sample([image], "a"), Sample([image], "bc"), Sample(prompt="d")]
    each = [GenerateOptions(max_new_tokens=n, sampler=Temperature(2.0), seed=n) for n in (3, 9, 5)]
    each += [GenerateOptions(4, beams=3), GenerateOptions(4), GenerateOptions(6, beams=3, length_penalty=-1.0)]
    samples += [Sample([image], "ab"), Sample([image], "ab"), Sample([image], "c")]
    together = pipe.generate(samples, each, batch_size=2)
    assert [len(answer.tokens) for answer in together] == [3, 9, 5, 4, 4, 6]
    assert together == [pipe.generate([sample], one)[0] for sample, one in zip(samples, each, strict=True)]


@pytest.mark.parametrize(
    "keywords",
    [{"max_new_tokens": 2.5}, {"stop": None}, {"seed": None}, {"sampler": Greedy(), "top_k": 3}, {"max_tokens": 3}],
    ids=str,
)
def test_impossible_option_is_an_error_at_the_call(pipe, image, keywords):
    with pytest.raises(OjitoError):
        pipe.ask(image, "what", **keywords)
    with pytest.raises(OjitoError):
        pipe.stream(image, "what", **keywords)  # not only once it is iterated


def test_special_token_as_a_stop_text_ends_the_answer(monkeypatch, pipe, image):
    tokenizer = pipe.processor.tokenizer
    (special,) = tokenizer.parse("<bos>")
    ids = [*tokenizer.encode("ab"), special, *tokenizer.encode("cd")]
    says_ids(monkeypatch, ids)
    answer = pipe.ask(image, "what", stop=["<bos>"])
    assert (answer.text, answer.finish) == ("ab", "stop")
    assert "".join(pipe.stream(image, "what", stop=["<bos>"])) == "ab"
    assert pipe.ask(image, "what").text == "abcd"
    with pytest.raises(OjitoError, match="has a special token beside other text"):
        pipe.ask(image, "what", stop=["b<bos>"])


def test_allowed_tokens_are_those_of_an_answer(pipe, image):
    tokenizer = pipe.processor.tokenizer
    mask = torch.zeros(tokenizer.size, dtype=torch.bool)
    mask[list(tokenizer.encode("xy"))] = True
    answer = pipe.ask(image, "what", max_new_tokens=9, allowed=lambda tokens: mask)
    assert set(answer.text) <= set("xy")
    assert len(answer.text) == 9
