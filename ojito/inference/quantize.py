"""Modules that hold quantized weights in a model's tree, in place of projections and the embedding table.

They compute what `nn.Linear` and `nn.Embedding` would with the weights that the numbers stand for, dequantized at every
call: right everywhere, and slow. `prepare` makes the fast model of them.

Quantized is every matrix that hidden states are multiplied by, in the vision tower, the connector and the decoder.
Norms, biases, convolutions and tables of positions stay: they are a hundredth of a model. The table of tokens, which
most models use as their head, is int8 in either form: its rows decide between words that are nearly as likely, and in
int4 it alone raised the perplexity of two small models by 6% (`benchmarks/quantization.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ojito.errors import OjitoError, nearest
from ojito.inference.weights import GROUP, WEIGHTS, Int4Weight, Int8Weight, QuantizedWeight
from ojito.model import VLM

if TYPE_CHECKING:  # shapes are checked by the tests only
    from jaxtyping import Float, Int

FORMS = ("none", *WEIGHTS)
"""The names that `quantize` settings take."""

TABLE_FORM = "int8"
"""The form of the table of tokens and of the head, whatever that of the rest."""


class _Quantized(nn.Module):
    """Buffers of one matrix, in the order and under the names of its form."""

    values: Tensor
    scale: Tensor
    minimum: Tensor | None

    def __init__(self, rows: int, columns: int, form: str) -> None:
        super().__init__()
        self.form, self._columns = form, columns
        if form == "int8":
            self.register_buffer("values", torch.empty(rows, columns, dtype=torch.int8))
            self.register_buffer("scale", torch.empty(rows, dtype=torch.float32))
            self.minimum = None
            return
        groups = -(-columns // GROUP)
        self.register_buffer("values", torch.empty(rows, groups * GROUP // 2, dtype=torch.uint8))
        self.register_buffer("scale", torch.empty(rows, groups, dtype=torch.float16))
        self.register_buffer("minimum", torch.empty(rows, groups, dtype=torch.float16))

    @property
    def quantized(self) -> QuantizedWeight:
        """The matrix in its form."""
        if self.minimum is None:
            return Int8Weight(self.values, self.scale)
        return Int4Weight(self.values, self.scale, self.minimum, self._columns)

    @property
    def weight(self) -> Tensor:
        """The matrix that the numbers stand for, in float32, made anew."""
        return self.quantized.dequantize()


class QuantizedLinear(_Quantized):
    """A linear projection with a quantized matrix; its bias is not quantized.

    Args:
        in_features: K.
        out_features: N.
        bias: Whether it has one.
        form: "int8" or "int4".
    """

    def __init__(self, in_features: int, out_features: int, bias: bool, form: str) -> None:
        super().__init__(out_features, in_features, form)
        self.in_features, self.out_features = in_features, out_features
        self.bias = nn.Parameter(torch.empty(out_features)) if bias else None

    def forward(self, hidden: Float[Tensor, "... K"]) -> Float[Tensor, "... N"]:
        """The projection."""
        return F.linear(hidden, self.quantized.dequantize(hidden.dtype), self.bias)


class QuantizedEmbedding(_Quantized):
    """A table of embeddings with a scale a row.

    Args:
        num_embeddings: Rows.
        embedding_dim: Columns.
        dtype: Of the embeddings that it returns.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, dtype: torch.dtype) -> None:
        super().__init__(num_embeddings, embedding_dim, TABLE_FORM)
        self.num_embeddings, self.embedding_dim, self.dtype = num_embeddings, embedding_dim, dtype

    @property
    def weight(self) -> Tensor:
        """The table that the numbers stand for, in the embeddings' dtype, so that a tied head can multiply by it."""
        return self.quantized.dequantize(self.dtype)

    def forward(self, ids: Int[Tensor, ...]) -> Float[Tensor, "... D"]:
        """Embeddings of ids."""
        rows = self.quantized[ids.flatten()]
        return rows.dequantize(self.dtype).view(*ids.shape, self.embedding_dim)


def check_form(form: str) -> str:
    """Return the form, if there is one of that name.

    Raises:
        OjitoError: There is none.
    """
    if form not in FORMS:
        raise OjitoError("quantize", f"{form!r} is not one of {', '.join(FORMS)}", nearest(form, FORMS, "use int8"))
    return form


