"""How lesson 9 is checked."""

import torch
from torch import nn

from ojito.config import DecoderConfig
from ojito.learn import Case, Exercise, Question
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
        hints=[
            "`keepdim=True` keeps the mean square (B, T, 1), which divides (B, T, D).",
            "x / torch.sqrt(mean_square + eps), all in float32.",
            "Last, (x * (1 + weight.float())).to(hidden.dtype).",
        ],
        reference=reference_rms_norm,
    ),
    Exercise(
        "geglu",
        lambda: list(geglu_cases()),
        hints=[
            'Two branches of hidden, each `linear` with a matrix of its own: weights["gate"] and weights["up"].',
            'The gate passes torch.nn.functional.gelu(..., approximate="tanh"), up passes nothing; what goes down is '
            "gate * up.",
        ],
        reference=reference_geglu,
    ),
    Exercise(
        "grouped_attention",
        lambda: list(attention_cases()),
        hints=[
            "With four query heads and two key heads, query heads 0 and 1 read key head 0, and 2 and 3 read key head 1.",
            "`repeat_interleave(shared, dim=1)` makes 0 0 1 1 of 0 1; `repeat` would make 0 1 0 1. The rest is lesson 3.",
        ],
        reference=reference_attention,
    ),
    Exercise(
        "decoder_block",
        lambda: list(block_cases()),
        hints=[
            "Two lines of the same form: hidden = hidden + branch(norm(hidden)).",
            'The first branch is attention with "norm1", the second is geglu with "norm2"; the second reads the stream '
            "as the first left it.",
        ],
        reference=reference_block,
    ),
]
