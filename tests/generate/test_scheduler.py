import dataclasses
from collections import deque

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ojito.errors import OjitoError
from ojito.generate import GenerateOptions, PrefixCache, Scheduler, State, Temperature, TopK, generate, prefill, step
from ojito.records import Sample

EOS = 2
MASKS = {"causal": {}, "prefix": {"mask": "prefix"}, "image": {"mask": "image", "window": 6}}
EACH = [
    GenerateOptions(max_new_tokens=12),
    GenerateOptions(max_new_tokens=7, sampler=Temperature(0.8), seed=4, repetition_penalty=2.0),
    GenerateOptions(max_new_tokens=5, sampler=TopK(5), seed=4),
    GenerateOptions(max_new_tokens=15, repetition_penalty=1.5),
]


@pytest.fixture(params=MASKS)
def model(request, sharp):
    return sharp(**MASKS[request.param])


def alone(model, processor, sample, options, eos=EOS):
    (row,) = generate(model, processor([sample]), [options], eos=eos)
    return row


@pytest.mark.parametrize("prefixes", [None, 2**20], ids=["reading all", "prefix cache"])
@pytest.mark.parametrize("steps", [(0, 0, 0), (1, 3, 1), (0, 9, 2)], ids=str)
def test_rows_that_join_at_any_step_are_answered_as_alone(model, tiny_processor, questions, prefixes, steps):
    scheduler = Scheduler(model, eos=EOS, rows=3, prefixes=PrefixCache(prefixes) if prefixes else None)
    requests = []
    for question, options, pause in zip(questions, EACH, (*steps, 0), strict=True):
        requests.append(scheduler.submit(tiny_processor([question]), options))
        for _ in range(pause):
            scheduler.step()
    scheduler.run()
    for question, options, request in zip(questions, EACH, requests, strict=True):
        assert request.answer == alone(model, tiny_processor, question, options)


def test_many_rows_in_few_places_are_answered_as_alone(model, tiny_processor, questions):
    samples = [dataclasses.replace(one, prompt=one.prompt[:length]) for length in (2, 6, 9) for one in questions]
    each = [dataclasses.replace(EACH[i % 4], max_new_tokens=3 + i, seed=i) for i in range(len(samples))]
    scheduler = Scheduler(model, eos=EOS, rows=3, prefixes=PrefixCache())
    requests = [scheduler.submit(tiny_processor([one]), options) for one, options in zip(samples, each, strict=True)]
    scheduler.run()
    for sample, options, request in zip(samples, each, requests, strict=True):
        assert request.answer == alone(model, tiny_processor, sample, options)


def test_waiting_row_takes_the_place_of_one_that_ended(tiny_model, tiny_processor, reads):
    scheduler = Scheduler(tiny_model, eos=-1, rows=2)
    for most in (2, 6, 4):
        scheduler.submit(tiny_processor([Sample(prompt="it")]), GenerateOptions(most, drafts=0))
    read = reads(tiny_model)
    assert (scheduler.running, scheduler.free) == (0, 0)
    scheduler.run()
    # Two prompts, both go on, the first has ended: the third prompt, which goes on beside the second and ends first.
    assert [rows for rows, _ in read] == [2, 2, 1, 2, 2, 2, 1]
    assert scheduler.done
    assert scheduler.free == 2


def test_row_that_ended_is_not_read_any_more(tiny_model, tiny_processor, questions, reads):
    read = reads(tiny_model)
    each = [GenerateOptions(most, drafts=0) for most in (1, 4, 2, 3)]
    generate(tiny_model, tiny_processor(questions), each, eos=-1)
    assert [rows for rows, _ in read] == [4, 3, 2, 1]


def test_rows_may_be_submitted_while_others_are_iterated(model, tiny_processor, questions):
    scheduler = Scheduler(model, eos=-1, rows=4)
    first = scheduler.submit(tiny_processor([questions[0]]), GenerateOptions(9, drafts=0))
    said, second = [], None
    for tokens in first:
        assert len(tokens) == 1
        said += tokens
        second = second or scheduler.submit(tiny_processor([questions[1]]), GenerateOptions(5))
    assert said == first.answer.tokens
    assert len(said) == 9
    assert second.done
    assert list(second) == [second.answer.tokens]


def test_cancelled_rows_leave_and_the_others_go_on(model, tiny_processor, questions, reads):
    scheduler = Scheduler(model, eos=-1, rows=3)
    each = [GenerateOptions(8, drafts=0)] * 4
    requests = [scheduler.submit(tiny_processor([one]), each[0]) for one in questions]
    read = reads(model)
    for _ in range(3):
        scheduler.step()
    requests[1].cancel()
    requests[3].cancel()  # while it waits
    scheduler.run()
    assert scheduler.done
    assert [rows for rows, _ in read] == [3, 3, 3, 2, 2, 2, 2, 2]
    assert [request.answer.finish for request in requests] == ["length", "cancelled", "length", "cancelled"]
    assert [len(request.answer.tokens) for request in requests] == [8, 3, 8, 0]
    for number in (0, 2):
        assert requests[number].answer == alone(model, tiny_processor, questions[number], each[0], -1)
    requests[0].cancel()
    assert requests[0].answer.finish == "length"


