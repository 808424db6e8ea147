"""Wrong solutions of lesson 9 that look right, by exercise."""

from ojito.learn import Mistake

MISTAKES = {
    "rms_norm": [
        Mistake(
            "weight without 1",
            "you multiply by the weight itself, as LLaMA does. Gemma's weights are what is added to 1: they lie "
            "around 0, and so your result does",
            {"(1 + weight.float())": "weight.float()"},
        ),
        Mistake(
            "mean subtracted",
            "you subtract the mean first, as LayerNorm does; RMSNorm leaves it where it is",
            {"x = hidden.float()": "x = hidden.float()\n    x = x - x.mean(dim=-1, keepdim=True)"},
        ),
        Mistake(
            "variance",
            "you divide by the root of the variance, the squares around the mean; it is the mean of the squares "
            "themselves",
            {"x.square().mean(dim=-1, keepdim=True)": "x.var(dim=-1, keepdim=True, correction=0)"},
        ),
        Mistake(
            "variance, divided by D - 1",
            "you divide by the root of `var`, the squares around the mean, and divided by D - 1; it is the mean of the "
            "squares themselves",
            {"x.square().mean(dim=-1, keepdim=True)": "x.var(dim=-1, keepdim=True)"},
        ),
        Mistake(
            "square of the mean",
            "you square the mean; it is the mean of the squares: square first",
            {"x.square().mean(dim=-1, keepdim=True)": "x.mean(dim=-1, keepdim=True).square()"},
        ),
        Mistake(
            "eps always 1e-6",
            "your eps is always 1e-6: take the argument",
            {"torch.sqrt(mean_square + eps)": "torch.sqrt(mean_square + 1e-6)"},
        ),
        Mistake(
            "no root",
            "you divide by the mean square itself, and not by its root",
            {"torch.sqrt(mean_square + eps)": "(mean_square + eps)"},
        ),
        Mistake(
            "sum of squares",
            "you divide by the root of the sum of the squares, the length: the result is sqrt(D) times too small",
            {"x.square().mean(dim=-1, keepdim=True)": "x.square().sum(dim=-1, keepdim=True)"},
        ),
        Mistake(
            "mean over all positions",
            "you take one mean over everything: each position has its own, or a token would depend on its neighbours",
            {"x.square().mean(dim=-1, keepdim=True)": "x.square().mean()"},
        ),
        Mistake(
            "axis dropped",
            "your mean square is (B, T), which does not divide (B, T, D): keepdim=True keeps it (B, T, 1)",
            {"dim=-1, keepdim=True)": "dim=-1)"},
        ),
        Mistake(
            "mean along the positions",
            "your mean runs along the positions, dim=1; it belongs along the width, the last axis",
            {"x.square().mean(dim=-1, keepdim=True)": "x.square().mean(dim=1, keepdim=True)"},
        ),
        Mistake(
            "eps beside the root",
            "you add eps to the root; it is added to the mean square, under the root. It shows where numbers are small",
            {"torch.sqrt(mean_square + eps)": "(torch.sqrt(mean_square) + eps)"},
        ),
        Mistake(
            "no eps",
            "eps is missing: a position of zeros would be 0 / 0",
            {"torch.sqrt(mean_square + eps)": "torch.sqrt(mean_square)"},
        ),
        Mistake(
            "squares in bfloat16",
            "where hidden is bfloat16, you do not compute in float32: begin with hidden.float()",
            {"x = hidden.float()": "x = hidden"},
        ),
        Mistake(
            "mean square in bfloat16",
            "where hidden is bfloat16, your mean square is, too: square x, which is float32, and not hidden",
            {"x.square()": "hidden.square()"},
        ),
        Mistake(
            "one plus weight in bfloat16",
            "where the weight is bfloat16, you add 1 to it before it is float32: near 1, bfloat16 has steps of 1/128, "
            "and small weights are gone. Write 1 + weight.float()",
            {"(1 + weight.float())": "(1 + weight)"},
        ),
        Mistake(
            "cast before the weight",
            "where hidden is bfloat16, you cast before you multiply by 1 + weight, as LLaMA does. Gemma multiplies in "
            "float32, and casts last",
            {"(x * (1 + weight.float())).to(hidden.dtype)": "x.to(hidden.dtype) * (1 + weight).to(hidden.dtype)"},
        ),
        Mistake(
            "float32 returned",
            "your result stays float32 where hidden is bfloat16: cast it to hidden.dtype",
            {"(x * (1 + weight.float())).to(hidden.dtype)": "(x * (1 + weight.float()))"},
        ),
    ],
    "geglu": [
        Mistake(
            "gate and up exchanged",
            "your GELU is on `up`; it belongs on the gate, and `up` passes as it is",
            {
                'linear(hidden, weights["gate"])': 'linear(hidden, weights["up"])',
                'up = linear(hidden, weights["up"])': 'up = linear(hidden, weights["gate"])',
            },
        ),
        Mistake(
            "exact GELU",
            'your GELU is the exact one, off by up to 0.0005: Gemma was trained with approximate="tanh"',
            {', approximate="tanh"': ""},
        ),
        Mistake(
            "SiLU",
            "your gate passes a SiLU: that is SwiGLU, as in LLaMA. Gemma has a GELU",
            {
                'torch.nn.functional.gelu(linear(hidden, weights["gate"]), approximate="tanh")': (
                    'torch.nn.functional.silu(linear(hidden, weights["gate"]))'
                )
            },
        ),
        Mistake(
            "sigmoid",
            "your gate passes a sigmoid: that is the first GLU. Gemma has a GELU",
            {
                'torch.nn.functional.gelu(linear(hidden, weights["gate"]), approximate="tanh")': (
                    'torch.sigmoid(linear(hidden, weights["gate"]))'
                )
            },
        ),
        Mistake(
            "no activation",
            "your gate passes no GELU: the product of two linear maps is left",
            {
                'torch.nn.functional.gelu(linear(hidden, weights["gate"]), approximate="tanh")': (
                    'linear(hidden, weights["gate"])'
                )
            },
        ),
        Mistake(
            "GELU on the product",
            "your GELU comes after the product; it belongs on the gate alone, before it",
            {
                'torch.nn.functional.gelu(linear(hidden, weights["gate"]), approximate="tanh")': (
                    'linear(hidden, weights["gate"])'
                ),
                "linear(gate * up": 'linear(torch.nn.functional.gelu(gate * up, approximate="tanh")',
            },
        ),
        Mistake(
            "added",
            "you add gate and up; a gate multiplies: where it is 0, nothing passes",
            {"gate * up": "gate + up"},
        ),
        Mistake(
            "no up",
            "only the gate goes down: that is the plain MLP. Multiply it by `up` first",
            {"gate * up": "gate"},
        ),
        Mistake(
            "gate used twice",
            'both of your branches are made with weights["gate"]',
            {'up = linear(hidden, weights["up"])': 'up = linear(hidden, weights["gate"])'},
        ),
        Mistake(
            "GELU on both",
            "you have a GELU on `up`, too; only the gate passes one",
            {
                'up = linear(hidden, weights["up"])': (
                    'up = torch.nn.functional.gelu(linear(hidden, weights["up"]), approximate="tanh")'
                )
            },
        ),
    ],
    "grouped_attention": [
        Mistake(
            "heads tiled",
            "you repeat the key heads as 0 1 0 1: query heads 0 and 1 then read different keys. Neighbours share: "
            "0 0 1 1, repeat_interleave",
            {
                "k.repeat_interleave(shared, dim=1)": "k.repeat(1, shared, 1, 1)",
                "v.repeat_interleave(shared, dim=1)": "v.repeat(1, shared, 1, 1)",
            },
        ),
        Mistake(
            "keys tiled",
            "you repeat the keys as 0 1 0 1, but the values as 0 0 1 1: both are 0 0 1 1",
            {"k.repeat_interleave(shared, dim=1)": "k.repeat(1, shared, 1, 1)"},
        ),
        Mistake(
            "values tiled",
            "you repeat the values as 0 1 0 1, but the keys as 0 0 1 1: both are 0 0 1 1",
            {"v.repeat_interleave(shared, dim=1)": "v.repeat(1, shared, 1, 1)"},
        ),
        Mistake(
            "first head for all",
            "all your query heads read the first head of keys and values; head h reads head h // (H / G)",
            {
                "k.repeat_interleave(shared, dim=1)": "k[:, :1]",
                "v.repeat_interleave(shared, dim=1)": "v[:, :1]",
            },
        ),
        Mistake(
            "repeated G times",
            "you repeat each head G times; it is to be H / G times, so that there are H",
            {"q.shape[1] // k.shape[1]": "k.shape[1]"},
        ),
        Mistake(
            "keys repeated along the sequence",
            "you repeat along dim=2, the positions: the heads are dim=1",
            {
                "k.repeat_interleave(shared, dim=1)": "k.repeat_interleave(shared, dim=2)",
                "v.repeat_interleave(shared, dim=1)": "v.repeat_interleave(shared, dim=2)",
            },
        ),
        Mistake(
            "not repeated",
            "keys and values still have G heads, and the queries H: repeat them, or `@` cannot match the two",
            {
                "k.repeat_interleave(shared, dim=1)": "k",
                "v.repeat_interleave(shared, dim=1)": "v",
            },
        ),
        Mistake(
            "mask without effect",
            "your mask has no effect: positions attend to keys that it hides. Fill those scores with -inf",
            {'scores.masked_fill(~mask, float("-inf"))': "scores"},
        ),
        Mistake(
            "mask inverted",
            "you hide what may be attended to, and a query that may attend to all is left with nothing, NaN. True "
            "means: may attend. Fill where ~mask is True",
            {"scores.masked_fill(~mask,": "scores.masked_fill(mask,"},
        ),
        Mistake(
            "always causal",
            "your attention is always causal, from the first key on: take the mask that you were given",
            {"scores.masked_fill(~mask,": "scores.masked_fill(~torch.ones_like(mask).tril(),"},
        ),
        Mistake(
            "scores not scaled",
            "your scores are not divided by sqrt(K), 4: the softmax is too sharp",
            {" / q.shape[-1] ** 0.5": ""},
        ),
        Mistake(
            "divided by the head size",
            "your scores are divided by K, 16, and not by its root",
            {" / q.shape[-1] ** 0.5": " / q.shape[-1]"},
        ),
        Mistake(
            "scaled by the width",
            "you divide by the root of H K; each head divides by the root of its own size K",
            {" / q.shape[-1] ** 0.5": " / (q.shape[1] * q.shape[-1]) ** 0.5"},
        ),
    ],
    "decoder_block": [
        Mistake(
            "MLP first",
            "your MLP comes before attention; attention comes first, and the MLP reads what it added",
            {
                'hidden = hidden + attention(rms_norm(hidden, weights["norm1"], eps))': (
                    'hidden = hidden + geglu(rms_norm(hidden, weights["norm2"], eps), weights)'
                ),
                'return hidden + geglu(rms_norm(hidden, weights["norm2"], eps), weights)': (
                    'return hidden + attention(rms_norm(hidden, weights["norm1"], eps))'
                ),
            },
        ),
        Mistake(
            "eps not handed on",
            "your norms do not get the `eps` that you were given, but a number of yours: hand it on to both",
            {
                'weights["norm1"], eps)': 'weights["norm1"], 1e-6)',
                'weights["norm2"], eps)': 'weights["norm2"], 1e-6)',
            },
        ),
        Mistake(
            "stream lost at attention",
            "attention's result replaces the stream; it is to be added to it",
            {"hidden = hidden + attention(": "hidden = attention("},
        ),
        Mistake(
            "stream lost at the MLP",
            "the MLP's result replaces the stream; it is to be added to it",
            {"return hidden + geglu(": "return geglu("},
        ),
        Mistake(
            "post-norm",
            "you normalize the sums, as the first transformer did: the stream itself must pass untouched, and only "
            "what a branch reads is normalized",
            {
                'hidden + attention(rms_norm(hidden, weights["norm1"], eps))': (
                    'rms_norm(hidden + attention(hidden), weights["norm1"], eps)'
                ),
                'hidden + geglu(rms_norm(hidden, weights["norm2"], eps), weights)': (
                    'rms_norm(hidden + geglu(hidden, weights), weights["norm2"], eps)'
                ),
            },
        ),
        Mistake(
            "branches normalized at their ends",
            "you normalize what the branches return; normalize what they read",
            {
                'attention(rms_norm(hidden, weights["norm1"], eps))': (
                    'rms_norm(attention(hidden), weights["norm1"], eps)'
                ),
                'geglu(rms_norm(hidden, weights["norm2"], eps), weights)': (
                    'rms_norm(geglu(hidden, weights), weights["norm2"], eps)'
                ),
            },
        ),
        Mistake(
            "attention reads the stream as it is",
            'attention reads the stream as it is; normalize it with "norm1" first',
            {'attention(rms_norm(hidden, weights["norm1"], eps))': "attention(hidden)"},
        ),
        Mistake(
            "MLP reads the stream as it is",
            'the MLP reads the stream as it is; normalize it with "norm2" first',
            {'geglu(rms_norm(hidden, weights["norm2"], eps), weights)': "geglu(hidden, weights)"},
        ),
        Mistake(
            "added to the normalized stream",
            "you add attention's result to the normalized stream; add it to the stream as it was before the norm",
            {
                'hidden = hidden + attention(rms_norm(hidden, weights["norm1"], eps))': (
                    'hidden = rms_norm(hidden, weights["norm1"], eps)\n    hidden = hidden + attention(hidden)'
                )
            },
        ),
        Mistake(
            "always added to the normalized stream",
            "you add both results to the normalized stream; add them to the stream as it was before the norm",
            {
                'hidden = hidden + attention(rms_norm(hidden, weights["norm1"], eps))': (
                    'hidden = rms_norm(hidden, weights["norm1"], eps)\n    hidden = hidden + attention(hidden)'
                ),
                'return hidden + geglu(rms_norm(hidden, weights["norm2"], eps), weights)': (
                    'hidden = rms_norm(hidden, weights["norm2"], eps)\n    return hidden + geglu(hidden, weights)'
                ),
            },
        ),
        Mistake(
            "one norm twice",
            'your second norm has the weights of the first: take "norm2"',
            {'rms_norm(hidden, weights["norm2"], eps)': 'rms_norm(hidden, weights["norm1"], eps)'},
        ),
        Mistake(
            "norms exchanged",
            '"norm1" stands before attention, "norm2" before the MLP: yours are exchanged',
            {
                'rms_norm(hidden, weights["norm2"], eps)': 'rms_norm(hidden, weights["norm1"], eps)',
                'attention(rms_norm(hidden, weights["norm1"], eps))': (
                    'attention(rms_norm(hidden, weights["norm2"], eps))'
                ),
            },
        ),
        Mistake(
            "side by side",
            "your MLP reads the stream as it was before attention, side by side with it; it is to read what "
            "attention added",
            {
                'hidden = hidden + attention(rms_norm(hidden, weights["norm1"], eps))': (
                    'attended = attention(rms_norm(hidden, weights["norm1"], eps))'
                ),
                "return hidden + geglu(": "return hidden + attended + geglu(",
            },
        ),
        Mistake(
            "attention's result forgotten",
            "the MLP reads what attention added, but you add its result to the stream of before: what attention "
            "found is lost",
            {
                'hidden = hidden + attention(rms_norm(hidden, weights["norm1"], eps))': (
                    'before, hidden = hidden, hidden + attention(rms_norm(hidden, weights["norm1"], eps))'
                ),
                "return hidden + geglu(": "return before + geglu(",
            },
        ),
    ],
}
