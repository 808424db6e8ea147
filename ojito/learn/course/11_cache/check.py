"""How lesson 11 is checked."""

import torch

from ojito.config import DecoderConfig
from ojito.learn import Case, Exercise, Question
from ojito.model.cache import KVCache
from ojito.model.masks import AttentionMetadata

QUESTION = Question(
    "PaliGemma has read an image and a question and has answered. Now somebody asks another question about the same "
    "image, which stands before the question in the row. Can the keys and values of the image's positions be used again?",
    {
        "a": "yes: they come first, and what comes first does not change",
        "b": "not from the second layer on: they have seen the first question",
        "c": "yes, if the new question is as long as the old one",
    },
    "b",
    "With a prefix mask, image and question see each other. After the first layer the image's positions know the "
    "question, so that their keys and values from the second layer on belong to it. In a causal model, such as LLaVA, "
    "they could be used again; of PaliGemma only the image's embeddings can. ojito/generate/prefix.py keeps what may be "
    "kept.",
)


class LibraryCache:
    """The library's cache, used as the lesson's."""

    def __init__(self):
        self._cache = None

    @property
    def length(self):
        return 0 if self._cache is None else self._cache.length

    def update(self, layer, k, v):
        rows, heads, new, size = k.shape
        if self._cache is None:
            config = DecoderConfig(layers=4, width=heads * size, heads=heads, kv_heads=heads, head_dim=size)
            self._cache = KVCache(config, rows, 16)
        if layer == 0:
            positions = torch.arange(self.length, self.length + new).expand(rows, -1)
            zeros = torch.zeros_like(positions)
            self._cache.extend(AttentionMetadata(positions, zeros, zeros - 1))
        return tuple(one.clone() for one in self._cache.update(layer, k, v))


def cache_cases():
    made = torch.Generator().manual_seed(0)

    def passes(*counts, layers, rows, heads, size):
        return [
            [tuple(torch.randn(rows, heads, count, size, generator=made) for _ in "kv") for _ in range(layers)]
            for count in counts
        ]

    yield Case("a prompt of 4 and two tokens", {"passes": passes(4, 1, 1, layers=2, rows=3, heads=5, size=6)})
    yield Case("passes of 2, 3 and 1", {"passes": passes(2, 3, 1, layers=3, rows=2, heads=1, size=4)})


def use_cache(solution, inputs):
    """What each layer gets back in each pass, and the length after it."""
    cache = solution()
    found = {"length before the first pass": cache.length}
    for number, layers in enumerate(inputs["passes"], 1):
        for layer, (k, v) in enumerate(layers):
            keys, values = cache.update(layer, k, v)
            found[f"pass {number}, keys of layer {layer}"] = keys
            found[f"pass {number}, values of layer {layer}"] = values
        found[f"length after pass {number}"] = cache.length
    return found


POSITIONS = 1000
SEED = 16  # its rows end after 2, 3 and 9 tokens


def toy_model(vocabulary, seed, read):
    """A step function whose logits depend on all tokens so far and on their positions; it writes down what it read."""
    table = torch.randn(97, vocabulary, generator=torch.Generator().manual_seed(seed))
    sums = []

    def step(ids, start):
        read.append(f"{ids.shape[1]} tokens from position {start}")
        if start + ids.shape[1] > POSITIONS:  # what is read again and again may double at each step
            raise ValueError(f"the model has {POSITIONS} positions, and is asked for number {start + ids.shape[1]}")
        before = sums[-1] if sums else torch.zeros(len(ids), 1, dtype=torch.int64)
        positions = torch.arange(start, start + ids.shape[1])
        running = before + ((ids + 3) * (positions + 5)).cumsum(1)  # (B, t)
        sums.append(running[:, -1:])
        return table[running % len(table)]

    return step


def use_generate(solution, inputs):
    """The answers, and what the model was given to read."""
    read = []
    step = toy_model(inputs["vocabulary"], inputs["seed"], read)
    answers = solution(step, inputs["ids"], inputs["steps"], inputs["eos"])
    return {"first passes": read[:3], "answers": answers, "passes": len(read)}


def generate_cases():
    ids = torch.tensor([[1, 2, 3, 4, 5], [6, 5, 4, 3, 2], [2, 2, 7, 1, 1]])
    common = {"ids": ids, "vocabulary": 8, "eos": 0}
    yield Case("three rows that end one after the other", {**common, "steps": 30, "seed": SEED})
    yield Case("at most four tokens", {**common, "steps": 4, "seed": SEED})
    yield Case("one row", {**common, "ids": ids[1:2, :3], "steps": 30, "seed": SEED})


EXERCISES = [
    Exercise(
        "Cache",
        lambda: list(cache_cases()),
        hints=[
            "The length is an axis of what any layer holds; `self.keys` is empty before the first pass. And torch.cat joins "
            "tensors along an axis that you choose: the one that grows.",
            "Positions are axis 2 of (B, G, T, K): `torch.cat([old, new], dim=2)`.",
            "`self.keys[0].shape[2] if self.keys else 0` is the length; the old keys are `self.keys[layer]`.",
        ],
        reference=LibraryCache,
        use=use_cache,
    ),
    Exercise(
        "generate_greedy",
        lambda: list(generate_cases()),
        hints=[
            "`step(ids, start)` reads the prompt first, and later one token a row. Only the last position's logits matter.",
            "`start` grows by the number of positions that were read, ids.shape[1].",
            "`logits[:, -1].argmax(dim=-1, keepdim=True)` is (B, 1); `ended | (ids[:, 0] == eos)`; done when `ended.all()`.",
        ],
        use=use_generate,
    ),
]
