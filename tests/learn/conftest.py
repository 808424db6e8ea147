"""A small lesson in a course of its own."""

import pytest

from ojito.learn.course import Course

SOLUTION = '''
import torch

PREDICTION = "a"


def mean(values, axis):
    """Mean along an axis."""
    total = values.sum(axis)
    return total / values.shape[axis]


def double(value):
    """Twice the value."""
    return 2 * value
'''
EXERCISE = SOLUTION.replace('"a"', '""').replace("values.sum(axis)", "...").replace("2 * value", "...")
CHECK = """
import torch

from ojito.learn import Case, Exercise, Mistake, Question

QUESTION = Question("Which is larger?", {"a": "two", "b": "one"}, "a", "Two is more than one.")


def cases():
    values = torch.arange(6.0).view(2, 3)
    return [
        Case("along the last axis", {"values": values, "axis": 1}, {"length": 3}),
        Case("along the first axis", {"values": values, "axis": 0}, {"length": 2}),
    ]


EXERCISES = [
    Exercise(
        "mean",
        cases,
        [
            Mistake("sum", "you add up {length} values: {ratio}x too large", {" / values.shape[axis]": ""}),
            Mistake("all axes", "you add up everything", {"values.sum(axis)": "values.sum()"}),
            Mistake("wrong axis", "you divide by the other axis", {"values.shape[axis]": "values.shape[1 - axis]"}),
            Mistake("one less", "you divide by one less", {"values.shape[axis]": "(values.shape[axis] - 1)"}),
            Mistake("keeps", "you keep the axis", {"values.sum(axis)": "values.sum(axis, keepdim=True)"}),
        ],
        ["Add up first.", "Then divide by the number of values."],
        reference=lambda values, axis: values.mean(axis),
    ),
    Exercise(
        "double",
        lambda: [Case("a whole number", {"value": 3}), Case("a half", {"value": 0.5})],
        [
            Mistake("square", "you square", {"2 * value": "value**2"}),
            Mistake("half", "you halve", {"2 * value": "value / 2"}),
            Mistake("same", "you do nothing", {"2 * value": "value"}),
            Mistake("more", "you add 2", {"2 * value": "2 + value"}),
            Mistake("negative", "the sign is wrong", {"2 * value": "-2 * value"}),
        ],
        ["Once more."],
    ),
]
"""
PAGE = "# Means\n\nWhich is larger?\n\n- a) two\n- b) one\n"

PUT_TOGETHER = 'PREDICTION = "a"\n\n\ndef mean(values, parts):\n    return parts["01_means"].double(values / 2) / 2\n'
MILESTONE_CHECK = (
    CHECK[: CHECK.index("EXERCISES = [")].replace("import Case,", "import Case, Milestone,")
    + """EXERCISES = [
    Exercise(
        "mean",
        lambda: [Case("one", {"values": 1.0})],
        [Mistake("twice", "you take it twice", {"values / 2": "values"})],
        ["Halve it."],
        reference=lambda values, parts: values / 2,
    ),
]
MILESTONE = Milestone(["01_means"], lambda parts, say: say(f"shown with {sorted(parts)}"))
"""
)


def write_lesson(folder, **files):
    folder.mkdir(parents=True)
    own = {"lesson_md": PAGE, "exercise_py": EXERCISE, "solution_py": SOLUTION, "check_py": CHECK}
    for name, text in {**own, **files}.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


@pytest.fixture
def course(tmp_path):
    folder = tmp_path / "theirs"
    write_lesson(folder / "01_means")
    write_lesson(folder / "02_more", lesson_md=PAGE.replace("Means", "More"))
    (folder / "course.txt").write_text("# in their order\n01_means\n\n02_more\n")
    return Course.read(folder)


@pytest.fixture
def lesson(course):
    return course.lesson("01_means")
