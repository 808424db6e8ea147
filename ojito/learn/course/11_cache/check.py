"""How lesson 11 is checked."""

import torch

from ojito.config import DecoderConfig
from ojito.learn import Case, Exercise, Mistake, Question
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
        [
            Mistake(
                "new before old",
                "your new positions come before the old ones: the cache is to be in reading order, and mask and positions "
                "count on that",
                {
                    "[self.keys[layer], k]": "[k, self.keys[layer]]",
                    "[self.values[layer], v]": "[v, self.values[layer]]",
                },
            ),
            Mistake(
                "joined along the heads",
                "you join along axis 1, the kv heads: torch.cat then wants the same number of positions in both, and fails. "
                "Positions are axis 2 of (B, G, T, K)",
                {"k], dim=2": "k], dim=1", "v], dim=2": "v], dim=1"},
            ),
            Mistake(
                "joined along the rows",
                "you join along axis 0, the rows of the batch, which is what torch.cat does by itself. Positions are axis 2 "
                "of (B, G, T, K)",
                {"k], dim=2": "k]", "v], dim=2": "v]"},
            ),
            Mistake(
                "joined along the head size",
                "you join along the last axis, the numbers of a head. Positions are axis 2 of (B, G, T, K)",
                {"k], dim=2": "k], dim=-1", "v], dim=2": "v], dim=-1"},
            ),
            Mistake(
                "values are the keys",
                "your values are joined to the keys: the old ones are in self.values[layer]",
                {"[self.values[layer], v]": "[self.keys[layer], v]"},
            ),
            Mistake(
                "keys among the values",
                "you join keys to the values, and all of them, since `k` holds the old ones as well by now: join `v`",
                {"[self.values[layer], v]": "[self.values[layer], k]"},
            ),
            Mistake(
                "one place for all layers",
                "all layers share one place in your cache, so that a layer reads the keys of others. Each has its own",
                {"        if layer in self.keys:": "        layer = 0\n        if layer in self.keys:"},
            ),
            Mistake(
                "the last pass only",
                "your cache forgets what came before: a new token sees itself alone. Join the old ones and the new ones",
                {"torch.cat([self.keys[layer], k], dim=2)": "k", "torch.cat([self.values[layer], v], dim=2)": "v"},
            ),
            Mistake(
                "values forgotten",
                "your cache forgets the old values, and has more keys than values: join both, `k` and `v`",
                {"torch.cat([self.values[layer], v], dim=2)": "v"},
            ),
            Mistake(
                "added",
                "you add the new numbers to the old ones, and the positions do not become more: torch.cat puts them side by "
                "side",
                {
                    "torch.cat([self.keys[layer], k], dim=2)": "self.keys[layer] + k",
                    "torch.cat([self.values[layer], v], dim=2)": "self.values[layer] + v",
                },
            ),
            Mistake(
                "the first layer's",
                "you join what is new of every layer to keys and values of layer 0: they are self.keys[layer] and "
                "self.values[layer]",
                {"[self.keys[layer], k]": "[self.keys[0], k]", "[self.values[layer], v]": "[self.values[0], v]"},
            ),
            Mistake(
                "the prompt only",
                "your cache keeps the prompt and loses every token after it: what is joined must be stored as well as "
                "returned",
                {
                    "        self.keys[layer], self.values[layer] = k, v": (
                        "        else:\n            self.keys[layer], self.values[layer] = k, v"
                    )
                },
            ),
            Mistake(
                "length of the heads",
                "your length is the number of kv heads, axis 1 of (B, G, S, K): positions are axis 2",
                {".shape[2] if": ".shape[1] if"},
            ),
            Mistake(
                "length of the rows",
                "your length is the number of rows, axis 0 of (B, G, S, K): positions are axis 2",
                {"self.keys[0].shape[2] if": "len(self.keys[0]) if"},
            ),
            Mistake(
                "layers counted",
                "your length is the number of layers: it is to be the number of positions that each of them holds",
                {"self.keys[0].shape[2] if self.keys else 0": "len(self.keys)"},
            ),
            Mistake(
                "length of all layers together",
                "your length adds the layers up: each holds the same positions. One of them is enough",
                {
                    "self.keys[0].shape[2] if self.keys else 0": "sum(one.shape[2] for one in self.keys.values())",
                },
            ),
            Mistake(
                "empty cache",
                "your length fails before the first pass, when no layer is there: it is 0 then",
                {"self.keys[0].shape[2] if self.keys else 0": "self.keys[0].shape[2]"},
            ),
        ],
        [
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
        [
            Mistake(
                "position stays",
                "every token is said to be at position 0: the model believes each to be the first. `start` grows by what "
                "was read",
                {"start = start + ids.shape[1]": "start = 0"},
            ),
            Mistake(
                "prompt counted as one",
                "after a prompt of T tokens your next one is at position 1, not T. `start` grows by ids.shape[1] of what was "
                "read, T at first and 1 later: add it before `ids` becomes the next token",
                {"start = start + ids.shape[1]": "start = start + 1"},
            ),
            Mistake(
                "only the last count",
                "your `start` is how many tokens were read last, T and then always 1: it is to be how many were read in "
                "all. Add",
                {"start = start + ids.shape[1]": "start = ids.shape[1]"},
            ),
            Mistake(
                "rows counted",
                "your `start` grows by the number of rows, ids.shape[0]: it counts positions, ids.shape[1]",
                {"start = start + ids.shape[1]": "start = start + len(ids)"},
            ),
            Mistake(
                "the first logits",
                "you take the logits of the first position: they say what follows the first token of the prompt. What "
                "follows all of it is said by the last, logits[:, -1]",
                {"logits[:, -1]": "logits[:, 0]"},
            ),
            Mistake(
                "everything read again",
                "you give the model the whole text again at each step, and the cache gets everything twice. It is to read "
                "the new token alone, (B, 1)",
                {
                    "ids = logits[:, -1].argmax(dim=-1, keepdim=True)": (
                        "ids = torch.cat([ids, logits[:, -1].argmax(dim=-1, keepdim=True)], dim=1)"
                    ),
                    "(ids[:, 0] == eos)": "(ids[:, -1] == eos)",
                    "int(ids[row, 0])": "int(ids[row, -1])",
                },
            ),
            Mistake(
                "everything read again, the first token written",
                "you give the model the whole text again at each step, and the cache gets everything twice. `ids` is to "
                "be the new token alone, (B, 1)",
                {
                    "ids = logits[:, -1].argmax(dim=-1, keepdim=True)": (
                        "ids = torch.cat([ids, logits[:, -1].argmax(dim=-1, keepdim=True)], dim=1)"
                    )
                },
            ),
            Mistake(
                "no axis of positions",
                "your `ids` is (B,): a model reads (B, t), with t = 1 here. argmax(dim=-1, keepdim=True) keeps the axis",
                {"argmax(dim=-1, keepdim=True)": "argmax(dim=-1)"},
            ),
            Mistake(
                "a token for each position",
                "you take the likeliest token at every position of the prompt: all but the last are about tokens that are "
                "there already. Take logits[:, -1] first",
                {"logits[:, -1].argmax(dim=-1, keepdim=True)": "logits.argmax(dim=-1)"},
            ),
            Mistake(
                "ended rows wake up",
                "a row that has ended goes on when its next token is not eos: whoever has ended stays so. Join what was "
                "with what is by |",
                {"ended = ended | (ids[:, 0] == eos)": "ended = ids[:, 0] == eos"},
            ),
            Mistake(
                "ended and ended",
                "no row ever ends: it would have to have ended before. Join what was with what is by |",
                {"ended = ended | (ids": "ended = ended & (ids"},
            ),
            Mistake(
                "rows against rows",
                "you join (B,) with (B, 1), which makes (B, B): each row with each. ids[:, 0] is (B,)",
                {"(ids[:, 0] == eos)": "(ids == eos)"},
            ),
            Mistake(
                "one position behind",
                "your `start` is one too small: T tokens at positions 0 to T - 1 were read, so the next one is at T",
                {"start = start + ids.shape[1]": "start = start + ids.shape[1] - (start == 0)"},
            ),
            Mistake(
                "position ahead",
                "your prompt is said to begin at position T, not 0: `start` is where the first of `ids` stands. It grows "
                "after the pass, not before",
                {"logits = step(ids, start)": "logits = step(ids, start + ids.shape[1])"},
            ),
            Mistake(
                "logits for tokens",
                "your `ids` are no whole numbers: a model reads the numbers of tokens. argmax says which token has the "
                "largest logit; max(...).values is that logit itself",
                {"logits[:, -1].argmax(dim=-1, keepdim=True)": "logits[:, -1].max(dim=-1, keepdim=True).values"},
            ),
            Mistake(
                "rows and positions exchanged",
                "your `ids` is (1, B), one row of B positions: it is to be B rows of one, (B, 1)",
                {"argmax(dim=-1, keepdim=True)": "argmax(dim=-1)[None]"},
            ),
            Mistake(
                "ended where it goes on",
                "a row of yours ends with the first token that is not eos: it ends where its token equals eos",
                {"(ids[:, 0] == eos)": "(ids[:, 0] != eos)"},
            ),
            Mistake(
                "all in the same step",
                "you stop once all rows say eos in the same step. They end one after the other, and what a row says after "
                "its end may be anything: ask `ended`, which remembers",
                {"done = ended.all()": "done = (ids == eos).all()"},
            ),
            Mistake(
                "the first row that ends",
                "you stop as soon as one row has ended, and cut the others off: a batch is done when all rows are",
                {"done = ended.all()": "done = ended.any()"},
            ),
            Mistake(
                "no end",
                "your answers are right, but you go on to step after all rows have ended, up to `steps`: time for nothing",
                {"done = ended.all()": "done = False"},
            ),
        ],
        [
            "`step(ids, start)` reads the prompt first, and later one token a row. Only the last position's logits matter.",
            "`start` grows by the number of positions that were read, ids.shape[1].",
            "`logits[:, -1].argmax(dim=-1, keepdim=True)` is (B, 1); `ended | (ids[:, 0] == eos)`; done when `ended.all()`.",
        ],
        use=use_generate,
    ),
]
