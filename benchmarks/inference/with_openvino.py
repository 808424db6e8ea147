"""OpenVINO's part: the matrices of a decoder layer one by one, int8 weights with a scale a row, as it runs LLMs."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from benchmarks.inference.timing import median_ms
from benchmarks.inference.with_ojito import sums
from ojito.config import ModelConfig


def missing() -> str:
    """What is not there that OpenVINO needs; empty if nothing is."""
    return "" if find_spec("openvino") else "the package openvino is not installed"


def layers(config: ModelConfig, threads: int) -> dict[str, Any]:
    """Milliseconds of every matrix, under the same names as Ojito's."""
    import openvino

    c, core = config.decoder, openvino.Core()
    queries, keys = c.heads * c.head_dim, c.kv_heads * c.head_dim
    matrices = {
        "attention.q": (c.width, queries), "attention.k": (c.width, keys), "attention.v": (c.width, keys),
        "attention.out": (queries, c.width), "mlp.gate": (c.width, c.mlp_dim), "mlp.up": (c.width, c.mlp_dim),
        "mlp.down": (c.mlp_dim, c.width),
    }  # fmt: skip
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": str(threads)}
    found: dict[str, Any] = {}
    for name, (inputs, outputs) in matrices.items():
        request = core.compile_model(product(inputs, outputs), "CPU", hints).create_infer_request()
        for count in (1, 264):
            rows = np.random.default_rng(0).standard_normal((count, inputs), dtype=np.float32)
            request.set_input_tensor(openvino.Tensor(rows))
            found[f"{inputs}x{outputs} {name}, {count} rows, ms"] = median_ms(request.infer, torch.device("cpu"))
    return {**found, **sums(found)}


def product(inputs: int, outputs: int) -> Any:
    """A model of one matrix whose weights are bytes."""
    import openvino
    from openvino import opset13 as ops

    rows = ops.parameter([-1, inputs], np.float32, name="rows")
    weight = np.random.default_rng(0).integers(-127, 128, (outputs, inputs), dtype=np.int8)
    scale = ops.constant(np.full((outputs, 1), 0.01, dtype=np.float32))
    widened = ops.multiply(ops.convert(ops.constant(weight), np.float32), scale)
    return openvino.Model([ops.matmul(rows, widened, False, True)], [rows])
