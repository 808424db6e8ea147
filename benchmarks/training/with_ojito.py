"""Ojito's step: what its loop does between one batch and the next."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from benchmarks.training.cases import Case, batch_of
from benchmarks.training.timing import timed
from ojito.allocator import keeping_freed_memory
from ojito.flops import StepOperations
from ojito.meter.memory import baseline_memory
from ojito.meter.products import peak_rate
from ojito.model import VLM
from ojito.trainer import TrainState
from ojito.trainer.blocks import block_calls
from ojito.trainer.last_good import LastGood
from ojito.trainer.memory import Shape, training_memory
from ojito.trainer.step import gradients, update


def step(case: Case, precision: str, device: torch.device, steps: int) -> dict[str, Any]:
    """Times and memory of some steps."""
    config = case.config()
    train = dataclasses.replace(config.train, precision=precision)
    torch.manual_seed(0)
    state = TrainState(VLM(config.model).to(device), train)
    rows = case.rows // train.accumulate
    encoded = "vision" in train.freeze and case.preset != "tiny"
    batches = [batch_of(config.model, case, rows, encoded).to(device)] * train.accumulate
    good = LastGood(state.model)

    def once() -> None:
        done = gradients(state, batches)
        if done.finite:
            good.keep(batches[-1])
        update(state, done, 0.1)

    with keeping_freed_memory(), block_calls(state.model, train, device):
        found = timed(once, case.rows, device, steps)
    length = config.model.image_tokens + case.text
    work = StepOperations(state.model).of(case.rows, [length] * case.rows, case.rows * case.labels, encoded)
    peak = peak_rate(device, state.bfloat16, train.peak_tflops)
    for name, operations in (("mfu", work.total), ("mfu_language", work.language)):
        found[name] = operations / case.rows * found["images_per_second"] / peak
    return found


def foretold(case: Case, precision: str, device: torch.device) -> dict[str, Any]:
    """Peak memory of a step, foretold."""
    config = case.config()
    train = dataclasses.replace(config.train, precision=precision)
    rows = case.rows // train.accumulate
    encoded = "vision" in train.freeze and case.preset != "tiny"
    shape = Shape(rows, config.model.image_tokens + case.text, case.labels, 1, encoded)
    return training_memory(config.model, train, shape, device, baseline_memory(device)).to_dict()
