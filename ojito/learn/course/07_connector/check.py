"""How lesson 7 is checked."""

import re
from types import SimpleNamespace

import torch

from ojito.learn import Case, Exercise, Mistake, Question
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
        [
            Mistake(
                "strips",
                "you join patches that follow each other in reading order: strips of one row. A block is factor x "
                "factor, patches 0 1 4 5 of a grid of 4 x 4. Exchange the two middle axes before you join",
                {"blocks = blocks.transpose(2, 3)": "blocks = blocks"},
            ),
            Mistake(
                "columns first in a token",
                "in your tokens the patches of a block stand column by column, 0 4 1 5; they are to stand row by row, "
                "0 1 4 5",
                {"blocks.transpose(2, 3)": "blocks.permute(0, 1, 3, 4, 2, 5)"},
            ),
            Mistake(
                "blocks column by column",
                "your blocks stand column by column: the second token is to be the block right of the first, not the "
                "one below",
                {"blocks.transpose(2, 3)": "blocks.permute(0, 3, 1, 2, 4, 5)"},
            ),
            Mistake(
                "channels first",
                "in your tokens stands the first number of all patches, then the second of all: that is the order of "
                "PyTorch's pixel_unshuffle. Here stands each patch with all its D numbers, one patch after the other",
                {"blocks.transpose(2, 3)": "blocks.permute(0, 1, 3, 5, 2, 4)"},
            ),
            Mistake(
                "block and place exchanged",
                "your token takes one patch of every block, at the same place in each; it is to take all patches of one "
                "block. view(N, side, factor, side, factor, D): first which block, then where in it",
                {
                    "patches.view(N, side, factor, side, factor, D)": "patches.view(N, factor, side, factor, side, D).permute(0, 2, 1, 4, 3, 5)"
                },
            ),
            Mistake(
                "axes named the other way",
                "you view as (N, factor, side, factor, side, D): a row of patches is made of `side` blocks of `factor` "
                "patches, so which block comes first, and where in it second",
                {"patches.view(N, side, factor, side, factor, D)": "patches.view(N, factor, side, factor, side, D)"},
            ),
            Mistake(
                "averaged",
                "you average the patches of a block: tokens of width D, and most of it lost. They are to stand side by "
                "side, D factor^2 wide",
                {
                    "blocks.reshape(N, side * side, factor * factor * D)": "blocks.reshape(N, side * side, -1, D).mean(2)"
                },
            ),
            Mistake(
                "not joined",
                "you still have factor^2 tokens a block, in another order: join the last three axes into one",
                {"blocks.reshape(N, side * side, factor * factor * D)": "blocks.reshape(N, P, D)"},
            ),
            Mistake(
                "rows of tokens kept",
                "you keep rows and columns of tokens apart, (N, side, side, ...); the decoder reads one row: join them",
                {
                    "blocks.reshape(N, side * side, factor * factor * D)": "blocks.reshape(N, side, side, factor * factor * D)"
                },
            ),
        ],
        [
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
        [
            Mistake(
                "no bias", 'the bias is missing: add weights["connector_bias"]', {', weights["connector_bias"]': ""}
            ),
            Mistake(
                "matrix turned",
                'you multiply by weights["connector"] and not by its transpose: F.linear(x, W) is x @ W.T, since W is '
                "(out, in)",
                {
                    'torch.nn.functional.linear(patches, weights["connector"], weights["connector_bias"])': (
                        'patches @ weights["connector"] + weights["connector_bias"]'
                    )
                },
            ),
            Mistake(
                "divided by the root of the width",
                "you divide by sqrt(D'), as `transformers` does to undo Gemma's multiplication; here nothing multiplies "
                "visual tokens",
                {
                    'weights["connector_bias"])': 'weights["connector_bias"]) / len(weights["connector"]) ** 0.5',
                },
            ),
            Mistake(
                "multiplied by the root of the width",
                "you multiply by sqrt(D'): Gemma does that to the embeddings of text, not to visual tokens",
                {
                    'weights["connector_bias"])': 'weights["connector_bias"]) * len(weights["connector"]) ** 0.5',
                },
            ),
            Mistake(
                "GELU at the end",
                "a GELU follows your matrix: there is one matrix and nothing else",
                {
                    'torch.nn.functional.linear(patches, weights["connector"], weights["connector_bias"])': (
                        'torch.nn.functional.gelu(torch.nn.functional.linear(patches, weights["connector"], weights["connector_bias"]))'
                    )
                },
            ),
        ],
        ["`torch.nn.functional.linear` takes what comes in, the matrix and the bias."],
        reference=reference_project,
    ),
    Exercise(
        "merge",
        lambda: list(merge_cases()),
        [
            Mistake(
                "not counted",
                "you do not count: too few placeholders, and visual tokens are dropped without a word. Compare the "
                "number of each row with P, and raise a ValueError",
                {"bool((counts != visual.shape[1]).any())": "False"},
            ),
            Mistake(
                "PyTorch complains",
                "you do not count, and PyTorch refuses with a RuntimeError about shapes: too late, and in words that say "
                "nothing of images. Compare the number of each row with P, and raise a ValueError",
                {
                    "bool((counts != visual.shape[1]).any())": "False",
                    "return embeddings.masked_scatter(is_image[..., None], visual)": (
                        "out = embeddings.clone()\n    out[is_image] = visual.flatten(0, 1)\n    return out"
                    ),
                },
            ),
            Mistake(
                "chosen by where",
                "torch.where takes position t of one or of the other, and visual has P positions, not T: the visual "
                "tokens must move to their placeholders, with masked_scatter or by assigning to a copy's `out[is_image]`",
                {
                    "embeddings.masked_scatter(is_image[..., None], visual)": "torch.where(is_image[..., None], visual, embeddings)"
                },
            ),
            Mistake(
                "totals counted",
                "you compare totals: three and five placeholders pass for four and four, and the last patch of one "
                "row's image stands in the next row. Compare row by row",
                {
                    "is_image.sum(dim=1)": "is_image.sum()",
                    "counts != visual.shape[1]": "counts != visual.shape[0] * visual.shape[1]",
                    "{visual.shape[1]} visual": "{visual.shape[0] * visual.shape[1]} visual",
                },
            ),
            Mistake(
                "totals counted, and P named",
                "you compare totals: three and five placeholders pass for four and four. Compare row by row, and name a "
                "row's count and P in the error",
                {
                    "is_image.sum(dim=1)": "is_image.sum()",
                    "counts != visual.shape[1]": "counts != visual.shape[0] * visual.shape[1]",
                },
            ),
            Mistake(
                "only the first row counted",
                "you compare the first row's count alone, and a later row may have more placeholders, or fewer: one wrong "
                "row is enough, `.any()`",
                {"(counts != visual.shape[1]).any()": "counts[0] != visual.shape[1]"},
            ),
            Mistake(
                "all rows must be wrong",
                "you refuse only if all rows are wrong, `.all()`; one wrong row is enough, `.any()`",
                {"(counts != visual.shape[1]).any()": "(counts != visual.shape[1]).all()"},
            ),
            Mistake(
                "counted by column",
                "you refuse rows that are right: your sum runs over the rows, and counts the placeholders of each column. "
                "Sum along dim=1",
                {"is_image.sum(dim=1)": "is_image.sum(dim=0)"},
            ),
            Mistake(
                "error returned",
                "you return the ValueError, and the caller takes it for embeddings: raise it",
                {"raise ValueError(": "return ValueError("},
            ),
            Mistake(
                "no axis for the numbers",
                "is_image is (B, T), and embeddings are (B, T, D): masked_scatter needs an axis more, is_image[..., None]",
                {"is_image[..., None]": "is_image"},
            ),
            Mistake(
                "text multiplied once more",
                "you multiply the embeddings by sqrt(D); they come multiplied already",
                {
                    "return embeddings.masked_scatter": "return (embeddings * embeddings.shape[-1] ** 0.5).masked_scatter"
                },
            ),
            Mistake(
                "only too few counted",
                "you refuse rows with too few placeholders, and not those with too many",
                {"counts != visual.shape[1]": "counts < visual.shape[1]"},
            ),
            Mistake(
                "only too many counted",
                "you refuse rows with too many placeholders, and not those with too few: their visual tokens slip into "
                "the next row, or are dropped",
                {"counts != visual.shape[1]": "counts > visual.shape[1]"},
            ),
            Mistake(
                "asserted",
                "you assert; `python -O` leaves that out, and callers catch a ValueError: raise one",
                {"raise ValueError(": "raise AssertionError("},
            ),
            Mistake(
                "no counts named",
                "your error does not name both counts, the row's and P: whoever reads it has to know which of the two "
                "is wrong",
                {
                    'f"{counts.tolist()} placeholders in the rows, but {visual.shape[1]} visual tokens for each"': (
                        '"the number of placeholders is wrong"'
                    )
                },
            ),
            Mistake(
                "visual tokens in front",
                "you put the visual tokens in front of the text and keep the placeholders: the row grows by P. They "
                "take the placeholders' places",
                {"embeddings.masked_scatter(is_image[..., None], visual)": "torch.cat((visual, embeddings), dim=1)"},
            ),
            Mistake(
                "always at the front",
                "you write the visual tokens to the first P positions; they belong where is_image is True",
                {
                    "embeddings.masked_scatter(is_image[..., None], visual)": (
                        "torch.cat((visual, embeddings[:, visual.shape[1] :]), dim=1)"
                    )
                },
            ),
            Mistake(
                "added",
                "you add the visual tokens to the placeholders' embeddings; they take their places",
                {
                    "embeddings.masked_scatter(is_image[..., None], visual)": (
                        "embeddings + torch.zeros_like(embeddings).masked_scatter(is_image[..., None], visual)"
                    )
                },
            ),
            Mistake(
                "first image for all",
                "every row of yours gets the first row's image",
                {"is_image[..., None], visual)": "is_image[..., None], visual[:1].expand_as(visual))"},
            ),
            Mistake(
                "one visual token everywhere",
                "every placeholder of a row gets the row's mean over the visual tokens; each gets its own",
                {
                    "embeddings.masked_scatter(is_image[..., None], visual)": (
                        "torch.where(is_image[..., None], visual.mean(1, keepdim=True), embeddings)"
                    )
                },
            ),
        ],
        [
            "Count the True places of each row, `is_image.sum(dim=1)`, and compare each count with visual.shape[1].",
            'An f-string brings the counts into the message: f"{counts.tolist()} placeholders, but ...".',
            "embeddings.masked_scatter(is_image[..., None], visual) fills the True places in their order, and leaves "
            "embeddings as they are.",
        ],
        reference=reference_merge,
        use=use_merge,
    ),
]
