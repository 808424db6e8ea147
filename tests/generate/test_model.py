import pytest
import torch

from ojito.generate import GenerateOptions, PrefixCache, Scheduler, generate
from ojito.generate.model import Model

NAMES = [name for name in (*vars(Model), *Model.__annotations__) if not name.startswith("_")]


class Bare:
    """What answers like a model, and has nothing besides what generation is said to need."""

    def __init__(self, model):
        self._model = model

    def __getattr__(self, name):
        if name not in NAMES:
            raise AttributeError(name)
        return getattr(self._model, name)


def test_model_needs_what_the_protocol_says_and_nothing_else(tiny_model, tiny_processor, questions):
    assert set(NAMES) == {
        "check", "config", "device", "dtype", "encode", "features", "head", "modules", "train", "training",
    }  # fmt: skip
    bare = Bare(tiny_model.train())
    for options in (GenerateOptions(9), GenerateOptions(9, beams=3), GenerateOptions(9, repetition_penalty=1.3)):
        rows = generate(bare, tiny_processor(questions), options, eos=2)
        assert rows == generate(tiny_model, tiny_processor(questions), options, eos=2)
        scheduler = Scheduler(bare, eos=2, prefixes=PrefixCache())
        requests = [scheduler.submit(tiny_processor([one]), options) for one in questions]
        scheduler.run()
        assert [request.answer for request in requests] == rows
    assert tiny_model.training


@pytest.mark.parametrize("name", ["images", "patches", "visual"])
def test_batch_may_bring_its_images_in_any_form(tiny_model, tiny_processor, questions, name):
    batch = tiny_processor(questions)
    expected = generate(tiny_model, batch, GenerateOptions(9), eos=2)
    with torch.no_grad():
        made = {
            "images": batch.images,
            "patches": tiny_model.see(batch.images),
            "visual": tiny_model.encode(batch.images),
        }
    batch.images = None
    setattr(batch, name, made[name])
    assert batch.num_images == 4
    assert generate(tiny_model, batch, GenerateOptions(9), eos=2) == expected
