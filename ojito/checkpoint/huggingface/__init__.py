"""Hugging Face folders: `folder` reads one, `export` writes one; `families` joins `decoders` and `towers`."""

from ojito.checkpoint.huggingface.export import Exported, write_folder
from ojito.checkpoint.huggingface.folder import (
    Imported,
    Part,
    is_huggingface,
    read_decoder,
    read_folder,
    read_tower,
)
from ojito.checkpoint.huggingface.processors import Marks

__all__ = [
    "Exported",
    "Imported",
    "Marks",
    "Part",
    "is_huggingface",
    "read_decoder",
    "read_folder",
    "read_tower",
    "write_folder",
]
