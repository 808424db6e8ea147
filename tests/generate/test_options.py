import dataclasses

import pytest

from ojito.errors import OjitoError
from ojito.generate import GenerateOptions, Greedy, Temperature, TopK, TopP, make_options, options_of_rows
from ojito.generate.options import OptionKeywords, make_sampler


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [
        ({}, GenerateOptions()),
        ({"max_new_tokens": 3}, GenerateOptions(max_new_tokens=3)),
        ({"sampler": TopK(4)}, GenerateOptions(sampler=TopK(4))),
        ({"temperature": 0.7}, GenerateOptions(sampler=Temperature(0.7))),
        ({"top_k": 7}, GenerateOptions(sampler=TopK(7))),
        ({"top_p": 0.5, "top_k": 7, "temperature": 2}, GenerateOptions(sampler=TopP(0.5, 2, 7))),
        ({"temperature": None, "top_k": None, "top_p": None}, GenerateOptions()),
        ({"repetition_penalty": 1.3}, GenerateOptions(repetition_penalty=1.3)),
        ({"beams": 4}, GenerateOptions(beams=4)),
        ({"beams": 4, "length_penalty": 0.5}, GenerateOptions(beams=4, length_penalty=0.5)),
        ({"beams": 4, "temperature": 0}, GenerateOptions(beams=4, sampler=Temperature(0))),
        ({"stop": "a"}, GenerateOptions(stop=("a",))),
        ({"stop": ["a", "b"]}, GenerateOptions(stop=("a", "b"))),
        ({"stop": []}, GenerateOptions()),
        ({"seed": 5}, GenerateOptions(seed=5)),
        ({"drafts": 0}, GenerateOptions(drafts=0)),
        ({"allowed": len}, GenerateOptions(allowed=len)),
    ],
    ids=str,
)
def test_keywords_become_options(keywords, expected):
    assert make_options(None, keywords) == expected


def test_keywords_win_over_options():
    base = GenerateOptions(max_new_tokens=9, sampler=TopK(3), seed=2)
    assert make_options(base, {"temperature": 0.5}) == dataclasses.replace(base, sampler=Temperature(0.5))
    assert make_options(base, {}) == base


def test_keywords_are_those_of_the_options_and_of_samplers():
    fields = {field.name for field in dataclasses.fields(GenerateOptions)}
    assert set(OptionKeywords.__annotations__) == fields | {"temperature", "top_k", "top_p"}


