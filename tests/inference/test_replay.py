"""Recorded steps against ordinary ones, with recorders that need no GPU."""

import copy
import dataclasses
import gc
import logging
import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ojito.generate import GenerateOptions, Scheduler, generate, prefill, step
from ojito.inference import Prepared, prepare, quantize, replay
from ojito.model import KVCache
from ojito.model.fixed_cache import FixedCache
from ojito.records import PADDING, Batch


class Calls:
    """Records nothing: a replay calls the function. Counts both."""

    def __init__(self):
        self.recorded = self.replayed = 0
        self.is_ready = True

    def ready(self):
        return self.is_ready

    def record(self, run):
        self.recorded += 1
        run()  # as CUDA's does, to warm up

        def again():
            self.replayed += 1
            return run()

        return again


@pytest.fixture
def recorder():
    return Calls()


@pytest.fixture(params=["gpt2", "llama", "gemma", "gemma2", "gemma3", "qwen2", "qwen3"])
def decoder(request, build):
    """A model of every decoder style."""
    with torch.no_grad():
        yield build(request.param)


def answers(model, batch, **options):
    options = GenerateOptions(**{"max_new_tokens": 9, "drafts": 0} | options)
    return [row.tokens for row in generate(model, batch, options, eos=())]


def prompt(row, model, length=5, seed=0):
    return row(model, prompt=length, answer=0, seed=seed)


@torch.inference_mode()
def test_recorded_steps_equal_exact(decoder, row, columns, recorder):
    batch = row(decoder, prompt=5, answer=12)
    length = batch.tokens.shape[1]
    expected, model = decoder(batch), Prepared(decoder, recorder=recorder)
    cache = KVCache(decoder.config.decoder, 1, length)
    made = [model(columns(batch, 0, length - 10, images=True), cache)]
    made += [model(columns(batch, at, at + 1), cache) for at in range(length - 10, length)]
    torch.testing.assert_close(torch.cat(made, dim=1), expected, rtol=1e-4, atol=2e-5)
    assert (recorder.recorded, recorder.replayed) == (1, 9)
    assert cache.lengths == [length]


@torch.inference_mode()
def test_recorded_steps_of_rows_of_unequal_length_equal_exact(decoder, row, columns, recorder):
    """Three rows, filled up to four, each with the columns of its own length."""
    model, rows = Prepared(decoder, recorder=recorder), [row(decoder, prompt=p, answer=8, seed=p) for p in (3, 9, 5)]
    cache = KVCache(decoder.config.decoder, 4, 32)
    cache.clear(0)
    for one in rows:
        own, length = KVCache(decoder.config.decoder, 1, 32), one.tokens.shape[1] - 6
        model.features(columns(one, 0, length, images=True), own, last=True)
        cache.write(cache.add_row(), own.columns(0, slice(length)))
    made = []
    for at in range(-6, 0):
        step = [columns(one, one.tokens.shape[1] + at, one.tokens.shape[1] + at + 1) for one in rows]
        made.append(model(stacked(step), cache))
    expected = torch.cat([decoder(one)[:, -6:] for one in rows])
    torch.testing.assert_close(torch.cat(made, dim=1), expected, rtol=1e-4, atol=2e-5)
    assert recorder.replayed == 5


def stacked(batches):
    names = ("tokens", "positions", "segments", "prefix", "targets")
    return dataclasses.replace(
        batches[0], **{name: torch.cat([getattr(one, name) for one in batches]) for name in names}
    )


@torch.inference_mode()
def test_answers_are_the_same(decoder, row, join, recorder):
    batch = join([prompt(row, decoder, length, seed) for seed, length in enumerate((3, 9, 5))], "left")
    expected = answers(prepare(decoder), batch)
    assert answers(Prepared(decoder, recorder=recorder), batch) == expected
    assert recorder.replayed


@pytest.mark.parametrize("style", ["llama", "gemma2"])
@torch.inference_mode()
def test_answers_in_bfloat16_are_the_same(build, row, style, recorder):
    model = build(style).to(torch.bfloat16)
    batch = prompt(row, model)
    assert answers(Prepared(model, recorder=recorder), batch) == answers(prepare(model), batch)
    assert recorder.replayed


