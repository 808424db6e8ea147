"""Beam search against transformers': the same tokens, whatever the width, the penalties and the ends of an answer."""

import pytest

from ojito import Sample
from ojito.generate import engine, make_options
from tests.parity import reference
from tests.parity.reference import IMAGES, NONE, ONE

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")

# Of one image each at most: transformers hands a row's beams the images of their neighbours where there are more.
ROWS = [ONE, NONE, Sample(IMAGES[1:2], "cat"), Sample(IMAGES[2:], "what is the red ball in it?")]
OPTIONS = {
    "two beams": {"beams": 2},
    "five beams": {"beams": 5},
    "longer answers": {"beams": 4, "length_penalty": 2.0},
    "shorter answers": {"beams": 4, "length_penalty": -1.0},
    "sums": {"beams": 3, "length_penalty": 0.0},
    "no repetition": {"beams": 3, "repetition_penalty": 1.5},
    "few tokens": {"beams": 4, "max_new_tokens": 2},
    "one token": {"beams": 4, "max_new_tokens": 1},
}
MANY = 150
"""Ends of answers. With those of a tokenizer hardly a beam of a random model would end before its limit."""


def beams(theirs, batch, ends, max_new_tokens=12, **options):
    """What transformers finds; an answer's end is cut off."""
    names = {"beams": "num_beams"}
    ids = theirs.model.generate(
        **theirs.inputs(batch),
        do_sample=False,
        max_new_tokens=max_new_tokens,
        eos_token_id=list(ends),
        pad_token_id=ends[0],
        **{names.get(name, name): value for name, value in options.items()},
    )
    rows = ids[:, batch.tokens.shape[1] :].tolist()
    return [row[: min((i for i, token in enumerate(row) if token in ends), default=max_new_tokens)] for row in rows]


def ours(model, batch, ends, max_new_tokens=12, **options):
    options = make_options(None, {"max_new_tokens": max_new_tokens, **options})
    return [row.tokens for row in engine.generate(model, batch, options, eos=ends)]


@pytest.fixture(scope="module", params=["llava", "gemma3"])
def both(request, usual):
    family = request.param
    return usual(family, scale=reference.FAMILIES[family].lively, seed=5)


@pytest.mark.parametrize("options", OPTIONS)
def test_beams_find_the_references_tokens(both, options):
    theirs, pipe = both
    batch = pipe.processor(ROWS)
    lengths = set()
    for ends in (pipe.processor.tokenizer.ends, range(3, MANY, 3)):
        expected = beams(theirs, batch, sorted(ends), **OPTIONS[options])
        assert ours(pipe.model, batch, ends, **OPTIONS[options]) == expected
        lengths |= {len(row) for row in expected}
    if OPTIONS[options].get("max_new_tokens", 9) > 2 and options != "longer answers":
        assert len(lengths) > 1  # or no search ended by itself


def test_beams_leave_the_greedy_tokens(both):
    _, pipe = both
    batch, ends = pipe.processor(ROWS), range(3, MANY, 3)
    assert ours(pipe.model, batch, ends, beams=3) != ours(pipe.model, batch, ends)
