"""Wrong solutions of the milestone caption that look right, by exercise."""

from ojito.learn import Mistake

MISTAKES = {
    "see": [
        Mistake(
            "not projected",
            "you return the patches in the eye's width; the connector of lesson 7 brings them to the decoder's",
            {'return parts["07_connector"].project(patches, weights)': "return patches"},
        ),
        Mistake(
            "no bias",
            "you multiply by the connector's matrix, and leave out weights[\"connector_bias\"]: lesson 7's `project` "
            "does both",
            {
                'parts["07_connector"].project(patches, weights)': (
                    'torch.nn.functional.linear(patches, weights["connector"])'
                )
            },
        ),
        Mistake(
            "scaled by the root of the width",
            "you multiply the visual tokens by the root of the decoder's width: Gemma does so with text alone",
            {
                'return parts["07_connector"].project(patches, weights)': (
                    'return parts["07_connector"].project(patches, weights) * config["decoder"]["width"] ** 0.5'
                )
            },
        ),
        Mistake(
            "divided by the root of the width",
            "you divide the visual tokens by the root of the decoder's width. Older code does so, and multiplies them "
            "along with the text afterwards; here they are never multiplied",
            {
                'return parts["07_connector"].project(patches, weights)': (
                    'return parts["07_connector"].project(patches, weights) / config["decoder"]["width"] ** 0.5'
                )
            },
        ),
        Mistake(
            "one vector for the image",
            "you average over the patches: what is where is gone",
            {
                "project(patches, weights)": "project(patches.mean(1, keepdim=True), weights)",
            },
        ),
        Mistake(
            "shuffled",
            "you put pixel_shuffle before the matrix; PaliGemma has none: P visual tokens for P patches",
            {
                "project(patches, weights)": (
                    'project(parts["07_connector"].pixel_shuffle(patches, 1).flip(1), weights)'
                ),
            },
        ),
    ],
    "read": [
        Mistake(
            "text not scaled",
            "your text embeddings are as they lie in the table; Gemma multiplies them by the root of the width D",
            {' * decoder["width"] ** 0.5': ""},
        ),
        Mistake(
            "scaled by the width",
            "you multiply the embeddings by the width itself; it is its root",
            {' * decoder["width"] ** 0.5': ' * decoder["width"]'},
        ),
        Mistake(
            "divided by the root",
            "you divide the embeddings by the root of the width; Gemma multiplies",
            {' * decoder["width"] ** 0.5': ' / decoder["width"] ** 0.5'},
        ),
        Mistake(
            "scaled by the head's size",
            "you scale the embeddings by the root of the head size; attention does that with its scores. Here it is the "
            "width of the stream",
            {' * decoder["width"] ** 0.5': ' * decoder["head_size"] ** 0.5'},
        ),
        Mistake(
            "visual tokens scaled",
            "you scale after the merge, and the visual tokens along with the text: scale first, then merge",
            {
                ' * decoder["width"] ** 0.5': "",
                "merge(embeddings, visual, is_image)": 'merge(embeddings, visual, is_image) * decoder["width"] ** 0.5',
            },
        ),
        Mistake(
            "no image",
            "your decoder reads the placeholders' embeddings: the visual tokens never take their places, and the model "
            "answers without looking",
            {'parts["07_connector"].merge(embeddings, visual, is_image)': "embeddings"},
        ),
        Mistake(
            "image twice",
            "you put the visual tokens in front of the row, which has placeholders for them already",
            {
                'parts["07_connector"].merge(embeddings, visual, is_image)': "torch.cat((visual, embeddings), dim=1)",
                "prefix(ids.shape[1], prefix_lengths)": "prefix(ids.shape[1] + 9, prefix_lengths + 9)",
            },
        ),
        Mistake(
            "causal",
            "your mask is causal everywhere: image and question are to see each other in both directions",
            {"prefix(ids.shape[1], prefix_lengths)[:, None]": "causal(ids.shape[1])"},
        ),
        Mistake(
            "everything seen",
            "every position of yours sees every other: a training row could read its answer before it gives it",
            {
                'parts["10_masks"].prefix(ids.shape[1], prefix_lengths)[:, None]': "torch.ones(ids.shape[1], ids.shape[1]).bool()"
            },
        ),
        Mistake(
            "image alone is prefix",
            "only the image is read in both directions in yours; the question belongs to the prefix, too",
            {"prefix(ids.shape[1], prefix_lengths)": "prefix(ids.shape[1], is_image.sum(1))"},
        ),
        Mistake(
            "no axis of heads",
            "your mask is (B, T, T), and attention takes it for (H, T, T) of one row: add an axis for the heads, "
            "(B, 1, T, T)",
            {"prefix(ids.shape[1], prefix_lengths)[:, None]": "prefix(ids.shape[1], prefix_lengths)"},
        ),
        Mistake(
            "first row's mask for all",
            "all rows have the first row's mask; their prefixes are of different lengths",
            {"prefix_lengths)[:, None]": "prefix_lengths[:1])[:, None]"},
        ),
        Mistake(
            "rows for positions",
            "your mask is for B positions, the number of rows; ids are (B, T), and it is to be for T",
            {"prefix(ids.shape[1], prefix_lengths)": "prefix(ids.shape[0], prefix_lengths)"},
        ),
        Mistake(
            "inverted",
            "your mask is inverted: True is for what a position may see",
            {
                'mask = parts["10_masks"].prefix(ids.shape[1], prefix_lengths)': (
                    'mask = ~parts["10_masks"].prefix(ids.shape[1], prefix_lengths)'
                )
            },
        ),
    ],
    "answer": [
        Mistake(
            "encoded again and again",
            "your answer is right, and the image was encoded anew for each of its tokens. See once, before the loop: "
            "in PaliGemma-3B the eye is 400 million of the parameters",
            {"return read(visual, everything": "return read(see(pixels[None], weights, config, parts), everything"},
        ),
        Mistake(
            "no batch of images",
            "you give `see` one image, (3, h, w): it takes a batch, (N, 3, h, w). pixels[None] is a batch of one",
            {"see(pixels[None], weights": "see(pixels, weights"},
        ),
        Mistake(
            "the prefix grows",
            "your prefix grows with the answer: what was written sees what comes after it, as it never did in training. "
            "It is as long as the prompt, and stays so",
            {"everything, prefix_lengths, weights": "everything, torch.tensor([everything.shape[1]]), weights"},
        ),
        Mistake(
            "causal prompt",
            "your prefix is empty: image and question are read like an answer, one after the other",
            {"torch.tensor([len(prompt)])  #": "torch.tensor([0])  #"},
        ),
        Mistake(
            "image alone is prefix",
            "only the image is read in both directions; the prefix is the whole prompt",
            {"torch.tensor([len(prompt)])  #": "torch.tensor([P])  #"},
        ),
        Mistake(
            "question's length as prefix",
            "your prefix is as long as the question; the image and bos stand before it and belong to it",
            {"torch.tensor([len(prompt)])  #": "torch.tensor([len(question)])  #"},
        ),
        Mistake(
            "one short",
            "your prefix leaves out the last token of the prompt, the separator: it is all of the prompt",
            {"torch.tensor([len(prompt)])  #": "torch.tensor([len(prompt) - 1])  #"},
        ),
        Mistake(
            "new token alone",
            "you give `read` the new token alone: it keeps no cache, and knows nothing of the rest. Join all of "
            "`so_far`",
            {"torch.cat(so_far, dim=1)": "ids"},
        ),
        Mistake(
            "prompt alone",
            "you give `read` the first ids again and again, the prompt: it never reads what it wrote",
            {"torch.cat(so_far, dim=1)": "so_far[0]"},
        ),
        Mistake(
            "joined backwards",
            "you join the ids with the newest in front: text is read in the order in which it was written",
            {"torch.cat(so_far, dim=1)": "torch.cat(so_far[::-1], dim=1)"},
        ),
        Mistake(
            "joined as rows",
            "you join along the rows, axis 0; the tokens of a row lie along axis 1",
            {"torch.cat(so_far, dim=1)": "torch.cat(so_far)"},
        ),
        Mistake(
            "separator left out",
            "your prompt has no separator: the model does not know that the question is over",
            {'config["bos"], question, separator)': 'config["bos"], question, [])'},
        ),
        Mistake(
            "question left out",
            "your prompt has no question",
            {'config["bos"], question, separator)': 'config["bos"], [], separator)'},
        ),
        Mistake(
            "eos for bos",
            "your prompt begins its text with eos; it is bos",
            {'P, config["bos"]': 'P, config["eos"]'},
        ),
    ],
}