@pytest.mark.parametrize("form", ["int8", "int4"])
@torch.inference_mode()
def test_answers_of_quantized_models_are_the_same(build, row, form, recorder):
    model = quantize(copy.deepcopy(build("llama")), form)
    batch = prompt(row, model)
    assert answers(Prepared(model, recorder=recorder), batch) == answers(prepare(model), batch)
    assert recorder.replayed


@torch.inference_mode()
def test_step_is_recorded_the_second_time(build, row, columns, recorder):
    batch = row(build("llama"), answer=8)
    model = Prepared(build("llama"), recorder=recorder)
    cache, length = KVCache(model.config.decoder, 1, 40), batch.tokens.shape[1] - 8
    model(columns(batch, 0, length, images=True), cache)
    seen = []
    for at in range(length, length + 4):
        model(columns(batch, at, at + 1), cache)
        seen.append((recorder.recorded, recorder.replayed))
    assert seen == [(0, 0), (1, 1), (1, 2), (1, 3)]


@torch.inference_mode()
def test_replay_reads_nothing_but_its_own_inputs(build, row, columns):
    """What was handed in when the step was recorded may change, and nothing of the answer does."""
    model = build("llama")
    batch = row(model, answer=8)
    length, found = batch.tokens.shape[1] - 8, []
    for spoil in (False, True):
        replayed = Prepared(model, recorder=Calls())
        cache, made = KVCache(model.config.decoder, 1, 40), []
        replayed(columns(batch, 0, length, images=True), cache)
        for at in range(length, length + 5):
            step = columns(batch, at, at + 1)
            step = dataclasses.replace(step, **{name: getattr(step, name).clone() for name in ("tokens", "positions")})
            made.append(replayed(step, cache))
            if spoil:
                step.tokens.fill_(3)
                step.positions.fill_(60)
        found.append(torch.cat(made))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)
    assert not torch.allclose(found[0][-1], found[0][-2])


@torch.inference_mode()
def test_result_is_not_written_to_by_the_next_replay(build, row, columns):
    class Fixed:
        """Writes to one output, as a graph does."""

        def ready(self):
            return True

        def record(self, run):
            made = run()
            return lambda: made.copy_(run())

    model = build("llama")
    batch, replayed = row(model, answer=8), Prepared(model, recorder=Fixed())
    length, cache, made = batch.tokens.shape[1] - 8, KVCache(model.config.decoder, 1, 40), []
    replayed(columns(batch, 0, length, images=True), cache)
    made = [replayed.features(columns(batch, at, at + 1), cache) for at in range(length, length + 4)]
    assert not torch.allclose(made[-1], made[-2])


@torch.inference_mode()
def test_cache_that_moves_is_recorded_anew(build, row, columns, recorder):
    model = build("llama")
    batch = row(model, answer=12)
    expected, replayed = model(batch), Prepared(model, recorder=recorder)
    length = batch.tokens.shape[1]
    cache = KVCache(model.config.decoder, 1, length)
    made = [replayed(columns(batch, 0, length - 10, images=True), cache)]
    for at in range(length - 10, length):
        if at == length - 5:
            before = cache.address
            cache.reserve(2, length)
            assert cache.address != before
        made.append(replayed(columns(batch, at, at + 1), cache))
    torch.testing.assert_close(torch.cat(made, dim=1), expected, rtol=1e-4, atol=2e-5)
    assert recorder.recorded == 2


@torch.inference_mode()
def test_next_answer_in_the_same_memory_is_replayed_from_its_first_step(build, row, recorder):
    model = build("gemma3")
    replayed, prompts = Prepared(model, recorder=recorder), [prompt(row, model, 4, seed) for seed in (1, 2)]
    cache, found = KVCache(model.config.decoder, 1, 40), []
    for one in prompts:
        state = prefill(replayed, one, GenerateOptions(max_new_tokens=6, drafts=0), eos=(), cache=cache)
        while not state.done:
            step(state)
        found.append(state.rows[0].tokens)
        cache = state.cache
    assert found == [answers(prepare(model), one, max_new_tokens=6)[0] for one in prompts]
    assert (recorder.recorded, recorder.replayed) == (1, 4 + 5)