def test_cache_of_rows_that_come_together_never_moves(tiny_model, tiny_processor, questions):
    scheduler = Scheduler(tiny_model, eos=-1, rows=3, prefixes=PrefixCache())
    same = [Sample(questions[0].images, text) for text in ("a", "bc", "def", "g", "hi")]
    for sample in same:
        scheduler.submit(tiny_processor([sample]), GenerateOptions(5))
    places = set()
    while not scheduler.done:
        scheduler.step()
        places.add(scheduler._cache._keys.data_ptr())
    assert len(places) == 1
    assert scheduler._cache.rows == 3


def test_prompt_that_cannot_be_answered_is_an_error_before_it_waits(sharp, tiny_processor, questions):
    model = sharp(max_positions=20)
    scheduler = Scheduler(model, eos=-1)
    fine = scheduler.submit(tiny_processor([questions[1]]), GenerateOptions(3))
    with pytest.raises(OjitoError, match="a prompt takes 24 positions, which leaves none"):
        scheduler.submit(tiny_processor([questions[0]]))
    broken = tiny_processor([questions[1]])
    broken.images = None
    with pytest.raises(OjitoError, match="4 placeholder tokens but 0 visual tokens"):
        scheduler.submit(broken)
    scheduler.run()
    assert len(fine.answer.tokens) == 3


def test_several_rows_at_once_or_none_are_errors(tiny_model, tiny_processor, questions):
    scheduler = Scheduler(tiny_model, eos=-1)
    with pytest.raises(OjitoError, match="batch: has 4 rows; submit them one by one"):
        scheduler.submit(tiny_processor(questions))
    with pytest.raises(OjitoError, match="stop: the scheduler knows no texts"):
        scheduler.submit(tiny_processor(questions[:1]), GenerateOptions(stop=("a",)))
    with pytest.raises(OjitoError, match="rows: 0 answer nothing"):
        Scheduler(tiny_model, eos=-1, rows=0)


def test_error_ends_all_rows_that_run(tiny_model, tiny_processor, questions):
    scheduler = Scheduler(tiny_model, eos=-1, rows=2)
    requests = [scheduler.submit(tiny_processor([one]), GenerateOptions(9)) for one in questions[:3]]
    scheduler.step()
    before = tiny_model.decoder.norm.weight.data.clone()
    tiny_model.decoder.norm.weight.data.fill_(float("nan"))
    with pytest.raises(OjitoError, match="are not finite"):
        list(requests[0])
    assert [request.answer.finish for request in requests] == ["cancelled", "cancelled", None]
    assert list(requests[1]) == [requests[1].answer.tokens]  # and does not wait for ever
    tiny_model.decoder.norm.weight.data.copy_(before)
    scheduler.run()
    assert requests[2].answer == alone(tiny_model, tiny_processor, questions[2], GenerateOptions(9), -1)


def test_rows_with_beams_are_searched_by_themselves(model, tiny_processor, questions):
    scheduler = Scheduler(model, eos=EOS, rows=3, prefixes=PrefixCache())
    each = [GenerateOptions(6), GenerateOptions(6, beams=3), GenerateOptions(4, beams=3), GenerateOptions(9)]
    requests = [scheduler.submit(tiny_processor([one]), own) for one, own in zip(questions, each, strict=True)]
    scheduler.run()
    for question, options, request in zip(questions, each, requests, strict=True):
        assert request.answer == alone(model, tiny_processor, question, options)


def test_answers_in_bfloat16_are_the_same_for_the_same_requests(tiny_model, tiny_processor, questions):
    def answers():
        scheduler = Scheduler(tiny_model.bfloat16(), eos=EOS, rows=2)
        requests = [scheduler.submit(tiny_processor([one]), own) for one, own in zip(questions, EACH, strict=True)]
        scheduler.run()
        return [request.answer for request in requests]

    assert answers() == answers()


def test_mode_of_the_model_is_restored_after_every_step(tiny_model, tiny_processor, questions):
    scheduler = Scheduler(tiny_model.train(), eos=-1)
    scheduler.submit(tiny_processor([questions[0]]), GenerateOptions(3))
    scheduler.step()
    assert tiny_model.training
    assert not torch.is_inference_mode_enabled()


# ----------------------------------------------------------------------------------------------- threads and interrupts


def cancels_before(monkeypatch, owner, name, call, requests):
    """Has the requests cancelled just before a method is called for the so-many-th time, as another thread may."""
    method, calls = getattr(owner, name), []

    def cancelling(*args, **kwargs):
        calls.append(name)
        if len(calls) == call:
            for request in requests:
                request.cancel()
        return method(*args, **kwargs)

    monkeypatch.setattr(owner, name, cancelling)