def quantized_form(model: nn.Module) -> str:
    """Return the form in which a model's layers are quantized; "none" if they are not."""
    forms = {module.form for module in model.modules() if isinstance(module, QuantizedLinear)}
    return "int4" if "int4" in forms else "int8" if forms else "none"


def form_of(name: str, module: nn.Module, form: str) -> str:
    """Return the form that a module of a model gets, by its name in the model; "" for one that stays as it is."""
    if name in ("decoder.embedding", "decoder.untied_head"):
        return TABLE_FORM
    return form if isinstance(module, nn.Linear) else ""


def quantize_shape(model: VLM, form: str, dtype: torch.dtype) -> VLM:
    """Put quantized modules without numbers in place of a model's projections and table of tokens; return the model.

    Args:
        model: On the device "meta".
        form: "int8" or "int4".
        dtype: Of the embeddings.
    """
    for name, module in [*model.named_modules()]:
        if form_of(name, module, form):
            with torch.device("meta"):
                _replace(model, name, _empty(module, form_of(name, module, form), dtype))
    return model


def quantized_names(model: nn.Module) -> set[str]:
    """Return the names of the tensors that hold quantized matrices, whose dtypes are those of their form."""
    holders = {name: module for name, module in model.named_modules() if isinstance(module, _Quantized)}
    return {f"{name}.{buffer}" for name, module in holders.items() for buffer, _ in module.named_buffers()}


def set_dtype(model: nn.Module, dtype: torch.dtype) -> None:
    """Set the dtype of the embeddings that a quantized table returns."""
    for module in model.modules():
        if isinstance(module, QuantizedEmbedding):
            module.dtype = dtype


def tensor_form(model: VLM, name: str, form: str) -> str:
    """Return the form that a tensor of a state dict gets, by its name; "" for one that stays as it is.

    Args:
        model: What the state dict is of, before `quantize_shape`; on "meta" will do.
        name: The tensor's name.
        form: "int8" or "int4".
    """
    owner, _, kind = name.rpartition(".")
    return form_of(owner, model.get_submodule(owner), form) if kind == "weight" else ""


def tensors_of(name: str, weight: QuantizedWeight) -> dict[str, Tensor]:
    """Return what takes the place of a tensor in the state dict of a quantized model.

    Args:
        name: The tensor's name.
        weight: What was made of it.
    """
    owner = name.removesuffix("weight")
    found = {f"{owner}values": weight.values, f"{owner}scale": weight.scale}
    return found | {f"{owner}minimum": weight.minimum} if isinstance(weight, Int4Weight) else found


def quantize(model: VLM, form: str) -> VLM:
    """Quantize a model's weights in place, one by one, and return it.

    Args:
        model: In float32, bfloat16 or float16. What it loses is gone.
        form: "int8" or "int4"; "none" does nothing.

    Raises:
        OjitoError: No such form, or the model is quantized already, or has adapters, which would be lost.
    """
    if check_form(form) == "none":
        return model
    there = quantized_form(model)
    if there != "none":
        raise OjitoError("quantize", f"the model is in {there} already", "load the one that it was made from")
    if model.adapters is not None:
        raise OjitoError("quantize", "the model has adapters of LoRA", "merge them first (`model.lora.merge`)")
    dtype = model.dtype
    for name, module in [*model.named_modules()]:
        if form_of(name, module, form) and isinstance(module, (nn.Linear, nn.Embedding)):
            its_form = form_of(name, module, form)
            state = tensors_of("weight", WEIGHTS[its_form].quantize(module.weight.detach()))
            with torch.device("meta"):
                made = _empty(module, its_form, dtype)
            if isinstance(module, nn.Linear) and module.bias is not None:
                state["bias"] = module.bias.detach()
            made.load_state_dict(state, assign=True)
            _replace(model, name, made.eval())
    return model


def _empty(module: nn.Module, form: str, dtype: torch.dtype) -> QuantizedLinear | QuantizedEmbedding:
    """The quantized module for one that is not, without numbers."""
    if isinstance(module, nn.Embedding):
        return QuantizedEmbedding(module.num_embeddings, module.embedding_dim, dtype)
    assert isinstance(module, nn.Linear)  # noqa: S101 - `form_of` names no other
    return QuantizedLinear(module.in_features, module.out_features, module.bias is not None, form)


def _replace(model: nn.Module, name: str, made: nn.Module) -> None:
    owner, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(owner), attribute, made)
