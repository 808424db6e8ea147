"""JSON texts of any origin: what is read, and what is said of the others."""

import json

import pytest

from ojito.checkpoint.json_text import JsonError, decode_json, parse_json


def refused(content, most=1000):
    with pytest.raises(JsonError) as error:
        decode_json(content if isinstance(content, bytes) else content.encode(), most)
    return error.value.problem, error.value.remedy


def test_text_is_parsed_as_json_does():
    text = '{"a": {"b": [1, {"c": null}]}, "b": 1, "c": "\u00fc // , }"}'
    assert parse_json(text, 100) == decode_json(text.encode(), 100) == json.loads(text)


def test_byte_order_mark_is_passed_over():
    assert decode_json('{"a": "ü"}'.encode("utf-8-sig"), 10) == {"a": "ü"}


def test_most_decides_how_many_values_a_text_may_hold():
    assert parse_json("[1, 2, 3]", 3) == [1, 2, 3]
    with pytest.raises(JsonError, match="too many values, more than 2"):
        parse_json("[1, 2, 3]", 2)


@pytest.mark.parametrize(
    ("text", "problem", "remedy"),
    [
        ('{\n  "a": 1, // why\n  "b": 2}', "is not JSON: a comment at line 2, column 11", "delete the comment"),
        ('{\n  /* why */ "a": 1}', "is not JSON: a comment at line 2, column 3", "delete the comment"),
        ('# why\n{"a": 1}', "is not JSON: a comment at line 1, column 1", "delete the comment"),
        ('{"a": 1} // why', "is not JSON: a comment at line 1, column 10", "delete the comment"),
        ('{\n"a": 1,\n}', "is not JSON: a comma before a closing bracket at line 2, column 7", "delete the comma"),
        ('{"a": [1, 2,]}', "is not JSON: a comma before a closing bracket at line 1, column 12", "delete the comma"),
        ("{'a': 1}", "is not JSON: a single quote at line 1, column 2", 'use double quotes (")'),
        ('{"a": True}', "is not JSON: True at line 1, column 7", "write true"),
        ('{"a": None}', "is not JSON: None at line 1, column 7", "write null"),
        ('{"a": 1 "b": 2}', "is not JSON: Expecting ',' delimiter at line 1, column 9",
         "mend it there, or copy it again"),
        ('{"a": 1, \n "b', "is not JSON: it ends within a value that begins at line 2, column 2", "copy it again"),
        ('{"a": 1,', "is not JSON: it ends too early, at line 1, column 9", "copy it again"),
        ("{", "is not JSON: it ends too early, at line 1, column 2", "copy it again"),
        (" \n", "is empty", "copy it again"),
        ("\0" * 50, "is not JSON: it holds nothing but zeros", "copy it again"),
        ("<!doctype html><html>", "is a web page, not JSON",
         "download the file itself (on the Hub: resolve, not blob)"),
        ("[" * 900, "is nested too deep", "copy it again"),
        ('{"a": 1' + "0" * 5000 + "}", "holds a number with too many digits", "copy it again"),
    ],
)  # fmt: skip
def test_what_stands_in_place_of_json_is_said_with_its_place(text, problem, remedy):
    if text.startswith("["):
        text = text * 100
        assert refused(text, 10**6) == (problem, remedy)
    else:
        assert refused(text) == (problem, remedy)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_another_encoding_is_called_so(encoding):
    assert refused('{"a": "x"}'.encode(encoding)) == ("is text in UTF-16 or UTF-32", "save it as UTF-8")


def test_byte_that_is_not_utf8_is_named_with_its_place():
    content = '{"a": 1,\n "name": "Müller"}'.encode("latin-1")
    problem = "is not JSON (line 2, column 12: byte 0xfc is not UTF-8)"
    assert refused(content) == (problem, "save it as UTF-8, or copy it again")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{"a": 1,\n "a": 2}', "at line 1, column 2 and at line 2, column 2"),
        ('{"b": {"a": 1, "a": 1}}', "at line 1, column 8 and at line 1, column 16"),
        ('{"b": {"a": 1}, "a": 1, "a": 2}', "in one object"),
    ],
)
def test_key_that_stands_twice_is_named_with_its_places(text, where):
    assert refused(text) == (f"has the key 'a' twice, {where}", "delete one of them")
