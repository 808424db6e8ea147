"""Courses: lessons in their order. Ojito's own keeps its word."""

import random
import re
import sys

import pytest

from ojito.errors import OjitoError
from ojito.learn.course import OWN, Course
from ojito.learn.lesson import SOLUTION, load_module
from ojito.learn.proving import prove

NAMES = Course.read().names


def test_course_names_its_lessons_in_order(course):
    assert course.names == ("01_means", "02_more")
    assert course.title("02_more") == "More"


@pytest.mark.parametrize("word", ["01_means", "eans", "1", "01", "01_m"])
def test_lesson_is_found_by_name_number_and_first_letters(course, word):
    assert course.find(word) == "01_means"


@pytest.mark.parametrize(("word", "says"), [("3", "is no lesson"), ("kites", "is no lesson"), ("0", "is no lesson")])
def test_unknown_lesson_is_refused(course, word, says):
    with pytest.raises(OjitoError, match=says):
        course.find(word)


def test_first_letters_of_several_lessons_are_refused(course):
    with pytest.raises(OjitoError, match="may be 01_means or 02_more"):
        Course(course.folder, course.names).find("")


def test_folder_without_order_or_with_missing_files_is_refused(course, tmp_path):
    with pytest.raises(OjitoError, match=r"has no course\.txt"):
        Course.read(tmp_path / "nothing")
    (course.folder / "02_more" / "check.py").unlink()
    with pytest.raises(OjitoError, match=r"02_more.*has no check\.py"):
        Course.read(course.folder)
    (course.folder / "course.txt").write_text("# nothing\n")
    with pytest.raises(OjitoError, match="names no lesson"):
        Course.read(course.folder)


@pytest.mark.parametrize("name", NAMES)
def test_own_lesson_keeps_its_word(name):
    """Its stub fails, its solution passes, and each of its mistakes is named."""
    lesson = Course.read().lesson(name)
    needs = () if lesson.milestone is None else lesson.milestone.needs
    assert prove(lesson, {one: OWN / one / SOLUTION for one in needs}) == []


@pytest.mark.parametrize("name", NAMES)
def test_own_lesson_names_files_and_functions_that_are_there(name):
    page = (OWN / name / "lesson.md").read_text()
    root = OWN.parents[2]
    found = re.findall(r"`(ojito/[\w/]+\.py)`", page)
    assert found, "says nowhere where it stands in the library"
    for path in found:
        assert (root / path).is_file(), path


def test_program_on_the_page_about_pairs_learns_with_the_loss_of_the_exercise(tmp_path, monkeypatch, capsys):
    folder = OWN / "05_contrastive"
    (program,) = re.findall(r"```python\n(.*?)```", (folder / "lesson.md").read_text(), re.S)
    (tmp_path / "pairs.py").write_text(program)
    monkeypatch.setitem(sys.modules, "exercise", load_module(folder / SOLUTION))
    state = random.getstate()
    load_module(tmp_path / "pairs.py")
    random.setstate(state)
    assert int(capsys.readouterr().out.split()[0]) > 40  # of 96
