"""Operations of matrix products and convolutions that a training step takes; a multiplication and an addition are two.

Counted from the modules themselves, so that frozen matrices and adapters count as what they are: shapes alone run
through a model once, one image and one token. What is computed twice to save memory does not count, nor does padding:
the rate of these operations, as a share of the device's peak, is the "model FLOPs utilization" (MFU).

Source: Chowdhery et al. 2022 (PaLM), arXiv 2204.02311, appendix B.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ojito.config import NoVisionConfig
from ojito.model import VLM, AttentionMetadata
from ojito.model.attention import Attention


@dataclass(frozen=True)
class Operations:
    """Operations of a step, by part.

    Attributes:
        vision: Of the vision tower.
        connector: Of the connector.
        decoder: Of the decoder's layers.
        head: Of the head, at labelled tokens.
    """

    vision: float
    connector: float
    decoder: float
    head: float

    @property
    def total(self) -> float:
        """Of all parts."""
        return self.vision + self.connector + self.decoder + self.head

    @property
    def language(self) -> float:
        """Of the decoder and its head: all that is counted where images are forgotten."""
        return self.decoder + self.head


@dataclass
class _Counted:
    """Operations for one image or one token, forward and backward.

    Attributes:
        matrices: Of linear layers and convolutions.
        pairs: Of attention.
        runs_back: Whether what comes out has a gradient.
    """

    matrices: float = 0.0
    pairs: float = 0.0
    runs_back: bool = False


class StepOperations:
    """Operations of a model's training steps.

    Args:
        model: With its parts frozen, or not, as in training.
    """

    def __init__(self, model: VLM) -> None:
        vision, self._vision, self._connector = model.config.vision, _Counted(), _Counted()
        if not isinstance(vision, NoVisionConfig):
            self._vision = _count(model.vision, False, _shaped(1, 3, vision.image_size, vision.image_size))
            patches = _shaped(1, vision.grid**2, vision.width)
            self._connector = _count(model.connector, self._vision.runs_back, patches)
            self._encoded = _count(model.connector, False, patches)
        decoder = model.decoder
        numbers = torch.zeros(1, 1, dtype=torch.int64, device="meta")
        example = _shaped(1, 1, decoder.config.width), AttentionMetadata(numbers, numbers, numbers)
        learns = decoder.embedding.weight.requires_grad
        self._decoder = _count(decoder, self._connector.runs_back or learns, *example)
        head = decoder.head.weight
        self._head = 2.0 * head.numel() * (1 + self._decoder.runs_back + head.requires_grad)

    def of(self, images: int, lengths: Sequence[float], labels: int, encoded: bool = False) -> Operations:
        """Operations of a step.

        Args:
            images: Of all rows together.
            lengths: Tokens of each row, without padding, image tokens included.
            labels: Labelled tokens of all rows.
            encoded: Whether the vision tower's work was done before.
        """
        pairs = sum(length**2 for length in lengths)
        vision, connector = self._vision, self._encoded if encoded and images else self._connector
        return Operations(
            vision=0.0 if encoded else images * (vision.matrices + vision.pairs),
            connector=images * (connector.matrices + connector.pairs),
            decoder=sum(lengths) * self._decoder.matrices + pairs * self._decoder.pairs,
            head=labels * self._head,
        )


def _shaped(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta")


@torch.no_grad()
def _count(part: nn.Module, runs_back: bool, *example: Any) -> _Counted:
    """Count what a part does with an example.

    Args:
        part: In evaluation or in training.
        runs_back: Whether the example itself has a gradient.
        example: On `meta`.
    """
    counted = _Counted(runs_back=runs_back)
    learn = {module: [p for p in module.parameters(recurse=False) if p.requires_grad] for module in part.modules()}
    sizes = {module: _matrix_sizes(module) for module in learn}

    def count(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        back = counted.runs_back  # something before it learns
        if isinstance(module, Attention):
            context = args[0] if kwargs.get("context") is None else kwargs["context"]
            products = 4.0 * output.shape[1] * context.shape[1] * module.heads * module.head_dim
            counted.pairs += products * (1 + 2 * back)
        elif module in sizes:
            channels = output.shape[1] if isinstance(module, nn.Conv2d) else output.shape[-1]
            for size, learns in sizes[module]:
                counted.matrices += 2.0 * output.numel() / channels * size * (1 + back + learns)
        counted.runs_back |= bool(learn[module])

    hooks = [module.register_forward_hook(count, with_kwargs=True) for module in learn]
    try:
        tensors = [*part.named_parameters(), *part.named_buffers()]
        on_meta = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors}
        torch.func.functional_call(part, on_meta, example)
    finally:
        for hook in hooks:
            hook.remove()
    return counted


def _matrix_sizes(module: nn.Module) -> list[tuple[int, bool]]:
    """The numbers in each matrix of a layer, and whether it learns; an adapter's are further ones."""
    if not isinstance(module, (nn.Linear, nn.Conv2d)):
        return []
    named = module.named_parameters(recurse=False)
    return [(p.numel(), p.requires_grad) for name, p in named if name != "bias"]