def test_sampler_beside_its_own_numbers_is_no_contradiction():
    keywords = {"sampler": Temperature(0.5), "temperature": 0.5}
    assert make_options(None, keywords).sampler == Temperature(0.5)


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p", "expected"),
    [
        (None, None, None, Greedy()),
        (0.5, None, None, Temperature(0.5)),
        (None, 7, None, TopK(7, 1.0)),
        (0.5, 7, None, TopK(7, 0.5)),
        (None, None, 0.9, TopP(0.9, 1.0)),
        (0.5, 7, 0.9, TopP(0.9, 0.5, 7)),
        (0, 7, None, TopK(7, 0)),
    ],
)
def test_sampler_is_that_of_all_numbers_together(temperature, top_k, top_p, expected):
    assert make_sampler(temperature, top_k, top_p) == expected


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens: 0 generates nothing; use 1 or more"),
        ({"max_new_tokens": None}, "max_new_tokens: None is not a whole number"),
        ({"max_new_tokens": 2.5}, "max_new_tokens: 2.5 is not a whole number"),
        ({"max_new_tokens": True}, "max_new_tokens: True is not a whole number"),
        ({"sampler": "greedy"}, r"sampler: 'greedy' is none; use Greedy\(\), Temperature\(0.7\)"),
        ({"sampler": None}, "sampler: None is none"),
        ({"sampler": Greedy(), "temperature": 0.7}, r"sampler: Greedy\(\) contradicts temperature=0.7; give only one"),
        ({"sampler": TopK(3), "top_k": 4, "top_p": 0.1}, "contradicts top_k=4, top_p=0.1"),
        ({"top_p": 2.0}, "top_p: 2.0 must be greater than 0"),
        ({"top_k": 1.5}, "top_k: 1.5 is not a whole number"),
        ({"temperature": -1}, "temperature: -1 must be 0"),
        ({"beams": 0}, r"beams: 0 keeps nothing; use 1 \(no search\) or more"),
        ({"beams": 2.0}, "beams: 2.0 is not a whole number; use for example 4"),
        ({"beams": 4, "temperature": 0.7}, r"beams: 4 are searched without chance, and the sampler is Temperature\(t"),
        ({"beams": 4, "sampler": TopK(3)}, "give beams, or a sampler"),
        ({"beams": 4, "length_penalty": None}, "length_penalty: None must lie between -10 and 10"),
        ({"beams": 4, "length_penalty": 11}, "length_penalty: 11 must lie between -10 and 10; 1 compares means"),
        ({"beams": 4, "length_penalty": float("nan")}, "length_penalty: nan must lie between -10 and 10"),
        ({"length_penalty": 2.0}, "length_penalty: 2.0 changes nothing without beams; give beams=4, too"),
        ({"beams": 4, "allowed": len}, "beams: 4 beside masks of allowed tokens; give beams, or allowed"),
        ({"allowed": [1, 2]}, r"allowed: \[1, 2\] cannot be called; give a function"),
        ({"drafts": -1}, r"drafts: -1 must be 0 \(none\) or more; 8 is usual"),
        ({"drafts": True}, "drafts: True must be 0"),
        ({"repetition_penalty": 0.0}, "repetition_penalty: 0.0 must lie between"),
        ({"repetition_penalty": 1e-40}, "repetition_penalty: 1e-40 must lie between"),
        ({"repetition_penalty": 1e39}, r"repetition_penalty: 1e\+39 must lie between"),
        ({"repetition_penalty": float("nan")}, "repetition_penalty: nan must lie"),
        ({"repetition_penalty": None}, "repetition_penalty: None must lie"),
        ({"stop": None}, "stop: None is no list of texts"),
        ({"stop": 3}, "stop: 3 is no list of texts"),
        ({"stop": ["a", 3]}, "is no list of texts"),
        ({"stop": b"a"}, "is no list of texts"),
        ({"stop": ["a", ""]}, "stop: '' is part of every text; leave it out"),
        ({"stop": ["\ud83e"]}, "holds half a character"),
        ({"seed": None}, "seed: None is not a whole number"),
        ({"seed": 1.0}, "seed: 1.0 is not a whole number"),
        ({"seed": 10**30}, "seed: 10{30} is beyond what a random generator takes; use for example 0 to"),
        ({"seed": -(2**63) - 1}, "seed: -9223372036854775809 is beyond"),
        ({"max_tokens": 3}, "max_tokens: is no option of generation; did you mean max_new_tokens?"),
        ({"temprature": 3}, "did you mean temperature?"),
    ],
    ids=str,
)
def test_option_that_is_not_possible_is_an_error(keywords, message):
    with pytest.raises(OjitoError, match=message) as error:
        make_options(None, keywords)
    assert error.value.where
    assert error.value.problem
    assert error.value.remedy


def test_rows_draw_with_seeds_of_their_own():
    assert [one.seed for one in GenerateOptions(seed=5).rows(3)] == [5, 6, 7]
    assert [one.seed for one in GenerateOptions(seed=2**63 - 3).rows(3)] == [2**63 - 3, 2**63 - 2, 2**63 - 1]
    with pytest.raises(OjitoError, match=f"seed: {2**63 - 3} is beyond"):
        GenerateOptions(seed=2**63 - 3).rows(4)


def test_options_of_rows_are_one_for_all_or_one_each():
    one, other = GenerateOptions(seed=1), GenerateOptions(seed=7)
    assert options_of_rows(one, 2) == [one, GenerateOptions(seed=2)]
    assert options_of_rows([one, other], 2) == [one, other]
    with pytest.raises(OjitoError, match="options: 2 for 3 rows; give one for each row"):
        options_of_rows([one, other], 3)
    with pytest.raises(OjitoError, match="options: 'greedy' is no GenerateOptions"):
        options_of_rows("greedy", 2)
    with pytest.raises(OjitoError, match="is no GenerateOptions"):
        options_of_rows([one, {}], 2)
