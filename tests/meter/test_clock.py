"""Stopwatches, and a watch on a model's answers."""

import torch

from ojito.generate import GenerateOptions, generate
from ojito.meter.clock import Stopwatch, watching
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


def test_watch_notes_the_image_and_every_token(tiny_config):
    model = VLM(tiny_config.model).eval()
    with watching(model) as watch:
        (answer,) = generate(model, question(tiny_config.model), GenerateOptions(max_new_tokens=4, drafts=0), eos=())
    values = watch.to_dict()
    assert len(watch.tokens_at) == len(answer.tokens) == 4
    assert 0 < values["encode_seconds"] <= values["first_token_seconds"] <= values["seconds"]
    assert values["tokens_per_second"] > 0


def test_watched_model_answers_alike_and_is_left_as_it_was(tiny_config):
    model = VLM(tiny_config.model).eval()
    before = generate(model, question(tiny_config.model), GenerateOptions(max_new_tokens=4, drafts=0), eos=())
    with watching(model):
        watched = generate(model, question(tiny_config.model), GenerateOptions(max_new_tokens=4, drafts=0), eos=())
    assert watched == before
    assert not {"encode", "head"} & set(vars(model))


def test_watch_of_nothing_has_no_tokens(tiny_config):
    with watching(VLM(tiny_config.model)) as watch:
        pass
    assert set(watch.to_dict()) == {"encode_seconds", "seconds"}
