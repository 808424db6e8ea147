"""How lesson 1 is checked."""

import torch

from ojito.config import DecoderConfig
from ojito.learn import Case, Exercise, Question
from ojito.memory import cache_bytes, weight_bytes

QUESTION = Question(
    "PaliGemma-3B, in float32, answers a question of 264 tokens, 256 of them the image, on a processor without a GPU. The first token of "
    "the answer takes",
    {
        "a": "as long as each one after it: every token is one run of the model",
        "b": "about 25 times as long as each one after it",
        "c": "about 260 times as long: it reads 264 tokens, and each later step reads one",
    },
    "b",
    "Measured on two cores, it was 12.3 s, and then 0.5 s a token. The first step encodes the image, and reads all 264 "
    "tokens at once: much arithmetic, but the decoder's 10 GB of weights pass through the processor once for all of them. A "
    "later step has the arithmetic of one token and still moves those 10 GB. It waits for memory, not for sums, so that it "
    "is far from being 264 times as fast. Smaller weights, in bfloat16 or int8, are what helps there.",
)

_DTYPES = {4: torch.float32, 2: torch.bfloat16, 1: torch.float8_e4m3fn}


def weight_cases():
    shapes = {"embedding": (50, 8), "up": (24, 8), "up_bias": (24,), "norm": (8,), "head": (50, 8)}
    yield Case(
        "float32, the head shares the embedding's numbers",
        {"shapes": shapes, "bytes_each": 4, "tied": {"head": "embedding"}},
        {"bytes": 4},
    )
    yield Case(
        "bfloat16, nothing shared, and a scalar of shape ()",
        {"shapes": shapes | {"scale": ()}, "bytes_each": 2, "tied": {}},
        {"bytes": 2},
    )
    shapes = {"encoder": (30, 6), "decoder": (30, 6), "head": (30, 6), "positions": (5, 6)}
    tied = {"decoder": "encoder", "head": "encoder"}
    yield Case(
        "two names share the numbers of a third", {"shapes": shapes, "bytes_each": 4, "tied": tied}, {"bytes": 4}
    )
    shapes = {"embedding": (257216, 2048), "gate": (16384, 2048), "head": (257216, 2048)}
    tied = {"head": "embedding"}
    yield Case(
        "PaliGemma's largest matrices, in a byte each", {"shapes": shapes, "bytes_each": 1, "tied": tied}, {"bytes": 1}
    )


def reference_weight_bytes(shapes, bytes_each, tied):
    """The library's, of a module with these weights that holds no numbers."""
    module = torch.nn.Module()
    made = {n: torch.nn.Parameter(torch.empty(s, device="meta")) for n, s in shapes.items() if n not in tied}
    for name in shapes:
        module.register_parameter(name, made[tied.get(name, name)])
    return weight_bytes(module, _DTYPES[bytes_each])


def cache_cases():
    for name, layers, kv_heads, head_size, positions, bytes_each in (
        ("PaliGemma-3B, 283 tokens in bfloat16", 18, 1, 256, 283, 2),
        ("four heads for keys and values, in float32", 3, 4, 16, 50, 4),
    ):
        inputs = {"layers": layers, "kv_heads": kv_heads, "head_size": head_size}
        inputs |= {"positions": positions, "bytes_each": bytes_each}
        yield Case(name, inputs, {"layers": layers, "positions": positions, "bytes": bytes_each, "heads": kv_heads})


def reference_cache_bytes(layers, kv_heads, head_size, positions, bytes_each):
    config = DecoderConfig(layers=layers, heads=8, kv_heads=kv_heads, head_dim=head_size)
    return cache_bytes(config, positions, _DTYPES[bytes_each])


def measure_cases():
    for name, pieces, seconds in (
        (
            "a slow first token, then four quick ones",
            ["a", " red", " kite", " at", " noon"],
            [12.0, 0.5, 0.25, 0.75, 0.5],
        ),
        ("two tokens", ["no", "."], [3.0, 0.5]),
        ("one token", ["yes"], [2.0]),
    ):
        rest = sum(seconds[1:])
        facts = {
            "count": len(pieces),
            "others": len(pieces) - 1,
            "first": seconds[0],
            "rest": rest,
            "all": seconds[0] + rest,
        }
        yield Case(name, {"pieces": pieces, "seconds": seconds, "end": 0.0}, facts)
    facts = {"count": 3, "others": 2, "first": 4.0, "rest": 1.0, "all": 5.0, "end": 0.5}
    inputs = {"pieces": ["a", " star", "."], "seconds": [4.0, 0.5, 0.5], "end": 0.5}
    yield Case("a stream that takes half a second more to find that it is over", inputs, facts)


def use_measure(solution, inputs):
    """A stream that takes its time, by a clock of its own."""
    now = [100.0]

    def stream():
        for piece, seconds in zip(inputs["pieces"], inputs["seconds"], strict=True):
            now[0] += seconds
            yield piece
        now[0] += inputs["end"]

    return solution(stream(), lambda: now[0])


EXERCISES = [
    Exercise(
        "weight_bytes",
        lambda: list(weight_cases()),
        hints=[
            "A shape's numbers are the product of its sizes, `math.prod(shape)`; of (), which is a single number, it is 1.",
            "Leave out the names that are keys of `tied`, and multiply the sum by the bytes of a number.",
        ],
        reference=reference_weight_bytes,
    ),
    Exercise(
        "cache_bytes",
        lambda: list(cache_cases()),
        hints=[
            "What does one layer keep of one token? A key and a value for each kv head.",
            "That is 2 * kv_heads * head_size numbers. Each layer keeps as many for each position.",
            "layers * positions * token numbers in all, and each takes `bytes_each` bytes.",
        ],
        reference=reference_cache_bytes,
    ),
    Exercise(
        "measure",
        lambda: list(measure_cases()),
        hints=[
            "The lines that are there note when each piece came. The first is at times[0], the last at times[-1].",
            "After the first token, len(times) - 1 more came, in times[-1] - times[0] seconds.",
            "With a single token these seconds are 0: `... if seconds else 0.0`.",
        ],
        use=use_measure,
    ),
]
