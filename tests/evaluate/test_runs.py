"""Two evaluations beside each other."""

import json

import pytest

from ojito.errors import OjitoError
from ojito.evaluate.runs import compare_runs, read_run


@pytest.fixture
def write(tmp_path):
    def write(name, answers, kind="colour", **other):
        lines = [
            {"row": f"rows:{n}", "image": "a.png", "kind": kind, "question": "which?", "answer": given,
             "references": ["red"], "right": given == "red", **other}
            for n, given in enumerate(answers)
        ]  # fmt: skip
        folder = tmp_path / name
        folder.mkdir()
        (folder / "predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return folder

    return write


def test_a_better_run_is_told(write):
    good, bad = read_run(write("a", ["red"] * 30)), read_run(write("b", ["red"] * 10 + ["blue"] * 20))
    found = compare_runs(good, bad)
    one, other, difference = found.scores["exact_match"]
    assert (one, other) == (1, pytest.approx(1 / 3))
    assert difference.p < 0.01
    assert (found.n, found.left_out, len(found.won), len(found.lost)) == (30, 0, 20, 0)
    assert len(compare_runs(bad, good).lost) == 20
    assert set(compare_runs(good, bad, ["anls"]).scores) == {"anls"}


def test_questions_of_one_run_alone_are_left_out(write):
    found = compare_runs(read_run(write("a", ["red"] * 5)), read_run(write("b", ["red"] * 3)))
    assert (found.n, found.left_out) == (3, 2)


def test_question_that_is_asked_twice_is_compared_with_its_own(write):
    one, other = write("a", ["red", "blue"]), write("b", ["red", "blue"])
    for folder in (one, other):
        path = folder / "predictions.jsonl"
        path.write_text(path.read_text().replace("rows:1", "rows:0"))
    found = compare_runs(read_run(one), read_run(other))
    assert (found.n, len(found.won), len(found.lost)) == (2, 0, 0)


def test_runs_on_other_data_are_refused(write):
    with pytest.raises(OjitoError, match="no question in common"):
        compare_runs(read_run(write("a", ["red"])), read_run(write("b", ["red"], kind="other")))


@pytest.mark.parametrize(
    ("text", "said"), [("", "holds no predictions"), ("[1]\n", ":1: is not a prediction"), ("{", ":1: is not a")]
)
def test_file_that_holds_no_predictions_is_named(tmp_path, text, said):
    (tmp_path / "predictions.jsonl").write_text(text)
    with pytest.raises(OjitoError, match=said):
        read_run(tmp_path)


def test_folder_without_predictions_is_named(tmp_path):
    with pytest.raises(OjitoError, match=r"predictions\.jsonl: cannot be read .*ojito eval"):
        read_run(tmp_path)


def test_images_and_overlap_are_read(write):
    (first,) = read_run(write("a", ["red"], overlap=0.25))
    assert (first.images, first.overlap, first.origin) == (("a.png",), 0.25, "rows:0")
    for name, image, images in (("b", ["a.png", None], ("a.png", None)), ("c", None, ())):
        folder = write(name, ["red"])
        path = folder / "predictions.jsonl"
        path.write_text(path.read_text().replace('"a.png"', json.dumps(image)))
        assert read_run(folder)[0].images == images
        assert read_run(folder)[0].overlap is None
