"""How lesson 4 is checked."""

import torch

from ojito.config import ViTConfig
from ojito.learn import Case, Exercise, Mistake, Question
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


_FIRST_NORM = 'layer_norm(hidden, weights["norm1"], weights["norm1_bias"], eps)'
_SECOND_NORM = 'layer_norm(hidden, weights["norm2"], weights["norm2_bias"], eps)'

EXERCISES = [
    Exercise(
        "layer_norm",
        lambda: list(layer_norm_cases()),
        [
            Mistake(
                "divided by D - 1",
                "your variance divides the sum of {D} squares by {less}, as `var` and `std` do unless they are told "
                "`unbiased=False`. A norm divides by {D}",
                {
                    "centred.square().mean(dim=-1, keepdim=True)": (
                        "centred.square().sum(dim=-1, keepdim=True) / (hidden.shape[-1] - 1)"
                    )
                },
            ),
            Mistake(
                "over the positions",
                "you take mean and variance over the positions, axis 1: that ties a patch's numbers to those of the others. "
                "They are taken over the {D} numbers of each position, the last axis",
                {
                    "hidden.mean(dim=-1, keepdim=True)": "hidden.mean(dim=1, keepdim=True)",
                    "centred.square().mean(dim=-1, keepdim=True)": "centred.square().mean(dim=1, keepdim=True)",
                },
            ),
            Mistake(
                "over positions and width together",
                "you take one mean and one variance for all positions of a row: every position has its own, over its {D} "
                "numbers",
                {
                    "hidden.mean(dim=-1, keepdim=True)": "hidden.mean(dim=(-2, -1), keepdim=True)",
                    "centred.square().mean(dim=-1, keepdim=True)": "centred.square().mean(dim=(-2, -1), keepdim=True)",
                },
            ),
            Mistake(
                "over everything",
                "you take one mean and one variance of the whole tensor, so that what a row becomes depends on what else is "
                "in the batch. Every position has its own, over its {D} numbers",
                {
                    "hidden.mean(dim=-1, keepdim=True)": "hidden.mean()",
                    "centred.square().mean(dim=-1, keepdim=True)": "centred.square().mean()",
                },
            ),
            Mistake(
                "not centred",
                "the mean is not subtracted: that is RMSNorm, which Gemma has and a ViT has not",
                {"hidden - hidden.mean(dim=-1, keepdim=True)": "hidden"},
            ),
            Mistake(
                "variance of what is not centred",
                "you subtract the mean, but your variance is the mean square of the numbers before that: too large where "
                "their mean is not 0",
                {"centred.square().mean": "hidden.square().mean"},
            ),
            Mistake(
                "divided by D twice",
                "you divide the squares by {D} twice: their mean is their sum divided by {D} already",
                {
                    "centred.square().mean(dim=-1, keepdim=True)": (
                        "centred.square().mean(dim=-1, keepdim=True) / hidden.shape[-1]"
                    )
                },
            ),
            Mistake(
                "the mean left in",
                "your variance is right, but what you divide by its root are the numbers as they came: subtract their mean "
                "first",
                {"normed = centred /": "normed = hidden /"},
            ),
            Mistake(
                "an eps of its own",
                "you add 1e-6 to the variance whatever `eps` is: it is an argument, {eps} here",
                {"(variance + eps).sqrt()": "(variance + 1e-6).sqrt()"},
            ),
            Mistake(
                "PyTorch's eps",
                "you add 1e-5 to the variance, PyTorch's default, whatever `eps` is: it is an argument, {eps} here",
                {"(variance + eps).sqrt()": "(variance + 1e-5).sqrt()"},
            ),
            Mistake(
                "the axis lost",
                "your mean is (B, T), which cannot be subtracted from (B, T, {D}): keep the axis as one of size 1, with "
                "`keepdim=True`",
                {"hidden.mean(dim=-1, keepdim=True)": "hidden.mean(dim=-1)"},
            ),
            Mistake(
                "sum of the squares",
                "you add up the {D} squares and do not divide by {D}: sqrt({D}) too large a divisor",
                {"centred.square().mean": "centred.square().sum"},
            ),
            Mistake(
                "the standard deviation for the variance",
                "what you call the variance is its root already, the standard deviation (and `std` divides by {less}): you "
                "take the root twice",
                {"centred.square().mean(dim=-1, keepdim=True)": "centred.std(dim=-1, keepdim=True)"},
            ),
            Mistake(
                "no root",
                "you divide by the variance and not by its root, the standard deviation",
                {"(variance + eps).sqrt()": "(variance + eps)"},
            ),
            Mistake(
                "eps outside the root",
                "you add eps to the standard deviation; it belongs to the variance, under the root: sqrt(variance + eps)",
                {"(variance + eps).sqrt()": "(variance.sqrt() + eps)"},
            ),
            Mistake(
                "no eps",
                "eps is missing: a position whose numbers are all alike has variance 0, and 0 / 0 is NaN",
                {"(variance + eps).sqrt()": "variance.sqrt()"},
            ),
            Mistake(
                "no learned scale and shift",
                "your numbers have mean 0 and variance 1, and stay so: the learned weight and bias are missing",
                {"return normed * weight + bias": "return normed"},
            ),
            Mistake(
                "no bias", "the learned bias is missing", {"return normed * weight + bias": "return normed * weight"}
            ),
            Mistake(
                "one more than the weight",
                "you multiply by 1 + weight, which is Gemma's norm: its weight starts at 0. Here it starts at 1",
                {"return normed * weight": "return normed * (1 + weight)"},
            ),
        ],
        [
            "Every mean is over the last axis, and must stay an axis: `mean(dim=-1, keepdim=True)`.",
            "The variance is the mean of the centred numbers' squares.",
            "Divide the centred numbers by `(variance + eps).sqrt()`.",
        ],
        reference=reference_layer_norm,
    ),
    Exercise(
        "mlp",
        lambda: list(mlp_cases()),
        [
            Mistake(
                "the other form of GELU",
                "your GELU is the one with the error function, PyTorch's default; SigLIP was trained with the tanh form. They "
                'differ by less than 0.0005, so no answer will tell you: approximate="tanh"',
                {'gelu(raised, approximate="tanh")': "gelu(raised)"},
            ),
            Mistake(
                "no activation",
                "nothing stands between your two matrices: together they are no more than one matrix of {D} x {D}",
                {'gelu(raised, approximate="tanh")': "raised"},
            ),
            Mistake(
                "ReLU",
                "your activation is ReLU, which is 0 for every negative number; GELU is slightly below 0 there",
                {'gelu(raised, approximate="tanh")': "raised.relu()"},
            ),
            Mistake(
                "SiLU",
                "your activation is SiLU, x * sigmoid(x), which LLaMA has; it is GELU here",
                {'gelu(raised, approximate="tanh")': "torch.nn.functional.silu(raised)"},
            ),
            Mistake(
                "CLIP's GELU",
                "your activation is x * sigmoid(1.702 x), OpenAI CLIP's quick form of GELU; SigLIP's is the tanh form",
                {'gelu(raised, approximate="tanh")': "raised * (1.702 * raised).sigmoid()"},
            ),
            Mistake(
                "no bias below",
                'the second matrix has no bias: add weights["down_bias"]',
                {'weights["down"], weights["down_bias"]': 'weights["down"]'},
            ),
            Mistake(
                "no bias above",
                'the first matrix has no bias: add weights["up_bias"]',
                {'weights["up"], weights["up_bias"]': 'weights["up"]'},
            ),
            Mistake(
                "the matrix down turned",
                'you multiply by weights["down"] as it stands. It is (D, F), (out, in) as PyTorch keeps it: F.linear(x, W) is '
                "x @ W.T",
                {
                    'linear(active, weights["down"], weights["down_bias"])': 'active @ weights["down"] + weights["down_bias"]'
                },
            ),
            Mistake(
                "an activation at the end",
                "you send the output through GELU as well: what an MLP adds to the stream must be able to be negative",
                {
                    'return linear(active, weights["down"], weights["down_bias"])': (
                        'return gelu(linear(active, weights["down"], weights["down_bias"]), approximate="tanh")'
                    )
                },
            ),
            Mistake(
                "added to the input",
                "you add the input already here; `encoder_block` does that, and it would be added twice",
                {
                    'return linear(active, weights["down"], weights["down_bias"])': (
                        'return hidden + linear(active, weights["down"], weights["down_bias"])'
                    )
                },
            ),
            Mistake(
                "the matrix up, turned, in place of that down",
                'you come back by the transpose of weights["up"]; "down" is a matrix of its own',
                {'linear(active, weights["down"],': 'linear(active, weights["up"].T,'},
            ),
        ],
        [
            "The GELU comes between the two matrices; the docstring says in which form.",
            '`gelu(raised, approximate="tanh")`, then `linear` with "down" and its bias.',
        ],
        reference=reference_mlp,
    ),
    Exercise(
        "encoder_block",
        lambda: list(block_cases()),
        [
            Mistake(
                "no stream around the attention",
                "what attention returns replaces the stream; it is to be added to it, or all that earlier layers found is lost",
                {"hidden = hidden + attention(normed)": "hidden = attention(normed)"},
            ),
            Mistake(
                "no stream around the MLP",
                "what the MLP returns replaces the stream; it is to be added to it",
                {"return hidden + mlp(normed, weights)": "return mlp(normed, weights)"},
            ),
            Mistake(
                "added to the normed copy",
                "you add what attention found to the normed copy, and not to the stream: the norm is for the reader only",
                {"hidden = hidden + attention(normed)": "hidden = normed + attention(normed)"},
            ),
            Mistake(
                "the MLP's added to the normed copy",
                "you add what the MLP found to the normed copy, and not to the stream: the norm is for the reader only",
                {"return hidden + mlp(normed, weights)": "return normed + mlp(normed, weights)"},
            ),
            Mistake(
                "norm after the sum",
                "you norm after each sum, as the transformer of 2017 did. A ViT norms what a reader gets, and leaves the "
                "stream alone",
                {
                    _FIRST_NORM: "hidden",
                    "hidden = hidden + attention(normed)": (
                        'hidden = layer_norm(hidden + attention(normed), weights["norm1"], weights["norm1_bias"], eps)'
                    ),
                    _SECOND_NORM: "hidden",
                    "return hidden + mlp(normed, weights)": (
                        'return layer_norm(hidden + mlp(normed, weights), weights["norm2"], weights["norm2_bias"], eps)'
                    ),
                },
            ),
            Mistake(
                "both read the same copy",
                "your MLP reads the copy that was made for the attention: it does not see what attention has just found. "
                "Norm the new stream for it, with norm2",
                {_SECOND_NORM: "normed"},
            ),
            Mistake(
                "the old stream normed again",
                "your second norm reads the stream as it was before attention added to it: then MLP and attention work side "
                "by side. It is to read the new one",
                {
                    "hidden = hidden + attention(normed)": "found = attention(normed)",
                    "return hidden + mlp(normed, weights)": "return hidden + found + mlp(normed, weights)",
                },
            ),
            Mistake(
                "one norm for both",
                'the MLP reads through the attention\'s norm: it has its own, weights["norm2"] and weights["norm2_bias"]',
                {_SECOND_NORM: 'layer_norm(hidden, weights["norm1"], weights["norm1_bias"], eps)'},
            ),
            Mistake(
                "the first norm's eps",
                "your first norm takes an eps of its own: it is an argument of the block, {eps} here",
                {_FIRST_NORM: _FIRST_NORM.replace("eps", "1e-6")},
            ),
            Mistake(
                "the second norm's eps",
                "your second norm takes an eps of its own: it is an argument of the block, {eps} here",
                {_SECOND_NORM: _SECOND_NORM.replace("eps", "1e-6")},
            ),
            Mistake(
                "PyTorch's eps",
                "your norms take 1e-5, PyTorch's default, for eps: it is an argument of the block, {eps} here",
                {_FIRST_NORM: _FIRST_NORM.replace("eps", "1e-5"), _SECOND_NORM: _SECOND_NORM.replace("eps", "1e-5")},
            ),
            Mistake(
                "attention twice",
                "attention stands in both halves of your block; in the second it is `mlp(normed, weights)`",
                {"return hidden + mlp(normed, weights)": "return hidden + attention(normed)"},
            ),
            Mistake(
                "no second norm",
                "the MLP reads the stream itself: it is to read a normed copy",
                {_SECOND_NORM: "hidden"},
            ),
            Mistake(
                "attention reads the stream itself",
                "attention reads the stream itself: it is to read a normed copy",
                {"attention(normed)": "attention(hidden)"},
            ),
        ],
        [
            "Two steps of one form: stream + reader(norm(stream)).",
            "The second norm reads the new stream, after attention was added to it, with weights of its own.",
            "hidden = hidden + attention(normed), and so with the MLP.",
        ],
        reference=reference_block,
    ),
]
