"""The state of PyTorch's random numbers, which decide on dropout. Nothing else in training draws from a generator."""

from __future__ import annotations

import random
from collections.abc import Mapping

import torch
from torch import Tensor

from ojito.trainer.ranks import Ranks


def random_state(device: torch.device) -> dict[str, Tensor]:
    """Return the state of the CPU's generator, and of that of the device where the model is."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_random_state(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Go on with the numbers that came next when `random_state` was called."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])


def seed_rank(seed: int, step: int, ranks: Ranks, device: torch.device) -> dict[str, Tensor]:
    """Let every rank draw numbers of its own from here on; alone, the numbers stay as they are.

    Args:
        seed: Of the run.
        step: Steps that are done.
        ranks: All of them.
        device: Where the model is.

    Returns:
        What `random_state` returns.
    """
    if not ranks.alone:
        torch.manual_seed(random.Random(f"{seed} step {step} rank {ranks.rank}").getrandbits(63))
    return random_state(device)


def gather_random(states: Mapping[str, Tensor], ranks: Ranks) -> dict[str, dict[str, Tensor]]:
    """Return the states of all ranks, by rank and generator."""
    every = {name: ranks.gather_tensor(state) for name, state in states.items()}
    return {str(rank): {name: found[rank] for name, found in every.items()} for rank in range(ranks.count)}
