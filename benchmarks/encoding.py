"""What folding does for a frozen vision tower: EfficientNet-Lite2 as it is trained, folded, and folded for oneDNN.

python -m benchmarks.encoding [--size 160] [--device cuda]
"""

from __future__ import annotations

import argparse
import copy
import dataclasses

import torch

from benchmarks.measure import in_turns, write
from ojito.checkpoint.packaged import PACKAGED
from ojito.model import convolution
from ojito.model.convolution import fold_norms
from ojito.model.efficientnet import EfficientNet

IMAGES = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    device = torch.device(args.device)
    torch.manual_seed(0)
    config = dataclasses.replace(PACKAGED["efficientnet-lite2"].config, image_size=args.size)
    trained = EfficientNet(config).eval().to(device)
    folded = copy.deepcopy(trained)
    fold_norms(folded)
    images = torch.randn(IMAGES, 3, args.size, args.size, device=device)
    last = images.contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def run(tower: torch.nn.Module, images: torch.Tensor, onednn: bool) -> None:
        convolution.ONEDNN = onednn
        tower(images)

    has = convolution.ONEDNN
    times = in_turns(
        {
            "trained": lambda: run(trained, images, has),
            "trained, channels last": lambda: run(trained, last, has),
            "folded": lambda: run(folded, last, False),
            "folded for oneDNN": lambda: run(folded, last, has),
        },
        args.rounds,
        device,
    )
    rates = {name: round(1000 * IMAGES / time, 1) for name, time in times.items()}
    for name, rate in rates.items():
        print(f"{name:24} {rate:7.1f} images/s   {rate / rates['trained']:.2f}")
    print(write("encoding", device, {"size": args.size, "images": IMAGES, "images_per_second": rates}))


if __name__ == "__main__":
    main()
