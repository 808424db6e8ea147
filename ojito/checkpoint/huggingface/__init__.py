"""Hugging Face folders: `folder` reads one, `parts` reads a part of one, `export` writes one.

What is in them is told by `families`, which join `decoders` and `towers`, and by `preprocessing`; `processor_files` and
`vocabulary` are the way back of the latter.
"""

from ojito.checkpoint.huggingface.card import CARD
from ojito.checkpoint.huggingface.export import Exported, write_folder
from ojito.checkpoint.huggingface.folder import Imported, is_huggingface, read_folder, tokenizer_elsewhere
from ojito.checkpoint.huggingface.parts import Part, read_decoder, read_tower
from ojito.checkpoint.huggingface.vocabulary import SpecialIds

__all__ = [
    "CARD",
    "Exported",
    "Imported",
    "Part",
    "SpecialIds",
    "is_huggingface",
    "read_decoder",
    "read_folder",
    "read_tower",
    "tokenizer_elsewhere",
    "write_folder",
]
