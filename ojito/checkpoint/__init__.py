"""Models on disk: `native` is Ojito's own folder, `huggingface` everybody's.

They trade tensors and dicts; the caller builds the modules.
"""

from ojito.checkpoint.files import CheckpointError, find_file, read_json
from ojito.checkpoint.native import read_config, save_model
from ojito.checkpoint.saving import holds_model, staged_save
from ojito.checkpoint.tensors import read_header, read_weights

__all__ = [
    "CheckpointError",
    "find_file",
    "holds_model",
    "read_config",
    "read_header",
    "read_json",
    "read_weights",
    "save_model",
    "staged_save",
]
