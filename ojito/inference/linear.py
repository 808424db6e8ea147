"""Several projections of one input as one, multiplied by the fastest kernels, packed when first used."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ojito.allocator import give_back_freed_memory
from ojito.device import dtype_name
from ojito.inference.choice import KERNELS, choose, is_large
from ojito.inference.gpu_choice import GpuChoice, choose_on_gpu
from ojito.inference.kernels import FEW, Dequantized, Kernel, Matrix, Plain
from ojito.inference.mapped import Pages
from ojito.inference.quantize import QuantizedEmbedding, QuantizedLinear
from ojito.inference.weights import Int8Weight, concatenate, rotate

if TYPE_CHECKING:  # shapes are checked by the tests only
    from jaxtyping import Float

Projection = nn.Linear | QuantizedLinear | nn.Embedding | QuantizedEmbedding
"""Modules whose matrix hidden states are multiplied by; an embedding's is, as the head."""

_QUANTIZED = (QuantizedLinear, QuantizedEmbedding)

SMALL = 2**23
"""Numbers up to which matrices of one input are laid together where no kernel does so anyway."""

_GIVEN_BACK = 2**20  # bytes of freed matrices for which it is worth a call


class PreparedLinear(nn.Module):
    """Projections of one input, one below the other.

    Nothing is computed before the first call, so that what is never called costs nothing.

    Args:
        projections: All float, or all in one quantized form.
        once: See `choose`.
        precise: See `choose`.
    """

    def __init__(self, projections: Sequence[Projection], once: bool = False, precise: bool = False) -> None:
        super().__init__()
        self._projections = tuple(projections)  # in a tuple, so that they are no parts of this one
        self.once, self.precise = once, precise
        biases = [getattr(projection, "bias", None) for projection in projections]
        self._bias: Tensor | None = None
        if biases[0] is not None:
            self._bias = torch.cat([bias.detach() for bias in biases if bias is not None])
        self._kernels: list[list[Kernel]] | None = None
        self._lock = threading.Lock()
        self._rotated = False
        self._originals: Pages | None = None

    def forward(self, hidden: Float[Tensor, "... K"]) -> Float[Tensor, "... N"]:
        """All projections, one after another in the last axis."""
        kernels = self._kernels or self._make(hidden.dtype)
        flat = hidden.dim() == 2
        rows = hidden if flat else hidden.reshape(-1, hidden.shape[-1])
        if self._rotated:
            rows = rotate(rows)
        found = kernels[self._at(rows.shape[0])]
        made = found[0](rows) if len(found) == 1 else torch.cat([kernel(rows) for kernel in found], dim=1)
        if self._originals is not None and not found[0].packs and rows.shape[0] > FEW:  # a prompt read the original
            self._originals.let_go(written=False)
        if self._bias is not None:
            made = made + self._bias
        return made if flat else made.view(*hidden.shape[:-1], made.shape[-1])

    __call__ = forward  # it carries no hooks, and a token passes a hundred of these

    def copied(self, dtype: torch.dtype, mapped: bool) -> int:
        """Return the bytes of a packed copy that lies beside the matrices as they are stored; nothing is packed.

        Args:
            dtype: Of the rows.
            mapped: Whether they lie in a file, whose pages are let go where the copy serves for all.
        """
        matrices = [_matrix(projection) for projection in self._projections]
        form = _form(matrices[0])
        if not any(kernel.packs and kernel.available() for kernel in KERNELS[form]):
            return 0
        choice = choose(form, dtype, self.once, self.precise, is_large(sum(map(_size, matrices))))
        if not any(kernel.packs for kernel in choice.kernels) or (mapped and choice.kernels[0].packs):
            return 0
        return sum(matrix.nbytes for matrix in matrices)

    def _make(self, dtype: torch.dtype) -> list[list[Kernel]]:
        """The kernels for each range of rows: one for all projections, or one for each."""
        with self._lock:
            if self._kernels is None:
                self._kernels = self._pack(dtype)
            return self._kernels

    def _pack(self, dtype: torch.dtype) -> list[list[Kernel]]:
        matrices = [_matrix(projection) for projection in self._projections]
        first, numbers = matrices[0], sum(map(_size, matrices))
        if first.device.type != "cpu":
            apart = [_lay_together(self._projections)] if numbers <= SMALL else matrices
            if first.device.type == "cuda" and not isinstance(first, Tensor):
                return self._pack_on_gpu(apart, dtype)
            plain: type[Kernel] = Plain if isinstance(first, Tensor) else Dequantized
            self._at = _always_first
            return [[plain(matrix) for matrix in apart]]
        form = _form(first)
        self._rotated = isinstance(first, Int8Weight)
        choice = choose(form, dtype, self.once, self.precise, is_large(numbers))
        self._at = choice.at
        packs = any(kernel.packs for kernel in choice.kernels)
        # To lay large ones together gains nothing; nor does it where a packed copy serves for a token.
        together = numbers <= SMALL and not choice.kernels[0].packs
        apart = [_lay_together(self._projections)] if together else matrices
        made: dict[type[Kernel], list[Kernel]] = {}
        for kernel in choice.kernels:
            if kernel not in made:
                made[kernel] = [kernel(matrix) for matrix in ([_concatenate(matrices)] if kernel.packs else apart)]
        if packs:
            pages = Pages(_tensors(matrices))
            pages.let_go(written=isinstance(first, Tensor))
            self._originals = None if isinstance(first, Tensor) else pages
            if is_large(numbers):
                give_back_freed_memory()
        return [made[kernel] for kernel in choice.kernels]

    def _pack_on_gpu(self, apart: Sequence[Matrix], dtype: torch.dtype) -> list[list[Kernel]]:
        """The kernels of quantized matrices for each range of rows."""
        quantized = [matrix for matrix in apart if not isinstance(matrix, Tensor)]
        self._rotated, self._at = isinstance(quantized[0], Int8Weight), GpuChoice.at
        made: list[list[Kernel]] = []
        for matrix in quantized:
            kernels = choose_on_gpu(matrix, dtype, self.precise).kernels
            once = {kernel: kernel(matrix) for kernel in dict.fromkeys(kernels)}
            made.append([once[kernel] for kernel in kernels])
        return [list(kernels) for kernels in zip(*made, strict=True)]


