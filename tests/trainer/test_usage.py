import dataclasses
from types import SimpleNamespace

import pytest
import torch

from ojito.flops import StepOperations
from ojito.records import PADDING
from ojito.trainer import TrainState, count_labels, fit
from ojito.trainer.history import Step, Window
from ojito.trainer.usage import Usage


@pytest.fixture
def batch(tiny_processor, samples):
    return tiny_processor(samples, training=True)


def test_tokens_are_counted_without_padding(tiny_config, tiny_model, batch):
    real = int((batch.segments != PADDING).sum())
    assert real < batch.tokens.numel()
    usage = Usage(TrainState(tiny_model, tiny_config.train))
    assert usage.of(Step(1.0, 5, 4, True), [batch, batch]).tokens == 2 * real


def test_operations_are_those_of_the_batch(tiny_config, tiny_model, batch):
    state = TrainState(tiny_model, tiny_config.train)
    lengths = (batch.segments != PADDING).sum(dim=1).tolist()
    expected = StepOperations(tiny_model).of(4, lengths, count_labels(batch))
    step = Usage(state).of(Step(1.0, 5, 4, True), [batch])
    assert (step.operations, step.language_operations) == (expected.total, expected.language)
    encoded = dataclasses.replace(batch, images=None, patches=tiny_model.see(batch.images))
    assert Usage(state).of(Step(1.0, 5, 4, True), [encoded]).operations < step.operations


def test_attention_of_packed_rows_is_counted_within_their_documents(tiny_config, tiny_model, batch):
    usage = Usage(TrainState(tiny_model, tiny_config.train))
    rows = usage.of(Step(1.0, 5, 4, True), [batch])
    packed = {
        name: values.reshape(2, -1)
        for name in ("tokens", "positions", "segments", "prefix", "targets")
        for values in [getattr(batch, name)]
    }
    half = batch.tokens.shape[1]
    documents = (
        (torch.arange(2 * half) >= half).long().expand(2, -1).masked_fill(packed["segments"] == PADDING, PADDING)
    )
    both = usage.of(Step(1.0, 5, 4, True), [dataclasses.replace(batch, documents=documents, **packed)])
    assert (both.tokens, both.operations) == (rows.tokens, rows.operations)


def test_operations_follow_the_stage(tiny_config, tiny_model, batch):
    state = TrainState(tiny_model, tiny_config.train)
    every = Usage(state).of(Step(1.0, 5, 4, True), [batch]).operations
    frozen = TrainState(tiny_model, dataclasses.replace(tiny_config.train, freeze=("vision",)))
    assert Usage(frozen).of(Step(1.0, 5, 4, True), [batch]).operations < every


def test_line_of_the_log_tells_what_of_the_device_is_used(tiny_config, tiny_model, batch):
    config = dataclasses.replace(tiny_config.train, steps=2, log_every=2, peak_tflops=1e-3)
    line = fit(TrainState(tiny_model, config), [batch, batch], quiet=True).log[-1]
    assert line["mfu"] > line["mfu_language"] > 0
    assert line["peak_memory"] > 10**7
    lower = dataclasses.replace(config, peak_tflops=1e3)
    assert fit(TrainState(tiny_model, lower), [batch, batch], quiet=True).log[-1]["mfu"] < 1e-3


def test_figures_are_those_of_the_seconds_since_the_last_line(tiny_config, tiny_model):
    usage = Usage(TrainState(tiny_model, dataclasses.replace(tiny_config.train, peak_tflops=1e-6)))
    window = Window(tokens=300, operations=6e6, language_operations=3e6, seconds=1.0)
    found = usage.figures(window, SimpleNamespace(seconds=4.0))
    assert (found["tokens_per_second"], found["mfu"], found["mfu_language"]) == (100.0, 2.0, 1.0)
