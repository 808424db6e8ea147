"""Packed rows beside rows of one sample: how full they are, and how many real tokens a second a model learns from.

    python -m benchmarks.training.packing
    python -m benchmarks.training.packing --data captions.jsonl --pack 512 1024
    python -m benchmarks.training.packing --preset nanovlm-222m --pack 1024 --steps 8 --device cuda

Without --data, two sets of random words: captions of 6 to 18 words, and conversations of one to eight turns, as long as
those of LLaVA's instructions. The tokenizer is learned from the data. --steps 0 measures no steps.
"""

from __future__ import annotations

import argparse
import itertools
import random
from collections.abc import Iterator
from typing import Any

import torch
from PIL import Image

from benchmarks.measure import in_turns, write
from ojito.data import Batches, Source, open_data, training_texts
from ojito.device import pick_device
from ojito.model import VLM
from ojito.presets import preset
from ojito.processor import Processor, Tokenizer
from ojito.records import Batch, Sample, Turn
from ojito.trainer import TrainState
from ojito.trainer.step import train_step

ROWS = 4000
WORDS = [f"{a}{b}" for a in "bdfgklmnprst" for b in ("ado", "eki", "ilu", "oma", "una", "are", "est", "irt")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="a file or a folder, as data.path")
    parser.add_argument("--preset", default="tiny", help="shapes of the model")
    parser.add_argument("--pack", type=int, nargs="+", default=[512, 1024, 2048], help="tokens of a packed row")
    parser.add_argument("--rows", type=int, default=4, help="packed rows of a step")
    parser.add_argument("--steps", type=int, default=2, help="steps of each form, in turns")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    device = pick_device(args.device)
    results = {}
    for name, source in sources(args.data).items():
        for pack in args.pack:
            found = measure(source, args, pack, device)
            results[f"{name} {pack}"] = found
            print(f"{name:16} {pack:6} " + "  ".join(f"{what} {value}" for what, value in found.items()), flush=True)
    print(write("packing", device, {"preset": args.preset, "rows": args.rows, "results": results}))


def sources(path: str | None) -> dict[str, Any]:
    """The rows to measure with, by name."""
    if path:
        return {"own rows": open_data(path)}
    rng = random.Random(0)

    def words(least: int, most: int) -> str:
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(least, most)))

    def conversation() -> tuple[Turn, ...]:
        return tuple(Turn(words(6, 20), (words(1, 12) if rng.random() < 0.4 else words(15, 90),))
                     for _ in range(rng.randint(1, 8)))  # fmt: skip

    image = [Image.new("RGB", (32, 32))]
    captions = [Sample(image, turns=(Turn("", (words(6, 18),)),)) for _ in range(ROWS)]
    conversations = [Sample(image, turns=conversation(), chat=True) for _ in range(ROWS)]
    return {"captions": Source("captions", captions), "conversations": Source("conversations", conversations)}


def measure(source: Any, args: argparse.Namespace, pack: int, device: torch.device) -> dict[str, Any]:
    """How full rows are, packed and not, and real tokens a second of a model that learns from them."""
    settings = ["train.steps=1000", f"train.batch_size={args.rows}", "processor.prompt.max_tokens=4096"]
    config = preset(args.preset, settings)
    words = config.processor.tokenizer.__class__(kind="bpe")
    prompt = config.processor.prompt.__class__(max_tokens=4096)
    ready = config.processor.__class__(config.processor.image, words, prompt)
    vocabulary = min(4096, config.model.decoder.vocab_size)
    tokenizer = Tokenizer.train(words, training_texts(source, config), vocabulary)
    processor = Processor.for_model(ready, tokenizer, config.model)

    packed = take(source, processor, config, args, pack)
    real = tokens(packed)
    # As many samples a step, in rows of their own.
    each = max(1, round(sum(batch.num_samples for batch in packed) / len(packed)))
    config = preset(args.preset, [*settings, f"train.batch_size={each}"])
    single = take(source, processor, config, args, 0)
    found = {
        "full": round(real / sum(batch.tokens.numel() for batch in packed), 4),
        "unpacked": round(tokens(single) / sum(batch.tokens.numel() for batch in single), 4),
        "samples_a_row": round(each / args.rows, 1),
    }
    if args.steps:
        torch.manual_seed(0)
        state = TrainState(VLM(config.model).to(device), config.train)
        forms = {"packed": packed[: args.steps], "single": single[: args.steps]}
        moved = {form: [batch.to(device) for batch in batches] for form, batches in forms.items()}
        runs = {form: lambda form=form: [train_step(state, [batch], 0.1) for batch in moved[form]] for form in forms}
        times = in_turns(runs, args.rounds, device)
        for form, batches in forms.items():
            found[f"{form}_tokens_per_second"] = round(1000 * tokens(batches) / times[form])
    return found


def take(source: Any, processor: Processor, config: Any, args: argparse.Namespace, pack: int) -> list[Batch]:
    """The batches of the first windows of packed rows, or as many of rows of their own."""
    count = max(args.steps, 256 // args.rows)
    data = config.data.__class__(pack=pack, max_bad=1.0)
    return [*images_kept(itertools.islice(Batches(source, processor, data, config.train), count), args.steps)]


def images_kept(batches: Iterator[Batch], count: int) -> Iterator[Batch]:
    """The batches, and the images of the first ones alone."""
    for number, batch in enumerate(batches):
        if number >= count:
            batch.images = None
        yield batch


def tokens(batches: list[Batch]) -> int:
    """Tokens that are not padding."""
    return sum(int((batch.segments >= 0).sum()) for batch in batches)


if __name__ == "__main__":
    main()
