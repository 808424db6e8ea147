import dataclasses

import pytest
import torch

from ojito.generate import GenerateOptions, Greedy, Temperature, TopK, generate, prefill, step
from ojito.generate.lookup import Lookup, may_draft
from ojito.model import VLM
from ojito.records import IMAGE

EOS = 2
STYLES = {
    "llama": {},
    "gpt2": {"positions": "learned", "norm": "layer", "mlp": "plain", "activation": "gelu", "bias": True},
    "gemma": {"mask": "prefix", "window": 6},
    "gemma3": {"mask": "image", "window": 6},
}


@pytest.fixture
def parrot(tiny_config):
    """Makes a model that looks at the last token alone, and goes round: 3, 4, ..., 3, 4, ..."""

    def make(circle):
        decoder = dataclasses.replace(tiny_config.decoder, width=64, tied_head=False)
        model = VLM(dataclasses.replace(tiny_config, decoder=decoder)).eval()
        with torch.no_grad():
            for block in model.decoder.blocks:
                for parameter in (*block.attention.out.parameters(), *block.mlp.parameters()):
                    parameter.zero_()
            model.decoder.embedding.weight.copy_(torch.eye(64))
            follows = torch.tensor([3 + (token - 2) % circle for token in range(64)])
            model.decoder.untied_head.weight.copy_(torch.eye(64)[follows].T)
        return model

    return make


def answer(model, batch, eos=EOS, stops=None, vocab_size=None, **options):
    return generate(model, batch, GenerateOptions(**options), eos=eos, stops=stops, vocab_size=vocab_size)


# ------------------------------------------------------------------------------------------------------- the same text


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("seed", range(10))
def test_guesses_change_no_answer_of_random_models(sharp, tiny_processor, questions, style, seed, reads):
    model, lengths = sharp(seed, **STYLES[style]), set()
    for rows in (questions[seed % 4 :][:1], questions):
        batch = tiny_processor(rows)
        few = {"vocab_size": 9, "eos": -1}  # so that they repeat, and not only in circles
        plain = answer(model, batch, max_new_tokens=30, drafts=0, **few)
        read = reads(model)
        assert answer(model, batch, max_new_tokens=30, drafts=8, **few) == plain
        lengths |= {length for _, length in read[1:]}
    assert len(lengths) > 1  # or nothing was guessed


def test_repeating_text_takes_few_passes(parrot, tiny_processor, questions, reads):
    model, batch = parrot(5), tiny_processor(questions[:1])
    plain = answer(model, batch, eos=-1, max_new_tokens=48, drafts=0)
    assert plain[0].tokens[10:20] == plain[0].tokens[15:25]
    read = reads(model)
    assert answer(model, batch, eos=-1, max_new_tokens=48, drafts=8) == plain
    assert len(read) < 16
    assert max(length for _, length in read[1:]) == 9
    short = reads(model)
    assert answer(model, batch, eos=-1, max_new_tokens=48, drafts=2) == plain
    assert max(length for _, length in short[1:]) == 3


def test_rows_accept_different_numbers_of_tokens(sharp, tiny_processor, questions):
    counts = set()
    for seed in range(4):
        model = sharp(seed)
        each = GenerateOptions(max_new_tokens=40)
        state = prefill(model, tiny_processor(questions), each, eos=-1)
        while not state.done:
            before = [len(row.tokens) for row in state.rows]
            counts.add(tuple(len(row.tokens) - n for row, n in zip(step(state), before, strict=True)))
    assert any(len(set(some)) > 2 for some in counts)


def test_rows_that_draw_go_on_beside_rows_with_guesses(sharp, tiny_processor, questions, reads):
    model, batch = sharp(3), tiny_processor(questions)
    each = [GenerateOptions(30), GenerateOptions(30, Temperature(0.9), seed=3), GenerateOptions(30)]
    each += [GenerateOptions(30, repetition_penalty=1.1)]
    plain = generate(model, batch, [dataclasses.replace(one, drafts=0) for one in each], eos=-1)
    read = reads(model)
    assert generate(model, batch, each, eos=-1) == plain
    assert any(length > 1 for _, length in read[1:])


@pytest.mark.parametrize("most", range(1, 20))
def test_answer_ends_at_its_limit_within_a_guess(parrot, tiny_processor, questions, most):
    (row,) = answer(parrot(4), tiny_processor(questions[:1]), eos=-1, max_new_tokens=most)
    assert (len(row.tokens), row.finish) == (most, "length")


def test_answer_ends_at_its_end_token_within_a_guess(sharp, tiny_processor, questions):
    ended = 0
    for seed in range(4):
        model, batch = sharp(seed), tiny_processor(questions)
        said = answer(model, batch, eos=-1, max_new_tokens=30, drafts=0)
        late = [row.tokens[-1] for row in said]
        plain = answer(model, batch, eos=late, max_new_tokens=30, drafts=0)
        assert answer(model, batch, eos=late, max_new_tokens=30) == plain
        ended += sum(row.finish == "eos" for row in plain)
    assert ended > 12


def test_answer_ends_at_its_stop_text_within_a_guess(parrot, tiny_processor, questions):
    batch, model = tiny_processor(questions[:2]), parrot(5)
    for most in range(9, 20):
        stops = [lambda tokens, most=most: len(tokens) == most, None]
        rows = answer(model, batch, eos=-1, max_new_tokens=30, stops=stops)
        assert [(len(row.tokens), row.finish) for row in rows] == [(most, "stop"), (30, "length")]


