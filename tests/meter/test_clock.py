"""Stopwatches, and a watch on a model's answers."""

import torch

from ojito.generate import GenerateOptions, generate
from ojito.meter.clock import Stopwatch, Watch, watching
from ojito.model import VLM
from ojito.records import IGNORE, IMAGE, SHARED, Batch

CPU = torch.device("cpu")


def question(config):
    length = config.image_tokens + 3
    tokens = torch.full((1, length), 1)
    tokens[:, : config.image_tokens] = IMAGE
    size = config.vision.image_size
    return Batch(
        tokens=tokens,
        positions=torch.arange(length)[None],
        segments=torch.full_like(tokens, SHARED),
        prefix=torch.ones_like(tokens, dtype=torch.bool),
        targets=torch.full_like(tokens, IGNORE),
        images=torch.zeros(1, 3, size, size),
    )


def test_laps_add_up_to_the_total():
    clock = Stopwatch(CPU)
    laps = [clock.lap(), clock.lap()]
    assert min(laps) >= 0
    assert abs(clock.total - sum(laps)) < 1e-9


def test_watch_notes_the_image_and_every_step(tiny_config):
    model = VLM(tiny_config.model).eval()
    with watching(model) as watch:
        (answer,) = generate(model, question(tiny_config.model), GenerateOptions(max_new_tokens=4, drafts=0), eos=())
    values = watch.to_dict()
    assert len(watch.steps_at) == len(answer.tokens) == 4
    assert 0 < values["encode_seconds"] <= values["first_token_seconds"] <= values["seconds"]
    assert values["tokens_per_second"] > 0


def test_rate_counts_tokens_where_a_step_gives_several():
    watch = Watch()
    watch.steps_at, watch.read = [1.0, 2.0, 3.0, 4.0], [0, 10, 14, 18]
    assert watch.to_dict()["tokens_per_second"] == 4  # the four that the second step gave, and the four of the third
    watch.steps_at, watch.read = [1.0, 2.0], [0, 10]
    assert "tokens_per_second" not in watch.to_dict()


def test_watch_counts_the_guesses_that_were_right(tiny_config):
    model = VLM(tiny_config.model).eval()
    for parameter in model.decoder.parameters():
        parameter.data.zero_()  # says the same token again and again
    with watching(model) as watch:
        (answer,) = generate(model, question(tiny_config.model), GenerateOptions(max_new_tokens=40), eos=())
    passes = watch.read[1:]
    assert len(passes) < 12
    assert passes[-1] - passes[0] + 1 < len(answer.tokens) == 40  # all but what the last pass gave
    assert passes[-1] - passes[0] > 20
    assert passes[0] == question(tiny_config.model).tokens.shape[1]


def test_watches_may_be_nested(tiny_config):
    model = VLM(tiny_config.model).eval()
    batch, options = question(tiny_config.model), GenerateOptions(max_new_tokens=4, drafts=0)
    with watching(model) as outer:
        with watching(model) as inner:
            generate(model, batch, options, eos=())
        generate(model, batch, options, eos=())
    assert (len(inner.steps_at), len(outer.steps_at)) == (4, 8)
    assert not {"encode", "features", "head"} & set(vars(model))


def test_watched_model_answers_alike_and_is_left_as_it_was(tiny_config):
    model = VLM(tiny_config.model).eval()
    before = generate(model, question(tiny_config.model), GenerateOptions(max_new_tokens=4, drafts=0), eos=())
    with watching(model):
        watched = generate(model, question(tiny_config.model), GenerateOptions(max_new_tokens=4, drafts=0), eos=())
    assert watched == before
    assert not {"encode", "features", "head"} & set(vars(model))


def test_watch_of_nothing_has_no_tokens(tiny_config):
    with watching(VLM(tiny_config.model)) as watch:
        pass
    assert set(watch.to_dict()) == {"encode_seconds", "seconds"}
