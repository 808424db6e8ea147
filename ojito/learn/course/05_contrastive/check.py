"""How lesson 5 is checked."""

import torch

from ojito.learn import Case, Exercise, Question

QUESTION = Question(
    "A batch of 1000 images and texts, all vectors still random, of 768 numbers. The scale is 10, as SigLIP starts, but the "
    "bias is 0. The loss is about",
    {
        "a": "0.7, the logarithm of 2: every pair is a toss-up",
        "b": "7, the logarithm of 1000: one text of a thousand is right",
        "c": "700",
    },
    "c",
    "Each of the million pairs is a toss-up and costs 0.7; the sum is divided by the 1000 images, not by the million. 999 of "
    "an image's 1000 pairs are a no, so that the first steps would teach nothing but no, and roughly. With a bias of -10 the "
    "999 cost 0.05 together and the one that is a yes costs 10: the loss is about 10, and nearly all of it is about the yes.",
)


def normalize_cases():
    made = torch.Generator().manual_seed(0)
    yield Case("four vectors of six numbers", {"x": torch.randn(4, 6, generator=made) * 3 + 1}, {"B": 4, "D": 6})
    x = torch.randn(3, 5, generator=made) * torch.tensor([0.01, 1.0, 100.0])[:, None]
    yield Case("one short, one long", {"x": x}, {"B": 3, "D": 5})


def loss_cases():
    made = torch.Generator().manual_seed(1)
    for name, B, D, scale, bias in (
        ("five pairs, scale 10 and bias -10 as at the start", 5, 8, 10.0, -10.0),
        ("four pairs, a small scale", 4, 6, 2.0, 0.5),
        ("three pairs, a scale so large that sigmoids round to 0", 3, 4, 500.0, -1.0),
    ):
        texts = torch.randn(B, D, generator=made)
        images = 3 * texts + torch.randn(B, D, generator=made)
        inputs = {"images": images, "texts": texts, "log_scale": torch.tensor(scale).log(), "bias": torch.tensor(bias)}
        yield Case(
            name, inputs, {"B": B, "pairs": B * B, "scale": scale, "log": inputs["log_scale"].item(), "bias": bias}
        )

    made = torch.Generator().manual_seed(3)
    images, texts = torch.randn(2, 4, 6, generator=made)
    inputs = {"images": images, "texts": texts, "log_scale": torch.tensor(5.0).log(), "bias": torch.tensor(-2.0)}
    facts = {"B": 4, "pairs": 16, "scale": 5.0, "log": inputs["log_scale"].item(), "bias": -2.0}
    yield Case("its gradients", {**inputs, "gradients": True}, facts)


def use_loss(solution, inputs):
    """The loss; or its gradients, which are zeros where none arrives."""
    inputs = dict(inputs)
    if not inputs.pop("gradients", False):
        return solution(**inputs)
    leaves = {name: one.clone().requires_grad_() for name, one in inputs.items()}
    loss = solution(**leaves)
    if isinstance(loss, torch.Tensor) and loss.requires_grad:
        loss.backward()
    found = {name: torch.zeros_like(one) if one.grad is None else one.grad for name, one in leaves.items()}
    return {f"gradient of {name}": one for name, one in found.items()}


def reference_loss(images, texts, log_scale, bias):
    """As PyTorch says it: the cross-entropy of B x B answers of yes or no."""
    cosines = torch.nn.functional.cosine_similarity(images[:, None], texts[None], dim=-1)
    entropy = torch.nn.functional.binary_cross_entropy_with_logits
    return entropy(log_scale.exp() * cosines + bias, torch.eye(len(images)), reduction="sum") / len(images)


def nearest_cases():
    made = torch.Generator().manual_seed(2)
    for name, B, S, D in (("six images, four texts", 6, 4, 8), ("three images, nine texts", 3, 9, 5)):
        texts = torch.randn(S, D, generator=made) * torch.linspace(0.2, 6, S)[:, None]
        chosen = torch.randint(S, (B,), generator=made)
        images = torch.nn.functional.normalize(texts)[chosen] + 0.4 * torch.randn(B, D, generator=made)
        images = images * torch.linspace(5, 0.3, B)[:, None]
        images[-1] = -texts[0]  # what is opposite to a text is not near it
        yield Case(name, {"images": images, "texts": texts}, {"B": B, "S": S})


def reference_nearest(images, texts):
    return torch.nn.functional.cosine_similarity(images[:, None], texts[None], dim=-1).argmax(dim=-1)


EXERCISES = [
    Exercise(
        "normalize",
        lambda: list(normalize_cases()),
        hints=[
            "The length is the root of the sum of squares, of each row.",
            "Over the last axis, with `keepdim=True`.",
        ],
        reference=lambda x: torch.nn.functional.normalize(x, dim=-1),
    ),
    Exercise(
        "siglip_loss",
        lambda: list(loss_cases()),
        hints=[
            "logits: the cosines, (B, D) @ (D, B), times `log_scale.exp()`, plus the bias.",
            "signs: `torch.eye(B)` is 1 and 0; doubled, less 1, it is 1 and -1.",
            "Each pair costs `-logsigmoid(signs * logits)`. The sum of all, divided by B.",
        ],
        reference=reference_loss,
        use=use_loss,
    ),
    Exercise(
        "nearest_text",
        lambda: list(nearest_cases()),
        hints=[
            "(B, D) @ (D, S) is (B, S), and both sides want `normalize`.",
            "`argmax(dim=-1)` says where the largest is.",
        ],
        reference=reference_nearest,
    ),
]
