"""LoRA: layers whose weight stays as it is, with two small matrices beside it that learn.

    hidden ─┬─ weight ──────────────────── + ─ output        output = W h + bias + scale * B A h
            └─ dropout ─ lora_A ─ lora_B ──┘

The layer keeps its place and the names of its weight and bias, so that checkpoints, which know nothing of adapters, fit
a model with and without them. At first B is 0, and the model computes what it did before.

Source: Hu et al. 2021, arXiv 2106.09685; PEFT `tuners/lora/layer.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ojito.config import LoraConfig
from ojito.config.lora import is_target
from ojito.errors import ConfigError, nearest
from ojito.model.dropout import Dropout

if TYPE_CHECKING:  # shapes are checked by the tests only
    from jaxtyping import Float

    from ojito.model.vlm import VLM


class LoraLinear(nn.Linear):
    """A linear layer with an adapter.

    Args:
        linear: The layer whose place it takes; weight and bias are its own.
        a: A (rank, in), in float32; it is moved to the weight's device.
        b: B (out, rank).
        scale: Factor on the product of the two.
        dropout: Share of the input that training drops on the way into A.
    """

    def __init__(
        self,
        linear: nn.Linear,
        a: Float[Tensor, "rank in"],
        b: Float[Tensor, "out rank"],
        scale: float,
        dropout: float = 0.0,
    ) -> None:
        nn.Module.__init__(self)  # not nn.Linear's, which would draw a weight
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight = linear.weight
        self.register_parameter("bias", linear.bias)
        self.lora_A, self.lora_B = (nn.Parameter(matrix.to(linear.weight.device)) for matrix in (a, b))
        self.scale, self.dropout = scale, Dropout(dropout)
        self.train(linear.training)

    def forward(self, hidden: Float[Tensor, "... in"]) -> Float[Tensor, "... out"]:
        """The layer's output, with what the adapter adds."""
        dtype = hidden.dtype  # of a model in bfloat16, too, adapters are float32: their steps would be rounded away
        added = F.linear(F.linear(self.dropout(hidden), self.lora_A.to(dtype)), self.lora_B.to(dtype))
        return F.linear(hidden, self.weight, self.bias) + self.scale * added

    @torch.no_grad()
    def merged_weight(self) -> Float[Tensor, "out in"]:
        """The weight of the layer without an adapter that computes the same, a new tensor."""
        return (self.weight.float() + self.scale * (self.lora_B @ self.lora_A)).to(self.weight.dtype)

    def extra_repr(self) -> str:
        """The sizes, for printing."""
        return f"{super().extra_repr()}, rank={len(self.lora_A)}, scale={self.scale:g}"


@dataclass
class Adapters:
    """What a model with adapters knows of them.

    Attributes:
        config: The settings that they were made by.
        whole: Parts of the model that have learned in full beside them, so that they have to be saved, too.
    """

    config: LoraConfig
    whole: set[str] = field(default_factory=set)


def adapt(model: VLM, config: LoraConfig, parts: Collection[str], seed: int = 0) -> None:
    """Give layers of a model their adapters, in place; with rank 0, merge those that it has.

    A layer that has one keeps it. A is drawn as PEFT draws it, and B is 0. PyTorch's own random numbers are not used.

    Args:
        model: The model.
        config: Which layers, and how.
        parts: Of `config.parts`, those that do not stay entirely as they are.
        seed: Of A.

    Raises:
        ConfigError: An entry of `targets` is no layer of these parts; or the model has adapters of another rank or
            scale.
    """
    if not config.rank:
        merge(model)
        return
    if model.adapters is not None and (difference := model.adapters.config.difference(config)):
        problem = f"asks for {difference[1]}, and the model has adapters of {difference[0]}"
        raise ConfigError("train.lora", problem, "leave it, or merge them first (`Pipeline.merge`)")
    generator = torch.Generator().manual_seed(seed)
    for name, layer in target_layers(model, config, parts).items():
        # Drawn for layers that have an adapter, too: what a layer begins with depends on no other.
        a = torch.empty(config.rank, layer.in_features, device=_device_to_draw_on(layer))
        nn.init.kaiming_uniform_(a, a=math.sqrt(5), generator=generator)
        if not isinstance(layer, LoraLinear):
            b = torch.zeros(layer.out_features, config.rank)
            attach(model, name, a, b, config.scale(), config.dropout)
    if model.adapters is None:
        model.adapters = Adapters(config)


