"""A lesson checked, as it is told."""

import pytest

from ojito.commands.learn_check import wrapped
from tests.learn.conftest import MILESTONE_CHECK, PUT_TOGETHER, SOLUTION, course, write_lesson  # noqa: F401


@pytest.fixture
def begun(run, course, tmp_path, monkeypatch):  # noqa: F811
    write_lesson(course.folder / "milestone", check_py=MILESTONE_CHECK, solution_py=PUT_TOGETHER)
    (course.folder / "course.txt").write_text("01_means\nmilestone\n")
    monkeypatch.chdir(tmp_path)
    run("learn", "start", "mine", "--course", course.folder)
    monkeypatch.chdir(tmp_path / "mine")
    return tmp_path / "mine"


def write(begun, lesson, text):
    (begun / lesson / "exercise.py").write_text(text)


def test_only_the_first_lines_that_a_file_prints_are_shown(begun, run):
    write(begun, "01_means", SOLUTION + "\nfor number in range(100): print(number)\n")
    said = run("learn", "check")[1].splitlines()
    assert said[20:23] == ["  19", "  ... and 80 lines more", ""]


def test_sentences_are_wrapped_and_lines_of_code_are_not(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    code = "line 12: return " + " + ".join(["one"] * 20)
    text = f"{'word ' * 20}\n{code}\n  {'indented ' * 10}"
    said = wrapped(text, "    ").splitlines()
    assert said[0] == "    " + ("word " * 11).strip()
    assert said[2:] == [f"    {code}", f"      {'indented ' * 10}"]


def test_milestone_names_the_lessons_that_are_not_done_and_shows_what_it_made(begun, run, refused):
    said = run("learn", "next", "milestone")[1]
    assert said.splitlines()[0] == "Means"  # a title without a number
    assert said.endswith("it is made of lessons of which these are not done yet: 01_means\n")
    assert "not done yet: 01_means; begin with ojito learn next 01_means" in refused("learn", "check")
    write(begun, "milestone", PUT_TOGETHER)
    write(begun, "01_means", SOLUTION)
    run("learn", "check", "1")
    code, said, _ = run("learn", "check")
    assert code == 0
    assert "shown with ['01_means', 'own']\n\n2 of 2 lessons done; that was the last lesson" in said


def test_milestone_names_the_lesson_that_is_no_longer_right(begun, run):
    write(begun, "01_means", SOLUTION)
    run("learn", "check")
    write(begun, "01_means", SOLUTION.replace("2 * value", "4 * value"))
    run("learn", "next", "milestone")
    write(begun, "milestone", PUT_TOGETHER)
    code, said, _ = run("learn", "check")
    assert code == 5
    assert "the lesson's own solution would be wrong here, too" in said
    assert said.endswith("01_means is no longer right: ojito learn check 01_means\n")
