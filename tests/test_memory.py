"""What is refused before memory is taken for weights."""

import dataclasses

import pytest
import torch

from ojito import memory, preset
from ojito.data import open_data
from ojito.loading import load_for, recipe_of
from ojito.memory import check_training_memory
from ojito.model.meta import on_meta
from ojito.training import prepare

CPU = torch.device("cpu")


@pytest.fixture
def free(monkeypatch):
    """Says how many bytes are free."""
    return lambda number: monkeypatch.setattr(memory, "available_memory", lambda device: number)


@pytest.mark.parametrize(("optimizer", "each"), [("adamw", 16), ("muon", 12)])
def test_training_needs_the_gradients_and_the_moments_of_what_learns(free, optimizer, each):
    config = preset("tiny")
    model = on_meta(config.model, "tiny")
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in model.parts.items()}
    for frozen in ((), ("vision",), ("vision", "decoder")):
        train = dataclasses.replace(config.train, freeze=frozen, optimizer=optimizer)
        needed = sum(size * (4 if name in frozen else each) for name, size in sizes.items())
        free(needed)
        check_training_memory("tiny", model, train, CPU)
        free(needed - 1)
        with pytest.raises(
            ValueError, match=r"^tiny needs 0\.0 GiB to be trained, .*free on cpu; freeze a part, as with"
        ):
            check_training_memory("tiny", model, train, CPU)


def test_training_is_refused_before_memory_is_taken(free, join, tmp_path):
    join().save(tmp_path)
    free(2**12)
    config = preset("tiny", ["data.path=scenes"])
    for begin in (
        lambda: prepare(config, open_data(config), "cpu"),
        lambda: load_for(recipe_of(tmp_path), tmp_path, "cpu"),
    ):
        with pytest.raises(ValueError, match="GiB to be trained"):
            begin()
