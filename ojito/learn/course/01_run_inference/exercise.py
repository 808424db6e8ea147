"""Lesson 1: run a model, and measure it. Read lesson.md first; `ojito learn check` says what is wrong."""

import math
from collections.abc import Callable, Iterator

PREDICTION = ""  # a, b or c: your answer to the question at the end of lesson.md


def weight_bytes(shapes: dict[str, tuple[int, ...]], bytes_each: int, tied: dict[str, str]) -> int:
    """Bytes of a model's weights.

    Args:
        shapes: Of every weight, by name: {"embedding": (257216, 2048), "norm": (2048,)}.
        bytes_each: Of one number: 4 in float32, 2 in bfloat16, 1 in int8.
        tied: Names that have no numbers of their own, each with the name of the weight whose numbers it shares:
            {"head": "embedding"}. All of them are in `shapes`, too.
    """
    numbers = ...  # each stored number, once
    return ...  # bytes


def cache_bytes(layers: int, kv_heads: int, head_size: int, positions: int, bytes_each: int) -> int:
    """Bytes of the key-value cache of one row.

    Args:
        layers: Of the decoder; each has a cache of its own.
        kv_heads: Heads that have keys and values; several query heads may share one.
        head_size: Numbers of a key, and of a value.
        positions: Tokens that are kept: image, prompt and answer.
        bytes_each: Of one number.
    """
    token = ...  # numbers that a layer keeps of one token
    return ...  # bytes of all layers and positions


def measure(stream: Iterator[str], clock: Callable[[], float]) -> tuple[str, float, float]:
    """Read an answer while it is generated, and time it.

    Args:
        stream: Pieces of text, one a token. Each is computed when it is asked for, and not before.
        clock: Returns the time in seconds, as `time.perf_counter` does.

    Returns:
        The whole text; the seconds until its first piece was there; and the tokens a second after the first, which is
        0.0 for an answer of one token.
    """
    pieces, times = [], []  # each piece, and when it was there
    started = clock()
    for piece in stream:
        pieces.append(piece)
        times.append(clock())
    first = ...  # seconds: reading image and question, and one step
    seconds = ...  # that all the other tokens took
    rate = ...  # tokens a second, those others
    return "".join(pieces), first, rate
