"""Wrong solutions of lesson 2 that look right, by exercise."""

from ojito.learn import Mistake

MISTAKES = {
    "to_pixels": [
        Mistake(
            "not divided by 255",
            "your numbers still run to 255 when the mean is subtracted: mean and std are meant for 0 to 1. Divide by "
            "255 first",
            {"scaled = image / 255": "scaled = image.float()"},
        ),
        Mistake(
            "divided by 256",
            "you divide by 256: the largest of 256 values is 255, so that white becomes 0.996 and not 1",
            {"image / 255": "image / 256"},
        ),
        Mistake(
            "divided in whole numbers",
            "you divide in whole numbers: every value below 255 becomes 0. `/` gives fractions, `//` does not",
            {"image / 255": "image // 255"},
        ),
        Mistake(
            "not normalized",
            "your pixels are from 0 to 1, and the encoder was trained on (x - mean) / std of them: it would see a "
            "pale, flat image, and not complain",
            {"(scaled - mean) / std": "scaled"},
        ),
        Mistake(
            "normalized before scaling",
            "you subtract the mean, about 0.5, from numbers up to 255, and divide by 255 afterwards: it has no "
            "effect to speak of. Divide by 255 first, then normalize",
            {
                "scaled = image / 255": "scaled = image.float()",
                "(scaled - mean) / std": "(scaled - mean) / std / 255",
            },
        ),
        Mistake(
            "only the mean subtracted",
            "the mean is subtracted, but nothing is divided by std",
            {"(scaled - mean) / std": "scaled - mean"},
        ),
        Mistake(
            "from -1 to 1 twice",
            "you bring the pixels to -1 to 1 yourself, and then subtract the mean and divide by std: for 0 to 1, that "
            "alone does it",
            {"image / 255": "image / 255 * 2 - 1"},
        ),
        Mistake(
            "from -1 to 1 for every model",
            "you bring the pixels to -1 to 1, which is right where mean and std are 0.5. They are arguments, and "
            "another encoder has others: (x / 255 - mean) / std",
            {"(scaled - mean) / std": "scaled * 2 - 1"},
        ),
        Mistake(
            "mean and std exchanged",
            "you subtract std and divide by the mean: it is the other way round",
            {"(scaled - mean) / std": "(scaled - std) / mean"},
        ),
        Mistake(
            "a bracket missing",
            "you compute x - mean / std: `/` comes before `-`. Subtract the mean first, in a bracket",
            {"(scaled - mean) / std": "scaled - mean / std"},
        ),
        Mistake(
            "the image's own mean",
            "you take mean and std of this very image, so that a dark one looks like a bright one to the model. They "
            "are arguments: the same for every image, those of its training",
            {"(scaled - mean) / std": "(scaled - scaled.mean((0, 1))) / scaled.std((0, 1))"},
        ),
        Mistake(
            "multiplied by std",
            "you multiply by std; divide by it, so that numbers that lie close together move apart",
            {"(scaled - mean) / std": "(scaled - mean) * std"},
        ),
        Mistake(
            "divided before subtracting",
            "you compute x / std - mean: first subtract the mean, then divide. A bracket is missing",
            {"(scaled - mean) / std": "scaled / std - mean"},
        ),
        Mistake(
            "reshaped, not permuted",
            "your result has the right shape and scrambled contents: `reshape` and `view` keep the numbers in their "
            "order in memory, where red, green and blue of a pixel are neighbours. To move an axis takes `permute`",
            {"normalized.permute(2, 0, 1)": "normalized.reshape(3, *image.shape[:2])"},
        ),
        Mistake(
            "height and width exchanged",
            "your image lies on its side: (3, w, h). Channels come first, then height, then width",
            {"normalized.permute(2, 0, 1)": "normalized.permute(2, 1, 0)"},
        ),
        Mistake(
            "channels first too early",
            "with channels first, (3, h, w) - (3,) sets the means beside the columns. Either permute last, or give the "
            "means two more axes: mean[:, None, None]",
            {"image / 255": "image.permute(2, 0, 1) / 255", "normalized.permute(2, 0, 1)": "normalized"},
        ),
        Mistake(
            "channels left where they are",
            "channels are still last in your result, (h, w, 3); the encoder reads (3, h, w)",
            {"normalized.permute(2, 0, 1)": "normalized"},
        ),
        Mistake(
            "red and blue exchanged",
            "red and blue are exchanged. OpenCV's images are BGR; this one is RGB already",
            {"scaled = image / 255": "scaled = image.flip(-1) / 255"},
        ),
    ],
    "patchify": [
        Mistake(
            "only reshaped",
            "you reshape without a permute: the shape is right, but each of your rows is {numbers} numbers that follow "
            "each other in memory, a strip of one channel. A square is a piece of {size} rows, in three channels",
            {"cut.permute(0, 2, 4, 1, 3, 5)": "cut"},
        ),
        Mistake(
            "patches column by column",
            "your patches go down the columns; in reading order the second one stands to the right of the first",
            {"cut.permute(0, 2, 4, 1, 3, 5)": "cut.permute(0, 4, 2, 1, 3, 5)"},
        ),
        Mistake(
            "channels last inside a patch",
            "inside your patches the three channels of a pixel are neighbours, as in the first ViT code. Here a patch "
            "has all its red first, then green, then blue, as Conv2d's weight (D, 3, size, size) has",
            {"cut.permute(0, 2, 4, 1, 3, 5)": "cut.permute(0, 2, 4, 3, 5, 1)"},
        ),
        Mistake(
            "patches turned",
            "every patch is mirrored at its diagonal: inside a patch, the row comes before the column",
            {"cut.permute(0, 2, 4, 1, 3, 5)": "cut.permute(0, 2, 4, 1, 5, 3)"},
        ),
        Mistake(
            "channels before patches",
            "your rows mix patches: the channel comes before the number of the patch. First what says which patch, "
            "then what says where in it",
            {"cut.permute(0, 2, 4, 1, 3, 5)": "cut.permute(0, 1, 2, 4, 3, 5)"},
        ),
        Mistake(
            "grid and side exchanged",
            "you cut h into (size, h / size): then neighbours in the last axis are pixels of one patch only by chance, "
            "and there are not {patches} patches. It is (h / size, size): {rows} rows of patches, each {size} pixels high",
            {
                "h // size, size, w // size, size)": "size, h // size, size, w // size)",
                "ordered.reshape(N, -1, c * size * size)": "ordered.flatten(3).flatten(1, 2)",
            },
        ),
        Mistake(
            "every size-th pixel",
            "your patches are combs: each takes one row of {rows} and one column of {columns} from all over the image. You cut "
            "h into (size, h / size); it is to be (h / size, size), so that a patch is a block of neighbours",
            {
                "h // size, size, w // size, size)": "size, h // size, size, w // size)",
                "cut.permute(0, 2, 4, 1, 3, 5)": "cut.permute(0, 3, 5, 1, 2, 4)",
            },
        ),
        Mistake(
            "both cuts at the end",
            "you cut into (h / size, w / size, size, size) at once. `reshape` can only cut an axis where it is: h becomes "
            "(h / size, size), and w, after it, (w / size, size)",
            {"h // size, size, w // size, size)": "h // size, w // size, size, size)"},
        ),
        Mistake(
            "both cuts at the end, then ordered",
            "you cut into (h / size, w / size, size, size) at once. `reshape` can only cut an axis where it is: h becomes "
            "(h / size, size), and w, after it, (w / size, size)",
            {
                "h // size, size, w // size, size)": "h // size, w // size, size, size)",
                "cut.permute(0, 2, 4, 1, 3, 5)": "cut.permute(0, 2, 3, 1, 4, 5)",
            },
        ),
        Mistake(
            "patches are columns",
            "your result is (N, {numbers}, {patches}), as `torch.nn.functional.unfold` gives it: transpose it, so "
            "that each patch is a row",
            {"ordered.reshape(N, -1, c * size * size)": "ordered.flatten(3).flatten(1, 2).transpose(1, 2)"},
        ),
        Mistake(
            "unfolded at every pixel",
            "your squares begin at every pixel and overlap: `unfold` moves by 1 unless it is told `stride=size`. There "
            "are to be {patches} patches of this image",
            {"ordered.reshape(N, -1, c * size * size)": ("torch.nn.functional.unfold(images, size).transpose(1, 2)")},
        ),
        Mistake(
            "squares one pixel apart",
            "your squares are one pixel apart, and overlap: the patch in row i and column j begins at pixel (i * {size}, "
            "j * {size})",
            {
                "ordered.reshape(N, -1, c * size * size)": (
                    "torch.stack([images[:, :, i : i + size, j : j + size].flatten(1) for i in range(h // size) "
                    "for j in range(w // size)], 1)"
                )
            },
        ),
        Mistake(
            "the grid kept",
            "your patches still stand in a grid, (N, {rows}, {columns}, {numbers}): make one axis of its rows and columns",
            {"ordered.reshape(N, -1, c * size * size)": "ordered.flatten(3)"},
        ),
        Mistake(
            "patches not flattened",
            "each of your patches is still (3, {size}, {size}): write its numbers into one row of {numbers}",
            {"ordered.reshape(N, -1, c * size * size)": "ordered.flatten(1, 2)"},
        ),
    ],
    "embed_patches": [
        Mistake(
            "no positions",
            "the positions are missing: a patch says what it shows, but not where it stands, and to the model an image "
            "is a bag of patches",
            {'hidden + weights["positions"]': "hidden"},
        ),
        Mistake(
            "no bias",
            'the projection has no bias: add weights["patch_bias"]',
            {'weights["patch"], weights["patch_bias"]': 'weights["patch"]'},
        ),
        Mistake(
            "matrix turned",
            'you multiply by weights["patch"] as it stands. It is (D, {numbers}), (out, in) as PyTorch keeps it: '
            "F.linear(x, W) is x @ W.T",
            {
                'linear(patches, weights["patch"], weights["patch_bias"])': 'patches @ weights["patch"] + weights["patch_bias"]'
            },
        ),
        Mistake(
            "positions concatenated",
            "you put the positions beside the patches, which makes {width} + {width} numbers. They are added: the "
            "matrix learns to leave them room",
            {'hidden + weights["positions"]': 'torch.cat((hidden, weights["positions"].expand_as(hidden)), dim=-1)'},
        ),
        Mistake(
            "scaled by the root of the width",
            "you multiply by sqrt(D) = {root} before the positions are added. Some models do that to words; a ViT does "
            "not to patches",
            {'hidden + weights["positions"]': 'hidden * hidden.shape[-1] ** 0.5 + weights["positions"]'},
        ),
        Mistake(
            "one position for all",
            "you add the first row of the table to every patch; row p of the table belongs to patch p, and "
            "(N, P, D) + (P, D) does just that",
            {'hidden + weights["positions"]': 'hidden + weights["positions"][0]'},
        ),
        Mistake(
            "positions of the batch",
            "you choose positions by the image's number in the batch; each of the {patches} patches of every image "
            "has one, whichever image it is",
            {'hidden + weights["positions"]': 'hidden + weights["positions"][: len(hidden), None]'},
        ),
        Mistake(
            "multiplied by the positions",
            "you multiply by the positions; they are added",
            {'hidden + weights["positions"]': 'hidden * weights["positions"]'},
        ),
        Mistake(
            "positions twice",
            "the positions are added twice",
            {'hidden + weights["positions"]': 'hidden + 2 * weights["positions"]'},
        ),
        Mistake(
            "an activation after the projection",
            "you send the patches through an activation: the stem is one matrix and a bias, nothing else",
            {
                'linear(patches, weights["patch"], weights["patch_bias"])': (
                    'torch.nn.functional.gelu(linear(patches, weights["patch"], weights["patch_bias"]))'
                )
            },
        ),
    ],
}
