import dataclasses
import itertools

import pytest
import torch

from ojito.errors import OjitoError
from ojito.generate import GenerateOptions, engine, make_options, prefill, step
from ojito.generate.beam import BeamSearch, Candidate, Ended, Row
from ojito.model import VLM

EOS = 2


@pytest.fixture
def model(tiny_config):
    """Random, with logits that differ enough for rounding to decide nothing."""
    torch.manual_seed(1)
    model = VLM(tiny_config).eval()
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            if parameter.ndim > 1:
                parameter.mul_(3)
    return model


def search(model, batch, *, eos=EOS, vocab_size=None, stops=None, **keywords):
    options = make_options(None, {"beams": 4, **keywords})
    return engine.generate(model, batch, options, eos=eos, vocab_size=vocab_size, stops=stops)


def tokens(rows):
    return [row.tokens for row in rows]


def continued(batch, said):
    """The batch with these tokens, a row each, behind its prompts."""
    said = torch.tensor(said)
    grown = {
        "tokens": said,
        "positions": batch.positions[:, -1:] + 1 + torch.arange(said.shape[1]),
        "segments": batch.segments[:, -1:].expand_as(said),
        "prefix": torch.zeros_like(said, dtype=torch.bool),
        "targets": batch.targets[:, -1:].expand_as(said),
    }
    return dataclasses.replace(batch, **{k: torch.cat((getattr(batch, k), v), dim=1) for k, v in grown.items()})


@torch.no_grad()
def score(model, batch, said):
    """Sum of the log probabilities of these tokens behind the prompt of the batch's one row."""
    log_probs = model(continued(batch, [said])).log_softmax(-1)[0, -len(said) - 1 : -1]
    return log_probs.gather(1, torch.tensor(said)[:, None]).sum().item()


def test_as_many_beams_as_beginnings_find_the_likeliest_of_all_answers(model, tiny_processor, questions):
    for question in questions:
        batch = tiny_processor([question])
        (row,) = search(model, batch, eos=-1, vocab_size=4, beams=16, max_new_tokens=3)
        answers = [list(answer) for answer in itertools.product(range(4), repeat=3)]
        assert row.tokens == max(answers, key=lambda answer: score(model, batch, answer))


def test_answer_is_no_less_likely_than_the_greedy_one(model, tiny_processor, questions):
    for question in questions:
        batch = tiny_processor([question])
        (greedy,), (best,) = (search(model, batch, eos=-1, beams=n, max_new_tokens=6) for n in (1, 4))
        assert score(model, batch, best.tokens) >= score(model, batch, greedy.tokens) - 1e-5


def test_beams_change_the_answer(model, tiny_processor, questions):
    said = [tokens(search(model, tiny_processor(questions), eos=-1, beams=n, max_new_tokens=8)) for n in (1, 2, 5)]
    assert said[0] != said[1]
    assert said[1] != said[2]


def test_length_penalty_changes_the_length(model, tiny_processor, questions):
    short, long = (
        sum(map(len, tokens(search(model, tiny_processor(questions), eos=range(8), length_penalty=power))))
        for power in (-3.0, 3.0)
    )
    assert short < long


def test_repetition_penalty_follows_the_beams(model, tiny_processor, questions):
    batch = tiny_processor(questions)
    rows = search(model, batch, eos=-1, max_new_tokens=8, repetition_penalty=1e9)
    for number, row in enumerate(rows):
        text = set(batch.tokens[number][batch.segments[number] >= 0].tolist())
        assert len(set(row.tokens)) == 8
        assert not set(row.tokens) & text


@pytest.mark.parametrize("more", [{}, {"length_penalty": 0.3}, {"repetition_penalty": 1.5}], ids=str)
def test_batched_equals_single_for_unequal_prompts(model, tiny_processor, questions, more):
    # One row ends after another.
    for ends in (EOS, range(8), range(20)):
        together = search(model, tiny_processor(questions), eos=ends, max_new_tokens=12, **more)
        for i, question in enumerate(questions):
            assert search(model, tiny_processor([question]), eos=ends, max_new_tokens=12, **more) == [together[i]]


def test_rows_may_have_other_options_but_as_many_beams(model, tiny_processor, questions):
    each = [
        GenerateOptions(max_new_tokens=5, beams=3),
        GenerateOptions(max_new_tokens=9, beams=3, length_penalty=2.0),
        GenerateOptions(max_new_tokens=3, beams=3, repetition_penalty=2.0),
        GenerateOptions(max_new_tokens=9, beams=3, length_penalty=-1.0),
    ]
    together = engine.generate(model, tiny_processor(questions), each, eos=-1)
    assert [len(row.tokens) for row in together] == [5, 9, 3, 9]
    for question, options, row in zip(questions, each, together, strict=True):
        assert engine.generate(model, tiny_processor([question]), options, eos=-1) == [row]
    each[2] = GenerateOptions()
    with pytest.raises(OjitoError, match="beams: rows of one batch with 1 and 3; give each number a batch of its own"):
        prefill(model, tiny_processor(questions), each, eos=-1)


