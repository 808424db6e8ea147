"""A learner's file graded, and its mistakes named."""

import pytest

from ojito.errors import OjitoError
from ojito.learn import limit
from ojito.learn.grading import Grade, grade
from ojito.learn.lesson import Lesson
from tests.learn.conftest import CHECK, EXERCISE, MILESTONE_CHECK, PUT_TOGETHER, SOLUTION, write_lesson

MEAN = "total / values.shape[axis]"


@pytest.fixture
def graded(lesson, tmp_path):
    def graded(source, **options):
        path = tmp_path / "exercise.py"
        path.write_text(source)
        return grade(lesson, path, **options)

    return graded


def first(found):
    return found.verdicts[-1]


def test_solution_is_right(graded):
    found = graded(SOLUTION)
    assert found.passed
    assert [(one.exercise, one.status) for one in found.verdicts] == [("mean", "right"), ("double", "right")]
    assert found.prediction == "a"


def test_question_comes_first(graded):
    found = graded(EXERCISE)
    assert not found.passed
    assert "Which is larger?" in found.says
    assert not found.verdicts


def test_open_gap_is_shown_with_its_line(graded):
    found = graded(EXERCISE.replace('PREDICTION = ""', 'PREDICTION = "b"'))
    assert (first(found).status, first(found).says) == ("gap", "line 9 is still open: total = ...")
    assert found.prediction == "b"


def test_mistake_is_named_with_its_numbers(graded):
    found = first(graded(SOLUTION.replace(MEAN, "total")))
    assert found.status == "named"
    assert found.says == "you add up 3 values: 3x too large"
    assert found.mistakes == ("sum",)
    assert found.case == "along the last axis"


def test_mistake_is_known_by_its_results_and_not_by_its_text(graded):
    found = first(graded(SOLUTION.replace(MEAN, "values.mean(axis) * values.shape[axis]")))
    assert found.mistakes == ("sum",)


def test_two_mistakes_together_are_named(graded):
    found = first(graded(SOLUTION.replace("sum(axis)", "sum(axis, keepdim=True)").replace(MEAN, "total")))
    assert found.mistakes == ("sum", "keeps")
    assert found.says.splitlines()[1] == "you keep the axis"


def test_unknown_mistake_is_described(graded):
    found = first(graded(SOLUTION.replace(MEAN, f"{MEAN} + 7")))
    assert (found.status, found.says) == ("wrong", "the result is off by +7 everywhere")


def test_error_is_shown_with_the_learners_line(graded):
    found = first(graded(SOLUTION.replace(MEAN, "total / nothing")))
    assert found.status == "raised"
    assert found.says == "line 10: return total / nothing\n  NameError: name 'nothing' is not defined"


def test_error_below_is_shown_with_the_line_that_called_it(graded):
    source = SOLUTION.replace("def mean", "def half(x):\n    return x / nothing\n\n\ndef mean").replace(
        MEAN, "half(total)"
    )
    assert first(graded(source)).says == (
        "line 14: return half(total)\n  line 8: return x / nothing\n  NameError: name 'nothing' is not defined"
    )


def test_arguments_that_were_renamed_are_told(graded):
    found = first(graded(SOLUTION.replace("def double(value)", "def double(x)").replace("2 * value", "2 * x")))
    assert found.says.endswith("unexpected keyword argument 'value' (the arguments are to stay as they were)")


def test_what_a_use_found_out_is_called_by_its_name(tmp_path):
    check = CHECK.replace('["Once more."]', '["Once more."], use=lambda f, inputs: {"twice of all": f(**inputs)[0]}')
    solution = SOLUTION.replace("return 2 * value", "return (2 * value,)")
    folder = write_lesson(tmp_path / "03_use", check_py=check, solution_py=solution)
    path = tmp_path / "exercise.py"
    path.write_text(solution.replace("2 * value,", "7 * value,"))
    assert first(grade(Lesson.read(folder), path)).says == "twice of all is 21, not 6"
    path.write_text(solution.replace("(2 * value,)", "None"))
    assert first(grade(Lesson.read(folder), path)).says == (
        "it ran, and what it returned cannot be used further: TypeError: 'NoneType' object is not subscriptable"
    )


def test_first_wrong_exercise_ends_the_check(graded):
    found = graded(SOLUTION.replace(MEAN, "total").replace("2 * value", "value"))
    assert [one.exercise for one in found.verdicts] == ["mean"]
    found = graded(SOLUTION.replace("2 * value", "value**2"))
    assert [(one.exercise, one.status) for one in found.verdicts] == [("mean", "right"), ("double", "named")]


