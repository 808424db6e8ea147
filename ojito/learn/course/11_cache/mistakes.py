"""Wrong solutions of lesson 11 that look right, by exercise."""

from ojito.learn import Mistake

MISTAKES = {
    "Cache": [
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
    "generate_greedy": [
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
}
