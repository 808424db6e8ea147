"""Wrong solutions of lesson 15 that look right, by exercise."""

from ojito.learn import Mistake

MISTAKES = {
    "exchange": [
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
    "grounding_gap": [
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
    "looks": [
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
}
