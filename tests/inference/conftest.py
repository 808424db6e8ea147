"""The tiny models of `tests/model`, of every decoder style and with either vision tower."""

from tests.model.conftest import build, columns, join, model, pad, row

__all__ = ["build", "columns", "join", "model", "pad", "row"]
