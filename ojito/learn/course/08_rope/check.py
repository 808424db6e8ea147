"""How lesson 8 is checked."""

import torch

from ojito.learn import Case, Exercise, Question
from ojito.model.rope import apply_rope, rope_cos_sin

QUESTION = Question(
    "The image takes positions 0 to 255, and the question begins at 256. Somebody keeps the positions in a buffer of "
    "float32, and `model.to(torch.bfloat16)` converts it with the weights. At which positions do the first eight tokens "
    "of the question stand then?",
    {
        "a": "256 to 263 as before: whole numbers are exact",
        "b": "256, 256, 258, 260, 260, 260, 262, 264",
        "c": "about 0.004 beside their places, which does no harm",
    },
    "b",
    "bfloat16 has 8 significant bits: above 256 it knows even numbers only, above 512 every fourth. The image's 256 "
    "positions just fit, and the words after it fall together, three of them at 260. Nothing fails; the model has "
    "merely lost the order of the words. Hence positions are whole numbers, which `to` leaves alone, and angles float32, "
    "whatever the model's dtype.",
)


def angles_cases():
    yield Case("positions 0 to 4", {"positions": torch.arange(5), "head_size": 8, "theta": 10000.0})
    yield Case("another theta", {"positions": torch.arange(3), "head_size": 12, "theta": 500.0})
    yield Case("a question after 256 image tokens", {"positions": torch.arange(256, 263), "head_size": 4, "theta": 1e4})
    positions = torch.tensor([3, 0, 1, 2, 0, 1])
    yield Case("positions that do not ascend", {"positions": positions, "head_size": 6, "theta": 1e4})


def reference_angles(positions, head_size, theta):
    cos, sin = rope_cos_sin(positions[None], head_size, theta)
    return cos[0, 0], sin[0, 0]


def rotate_cases():
    made = torch.Generator().manual_seed(0)
    for name, positions, head_size in (
        ("five positions", torch.arange(5), 8),
        ("one token, at position 9", torch.tensor([9]), 8),
        ("heads of six numbers", torch.arange(4), 6),
    ):
        x = torch.randn(2, 3, len(positions), head_size, generator=made)
        cos, sin = reference_angles(positions, head_size, 10000.0)
        yield Case(name, {"x": x, "cos": cos, "sin": sin})


EXERCISES = [
    Exercise(
        "angles",
        lambda: list(angles_cases()),
        hints=[
            "`torch.arange(0, K, 2)` has K/2 entries: 0, 2, 4, ... Divided by K they are the exponents.",
            "A frequency is 1 / theta ** exponent: the first is 1. `positions[:, None]` is (T, 1), and its product "
            "with (K/2,) is (T, K/2).",
            "Put the angles twice side by side, `torch.cat((turned, turned), dim=-1)`, so that numbers i and i + K/2 "
            "share theirs.",
        ],
        reference=reference_angles,
        returns=("cos", "sin"),
        tolerance=1e-4,  # at position 262, float32 itself is off by 1e-5 radians
    ),
    Exercise(
        "rotate",
        lambda: list(rotate_cases()),
        hints=[
            "At position 0, cos is 1 and sin is 0, and x must come out as it went in.",
            "A number a of the first half has the partner -b, and a number b of the second half the partner a: "
            "(a, b) becomes (a cos - b sin, b cos + a sin).",
            "partners = torch.cat((-second, first), dim=-1), and then x * cos + partners * sin.",
        ],
        reference=lambda x, cos, sin: apply_rope(x, (cos[None, None], sin[None, None])),
    ),
]