@pytest.mark.parametrize("beams", [1, 2])
@pytest.mark.parametrize("call", range(1, 6))
@pytest.mark.parametrize("name", ["leave", "_take", "join"])
@pytest.mark.parametrize("all_", [True, False], ids=["all", "one"])
def test_rows_may_be_cancelled_at_any_moment(
    monkeypatch, tiny_model, tiny_processor, questions, beams, call, name, all_
):
    scheduler = Scheduler(tiny_model, eos=-1, rows=3)
    requests = [scheduler.submit(tiny_processor([questions[1]]), GenerateOptions(n, beams=beams)) for n in (2, 4)]
    cancels_before(monkeypatch, State, name, call, requests[: 2 if all_ else 1])
    scheduler.step()
    requests.append(scheduler.submit(tiny_processor([questions[2]]), GenerateOptions(3, beams=beams)))
    scheduler.run()
    last = requests[2]
    assert last.answer == alone(tiny_model, tiny_processor, questions[2], last.options, -1)
    assert all(request.answer.finish in ("cancelled", "length") for request in requests)
    assert all(len(request.answer.tokens) <= request.options.max_new_tokens for request in requests)


def test_row_that_is_cancelled_while_its_prompt_is_read_stays_cancelled(
    monkeypatch, tiny_model, tiny_processor, questions
):
    scheduler = Scheduler(tiny_model, eos=-1)
    request = scheduler.submit(tiny_processor([questions[0]]), GenerateOptions(4))
    held = request.answer
    cancels_before(monkeypatch, tiny_model, "features", 1, [request])
    scheduler.run()
    assert (request.answer.tokens, request.answer.finish) == ([], "cancelled")
    assert request.answer is held  # or a thread that is about to cancel would cancel what is no longer it


def test_interrupt_loses_no_row_that_is_about_to_join(monkeypatch, tiny_model, tiny_processor, questions):
    class Queue(deque):
        def popleft(self):
            super().popleft()
            raise KeyboardInterrupt

    scheduler = Scheduler(tiny_model, eos=-1)
    scheduler._waiting = Queue()
    request = scheduler.submit(tiny_processor([questions[0]]), GenerateOptions(4))
    with pytest.raises(KeyboardInterrupt):
        scheduler.step()
    assert request.answer.finish == "cancelled"
    assert list(request) == []  # and does not wait for ever


class _Reads(TorchDispatchMode):
    """Counts single values that are read back from a device."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_step_reads_back_from_the_device_once(tiny_model, tiny_processor, questions, monkeypatch):
    each = [dataclasses.replace(one, max_new_tokens=9, drafts=0) for one in EACH]
    state = prefill(tiny_model, tiny_processor(questions), each, eos=-1)
    step(state)
    lists, tolist = [], torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda self: lists.append(self.shape) or tolist(self))
    with _Reads() as reads:
        step(state)
    assert lists == [(5,)]  # four tokens, and whether the logits are finite
    assert reads.count == 0


# ------------------------------------------------------------------------------------------------------ allowed tokens


def only(*tokens, size=64):
    mask = torch.zeros(size, dtype=torch.bool)
    mask[list(tokens)] = True
    return mask


def test_allowed_tokens_are_the_only_ones_that_are_chosen(model, tiny_processor, questions):
    def allowed(tokens):
        return None if len(tokens) == 2 else only(7, 8) if len(tokens) < 4 else only(EOS)

    each = [GenerateOptions(9), GenerateOptions(9, allowed=allowed), GenerateOptions(9, Temperature(5.0), seed=1)]
    each += [dataclasses.replace(each[2], allowed=allowed)]
    rows = generate(model, tiny_processor(questions), each, eos=EOS)
    for number in (1, 3):
        said = rows[number].tokens
        assert (len(said), rows[number].finish) == (4, "eos")
        assert {said[0], said[1], said[3]} <= {7, 8}
    for number in (0, 2):
        assert rows[number] == alone(model, tiny_processor, questions[number], each[number])


def test_mask_is_asked_for_with_the_tokens_so_far(tiny_model, tiny_processor, questions):
    met = []
    options = GenerateOptions(4, allowed=lambda tokens: met.append(list(tokens)))
    (row,) = generate(tiny_model, tiny_processor(questions[:1]), options, eos=-1)
    assert met == [row.tokens[:number] for number in range(4)]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (only(), "allowed: leaves no token after 0 tokens of the answer; allow the end-of-text token"),
        (only(1, size=63), r"allowed: returned torch.bool \(63,\); return a bool tensor of 64 tokens"),
        (torch.zeros(64), r"allowed: returned torch.float32 \(64,\)"),
        ([1, 2], r"allowed: returned \[1, 2\]"),
    ],
    ids=str,
)
def test_mask_that_is_none_is_an_error(tiny_model, tiny_processor, questions, mask, message):
    with pytest.raises(OjitoError, match=message):
        generate(tiny_model, tiny_processor(questions), GenerateOptions(allowed=lambda tokens: mask), eos=EOS)


def test_mask_has_the_size_of_the_vocabulary_that_may_be_chosen(tiny_model, tiny_processor, questions):
    options = GenerateOptions(3, allowed=lambda tokens: only(9, size=10))
    rows = generate(tiny_model, tiny_processor(questions), options, eos=EOS, vocab_size=10)
    assert [row.tokens for row in rows] == [[9] * 3] * 4
