"""How lesson 4 is checked."""

import torch

from ojito.config import ViTConfig
from ojito.learn import Case, Exercise, Question
from ojito.model.attention import Attention
from ojito.model.mlp import PlainMLP
from ojito.model.vit import EncoderBlock

QUESTION = Question(
    "The stream that enters a block is multiplied by 1000. What the block adds to it is then",
    {"a": "1000 times as large", "b": "as large as before", "c": "about 30 times as large, the root of 1000"},
    "b",
    "Attention and MLP read a normed copy, and the norm divides the 1000 out again. So in a stream that has grown large, "
    "a block changes little: with random weights it adds about a fifth of the stream's length, and then a five-thousandth. "
    "It is one reason why late blocks of a deep pre-norm transformer may matter less than early ones.",
)


def layer_norm_cases():
    made = torch.Generator().manual_seed(0)
    for name, shape, spread, middle, eps in (
        ("two rows of five positions", (2, 5, 8), 3.0, 1.0, 1e-6),
        ("numbers so close together that eps counts", (3, 4, 6), 0.02, 0.0, 1e-3),
    ):
        hidden = torch.randn(shape, generator=made) * spread + middle
        weight, bias = torch.randn(2, shape[-1], generator=made)
        inputs = {"hidden": hidden, "weight": weight, "bias": bias, "eps": eps}
        yield Case(name, inputs, {"D": shape[-1], "less": shape[-1] - 1, "eps": eps})
    hidden = torch.randn(1, 3, 8, generator=made)
    hidden[0, 1] = 2.0
    weight, bias = torch.randn(2, 8, generator=made)
    inputs = {"hidden": hidden, "weight": weight, "bias": bias, "eps": 1e-6}
    yield Case("a position whose numbers are all 2", inputs, {"D": 8, "less": 7, "eps": 1e-6})


def reference_layer_norm(hidden, weight, bias, eps):
    norm = torch.nn.LayerNorm(len(weight), eps)  # what the library takes as its norm
    norm.load_state_dict({"weight": weight, "bias": bias})
    return norm(hidden).detach()


def mlp_weights(D, F, made):
    return {
        "up": torch.randn(F, D, generator=made) / D**0.5,
        "up_bias": torch.randn(F, generator=made),
        "down": torch.randn(D, F, generator=made) / F**0.5,
        "down_bias": torch.randn(D, generator=made),
    }


def mlp_cases():
    made = torch.Generator().manual_seed(1)
    for name, (B, T, D, F) in (("two rows of five positions", (2, 5, 6, 16)), ("one long row", (1, 9, 8, 20))):
        hidden = torch.randn(B, T, D, generator=made) * 1.5
        yield Case(name, {"hidden": hidden, "weights": mlp_weights(D, F, made)}, {"D": D, "F": F})


def reference_mlp(hidden, weights):
    F, D = weights["up"].shape
    module = PlainMLP(D, F, "gelu_tanh", bias=True)
    state = {
        f"{name.removesuffix('_bias')}.{'bias' if 'bias' in name else 'weight'}": one for name, one in weights.items()
    }
    module.load_state_dict(state)
    return module(hidden).detach()


def block_cases():
    made = torch.Generator().manual_seed(2)
    for name, (B, T, D, F, H), spread, eps in (
        ("two rows of five positions", (2, 5, 12, 20, 3), 1, 1e-6),
        ("one row, large numbers", (1, 7, 8, 24, 2), 5, 1e-6),
        ("an eps so large that it counts", (2, 4, 8, 16, 2), 1, 0.5),
    ):
        attention = Attention(D, H).requires_grad_(False)
        for parameter in attention.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=made) / D**0.5)
        norms = {
            one: torch.randn(D, generator=made) * 0.3 + ("bias" not in one)
            for one in ("norm1", "norm1_bias", "norm2", "norm2_bias")
        }
        hidden = torch.randn(B, T, D, generator=made) * spread
        weights = {**norms, **mlp_weights(D, F, made)}
        yield Case(name, {"hidden": hidden, "weights": weights, "attention": attention, "eps": eps}, {"eps": eps})


def reference_block(hidden, weights, attention, eps):
    F, D = weights["up"].shape
    config = ViTConfig(width=D, mlp_dim=F, heads=attention.heads, activation="gelu_tanh", norm_eps=eps)
    block = EncoderBlock(config)
    block.attention = attention
    theirs = {"norm1": "attention_norm", "norm2": "mlp_norm", "up": "mlp.up", "down": "mlp.down"}
    state = {
        f"{theirs[name.removesuffix('_bias')]}.{'bias' if 'bias' in name else 'weight'}": one
        for name, one in weights.items()
    }
    block.load_state_dict(state | {f"attention.{name}": one for name, one in attention.state_dict().items()})
    return block(hidden).detach()


EXERCISES = [
    Exercise(
        "layer_norm",
        lambda: list(layer_norm_cases()),
        hints=[
            "Every mean is over the last axis, and must stay an axis: `mean(dim=-1, keepdim=True)`.",
            "The variance is the mean of the centred numbers' squares.",
            "Divide the centred numbers by `(variance + eps).sqrt()`.",
        ],
        reference=reference_layer_norm,
    ),
    Exercise(
        "mlp",
        lambda: list(mlp_cases()),
        hints=[
            "The GELU comes between the two matrices; the docstring says in which form.",
            '`gelu(raised, approximate="tanh")`, then `linear` with "down" and its bias.',
        ],
        reference=reference_mlp,
    ),
    Exercise(
        "encoder_block",
        lambda: list(block_cases()),
        hints=[
            "Two steps of one form: stream + reader(norm(stream)).",
            "The second norm reads the new stream, after attention was added to it, with weights of its own.",
            "hidden = hidden + attention(normed), and so with the MLP.",
        ],
        reference=reference_block,
    ),
]
