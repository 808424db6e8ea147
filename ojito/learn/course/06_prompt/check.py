"""How lesson 6 is checked."""

import torch

from ojito.learn import Case, Exercise, Question
from ojito.processor.prompts import Row
from ojito.records import IGNORE

QUESTION = Question(
    "A long question is cut to the length of a row, and its whole answer is cut off: all labels are IGNORE. With "
    "`ignore_index=-100`, PyTorch's `cross_entropy` of this row is",
    {
        "a": "0: nothing is to be learned, and nothing is wrong",
        "b": "NaN, though its gradients are 0",
        "c": "an error that says so",
    },
    "b",
    "The mean over no labels is 0 divided by 0. PyTorch's backward pass writes 0 wherever a label is ignored, so the "
    "weights live on; but the loss that is shown, and every mean that it enters, is NaN. With a mask of your own and no "
    "ignored labels, as in (losses * mask).sum() / mask.sum(), the gradients are NaN, too, and one such row ends a "
    "training of days. So refuse a row without labels where rows are written, and name its line in the data.",
)

PIECES = ["<unk>", "what", "where", "read", " is", " it", " this", " both", " lines", "?", "\n", "?\n", "\n\n", ":"]


def encode(text):
    """A toy tokenizer: the longest piece that fits comes first."""
    ids = []
    while text:
        piece = max((one for one in PIECES if text.startswith(one)), key=len, default="<unk>")
        ids.append(PIECES.index(piece))
        text = text[1 if piece == "<unk>" else len(piece) :]
    return ids


def encode_cases():
    for name, question, separator in (
        ("a question without a question mark", "what is it", "\n"),
        ('a question mark, and a piece "?\\n" in the vocabulary', "where is this?", "\n"),
        ('a question that ends in a line break, and a piece "\\n\\n"', "read both lines\n", "\n"),
        ("another separator", "what is this", ":"),
        ("blanks at both ends, and a line break", " it is this \n", "\n"),
    ):
        yield Case(name, {"encode": encode, "question": question, "separator": separator})


def prompt_cases():
    inputs = {"image_token": 99, "count": 4, "bos": 2, "question": [11, 12, 13], "separator": [10]}
    yield Case("four visual tokens", inputs)
    yield Case(
        "two visual tokens, and a separator of two ids", {**inputs, "count": 2, "question": [15], "separator": [10, 8]}
    )
    yield Case("no question, only a caption is wanted", {**inputs, "question": []})


def row_cases():
    yield Case("an answer of three ids", {"prompt": [99, 99, 2, 11, 10], "answer": [21, 22, 23], "eos": 1})
    yield Case("an answer of one id", {"prompt": [99, 99, 99, 2, 11, 12, 10], "answer": [21], "eos": 1})
    inputs = {"prompt": [99, 99, 2, 11, 12, 13, 10], "answer": [13, 12, 21, 10, 22], "eos": 1}
    yield Case("an answer with words of the question, and a line break", inputs)


def reference_row(prompt, answer, eos):
    written = Row()
    start = written.add(prompt, segment=0, start=0, prefix=True, learn=False)
    written.add([*answer, eos], segment=0, start=start, prefix=False, learn=True)
    return written.tokens, [IGNORE, *written.targets[:-1]]  # the library's targets are shifted


def shift_cases():
    made = torch.Generator().manual_seed(0)
    for name, labels in (
        ("an answer at the end", [IGNORE, IGNORE, IGNORE, 4, 2, 1]),
        ("two answers, and an id 0", [IGNORE, 3, 0, IGNORE, IGNORE, 5, 1]),
        ("a text that is learned from its first id on", [6, 2, 5, 1]),
    ):
        yield Case(name, {"logits": torch.randn(len(labels), 8, generator=made), "labels": torch.tensor(labels)})


EXERCISES = [
    Exercise(
        "encode_question",
        lambda: list(encode_cases()),
        hints=[
            'Try encode("where is this?\\n") in your head: the longest piece wins, and "?\\n" is one.',
            "Call encode twice, and add the two lists.",
        ],
    ),
    Exercise(
        "prompt",
        lambda: list(prompt_cases()),
        hints=["`[7] * 3` is [7, 7, 7], and `+` joins lists.", "Placeholders, bos, question, separator."],
    ),
    Exercise(
        "row",
        lambda: list(row_cases()),
        hints=[
            "Ids and labels have the same length. Write them one below the other, for a prompt of 2 and an answer of 1.",
            "IGNORE as often as the prompt has ids, and from there on the labels are the ids, eos included.",
        ],
        reference=reference_row,
        returns=("ids", "labels"),
    ),
    Exercise(
        "shift",
        lambda: list(shift_cases()),
        hints=[
            "The logits at place 0 are about the id at place 1. So the first label has no logits, and the last logits "
            "have no label.",
            "`logits[:-1]` drops the last, `labels[1:]` the first. Compare the shifted labels with IGNORE, and index both "
            "with the result.",
        ],
        returns=("logits", "labels"),
    ),
]
