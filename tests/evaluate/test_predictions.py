import json

import pytest

from ojito.errors import OjitoError
from ojito.evaluate import Graded, Report
from ojito.evaluate.predictions import make_folder, predictions, write_evaluation
from ojito.evaluate.runs import read_run
from ojito.records import Sample, Turn


def graded(number, given="red", right=True, images=("a.png",), overlap=None, finish="eos"):
    turns = (Turn("before"), Turn("which?", ("red", "crimson"), "colour"))
    return Graded(Sample(images, turns=turns, origin=f"rows:{number}"), given, right, overlap, finish, number)


REPORT = Report(
    (graded(0), graded(2, "rot", False, (b"", "b.png"), 0.25, "length"), graded(3, images=())),
    blank=(graded(0, "black"), graded(2, "blue")),
    exchanged=(graded(2, "green"),),
)


def test_every_question_is_a_row_with_its_answers_and_grade():
    first, second, third = predictions(REPORT)
    assert first == {
        "row": "rows:0",
        "image": "a.png",
        "kind": "colour",
        "question": "which?",
        "answer": "red",
        "references": ["red", "crimson"],
        "right": True,
        "overlap": None,
        "finish": "eos",
        "blank": "black",
        "exchanged": None,
    }
    assert (second["image"], second["overlap"], second["finish"]) == ([None, "b.png"], 0.25, "length")
    assert (second["blank"], second["exchanged"], third["blank"], third["image"]) == ("blue", "green", None, None)


def test_three_files_are_written_and_replaced(tmp_path):
    folder = make_folder(tmp_path / "new" / "folder")
    for n in (9, 3):
        write_evaluation(folder, REPORT, {"n": n}, "<p>ñ")
    assert [json.loads(line)["row"] for line in (folder / "predictions.jsonl").read_text().splitlines()] == [
        "rows:0", "rows:2", "rows:3",
    ]  # fmt: skip
    assert json.loads((folder / "scores.json").read_text()) == {"n": 3}
    assert (folder / "report.html").read_text(encoding="utf-8") == "<p>ñ"


def test_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OjitoError, match="cannot take the answers"):
            make_folder(path)


def test_choices_are_kept_for_those_who_score_again(tmp_path):
    turn = Turn("which?", ("B",), "animal", choices=("dog", "cat"))
    report = Report((Graded(Sample(turns=(turn,)), "cat", True),))
    assert next(predictions(report))["choices"] == ["dog", "cat"]
    write_evaluation(make_folder(tmp_path), report, {}, "")
    (read,) = read_run(tmp_path)
    assert read.turn == turn
