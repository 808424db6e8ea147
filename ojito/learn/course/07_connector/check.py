"""How lesson 7 is checked."""

import re
from types import SimpleNamespace

import torch

from ojito.learn import Case, Exercise, Question
from ojito.model.connectors import PixelShuffle, make_projection
from ojito.model.vlm import VLM
from ojito.records import IMAGE

QUESTION = Question(
    "Two rows have an image of four visual tokens each. By mistake, the first row has three placeholders, and the second "
    "five. Somebody compares the totals, eight and eight, and calls `masked_scatter`. What happens?",
    {
        "a": "PyTorch refuses: the second row lacks a visual token",
        "b": "nothing is said, and the last patch of the first image stands in the second row",
        "c": "nothing is said, and the fifth placeholder keeps the embedding that it had",
    },
    "b",
    "masked_scatter knows no rows: it fills the True places of the whole batch, one after the other, from the visual "
    "tokens one after the other. The second row's first placeholder gets the first image's last patch. Such a model "
    "trains, and answers; it only sees a little of its neighbour's image. With too many visual tokens it does not "
    "complain either: what is left over is dropped. So count first.",
)


def shuffle_cases():
    made = torch.Generator().manual_seed(0)
    for name, count, side, width, factor in (
        ("a grid of 4 x 4, factor 2", 2, 4, 3, 2),
        ("a grid of 6 x 6, factor 3", 1, 6, 2, 3),
        ("a grid of 6 x 6, factor 2", 2, 6, 3, 2),
    ):
        yield Case(name, {"patches": torch.randn(count, side * side, width, generator=made), "factor": factor})


def reference_shuffle(patches, factor):
    return PixelShuffle(int(patches.shape[1] ** 0.5), factor)(patches)


def project_cases():
    made = torch.Generator().manual_seed(1)
    for name, width, decoder_width in (("D' = D", 4, 4), ("from D = 6 to D' = 4", 6, 4)):
        weights = {
            "connector": torch.randn(decoder_width, width, generator=made),
            "connector_bias": torch.randn(decoder_width, generator=made),
        }
        yield Case(name, {"patches": torch.randn(2, 3, width, generator=made), "weights": weights})


def reference_project(patches, weights):
    wide, narrow = weights["connector"].shape
    module = make_projection(narrow, wide, "linear", 0, bias=True)
    module.load_state_dict({"weight": weights["connector"], "bias": weights["connector_bias"]})
    return module(patches).detach()


def merge_cases():
    made = torch.Generator().manual_seed(2)

    def inputs(rows, count):
        is_image = torch.tensor([[mark == "x" for mark in row] for row in rows])
        embeddings = torch.randn(*is_image.shape, 5, generator=made)
        return {
            "embeddings": embeddings,
            "visual": torch.randn(len(rows), count, 5, generator=made),
            "is_image": is_image,
        }

    yield Case("images in front", inputs(["xxx....", "xxx...."], 3))
    yield Case("images within the text", inputs([".xxx...", "..x.xx."], 3))
    yield Case("too few placeholders", inputs(["xxx....", "xxx...."], 4))
    yield Case("too many placeholders", inputs(["xxxx....."], 3))
    yield Case("three placeholders, then five, for four visual tokens each", inputs(["xxx....", "xxxxx.."], 4))
    yield Case("one placeholder too many in the second row alone", inputs(["xxx....", "xxxx..."], 3))
    yield Case("one placeholder too many in the first row alone", inputs(["xxxx...", "xxx...."], 3))
    yield Case("one placeholder too few in the third row alone", inputs(["xxx....", ".xxx...", "xx....."], 3))


def reference_merge(embeddings, visual, is_image):
    counts = is_image.sum(1).tolist()
    if any(count != visual.shape[1] for count in counts):
        raise ValueError(f"{counts} and {visual.shape[1]}")
    looked_up = SimpleNamespace(decoder=SimpleNamespace(embed=lambda tokens: embeddings))
    return VLM.merge(looked_up, torch.where(is_image, IMAGE, 1), visual)


def use_merge(solution, inputs):
    """Call it; of an error where one is due, the kind and whether it names the counts.

    Of a `ValueError` where none is due, only that: its text is the learner's own, and no mistake has the same.
    """
    counts, each = inputs["is_image"].sum(1).tolist(), inputs["visual"].shape[1]
    due = any(count != each for count in counts)
    totals = {sum(counts), len(counts) * each}
    try:
        result = solution(**inputs)
        if isinstance(result, Exception):
            return "an error, returned and not raised"
        return "no error" if due else result
    except Exception as error:
        if not due and (type(error) is not ValueError or "unpack" in str(error)):
            raise
        if not due:
            return "a ValueError where the counts are right"
        named = {int(one) for one in re.findall(r"\d+", str(error))}
        row = each in named and any(count in named for count in counts if count != each)
        both = "that names both counts" if row or (len(totals) == 2 and totals <= named) else "without both counts"
        return f"a {type(error).__name__} {both}"


EXERCISES = [
    Exercise(
        "pixel_shuffle",
        lambda: list(shuffle_cases()),
        hints=[
            "A patch's number in reading order is row x grid + column, and row itself is block x factor + row in the "
            "block. `view` takes that apart: (N, side, factor, side, factor, D).",
            "Then bring what says *which block* to the front, and what says *where in the block* behind it: exchange "
            "axes 2 and 3.",
            "Last, reshape to (N, side * side, factor * factor * D). After transpose, `view` does not go.",
        ],
        reference=reference_shuffle,
    ),
    Exercise(
        "project",
        lambda: list(project_cases()),
        hints=["`torch.nn.functional.linear` takes what comes in, the matrix and the bias."],
        reference=reference_project,
    ),
    Exercise(
        "merge",
        lambda: list(merge_cases()),
        hints=[
            "Count the True places of each row, `is_image.sum(dim=1)`, and compare each count with visual.shape[1].",
            'An f-string brings the counts into the message: f"{counts.tolist()} placeholders, but ...".',
            "embeddings.masked_scatter(is_image[..., None], visual) fills the True places in their order, and leaves "
            "embeddings as they are.",
        ],
        reference=reference_merge,
        use=use_merge,
    ),
]
