"""How lesson 15 is checked."""

from types import SimpleNamespace

import torch

from ojito.evaluate.controls import exchanged_images
from ojito.evaluate.metrics.score import Score
from ojito.learn import Case, Exercise, Mistake, Question

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
        [
            Mistake(
                "any order",
                "an image may stay with its own row in yours: a random order leaves one in place on average, and these rows "
                "show no gap. Row circle[i] gets the image of its neighbour: partner[circle] = circle.roll(1)",
                {"partner[circle] = circle.roll(1)": "partner = circle"},
            ),
            Mistake(
                "drawn with replacement",
                "you draw a row for each, so that some images are used twice, others never, and some stay: randperm gives each "
                "row once",
                {
                    "torch.randperm(n, generator=generator)": "torch.randint(n, (n,), generator=generator)",
                    "partner[circle] = circle.roll(1)": "partner = circle",
                },
            ),
            Mistake(
                "not shuffled",
                "each row gets the image of its neighbour in the file, whatever the seed. These are often alike: five captions of "
                "one image, for example. The circle is to be shuffled, and its neighbours are circle.roll(1), not numbers + 1",
                {"torch.randperm(n, generator=generator)": "torch.arange(n)"},
            ),
            Mistake(
                "no seed",
                "the same seed gives another exchange each time: pass generator=generator on",
                {"torch.randperm(n, generator=generator)": "torch.randperm(n)"},
            ),
            Mistake(
                "reversed",
                "you reverse the rows: with an odd number the one in the middle keeps its image, and the seed does nothing",
                {"partner[circle] = circle.roll(1)": "partner = torch.arange(n).flip(0)"},
            ),
            Mistake(
                "circle reversed",
                "you pair the circle with its reverse: with an odd number of rows the one in the middle keeps its image. "
                "circle.roll(1) moves all",
                {"circle.roll(1)": "circle.flip(0)"},
            ),
            Mistake(
                "nothing exchanged",
                "each row keeps its own image: partner[circle] = circle undoes the shuffling. Take the neighbour, "
                "circle.roll(1)",
                {"circle.roll(1)": "circle"},
            ),
            Mistake(
                "past the end",
                "the row after the last is none: a circle closes, and roll does that",
                {"circle.roll(1)": "circle + 1"},
            ),
        ],
        [
            "`torch.randperm(n, generator=generator)` is a random order of the rows.",
            "Neighbours on the circle are never the same row: `circle.roll(1)` moves each one step on.",
        ],
        reference=library_exchange,
        use=use_exchange,
    ),
    Exercise(
        "grounding_gap",
        lambda: list(gap_cases()),
        [
            Mistake(
                "wrong sign",
                "your gap has the wrong sign: it is to be above 0 where the right image helps, and then the exchanged one has "
                "the larger loss",
                {"gaps = exchanged - right": "gaps = right - exchanged"},
            ),
            Mistake(
                "distances",
                "you take absolute values: then chance alone makes a gap above 0, and every model seems to look",
                {"gaps = exchanged - right": "gaps = (exchanged - right).abs()"},
            ),
            Mistake(
                "means subtracted",
                "you subtract the means, which leaves one number to draw from: subtract row by row, (n,)",
                {"gaps = exchanged - right": "gaps = exchanged.mean() - right.mean()"},
            ),
            Mistake(
                "pairs forgotten",
                "you draw rows for each loss apart, so that easy texts are compared with hard ones, and the interval is far "
                "too wide. Take the difference of each row first, then draw rows",
                {
                    "gaps[picks].mean(dim=1)": (
                        "exchanged[picks].mean(dim=1)"
                        " - right[torch.randint(len(gaps), picks.shape, generator=generator)].mean(dim=1)"
                    )
                },
            ),
            Mistake(
                "spread of the rows",
                "your interval is where single rows lie; wanted is where their mean lies, which is about sqrt(n) times "
                "narrower",
                {"means.quantile": "gaps.quantile"},
            ),
            Mistake(
                "90 percent",
                "your interval holds 90% of the means, since 5% are left out at each end: for 95% it is 0.025 and 0.975",
                {"[0.025, 0.975]": "[0.05, 0.95]"},
            ),
            Mistake(
                "one standard error",
                "your interval holds 68% of the means, one standard error to each side: for 95% it is 0.025 and 0.975",
                {"[0.025, 0.975]": "[0.16, 0.84]"},
            ),
            Mistake(
                "percent",
                "quantile takes shares from 0 to 1, not percent: 0.025 and 0.975",
                {"[0.025, 0.975]": "[2.5, 97.5]"},
            ),
            Mistake(
                "no generator",
                "the same seed gives another interval each time: pass generator=generator on to randint",
                {"(draws, len(gaps)), generator=generator": "(draws, len(gaps))"},
            ),
            Mistake(
                "no width",
                "your interval has no width. Either each of your sets has every row once: draw with replacement, randint. Or "
                "you average over the draws: (draws, n) is to become (draws,), dim=1",
                {
                    "torch.randint(len(gaps), (draws, len(gaps)), generator=generator)": (
                        "torch.rand(draws, len(gaps), generator=generator).argsort(dim=1)"
                    )
                },
            ),
            Mistake(
                "ends exchanged",
                "your lower end is the upper one",
                {"[0.025, 0.975]": "[0.975, 0.025]"},
            ),
            Mistake(
                "single rows drawn",
                "you draw one row at a time, so that your means are those of one row each: a set has n rows, (draws, n)",
                {"(draws, len(gaps)), generator": "(draws, 1), generator"},
            ),
        ],
        [
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
        [
            Mistake(
                "texts exchanged as well",
                "you exchange images and texts alike, so that they belong together again: leave the texts as they are",
                {
                    "losses(images[exchange(len(images), seed)], texts)": (
                        "losses(images[exchange(len(images), seed)], texts[exchange(len(images), seed)])"
                    )
                },
            ),
            Mistake(
                "texts exchanged",
                "you exchange the texts: then a row's two losses are of different texts, one easy and one hard, and no pair. "
                "Exchange the images",
                {
                    "losses(images[exchange(len(images), seed)], texts)": (
                        "losses(images, texts[exchange(len(images), seed)])"
                    )
                },
            ),
            Mistake(
                "losses exchanged",
                "you exchange the losses of right images, which compares easy texts with hard ones: exchange what the model "
                "is shown, the images",
                {
                    "losses(images[exchange(len(images), seed)], texts)": (
                        "losses(images, texts)[exchange(len(images), seed)]"
                    )
                },
            ),
            Mistake(
                "nothing exchanged",
                "the model sees the right images both times: the second time, show it images[exchange(len(images), seed)]",
                {"losses(images[exchange(len(images), seed)], texts)": "losses(images, texts)"},
            ),
            Mistake(
                "a mean above 0",
                "you take any gap above 0 for looking: with six rows that may be chance. The whole interval must be above 0, "
                "its lower end first of all",
                {"sees = low > 0": "sees = gap > 0"},
            ),
            Mistake(
                "worth having",
                "you ask whether the lower end is above `least`: that the model looks is shown once it is above 0, however "
                "little it looks. `least` is for saying that it does not",
                {"sees = low > 0": "sees = low > least"},
            ),
            Mistake(
                "no seed",
                "your exchange is the same whatever `seed` says: pass it on",
                {"exchange(len(images), seed)": "exchange(len(images), 0)"},
            ),
            Mistake(
                "the upper end",
                "you ask whether the upper end is above 0, which it nearly always is: the lower end must be",
                {"sees = low > 0": "sees = high > 0"},
            ),
            Mistake(
                "not shown is not",
                'you say "no" where the lower end is small: few rows always have that. Only if even the upper end is below '
                "`least`, the image is worth nothing",
                {"blind = high < least": "blind = low < least"},
            ),
            Mistake(
                "a mean below the least",
                'you say "no" where the mean is small, however wide the interval: even its upper end must be below `least`',
                {"blind = high < least": "blind = gap < least"},
            ),
            Mistake(
                "below 0",
                "you ask whether the upper end is below 0; an image that is worth next to nothing is not looked at either: "
                "compare with `least`",
                {"blind = high < least": "blind = high < 0"},
            ),
            Mistake(
                "answers turned",
                'you say "yes" where the interval is below 0',
                {"sees = low > 0": "sees = low < 0"},
            ),
        ],
        [
            "The same texts twice; the second time with `images[exchange(len(images), seed)]`.",
            "An interval is above 0 if its lower end is, and below `least` if its upper end is.",
        ],
        use=use_looks,
    ),
]
