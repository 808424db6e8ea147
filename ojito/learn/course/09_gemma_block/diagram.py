"""The library's block of PaliGemma's decoder: what each module returns, and its numbers. Run it: python diagram.py"""

import torch

from ojito import presets
from ojito.memory import parameters
from ojito.model.decoder import Block

with torch.device("meta"):  # shapes without numbers
    config = presets.preset("paligemma-3b-224").model.decoder
    block = Block(config, 0)
    hidden = torch.zeros(1, 264, config.width)
    mask = torch.zeros(1, 1, 264, 264)
    rope = torch.zeros(2, 1, 1, 264, config.head_dim)


def tell(name):
    def hook(module, inputs, output):
        shapes = f"{tuple(inputs[0].shape)!s:<16} -> {tuple(output.shape)!s:<16}"
        print(f"{name:<15} {shapes} {parameters(module):>11,}")

    return hook


for name, module in block.named_modules():
    if not list(module.children()) and parameters(module):
        module.register_forward_hook(tell(name))
block(hidden, mask, (rope[0], rope[1]))
