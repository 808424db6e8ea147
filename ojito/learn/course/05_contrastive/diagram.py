"""What each pair of a batch adds to SigLIP's loss, at its first step and later. Run it: python diagram.py"""

import torch
import torch.nn.functional as F

B = 6
torch.manual_seed(0)
images = torch.randn(B, 64)
for name, likeness, scale, bias in (
    ("at the first step: texts like any image, scale 10, bias -10", 0.0, 10.0, -10.0),
    ("later: texts somewhat like their images, scale 40, bias -10", 0.6, 40.0, -10.0),
):
    texts = likeness * images + torch.randn(B, 64)
    cosines = F.normalize(images, dim=-1) @ F.normalize(texts, dim=-1).T
    signs = 2 * torch.eye(B) - 1
    losses = -F.logsigmoid(signs * (scale * cosines + bias))
    print(f"{name}: {losses.sum() / B:.2f}")
    for row in losses:
        print("".join(f"{loss:7.2f}" for loss in row))
