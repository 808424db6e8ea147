"""Which pixels a patch is made of: one pixel is lit, and the library's tower says what changes. Run it: python diagram.py"""

import torch

from ojito.config import ViTConfig
from ojito.model.vit import ViT

SIDE, PATCH = 6, 2

torch.manual_seed(0)
tower = ViT(ViTConfig(image_size=SIDE, patch_size=PATCH, width=8, layers=0, heads=1, mlp_dim=8)).eval()
lit = torch.zeros(SIDE * SIDE, 3, SIDE, SIDE)
for pixel in range(SIDE * SIDE):
    lit[pixel, 0, pixel // SIDE, pixel % SIDE] = 1.0
with torch.no_grad():
    changed = (tower(lit) - tower(torch.zeros(1, 3, SIDE, SIDE))).abs().sum(-1)  # (pixels, P)
print(f"an image of {SIDE} x {SIDE} pixels, patches of {PATCH} x {PATCH}: the patch that each pixel is in")
for row in changed.argmax(1).view(SIDE, SIDE).tolist():
    print(" ".join(str(patch) for patch in row))
print(f"patches that a pixel changes: {(changed > 0).sum(1).unique().tolist()}, hidden {tuple(changed.shape[1:])} x 8")
