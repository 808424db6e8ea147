"""Wrong solutions of lesson 7 that look right, by exercise."""

from ojito.learn import Mistake

MISTAKES = {
    "pixel_shuffle": [
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
            {"blocks.reshape(N, side * side, factor * factor * D)": "blocks.reshape(N, side * side, -1, D).mean(2)"},
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
    "project": [
        Mistake("no bias", 'the bias is missing: add weights["connector_bias"]', {', weights["connector_bias"]': ""}),
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
    "merge": [
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
            {"return embeddings.masked_scatter": "return (embeddings * embeddings.shape[-1] ** 0.5).masked_scatter"},
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
}
