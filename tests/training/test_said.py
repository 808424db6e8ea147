"""What a run says, and the threads that it chooses."""

import json

import pytest
import torch
from PIL import Image

from ojito.threads import Threads


def test_quiet_shows_nothing(train, capsys):
    train()
    assert capsys.readouterr() == ("", "")
    train(quiet=False)
    assert "parameters) on rows.jsonl (2 rows), cpu: 3 steps" in capsys.readouterr().err


@pytest.mark.parametrize(("minutes", "met"), [(0, [1, 1, 1]), (1, [2, 1, 2])])
def test_threads_are_measured_and_looked_at_again_in_a_run_of_minutes(train, monkeypatch, capsys, minutes, met):
    class Measured(Threads):
        def __init__(self, count):
            assert count == 0
            super().__init__(1, most=4)

        def again(self):
            self.count = 3 - self.count
            torch.set_num_threads(self.count)
            return True

    before, used = torch.get_num_threads(), []

    def step(state):
        used.append(torch.get_num_threads())
        return "stop" if len(used) == 3 else None

    monkeypatch.setattr("ojito.training.said.Threads", Measured)
    train(settings=[f"train.minutes={minutes}"], on_step=step, quiet=False)
    assert used == met
    assert torch.get_num_threads() == before
    assert "computing with 1 of 4 threads, which is faster while other processes keep" in capsys.readouterr().err


def test_threads_of_the_recipe_are_taken(train):
    used = []
    train(settings=["train.threads=3"], on_step=lambda state: used.append(torch.get_num_threads()))
    assert used == [3, 3, 3]
    assert torch.get_num_threads() != 3


def test_characters_without_an_entry_are_counted_with_the_setting_that_helps(train, tmp_path, caplog):
    rows = [{"image": "a.png", "caption": text} for text in ("zebra", "甲乙", "甲", "丙")]
    (tmp_path / "many.jsonl").write_text("\n".join(map(json.dumps, rows)))
    size = len({*"zebra甲乙丙caption\n"}) + 4
    few = [f"model.decoder.vocab_size={size - 2}"]
    train(data=tmp_path / "many.jsonl", settings=few)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("2 different characters, 2 in all, have no entry in the tokenizer")
    assert caplog.messages[0].endswith(f"a new model has room for them with model.decoder.vocab_size at {size}")
    caplog.clear()
    train(data=tmp_path / "many.jsonl", settings=[*few, f"processor.tokenizer.vocab_size={size - 3}"])
    assert f"with processor.tokenizer.vocab_size and model.decoder.vocab_size at {size}" in caplog.text
    caplog.clear()
    train(data=tmp_path / "many.jsonl", settings=[f"model.decoder.vocab_size={size}"])
    assert not caplog.messages


def test_new_letters_of_a_model_to_go_on_with_are_counted(train, recipe, tmp_path, caplog):
    train(out=tmp_path / "mine")
    caplog.clear()
    (tmp_path / "new.jsonl").write_text(json.dumps({"image": "a.png", "caption": "grün ist schön"}))
    train(tmp_path / "mine", tmp_path / "new.jsonl")
    assert "have no entry in the tokenizer" in caplog.text
    assert "ü" in caplog.text


@pytest.fixture
def wide(tmp_path):
    """A file of two rows, with an image that is four times as wide as high."""
    Image.new("RGB", (64, 16), "red").save(tmp_path / "wide.png")
    rows = [{"image": "wide.png", "caption": text} for text in ("zebra", "quokka")]
    (tmp_path / "wide.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "wide.jsonl"


def test_images_far_from_square_are_told_of_a_new_model_with_settings_that_help(train, wide, caplog, tmp_path):
    result = train(data=wide, out=tmp_path / "run")
    side = result.pipeline.model.config.vision.image_size
    (message,) = caplog.messages
    assert message.startswith("the aspect ratio of the images is 4.0 (median): squashed into a square")
    settings = [word for word in message.split() if word.startswith("processor.")]
    assert settings[1] == f"processor.image.longest_side={4 * side}"
    caplog.clear()
    tiled = train(data=wide, settings=settings)
    train(tmp_path / "run", data=wide)  # it reads images as it learned to
    train()
    assert caplog.messages == []
    assert tiled.history.steps == 3
