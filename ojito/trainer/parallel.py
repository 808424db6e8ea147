"""A model whose gradients are those of all ranks: PyTorch's own engines around one module that computes the loss.

DDP keeps the whole model on every rank and averages gradients. FSDP2 (`fully_shard`) keeps a part of every parameter on
each rank, and gathers a block while it computes. Both are imported where there are ranks: it takes a second.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ojito.config import TrainConfig
from ojito.model import VLM
from ojito.model.lora import with_adapters_of
from ojito.records import IGNORE, IMAGE, PADDING, SHARED, Batch
from ojito.trainer.loss import token_loss
from ojito.trainer.ranks import Ranks


class Loss(nn.Module):
    """The loss of a batch as a module, which is what the engines wrap: `token_loss` of a model.

    Args:
        model: The model.
        shared: Whether other ranks hold it, too, so that every batch has to pass through all of its parts.
    """

    def __init__(self, model: VLM, shared: bool = False) -> None:
        super().__init__()
        self.model, self._shared = model, shared

    def forward(self, batch: Batch) -> Tensor:
        """The sum of the cross-entropies of the labelled tokens, nats."""
        return token_loss(self.model, with_image(batch, self.model) if self._shared else batch)


def shard(model: VLM, config: TrainConfig, ranks: Ranks) -> Loss:
    """Return the module that computes the loss; with train.parallel=fsdp, a part of each parameter stays here.

    Call it before the optimizers are made, which then update this part.

    Args:
        model: The same model on every rank.
        config: The recipe's `train`.
        ranks: All of them.
    """
    loss = Loss(model, shared=not ranks.alone)
    if not ranks.alone and config.parallel == "fsdp":
        from torch.distributed.fsdp import fully_shard

        for part in model.parts.values():
            for block in getattr(part, "blocks", ()):
                fully_shard(block)
        fully_shard(loss)
    return loss


def replicate(loss: Loss, ranks: Ranks) -> nn.Module:
    """Return the module to call in a step: where ranks hold whole models, one that averages their gradients."""
    if ranks.alone or _is_sharded(loss):
        return loss
    from torch.nn.parallel import DistributedDataParallel

    device = next(loss.parameters()).device
    return DistributedDataParallel(
        loss, device_ids=[device] if device.type == "cuda" else None, gradient_as_bucket_view=True
    )


def with_image(batch: Batch, model: VLM) -> Batch:
    """The batch with a row more, if it has no image: a black image, and nothing that is learned.

    The ranks exchange the gradients of a part when all of them have used it. One whose rows are of text alone uses the
    vision tower, too, and adds nothing.

    Args:
        batch: The share of a rank.
        model: The model.
    """
    size, each = model.config.vision.image_size, model.config.image_tokens
    if not size or batch.num_images:
        return batch
    rows, length = batch.tokens.shape
    right = max(0, each - length)

    def add(values: Tensor, row: int, padding: int) -> Tensor:
        """With padding on the right, and the new row below."""
        padded = F.pad(values, (0, right, 0, 1), value=padding)
        padded[rows, :each] = row
        return padded

    made = dataclasses.replace(
        batch,
        tokens=add(batch.tokens, IMAGE, 0),
        positions=add(batch.positions, 0, 0),
        segments=add(batch.segments, SHARED, PADDING),
        prefix=add(batch.prefix, 1, 0),
        targets=add(batch.targets, IGNORE, IGNORE),
        documents=None if batch.documents is None else add(batch.documents, 0, PADDING),
        images=torch.zeros(1, 3, size, size, device=batch.tokens.device),
    )
    made.positions[rows, :each] = torch.arange(each, device=batch.tokens.device)
    return made


def syncing(engine: nn.Module, last: bool) -> Any:
    """The context of a micro-batch: gradients are exchanged with the last one of a step, and not before.

    Args:
        engine: What `replicate` returned.
        last: Whether this is the last micro-batch.
    """
    if _is_sharded(engine):
        engine.set_requires_gradient_sync(last)  # type: ignore[operator]
    elif not isinstance(engine, Loss) and not last:
        return engine.no_sync()  # type: ignore[operator]
    return nullcontext()


@contextmanager
def whole(loss: nn.Module) -> Iterator[None]:
    """Hold all parameters whole in here, on every rank: to answer with the model."""
    sharded: list[Any] = [module for module in loss.modules() if _is_sharded(module)]
    for module in sharded:
        module.unshard()
    try:
        yield
    finally:
        for module in sharded:
            module.reshard()


def whole_model(loss: Loss) -> VLM:
    """The whole model on every rank: the one that was trained, or, where each rank holds a part, a new one of them all.

    A call that all ranks make.
    """
    model = loss.model
    if not _is_sharded(loss):
        return model
    made = with_adapters_of(model, VLM(model.config)).to(model.device)
    made.load_state_dict({name: full(tensor) for name, tensor in model.state_dict().items()})
    return made.eval()


def full(tensor: Tensor) -> Tensor:
    """The whole of a tensor, of which this rank may hold a part; a call that all ranks make."""
    return tensor.full_tensor() if _is_part(tensor) else tensor  # type: ignore[attr-defined]


def local(tensor: Tensor) -> Tensor:
    """The part of a tensor that this rank holds."""
    return tensor.to_local() if _is_part(tensor) else tensor  # type: ignore[attr-defined]


def like(parameter: Tensor, value: Tensor) -> Tensor:
    """A copy of a whole tensor as this rank holds the parameter; what has another shape stays whole."""
    if _is_part(parameter) and not _is_part(value) and value.shape == parameter.shape:
        from torch.distributed.tensor import distribute_tensor

        mesh, placements = parameter.device_mesh, parameter.placements  # type: ignore[attr-defined]
        return distribute_tensor(value.to(parameter.device), mesh, placements, src_data_rank=None)  # all ranks have it
    return value.clone()


@torch.no_grad()
def assign(into: Tensor, value: Tensor) -> None:
    """Copy a whole tensor into one of which this rank may hold a part."""
    into.copy_(like(into, value))


def gathered(values: Any, keep: bool) -> Any:
    """Nested mappings with tensors made whole, one after the other; a call that all ranks make.

    Args:
        values: Mappings, tensors and others.
        keep: Whether this rank keeps the tensors, on the CPU.
    """
    if isinstance(values, dict):
        return {name: gathered(value, keep) for name, value in values.items()}
    if isinstance(values, Tensor) and _is_part(values):
        made = full(values.detach())
        return made.cpu() if keep else None
    return values


def _is_part(tensor: Tensor) -> bool:
    """Whether it is a DTensor."""
    return hasattr(tensor, "full_tensor")


def _is_sharded(module: nn.Module) -> bool:
    """Whether `fully_shard` was called for it."""
    return hasattr(module, "unshard")
