"""Scores for which the model is asked again, or reads the expected answers."""

import pytest
from PIL import Image

from ojito.data.choices import with_choices
from ojito.errors import OjitoError
from ojito.evaluate import evaluate, passes
from ojito.evaluate.likelihood import answer_losses, perplexity_score
from ojito.evaluate.passes import check_passes, pass_scores, rotated
from ojito.evaluate.runner import Graded, Report
from ojito.generate import GenerateOptions
from ojito.records import Sample, Turn


def question(choices, answer, before=()):
    turn = Turn(with_choices("which?", choices), (answer,), choices=tuple(choices))
    return Sample([Image.new("RGB", (16, 16))], turns=(*before, turn))


def test_rotated_question_lists_other_letters_for_the_same_texts():
    turn = question(["x", "y", "z"], "C").turns[0]
    moved = rotated(turn, 1)
    assert moved == Turn("which?\nA. z\nB. x\nC. y", ("A",), choices=("z", "x", "y"))
    assert rotated(turn, 2).answers == ("B",)
    assert rotated(turn, 3) == turn


@pytest.fixture
def asked(monkeypatch):
    """What is asked again, answered with the letter A."""
    heard = []

    def ask(pipe, questions, options, batch_size, progress):
        heard.append((questions, options, batch_size))
        return [Graded(one, "A", "A" in one.turns[-1].answers, number=number) for number, one in enumerate(questions)]

    monkeypatch.setattr(passes, "ask", ask)
    return heard


def test_circular_choice_needs_every_rotation(asked):
    always_a = [question(["x", "y"], "A"), question(["x", "y", "z"], "B")]
    before = Turn("earlier?", ("yes",))
    report = Report(
        (
            *(Graded(one, "A", one.turns[0].answers == ("A",)) for one in always_a),
            Graded(question("xy", "B", [before]), "B", True),
        ),
        limit=7,
    )
    score = pass_scores(None, always_a, report, ["circular_choice"], GenerateOptions(beams=2), 5)["circular_choice"]
    assert (score, len(score.counts)) == (pytest.approx(1 / 3), 3)  # the last says A where B was right, and is right
    ((questions, options, batch_size),) = asked
    assert len(questions) == 1 + 2 + 1
    assert questions[-1].turns[0] == before
    assert (options.beams, options.max_new_tokens, batch_size) == (2, 7, 5)


def test_question_that_cannot_be_asked_again_is_wrong(monkeypatch):
    monkeypatch.setattr(passes, "ask", lambda *args: [])
    sample = question("xy", "A")
    report = Report((Graded(sample, "A", True),))
    assert pass_scores(None, [sample], report, ["circular_choice"])["circular_choice"] == 0


def test_passes_of_a_model(pipe):
    samples = [
        question("xy", "A"),
        question("abc", "C"),
        Sample([Image.new("RGB", (16, 16))], turns=(Turn("q", ("a",)),)),
    ]
    report = evaluate(pipe, samples, controls=(), max_new_tokens=2)
    told = []
    found = pass_scores(
        pipe, samples, report, ["perplexity", "circular_choice"], progress=lambda *numbers: told.append(numbers)
    )
    assert set(found) == {"perplexity", "circular_choice"}
    assert found["perplexity"] == pytest.approx(float(perplexity_score(answer_losses(pipe, samples))))
    assert len(found["circular_choice"].counts) == 2
    assert {whole for _, whole in told} == {3}
    assert pass_scores(pipe, samples, report, ["anls"]) == {}


def test_circular_choice_without_choices_is_refused():
    rows = [Sample(turns=(Turn("q", ("a",)),))]
    with pytest.raises(OjitoError, match="'circular_choice' needs questions with choices, and the 1 rows have none"):
        check_passes(["circular_choice"], rows)
    check_passes(["perplexity"], rows)
