"""Blocks that are computed anew in the backward pass, and blocks that are compiled."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from ojito.allocator import mapping_large_pieces
from ojito.config import TrainConfig
from ojito.errors import OjitoError
from ojito.model import VLM
from ojito.model.blocks import CallBlock, call_block
from ojito.model.decoder import Decoder
from ojito.model.vit import ViT
from ojito.records import IGNORE, PADDING, Batch

MULTIPLE = 32
"""Positions that compiled rows are padded to a multiple of."""

_PRODUCTS = frozenset({torch.ops.aten.mm.default, torch.ops.aten.addmm.default})
"""What linear layers come down to; their outputs are worth keeping."""


@contextmanager
def block_calls(model: VLM, config: TrainConfig, device: torch.device) -> Iterator[None]:
    """Call the blocks as the settings say while training, and as usual otherwise and afterwards.

    Args:
        model: Its vision tower and its decoder.
        config: `checkpoint`, `checkpoint_kind` and `compile`.
        device: Of the model.

    Raises:
        OjitoError: The vision tower has no such blocks, or there is no compiler.
    """
    parts = {name: part for name, part in model.parts.items() if isinstance(part, (ViT, Decoder))}
    lacking = [name for name in config.checkpoint if name not in parts]
    if lacking:
        problem = f"{lacking}: its convolutions cannot be computed twice, because their batch norms would count twice"
        raise OjitoError("train.checkpoint", problem, "leave it out")
    call = compiled(device) if config.compile else call_block
    try:
        for name, part in parts.items():
            part.call_block = in_training(recomputed(call, config) if name in config.checkpoint else call)
        # Gradients stay where a block's hidden states were, and the holes between them took as much as was saved.
        with mapping_large_pieces() if config.checkpoint else nullcontext():
            yield
    finally:
        for part in parts.values():
            part.call_block = call_block


def in_training(call: CallBlock) -> CallBlock:
    """That way where there is a backward pass, the usual one elsewhere."""

    def choose(block: nn.Module, *args: Any) -> Tensor:
        return call(block, *args) if torch.is_grad_enabled() else call_block(block, *args)

    return choose


def recomputed(call: CallBlock, config: TrainConfig) -> CallBlock:
    """Keep a block's input, and compute the rest anew in the backward pass. Dropout draws the same numbers again."""
    selective: dict[str, Any] = {}
    if config.checkpoint_kind == "selective":
        selective = {"context_fn": functools.partial(create_selective_checkpoint_contexts, _policy)}

    def recompute(block: nn.Module, *args: Any) -> Tensor:
        return checkpoint(call, block, *args, use_reentrant=False, preserve_rng_state=_draws(block), **selective)

    return recompute


def compiled(device: torch.device) -> CallBlock:
    """Compile a block when it is first called; all blocks of one shape share the code.

    Raises:
        OjitoError: There is no compiler.
    """
    if device.type == "cpu":
        _find_compiler()
    return torch.compile(call_block, dynamic=False)


def padded(batch: Batch, config: TrainConfig) -> Batch:
    """The batch, and with `compile` as much padding as makes its rows a multiple of 32 positions."""
    lacking = -batch.tokens.shape[1] % MULTIPLE if config.compile else 0
    if not lacking:
        return batch
    fill = {"tokens": 0, "positions": 0, "segments": PADDING, "prefix": False, "targets": IGNORE, "documents": PADDING}
    longer = {
        name: F.pad(values, (0, lacking), value=fill[name])
        for name in fill
        if (values := getattr(batch, name, None)) is not None
    }
    return dataclasses.replace(batch, **longer)


def _draws(block: nn.Module) -> bool:
    """Whether dropout draws random numbers in a block."""
    shares = (getattr(module, name, 0.0) for module in block.modules() for name in ("share", "dropout"))
    return block.training and any(isinstance(share, float) and share > 0 for share in shares)


def _policy(context: Any, operator: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    return CheckpointPolicy.MUST_SAVE if operator in _PRODUCTS else CheckpointPolicy.PREFER_RECOMPUTE


def _find_compiler() -> None:
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except (InvalidCxxCompiler, RuntimeError):
        remedy = "install g++ or clang, or name one in the environment variable CXX; or leave train.compile at false"
        raise OjitoError("train.compile", "needs a C++ compiler, and there is none", remedy) from None
