"""How lesson 9 is checked."""

import torch
from torch import nn

from ojito.config import DecoderConfig
from ojito.learn import Case, Exercise, Mistake, Question
from ojito.model.attention import attend
from ojito.model.decoder import Block
from ojito.model.mlp import GatedMLP
from ojito.model.norms import RMSNormPlusOne

QUESTION = Question(
    "PaliGemma-3B's decoder has D = 2048, H = 8, G = 1, K = 256 and F = 16,384. Of the parameters of one of its "
    "blocks, the MLP has",
    {
        "a": "a third: queries, keys, values and output are four matrices, the MLP has three",
        "b": "two thirds, as in the first transformers",
        "c": "91%: attention, which everybody talks about, is the small part",
    },
    "c",
    "The MLP's three matrices have 3 D F = 100.7 million numbers. Attention has two of D x 2048, for queries and output, "
    "and two of D x 256 for its one head of keys and values: 9.4 million. All blocks together: 18 x 110.1 million.",
)
EPS = 1e-6


def rms_norm_cases():
    made = torch.Generator().manual_seed(0)
    hidden = 3 * torch.randn(2, 3, 6, generator=made) + 1
    weight = torch.randn(6, generator=made) / 4
    yield Case("two rows of three positions", {"hidden": hidden, "weight": weight, "eps": EPS})
    yield Case("numbers so small that eps counts", {"hidden": hidden / 2000, "weight": weight, "eps": EPS})
    hidden, weight = torch.randn(2, 5, 32, generator=made).bfloat16(), (torch.randn(32, generator=made) / 40).bfloat16()
    yield Case("bfloat16", {"hidden": hidden, "weight": weight, "eps": EPS})
    hidden, weight = torch.randn(2, 3, 6, generator=made), torch.randn(6, generator=made) / 4
    yield Case("eps = 0.1", {"hidden": hidden, "weight": weight, "eps": 0.1})


def reference_rms_norm(hidden, weight, eps):
    norm = RMSNormPlusOne(len(weight), eps)
    norm.weight.data = weight
    return norm(hidden).detach()


def mlp_weights(width, inner, made):
    shapes = {"gate": (inner, width), "up": (inner, width), "down": (width, inner)}
    return {name: 2 * torch.randn(shape, generator=made) / shape[1] ** 0.5 for name, shape in shapes.items()}


def geglu_cases():
    made = torch.Generator().manual_seed(1)
    for name, width, inner in (("F = 10", 6, 10), ("F = D", 6, 6)):
        hidden = torch.randn(2, 3, width, generator=made)
        yield Case(name, {"hidden": hidden, "weights": mlp_weights(width, inner, made)})


def load(module, weights):
    """The library's module with these weights."""
    for name, weight in weights.items():
        module.get_submodule(name).weight.data = weight
    return module


def reference_geglu(hidden, weights):
    inner, width = weights["up"].shape
    return load(GatedMLP(width, inner, "gelu_tanh", bias=False), weights)(hidden).detach()


def attention_cases():
    made = torch.Generator().manual_seed(2)
    for name, heads, shared, keys in (
        ("four query heads, two key heads", 4, 2, 5),
        ("six query heads, two key heads, seven keys", 6, 2, 7),
        ("three query heads, one key head", 3, 1, 5),
    ):
        q = torch.randn(2, heads, 5, 16, generator=made)
        k, v = (torch.randn(2, shared, keys, 16, generator=made) for _ in range(2))
        mask = torch.ones(5, keys).tril(keys - 5).bool()
        yield Case(name, {"q": q, "k": k, "v": v, "mask": mask})
    mask = torch.ones(2, 1, 5, 5).tril().bool()
    mask[1, :, :, :3] = True
    yield Case("a mask for each row", {"q": q, "k": k, "v": v, "mask": mask})


def reference_attention(q, k, v, mask):
    return attend(q, k, v, mask if mask.ndim == 4 else mask[None, None], q.shape[-1] ** -0.5)


def looks_back(hidden):
    """Stands for attention: the mean of the positions so far, bent."""
    counts = torch.arange(1, hidden.shape[1] + 1)[:, None]
    return (hidden.cumsum(1) / counts).sin().roll(1, -1)


def block_cases():
    made = torch.Generator().manual_seed(3)
    for name, rows, length, eps in (
        ("two rows of three positions", 2, 3, EPS),
        ("one row of five positions", 1, 5, EPS),
        ("eps = 0.1", 2, 4, 0.1),
    ):
        norms = {norm: torch.randn(6, generator=made) / 4 for norm in ("norm1", "norm2")}
        hidden = 2 * torch.randn(rows, length, 6, generator=made)
        inputs = {
            "hidden": hidden,
            "weights": {**mlp_weights(6, 10, made), **norms},
            "attention": looks_back,
            "eps": eps,
        }
        yield Case(name, inputs)


class Given(nn.Module):
    """In the place of the library's attention."""

    def __init__(self, attention):
        super().__init__()
        self.attention = attention

    def forward(self, hidden, mask, rope, cache):
        return self.attention(hidden)


def reference_block(hidden, weights, attention, eps):
    inner, width = weights["up"].shape
    config = DecoderConfig(
        width=width, heads=1, mlp_dim=inner, activation="gelu_tanh", norm="rms_plus_one", norm_eps=eps
    )
    block = Block(config, 0)
    block.attention = Given(attention)
    names = {"norm1": "attention_norm", "norm2": "mlp_norm", **{name: f"mlp.{name}" for name in ("gate", "up", "down")}}
    return load(block, {names[name]: weight for name, weight in weights.items()})(hidden, torch.zeros(1)).detach()


EXERCISES = [
    Exercise(
        "rms_norm",
        lambda: list(rms_norm_cases()),
        [
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
                "you add eps to the root; it is added to the mean square, under the root. It shows where numbers are "
                "small",
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
        [
            "`keepdim=True` keeps the mean square (B, T, 1), which divides (B, T, D).",
            "x / torch.sqrt(mean_square + eps), all in float32.",
            "Last, (x * (1 + weight.float())).to(hidden.dtype).",
        ],
        reference=reference_rms_norm,
    ),
    Exercise(
        "geglu",
        lambda: list(geglu_cases()),
        [
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
        [
            'Two branches of hidden, each `linear` with a matrix of its own: weights["gate"] and weights["up"].',
            'The gate passes torch.nn.functional.gelu(..., approximate="tanh"), up passes nothing; what goes down is '
            "gate * up.",
        ],
        reference=reference_geglu,
    ),
    Exercise(
        "grouped_attention",
        lambda: list(attention_cases()),
        [
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
        [
            "With four query heads and two key heads, query heads 0 and 1 read key head 0, and 2 and 3 read key head 1.",
            "`repeat_interleave(shared, dim=1)` makes 0 0 1 1 of 0 1; `repeat` would make 0 1 0 1. The rest is lesson 3.",
        ],
        reference=reference_attention,
    ),
    Exercise(
        "decoder_block",
        lambda: list(block_cases()),
        [
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
        [
            "Two lines of the same form: hidden = hidden + branch(norm(hidden)).",
            'The first branch is attention with "norm1", the second is geglu with "norm2"; the second reads the stream '
            "as the first left it.",
        ],
        reference=reference_block,
    ),
]
