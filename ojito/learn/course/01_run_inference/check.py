"""How lesson 1 is checked."""

import torch

from ojito.config import DecoderConfig
from ojito.learn import Case, Exercise, Mistake, Question
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
        [
            Mistake(
                "tied weights twice",
                "you count a shared weight once for each of its names; its numbers are stored once. For PaliGemma's head that "
                "would be 527 million numbers too many",
                {" if name not in tied": ""},
            ),
            Mistake(
                "both names left out",
                "you leave out a shared weight under both of its names: its numbers are stored once, not never",
                {"if name not in tied)": "if name not in tied and name not in tied.values())"},
            ),
            Mistake(
                "the lender left out",
                "you leave out the weight whose numbers are shared, and count those that share them: `tied` has them as "
                "keys, and two of them may share one",
                {"if name not in tied)": "if name not in tied.values())"},
            ),
            Mistake(
                "sizes added",
                "you add the sizes of a shape; a matrix of 24 x 8 has 192 numbers, not 32",
                {"math.prod(shape)": "sum(shape)"},
            ),
            Mistake(
                "numbers, not bytes",
                "you count numbers; each of them takes {bytes} bytes",
                {"numbers * bytes_each": "numbers"},
            ),
            Mistake(
                "bits",
                "you count bits: {ratio}x too much. `bytes_each` is in bytes already",
                {"numbers * bytes_each": "numbers * bytes_each * 8"},
            ),
            Mistake(
                "divided by the bytes",
                "you divide by `bytes_each`; each number takes {bytes} bytes, so multiply",
                {"numbers * bytes_each": "numbers / bytes_each"},
            ),
            Mistake(
                "equal shapes once",
                "you count equal shapes once. Two weights of one shape have numbers of their own, unless `tied` says that "
                "they share them",
                {"for name, shape in shapes.items() if name not in tied)": "for shape in set(shapes.values()))"},
            ),
            Mistake(
                "matrices alone",
                "you count matrices only: biases and norms, with one axis, and scalars, with none, are weights, too",
                {"if name not in tied)": "if name not in tied and len(shape) > 1)"},
            ),
            Mistake(
                "as many as there are weights",
                "you count the weights, not the numbers in them",
                {"math.prod(shape)": "1"},
            ),
            Mistake(
                "divided by a billion",
                "you divide by 10^9: bytes are asked for, not GB",
                {"numbers * bytes_each": "numbers * bytes_each / 10**9"},
            ),
            Mistake(
                "divided by 2^30",
                "you divide by 2^30: bytes are asked for, not GiB",
                {"numbers * bytes_each": "numbers * bytes_each / 2**30"},
            ),
        ],
        [
            "A shape's numbers are the product of its sizes, `math.prod(shape)`; of (), which is a single number, it is 1.",
            "Leave out the names that are keys of `tied`, and multiply the sum by the bytes of a number.",
        ],
        reference=reference_weight_bytes,
    ),
    Exercise(
        "cache_bytes",
        lambda: list(cache_cases()),
        [
            Mistake(
                "keys alone",
                "you have {ratio} of what is right: a layer keeps a key and a value of each token",
                {"2 * kv_heads * head_size": "kv_heads * head_size"},
            ),
            Mistake(
                "one layer",
                "you count one layer; each of the {layers} keeps keys and values of its own",
                {"layers * positions * token": "positions * token"},
            ),
            Mistake(
                "one head",
                "you count one head for keys and values; there are as many as `kv_heads` says",
                {"2 * kv_heads * head_size": "2 * head_size"},
            ),
            Mistake(
                "numbers, not bytes",
                "you count numbers; each of them takes {bytes} bytes",
                {"token * bytes_each": "token"},
            ),
            Mistake(
                "bits",
                "you count bits: {ratio}x too much. `bytes_each` is in bytes already",
                {"token * bytes_each": "token * bytes_each * 8"},
            ),
            Mistake(
                "scores kept",
                "your cache grows with the square of the length: that would be the scores of all pairs. What is kept is a key "
                "and a value of each of {positions} positions",
                {"layers * positions * token": "layers * positions * positions * token"},
            ),
            Mistake(
                "one position",
                "you count one token; keys and values of all {positions} are kept, so that none is computed twice",
                {"layers * positions * token": "layers * token"},
            ),
            Mistake(
                "the query heads",
                "you count 8 heads, PaliGemma's query heads: what is kept has the heads of keys and values, `kv_heads`",
                {"2 * kv_heads * head_size": "2 * 8 * head_size"},
            ),
            Mistake(
                "queries kept",
                "you count three for each token: key, value, and the query. A query is used once, by its own token, and not "
                "kept",
                {"2 * kv_heads * head_size": "3 * kv_heads * head_size"},
            ),
            Mistake(
                "heads and head size added",
                "you add the heads and the size of one; each of the {heads} heads has a key of that many numbers, and a value",
                {"2 * kv_heads * head_size": "2 * (kv_heads + head_size)"},
            ),
            Mistake(
                "the last position left out",
                "you leave out one position: keys and values of all {positions} are kept, the last one's too",
                {"layers * positions * token": "layers * (positions - 1) * token"},
            ),
        ],
        [
            "What does one layer keep of one token? A key and a value for each kv head.",
            "That is 2 * kv_heads * head_size numbers. Each layer keeps as many for each position.",
            "layers * positions * token numbers in all, and each takes `bytes_each` bytes.",
        ],
        reference=reference_cache_bytes,
    ),
    Exercise(
        "measure",
        lambda: list(measure_cases()),
        [
            Mistake(
                "the first token in the rate",
                "your rate divides all {count} tokens by all {all} s: with the first token's {first} s in it, it says how long "
                "the answer was, not how fast the model writes",
                {"times[-1] - times[0]": "times[-1] - started", "(len(times) - 1) / seconds": "len(times) / seconds"},
            ),
            Mistake(
                "one token too many",
                "you divide {count} tokens by {rest} s, in which {others} came: the first was there when that time began",
                {"(len(times) - 1) / seconds": "len(times) / seconds"},
            ),
            Mistake(
                "the first token's time in the rate",
                "you divide the {others} later tokens by all {all} s; they took {rest} s",
                {"times[-1] - times[0]": "times[-1] - started"},
            ),
            Mistake(
                "seconds a token",
                "you give seconds a token; tokens a second is one over it",
                {"(len(times) - 1) / seconds if seconds": "seconds / (len(times) - 1) if seconds"},
            ),
            Mistake(
                "the whole time as the first",
                "your seconds to the first token are those of the whole answer, {all} s; the first token was there after {first} s",
                {"times[0] - started": "times[-1] - started"},
            ),
            Mistake(
                "when, not how long",
                "your seconds to the first token are what the clock showed then; subtract what it showed at the start",
                {"times[0] - started": "times[0]"},
            ),
            Mistake(
                "read before the clock started",
                "you read the stream before you look at the clock: every token was computed by then. Start the clock first",
                {"started = clock()": "stream = list(stream)\n    started = clock()"},
            ),
            Mistake(
                "read as a whole",
                "you read the whole stream, and look at the clock only then: all tokens seem to come at {all} s. Look at it "
                "after each one",
                {"for piece in stream:": "for piece in list(stream):"},
            ),
            Mistake(
                "a rate of one token",
                "an answer of one token fails with a division by zero: no time passed after it. Give 0.0",
                {" if seconds else 0.0": ""},
            ),
            Mistake(
                "the clock started at the first token",
                "your clock starts when the first token is there, so that its {first} s are missing: start it before the loop",
                {
                    "    started = clock()\n": "    started = None\n",
                    "        pieces.append(piece)\n": "        started = clock() if started is None else started\n"
                    "        pieces.append(piece)\n",
                },
            ),
            Mistake(
                "the end in the rate",
                "you look at the clock once more after the loop: by then the stream has taken {end} s to find that nothing "
                "follows, in which no token came. The last one came at times[-1]",
                {"times[-1] - times[0]": "clock() - times[0]"},
            ),
            Mistake(
                "characters a second",
                "you count characters; each piece is one token, however long",
                {"(len(times) - 1) / seconds": 'len("".join(pieces)) / seconds'},
            ),
            Mistake(
                "joined with spaces",
                "you join the pieces with spaces; they have their own, and some tokens are parts of words",
                {'"".join(pieces)': '" ".join(pieces)'},
            ),
        ],
        [
            "The lines that are there note when each piece came. The first is at times[0], the last at times[-1].",
            "After the first token, len(times) - 1 more came, in times[-1] - times[0] seconds.",
            "With a single token these seconds are 0: `... if seconds else 0.0`.",
        ],
        use=use_measure,
    ),
]
