"""The state of a run: all that changes while a model is trained, in one object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ojito.config import TrainConfig
from ojito.data import merge_states
from ojito.device import fast_bfloat16
from ojito.errors import OjitoError
from ojito.model import VLM
from ojito.model.lora import adapt, is_adapter
from ojito.trainer.history import History, Step
from ojito.trainer.movement import Movement
from ojito.trainer.optim import MEMORY, optimizers, set_trainable
from ojito.trainer.parallel import assign, like, replicate, shard
from ojito.trainer.random_state import gather_random, random_state, seed_rank, set_random_state
from ojito.trainer.ranks import Ranks
from ojito.trainer.schedule import Clock, lr_factor


class TrainingError(OjitoError):
    """A run that cannot go on. The model keeps the weights of the last good step, where `TrainState.sound`."""


class TrainState:
    """A model in training, with its optimizers, clock, position in the data, random numbers and record.

    To go on with a run, make a new state from the same config, load what `state_dict` returned into it, and give the
    loader its position: `batches.load_state_dict(state.position)`. The weights then come out bit for bit as if the run
    had never stopped, dropout included. (Where `minutes` decides on the learning rate, the time of each step does so,
    too.)

    Args:
        model: The model, in float32, on the device where it is to be trained. Parts that `config.freeze` names stop
            learning.
        config: The recipe's `train`.
        clock: Progress of the run; by default a new one.
        ranks: The processes that train the model together; by default, this one is alone.

    Attributes:
        model: The model.
        ranks: The processes that train it together.
        loss: Computes the loss of a batch: a module with the model in it.
        engine: The same, which exchanges gradients among the ranks.
        recipe: The recipe's `train`.
        config: The same, as the stage has it that the run is in.
        begun: The step at which that stage began.
        clock: Steps, rows and seconds so far.
        optimizers: AdamW, and Muon with optimizer=muon.
        position: Of the loader after the last step, see `data.Batches.state_dict`; empty before there was one.
        random: PyTorch's random numbers after the last step.
        history: The record of the run.
        movement: The weights as the run began, in short, and what became of their gradients.
        products: Which products of a linear layer go through another library, see `products.py`; None before that was
            measured.
        sound: Whether the weights that `fit` left give a finite loss. If not, they are not worth keeping.
    """

    def __init__(self, model: VLM, config: TrainConfig, clock: Clock | None = None, ranks: Ranks | None = None) -> None:
        self.model, self.recipe = model, config
        self.clock, self.ranks = clock or Clock(config), ranks or Ranks()
        self.device = next(model.parameters()).device
        self.bfloat16 = config.precision == "bfloat16" or (config.precision == "auto" and fast_bfloat16(self.device))
        self.position: dict[str, Any] = {}
        self.history = History()
        self.products: tuple[bool, bool, bool] | None = None
        self.sound = True
        adapt(model, config.lora, config.adapted, config.seed)
        set_trainable(model, config.at(0)[0])
        self.loss = shard(model, config, self.ranks)
        self.random = seed_rank(config.seed, 0, self.ranks, self.device)
        self.movement = Movement(model)
        self.enter(0)

    def enter(self, step: int) -> None:
        """Begin the stage that a step is in, with optimizers of its own.

        Args:
            step: Steps that are done.
        """
        self.config, self.begun = self.recipe.at(step)
        set_trainable(self.model, self.config)
        self.optimizers: list[Optimizer] = optimizers(self.model, self.config)
        self.engine = replicate(self.loss, self.ranks)
        self.movement.note_learning()
        self.learning: list[nn.Parameter] = [p for p in self.model.parameters() if p.requires_grad]

    @property
    def ended(self) -> bool:
        """Whether the next step is of another stage."""
        return self.recipe.at(self.clock.step)[1] != self.begun

    def rate(self, progress: float) -> float:
        """Return the factor of the peak learning rates.

        Args:
            progress: Share of the run that is done, where it has no stages.
        """
        if self.recipe.stages:
            progress = min(1.0, (self.clock.step + 0.5 - self.begun) / self.config.steps)
        return lr_factor(progress, self.config)

    def count(self, step: Step, position: Mapping[str, Any], lr: float) -> None:
        """Count a step that was taken, all at once: what `state_dict` returns is always the end of a step.

        Args:
            step: The step.
            position: Of the loader, after its batches.
            lr: Its learning rate.
        """
        self.clock.tick(step.samples)
        self.position = dict(position)
        self.random = random_state(self.device)
        self.history.count(step, self.clock, lr)
        self.movement.add(step)

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides how the run goes on, as nested mappings of tensors and plain values.

        All ranks make this call together, and any number of ranks can go on from it; dropout then draws other numbers.
        Weights that never change are left out: the run began with them, and will again. As in PyTorch, the tensors are
        those in use: copy or save them before the next step.
        """
        return {
            "model": self._changing(),
            "optimizer": self._moments(),
            "random": gather_random(self.random, self.ranks),
            "clock": self.clock.state_dict(),
            "stage": self.begun,
            "products": None if self.products is None else [*self.products],
            "position": _merged(self.ranks.gather(self.position)),
            "history": self.history.state_dict(),
            "movement": self.movement.state_dict(),
        }

    @torch.no_grad()
    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned. Sets PyTorch's random numbers, which decide on dropout.

        Raises:
            TrainingError: The values are those of another model or optimizer.
        """
        try:
            if values["stage"] != self.begun:
                self.enter(values["stage"])
            self.load_weights(values["model"])
            self._set_moments(values.get("optimizer", {}))
            self.clock.load_state_dict(values["clock"])
            forward, by_input, by_weight = values["products"] or (False, False, False)
            self.products = (forward, by_input, by_weight) if values["products"] else None
            self.position = dict(values["position"])
            self.history.load_state_dict(values["history"], self.clock)
            self.movement.load_state_dict(values["movement"])
            self._set_random(values["random"])
        except TrainingError:
            raise
        except (KeyError, RuntimeError, ValueError) as error:
            raise _another(str(error)) from error

    @torch.no_grad()
    def load_weights(self, saved: Mapping[str, Tensor]) -> None:
        """Take over the "model" of a state.

        Raises:
            TrainingError: It is that of another model.
        """
        weights = self._changing()
        _check_keys(saved, weights)
        for name, tensor in weights.items():
            if tensor.shape != saved[name].shape:
                raise _another(f"{name} has the shape {[*saved[name].shape]}, not {[*tensor.shape]}")
            assign(tensor, saved[name])

    def _set_random(self, saved: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Go on with the random numbers of this rank; where there were more or fewer ranks, with new ones."""
        if len(saved) != self.ranks.count:
            self.random = seed_rank(self.config.seed, self.clock.step, self.ranks, self.device)
            return
        self.random = dict(saved[str(self.ranks.rank)])
        set_random_state(self.random, self.device)

    def _changing(self) -> dict[str, Tensor]:
        """Tensors of the model that this run changes: what learns, and the running statistics beside it."""
        frozen, adapted = (tuple(f"{part}." for part in parts) for parts in (self.recipe.frozen, self.recipe.adapted))
        every = self.model.state_dict().items()
        changing = {name: tensor for name, tensor in every if not name.startswith(frozen)}
        return {name: tensor for name, tensor in changing.items() if not name.startswith(adapted) or is_adapter(name)}

    def _moments(self) -> dict[str, dict[str, Any]]:
        """The optimizers' memory of each parameter, by its name."""
        names: dict[Tensor, str] = {parameter: name for name, parameter in self.model.named_parameters()}
        every = [entry for optimizer in self.optimizers for entry in optimizer.state.items()]
        return {names[parameter]: dict(memory) for parameter, memory in every}

    def _set_moments(self, saved: Mapping[str, Mapping[str, Any]]) -> None:
        """Give the optimizers what `_moments` returned."""
        parameters = dict(self.model.named_parameters())
        _check_keys(saved, parameters, some=True)
        names = {parameter: name for name, parameter in parameters.items()}
        for optimizer in self.optimizers:
            values = optimizer.state_dict()
            mine = [names[parameter] for group in optimizer.param_groups for parameter in group["params"]]
            for name in mine:
                if name in saved and set(saved[name]) != MEMORY[type(optimizer)]:
                    raise _another(f"{type(optimizer).__name__} cannot use {sorted(saved[name])} of {name}")
            values["state"] = {
                number: {key: like(parameters[name], tensor) for key, tensor in saved[name].items()}
                for number, name in enumerate(mine)
                if name in saved
            }
            optimizer.load_state_dict(values)


def _merged(positions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The positions of all ranks as one."""
    return merge_states(positions) if "data" in positions[0] else dict(positions[0])


def _another(detail: str) -> TrainingError:
    """The error for a state that does not fit."""
    remedy = "load it with those it was saved with"
    return TrainingError("state", "is not that of this model and recipe", remedy, [detail])


def _check_keys(found: Mapping[str, Any], expected: Mapping[str, Any], some: bool = False) -> None:
    """Check that the names are those expected, or `some` of them.

    Raises:
        TrainingError: They are not.
    """
    wrong = sorted(found.keys() - expected.keys()) + ([] if some else sorted(expected.keys() - found.keys()))
    if wrong:
        raise _another(", ".join(wrong[:5]))
