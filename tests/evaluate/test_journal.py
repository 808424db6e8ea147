"""An evaluation that is interrupted goes on where it stopped."""

import json

import pytest
from PIL import Image

from ojito.evaluate import evaluate
from ojito.evaluate.journal import Journal, fingerprint
from ojito.records import Sample, Turn


@pytest.fixture
def samples():
    return [
        Sample([Image.new("RGB", (16, 16), (60 * n, 0, 9))], turns=(Turn(f"q{n}", ("a",)),), origin=f"rows:{n}")
        for n in range(4)
    ]


@pytest.mark.parametrize("after", [1, 3, 6, 10])
def test_interrupted_evaluation_ends_as_one_that_was_not(pipe, samples, tmp_path, after, monkeypatch):
    path, told = tmp_path / "answers", []
    options = {"controls": ("blank", "exchanged"), "max_new_tokens": 4, "batch_size": 1}
    whole = evaluate(pipe, samples, **options)

    def stop(done, total):
        if done == after:
            raise KeyboardInterrupt

    journal = Journal(path, {"model": "a"})
    with pytest.raises(KeyboardInterrupt):
        evaluate(pipe, samples, journal=journal, progress=stop, **options)
    journal.close(done=False)
    with path.open("a") as file:
        file.write('{"control": "", "num')  # killed while it wrote

    journal, asked = Journal(path, {"model": "a"}), []
    exact = pipe.generate_each
    monkeypatch.setattr(pipe, "generate_each", lambda rows, *a, **k: exact(asked.extend(rows) or rows, *a, **k))
    report = evaluate(pipe, samples, journal=journal, progress=lambda *numbers: told.append(numbers), **options)
    assert journal.found == after
    assert len(asked) == 12 - after
    assert told[-1] == (12, 12)
    for control in ("graded", "blank", "exchanged"):
        ours, theirs = getattr(report, control), getattr(whole, control)
        assert [(one.number, one.given, one.finish) for one in ours] == [
            (one.number, one.given, one.finish) for one in theirs
        ]
    journal.close(done=True)
    assert not path.exists()


def test_another_head_begins_anew(tmp_path):
    journal = Journal(tmp_path / "a", {"model": "a"})
    journal.put("", 0, "red", "eos")
    journal.close(done=False)
    assert Journal(tmp_path / "a", {"model": "a"}).get("", 0) == ("red", "eos")
    other = Journal(tmp_path / "a", {"model": "b"})
    assert (other.found, other.get("", 0)) == (0, None)
    assert len((tmp_path / "a").read_text().splitlines()) == 1


def test_fingerprint_is_of_the_questions_and_the_images(samples):
    def changed(**values):
        sample = Sample(["a.png"], turns=(Turn("q", ("a",)),), origin="rows:1")
        return fingerprint([Sample(**{**vars(sample), **values})])

    every = [
        changed(), changed(images=["b.png"]), changed(turns=(Turn("p", ("a",)),)), changed(turns=(Turn("q", ("b",)),)),
        changed(origin="rows:2"), changed(system="s"), fingerprint(samples), fingerprint(samples[::-1]),
    ]  # fmt: skip
    assert len(set(every)) == len(every)
    assert json.dumps(every[0])