@torch.inference_mode()
def test_longer_texts_are_read_by_other_recordings(build, row, columns, recorder, monkeypatch):
    """Where the columns that are read no longer suffice, and where the memory ends within the next ones."""
    monkeypatch.setattr(replay, "REACH", 8)
    reaches, init = [], FixedCache.__init__

    def noted(self, cache, reach, columns):
        reaches.append(reach)
        init(self, cache, reach, columns)

    monkeypatch.setattr(FixedCache, "__init__", noted)
    model = build("gemma2")
    batch = row(model, prompt=2, answer=22)
    length = batch.tokens.shape[1]
    expected, replayed = model(batch), Prepared(model, recorder=recorder)
    cache = KVCache(model.config.decoder, 1, length)
    made = [replayed(columns(batch, 0, 6, images=True), cache)]
    made += [replayed(columns(batch, at, at + 1), cache) for at in range(6, length)]
    torch.testing.assert_close(torch.cat(made, dim=1), expected, rtol=1e-4, atol=2e-5)
    assert reaches == [8, 16, 24, 28]


@torch.inference_mode()
def test_rows_that_leave_and_join_are_answered_the_same(build, row, recorder):
    model = build("gemma3")
    prompts = [prompt(row, model, 3 + number % 4, number) for number in range(7)]
    limits = (3, 12, 5, 9, 4, 14, 7)

    def run(model):
        scheduler = Scheduler(model, eos=(), rows=4)
        requests = [
            scheduler.submit(one, GenerateOptions(max_new_tokens=limit, drafts=0))
            for one, limit in zip(prompts, limits, strict=True)
        ]
        scheduler.run()
        return [request.answer.tokens for request in requests]

    assert run(Prepared(model, recorder=recorder)) == run(prepare(model))
    assert recorder.replayed > recorder.recorded


@torch.inference_mode()
def test_guesses_are_recorded_too(build, row, columns, recorder):
    """A pass with guesses is filled up to a power of two; wrong guesses are forgotten."""
    model = build("llama")
    batch = row(model, answer=14)
    length, replayed = batch.tokens.shape[1], Prepared(model, recorder=recorder)
    expected, cache = model(batch), KVCache(model.config.decoder, 1, 40)
    replayed(columns(batch, 0, length - 14, images=True), cache)
    made, at = [], length - 14
    for right in (1, 2, 2, 3):  # of three that are read
        read = columns(batch, at, at + 3)
        wrong = dataclasses.replace(read, tokens=read.tokens.clone())
        wrong.tokens[:, right:] = 7
        made.append(replayed(wrong, cache)[:, :right])
        cache.truncate(0, at + right)
        at += right
    torch.testing.assert_close(torch.cat(made, 1), expected[:, length - 14 : at], rtol=1e-4, atol=2e-5)
    assert (recorder.recorded, recorder.replayed) == (1, 3)


@torch.inference_mode()
def test_what_fills_up_a_pass_is_padding(build, row, columns, recorder):
    """Where an earlier replay had a token, too: other steps read up to the end of the longest row."""
    model = build("llama")
    batch, replayed = row(model, answer=14), Prepared(model, recorder=recorder)
    at, cache = batch.tokens.shape[1] - 14, KVCache(model.config.decoder, 1, 40)
    replayed(columns(batch, 0, at, images=True), cache)
    for tokens in (4, 4, 3):
        replayed(columns(batch, at, at + tokens), cache)
        at += tokens
    assert (recorder.recorded, recorder.replayed) == (1, 2)
    assert cache.metadata.segments[0].tolist() == [0] * at + [PADDING] * (40 - at)