def test_images_and_prompts_are_read_once_a_row(model, tiny_processor, questions, monkeypatch):
    images, read = [], []
    encode, features = model.encode, model.features
    monkeypatch.setattr(model, "encode", lambda pixels: images.append(len(pixels)) or encode(pixels))
    monkeypatch.setattr(
        model,
        "features",
        lambda batch, cache, **last: read.append(tuple(batch.tokens.shape)) or features(batch, cache, **last),
    )
    batch = tiny_processor(questions)
    search(model, batch, eos=-1, max_new_tokens=3)
    assert images == [4]
    assert read == [(4, batch.tokens.shape[1]), (16, 1), (16, 1)]


def test_stream_gives_an_answer_when_its_search_has_ended(model, tiny_processor, questions):
    batch, options = tiny_processor(questions), GenerateOptions(max_new_tokens=6, beams=3)
    state = prefill(model, batch, options, eos=range(20))
    final = engine.generate(model, batch, options, eos=range(20))
    while not state.done:
        for row, last in zip(step(state), final, strict=True):
            assert row == last if row.finish else row.tokens == []
    assert state.rows == final


def test_stop_ends_a_beam(model, tiny_processor, questions):
    stops = [None, *(lambda tokens, most=most: len(tokens) > most for most in (1, 2, 3))]
    rows = search(model, tiny_processor(questions), eos=-1, max_new_tokens=9, stops=stops)
    assert [len(row.tokens) for row in rows] == [9, 2, 3, 4]
    assert [row.finish for row in rows] == ["length", "stop", "stop", "stop"]


def test_vocab_size_keeps_ids_beyond_it_from_being_chosen(model, tiny_processor, questions):
    batch = tiny_processor(questions)
    assert max(map(max, tokens(search(model, batch, eos=-1, max_new_tokens=9)))) >= 10
    assert max(map(max, tokens(search(model, batch, eos=-1, max_new_tokens=9, vocab_size=10)))) < 10


def test_answer_ends_where_the_positions_do_for_each_row(tiny_config, tiny_processor, questions):
    batch = tiny_processor(questions)
    used = (batch.positions[:, -1] + 1).tolist()
    decoder = dataclasses.replace(tiny_config.decoder, max_positions=max(used) + 2, positions="learned")
    model = VLM(dataclasses.replace(tiny_config, decoder=decoder))
    rows = search(model, batch, eos=-1, max_new_tokens=15)
    assert [len(row.tokens) for row in rows] == [min(15, max(used) + 2 - n) for n in used]


def test_more_beams_than_tokens_are_an_error(model, tiny_processor, questions):
    with pytest.raises(OjitoError, match="beams: 65 for a vocabulary of 64 tokens; 4 is usual"):
        search(model, tiny_processor(questions), beams=65)


def test_more_beams_than_first_tokens_are_filled_up_later(model, tiny_processor, questions):
    (row,) = search(model, tiny_processor(questions[:1]), eos=-1, vocab_size=2, beams=5, max_new_tokens=4)
    assert len(row.tokens) == 4


# ------------------------------------------------------------------------------------------------------------- the rows


def row(**changes):
    return Row(**{"width": 2, "length_penalty": 1.0, "limit": 9, "stop": None, **changes})


def test_row_keeps_the_best_beams_and_sets_ended_ones_aside():
    search = row(beams=[[7], [8]])
    going = search.advance(
        [Candidate(-1, 0, EOS), Candidate(-2, 1, 5), Candidate(-3, 0, EOS), Candidate(-4, 0, 6)], {EOS}
    )
    assert going == [Candidate(-2, 1, 5), Candidate(-4, 0, 6)]
    assert search.beams == [[8, 5], [7, 6]]
    assert search.ended == [(-0.5, [7], "eos")]  # the third is not among the best two
    assert not search.done


@pytest.mark.parametrize(("going", "done"), [(-0.8, False), (-3.0, True)])
def test_row_is_done_when_no_beam_is_better_than_what_has_ended(going, done):
    search = row(beams=[[7], [8]], ended=[Ended(-0.1, [1], "eos")])
    candidates = [Candidate(-1, 0, EOS), Candidate(going, 1, 5)]
    search.advance(sorted(candidates, reverse=True), {EOS})
    assert [one[0] for one in search.ended] == [-0.1, -0.5]
    assert search.done is done


def test_row_at_its_limit_ends_with_its_best_beams():
    search = row(beams=[[7], [8]], limit=2)
    going = search.advance([Candidate(-1, 1, 5), Candidate(-2, 0, EOS), Candidate(-3, 0, 6)], {EOS})
    assert search.ended == [(-0.5, [8, 5], "length"), (-1.0, [7], "eos")]
    assert search.done
    assert [one.score for one in going] == [float("-inf")] * 2


def test_search_goes_on_from_the_rows_own_beams():
    search = BeamSearch(2, [1.0, 1.0], [9, 9], [None, None], {EOS})
    first = torch.full((2, 4), -9.0)
    first[0, 1], first[0, 3], first[1, 0], first[1, 1] = -1, -2, -1, -2
    assert search.advance(first) == ([0, 0, 1, 1], [1, 3, 0, 1])
    later = torch.full((4, 4), -9.0)
    later[1, 0], later[1, 1], later[2, 3], later[3, 3] = -1, -2, -3, -1
    assert search.advance(later) == ([1, 1, 3, 2], [0, 1, 3, 3])
    assert [one.beams for one in search.rows] == [[[3, 0], [3, 1]], [[1, 3], [0, 3]]]
