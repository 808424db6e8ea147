"""Wrong solutions of the milestone encode that look right, by exercise."""

from ojito.learn import Mistake

_LOOP = "for layer in range(layers):"

MISTAKES = {
    "encode": [
        Mistake(
            "no last norm",
            "the last norm is missing: the stream leaves the tower as large as {layers} blocks have made it",
            {'block.layer_norm(hidden, weights["norm"], weights["norm_bias"], eps)': "hidden"},
        ),
        Mistake(
            "a norm after every block",
            "you apply the last norm after each of the {layers} blocks; it stands behind the last one only, and the "
            "stream between blocks is left as it is",
            {
                "hidden = block.encoder_block(hidden, own, attend, eps)": (
                    'hidden = block.layer_norm(block.encoder_block(hidden, own, attend, eps), weights["norm"], '
                    'weights["norm_bias"], eps)'
                ),
                'return block.layer_norm(hidden, weights["norm"], weights["norm_bias"], eps)': "return hidden",
            },
        ),
        Mistake(
            "the first block's weights in all",
            "all {layers} blocks work with the weights of the first one: the prefix must name the block",
            {'f"layers.{layer}."': '"layers.0."'},
        ),
        Mistake(
            "a block's weights not found",
            'a block looks for "norm1" among its own weights, and it is not there. Either the prefix is still on the '
            'names, or its dot is (".norm1"); or you count blocks from 1, and the last is layers.{last}; or it gets '
            "all weights and not its own",
            {'f"layers.{layer}."': 'f"layers.{layer}"'},
        ),
        Mistake(
            "cut by the dots alone",
            'you take the last part of every name that begins with "layers.1", which "layers.10" does as well: block '
            "1 works with weights of block 10. The prefix ends in a dot",
            {
                "name.removeprefix(prefix): one": 'name.split(".")[-1]: one',
                'f"layers.{layer}."': 'f"layers.{layer}"',
            },
        ),
        Mistake(
            "what a block returns is dropped",
            "the blocks run, and what they return is dropped: a block does not change its input, so assign its result to "
            "hidden",
            {"hidden = block.encoder_block(": "block.encoder_block("},
        ),
        Mistake(
            "a mask of numbers",
            "your mask is of numbers, and attention wants True and False: end it with `.bool()`",
            {"torch.ones(P, P).bool()": "torch.ones(P, P)"},
        ),
        Mistake(
            "one block too few",
            "the last block, layers.{last}, does not run",
            {_LOOP: "for layer in range(layers - 1):"},
        ),
        Mistake(
            "last block first",
            "the blocks run in reverse: layers.0 stands next to the stem",
            {_LOOP: "for layer in reversed(range(layers)):"},
        ),
        Mistake(
            "a causal mask",
            "your mask is causal: a patch sees those before it in reading order only, and the top left one nothing but "
            "itself. An image is there at once, and all {patches} patches see all",
            {"torch.ones(P, P).bool()": "torch.ones(P, P).tril().bool()"},
        ),
        Mistake(
            "a mask of False",
            "your mask is False everywhere: no patch may look at any, and the softmax of nothing but -inf is NaN. True "
            "means: may attend",
            {"torch.ones(P, P).bool()": "torch.zeros(P, P).bool()"},
        ),
        Mistake(
            "an eps of its own in the blocks",
            "your blocks take an eps of their own: it is an argument of `encode`, {eps} here",
            {"(hidden, own, attend, eps)": "(hidden, own, attend, 1e-6)"},
        ),
        Mistake(
            "PyTorch's eps in the blocks",
            "your blocks take 1e-5, PyTorch's default, for eps: it is an argument of `encode`, {eps} here",
            {"(hidden, own, attend, eps)": "(hidden, own, attend, 1e-5)"},
        ),
        Mistake(
            "PyTorch's eps everywhere",
            "your norms take 1e-5, PyTorch's default, for eps: it is an argument of `encode`, {eps} here",
            {
                "(hidden, own, attend, eps)": "(hidden, own, attend, 1e-5)",
                'weights["norm_bias"], eps)': 'weights["norm_bias"], 1e-5)',
            },
        ),
        Mistake(
            "an eps of its own in the last norm",
            "your last norm takes an eps of its own: it is an argument of `encode`, {eps} here",
            {'weights["norm_bias"], eps)': 'weights["norm_bias"], 1e-6)'},
        ),
        Mistake(
            "each patch alone",
            "your mask lets each patch look at itself only: the attention mixes nothing",
            {"torch.ones(P, P).bool()": "torch.eye(P).bool()"},
        ),
        Mistake(
            "one head",
            "your attention has one head of the whole width; there are to be {heads}. The shapes agree either way",
            {"(normed, own, heads, everywhere)": "(normed, own, 1, everywhere)"},
        ),
        Mistake(
            "attention reads the stream",
            "your `attend` ignores what it is given and reads the stream: the block has normed a copy for it",
            {"attention.self_attention(normed,": "attention.self_attention(hidden,"},
        ),
        Mistake(
            "added twice",
            "you add the stream to what a block returns; the block has done so already",
            {
                "hidden = block.encoder_block(hidden, own, attend, eps)": (
                    "hidden = hidden + block.encoder_block(hidden, own, attend, eps)"
                )
            },
        ),
        Mistake(
            "the norm of the last block",
            "your last norm uses the weights of a norm inside the last block; the tower has its own, weights["
            '"norm"] and weights["norm_bias"]',
            {
                'block.layer_norm(hidden, weights["norm"], weights["norm_bias"], eps)': (
                    'block.layer_norm(hidden, own["norm2"], own["norm2_bias"], eps)'
                )
            },
        ),
    ],
}
