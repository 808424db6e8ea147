"""A captioner trained on by its own samples: those that agree with people more than its others become likelier.

    python -m benchmarks.quality.self_critical MODEL captions.jsonl --minutes 12 --out OUT

Each step draws captions of some images, scores each with CIDEr-D against what people wrote, and weighs the logarithm of
its probability by how far it lies above the mean of the image's other samples. Document frequencies are those of the
training captions.

Source: Rennie et al. 2017, Self-critical Sequence Training for Image Captioning, arXiv 1612.00563; the other samples as
baseline: Luo 2020, A Better Variant of Self-Critical Sequence Training, arXiv 2003.09971.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import time

import torch

import ojito
from ojito.evaluate.metrics.cider import Weights
from ojito.evaluate.metrics.ngrams import runs
from ojito.evaluate.metrics.ptb import tokenize
from ojito.records import IGNORE, Sample, Turn


class Reward:
    """CIDEr-D of single captions, with the document frequencies of all training captions."""

    def __init__(self, captions):
        self.weights = Weights([[runs(tokenize(text)) for text in group] for group in captions])

    def __call__(self, number, caption):
        """CIDEr-D of a caption of the image of that number."""
        return self.weights.score(self.weights.weigh(runs(tokenize(caption))), self.weights.references[number])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a captioner whose turns are blind, such as tiny")
    parser.add_argument("data")
    parser.add_argument("--out", required=True)
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--images", type=int, default=16, help="of a step (default 16)")
    parser.add_argument("--samples", type=int, default=5, help="captions of an image (default 5)")
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    pipe = ojito.load(args.model, dtype="float32")
    data = dataclasses.replace(pipe.config.data, path=args.data)
    rows = list(ojito.open_data(dataclasses.replace(pipe.config, data=data)).samples("train"))
    reward = Reward([row.dialogue[0].answers for row in rows])
    model = pipe.model.train()  # a model in training answers itself, with the weights of this step
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.0)
    began, step, means = time.monotonic(), 0, []
    while (spent := (time.monotonic() - began) / 60) < args.minutes:
        for group in optimizer.param_groups:
            group["lr"] = args.lr * min(1, (step + 1) / 50) * (1 - spent / args.minutes)
        numbers = rng.sample(range(len(rows)), args.images)
        drawn = draw(pipe, [rows[number].images[0] for number in numbers], args.samples, args.seed + 100_003 * step)
        scores = torch.tensor(
            [[reward(number, text) for text in texts] for number, texts in zip(numbers, drawn, strict=True)]
        )
        others = (scores.sum(1, keepdim=True) - scores) / (args.samples - 1)
        taught = [
            Sample(images=rows[number].images, turns=tuple(Turn("", (text or " ",)) for text in texts))
            for number, texts in zip(numbers, drawn, strict=True)
        ]
        loss = -weighed_likelihood(model, pipe.processor(taught, training=True), scores - others) / scores.numel()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        means.append(float(scores.mean()))
        if step % 20 == 0:
            mean = sum(means[-50:]) / len(means[-50:])
            print(f"{spent:5.1f} min  step {step}  CIDEr-D of samples {mean:.4f}  {drawn[0][0]!r}", flush=True)
    model.eval()
    pipe.save(args.out)


def draw(pipe, images, samples, seed):
    """Captions of each image, drawn at temperature 1."""
    asked = [Sample(images=[image]) for image in images for _ in range(samples)]
    answers = pipe.generate(asked, temperature=1.0, max_new_tokens=24, seed=seed, batch_size=len(asked))
    texts = [str(answer) for answer in answers]
    still(pipe.model)
    return [texts[i : i + samples] for i in range(0, len(texts), samples)]


def still(model):
    """What is drawn and what is scored must be the same distribution: no dropout, and batch norm as it stands."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d) or type(module).__name__ == "Dropout":
            module.eval()


def weighed_likelihood(model, batch, weights):
    """The sum of the answers' log-probabilities, each times its weight.

    Args:
        model: The model.
        batch: Rows (B, T) whose blind turns are the answers; turn k is segment k + 1.
        weights: (B, turns).
    """
    labelled = batch.targets != IGNORE
    logits = model.head(model.features(batch)[labelled])
    likely = -torch.nn.functional.cross_entropy(logits, batch.targets[labelled], reduction="none")
    row = torch.arange(len(weights))[:, None].expand_as(batch.targets)[labelled]
    return (weights[row, batch.segments[labelled] - 1] * likely).sum()


if __name__ == "__main__":
    main()
