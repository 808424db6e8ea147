"""Memory that training takes in full and by LoRA, foretold from a preset's shape alone.

    python -m benchmarks.training.lora_memory paligemma-3b-224 --rank 8

Weights, gradients and the optimizer's moments in float32; activations come on top.
"""

from __future__ import annotations

import argparse

import ojito
from ojito.config import LoraConfig, TrainConfig
from ojito.memory import adapter_numbers, training_bytes
from ojito.model.meta import on_meta

WAYS = {
    "in full": TrainConfig(),
    "in full, vision frozen": TrainConfig(freeze=("vision",)),
}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("preset", nargs="?", default="paligemma-3b-224")
    parser.add_argument("--rank", type=int, default=8)
    args = parser.parse_args()
    model = on_meta(ojito.preset(args.preset).model, args.preset)
    everywhere, decoder = LoraConfig(rank=args.rank), LoraConfig(rank=args.rank, parts=("decoder",))
    ways = {
        **WAYS,
        f"LoRA of rank {args.rank} in every linear layer": TrainConfig(lora=everywhere),
        "the same in the decoder, connector in full, vision frozen": TrainConfig(lora=decoder, freeze=("vision",)),
    }
    full = training_bytes(model, TrainConfig())
    print(f"{args.preset}\n{'GiB':>8}  {'of full':>7}  {'adapters':>10}")
    for name, train in ways.items():
        needed = training_bytes(model, train)
        print(f"{needed / 2**30:8.2f}  {needed / full:7.1%}  {adapter_numbers(model, train):10,}  {name}")


if __name__ == "__main__":
    main()
