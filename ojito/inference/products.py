"""Whether a kernel computes what it should: the product of rows and its matrix.

Operators that are not part of PyTorch's documented face have been wrong before, for some shapes and on some processors.
So kernels are tried before they are chosen, on a CPU (`choice.py`) as on a GPU (`gpu_choice.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from ojito.inference.kernels import Kernel, Matrix
from ojito.inference.weights import Int8Weight, rotate

if TYPE_CHECKING:  # shapes are checked by the tests only
    from jaxtyping import Float

TOLERANCE = 0.03
"""How far off a product may be, as a share of its length: rounding rows to 7 bits takes 0.01."""

_ENDS = 256  # rows of the matrix, at either end, that products are compared by


def is_product(kernel: Kernel, matrix: Matrix, rows: Float[Tensor, "M K"]) -> bool:
    """Return whether a kernel's product of rows and a matrix (N, K) is right at both ends of the matrix.

    Args:
        kernel: Made of the matrix.
        matrix: In any form.
        rows: As they are, not rotated.
    """
    product = kernel(turned(rows, matrix))
    if product.shape != (len(rows), matrix.shape[0]) or product.dtype != rows.dtype:
        return False
    for end in (slice(_ENDS), slice(-_ENDS, None)):
        part = matrix[end]
        weight = part.float() if isinstance(part, Tensor) else part.dequantize()
        expected = rows.float() @ weight.t()
        error = (product[:, end].float() - expected).norm() / expected.norm().clamp(min=1e-30)
        if not bool(error < TOLERANCE):  # NaN, too
            return False
    return True


def turned(rows: Float[Tensor, "M K"], matrix: Matrix) -> Float[Tensor, "M K"]:
    """Return rows as the kernels for a matrix take them: rotated, where it is."""
    return rotate(rows) if isinstance(matrix, Int8Weight) else rows
