"""TensorBoard's event files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ojito.errors import OjitoError
from ojito.trainer.logs.sink import numbers

FOLDER = "tensorboard"


def check() -> None:
    """Check that the package is there.

    Raises:
        OjitoError: It is not.
    """
    _writer_class()


class TensorBoard:
    """Event files in the folder "tensorboard", for `tensorboard --logdir`.

    Args:
        folder: The folder of the run.
        after: The step that a run is gone on with from: TensorBoard shows nothing later that was written before.

    Raises:
        OjitoError: The package is missing.
    """

    def __init__(self, folder: Path, after: int | None = None) -> None:
        self.name = str(folder / FOLDER)
        purge = None if after is None else after + 1
        self._writer = _writer_class()(self.name, purge_step=purge)

    def write(self, line: Mapping[str, Any]) -> None:
        """Add the numbers of a line, and what the model says as text."""
        step = line.get("step")
        before = "evaluation/" if line.get("evaluation") else ""
        for name, value in numbers(line, before):
            self._writer.add_scalar(name, value, step)
        if line.get("shown"):
            self._writer.add_text("shown", table(line["shown"]), step)
        self._writer.flush()

    def close(self) -> None:
        """Write out what is left."""
        self._writer.close()


def table(shown: list[Mapping[str, Any]]) -> str:
    """What the model says, as a line has it, as a table in Markdown."""
    rows = [["row", "question", "answer", "expected"]]
    for one in shown:
        rows.append([one["origin"], one["prompt"], one["answer"], " / ".join(one["references"])])
    lines = ["| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" * 4 + "|", *lines[1:]])


def _writer_class() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter  # not at the top: it is an extra, and takes a second
    except ImportError as error:
        raise OjitoError(
            "train.logs",
            f"tensorboard cannot be imported ({error})",
            "install it with: pip install 'ojito[log]', or leave it out",
        ) from None
    return SummaryWriter