@torch.inference_mode()
def test_pass_that_only_fits_as_it_is_is_computed(build, row, columns, recorder):
    model = build("llama")
    batch, replayed = row(model, answer=11), Prepared(model, recorder=recorder)
    length = batch.tokens.shape[1]
    expected, cache = model(batch), KVCache(model.config.decoder, 1, length)
    made = [replayed(columns(batch, 0, length - 11, images=True), cache)]
    for start, stop in ((-11, -7), (-7, -3), (-3, 0)):
        made.append(replayed(columns(batch, length + start, length + stop), cache))
    torch.testing.assert_close(torch.cat(made, dim=1), expected, rtol=1e-4, atol=2e-5)
    assert recorder.replayed == 1


@torch.inference_mode()
def test_drafts_between_steps_change_no_answer(build, row, recorder, monkeypatch):
    model = build("llama")
    batch = prompt(row, model, 8)
    batch.tokens[:, -8:] = torch.tensor([3, 4, 5, 6, 3, 4, 5, 6])
    expected = answers(prepare(model), batch, max_new_tokens=24, drafts=0)
    assert answers(Prepared(model, recorder=recorder), batch, max_new_tokens=24, drafts=8) == expected
    assert recorder.replayed


@torch.inference_mode()
def test_beams_change_no_answer(build, row, join, recorder):
    model = build("qwen3")
    batch = join([prompt(row, model, length, length) for length in (3, 6)], "left")
    assert answers(Prepared(model, recorder=recorder), batch, beams=3) == answers(prepare(model), batch, beams=3)
    assert recorder.replayed


@torch.inference_mode()
def test_prompts_are_not_replayed(build, row, recorder):
    model = Prepared(build("llama"), recorder=recorder)
    cache = KVCache(model.config.decoder, 1, 40)
    for _ in range(4):
        for batch in (row(model, num_images=0, prompt=4, answer=0), row(model, num_images=0, prompt=1, answer=3)):
            cache.clear(1)
            assert model.features(batch, cache, last=True).shape[1] == 1
        cache.clear(1)
        model.features(row(model), cache)
        model.features(row(model))
    assert not recorder.recorded


@torch.inference_mode()
def test_stale_columns_are_not_read(build, row, columns, recorder):
    """What an earlier, longer text left behind a row's end is padding to a recorded step."""
    model = build("llama")
    batch, replayed = row(model, answer=8), Prepared(model, recorder=recorder)
    length = batch.tokens.shape[1] - 8
    found = []
    for spoil in (False, True):
        cache = KVCache(model.config.decoder, 1, 40)
        replayed(columns(batch, 0, length, images=True), cache)
        if spoil:
            cache.metadata.segments[:, length:] = 0
            cache.keys[..., length:, :] = 5.0
        found.append(torch.cat([replayed(columns(batch, at, at + 1), cache) for at in range(length + 3)[length:]]))
        assert recorder.replayed
    torch.testing.assert_close(found[0][1:], found[1][1:])


@torch.inference_mode()
def test_full_cache_is_refused_as_ever(build, row, columns, recorder):
    batch = row(build("llama"), answer=8)
    model = Prepared(build("llama"), recorder=recorder)
    length = batch.tokens.shape[1]
    cache = KVCache(model.config.decoder, 1, length - 1)
    model(columns(batch, 0, length - 8, images=True), cache)
    for at in range(length - 8, length - 1):
        model(columns(batch, at, at + 1), cache)
    assert recorder.replayed == 6
    with pytest.raises(ValueError, match="is full"):
        model(columns(batch, length - 1, length), cache)


def test_nothing_is_replayed_with_gradients_or_where_the_recorder_is_not_ready(build, row, columns, recorder):
    model = build("llama")
    batch, replayed = row(model, answer=8), Prepared(model, recorder=recorder)
    length = batch.tokens.shape[1] - 8

    def steps():
        cache = KVCache(model.config.decoder, 1, 40)
        with torch.no_grad():
            replayed(columns(batch, 0, length, images=True), cache)
        return [replayed(columns(batch, at, at + 1), cache) for at in range(length, length + 4)]

    steps()
    recorder.is_ready = False
    with torch.no_grad():
        steps()
    assert not recorder.recorded
    recorder.is_ready = True
    with torch.no_grad():
        steps()
    assert recorder.recorded


