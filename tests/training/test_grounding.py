import dataclasses
import logging
import math

import pytest
import torch
from PIL import Image

from ojito.config import ResNetConfig
from ojito.model import VLM
from ojito.processor import Processor, Tokenizer
from ojito.processor.tiles import Encoded
from ojito.records import Sample, Turn
from ojito.trainer import TrainState, fit, token_loss
from ojito.training.grounding import Grounding, row_losses

COLOURS = {
    "red": (220, 30, 30), "green": (30, 160, 60), "blue": (40, 70, 220), "white": (250, 250, 250),
    "black": (5, 5, 5), "grey": (128, 128, 128), "pink": (250, 150, 180), "gold": (230, 190, 40),
}  # fmt: skip


def row(name, prompt="which colour"):
    return Sample([Image.new("RGB", (16, 16), COLOURS[name])], turns=(Turn(prompt, (name,)),), origin=name)


ROWS = [row(name) for name in COLOURS]


@pytest.fixture
def processor(tiny_config):
    tokenizer = Tokenizer.train(tiny_config.processor.tokenizer, ["abcdefghijklmnopqrstuvwxyz \n"], 64)
    return Processor(tiny_config.processor, tokenizer, 16, tiny_config.model.image_tokens)


@pytest.fixture
def model(tiny_config):
    torch.manual_seed(0)
    return VLM(tiny_config.model)


@pytest.fixture
def make(tiny_config, model, processor):
    """Makes the watch for some rows, and the state of its run."""

    def run(rows=ROWS, read=None, **settings):
        config = dataclasses.replace(tiny_config, train=dataclasses.replace(tiny_config.train, **settings))
        return Grounding(model, processor, config, rows, read), TrainState(model, config.train)

    return run


def learn(state, processor, rows=ROWS, watches=()):
    def batches():
        while True:
            yield processor(rows, training=True)

    fit(state, batches(), watches=watches, quiet=True)


def test_gap_grows_as_the_model_learns_to_look(make, processor):
    watch, state = make(steps=120, batch_size=8)
    before = watch(state)
    learn(state, processor)
    after = watch(state)
    assert abs(before["grounding_gap"]) < 0.2
    assert after["grounding_gap"] > 0.5
    assert after["grounding_gap"] > 2 * after["grounding_error"]
    assert after["grounding_gap"] == pytest.approx(after["loss_exchanged"] - after["loss_right"], abs=1e-5)


