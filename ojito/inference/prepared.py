"""The model that answers: a `VLM` whose projections are packed for the processor."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ojito.errors import OjitoError
from ojito.inference.decoder import PreparedBlock, PreparedDecoder
from ojito.inference.graphs import CudaRecorder
from ojito.inference.linear import PreparedLinear
from ojito.inference.quantize import QuantizedLinear
from ojito.inference.replay import Recorder, Replay
from ojito.model import VLM, KVCache
from ojito.records import Batch


class Prepared(VLM):
    """A model made ready to answer. It has the face of a `VLM`, and the weights of the one that it was made of.

    Weights that its kernels use as they are, it shares with that model; the others it packs when they are first used.
    It is for answering alone: it has no gradients, and hooks on the model's parts are not called.

    Args:
        model: In evaluation mode.
        once: See `prepare`.
        recorder: Records the steps of decoding; None has them recorded on CUDA, and nowhere else.
    """

    def __init__(self, model: VLM, once: bool = False, recorder: Recorder | None = None) -> None:
        nn.Module.__init__(self)
        self.config, self._device, self._dtype = model.config, model.device, model.dtype
        self.vision = _twin(model.vision, once)
        self.connector = _twin(model.connector, once)
        self.decoder = PreparedDecoder(model.decoder, once)  # type: ignore[assignment]
        if recorder is None and self._device.type == "cuda":
            recorder = CudaRecorder(self._device)
        self._replay = None if recorder is None else Replay(recorder)
        self.eval()

    @property
    def device(self) -> torch.device:
        """As `VLM.device`."""
        return self._device

    @property
    def dtype(self) -> torch.dtype:
        """As `VLM.dtype`."""
        return self._dtype

    def features(self, batch: Batch, cache: KVCache | None = None, last: bool = False) -> Tensor:
        """As `VLM.features`; steps of decoding are recorded and replayed where there is a recorder."""
        several = batch.tokens.shape[1] > 1
        if self._replay is None or cache is None or (several and last):  # no step, but a prompt
            return super().features(batch, cache, last)
        if several or batch.num_images:
            self.check(batch)
        hidden = self._replay(self.read, batch, cache)
        return self.read(batch.to(self.device), cache, last) if hidden is None else hidden


def prepare(model: VLM, once: bool = False) -> Prepared:
    """Make a model ready to answer. Nothing is computed before it does.

    Args:
        model: In evaluation mode. Its weights must not be changed meanwhile.
        once: Whether it is for one answer: then nothing is packed that gains less than packing takes.

    Raises:
        OjitoError: It has adapters, which would be left out.
    """
    if model.adapters is not None:
        raise OjitoError("prepare", "the model has adapters of LoRA", "merge them first (`model.lora.merge`)")
    return Prepared(model, once)


def copied_bytes(model: VLM, dtype: torch.dtype, mapped: bool) -> int:
    """Return the bytes that packed copies take on this machine's CPU beside the weights as they are stored.

    Args:
        model: On `meta` will do: nothing is packed. Kernels are measured, where there is a choice.
        dtype: Of hidden states.
        mapped: See `PreparedLinear.copied`.
    """
    prepared = prepare(model)
    blocks: list[PreparedBlock] = prepared.decoder.blocks  # type: ignore[assignment]
    parts = [part for block in blocks for part in (block.qkv, block.out, block.up, block.down)]
    parts += [module for module in prepared.modules() if isinstance(module, PreparedLinear)]
    return sum(part.copied(dtype, mapped) for part in parts)


class Preparation:
    """Keeps a model's `Prepared` for as long as the model's weights are those that it was made of."""

    def __init__(self) -> None:
        self._made: Prepared | None = None
        self._seen: list[tuple[int, int]] = []

    def of(self, model: VLM, once: bool = False) -> VLM:
        """Return the model made ready; itself where it is in training, or its parts carry hooks or adapters."""
        if model.training or model.adapters is not None or any(_hooked(module) for module in model.modules()):
            return model
        seen = [(id(tensor), _version(tensor)) for tensor in (*model.parameters(), *model.buffers())]
        if self._made is None or seen != self._seen:
            self._made, self._seen = prepare(model, once), seen
        return self._made


def _hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _version(tensor: Tensor) -> int:
    """How often a tensor was written to."""
    return 0 if tensor.is_inference() else tensor._version


def _twin(module: nn.Module, once: bool) -> nn.Module:
    """A module of the same parts, with prepared projections."""
    if isinstance(module, (nn.Linear, QuantizedLinear)):
        return PreparedLinear([module], once)
    twin = copy.copy(module)
    twin._modules = {name: part and _twin(part, once) for name, part in module._modules.items()}
    return twin
