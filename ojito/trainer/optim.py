"""Optimizers: which one updates which parameter, at which rate."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ojito.config import TrainConfig
from ojito.model import VLM
from ojito.model.lora import adapter_parameters
from ojito.trainer.muon import Muon

MEMORY: dict[type[Optimizer], set[str]] = {torch.optim.AdamW: {"step", "exp_avg", "exp_avg_sq"}, Muon: {"momentum"}}
"""What an optimizer remembers of each parameter."""


def optimizers(model: VLM, config: TrainConfig) -> list[Optimizer]:
    """Make AdamW for all that learns; with optimizer=muon, Muon for the hidden matrices and AdamW for the rest.

    Adapters of LoRA are AdamW's, at a rate of their own.

    Each part of the model has its own learning rate, and is split once more: the weights of linear layers and
    convolutions decay; norms, biases and learned tables (tokens, positions, queries, the class token) do not.

    Every group carries a "name" and its "peak_lr"; `set_rate` follows the schedule.
    """
    for_adamw: list[dict[str, Any]] = []
    for_muon: list[dict[str, Any]] = []
    for name, part in model.parts.items():
        own_lr = getattr(config, f"{name}_lr") or config.lr
        matrices, hidden, others = split(part)
        if config.optimizer == "muon":
            for_muon.append(
                # A part that is to learn slowly does so under Muon, too.
                {"name": f"{name} muon", "params": hidden, "peak_lr": config.muon_lr * own_lr / config.lr}
            )
        else:
            matrices = hidden + matrices
        for_adamw += [
            {"name": f"{name} decay", "params": matrices, "peak_lr": own_lr},
            {"name": f"{name} no decay", "params": others, "peak_lr": own_lr, "weight_decay": 0.0},
            {"name": f"{name} lora", "params": _learning(adapter_parameters(part)), "peak_lr": config.lora_lr},
        ]
    result: list[Optimizer] = []
    if groups := _filled(for_adamw):
        device = groups[0]["params"][0].device
        fused = device.type in ("cpu", "cuda", "mps")  # one pass over memory for all parameters
        result.append(torch.optim.AdamW(groups, config.lr, config.betas, weight_decay=config.weight_decay, fused=fused))
    if groups := _filled(for_muon):
        result.append(Muon(groups, config.muon_lr, weight_decay=config.weight_decay))
    return result


def split(part: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter], list[nn.Parameter]]:
    """Split the parameters of a part that learn, without adapters: the head's matrix, hidden matrices, and all others.

    Hidden matrices map hidden to hidden, or pixels to hidden: the weights of linear layers and convolutions. An untied
    head maps to words; its gradient has as many directions as there are words, and Muon does worse on it.
    """
    matrices: list[nn.Parameter] = []
    hidden: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    head = getattr(part, "untied_head", None)
    adapters = set(adapter_parameters(part))
    for module in part.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad or parameter in adapters:
                continue
            if name != "weight" or not isinstance(module, (nn.Linear, nn.Conv2d)):
                others.append(parameter)
            else:
                (matrices if module is head else hidden).append(parameter)
    return matrices, hidden, others


def set_rate(optimizers: list[Optimizer], factor: float) -> None:
    """Set every group's learning rate to `factor` times its peak."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor


def set_trainable(model: VLM, config: TrainConfig) -> None:
    """Put the parts that learn into training mode, and stop those that `config.freeze` names entirely.

    A frozen part's parameters get no gradients. It also runs in evaluation mode: otherwise its batch norms would keep
    moving their statistics, and dropout would disturb features that are meant to stay.

    Of parts that have adapters of LoRA, nothing else learns.
    """
    model.train()
    for name, part in model.parts.items():
        learns, adapted = name not in config.freeze, bool(config.lora.rank) and name in config.lora.parts
        part.train(learns)
        part.requires_grad_(learns and not adapted)
        if learns and adapted:
            for parameter in adapter_parameters(part):
                parameter.requires_grad_(True)
            for module in part.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        elif learns and model.adapters is not None and any(True for _ in part.parameters()):
            model.adapters.whole.add(name)


def _learning(parameters: list[nn.Parameter]) -> list[nn.Parameter]:
    return [parameter for parameter in parameters if parameter.requires_grad]


def _filled(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [group for group in groups if group["params"]]