def test_guesses_end_where_the_positions_do(sharp, tiny_processor, questions):
    batch = tiny_processor(questions)
    last = int(batch.positions.max()) + 12
    model = sharp(3, positions="learned", max_positions=last)
    plain = answer(model, batch, eos=-1, max_new_tokens=60, drafts=0)
    assert answer(model, batch, eos=-1, max_new_tokens=60) == plain
    assert len({len(row.tokens) for row in plain}) > 2


# ------------------------------------------------------------------------------------------------- what it does not do


@pytest.mark.parametrize(
    ("options", "may"),
    [
        (GenerateOptions(), True),
        (GenerateOptions(sampler=Temperature(0)), True),
        (GenerateOptions(drafts=0), False),
        (GenerateOptions(sampler=Temperature(0.5)), False),
        (GenerateOptions(sampler=TopK(3)), False),
        (GenerateOptions(beams=2), False),
        (GenerateOptions(repetition_penalty=1.2), False),
        (GenerateOptions(allowed=lambda tokens: None), False),
    ],
)
def test_guesses_are_made_where_the_likeliest_token_is_taken(options, may):
    assert may_draft(options) is may


@dataclasses.dataclass(frozen=True)
class Cold:
    temperature: float = 0.0

    def choose(self, logits, generators):
        return logits.argmin(-1)


class Least(Greedy):
    """Made of one that is guessed for, and chooses something else."""

    choose = Cold.choose


@pytest.mark.parametrize("sampler", [Cold(), Least()])
def test_sampler_of_ones_own_is_not_guessed_for(sampler, parrot, tiny_processor, questions):
    assert not may_draft(GenerateOptions(sampler=sampler))
    model, batch = parrot(4), tiny_processor(questions[:1])
    plain = answer(model, batch, eos=-1, sampler=sampler, max_new_tokens=20, drafts=0)
    assert answer(model, batch, eos=-1, sampler=sampler, max_new_tokens=20) == plain


class Grammar(list):
    """Masks of allowed tokens, of an object that is empty as yet."""

    def __call__(self, tokens):
        mask = torch.zeros(64, dtype=torch.bool)
        mask[3 + len(tokens) % 2] = True
        return mask


def test_masks_of_an_object_that_is_false_are_asked_for_nevertheless(parrot, tiny_processor, questions):
    (row,) = answer(parrot(4), tiny_processor(questions[:1]), eos=-1, allowed=Grammar(), max_new_tokens=20)
    assert row.tokens == [3, 4] * 10


@pytest.mark.parametrize("options", [{"drafts": 0}, {"repetition_penalty": 1.01}, {"sampler": TopK(1)}], ids=str)
def test_nothing_is_guessed_without_leave(parrot, tiny_processor, questions, reads, options):
    model = parrot(4)
    read = reads(model)
    answer(model, tiny_processor(questions[:1]), eos=-1, max_new_tokens=20, **options)
    assert [length for _, length in read[1:]] == [1] * 19


def test_many_rows_guess_less(parrot, tiny_processor, questions, reads):
    model = parrot(4)
    read = reads(model)
    answer(model, tiny_processor(questions * 2), eos=-1, max_new_tokens=30)
    assert max(length for _, length in read[1:]) == 4  # 8 rows of 4 places are 32
    read = reads(model)
    answer(model, tiny_processor(questions * 5), eos=-1, max_new_tokens=30)
    assert {length for _, length in read[1:]} == {1}


# ----------------------------------------------------------------------------------------------------------- the guess


def test_guess_is_what_followed_the_last_tokens_before():
    lookup = Lookup([5, 6, 7, 8, 9, 1, 5, 6], most=8)
    assert lookup.guess(8) == [7, 8, 9, 1]  # half as many as may be, until one was right
    assert lookup.guess(2) == [7, 8]
    lookup.add(4)
    assert lookup.guess(8) == []


def test_longer_piece_wins_over_the_later_one():
    lookup = Lookup([1, 5, 6, 7, 0, 9, 5, 6, 8, 0, 1, 5, 6], most=2)
    assert lookup.guess(1) == [7]
    lookup = Lookup([1, 5, 6, 7, 0, 9, 5, 6, 8, 0, 2, 5, 6], most=2)
    assert lookup.guess(1) == [8]


def test_guess_goes_on_round_a_short_circle():
    lookup = Lookup([3, 4, 3, 4, 3], most=20)
    assert lookup.guess(7) == [4, 3, 4, 3, 4, 3, 4]


def test_images_are_not_guessed():
    assert Lookup([IMAGE] * 9, most=8).guess(8) == []
    assert Lookup([5, 6, 7, IMAGE, IMAGE, 5, 6], most=8).guess(8) == [7]


def test_guess_grows_while_it_is_right_and_shrinks_when_it_is_wrong():
    lookup = Lookup([3, 4] * 9, most=8)
    assert len(lookup.guess(8)) == 4
    lookup.judge(4, 4)
    assert len(lookup.guess(8)) == 8
    lookup.judge(8, 5)
    assert len(lookup.guess(8)) == 6
    lookup.judge(6, 1)
    assert len(lookup.guess(8)) == 3
    lookup.judge(3, 0)
    assert lookup.guess(8) == []


def test_wrong_guesses_are_followed_by_longer_and_longer_pauses():
    lookup, pauses = Lookup([3, 4] * 9, most=8), []
    for _ in range(7):
        assert lookup.guess(8)
        lookup.judge(4, 0)
        lookup.add(3)  # what was right instead
        waited = 0
        while not lookup.guess(8):
            lookup.add(4 if waited % 2 == 0 else 3)
            waited += 1
        pauses.append(waited)
    assert pauses == [4, 8, 16, 32, 64, 64, 64]
    lookup.judge(4, 1)
    lookup.judge(4, 0)
    assert not lookup.guess(8)
    for token in (3, 4, 3, 4, 3):
        lookup.add(token)
    assert lookup.guess(8)
