"""A training step of the preset `photos`, beside the same step with its economies taken back.

    python -m benchmarks.training_step

Captions of random words about random patches: an image, five captions of 6 to 18 words, as Flickr8k has them.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from PIL import Image

from benchmarks.measure import in_turns, write
from ojito.allocator import keeping_freed_memory
from ojito.data import Batches, Source
from ojito.data import order as ordering
from ojito.data.features import Features
from ojito.model import attention
from ojito.model import dropout as dropping
from ojito.presets import preset
from ojito.records import Batch, Sample, Turn
from ojito.trainer import TrainState, last_good, step
from ojito.trainer.optim import set_trainable
from ojito.trainer.step import train_step
from ojito.training import prepare

ROWS, BATCHES = 512, 12
WORDS = [f"{a}{b}" for a in "bdfgklmnprst" for b in ("ado", "eki", "ilu", "oma", "una", "are", "est", "irt")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    state, sorted_batches = setting()
    with mock.patch.object(ordering.ByLength, "_sorted", lambda self, rows, seed: iter(rows)):
        _, shuffled = setting()
    eager = mock.patch.object(attention, "prefers_eager", return_value=True)
    torchs = mock.patch.object(dropping, "dropout", F.dropout)
    watched = [
        mock.patch.object(module, "moving_buffers", lambda model: [*model.buffers()]) for module in (step, last_good)
    ]
    kept = keeping_freed_memory
    candidates: dict[str, Callable[[], Any]] = {
        "as it is": lambda: steps(state, sorted_batches, kept()),
        "rows of all lengths in a batch": lambda: steps(state, shuffled, kept()),
        "eager attention": lambda: steps(state, sorted_batches, kept(), eager),
        "PyTorch's dropout": lambda: steps(state, sorted_batches, kept(), torchs),
        "attention weights dropped": lambda: steps(state, sorted_batches, kept(), attention_dropout(state)),
        "frozen buffers watched": lambda: steps(state, sorted_batches, kept(), *watched),
        "freed memory given back": lambda: steps(state, sorted_batches),
        "all of these": lambda: steps(state, shuffled, eager, torchs, attention_dropout(state), *watched),
    }
    times = in_turns(candidates, args.rounds, torch.device("cpu"))
    rows = {name: round(time / BATCHES, 1) for name, time in times.items()}
    for name, time in rows.items():
        print(f"{name:32} {time:6.1f} ms a step   {time / rows['as it is']:.2f}")
    padding = {"by length": padded(sorted_batches), "shuffled": padded(shuffled)}
    print("padding: " + ", ".join(f"{share:.0%} {name}" for name, share in padding.items()))
    print(write("training_step", torch.device("cpu"), {"milliseconds": rows, "padding": padding}))


def setting() -> tuple[TrainState, list[Batch]]:
    """A run of `photos` on random rows, and its first batches."""
    config = preset("photos", ["train.steps=1000"])
    config = dataclasses.replace(config, pretrained=type(config.pretrained)())
    rng = random.Random(0)
    images = [Image.new("RGB", (8, 8), (number % 256, number // 256, 0)) for number in range(ROWS)]
    rows = [Sample([image], turns=(Turn("", tuple(caption(rng) for _ in range(5))),)) for image in images]
    source = Source("random", rows)
    model, processor = prepare(config, source, "cpu")
    shape = (config.model.vision.grid**2, config.model.vision.width)
    features = Features(images, 1, shape, 2**30)
    for image in images:
        features.put(image, torch.randn(1, *shape))
    state = TrainState(model, config.train)
    set_trainable(model, config.train)
    batches = Batches(source, processor, config.data, config.train, features=features)
    return state, [*itertools.islice(batches, BATCHES)]


def caption(rng: random.Random) -> str:
    """Six to eighteen random words."""
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(6, 18)))


def steps(state: TrainState, batches: list[Batch], *within: AbstractContextManager[Any]) -> None:
    """A step for each batch, with the copy of the weights that training keeps."""
    with ExitStack() as stack:
        for context in within:
            stack.enter_context(context)
        good = last_good.LastGood(state.model)
        for batch in batches:
            good.keep(batch)
            train_step(state, [batch], 0.1)


@contextmanager
def attention_dropout(state: TrainState) -> Iterator[None]:
    """Drop attention weights, too."""
    attentions = [block.attention for block in state.model.decoder.blocks]
    for module in attentions:
        module.dropout = state.model.config.decoder.dropout
    yield
    for module in attentions:
        module.dropout = 0.0


def padded(batches: list[Batch]) -> float:
    """Share of the places of these batches that hold nothing."""
    places = sum(batch.tokens.numel() for batch in batches)
    return round(1 - sum(int((batch.segments >= 0).sum()) for batch in batches) / places, 3)


if __name__ == "__main__":
    main()
