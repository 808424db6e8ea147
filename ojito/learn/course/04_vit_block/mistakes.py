"""Wrong solutions of lesson 4 that look right, by exercise."""

from ojito.learn import Mistake

_FIRST_NORM = 'layer_norm(hidden, weights["norm1"], weights["norm1_bias"], eps)'
_SECOND_NORM = 'layer_norm(hidden, weights["norm2"], weights["norm2_bias"], eps)'

MISTAKES = {
    "layer_norm": [
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
        Mistake("no bias", "the learned bias is missing", {"return normed * weight + bias": "return normed * weight"}),
        Mistake(
            "one more than the weight",
            "you multiply by 1 + weight, which is Gemma's norm: its weight starts at 0. Here it starts at 1",
            {"return normed * weight": "return normed * (1 + weight)"},
        ),
    ],
    "mlp": [
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
    "encoder_block": [
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
}
