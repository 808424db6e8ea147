"""The two forms of attention beside each other: what `ojito.model.attention.prefers_eager` decides by.

python -m benchmarks.attention [--device cuda]
"""

from __future__ import annotations

import argparse

import torch

from benchmarks.measure import in_turns, write
from ojito.model.attention import attend_eager, attend_sdpa

LENGTHS = (16, 36, 64, 128, 196, 256, 512)
BATCH, HEADS, HEAD_DIM = 16, 4, 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    device = torch.device(args.device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    rows = []
    for training in (True, False):
        for length in LENGTHS:
            torch.manual_seed(0)
            q, k, v = (
                torch.randn(BATCH, HEADS, length, HEAD_DIM, device=device, dtype=dtype, requires_grad=training)
                for _ in range(3)
            )
            mask = torch.zeros(BATCH, 1, length, length, device=device, dtype=dtype)

            def run(form, q=q, k=k, v=v, mask=mask, training=training):
                with torch.set_grad_enabled(training):
                    out = form(q, k, v, mask, HEAD_DIM**-0.5)
                if training:
                    out.sum().backward()

            forms = {"written": lambda run=run: run(attend_eager), "sdpa": lambda run=run: run(attend_sdpa)}
            times = in_turns(forms, args.rounds, device)
            rows.append({"training": training, "length": length, **times})
            print(
                f"{'training' if training else 'reading ':8}  {length:4} places   written {times['written']:8.2f} ms   "
                f"sdpa {times['sdpa']:8.2f} ms   sdpa / written {times['sdpa'] / times['written']:.2f}"
            )
    print(write("attention", device, {"dtype": str(dtype), "milliseconds": rows}))


if __name__ == "__main__":
    main()
