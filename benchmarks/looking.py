"""Whether the maps of an answer point at what is asked about: their share inside the true box, against chance.

Drawn scenes with two to four things, a question about one of them that the model answers rightly, and the map of the
answer. Beside it the area below the curves of deletion (the lower, the better) and insertion (the higher), which
compare maps of as many cells: attention, rollout and relevance.

python -m benchmarks.looking runs/demo/model
python -m benchmarks.looking runs/demo/model --layers
"""

from __future__ import annotations

import argparse
import random
import time
from collections import defaultdict
from statistics import mean, median

import torch

import ojito
from benchmarks.measure import write
from ojito.data.scenes import Scenes, ask, draw_things, paint_boxed
from ojito.probe.forced import ForcedAnswer, force
from ojito.probe.looking import look
from ojito.probe.maps import area_share, mass_inside
from ojito.probe.methods import METHODS
from ojito.probe.occlusion import curve

KINDS = ("colour", "what", "where", "size")
"""Questions about one thing."""


def questions(pipe, count, seed=0):
    """Images, true boxes and answers of questions that the model answers rightly; and the share that it does."""
    rng = random.Random(f"looking {seed}")
    found, asked = [], 0
    while len(found) < count:
        things = draw_things(rng, rng.randint(2, 4))
        image, boxes = paint_boxed(things, rng)
        number = rng.randrange(len(things))
        kind = KINDS[asked % len(KINDS)]
        turn = ask(kind, things, rng, about=things[number])
        if turn is None:
            continue
        asked += 1
        if str(pipe.ask(image, turn.prompt)) == turn.answers[0]:
            found.append((kind, image, boxes[number], force(pipe.processor, image, turn.prompt, turn.answers[0])))
    return found, count / asked


def word_of(forced: ForcedAnswer):
    return forced.find(forced.text)


def measure(pipe, rows, curves, **how):
    """Means over questions: mass inside the box, chance, their ratio; seconds a map; areas of curves."""
    by_kind, masses, chances, areas, seconds = defaultdict(list), [], [], defaultdict(list), []
    for number, (kind, image, box, forced) in enumerate(rows):
        begun = time.perf_counter()
        heat = look(pipe.model, pipe.processor, image, forced, word_of(forced), **how)
        seconds.append(time.perf_counter() - begun)
        share = mass_inside(heat, box) if heat.values.max() > 0 else 0.0
        masses.append(share)
        chances.append(area_share(heat, box))
        by_kind[kind].append(share / area_share(heat, box))
        if number < curves:
            for name in ("deletion", "insertion"):
                one = curve(name, pipe.model, pipe.processor, image, forced, word_of(forced), heat)
                areas[name].append(one.area)
    inside = {
        "mass": mean(masses),
        "chance": mean(chances),
        "times_chance": mean(masses) / mean(chances),
        "by_kind": {kind: mean(values) for kind, values in by_kind.items()},
        "seconds": median(seconds),
    }
    return {**inside, **{name: mean(values) for name, values in areas.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--curves", type=int, default=50, help="questions that curves are drawn for")
    parser.add_argument("--seed", type=int, default=0, help="of the questions")
    parser.add_argument("--layers", action="store_true", help="also attention of each layer and head")
    args = parser.parse_args()
    torch.set_num_threads(1)
    pipe = ojito.load(args.model, device="cpu", dtype="float32")
    scores = ojito.evaluate(pipe, Scenes().samples("dev", 300), controls=()).scores
    rows, right = questions(pipe, args.questions, args.seed)
    print(f"exact match on 300 new scenes {scores.exact_match:.1%}; of these questions {right:.1%}")
    ways = {method: {"method": method} for method in METHODS}
    if args.layers:
        decoder = pipe.model.config.decoder
        for layer in range(decoder.layers):
            ways[f"attention, layer {layer}"] = {"method": "attention", "layer": layer}
            for head in range(decoder.heads):
                ways[f"attention, layer {layer}, head {head}"] = {"method": "attention", "layer": layer, "head": head}
    results = {}
    print(f"{'':<28}{'in box':>8}{'chance':>8}{'times':>7}{'deletion':>10}{'insertion':>10}{'ms':>7}   by kind")
    for name, how in ways.items():
        one = results[name] = measure(pipe, rows, args.curves if "," not in name else 0, **how)
        areas = "".join(f"{one[kind]:>10.3f}" if kind in one else " " * 10 for kind in ("deletion", "insertion"))
        kinds = ", ".join(f"{kind} {times:.1f}" for kind, times in one["by_kind"].items())
        print(
            f"{name:<28}{one['mass']:>8.1%}{one['chance']:>8.1%}{one['times_chance']:>7.2f}{areas}"
            f"{1000 * one['seconds']:>7.1f}   {kinds}"
        )
    figures = {
        "exact_match": scores.exact_match,
        "questions": len(rows),
        "seed": args.seed,
        "right": right,
        "methods": results,
    }
    print(write("looking", pipe.device, figures))


if __name__ == "__main__":
    main()
