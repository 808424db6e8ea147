"""Solutions tried with the cases of an exercise, with and without mistakes."""

import pytest

from ojito.learn.lesson import Lesson, LessonError
from ojito.learn.limit import Endless
from ojito.learn.trying import Raised, changed_input, differs, edited, named, results_with, right_result
from tests.learn.conftest import CHECK, SOLUTION, write_lesson


def test_edits_that_exclude_each_other_make_no_text(lesson):
    add, everything, *_, keeps = lesson.exercises[0].mistakes
    assert edited(lesson, [add, everything]) == SOLUTION.replace(" / values.shape[axis]", "").replace("(axis)", "()")
    assert edited(lesson, [everything, keeps]) is None


def test_results_with_mistakes_are_those_of_the_edited_solution(lesson):
    mean, double = lesson.exercises
    add = mean.mistakes[0]
    assert [one.tolist() for one in results_with(lesson, mean, [], {})] == [[1.0, 4.0], [1.5, 2.5, 3.5]]
    assert [one.tolist() for one in results_with(lesson, mean, [add], {})] == [[3.0, 12.0], [3.0, 5.0, 7.0]]
    assert list(results_with(lesson, double, [], {})) == [6, 1.0]
    assert results_with(lesson, mean, [mean.mistakes[1], mean.mistakes[-1]], {}) is None


def test_mistakes_are_known_by_their_results_one_or_two_or_none(lesson):
    double = lesson.exercises[1]
    assert [one.name for one in named(lesson, double, [9, 0.25], {})] == ["square"]
    assert named(lesson, double, [6, 1.0], {}) == ()
    mean = lesson.exercises[0]
    both = list(results_with(lesson, mean, [mean.mistakes[0], mean.mistakes[-1]], {}))
    assert named(lesson, mean, both, {}) == (mean.mistakes[0], mean.mistakes[-1])


def test_errors_are_compared_by_kind_and_text():
    error = Raised(ValueError("x"))
    assert differs(error, Raised(ValueError("x")), 0.0) == ""
    assert differs(error, Raised(ValueError("y")), 0.0) == "another error"
    assert differs(error, Raised(KeyError("x")), 0.0) == "another error"
    assert differs(error, 1.0, 0.0) == differs(1.0, error, 0.0) == "an error"
    assert not error.endless
    assert Raised(Endless("stopped")).endless


def test_first_input_that_is_written_to_is_found(lesson):
    mean = lesson.exercises[0]
    case = mean.cases()[0]
    assert changed_input(mean, lambda values, axis: values.mean(axis), case, {}) == ""
    assert changed_input(mean, lambda values, axis: values.zero_(), case, {}) == "values"


def test_reference_that_fails_is_the_lessons_fault(tmp_path):
    check = CHECK.replace("lambda values, axis: values.mean(axis)", "lambda values, axis: values / nothing")
    lesson = Lesson.read(write_lesson(tmp_path / "03_broken", check_py=check))
    with pytest.raises(LessonError, match="the solution fails for along the last axis"):
        right_result(lesson, lesson.exercises[0], lesson.exercises[0].cases()[0], {})
