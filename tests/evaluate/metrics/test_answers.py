"""Scores of answers, against values worked out by hand or from the definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ojito.errors import OjitoError
from ojito.evaluate.metrics.answers import (
    anls,
    chosen,
    circular,
    edit_distance,
    exact_match,
    plain_answer,
    relaxed_accuracy,
)
from ojito.evaluate.metrics.hallucination import chair, natural_bench, pope
from ojito.evaluate.metrics.vqa import normalize_vqa, vqa_accuracy


def test_vqa_accuracy_needs_three_of_the_other_nine():
    people = ["yes"] * 3 + ["no"] * 7
    # Left out one of the three: two others of nine agree, 2/3; left out another: three, 1.
    assert vqa_accuracy(["yes"], [people]) == pytest.approx((3 * 2 / 3 + 7 * 1) / 10)
    assert vqa_accuracy(["no"], [people]) == 1
    assert vqa_accuracy(["maybe"], [people]) == 0
    assert vqa_accuracy(["yes"], [["yes"] + ["no"] * 9]) == pytest.approx(9 * (1 / 3) / 10)


def test_vqa_answers_are_normalized_where_people_differ():
    differ, agree = ["2 dogs"] * 9 + ["cats"], ["2 dogs"] * 10
    assert vqa_accuracy(["Two  dogs!!"], [differ]) == 1
    assert vqa_accuracy(["the two dogs ."], [differ]) == 1
    assert vqa_accuracy(["the two dogs"], [agree]) == 0
    assert vqa_accuracy([" 2\tdogs\n"], [agree]) == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A dog", "dog"), ("The cat and an owl", "cat and owl"), ("none", "0"), ("Ten", "10"), ("1,000", "1000"),
        ("dont", "don't"), ("couldntve", "couldntve"), ("couldn'tve", "couldn't've"), ("twas", "'twas"),
        ("black/white", "black white"), ("black / white", "black white"), ("3.5", "3.5"),
        ("end.", "end"), ("u.s.a.", "usa"), ("t-shirt", "t shirt"), ("somebody'd", "somebodyd"), ("it's", "it's"),
        ("youre", "you're"), ("shell", "shell"), ("a, b", "b"), ("what?", "what"),
    ],
)  # fmt: skip
def test_vqa_text_is_made_plain_in_the_official_way(text, found):
    assert normalize_vqa(text) == found


def test_exact_match_forgives_case_and_marks_at_the_end():
    assert exact_match(["Red.", "blue"], [["red"], ["green", "navy"]]) == 0.5


def test_anls_takes_the_nearest_reference_and_nothing_below_the_threshold():
    assert anls(["Helo World"], [["bye", "hello  world"]]) == pytest.approx(1 - 1 / 11)
    assert anls(["abcd"], [["abxy"]]) == 0.5
    assert anls(["abcd"], [["axyz"]]) == 0
    assert anls(["abcd"], [["axyz"]], threshold=0.2) == 0.25
    assert anls([""], [[""]]) == 1


@given(st.text("abc", max_size=9), st.text("abc", max_size=9))
def test_edit_distance_is_that_of_its_definition(one, other):
    table = np.zeros((len(one) + 1, len(other) + 1), int)
    table[:, 0], table[0] = range(len(one) + 1), range(len(other) + 1)
    for i, a in enumerate(one, 1):
        for j, b in enumerate(other, 1):
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a != b))
    assert edit_distance(one, other) == table[-1, -1]


@pytest.mark.parametrize(
    ("answer", "reference", "right"),
    [
        ("10.4", "10", True), ("10.6", "10", False), ("96%", "100%", True), ("0.5", "50%", True),
        ("1,000", "1000", True), ("Yes", "yes", True), ("no", "yes", False), ("0", "0", True),
        ("0.01", "0", False), ("nan", "nan", True),
        ("-10.4", "-10", True), ("10", "-10", False),
    ],
)  # fmt: skip
def test_relaxed_accuracy_lets_numbers_be_a_little_off(answer, reference, right):
    assert relaxed_accuracy([answer], [[reference]]) == right


def test_tolerance_of_relaxed_accuracy_counts():
    assert relaxed_accuracy(["12"], [["10"]], tolerance=0.3) == 1


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("B", 1), ("(b)", 1), ("b. a cat", 1), ("The answer is C", 2), ("Option A:", 0), ("a cat", 1), ("A cat.", 1),
        ("it is a cat", 1), ("it may be a cat or a dog", None), ("E", None), ("", None), ("Answer: D)", 3),
        ("because", None),
    ],
)  # fmt: skip
def test_chosen_option_is_read_from_an_answer(answer, found):
    assert chosen(answer, ["a dog", "a cat", "a bird", "two birds"]) == found


def test_circular_needs_every_rotation():
    assert circular([[True, True], [True, False], []]) == pytest.approx(1 / 3)


def test_pope_counts_hits_and_a_liking_for_yes():
    found = pope(["Yes, there is.", "yes", "No.", "There is not. Yes"], [True, False, True, False])
    assert (found.accuracy, found.precision, found.recall, found.f1, found.yes_rate) == (0.5, 0.5, 0.5, 0.5, 0.5)
    found = pope(["yes"] * 4, [True, False, False, False])
    assert (found.recall, found.precision, found.yes_rate) == (1, 0.25, 1)
    assert found.f1 == pytest.approx(2 * 0.25 / 1.25)
    assert pope(["no"], [True]).f1 == 0


OBJECTS = {"dog": ["puppy"], "hot dog": [], "person": ["man", "woman"], "bus": []}


def test_chair_counts_objects_that_are_not_there():
    captions = ["A man with two puppies", "A hot dog on a bus", "nothing here", "dogs and dogs"]
    found = chair(captions, [["person"], ["hot dog"], [], ["dog"]], {**OBJECTS, "dog": ["puppy", "puppies"]})
    assert found.sentences == 0.5  # a dog; a bus
    assert found.instances == pytest.approx(2 / 6)


def test_chair_finds_longer_names_first_and_plurals():
    found = chair(["hot dogs", "two buses"], [["hot dog"], ["bus"]], OBJECTS)
    assert (found.sentences, found.instances) == (0, 0)
    with pytest.raises(OjitoError, match="'cat' is not one of the objects"):
        chair(["a"], [["cat"]], OBJECTS)


def test_natural_bench_gives_nothing_to_who_does_not_look():
    blind = natural_bench([[[True, False], [True, False]]] * 3)
    assert (blind.accuracy, blind.question, blind.image, blind.group) == (0.5, 0, 0.5, 0)
    found = natural_bench([[[True, True], [True, False]], [[True, True], [True, True]]])
    assert (found.accuracy, found.question, found.image, found.group) == (0.875, 0.75, 0.75, 0.5)
    with pytest.raises(OjitoError, match=r"has the shape \(1, 2\)"):
        natural_bench([[True, False]])


@pytest.mark.parametrize("metric", [exact_match, anls, relaxed_accuracy, vqa_accuracy])
def test_references_that_do_not_fit_are_refused(metric):
    for answers, references, said in (
        (["a"], [], "0 groups for 1 answers"), (["a"], [[]], "answer 0 has none"), (["a"], ["a"], "one text where"),
    ):  # fmt: skip
        with pytest.raises(OjitoError, match=said):
            metric(answers, references)
    with pytest.raises(OjitoError, match="2 for 1 answers"):
        pope(["a"], [True, False])


def test_article_is_no_letter():
    assert chosen("A bird on grass", ["a dog", "a bird"]) == 1
    assert chosen("A bird", ["dog", "bird"]) == 1
    assert chosen("A. bird", ["dog", "bird"]) == 0
    assert chosen("the answer is A because", ["dog", "bird"]) == 0
    assert chosen("A cow", ["dog", "bird"]) is None


def test_plain_answer_is_the_letter_of_the_chosen_option():
    assert plain_answer("the answer is b", ["a dog", "a cat"]) == "B"
    assert plain_answer("a cat", ["a dog", "a cat"]) == "B"
    assert plain_answer("a cow", ["a dog", "a cat"]) == "a cow"
    assert plain_answer("a cat", ()) == "a cat"
