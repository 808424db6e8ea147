"""Masks of an image, a question and an answer, by the library's one rule. Run it: python diagram.py"""

import torch

from ojito.model.masks import AttentionMetadata, bidirectional_blocks, may_attend
from ojito.records import PADDING, SHARED


def mask(rule, row):
    """x where a query, a line, may attend to a key, a column."""
    letters = torch.tensor([ord(letter) for letter in row])[None]
    is_image, padding = letters == ord("i"), letters == ord("-")
    blocks = bidirectional_blocks(rule, is_image | (letters == ord("q")), is_image)
    segments = torch.full_like(letters, SHARED).masked_fill(padding, PADDING)
    numbers = AttentionMetadata((~padding).cumsum(1) - 1, segments, blocks)
    allowed = may_attend(numbers, numbers)[0, 0]
    lines = ["  " + " ".join(row)]
    return lines + [
        f"{letter} " + " ".join(" x"[one] for one in line) for letter, line in zip(row, allowed, strict=True)
    ]


shown = {
    "causal": mask("causal", "iiqqaa"),
    "prefix": mask("prefix", "iiqqaa"),
    "image": mask("image", "iiqqaa"),
    "prefix, padded": mask("prefix", "--iqaa"),
}
print("    ".join(f"{name:<14}" for name in shown).rstrip())
for lines in zip(*shown.values(), strict=True):
    print("    ".join(f"{line:<14}" for line in lines).rstrip())
