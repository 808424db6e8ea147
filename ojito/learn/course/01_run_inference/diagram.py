"""Where PaliGemma's memory lies: counted by the library, without a weight. Run it: python diagram.py"""

import torch

from ojito import presets
from ojito.memory import cache_bytes, parameters, weight_bytes
from ojito.model import VLM

with torch.device("meta"):  # shapes without numbers
    model = VLM(presets.preset("paligemma-3b-224").model)
decoder = model.decoder
rows = {
    "vision tower": model.vision,
    "connector": model.connector,
    "embedding table, and head": decoder.embedding,
    "decoder's layers": decoder.blocks,
}
print("PaliGemma-3B                  numbers   bfloat16")
for name, module in rows.items():
    size = weight_bytes(module, torch.bfloat16) / 2**20
    print(f"{name:<26}{parameters(module) / 1e6:>8.0f} M {size:>6.0f} MiB  {'#' * round(size / 100)}")
size = cache_bytes(decoder.config, 264 + 20, torch.bfloat16) / 2**20
print(f"{'cache of 284 tokens':<26}{size * 2**19 / 1e6:>8.0f} M {size:>6.0f} MiB  {'#' * round(size / 100)}")
