"""Wrong solutions of lesson 3 that look right, by exercise."""

from ojito.learn import Mistake

MISTAKES = {
    "attend": [
        Mistake(
            "scores not scaled",
            "your scores are not divided by sqrt(head size): they are {root}x too large, and the softmax too sharp",
            {" / q.shape[-1] ** 0.5": ""},
        ),
        Mistake(
            "divided by the head size",
            "your scores are divided by the head size itself, {size}, and not by its root: they are {root}x too small",
            {" / q.shape[-1] ** 0.5": " / q.shape[-1]"},
        ),
        Mistake(
            "divided by the root of the number of keys",
            "you divide by the root of {keys}, the number of keys; divide by that of K, the size of a head, {size}",
            {" / q.shape[-1] ** 0.5": " / k.shape[-2] ** 0.5"},
        ),
        Mistake(
            "keys not turned",
            "you multiply (B, H, {queries}, {size}) by (B, H, {keys}, {size}), which do not fit: the keys must be turned "
            "to (B, H, {size}, {keys}), with `k.transpose(-2, -1)`",
            {"k.transpose(-2, -1)": "k"},
        ),
        Mistake(
            "other axes of the keys exchanged",
            "you exchange heads and positions of the keys, axes 1 and 2: it is to be the last two, so that they are "
            "(B, H, {size}, {keys})",
            {"k.transpose(-2, -1)": "k.transpose(1, 2)"},
        ),
        Mistake(
            "mask inverted",
            "your mask is inverted: it hides what may be attended to, and shows the rest. True means: may attend",
            {"masked_fill(~mask": "masked_fill(mask"},
        ),
        Mistake(
            "mask added",
            "you add the mask to the scores: True counts as 1 there, and False as 0, so that nothing is hidden. What is "
            "hidden needs a score of -inf",
            {'scores.masked_fill(~mask, float("-inf"))': "scores + mask"},
        ),
        Mistake(
            "mask transposed",
            "your mask is transposed: its rows are queries and its columns are keys, (T, S), as those of the scores",
            {"masked_fill(~mask": "masked_fill(~mask.T"},
        ),
        Mistake(
            "mask ignored",
            "your mask has no effect: every query sees every key, so that a causal model reads the answer it is to "
            "give",
            {'scores.masked_fill(~mask, float("-inf"))': "scores"},
        ),
        Mistake(
            "zero is not hidden",
            "you hide a key with a score of 0, which is a score like any other: the softmax gives it weight e^0 = "
            "1. Only -inf becomes 0",
            {'~mask, float("-inf")': "~mask, 0.0"},
        ),
        Mistake(
            "softmax over the queries",
            "your softmax runs over the queries: for each key, the weights of all queries sum to 1. It belongs "
            "over the keys, the last axis",
            {"softmax(dim=-1)": "softmax(dim=-2)"},
        ),
        Mistake(
            "masked after the softmax",
            "you mask after the softmax: what is hidden has weight 0, but what is left no longer sums to 1",
            {
                'scores.masked_fill(~mask, float("-inf"))': "scores",
                "scores.softmax(dim=-1)": "scores.softmax(dim=-1).masked_fill(~mask, 0.0)",
            },
        ),
    ],
    "split_heads": [
        Mistake(
            "positions and heads mixed",
            "you cut the sequence and not the width: each head must hold D / H neighbouring numbers of every position. "
            "First view as (B, T, H, K), then exchange T and H",
            {"view(B, T, heads, D // heads).transpose(1, 2)": "reshape(B, heads, T, D // heads)"},
        ),
        Mistake(
            "not transposed",
            "heads come after positions in your result, (B, T, H, K): exchange the two, so that `@` works on each head",
            {".transpose(1, 2)\n\n\ndef self": "\n\n\ndef self"},
        ),
        Mistake(
            "heads interleaved",
            "your head 0 has every H-th number of the width; it is to have the first D / H",
            {
                "view(B, T, heads, D // heads).transpose(1, 2)\n\n": (
                    "view(B, T, D // heads, heads).permute(0, 3, 1, 2)\n\n"
                )
            },
        ),
        Mistake(
            "axes of a head exchanged",
            "each head is (D / H, T) in your result; it is to be (T, D / H)",
            {".transpose(1, 2)\n\n\ndef self": ".permute(0, 2, 3, 1)\n\n\ndef self"},
        ),
        Mistake(
            "head size and heads exchanged",
            "you make D / H heads of H numbers; there are to be H heads of D / H numbers",
            {"view(B, T, heads, D // heads).transpose(1, 2)\n\n": "view(B, T, D // heads, heads).transpose(1, 2)\n\n"},
        ),
    ],
    "self_attention": [
        Mistake(
            "keys made of the queries' matrix",
            'your keys are made with weights["q"]: queries and keys have a matrix each',
            {'linear(hidden, weights["k"], weights["k_bias"])': 'linear(hidden, weights["q"], weights["q_bias"])'},
        ),
        Mistake(
            "values are the keys",
            'your values are made with weights["k"]: what is found and what is handed over have a matrix each',
            {'linear(hidden, weights["v"], weights["v_bias"])': 'linear(hidden, weights["k"], weights["k_bias"])'},
        ),
        Mistake(
            "values with the keys' matrix",
            'your values are made with weights["k"] and the bias of the values: the matrix is to be weights["v"]',
            {'weights["v"], weights["v_bias"]': 'weights["k"], weights["v_bias"]'},
        ),
        Mistake(
            "values with the keys' bias",
            'your values have the bias of the keys: it is to be weights["v_bias"]',
            {'weights["v"], weights["v_bias"]': 'weights["v"], weights["k_bias"]'},
        ),
        Mistake(
            "values without bias",
            'your values have no bias: add weights["v_bias"]',
            {'weights["v"], weights["v_bias"]': 'weights["v"]'},
        ),
        Mistake(
            "values are the queries",
            'your values are made with weights["q"]: they have a matrix and a bias of their own, "v" and "v_bias"',
            {'linear(hidden, weights["v"], weights["v_bias"])': 'linear(hidden, weights["q"], weights["q_bias"])'},
        ),
        Mistake(
            "keys and values not cut into heads",
            "only your queries are cut into heads; keys and values are still (B, T, {D}). Send them through `split_heads`, "
            "too",
            {
                'split_heads(linear(hidden, weights["k"], weights["k_bias"]), heads)': (
                    'linear(hidden, weights["k"], weights["k_bias"])'
                ),
                'split_heads(linear(hidden, weights["v"], weights["v_bias"]), heads)': (
                    'linear(hidden, weights["v"], weights["v_bias"])'
                ),
            },
        ),
        Mistake(
            "no output projection",
            "the heads stand side by side and never meet: the output projection is missing",
            {'return linear(joined, weights["out"], weights["out_bias"])': "return joined"},
        ),
        Mistake(
            "no bias",
            'the output has no bias: add weights["out_bias"]',
            {'weights["out"], weights["out_bias"]': 'weights["out"]'},
        ),
        Mistake(
            "heads not transposed back",
            "you flatten (B, H, T, K) as it is: that mixes positions. Exchange H and T first, then join H and K",
            {"gathered.transpose(1, 2).flatten(2)": "gathered.reshape(*hidden.shape)"},
        ),
        Mistake(
            "heads interleaved",
            "the numbers of your heads alternate: the first {heads} are the first of each head. The first D / H are to "
            "be all those of head 0",
            {"gathered.transpose(1, 2).flatten(2)": "gathered.permute(0, 2, 3, 1).flatten(2)"},
        ),
        Mistake(
            "added to the input",
            "you add the input to the result; the block around the attention does that, in lesson 4, and it would be "
            "added twice",
            {
                'return linear(joined, weights["out"], weights["out_bias"])': (
                    'return hidden + linear(joined, weights["out"], weights["out_bias"])'
                )
            },
        ),
        Mistake(
            "output matrix turned",
            'you multiply by weights["out"] and not by its transpose: F.linear(x, W) is x @ W.T, since W is (out, in)',
            {'weights["out"], weights["out_bias"]': 'weights["out"].T, weights["out_bias"]'},
        ),
    ],
}
