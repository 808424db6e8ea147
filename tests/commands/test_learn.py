"""`ojito learn`, as it is typed."""

import json

import pytest

from tests.learn.conftest import CHECK, EXERCISE, PAGE, SOLUTION, course, write_lesson  # noqa: F401

WRONG = SOLUTION.replace("2 * value", "value / 2")


@pytest.fixture
def begun(run, course, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    code, said, _ = run("learn", "start", "mine", "--course", course.folder)
    assert code == 0
    assert said.splitlines()[0] == "1/2 Means"
    monkeypatch.chdir(tmp_path / "mine")
    return tmp_path / "mine"


def write(begun, text, lesson="01_means"):
    (begun / lesson / "exercise.py").write_text(text)


def test_course_is_walked_from_the_first_gap_to_the_last_lesson(begun, run):
    code, said, _ = run("learn", "check")
    assert code == 5
    assert "Put a letter into PREDICTION" in said
    write(begun, WRONG)
    code, said, _ = run("learn", "check")
    assert code == 5
    assert said.splitlines() == [
        "right    mean",
        "not yet  double",
        "         you halve",
        "         (tried with: a whole number)",
    ]
    assert run("learn", "next")[:2] == (
        5,
        "01_means is not done yet: ojito learn check says what is missing, ojito learn\n"
        "hint helps, and ojito learn next 02_more goes on all the same\n",
    )
    write(begun, SOLUTION)
    code, said, _ = run("learn", "check")
    assert code == 0
    assert "you predicted a, as it is: two\nTwo is more than one." in said
    assert said.endswith("1 of 2 lessons done; ojito learn next\n")
    assert run("learn", "next")[1].splitlines()[0] == "2/2 More"
    write(begun, SOLUTION.replace('"a"', '"b"'), "02_more")
    code, said, _ = run("learn", "check")
    assert "you predicted b, it is a: two" in said
    assert said.endswith("2 of 2 lessons done; that was the last lesson\n")
    assert run("learn", "next")[1] == "all lessons are done\n"


def test_hints_come_in_steps_for_the_first_exercise_that_is_wrong(begun, run):
    write(begun, EXERCISE.replace('""', '"a"', 1))
    said = [run("learn", "hint")[1] for _ in range(3)]
    assert said[0] == "mean, hint 1 of 2: Add up first.\n"
    assert said[1] == "mean, hint 2 of 2: Then divide by the number of values.\n"
    assert said[2] == f"that was the last one already; once more:\n{said[1]}"
    write(begun, WRONG)
    assert run("learn", "hint")[1] == "double, hint 1 of 1: Once more.\n"
    write(begun, SOLUTION)
    assert run("learn", "hint", "1")[1] == "01_means is right; nothing to hint at\n"


def test_solution_opens_once_the_exercise_is_done(begun, run, refused):
    assert "its solution opens when it is" in refused("learn", "solution")
    write(begun, SOLUTION)
    run("learn", "check")
    assert run("learn", "solution")[1].strip() == SOLUTION.strip()


def test_a_lesson_further_on_can_be_gone_to(begun, run):
    assert run("learn", "next", "2")[1].splitlines()[0] == "2/2 More"
    assert run("learn")[1].splitlines()[1] == "here  02_more   More"
    assert run("learn", "next", "2")[1].splitlines()[0] == "2/2 More"  # there already
    assert run("learn", "next")[0] == 5
    write(begun, SOLUTION, "02_more")
    assert run("learn", "check")[1].endswith("1 of 2 lessons done; ojito learn next\n")
    assert run("learn", "next")[1].splitlines()[0] == "1/2 Means"  # after the last one, the first that is not done


def test_a_lesson_is_checked_in_whose_folder_one_is(begun, run, monkeypatch):
    run("learn", "next", "2")
    monkeypatch.chdir(begun / "01_means")
    assert run("learn", "check")[1].startswith("01_means: Predict first")
    assert run("learn")[1].splitlines()[0] == "here  01_means  Means"


def test_exercise_that_was_removed_is_put_back_and_that_is_said(begun, run):
    (begun / "01_means" / "exercise.py").unlink()
    assert "exercise.py was not there: a new one is\n" in run("learn", "check")[1]
    assert (begun / "01_means" / "exercise.py").exists()


def test_reset_puts_a_new_exercise_there(begun, run):
    write(begun, "mine")
    assert "yours is in exercise.py.1" in run("learn", "reset", "01")[1]
    assert (begun / "01_means" / "exercise.py").read_text() == EXERCISE


def test_long_sentences_are_wrapped_to_the_terminal(begun, run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    write(begun, EXERCISE)
    said = run("learn", "check")[1].splitlines()
    assert said[0] == "01_means: Predict first, then run. Put a letter into"
    assert max(map(len, said)) <= 60


def test_status_is_the_default(begun, run):
    said = run("learn")[1]
    assert said.splitlines()[:2] == ["here  01_means  Means", "      02_more   More"]
    values = json.loads(run("learn", "status", "--json")[1])
    assert [one["done"] for one in values["lessons"]] == [False, False]


def test_printed_lines_are_shown_and_json_has_everything(begun, run):
    write(begun, WRONG + '\nprint("here")\n')
    assert run("learn", "check")[1].startswith("your file printed:\n  here\n")
    values = json.loads(run("learn", "check", "--json")[1])
    assert (values["passed"], values["printed"]) == (False, "here\n")
    assert values["verdicts"][1]["mistakes"] == ["half"]


def test_lesson_and_course_are_proved(course, run, tmp_path):  # noqa: F811
    code, said, _ = run("learn", "dev", "check", course.folder)
    assert (code, said.splitlines()[0]) == (0, "01_means: holds, 10 mistakes named")
    broken = write_lesson(tmp_path / "broken", exercise_py=SOLUTION)
    code, said, _ = run("learn", "dev", "check", broken)
    assert code == 5
    assert said.startswith("broken: does not hold\n  exercise.py passes with its gaps\n")
    assert json.loads(run("learn", "dev", "check", broken, "--json")[1])["broken"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["check"], "is not in the folder of a course"),
        (["start", "a", "b"], "takes one folder, not 2"),
        (["dev", "chek"], "did you mean check?"),
        (["dev"], "knows check alone"),
        (["dev", "check", "nowhere"], "has no lesson.md"),
        (["start", "a", "--course", "nowhere"], "has no course.txt"),
    ],
)
def test_mistake_is_told(refused, tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    assert says in refused("learn", *words)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["check", "9"], "is no lesson"),
        (["status", "1"], "does not take '1'"),
        (["check", "2"], "02_more: is not begun; ojito learn next 2 goes there"),
        (["hint", "2"], "is not begun"),
        (["check", "--edit", "vi"], "is for watch"),
        (["watch", "--json"], "is for people"),
        (["watch", "--edit", "no-such-editor"], "cannot be run"),
        (["watch", "--edit", "  "], "is empty"),
        (["watch", "--edit", "code 'x"], "cannot be read: no closing quotation"),
        (["watch", "--edit", "/usr/bin/vim -R"], "run watch inside tmux"),
    ],
)
def test_mistake_in_a_course_is_told(begun, refused, words, says, monkeypatch):
    monkeypatch.delenv("TMUX", raising=False)
    assert says in refused("learn", *words)
