"""The state of a run: all that changes while a model is trained, in one object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ojito.config import TrainConfig
from ojito.device import fast_bfloat16
from ojito.errors import OjitoError
from ojito.model import VLM
from ojito.trainer.optim import optimizers, set_trainable
from ojito.trainer.schedule import Clock


class TrainingError(OjitoError):
    """A run that cannot go on. The model keeps the weights of the last good step, where `TrainState.sound`."""


class TrainState:
    """A model in training, with its optimizers, clock, position in the data and random numbers.

    To go on with a run, make a new state from the same config, load what `state_dict` returned into it, and begin the
    data at its batch: `Batches(..., start=state.batch)`. The weights then come out bit for bit as if the run had never
    stopped, dropout included. (Where `minutes` decides on the learning rate, the time of each step does so, too.)

    Args:
        model: The model, in float32, on the device where it is to be trained. Parts that `config.freeze` names stop
            learning.
        config: The recipe's `train`.
        clock: Progress of the run; by default a new one.

    Attributes:
        model: The model.
        config: The recipe's `train`.
        clock: Steps and seconds so far.
        optimizers: AdamW, and Muon with optimizer=muon.
        batch: Number of the batch that comes next, micro-batches counted singly.
        samples: Rows learned from so far.
        sound: Whether the weights that `fit` left give a finite loss. If not, they are not worth keeping.
    """

    def __init__(self, model: VLM, config: TrainConfig, clock: Clock | None = None) -> None:
        set_trainable(model, config)
        self.model, self.config = model, config
        self.clock = clock or Clock(config)
        self.optimizers: list[Optimizer] = optimizers(model, config)
        self.batch = self.samples = 0
        self.sound = True
        self.learning: list[nn.Parameter] = [p for p in model.parameters() if p.requires_grad]
        self.device = self.learning[0].device
        self.bfloat16 = config.precision == "bfloat16" or (config.precision == "auto" and fast_bfloat16(self.device))

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides how the run goes on.

        As in PyTorch, its tensors are those in use: copy or save them before the next step.
        """
        return {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "clock": self.clock.state_dict(),
            "batch": self.batch,
            "samples": self.samples,
            "rng": _rng_state(self.device),
        }

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned. Sets PyTorch's random numbers, which decide on dropout.

        Raises:
            TrainingError: The values are those of another model or optimizer.
        """
        try:
            self.model.load_state_dict(values["model"])
            for optimizer, state in zip(self.optimizers, values["optimizers"], strict=True):
                optimizer.load_state_dict(state)
            self.clock.load_state_dict(values["clock"])
            self.batch, self.samples = values["batch"], values["samples"]
            _set_rng_state(values["rng"], self.device)
        except (KeyError, RuntimeError, ValueError) as error:
            raise TrainingError(
                "state", "is not that of this model and recipe", "load it with those it was saved with", [str(error)]
            ) from error


def _rng_state(device: torch.device) -> dict[str, torch.Tensor]:
    """The state of PyTorch's generators: the CPU's, and that of the device where the model is."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def _set_rng_state(states: Mapping[str, torch.Tensor], device: torch.device) -> None:
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])
