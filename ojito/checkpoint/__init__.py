"""Models on disk: `native` is Ojito's own folder. Trades tensors and dicts; the caller builds the modules."""

from ojito.checkpoint.native import (
    CheckpointError,
    find_file,
    read_config,
    read_header,
    read_weights,
    save_model,
    saving,
)

__all__ = [
    "CheckpointError",
    "find_file",
    "read_config",
    "read_header",
    "read_weights",
    "save_model",
    "saving",
]