def _always_first(rows: int) -> int:
    return 0


def _matrix(projection: Projection) -> Matrix:
    if isinstance(projection, _QUANTIZED):
        return projection.quantized
    return projection.weight.detach()


@torch.inference_mode(False)  # parameters are no inference tensors
def _lay_together(projections: Sequence[Projection]) -> Matrix:
    """The matrices as one. What they consisted of becomes views of their part of it, so that nothing is there twice."""
    matrices = [_matrix(projection) for projection in projections]
    joined = _concatenate(matrices)
    owned = [_owned(projection) for projection in projections]
    if len(owned) < 2 or any(tensor.is_inference() for tensors in owned for tensor in tensors):
        return joined
    pages, rows = Pages(_tensors(matrices)), [matrix.shape[0] for matrix in matrices]
    for whole, tensors in zip(_tensors([joined]), zip(*owned, strict=True), strict=True):
        for tensor, part in zip(tensors, torch.split(whole, rows), strict=True):
            tensor.data = part
    pages.let_go(written=True)
    if sum(one.nbytes for one in _tensors([joined])) >= _GIVEN_BACK:
        del matrices, pages  # the last to hold what the weights were
        give_back_freed_memory()
    return joined


def _owned(projection: Projection) -> tuple[Tensor, ...]:
    """The tensors that a projection's matrix consists of, as the module itself holds them."""
    return projection.quantized.tensors if isinstance(projection, _QUANTIZED) else (projection.weight,)


def _tensors(matrices: Sequence[Matrix]) -> list[Tensor]:
    """What the matrices consist of."""
    return [part for one in matrices for part in ([one] if isinstance(one, Tensor) else one.tensors)]


def _form(matrix: Matrix) -> str:
    """A key of `KERNELS`."""
    return dtype_name(matrix.dtype) if isinstance(matrix, Tensor) else matrix.form


def _size(matrix: Matrix) -> int:
    rows, columns = matrix.shape
    return rows * columns


def _concatenate(matrices: Sequence[Matrix]) -> Matrix:
    if len(matrices) == 1:
        return matrices[0]
    floats = [matrix for matrix in matrices if isinstance(matrix, Tensor)]
    quantized = [matrix for matrix in matrices if not isinstance(matrix, Tensor)]
    return torch.cat(floats) if floats else concatenate(quantized)
