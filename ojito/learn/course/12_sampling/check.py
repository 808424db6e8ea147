"""How lesson 12 is checked."""

import torch

from ojito.generate.sampling import Temperature, TopK, TopP, draw
from ojito.learn import Case, Exercise, Question

QUESTION = Question(
    "At each step of a caption of 20 tokens, a model gives 0.95 to tokens that fit, and the other 0.05 is spread over "
    "thousands that do not. Drawn at temperature 1, without top-k and top-p, how many captions have at least one token "
    "that does not fit?",
    {"a": "about 64 of 100", "b": "about 25 of 100", "c": "about 5 of 100"},
    "a",
    "All 20 tokens fit in 0.95^20 = 0.36 of the captions. A small chance is taken again at each token, and a long text "
    "hardly ever escapes it. With top-p 0.95 or less, none of the thousands can be drawn at all.",
)

CHANCES = torch.tensor(
    [
        [0.05, 0.40, 0.02, 0.25, 0.20, 0.08],
        [0.01, 0.01, 0.93, 0.02, 0.025, 0.005],
        [0.17, 0.18, 0.15, 0.16, 0.14, 0.20],
    ]
)
DRAWS = 6_000


def shaped(sampler, logits):
    return sampler.keep(logits).softmax(dim=-1)


def temperature_cases():
    made = torch.Generator().manual_seed(0)
    for name, temperature in (("sharper, 0.5", 0.5), ("flatter, 2", 2.0), ("as it is, 1", 1.0)):
        logits = 2 * torch.randn(3, 7, generator=made)
        yield Case(name, {"logits": logits, "temperature": temperature})
    yield Case("logits of 10 at temperature 0.1", {"logits": 10 * logits.sign(), "temperature": 0.1})


def top_p_cases():
    for p in (0.6, 0.9, 1.0):
        yield Case(f"p = {p}", {"probabilities": CHANCES, "p": p})
    exact = torch.tensor([[0.125, 0.5, 0.0625, 0.25, 0.0625], [0.25, 0.0625, 0.0625, 0.125, 0.5]])
    yield Case("two tokens have exactly 0.75, and p = 0.75", {"probabilities": exact, "p": 0.75})


def draws(solution, inputs):
    """Shares of the tokens in many draws, and what the generator has to do with them."""

    def drawn(generator):
        many = inputs["logits"].repeat(DRAWS, 1)
        return solution(many, inputs["temperature"], inputs["p"], generator)

    used = torch.Generator().manual_seed(0)
    first, vocabulary = drawn(used), inputs["logits"].shape[1]
    shape = tuple(first.shape) if isinstance(first, torch.Tensor) else type(first).__name__
    found = {
        "shape of the tokens for 18,000 rows": str(shape),
        "every token is one of the vocabulary": None,
        "shares of the tokens in 6,000 draws": None,
        "a generator with the same seed gives the same tokens again": None,
        "a second draw from the generator gives other tokens": None,
        "a generator with another seed gives other tokens": None,
    }
    if shape != (len(inputs["logits"]) * DRAWS,):
        return found
    known = bool(((first >= 0) & (first < vocabulary)).all())
    found["every token is one of the vocabulary"] = known
    if not known:
        return found
    hits = torch.nn.functional.one_hot(first.long().view(DRAWS, -1), vocabulary)
    found["shares of the tokens in 6,000 draws"] = hits.float().mean(0)
    others = (torch.Generator().manual_seed(0), used, torch.Generator().manual_seed(1))
    same, second, other = (torch.equal(drawn(one), first) for one in others)
    found["a generator with the same seed gives the same tokens again"] = same
    found["a second draw from the generator gives other tokens"] = not second
    found["a generator with another seed gives other tokens"] = not other
    return found


def library_sample(logits, temperature, p, generator):
    if temperature == 0:
        return TopP(p, 0.0).choose(logits, [])
    kept = TopP(p, temperature).keep(logits)
    # One generator serves all rows here; the library has one for each.
    return draw(kept, [generator] * len(logits))


def sample_cases():
    logits = CHANCES.log() + torch.tensor([[0.0], [3.0], [-5.0]])
    yield Case("temperature 1, p = 1: as the model says", {"logits": logits, "temperature": 1.0, "p": 1.0})
    yield Case("temperature 2, p = 0.7", {"logits": logits, "temperature": 2.0, "p": 0.7})
    yield Case("temperature 0: greedy", {"logits": logits, "temperature": 0.0, "p": 0.9})


EXERCISES = [
    Exercise(
        "with_temperature",
        lambda: list(temperature_cases()),
        hints=[
            "What is divided: logits or chances? Only logits can become any number.",
            "Divide, then softmax over the last axis.",
        ],
        reference=lambda logits, temperature: shaped(Temperature(temperature), logits),
    ),
    Exercise(
        "top_k",
        lambda: [Case(f"the {k} likeliest of 6", {"probabilities": CHANCES, "k": k}) for k in (1, 3, 6)],
        hints=[
            "`probabilities.topk(k).values` are the k largest chances of each row, the largest first.",
            "The last of them, `[:, -1:]`, keeps its axis, (B, 1). What is smaller becomes 0: "
            "`probabilities.where(probabilities >= least, 0.0)`.",
        ],
        reference=lambda probabilities, k: shaped(TopK(k), probabilities.log()),
    ),
    Exercise(
        "top_p",
        lambda: list(top_p_cases()),
        hints=[
            "`ordered` falls. Its running sum, `ordered.cumsum(dim=-1)`, holds each token itself: take that away.",
            "A token is kept while the likelier ones have less than p: `ordered.where(likelier < p, 0.0)`.",
            "`torch.zeros_like(ordered).scatter(-1, order, ordered)` puts each chance to its token. Then divide by the sum "
            "of the row.",
        ],
        reference=lambda probabilities, p: shaped(TopP(p), probabilities.log()),
    ),
    Exercise(
        "sample",
        lambda: list(sample_cases()),
        hints=[
            "At temperature 0 the likeliest token of each row: argmax over the vocabulary.",
            "Otherwise first the temperature, then top-p, with the functions above.",
            "`torch.multinomial(probabilities, 1, generator=generator)` is (B, 1): take its column 0.",
        ],
        reference=library_sample,
        use=draws,
        tolerance=0.03,
    ),
]
