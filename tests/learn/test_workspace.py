"""The learner's folder."""

import pytest

from ojito.errors import OjitoError
from ojito.learn.workspace import STATE, Workspace


@pytest.fixture
def space(course, tmp_path):
    return Workspace.start(tmp_path / "mine", course)


def test_start_copies_page_and_exercise_of_the_first_lesson(space):
    found = sorted(path.name for path in space.folder.rglob("*") if path.is_file())
    assert found == [STATE, "exercise.py", "lesson.md"]
    assert space.exercise("01_means").read_text().startswith("\nimport torch")


def test_diagram_of_a_lesson_is_copied_too(course, tmp_path):
    (course.folder / "01_means" / "diagram.py").write_text("print(1)")
    space = Workspace.start(tmp_path / "mine", course)
    assert (space.folder / "01_means" / "diagram.py").read_text() == "print(1)"


def test_start_refuses_a_folder_with_something_in_it(course, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    with pytest.raises(OjitoError, match="is not empty"):
        Workspace.start(tmp_path / "full", course)


def test_start_does_not_begin_anew_where_a_course_is(space, course):
    with pytest.raises(OjitoError, match="holds a course already"):
        Workspace.start(space.folder, course)


def test_folder_is_found_from_below_with_what_was_done(space):
    space.checked("01_means", passed=False)
    space.checked("01_means", passed=True)
    found = Workspace.find(space.folder / "01_means")
    assert found.folder == space.folder
    assert found.progress("01_means").checks == 2
    assert found.done == 1
    assert found.next() == "02_more"
    assert found.course.folder == space.course.folder


def test_begin_keeps_what_the_learner_wrote(space):
    space.exercise("01_means").write_text("mine")
    space.begin("02_more")
    space.begin("01_means")
    assert space.exercise("01_means").read_text() == "mine"
    assert Workspace.find(space.folder).current == "01_means"


def test_reset_keeps_the_old_files(space):
    for number in (1, 2):
        space.exercise("01_means").write_text(f"mine {number}")
        assert space.reset("01_means").name == f"exercise.py.{number}"
    assert space.exercise("01_means").with_name("exercise.py.1").read_text() == "mine 1"
    assert "def mean" in space.exercise("01_means").read_text()


def test_reset_makes_a_lesson_not_done(space):
    space.checked("01_means", passed=True)
    space.reset("01_means")
    assert space.done == 0


def test_no_course_and_a_broken_one_are_refused(space, tmp_path):
    with pytest.raises(OjitoError, match="ojito learn start FOLDER"):
        Workspace.find(tmp_path)
    (space.folder / STATE).write_text("{")
    with pytest.raises(OjitoError, match="cannot be read"):
        Workspace.find(space.folder)
