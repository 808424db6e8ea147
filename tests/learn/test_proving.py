"""What is wrong with a lesson is found."""

import pytest

from ojito.learn.lesson import Lesson
from ojito.learn.proving import prove
from tests.learn.conftest import CHECK, EXERCISE, PAGE, SOLUTION, write_lesson

UNNAMED = CHECK.replace('"you do nothing", {"2 * value": "value"}', '"x", {"2 * value": "value + value"}')


def test_good_lesson_has_no_fault(lesson):
    assert prove(lesson) == []


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"exercise_py": SOLUTION}, "exercise.py passes with its gaps"),
        ({"exercise_py": SOLUTION}, "mean has no gap in exercise.py"),
        ({"solution_py": SOLUTION.replace("total /", "3 * total /")}, "solution.py fails: mean: "),
        ({"solution_py": SOLUTION.replace('"a"', '""')}, "solution.py fails: Predict first"),
        ({"exercise_py": EXERCISE.replace("Twice the", "The")}, "double has another signature or docstring"),
        ({"exercise_py": EXERCISE.replace("def double", "def twice")}, "double is missing in exercise.py"),
        (
            {"check_py": CHECK.replace('"2 * value": "-2 * value"', '"3 * value": "1"')},
            "double, negative: an edit's text",
        ),
        ({"check_py": UNNAMED}, "double, same: gives the right results for all cases"),
        (
            {"check_py": CHECK.replace('"2 * value": "2 + value"', '"2 * value": "value"')},
            "double, more: is told as same",
        ),
        ({"check_py": CHECK.replace('["Once more."]', "[]")}, "double has no hint"),
        ({"check_py": CHECK.replace('one"}, "a"', 'one"}, "z"')}, "the question's answer 'z' is none of its choices"),
        ({"exercise_py": EXERCISE + "\nLIMIT = 3\n"}, "exercise.py and solution.py differ in what is given"),
        ({"lesson_md": PAGE + "\n" * 130}, "lesson.md has 136 lines, and a page has 120"),
        ({"lesson_md": PAGE.replace("larger", "largest")}, "lesson.md does not ask: Which is larger?"),
    ],
)
def test_fault_is_found(tmp_path, files, fault):
    found = prove(Lesson.read(write_lesson(tmp_path / "01_one", **files)))
    assert any(one.startswith(fault) for one in found), found


def test_page_that_shows_its_diagram_has_no_fault(tmp_path):
    page = PAGE + "\nDrawn:\n\n    1 2\n\n      3\n\nAnd on.\n"
    folder = write_lesson(tmp_path / "01_one", lesson_md=page, diagram_py='print("1 2\\n\\n  3")')
    assert prove(Lesson.read(folder)) == []


@pytest.mark.parametrize(
    ("diagram", "fault"),
    [
        ("print(1 + 1)", "lesson.md does not show what diagram.py prints"),
        ("print(1 / 0)", "diagram.py fails: ZeroDivisionError: division by zero"),
        ("print('x", "diagram.py fails: SyntaxError: "),
    ],
)
def test_diagram_that_is_not_on_the_page_is_found(tmp_path, diagram, fault):
    page = PAGE + "\nDrawn:\n\n    2 and more\n\nAnd on.\n"
    [found] = prove(Lesson.read(write_lesson(tmp_path / "01_one", lesson_md=page, diagram_py=diagram)))
    assert found.startswith(fault)


def test_too_few_mistakes_are_counted(tmp_path):
    start = CHECK.index('            Mistake("negative"')
    fewer = CHECK[:start] + CHECK[CHECK.index("\n", start) + 1 :]
    found = prove(Lesson.read(write_lesson(tmp_path / "01_one", check_py=fewer)))
    assert found == ["double has 4 mistakes, and needs 5"]
