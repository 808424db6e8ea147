import dataclasses
import io

import pytest
import torch
from PIL import Image

from ojito.model import VLM
from ojito.pipeline import Pipeline
from ojito.processor import Processor, Tokenizer
from ojito.records import Sample, Turn
from ojito.trainer import TrainState
from ojito.trainer.progress import Display
from ojito.training.shown import Shown


@pytest.fixture
def show(tiny_config):
    """Shows the rows; returns the line, and what is on the display."""

    def run(rows, **settings):
        torch.manual_seed(0)
        config = dataclasses.replace(tiny_config.train, **settings)
        tokenizer = Tokenizer.train(tiny_config.processor.tokenizer, ["abcdefghijklmnopqrstuvwxyz \n"], 64)
        processor = Processor(tiny_config.processor, tokenizer, 16, tiny_config.model.image_tokens, 128)
        pipe = Pipeline(VLM(tiny_config.model), processor)
        stream = io.StringIO()
        watch = Shown(pipe, config, rows, Display(stream=stream))
        return watch(TrainState(pipe.model, config)), stream.getvalue(), watch

    return run


def row(prompt="which colour", answers=("red",), **fields):
    image = Image.new("RGB", (16, 16), "red")
    return Sample([image], turns=(Turn(prompt, answers),), origin="rows.jsonl:1", **fields)


def test_answers_are_beside_what_is_expected_in_the_log_and_on_the_display(show):
    line, said, _ = show([row(answers=("red", "crimson"))])
    (one,) = line["shown"]
    assert {name: one[name] for name in ("origin", "prompt", "references")} == {
        "origin": "rows.jsonl:1", "prompt": "which colour", "references": ["red", "crimson"],
    }  # fmt: skip
    assert one["answer"]
    assert said.startswith('step 0: rows.jsonl:1 "which colour": "')
    assert said.endswith('(expected "red")\n')


def test_no_more_rows_are_shown_than_are_wanted(show):
    assert len(show([row()] * 5, show_rows=2)[0]["shown"]) == 2
    assert show([row()] * 5, show_every=7)[2].every == 7


def test_captions_are_called_so(show):
    assert ": rows.jsonl:1 caption: " in show([row("")])[1]


def test_first_turn_with_answers_is_asked(show):
    turns = (Turn("which colour", ("red",)), Turn("and this", ("blue",)))
    line, *_ = show([Sample(row().images, turns=turns, chat=True)])
    assert [one["prompt"] for one in line["shown"]] == ["which colour"]


def test_long_texts_are_short_on_the_display(show):
    line, said, _ = show([row("a" * 30 + "\n" + "b" * 60, ("c" * 90,))])
    assert line["shown"][0]["references"] == ["c" * 90]
    assert "a" * 30 + " " + "b" * 36 + '...": "' in said
    assert said.count("\n") == 1


def test_rows_that_cannot_be_asked_are_passed_over(show, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    broken = Sample([str(tmp_path / "broken.png")], turns=(Turn("what", ("x",)),))
    assert show([row(answers=())])[0] is None
    assert show([broken])[0] is None
    assert len(show([broken, row()])[0]["shown"]) == 1
