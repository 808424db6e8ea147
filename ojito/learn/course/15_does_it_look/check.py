"""How lesson 15 is checked."""

from types import SimpleNamespace

import torch

from ojito.evaluate.controls import exchanged_images
from ojito.evaluate.metrics.score import Score
from ojito.learn import Case, Exercise, Question

QUESTION = Question(
    'In the first version of the VQA data set, many questions begin with "Do you see a ...". What accuracy on them does the '
    'answer "yes" get, given without the image and without reading on?',
    {"a": "50%, as a coin does", "b": "65%", "c": "87%"},
    "c",
    "Goyal et al. (arXiv 1612.00837, section 1) report it. People were shown an image and asked about what they saw in it, "
    "so that the answer was yes. The second version of the data set has for each question two images with different "
    "answers. `ojito eval` asks each question again with a blank and with an exchanged image.",
)


def library_exchange(n, seed):
    rows = [SimpleNamespace(images=[bytes([row])]) for row in range(n)]
    return torch.tensor([images[0][0] for images in exchanged_images(rows, seed)])


def use_exchange(solution, inputs):
    """What holds of the exchanges of many seeds; the numbers themselves may be drawn in any way."""
    n = inputs["n"]
    found = [solution(n, seed) for seed in range(60)]
    row = torch.arange(n)
    return {
        "shape": str(tuple(found[0].shape)),
        "each image is used once": all(torch.equal(one.sort().values, row) for one in found),
        "an image stays with its own row": any(bool((one == row).any()) for one in found),
        "a seed gives the same exchange again": torch.equal(solution(n, 5), found[5]),
        "another seed gives another exchange": any(not torch.equal(one, found[0]) for one in found),
    }


def library_gap(right, exchanged, seed=0):
    gaps = Score.mean((exchanged - right).numpy())
    return (float(gaps), *gaps.interval(draws=20_000, seed=seed))


def use_gap(solution, inputs):
    """The gap and its interval, and what the seed has to do with it."""
    (gap, low, high), again, other = (solution(**inputs, seed=seed) for seed in (0, 0, 1))
    return {
        "the gap": gap,
        "the lower end of the interval": low,
        "the upper end of the interval": high,
        "the same seed gives the same interval again": bool((low, high) == tuple(again[1:])),
        "another seed gives another interval": bool((low, high) != tuple(other[1:])),
    }


def gap_cases():
    made = torch.Generator().manual_seed(0)
    for name, n, worth in (("thirty rows", 30, 0.6), ("twelve rows", 12, 0.1)):
        right = 3 + 1.5 * torch.randn(n, generator=made)
        yield Case(name, {"right": right, "exchanged": right + worth + 0.7 * torch.randn(n, generator=made)})


def looks_cases():
    made = torch.Generator().manual_seed(1)
    costs = {
        "a model that looks, 20 rows": 0.3 + 0.2 * torch.randn(20, generator=made),
        "a model that does not look, 20 rows": torch.zeros(20),
        "six rows, a mean gap of 0.33": torch.tensor([3.0, -1.0, 2.0, -2.5, 1.5, -1.0]),
        "six rows, a mean gap of -0.33": torch.tensor([-3.0, 1.0, -2.0, 2.5, -1.5, 1.0]),
        "a gap that is small and sure, 0.006": 0.006 + 0.002 * torch.randn(20, generator=made),
        "a gap that is small and sure, 0.012": 0.012 + 0.01 * torch.randn(20, generator=made),
    }
    for name, cost in costs.items():
        seeds = (0, 1, 2) if len(cost) == 20 and cost.any() and cost.mean() > 0.1 else (0,)
        yield Case(name, {"cost": cost, "hard": 3 + 2 * torch.rand(len(cost), generator=made), "seeds": seeds})


def described(numbers):
    """What was done to rows that were 0, 1, 2, ... before."""
    rows = torch.arange(len(numbers))
    if torch.equal(numbers, rows):
        return "as they are"
    whole = torch.equal(numbers.sort().values, rows)
    return (
        "exchanged" if whole and not (numbers == rows).any() else "that are not all of the rows', each once and moved"
    )


def use_looks(solution, inputs):
    """The verdict on a model that a wrong image costs so much, and what the model was shown, with one or more seeds."""
    cost, hard = inputs["cost"], inputs["hard"]
    rows, shown, orders = torch.arange(len(cost)), [], []

    def losses(images, texts):
        shown.append(f"images {described(images[:, 0])}, texts {described(texts[:, 0])}")
        orders.append(images[:, 0].tolist())
        text = texts[:, 0]
        return hard[text] + torch.where(images[:, 0] == text, 0.0, cost[text])

    images, texts = rows[:, None].expand(-1, 2), rows[:, None].expand(-1, 3)
    verdicts = [solution(losses, images, texts, seed=seed) for seed in inputs["seeds"]]
    found = {"what the model was shown": shown[: len(shown) // len(verdicts)], "verdict": verdicts[0]}
    if len(verdicts) > 1:
        found["another seed exchanges otherwise"] = len({str(order) for order in orders}) > 2
    return found


EXERCISES = [
    Exercise(
        "exchange",
        lambda: [Case(f"{n} rows, 60 seeds", {"n": n}) for n in (7, 6, 2)],
        hints=[
            "`torch.randperm(n, generator=generator)` is a random order of the rows.",
            "Neighbours on the circle are never the same row: `circle.roll(1)` moves each one step on.",
        ],
        reference=library_exchange,
        use=use_exchange,
    ),
    Exercise(
        "grounding_gap",
        lambda: list(gap_cases()),
        hints=[
            "First the difference of each row, so that pairs stay pairs.",
            "`torch.randint(n, (draws, n), generator=generator)` draws with replacement; gaps[picks] is (draws, n).",
            "The mean of each set is over dim=1. 95% lie between the quantiles `torch.tensor([0.025, 0.975])`.",
        ],
        reference=library_gap,
        use=use_gap,
        tolerance=0.02,
    ),
    Exercise(
        "looks",
        lambda: list(looks_cases()),
        hints=[
            "The same texts twice; the second time with `images[exchange(len(images), seed)]`.",
            "An interval is above 0 if its lower end is, and below `least` if its upper end is.",
        ],
        use=use_looks,
    ),
]
