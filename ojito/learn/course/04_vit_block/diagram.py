"""The library's block of SigLIP-So400m: what each module takes and returns, and its numbers. Run it: python diagram.py"""

import torch

from ojito import presets
from ojito.memory import parameters
from ojito.model.vit import EncoderBlock

with torch.device("meta"):  # shapes without numbers
    block = EncoderBlock(presets.preset("paligemma-3b-224").model.vision)
    hidden = torch.zeros(1, 256, 1152)
total = parameters(block)


def tell(name):
    def hook(module, inputs, output):
        shapes = f"{tuple(inputs[0].shape)!s:<15} -> {tuple(output.shape)!s:<15}"
        print(f"{name:<15} {shapes} {parameters(module):>10,} {parameters(module) / total:>7.2%}")

    return hook


for name, module in block.named_modules():
    if name in ("attention_norm", "attention", "mlp_norm", "mlp.up", "mlp.down"):
        module.register_forward_hook(tell(name))
block(hidden)
