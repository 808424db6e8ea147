"""Lessons read from their folders."""

import pytest

from ojito.learn.lesson import Lesson, LessonError, load_module
from tests.learn.conftest import write_lesson


def test_lesson_has_a_title_a_question_and_exercises(lesson):
    assert (lesson.name, lesson.title) == ("01_means", "Means")
    assert lesson.question.answer == "a"
    assert [one.name for one in lesson.exercises] == ["mean", "double"]
    assert lesson.milestone is None


def test_missing_file_is_named(tmp_path):
    folder = write_lesson(tmp_path / "one")
    (folder / "solution.py").unlink()
    with pytest.raises(LessonError, match=r"has no solution\.py; a lesson has lesson\.md, exercise\.py"):
        Lesson.read(folder)


def test_check_without_exercises_is_refused(tmp_path):
    with pytest.raises(LessonError, match="has no EXERCISES or no QUESTION"):
        Lesson.read(write_lesson(tmp_path / "one", check_py="x = 1"))


def test_module_is_run_from_its_file_or_from_another_text(tmp_path):
    path = tmp_path / "some.py"
    path.write_text("import dataclasses\n@dataclasses.dataclass\nclass One:\n    x: int = 1\n")
    assert load_module(path).One().x == 1
    assert load_module(path, "x = 2").x == 2
    with pytest.raises(LessonError, match="ojito learn reset"):
        load_module(tmp_path / "none.py")


MISTAKES = """
from ojito.learn import Mistake

MISTAKES = {
    "mean": [Mistake("sum", "you add up", {" / values.shape[axis]": ""})],
    "double": [Mistake("same", "you do nothing", {"2 * value": "value"})],
}
"""


def test_mistakes_may_stand_in_a_file_of_their_own(tmp_path):
    lesson = Lesson.read(write_lesson(tmp_path / "01_one", mistakes_py=MISTAKES))
    assert [[one.name for one in exercise.mistakes] for exercise in lesson.exercises] == [["sum"], ["same"]]


@pytest.mark.parametrize("name", ["doubled", "mean"])
def test_mistakes_of_other_exercises_are_refused(tmp_path, name):
    folder = write_lesson(tmp_path / "01_one", mistakes_py=MISTAKES.replace('"double":', f'"{name}":'))
    with pytest.raises(LessonError, match=r"has MISTAKES of .*; name those of the exercises: mean, double"):
        Lesson.read(folder)