def test_losses_are_those_of_the_rows_with_their_own_and_with_exchanged_images(make, model, processor):
    watch, state = make()
    found = watch(state)
    losses = []
    for sample in ROWS:
        batch = processor([sample], training=True)
        losses.append(float(token_loss(model, batch).detach()) / int((batch.targets != -100).sum()))
    assert found["loss_right"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert found["loss_right"] != found["loss_exchanged"]


def test_row_losses_are_means_over_each_rows_labels(model, processor):
    batch = processor(ROWS, training=True)
    for number, loss in enumerate(row_losses(model, batch).tolist()):
        alone = processor([ROWS[number]], training=True)
        labels = int((alone.targets != -100).sum())
        assert loss == pytest.approx(float(token_loss(model, alone).detach()) / labels, rel=1e-4)


def test_every_row_is_shown_the_image_of_another(make):
    watch, _ = make()
    assert watch.rows == len(ROWS)
    for own, other in zip(watch._own, watch._exchanged, strict=True):
        assert (own.tokens, own.targets) == (other.tokens, other.targets)
        assert not torch.equal(own.images[0].pixels, other.images[0].pixels)
    shown = {id(image.images[0]) for image in watch._exchanged}
    assert shown == {id(image.images[0]) for image in watch._own}  # the same images, each read once


def test_rows_about_one_image_never_exchange_it(make):
    image = ROWS[0].images
    rows = [dataclasses.replace(ROWS[0], images=image), dataclasses.replace(ROWS[1], images=image), *ROWS[2:6]]
    watch, _ = make(rows)
    first = watch._own[0].images[0].pixels
    assert not torch.equal(watch._exchanged[0].images[0].pixels, first)
    assert not torch.equal(watch._exchanged[1].images[0].pixels, first)


def test_rows_that_cannot_be_compared_are_left_out(make, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    bad = [
        Sample([], turns=(Turn("what", ("text alone",)),)),
        Sample([str(tmp_path / "broken.png")], turns=(Turn("what", ("broken",)),)),
        Sample([ROWS[0].images[0], ROWS[1].images[0]], turns=(Turn("what", ("two",)),)),
        Sample(ROWS[0].images, turns=(Turn("no answer"),)),
    ]
    assert make([*bad, *ROWS], batch_size=8)[0].rows == len(ROWS)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_too_few_rows_are_not_looked_at(make, count):
    watch, state = make(ROWS[:count])
    assert watch(state) is None


@pytest.mark.parametrize(("rows", "batch", "expected"), [(5, 32, 5), (32, 32, 8), (32, 1, 8)])
def test_no_more_rows_than_are_wanted(make, rows, batch, expected):
    assert make(grounding_rows=rows, batch_size=batch)[0].rows == expected


def test_large_images_leave_fewer_rows(make, monkeypatch):
    monkeypatch.setattr("ojito.training.grounding._MOST", 4 * 3 * 16 * 16)
    assert make()[0].rows == 5


def test_rows_are_read_as_they_are_told_to_be(make, model):
    def read(image):
        return Encoded(torch.full((4, 32), float(sum(image.getpixel((0, 0))))))

    watch, state = make(read=read)
    assert all(isinstance(one.images[0], Encoded) for one in watch._own)
    assert math.isfinite(watch(state)["grounding_gap"])


@pytest.mark.parametrize("setting", [{"seed": 1}, {"grounding_rows": 5}])
def test_setting_changes_the_gap(make, setting):
    assert make()[0](make()[1]) != make(**setting)[0](make()[1])


def test_every_is_the_recipes(make):
    assert make(grounding_every=7)[0].every == 7


def test_rows_are_looked_at_in_batches_of_the_training(make):
    whole = make(batch_size=8)
    parts = make(batch_size=8, accumulate=4)
    assert parts[0]._size == 2
    assert parts[0](parts[1]) == pytest.approx(whole[0](whole[1]), abs=1e-4)


@pytest.mark.parametrize("resnet", [False, True])
@pytest.mark.parametrize("settings", [{}, {"freeze": ("vision",)}, {"precision": "bfloat16"}])
def test_weights_are_byte_equal_with_and_without_it(tiny_config, processor, resnet, settings):
    model = tiny_config.model
    if resnet:  # whose batch norms have statistics that a pass could move
        tower = ResNetConfig(image_size=16, stem_width=4, blocks=(1, 1), width=32)
        model = dataclasses.replace(model, vision=tower)
    model = dataclasses.replace(model, decoder=dataclasses.replace(model.decoder, dropout=0.3))
    config = dataclasses.replace(
        tiny_config, model=model, train=dataclasses.replace(tiny_config.train, grounding_every=1, **settings)
    )

    def trained(watched):
        torch.manual_seed(0)
        one = VLM(config.model)
        watches = [Grounding(one, processor, config, ROWS)] if watched else []
        learn(TrainState(one, config.train), processor, watches=watches)
        return one.state_dict()

    alone, watched = trained(False), trained(True)
    for name, tensor in alone.items():
        assert torch.equal(tensor, watched[name]), name


# ------------------------------------------------------------------------------------------------------- its warning


@pytest.fixture
def say(make, monkeypatch):
    """Lets the watch see these losses, look by look, after these tenths of a run of 100 steps; returns what it says."""

    def run(looks, caplog):
        watch, state = make(steps=100)
        for step, own, exchanged in looks:
            losses = iter([own, exchanged])
            monkeypatch.setattr(watch, "_losses", lambda rows, state, losses=losses: next(losses))
            state.clock.step = 10 * step
            watch(state)
        return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING], watch

    return run


BLIND = ([2.0, 2.1, 1.9, 2.0], [2.0, 2.0, 2.0, 2.0])
SEES = ([1.0, 1.1, 0.9, 1.0], [2.0, 2.0, 2.2, 2.0])


def test_model_that_ignores_the_image_late_in_the_run_is_warned_of_once(say, caplog):
    said, watch = say([(step, *BLIND) for step in (5, 6, 7, 8)], caplog)
    (line,) = said
    assert line.startswith(
        "the model ignores the image: after step 60 its loss is 2.000 with the right image and 2.000"
    )
    assert "Check that images and texts belong together" in line
    assert watch.ignores


@pytest.mark.parametrize(
    "looks",
    [
        [(step, *BLIND) for step in (1, 2, 3, 4)],  # early
        [(step, *SEES) for step in (6, 7, 8, 9)],
        [(6, *BLIND), (7, *SEES), (8, *BLIND), (9, *SEES)],  # by chance
        [(9, *BLIND)],
        [(9, *SEES), (10, *BLIND)],
    ],
)
def test_nothing_is_said_of_a_model_that_may_be_looking(say, caplog, looks):
    said, watch = say(looks, caplog)
    assert said == []
    assert not watch.ignores


def test_nothing_is_said_of_a_run_of_a_few_steps(make, monkeypatch):
    watch, state = make(steps=10)
    monkeypatch.setattr(watch, "_losses", lambda rows, state: [2.0, 2.0, 2.0, 2.0])
    for state.clock.step in (8, 9, 10):
        watch(state)
    assert not watch.ignores


def test_what_is_found_is_in_the_line(say, caplog, make, monkeypatch):
    _, watch = say([(9, *BLIND), (10, *BLIND)], caplog)
    monkeypatch.setattr(watch, "_losses", lambda rows, state: [2.0, 2.0, 2.0, 2.0])
    assert watch(make()[1])["ignores_image"] is True


def test_loss_that_is_not_finite_is_no_reason_to_fail(say, caplog):
    said, watch = say([(9, [math.nan] * 4, [1.0] * 4), (10, [math.inf] * 4, [1.0] * 4)], caplog)
    assert said == []
    assert not watch.ignores
