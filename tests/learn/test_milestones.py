"""What Ojito's own milestones show once they are right, with the lessons' solutions as the learner's parts."""

import json
import re

import pytest

from ojito.learn.course import OWN
from ojito.learn.lesson import SOLUTION, Lesson, load_module


def shown(name, folder):
    """The lines of a milestone's show."""
    lesson, lines = Lesson.read(OWN / name), []
    own = folder / "exercise.py"
    own.write_text((OWN / name / SOLUTION).read_text())
    parts = {one: load_module(OWN / one / SOLUTION) for one in lesson.milestone.needs}
    lesson.milestone.show({**parts, "own": load_module(own)}, lines.append)
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("name", "last"),
    [("milestone_caption", "drawn at temperature 1"), ("milestone_paligemma", "grounding gap")],
)
def test_show_trains_for_the_seconds_asked_and_not_again(name, last, tmp_path, monkeypatch):
    monkeypatch.setenv("OJITO_LEARN_SECONDS", "1")
    first, again = shown(name, tmp_path), shown(name, tmp_path)
    assert "for 1 s" in first
    assert "for 1 s" not in again
    for text in (first, again):
        assert text.count("there is ") == 3
        assert "words are what is there" in text
        assert any(line.startswith(last) for line in text.splitlines())
    assert (tmp_path / "scenes.png").is_file()


def test_paligemma_is_trained_anew_by_other_functions_and_for_longer(tmp_path, monkeypatch):
    monkeypatch.setenv("OJITO_LEARN_SECONDS", "0.5")
    shown("milestone_paligemma", tmp_path)
    monkeypatch.setenv("OJITO_LEARN_SECONDS", "1")
    assert "for 1 s" in shown("milestone_paligemma", tmp_path)
    path = tmp_path / "paligemma" / "trained" / "how.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "code": "of before"}))
    text = shown("milestone_paligemma", tmp_path)
    assert "your functions have changed" in text
    assert "for 1 s" in text
    assert "-0.00" not in text


def test_encode_shows_that_trained_patches_of_one_colour_are_alike(tmp_path):
    text = shown("milestone_encode", tmp_path)
    own, same, other = (
        float(re.search(f"{name} (-?[0-9.]+[0-9])", text)[1])
        for name in ("ball itself", "on the right", "the blue ball")
    )
    assert min(own, same) > 0.6 > other
    assert "1 of 36 vectors differ before the blocks" in text
    assert text.splitlines()[-1] == "36 of 36 after one"
