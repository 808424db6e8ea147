import torch

from ojito.processor.collating import collate, collate_packed
from ojito.processor.prompts import Row
from ojito.records import IGNORE, PADDING, SHARED


def row(*tokens):
    made = Row()
    made.add(tokens[:1], segment=SHARED, start=0, prefix=True, learn=False)
    made.add(tokens[1:], segment=SHARED, start=1, prefix=False, learn=True)
    return made


def test_rows_are_padded_on_either_side():
    right, left = (collate([row(5, 6), row(7, 8, 9)], pad=1, left=left) for left in (False, True))
    assert right["tokens"].tolist() == [[5, 6, 1], [7, 8, 9]]
    assert left["tokens"].tolist() == [[1, 5, 6], [7, 8, 9]]
    assert right["segments"].tolist() == [[0, 0, PADDING], [0, 0, 0]]
    assert "documents" not in right


def test_samples_of_a_packed_row_begin_anew():
    packed = collate_packed([[row(5, 6), row(7, 8, 9)], [row(4, 3)]], length=6, pad=1)
    assert packed["tokens"].tolist() == [[5, 6, 7, 8, 9, 1], [4, 3, 1, 1, 1, 1]]
    assert packed["documents"].tolist() == [[0, 0, 1, 1, 1, PADDING], [0, 0] + [PADDING] * 4]
    assert packed["positions"].tolist() == [[0, 1, 0, 1, 2, 0], [0, 1, 0, 0, 0, 0]]
    assert packed["targets"].tolist() == [[6, IGNORE, 8, 9, IGNORE, IGNORE], [3] + [IGNORE] * 5]
    assert packed["prefix"].tolist() == [[True, False, True, False, False, False], [True] + [False] * 5]


def test_packed_row_without_samples_is_padding():
    packed = collate_packed([[]], length=2, pad=1)
    assert {name: column.tolist() for name, column in packed.items()} == {
        "tokens": [[1, 1]],
        "positions": [[0, 0]],
        "segments": [[PADDING] * 2],
        "prefix": [[False] * 2],
        "targets": [[IGNORE] * 2],
        "documents": [[PADDING] * 2],
    }
    assert packed["prefix"].dtype == torch.bool
