"""Models that Ojito writes in the form of Hugging Face, and what transformers makes of them."""

import dataclasses
import json
import shutil
import string

import torch

from ojito.model import VLM
from ojito.pipeline import Pipeline
from ojito.presets import preset
from ojito.processor import Processor, Tokenizer
from ojito.records import IMAGE
from tests.parity import reference
from tests.parity.reference import ASK, transformers

# Under another name: SmolVLM without its videos.
WRITTEN = {"paligemma2": "paligemma", "smolvlm": "idefics3"}


def imported(family, folder, **changes):
    """A family's reference, and ours from this folder, which is gone by then. Arguments as for `reference.make`."""
    theirs = reference.make(family, scale=reference.FAMILIES[family].lively, seed=5, **changes)
    pipe = theirs.ours(folder)
    shutil.rmtree(folder)
    return theirs, pipe


def export(family, place):
    """A family's reference, ours, and the folder that ours wrote, in this place."""
    theirs, pipe = imported(family, place / "theirs")
    pipe.export(place / "ours")
    return theirs, pipe, place / "ours"


PRESET = [
    "model.vision.layers=1", "model.vision.width=32", "model.vision.heads=2", "model.vision.mlp_dim=16",
    "model.vision.image_size=28", "model.decoder.layers=2", "model.decoder.width=32", "model.decoder.mlp_dim=16",
    "model.decoder.head_dim=8", "model.decoder.vocab_size=1500", "model.decoder.max_positions=64",
]  # fmt: skip


def from_preset(name, *settings):
    """A model with random weights, and a tokenizer that Ojito learned."""
    config = preset(name, [*PRESET, "processor.tokenizer.kind=characters", "processor.tokenizer.added=[]", *settings])
    torch.manual_seed(0)
    tokenizer = Tokenizer.train(config.processor.tokenizer, [string.printable, ASK], 300)
    model = config.model
    sizes = (model.vision.image_size, model.image_tokens, model.decoder.max_positions)
    return Pipeline(VLM(model).eval(), Processor(config.processor, tokenizer, *sizes), config)


def with_processor(pipe, **settings):
    """The same model, spoken to in another way."""
    old = pipe.processor
    config = dataclasses.replace(old.config, **settings)
    made = Pipeline(pipe.model, Processor(config, old.tokenizer, old.image_size, old.image_tokens))
    made.name = pipe.name
    return made


def read(folder, name):
    return json.loads((folder / name).read_text(encoding="utf-8"))


def files(folder, but=()):
    """What is in the files, but for some; folders in it, as a save that was cut short leaves one, are none."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name not in but}


def load_theirs(folder, dtype=torch.float32):
    """Their model, of which nothing may be missing or left over."""
    model, info = transformers.AutoModelForImageTextToText.from_pretrained(
        folder, dtype=dtype, attn_implementation="eager", output_loading_info=True
    )
    assert not any(info.values()), info
    return model.eval()


def assert_same_state(made, expected):
    assert made.keys() == expected.keys()
    for name, tensor in expected.items():
        assert made[name].dtype == tensor.dtype
        assert torch.equal(made[name], tensor), name


def load_processor(folder, family):
    """Their processor, with the Pillow form of its images, as where torchvision is missing."""
    made = transformers.AutoProcessor.from_pretrained(folder)
    assert type(made.image_processor).__name__.endswith("Pil")
    assert type(made).__name__.lower().startswith(WRITTEN.get(family, family))
    return made


def assert_same_inputs(made, batch, image_id):
    assert torch.equal(batch.tokens.masked_fill(batch.tokens == IMAGE, image_id), made["input_ids"])
    if batch.images is not None:
        assert torch.equal(batch.images, made["pixel_values"].reshape(batch.images.shape))
