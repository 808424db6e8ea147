"""The public vision-language models, a file each; `family.py` says what such a file holds.

A model is of a family if its config survives the family's `write` and `read`: this is how an export finds its family.
"""

from ojito.checkpoint.huggingface.families.family import Family
from ojito.checkpoint.huggingface.families.gemma3 import GEMMA3
from ojito.checkpoint.huggingface.families.idefics3 import IDEFICS3, SMOLVLM
from ojito.checkpoint.huggingface.families.llava import LLAVA
from ojito.checkpoint.huggingface.families.paligemma import PALIGEMMA

__all__ = ["FAMILIES", "Family"]

FAMILIES: dict[str, Family] = {family.model_type: family for family in (PALIGEMMA, LLAVA, IDEFICS3, SMOLVLM, GEMMA3)}
"""By the `model_type` of their config.json."""
