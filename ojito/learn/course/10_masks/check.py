"""How lesson 10 is checked."""

import torch

from ojito.learn import Case, Exercise, Question
from ojito.model.masks import AttentionMetadata, bidirectional_blocks, may_attend

QUESTION = Question(
    "A row is padded on the left, and its padding may attend to nothing: its softmax is NaN. No real position attends to "
    "it, so that its weight is exactly 0 everywhere. Two layers of the attention of lesson 3 later, which real positions "
    "are NaN?",
    {"a": "all of them", "b": "the one beside the padding", "c": "none: the mask hides the padding"},
    "a",
    "After the first layer only the padding is NaN. The second one takes a weighted sum of all values, padding included, "
    "and 0 times NaN is NaN: a weight of 0 hides a number, but not what is no number. One empty line of a mask "
    "destroys its whole row.",
)


def metadata(positions, **given):
    """What the library's rule wants to know of (B, T) positions; all of one segment and one block, if not given."""
    zeros = torch.zeros_like(positions)
    return AttentionMetadata(positions, **{"segments": zeros, "blocks": zeros, **given})


def library_causal(length):
    row = torch.arange(length)[None]
    tokens = metadata(row, blocks=torch.full_like(row, -1))
    return may_attend(tokens, tokens)[0, 0]


def library_prefix(length, prefix_lengths):
    positions = torch.arange(length).expand(len(prefix_lengths), -1)
    in_prefix = positions < prefix_lengths[:, None]
    tokens = metadata(positions, blocks=bidirectional_blocks("prefix", in_prefix, in_prefix))
    return may_attend(tokens, tokens)[:, 0]


def library_with_padding(mask, valid):
    positions = torch.arange(valid.shape[1]).expand(valid.shape)
    tokens = metadata(
        positions, segments=torch.where(valid, 0, positions + 1)
    )  # a padding token is a segment by itself
    return mask & may_attend(tokens, tokens)[:, 0]


def library_packed(mask, documents):
    tokens = metadata(torch.arange(documents.shape[1]).expand(documents.shape), documents=documents)
    return mask & may_attend(tokens, tokens)[:, 0]


def prefix_cases():
    yield Case("three rows of five, prefixes of 2, 4 and 1", {"length": 5, "prefix_lengths": torch.tensor([2, 4, 1])})
    yield Case("two rows of six, one without a prefix", {"length": 6, "prefix_lengths": torch.tensor([3, 0])})


def padding_cases():
    left = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1], [0, 1, 1, 1, 1]]).bool()
    yield Case("causal, padding on the left", {"mask": library_causal(5).repeat(3, 1, 1), "valid": left})
    right = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]]).bool()
    mask = library_prefix(6, torch.tensor([2, 3]))
    yield Case("a prefix, padding on the right", {"mask": mask, "valid": right})


def packed_cases():
    documents = torch.tensor([[0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 1, 1]])
    yield Case("causal, three documents and two", {"mask": library_causal(6).repeat(2, 1, 1), "documents": documents})
    mask = library_prefix(4, torch.tensor([2, 4, 1]))
    documents = torch.tensor([[0, 0, 0, 0], [5, 5, 7, 7], [1, 1, 0, 0]])
    yield Case("a prefix, documents with any numbers", {"mask": mask, "documents": documents})
    documents = torch.tensor([[0, 0, 1, 1, 0], [2, 1, 2, 1, 1]])
    yield Case(
        "a document that goes on after another", {"mask": library_causal(5).repeat(2, 1, 1), "documents": documents}
    )


EXERCISES = [
    Exercise(
        "causal",
        lambda: [Case("five positions", {"length": 5}), Case("one position", {"length": 1})],
        hints=[
            "A query may attend to a key that is not after it: compare their positions.",
            "`positions[:, None]` is a column, the queries; `positions` is a row, the keys. Comparing them gives (T, T).",
        ],
        reference=library_causal,
    ),
    Exercise(
        "prefix",
        lambda: list(prefix_cases()),
        hints=[
            "First say for each position whether it is of the prefix: compare the positions with the row's length.",
            "`prefix_lengths[:, None]` is (B, 1); positions (T,) < that is (B, T).",
            "Query and key: `in_prefix[:, :, None] & in_prefix[:, None, :]`. Then `causal(length) | both`.",
        ],
        reference=library_prefix,
    ),
    Exercise(
        "with_padding",
        lambda: list(padding_cases()),
        hints=[
            "Padding is to be hidden as a key: `valid` stands along the last axis, and is the same for all queries.",
            "`torch.eye(T).bool()` is True where query and key are the same position.",
            "`mask & valid[:, None, :]`, and then `| itself`.",
        ],
        reference=library_with_padding,
    ),
    Exercise(
        "packed",
        lambda: list(packed_cases()),
        hints=[
            "Compare the number of the query's document with that of the key's.",
            "`documents[:, :, None] == documents[:, None, :]` is (B, T, T); the mask must hold as well.",
        ],
        reference=library_packed,
    ),
]
