"""Memory that a training step takes, foretold: the step is run on tensors that have shapes and no numbers.

So whatever a model, its settings and its backward pass keep is counted as it is kept, and no formula has to follow the
code. What an allocator cannot use between two pieces comes on top.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ojito.config import ModelConfig, TrainConfig
from ojito.device import fast_bfloat16
from ojito.meter.foretold import Foretold
from ojito.model import VLM
from ojito.records import IGNORE, IMAGE, SHARED, Batch
from ojito.trainer.blocks import block_calls
from ojito.trainer.chunked_loss import summed_loss
from ojito.trainer.last_good import LastGood
from ojito.trainer.optim import optimizers, set_trainable

_HOLES = {"cpu": (0.47, 0.15), "cuda": (0.02, 0.02)}
"""Shares of gradients, and of what else a step holds, that are lost between pieces: measured, `benchmarks.training`. On
a CPU freed memory is kept (`allocator`), and gradients come to lie among activations."""
_BACKWARD = {"cpu": 50 * 10**6}
"""Bytes, measured: what libraries set aside for the first backward pass."""


@dataclass(frozen=True)
class Shape:
    """Shape of a micro-batch.

    Attributes:
        rows: Rows.
        length: Tokens of a row, image tokens included.
        labels: Labelled tokens of a row.
        images: Images of a row.
        encoded: Whether batches bring what the vision tower made of the images before.
    """

    rows: int
    length: int
    labels: int
    images: int = 1
    encoded: bool = False


@dataclass(frozen=True)
class TrainingMemory(Foretold):
    """Memory of a training step, bytes.

    Attributes:
        weights: Of the model, and batch norm's statistics.
        optimizer: AdamW's moments, or Muon's.
        copy: Of the weights that last gave a finite loss; of large models there is none.
        step: Gradients and activations at their fullest moment.
        baseline: Python and PyTorch themselves.
    """

    weights: int
    optimizer: int
    copy: int
    step: int
    baseline: int


def training_memory(
    config: ModelConfig, train: TrainConfig, shape: Shape, device: torch.device | None = None, baseline: int = 0
) -> TrainingMemory:
    """Return the memory that a training step takes; of several stages, a step of the one that takes most.

    Args:
        config: Of the model.
        train: Micro-batches, optimizer, frozen parts, adapters, precision and checkpoints.
        shape: Of a micro-batch.
        device: That trains; None means a CPU.
        baseline: Bytes that the process takes without a model.

    Raises:
        OjitoError: As for `block_calls` and `set_trainable`.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode  # takes a second to import

    if train.stages:
        begins = [sum(stage.steps for stage in train.stages[:number]) for number in range(len(train.stages))]
        found = [training_memory(config, train.at(begin)[0], shape, device, baseline) for begin in begins]
        return max(found, key=lambda memory: memory.peak)
    device = device or torch.device("cpu")
    # Compiled code keeps about as much, and would have to be compiled to know.
    train = replace(train, compile=False)
    rounds = train.precision == "bfloat16" or (train.precision == "auto" and fast_bfloat16(device))
    held = _Held()
    with FakeTensorMode(), device:
        model = VLM(config)
        set_trainable(model, train)
        held.add([*model.parameters(), *model.buffers()])
        weights = held.now
        batch = _batch(config, shape)
        with held, block_calls(model, train, device):
            for _ in range(min(train.accumulate, 2)):
                with torch.autocast(device.type, torch.bfloat16, enabled=rounds):
                    hidden = model.read(batch)[:, shape.length - shape.labels :]
                    loss = summed_loss(model, hidden.flatten(0, 1), batch.targets[:, -shape.labels :].flatten())
                    del hidden
                loss.backward()  # type: ignore[no-untyped-call]
                del loss
            step, gradients = held.most - weights, held.now - weights
            good = LastGood(model)
            good.keep(batch)
            copy = held.now - gradients - weights
            held.most = held.now
            for optimizer in optimizers(model, train):
                optimizer.step()
            moments = held.now - copy - gradients - weights
        step = max(step, held.most - moments - copy - weights)
    among, between = _HOLES.get(device.type, (0.0, 0.0))
    step += int(among * gradients + between * (step - gradients))
    return TrainingMemory(weights, moments, copy, step, baseline + _BACKWARD.get(device.type, 0))


def _batch(config: ModelConfig, shape: Shape) -> Batch:
    """A batch of that shape."""
    size = (shape.rows, shape.length)
    zeros = torch.zeros(size, dtype=torch.int64)
    tokens = torch.cat((zeros[:, : shape.images * config.image_tokens] + IMAGE, zeros), dim=1)[:, : shape.length]
    targets = zeros.clone()
    targets[:, : shape.length - shape.labels] = IGNORE
    batch = Batch(tokens, zeros.clone(), zeros + SHARED, torch.zeros(size, dtype=torch.bool), targets)
    images = shape.rows * shape.images
    if not config.image_tokens or not images:
        return batch
    if shape.encoded:
        return replace(batch, patches=torch.zeros(images, config.vision.grid**2, config.vision.width))
    return replace(batch, images=torch.zeros(images, 3, config.vision.image_size, config.vision.image_size))


class _Held(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of all tensors that are there: each storage from the operator that makes it until nobody holds it.

    Attributes:
        now: Bytes.
        most: The most of them so far.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self._storages: dict[int, object] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operator, and count what it made."""
        result = func(*args, **(kwargs or {}))
        self.add(value for value in tree_leaves(result) if isinstance(value, Tensor))
        return result

    def add(self, tensors: Iterable[Tensor]) -> None:
        """Count tensors, each storage once."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            if storage._cdata not in self._storages:
                self.now += storage.nbytes()
                self.most = max(self.most, self.now)
                gone = weakref.finalize(storage, self._forget, storage._cdata, storage.nbytes())
                gone.atexit = False
                self._storages[storage._cdata] = gone

    def _forget(self, storage: int, size: int) -> None:
        del self._storages[storage]
        self.now -= size
