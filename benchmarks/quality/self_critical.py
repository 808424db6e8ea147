"""A captioner trained on by its own samples: those that agree with people more than its others become likelier.

    python -m benchmarks.quality.self_critical MODEL captions.jsonl --minutes 12 --out OUT

Each step draws captions of some images, scores each with CIDEr-D against what people wrote, and weighs the logarithm of
its probability by how far it lies above the mean of the image's other samples. Document frequencies are those of the
training captions.

Source: Rennie et al. 2017, *Self-critical Sequence Training for Image Captioning*, arXiv 1612.00563; the baseline of the
other samples: Luo 2020, *A Better Variant of Self-Critical Sequence Training*, arXiv 2003.09971.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import random
import time
from collections import Counter
from collections.abc import Sequence
from itertools import chain

import torch

import ojito
from ojito.data import open_data
from ojito.evaluate.metrics.cider import _similarity, _weigh
from ojito.evaluate.metrics.ngrams import runs
from ojito.evaluate.metrics.ptb import tokenize
from ojito.records import IGNORE, Sample, Turn


class Reward:
    """CIDEr-D of single captions, with the document frequencies of all training captions."""

    def __init__(self, groups: Sequence[Sequence[str]]) -> None:
        counted = [[runs(tokenize(text)) for text in group] for group in groups]
        images: Counter = Counter()
        for group in counted:
            images.update(set(chain.from_iterable(chain.from_iterable(group))))
        self.everywhere = math.log(len(groups))
        self.rarity = {run: self.everywhere - math.log(count) for run, count in images.items()}
        self.references = [[_weigh(one, self.rarity, self.everywhere) for one in group] for group in counted]

    def __call__(self, number: int, caption: str) -> float:
        """CIDEr-D of a caption of the image of that number."""
        ours = _weigh(runs(tokenize(caption)), self.rarity, self.everywhere)
        found = [_similarity(ours, theirs, True) for theirs in self.references[number]]
        return 10 * sum(found) / len(found)


def still(model: torch.nn.Module) -> None:
    """What is drawn and what is scored must be the same distribution: no dropout, and batch norm as it stands."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d) or type(module).__name__ == "Dropout":
            module.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--out", required=True)
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--images", type=int, default=16, help="of a step")
    parser.add_argument("--samples", type=int, default=5, help="captions of an image")
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    pipe = ojito.load(args.model, dtype="float32")
    rows = list(
        open_data(dataclasses.replace(pipe.config, data=dataclasses.replace(pipe.config.data, path=args.data))).samples(
            "train"
        )
    )
    reward = Reward([row.dialogue[0].answers for row in rows])
    model = pipe.model
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.0)
    model.train()
    began, step, kept = time.monotonic(), 0, []
    while (spent := time.monotonic() - began) < 60 * args.minutes:
        for group in optimizer.param_groups:
            group["lr"] = args.lr * min(1, (step + 1) / 50) * (1 - spent / (60 * args.minutes))
        numbers = rng.sample(range(len(rows)), args.images)
        images = [rows[number].images[0] for number in numbers]
        asked = [Sample(images=[image]) for image in images for _ in range(args.samples)]
        drawn = [
            str(a)
            for a in pipe.generate(
                asked, temperature=1.0, max_new_tokens=24, seed=args.seed + 100_003 * step, batch_size=len(asked)
            )
        ]
        still(model)
        scores = torch.tensor([reward(numbers[i // args.samples], text) for i, text in enumerate(drawn)])
        scores = scores.view(args.images, args.samples)
        others = (scores.sum(1, keepdim=True) - scores) / (args.samples - 1)
        advantage = scores - others
        taught = [
            Sample(
                images=[image],
                turns=tuple(Turn("", (text or " ",)) for text in drawn[i * args.samples : (i + 1) * args.samples]),
            )
            for i, image in enumerate(images)
        ]
        batch = pipe.processor(taught, training=True)
        labelled = batch.targets != IGNORE
        logits = model.head(model.features(batch)[labelled])
        likely = -torch.nn.functional.cross_entropy(logits, batch.targets[labelled], reduction="none")
        row_of = torch.arange(args.images)[:, None].expand_as(batch.targets)[labelled]
        weight = advantage[row_of, batch.segments[labelled] - 1]
        loss = -(weight * likely).sum() / (args.images * args.samples)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        kept.append(float(scores.mean()))
        if step % 20 == 0:
            print(
                f"{spent / 60:5.1f} min  step {step}  CIDEr-D of samples {sum(kept[-50:]) / len(kept[-50:]):.4f}  {drawn[0]!r}",
                flush=True,
            )
    model.eval()
    pipe.save(args.out)


if __name__ == "__main__":
    main()
