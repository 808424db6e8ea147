import pytest

from ojito.data.indexed.facts import WAYS, Facts, digest, facts_of
from ojito.data.rows import samples_of

A = digest("a.jpg")


@pytest.mark.parametrize(
    ("row", "facts"),
    [
        ({"image": "a.jpg", "caption": "x"}, Facts("", (A,))),
        ({"Image": "a.jpg", "CAPTIONS": ["x", "y"], "Split": "val"}, Facts("dev", (A,))),
        ({"image": "a.jpg", "question": "x", "answers": ["y"], "split": None}, Facts("", (A,))),
        ({"image": {"path": "a.jpg"}, "caption": "x"}, Facts("", (A,))),
        ({"images": ["a.jpg", "b.jpg", "a.jpg"], "caption": "x"}, Facts("", (A, digest("b.jpg")))),
        ({"image": "a.jpg", "caption": "x", "question": "y", "answer": "z"}, Facts("", (A,), (2, 1, 1))),
        ({"image": "a.jpg", "qa": [{"question": "y", "answer": "z"}] * 2}, Facts("", (A,), (1, 1, 1))),
        ({"image": "a.jpg", "captoin": "x"}, None),
        ({"image": "a.jpg", "caption": "x", "Caption": "y"}, None),
        ({"image": 3, "caption": "x"}, None),
        ({}, None),
    ],
    ids=str,
)  # fmt: skip
def test_facts_of_a_row(row, facts):
    if facts is not None and set(facts.samples) == {1}:
        facts = facts._replace(samples=())
    assert facts_of(row) == facts


def test_number_of_samples_is_what_reading_makes():
    row = {
        "image": "a.jpg",
        "caption": "x",
        "question": "q?",
        "answer": "y",
        "texts": [{"user": "u", "assistant": "v"}] * 2,
    }
    samples = samples_of(row, str, "")
    assert len(samples) == 3
    assert facts_of(row).samples == (3, 2, 1)
    assert len(WAYS) == 3


def test_rows_of_text_alone_are_known_by_what_is_asked():
    one, same, other = ({"question": q, "answer": a} for q, a in (("x", "1"), ("x", "2"), ("y", "1")))
    assert facts_of(one) == facts_of(same) != facts_of(other)


def test_digest_takes_bytes_and_any_text():
    assert digest("é") == digest("é".encode())
    assert digest("\ud800") != digest("")
    assert 0 <= A < 2**64