@torch.inference_mode()
def test_what_cannot_be_recorded_is_computed(build, row, caplog):
    class Fails(Calls):
        def record(self, run):
            run()
            self.recorded += 1
            raise torch.OutOfMemoryError("no memory for a graph")

    recorder, model = Fails(), build("gemma")
    batch = prompt(row, model)
    with caplog.at_level(logging.WARNING):
        assert answers(Prepared(model, recorder=recorder), batch) == answers(prepare(model), batch)
    assert recorder.recorded == 1
    assert caplog.messages == ["decoding goes on without recorded steps: no memory for a graph"]


@torch.inference_mode()
def test_recording_keeps_neither_cache_nor_model(build, row, columns):
    """Its memory goes to the next answer; a cache at the same addresses is the same one to a recording."""

    class Keeps:
        """Keeps the output alone, as CUDA's does."""

        def ready(self):
            return True

        def record(self, run):
            made = run()
            return lambda: made

    batch = row(build("llama"), answer=8)
    model = Prepared(build("llama"), recorder=Keeps())
    cache, length = KVCache(model.config.decoder, 1, 40), batch.tokens.shape[1] - 8
    model(columns(batch, 0, length, images=True), cache)
    for at in range(length, length + 4):
        model(columns(batch, at, at + 1), cache)
    assert len(model._replay._known) == 1
    found = weakref.ref(cache.keys), weakref.ref(model)
    gc.disable()  # nor does it keep the model, whose weights are not to wait for a collection
    try:
        del cache, model
        assert [one() for one in found] == [None, None]
    finally:
        gc.enable()


@torch.inference_mode()
def test_least_recently_used_recordings_leave(build, row, columns, recorder, monkeypatch):
    monkeypatch.setattr(replay, "MOST", 2)
    batch = row(build("llama"), answer=8)
    model, length = Prepared(build("llama"), recorder=recorder), batch.tokens.shape[1] - 8
    caches = []
    for _ in range(3):
        caches.append(KVCache(model.config.decoder, 1, 40))
        model(columns(batch, 0, length, images=True), caches[-1])

    def step(number):
        at = caches[number].length
        model(columns(batch, at, at + 1), caches[number])

    for number in (0, 0, 1, 1, 0, 2, 2):  # the second one leaves for the third
        step(number)
    assert recorder.recorded == 3
    before = recorder.replayed
    step(0)
    assert (recorder.recorded, recorder.replayed) == (3, before + 1)
    step(1)
    step(1)
    assert recorder.recorded == 4
    assert len(model._replay._known) == 2


class Operations(TorchDispatchMode):
    """Notes each operation with the devices of all tensors that it takes and makes."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        made = operation(*args, **(kwargs or {}))
        tensors = [one for one in tree_leaves((args, kwargs, made)) if isinstance(one, torch.Tensor)]
        self.seen.append((str(operation), {one.device.type for one in tensors}))
        return made


@pytest.mark.parametrize("form", ["none", "int8", "int4"])
@pytest.mark.parametrize("tokens", [1, 4])
@torch.inference_mode()
def test_recorded_step_reads_no_value_and_copies_none_to_the_device(decoder, form, tokens):
    """A graph can hold neither. On "meta" there are no values to be read, and what comes from elsewhere is seen."""
    model = prepare(quantize(copy.deepcopy(decoder), form).to("meta"))
    zeros = torch.zeros(2, tokens, dtype=torch.int64, device="meta")
    batch = Batch(tokens=zeros, positions=zeros, segments=zeros, prefix=zeros.bool(), targets=zeros)
    fixed = FixedCache(KVCache(model.config.decoder, 2, 40, device="meta"), 16, zeros)
    model.read(batch, fixed)  # tables and kernels are made
    with Operations() as operations:
        assert model.read(batch, fixed).shape == (2, tokens, model.config.decoder.width)
    assert [one for one in operations.seen if one[1] - {"meta"}] == []
    assert {"aten._local_scalar_dense.default", "aten.nonzero.default"}.isdisjoint(dict(operations.seen))


def test_steps_are_recorded_on_cuda_alone(build):
    assert prepare(build("llama"))._replay is None
