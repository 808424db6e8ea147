"""Hugging Face folders: `folder` reads one, `parts` reads a part of one, `export` writes one.

What is in them is told by `families`, which join `decoders` and `towers`, by `preprocessing` and `processors`.
"""

from ojito.checkpoint.huggingface.export import Exported, write_folder
from ojito.checkpoint.huggingface.folder import Imported, is_huggingface, read_folder
from ojito.checkpoint.huggingface.parts import Part, read_decoder, read_tower
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
