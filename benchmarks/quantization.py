"""What quantized weights lose: perplexity, likeliest tokens and logits of a language model on a text.

    python -m benchmarks.quantization model.gguf TEXT...

The model is any that `ojito.load` reads; the texts are files. Compared with the model in its own numbers are: bfloat16;
int8 and int4 as they are stored, and as the kernels of this machine multiply by them; int4 with the table of tokens in
int4, too; and the layers alone in int8, rotated or not, with hidden states as they are or rounded to 7 or 8 bits.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ojito
from benchmarks.measure import write
from ojito.inference import prepare, quantize, weights
from ojito.model import VLM
from ojito.records import IGNORE, SHARED, Batch

LENGTH = 512  # tokens of a row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("texts", nargs="+", type=Path)
    parser.add_argument("--rows", type=int, default=8, help=f"rows of {LENGTH} tokens (default 8)")
    args = parser.parse_args()
    pipe = ojito.load(args.model, "cpu", "float32")
    text = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in args.texts)
    tokens = torch.tensor(pipe.processor.tokenizer.encode(text))
    rows = tokens[: len(tokens) // LENGTH * LENGTH].view(-1, LENGTH)[: args.rows]
    exact = logits_of(pipe.model, rows)
    results = {"exact": figures(exact, exact, rows)}
    for name, make in variants(pipe.model).items():
        results[name] = figures(logits_of(make(), rows), exact, rows)
        print(f"{name:<44}", *(f"{key} {value:<10.5g}" for key, value in results[name].items()), flush=True)
    write("quantization", torch.device("cpu"), {"model": pipe.name, "tokens": rows.numel(), "results": results})


def variants(model: VLM) -> dict[str, Callable[[], VLM]]:
    """The models to compare, each made when it is its turn."""

    def stored(form: str, table: str = "int8") -> VLM:
        with mock.patch("ojito.inference.quantize.TABLE_FORM", table):
            return quantize(copy.deepcopy(model), form)

    def rounded(steps: int, block: int) -> VLM:
        made = copy.deepcopy(model)
        for block_ in made.decoder.blocks:
            for part in [*block_.modules()]:
                for name, child in [*part.named_children()]:
                    if isinstance(child, nn.Linear):
                        setattr(part, name, Rounding(child, steps, block))
        return made

    return {
        "bfloat16": lambda: copy.deepcopy(model).to(torch.bfloat16),
        "int8": lambda: stored("int8"),
        "int8, by this machine's kernels": lambda: prepare(stored("int8")),
        "int4": lambda: stored("int4"),
        "int4, by this machine's kernels": lambda: prepare(stored("int4")),
        "int4, the table of tokens, too": lambda: stored("int4", "int4"),
        "int8, rows of 8 bits": lambda: rounded(127, weights.BLOCK),
        "int8, rows of 7 bits": lambda: rounded(63, weights.BLOCK),
        "int8, rows as they are": lambda: rounded(0, weights.BLOCK),
        "int8 without rotation, rows as they are": lambda: rounded(0, 1),
        "int8 without rotation, rows of 8 bits": lambda: rounded(127, 1),
    }


class Rounding(nn.Module):
    """A projection with weights in int8, and rows rounded to so many steps on either side of 0, or not at all."""

    def __init__(self, linear: nn.Linear, steps: int, block: int) -> None:
        super().__init__()
        self.steps, self.block, self.bias = steps, block, linear.bias
        with mock.patch.object(weights, "BLOCK", block):
            quantized = weights.Int8Weight.quantize(linear.weight.detach())
        self.weight = quantized.values.float() * quantized.scale[:, None]

    def forward(self, hidden: Tensor) -> Tensor:
        with mock.patch.object(weights, "BLOCK", self.block):
            rows = weights.rotate(hidden)
        if not self.steps:
            return F.linear(rows, self.weight, self.bias)
        top = rows.abs().amax(-1, keepdim=True)
        return F.linear((rows / top * self.steps).round() * top / self.steps, self.weight, self.bias)


@torch.inference_mode()
def logits_of(model: VLM, rows: Tensor) -> Tensor:
    """Logits of each row's tokens, (B, T, V)."""
    return torch.cat([model(_batch(row[None])) for row in rows])


def figures(logits: Tensor, exact: Tensor, rows: Tensor) -> dict[str, float]:
    """Perplexity, its change against the exact model, the share of same likeliest tokens, and the logits' cosine."""
    found, expected = (
        F.cross_entropy(one[:, :-1].flatten(0, 1), rows[:, 1:].flatten()).exp() for one in (logits, exact)
    )
    return {
        "perplexity": float(found),
        "change": float(found / expected - 1),
        "same_likeliest": float((logits.argmax(-1) == exact.argmax(-1)).float().mean()),
        "cosine": float(F.cosine_similarity(logits, exact, dim=-1).mean()),
    }


def _batch(tokens: Tensor) -> Batch:
    return Batch(
        tokens=tokens,
        positions=torch.arange(tokens.shape[1])[None],
        segments=torch.full_like(tokens, SHARED),
        prefix=torch.zeros_like(tokens, dtype=torch.bool),
        targets=torch.full_like(tokens, IGNORE),
    )


if __name__ == "__main__":
    main()