def attach(model: VLM, name: str, a: Tensor, b: Tensor, scale: float, dropout: float) -> None:
    """Put an adapter beside one layer of a model, see `LoraLinear`.

    Args:
        model: The model.
        name: The layer's, "decoder.blocks.0.attention.q".
        a: A.
        b: B.
        scale: Factor on their product.
        dropout: Of the input.

    Raises:
        ConfigError: There is no linear layer of that name.
    """
    layer = dict(model.named_modules()).get(name)
    if not isinstance(layer, nn.Linear):
        raise ConfigError(name, "is no linear layer of the model", "use an adapter that was made for it")
    _replace(model, name, LoraLinear(layer, a, b, scale, dropout))


def target_layers(model: VLM, config: LoraConfig, parts: Collection[str]) -> dict[str, nn.Linear]:
    """Return the linear layers that `config.targets` names in these parts, by their names in the model.

    Args:
        model: On `meta` will do.
        config: Which layers.
        parts: Of the model.

    Raises:
        ConfigError: An entry of `targets` is no layer of these parts.
    """
    layers = {
        f"{part}.{name}".rstrip("."): layer
        for part in model.parts
        if part in parts
        for name, layer in model.parts[part].named_modules()
        if isinstance(layer, nn.Linear)
    }
    for target in config.targets:
        if not any(is_target(target, name) for name in layers):
            kinds = dict.fromkeys(_kind(name) for name in layers)
            problem = f"{target!r} is no linear layer of {', '.join(parts)}"
            remedy = nearest(target, kinds, f"choose from all-linear, attention, mlp, {', '.join(kinds)}")
            raise ConfigError("train.lora.targets", problem, remedy)
    return {name: layer for name, layer in layers.items() if any(is_target(one, name) for one in config.targets)}


def adapted_layers(model: nn.Module) -> Iterator[tuple[str, LoraLinear]]:
    """Yield the layers that have adapters, with their names."""
    for name, module in model.named_modules():
        if isinstance(module, LoraLinear):
            yield name, module


def adapter_parameters(module: nn.Module) -> list[nn.Parameter]:
    """Return all A and B of a model, or of a part of it."""
    return [matrix for _, layer in adapted_layers(module) for matrix in (layer.lora_A, layer.lora_B)]


def with_adapters_of(model: VLM, made: VLM) -> VLM:
    """Give a model of the same config adapters of the same form, and return it; their numbers are still to be loaded.

    Args:
        model: The model that has them.
        made: The other one.
    """
    for name, layer in adapted_layers(model):
        rank = len(layer.lora_A)
        a, b = torch.zeros(rank, layer.in_features), torch.zeros(layer.out_features, rank)
        attach(made, name, a, b, layer.scale, layer.dropout.share)
    made.adapters = model.adapters
    return made


def is_adapter(name: str) -> bool:
    """Tell whether a tensor of a state dict is an adapter's, by its name."""
    return name.endswith((".lora_A", ".lora_B"))


@torch.no_grad()
def merge(model: VLM) -> None:
    """Put every adapter into its layer's weight, in place: plain layers are left, which compute the same.

    There is no way back: a weight less what was added to it is not, to the last bit, the weight before.
    """
    for name, layer in [*adapted_layers(model)]:
        plain = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        layer.weight.copy_(layer.merged_weight())
        plain.weight, plain.bias = layer.weight, layer.bias
        _replace(model, name, plain.train(layer.training))
    model.adapters = None


def merged_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the state dict that the model would have if its adapters were merged; it keeps them."""
    layers = dict(adapted_layers(model))
    merged = {f"{name}.weight": layer.merged_weight() for name, layer in layers.items()}
    inside = {f"{name}.{matrix}" for name in layers for matrix in ("lora_A", "lora_B")}
    return {name: merged.get(name, tensor) for name, tensor in model.state_dict().items() if name not in inside}


def _replace(model: nn.Module, name: str, made: nn.Module) -> None:
    owner, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(owner), attribute, made)


def _device_to_draw_on(layer: nn.Linear) -> str:
    return "meta" if layer.weight.is_meta else "cpu"  # the same numbers, wherever the model is


def _kind(name: str) -> str:
    """The end of a layer's name that is the same in every block: "attention.q"; of others, the whole name."""
    return re.split(r"\.\d+\.", name)[-1]
