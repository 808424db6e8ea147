"""How lesson 3 is checked."""

import torch

from ojito.learn import Case, Exercise, Question
from ojito.model.attention import Attention
from ojito.model.attention import attend as library_attend

QUESTION = Question(
    "Every query and key has 16 numbers, drawn from a normal distribution. Without the division by sqrt(K), the "
    "largest weight of a softmax over 64 keys is about",
    {"a": "1/64, as for any random scores", "b": "0.6: one key gets more than all others together", "c": "0.1"},
    "b",
    "A product of two such vectors of K numbers has a standard deviation of sqrt(K) = 4. A softmax over scores that lie "
    "so far apart picks one key, and hardly any gradient reaches the others. Divided by sqrt(K), the standard "
    "deviation is 1, and the largest weight about 0.1.",
)


def causal(length):
    return torch.ones(length, length).tril().bool()


def attend_cases():
    made = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, 5, 16, generator=made) for _ in range(3))
    facts = {"root": 4.0, "size": 16, "queries": 5, "keys": 5}
    yield Case("every query sees every key", {"q": q, "k": k, "v": v, "mask": torch.ones(5, 5).bool()}, facts)
    yield Case("a causal mask", {"q": q, "k": k, "v": v, "mask": causal(5)}, facts)
    k, v = (torch.randn(2, 3, 7, 16, generator=made) for _ in range(2))
    seen = torch.rand(5, 7, generator=made) < 0.7
    seen[:, 0] = True
    yield Case("seven keys for five queries", {"q": q, "k": k, "v": v, "mask": seen}, {**facts, "keys": 7})


def split_cases():
    yield Case("two rows of three positions", {"hidden": torch.arange(48.0).view(2, 3, 8), "heads": 4})
    yield Case("one head", {"hidden": torch.arange(12.0).view(1, 3, 4), "heads": 1})


def weights(width, made):
    matrices = {name: torch.randn(width, width, generator=made) / width**0.5 for name in ("q", "k", "v", "out")}
    return {**matrices, **{f"{name}_bias": torch.randn(width, generator=made) for name in matrices}}


def self_attention_cases():
    made = torch.Generator().manual_seed(1)
    for name, mask in (("every position sees all", torch.ones(6, 6).bool()), ("a causal mask", causal(6))):
        hidden = torch.randn(2, 6, 12, generator=made)
        inputs = {"hidden": hidden, "weights": weights(12, made), "heads": 3, "mask": mask}
        yield Case(name, inputs, {"D": 12, "heads": 3})


def reference_self_attention(hidden, weights, heads, mask):
    module = Attention(hidden.shape[-1], heads)
    names = {name: f"{name.removesuffix('_bias')}.{'bias' if 'bias' in name else 'weight'}" for name in weights}
    module.load_state_dict({names[name]: value for name, value in weights.items()})
    return module(hidden, mask[None, None]).detach()


EXERCISES = [
    Exercise(
        "attend",
        lambda: list(attend_cases()),
        hints=[
            "Two matrix products with a softmax between them. `@` multiplies the last two axes, and leaves B and H alone.",
            "The keys must be turned first: `k.transpose(-2, -1)` is (B, H, K, S), so q @ that is (B, H, T, S). Divide it "
            "by the root of K, `q.shape[-1] ** 0.5`.",
            'Hide with `scores.masked_fill(~mask, float("-inf"))`, before the softmax over the last axis.',
        ],
        reference=lambda q, k, v, mask: library_attend(q, k, v, mask[None, None], q.shape[-1] ** -0.5),
    ),
    Exercise(
        "split_heads",
        lambda: list(split_cases()),
        hints=["`view` cuts the last axis in two: (B, T, D) to (B, T, H, D / H).", "Then `transpose(1, 2)`."],
    ),
    Exercise(
        "self_attention",
        lambda: list(self_attention_cases()),
        hints=[
            "Keys and values are made as the queries are, each with a matrix and a bias of its own.",
            "Joining the heads undoes split_heads: exchange H and T, then flatten the last two axes.",
        ],
        reference=reference_self_attention,
    ),
]