def test_missing_function_is_told(graded):
    assert first(graded(SOLUTION.replace("def mean", "def man"))).says == "exercise.py defines no mean"


def test_input_that_is_written_to_is_told(graded):
    found = first(graded(SOLUTION.replace("total = values.sum(axis)", "total = values.sum(axis)\n    values += 1")))
    assert (found.status, found.says) == (
        "wrong",
        "the result is right, but values is not what it was before: work on a copy "
        "(a += b writes into what you were given, a = a + b does not)",
    )


def test_list_that_is_written_to_is_told(tmp_path):
    folder = write_lesson(tmp_path / "03_lists", check_py=CHECK.replace('{"value": 3}', '{"value": [3]}'))
    path = tmp_path / "exercise.py"
    path.write_text(
        SOLUTION.replace("return 2 * value", "value, kept = 2 * value, value\n    kept *= 2\n    return value")
    )
    found = first(grade(Lesson.read(folder), path))
    assert found.says.startswith("the result is right, but value is not what it was before: work on a copy")


def test_input_that_is_written_to_is_told_beside_a_wrong_result(graded):
    found = first(graded(SOLUTION.replace("total = values.sum(axis)", "total = values.zero_().sum(axis) + 7")))
    assert found.says.splitlines()[1].startswith("and values is not what it was before")


def test_entries_of_a_result_have_their_names(tmp_path):
    check = CHECK.replace('["Once more."]', '["Once more."], returns=("twice", "as it was")')
    solution = SOLUTION.replace("return 2 * value", "return 2 * value, value")
    folder = write_lesson(tmp_path / "03_pairs", check_py=check, solution_py=solution)
    path = tmp_path / "exercise.py"
    path.write_text(solution.replace("value, value", "value, 5"))
    assert first(grade(Lesson.read(folder), path)).says == "as it was is 5, not 3"


def test_loop_that_never_ends_is_told_with_its_line(graded, monkeypatch):
    monkeypatch.setattr(limit, "SECONDS", 0.2)
    forever = "\n    while value:\n        try:\n            value += 1\n        except Exception:\n            pass\n"
    found = first(graded(SOLUTION.replace("    return 2 * value", forever)))
    assert (found.exercise, found.status) == ("double", "raised")
    assert found.says.startswith("line 1")
    assert found.says.endswith("was stopped after 0.2 s: does a loop never end?")
    assert "was stopped after 0.2 s" in graded(SOLUTION + "\nwhile True: pass\n").says


@pytest.fixture
def milestone(tmp_path):
    folder = write_lesson(tmp_path / "milestone", check_py=MILESTONE_CHECK, solution_py=PUT_TOGETHER)
    own, part = tmp_path / "exercise.py", tmp_path / "part.py"
    own.write_text(PUT_TOGETHER)

    def graded(source):
        part.write_text(source)
        return grade(Lesson.read(folder), own, {"01_means": part})

    return graded


def test_milestone_does_not_blame_what_is_right_for_a_part_that_is_wrong(milestone):
    assert milestone("def double(value): return 2 * value").passed
    found = first(milestone("def double(value): return 4 * value"))
    assert (found.status, found.mistakes) == ("parts", ())
    assert found.says.startswith("the lesson's own solution would be wrong here, too")
    assert first(milestone("def double(value): return ...")).status == "parts"


def test_part_that_cannot_be_run_is_named(milestone):
    assert milestone("x = 1\nnothing").says == (
        "01_means, which this is made of, cannot be run any more\n"
        "  line 2: nothing\n  NameError: name 'nothing' is not defined"
    )


def test_file_that_is_not_python_is_told_with_its_line(graded):
    found = graded(SOLUTION.replace("return total /", "return total //////"))
    assert found.says.startswith("line 10 is not Python: ")


def test_error_of_the_file_itself_is_told(graded):
    assert graded(SOLUTION + "\n1 / 0\n").says == "line 17: 1 / 0\n  ZeroDivisionError: division by zero"


def test_missing_file_is_an_error(lesson, tmp_path):
    with pytest.raises(OjitoError, match="ojito learn reset"):
        grade(lesson, tmp_path / "none.py")


def test_grade_survives_json(graded):
    found = graded(SOLUTION.replace(MEAN, "total"))
    assert Grade.from_dict(found.to_dict()) == found
