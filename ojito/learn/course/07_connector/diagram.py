"""Which patches the library's pixel shuffle lays into which token. Run it: python diagram.py"""

import torch

from ojito.model.connectors import PixelShuffle

GRID = 4
patches = torch.arange(GRID * GRID).float().view(1, GRID * GRID, 1)  # a patch is its own number
for factor in (2, 4):
    tokens = PixelShuffle(GRID, factor)(patches).long()
    print(f"factor {factor}: {tuple(patches.shape)} -> {tuple(tokens.shape)}")
    owners = torch.empty(GRID * GRID, dtype=torch.long)
    for number, inside in enumerate(tokens[0]):
        owners[inside] = number
    for line, inside in zip(owners.view(GRID, GRID).tolist(), [*tokens[0].tolist(), *[[]] * GRID], strict=False):
        number = tokens[0].tolist().index(inside) if inside else ""
        print(
            "  " + " ".join(f"{owner}" for owner in line) + (f"    token {number}: patches {inside}" if inside else "")
        )
