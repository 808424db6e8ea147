"""All initialization, in one place. Loading a checkpoint replaces every value that is drawn here."""

from __future__ import annotations

import torch
from torch import nn

from ojito.model.decoder import Decoder
from ojito.model.resnet import Bottleneck
from ojito.model.vit import ViT


@torch.no_grad()
def initialize(model: nn.Module) -> None:
    """Draw every parameter of a model anew, from PyTorch's current random state. On `meta` there is none to draw."""
    if any(parameter.is_meta for parameter in model.parameters()):
        return  # to go through all the same would take as long as to build the model
    for module in model.modules():
        if isinstance(module, nn.Linear):
            # GPT-2's 0.02, made right for any width: sqrt(1 / (3 * 768)) = 0.0208.
            nn.init.normal_(module.weight, std=(3 * module.in_features) ** -0.5)
        elif isinstance(module, nn.Conv2d) and module.kernel_size != module.stride and module.bias is None:
            # Before a batch norm and ReLU (He et al. 2015, arXiv 1502.01852): gradients keep their size going down.
            # A depthwise convolution's channel goes to one other, not to all.
            fan_out = module.weight[:, 0].numel() // module.groups
            nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)
        elif isinstance(module, nn.Conv2d):
            # A patch stem, or the last step of a convolutional one, is a linear map of its window.
            nn.init.normal_(module.weight, std=(3 * module.weight[0].numel()) ** -0.5)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=(3 * module.embedding_dim) ** -0.5)
        elif isinstance(module, (nn.LayerNorm, nn.BatchNorm2d)):
            nn.init.ones_(module.weight)
        bias = getattr(module, "bias", None)
        if isinstance(bias, nn.Parameter):
            nn.init.zeros_(bias)

    for module in model.modules():
        if isinstance(module, Decoder) and module.config.scale_embeddings:
            # Multiplied by sqrt(width), a token enters with variance 1.
            nn.init.normal_(module.embedding.weight, std=module.config.width**-0.5)
        elif isinstance(module, ViT):
            # Nearly as large as fixed sines and cosines (0.7), and as the stem's output: at 0.02, positions are the
            # last thing that a model learns.
            nn.init.normal_(module.positions.weight, std=0.5)
        elif isinstance(module, Bottleneck):
            # Every block starts as the identity, which lets deep networks train from scratch (arXiv 1706.02677).
            nn.init.zeros_(module.widen.norm.weight)  # type: ignore[arg-type]
        elif isinstance(module, nn.ModuleList):
            # Each block adds twice to its stream: the sum of all additions keeps the variance of one (GPT-2).
            for name, last in module.named_modules():
                if isinstance(last, nn.Linear) and name.endswith((".attention.out", ".mlp.down")):
                    last.weight.mul_((2 * len(module)) ** -0.5)
