"""How lesson 6 is checked."""

import torch

from ojito.learn import Case, Exercise, Mistake, Question
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
        [
            Mistake(
                "tokenized together",
                "you tokenize question and separator together: the tokenizer has a piece for both, and the row does not "
                "end in the separator's id. Encode them apart, and join the ids",
                {"encode(question) + encode(separator)": "encode(question + separator)"},
            ),
            Mistake(
                "no separator",
                "the separator is missing: the model does not know that the question is over, and may go on with it",
                {"encode(question) + encode(separator)": "encode(question)"},
            ),
            Mistake(
                "separator first",
                "the separator stands before the question; it says that the question is over, and stands behind it",
                {"encode(question) + encode(separator)": "encode(separator) + encode(question)"},
            ),
            Mistake(
                "question stripped",
                "you strip the question; what somebody typed is theirs, and a line break at its end is an id of its own",
                {"encode(question)": "encode(question.strip())"},
            ),
            Mistake(
                "question stripped at its end",
                "you strip the end of the question; what somebody typed is theirs, and a line break there is an id of its "
                "own",
                {"encode(question)": "encode(question.rstrip())"},
            ),
            Mistake(
                "separator only if it is not there yet",
                "where a question ends in the separator already, your ids have one too few: the separator always follows, "
                "whatever the question ends in",
                {
                    "encode(question) + encode(separator)": (
                        "encode(question) + (encode(separator) if encode(question)[-1:] != encode(separator) else [])"
                    )
                },
            ),
            Mistake(
                "always a line break",
                'you always end in "\\n"; take the argument: other families have other separators',
                {"encode(separator)": 'encode("\\n")'},
            ),
            Mistake(
                "letter by letter",
                "you encode the question letter by letter: then no piece is ever found",
                {"encode(question)": "[one for letter in question for one in encode(letter)]"},
            ),
            Mistake(
                "as one entry",
                "you append the separator's list as one entry: `+` joins two lists into one",
                {"encode(question) + encode(separator)": "[*encode(question), encode(separator)]"},
            ),
        ],
        [
            'Try encode("where is this?\\n") in your head: the longest piece wins, and "?\\n" is one.',
            "Call encode twice, and add the two lists.",
        ],
    ),
    Exercise(
        "prompt",
        lambda: list(prompt_cases()),
        [
            Mistake(
                "one placeholder",
                "your image has one placeholder; it takes `count` of them, one for each visual token",
                {"[image_token] * count": "[image_token]"},
            ),
            Mistake(
                "bos first",
                "your row begins with bos, before the image: LLaVA has it so. In PaliGemma the image comes first, and bos "
                "begins the text",
                {"[image_token] * count + [bos]": "[bos] + [image_token] * count"},
            ),
            Mistake(
                "no bos",
                "bos is missing: Gemma has never met a text without it, and is lost in one",
                {" + [bos]": ""},
            ),
            Mistake(
                "no separator",
                "the separator is missing at the end",
                {"question + separator  #": "question  #"},
            ),
            Mistake(
                "image after the question",
                "your image stands behind the question; it comes first",
                {
                    "[image_token] * count + [bos] + question + separator": "[bos] + question + [image_token] * count + separator"
                },
            ),
            Mistake(
                "separator before the question",
                "the separator stands between bos and question; it says that the question is over",
                {"question + separator  #": "separator + question  #"},
            ),
            Mistake(
                "separator after the image",
                "a separator follows the image, too; only bos stands there",
                {"count + [bos]": "count + separator + [bos]"},
            ),
            Mistake(
                "bos at the end",
                "your prompt has bos at its end, too; the separator is the last that is read before the answer",
                {"question + separator  #": "question + separator + [bos]  #"},
            ),
        ],
        ["`[7] * 3` is [7, 7, 7], and `+` joins lists.", "Placeholders, bos, question, separator."],
    ),
    Exercise(
        "row",
        lambda: list(row_cases()),
        [
            Mistake(
                "shifted already",
                "your labels are shifted by one already, and `shift` will shift them again: each position would learn the "
                "id after the next",
                {
                    "labels = [IGNORE] * len(prompt) + answer + [eos]": (
                        "labels = [IGNORE] * (len(prompt) - 1) + answer + [eos, IGNORE]"
                    )
                },
            ),
            Mistake(
                "shifted already, prompt included",
                "your labels are the ids, shifted by one already, and with the prompt in them. `shift` will shift them; "
                "here each id to be learned stands at its own place, and IGNORE everywhere else",
                {"[IGNORE] * len(prompt) + answer + [eos]": "ids[1:] + [IGNORE]"},
            ),
            Mistake(
                "ids of the prompt never learned",
                "you ignore every id that is somewhere in the prompt: words of the answer that the question has, too, are "
                "never learned. It is the place that counts, the first len(prompt) of them",
                {
                    "labels = [IGNORE] * len(prompt) + answer + [eos]": (
                        "labels = [IGNORE if one in prompt else one for one in ids]"
                    )
                },
            ),
            Mistake(
                "answer looked for by its first id",
                "you look for the answer by its first id, which the question may have, too: the answer begins at place "
                "len(prompt)",
                {
                    "labels = [IGNORE] * len(prompt) + answer + [eos]": (
                        "labels = [IGNORE] * ids.index(answer[0]) + ids[ids.index(answer[0]) :]"
                    )
                },
            ),
            Mistake(
                "as many ignored as before the answer's first id",
                "you count what stands before the answer's first id, which the question may have, too, and your labels "
                "are then fewer than the ids: the answer begins at place len(prompt)",
                {"[IGNORE] * len(prompt)": "[IGNORE] * ids.index(answer[0])"},
            ),
            Mistake(
                "eos not learned",
                "eos has no label: the model learns every word of its answer, and never to stop",
                {"len(prompt) + answer + [eos]": "len(prompt) + answer + [IGNORE]"},
            ),
            Mistake(
                "no eos",
                "eos is missing: no row of yours ends, and no answer will",
                {"prompt + answer + [eos]": "prompt + answer", "len(prompt) + answer + [eos]": "len(prompt) + answer"},
            ),
            Mistake(
                "no eos in the ids",
                "eos stands in the labels and not in the ids: there is one label more than ids",
                {"prompt + answer + [eos]": "prompt + answer"},
            ),
            Mistake(
                "prompt learned",
                "your labels are the ids, prompt and placeholders included: the model would spend itself on writing images "
                "and questions",
                {"[IGNORE] * len(prompt) + answer + [eos]": "list(ids)"},
            ),
            Mistake(
                "prompt grows",
                "`ids = prompt` is no copy: with `ids += ...` the caller's prompt grows, too, and with it the labels. "
                "`prompt + answer` makes a new list",
                {"ids = prompt + answer + [eos]": "ids = prompt\n    ids += answer + [eos]"},
            ),
            Mistake(
                "only the answer's labels",
                "you have labels for the answer alone; there are to be as many as ids, with IGNORE for the prompt",
                {"[IGNORE] * len(prompt) + answer + [eos]": "answer + [eos]"},
            ),
            Mistake(
                "separator learned",
                "the last id of the prompt has a label, too: the separator is written by us, not by the model",
                {"[IGNORE] * len(prompt) + answer": "[IGNORE] * (len(prompt) - 1) + prompt[-1:] + answer"},
            ),
            Mistake(
                "zero for ignore",
                "your labels for the prompt are 0, which is an id like any other, and would be learned; IGNORE is -100",
                {"[IGNORE] * len(prompt)": "[0] * len(prompt)"},
            ),
            Mistake(
                "first id of the answer not learned",
                "the answer's first id has no label: it is the one that the separator's position has to predict, and the "
                "first that the model will have to write",
                {"[IGNORE] * len(prompt) + answer + [eos]": "[IGNORE] * (len(prompt) + 1) + answer[1:] + [eos]"},
            ),
            Mistake(
                "prompt not read",
                "your ids lack the prompt: the model reads prompt and answer in one row",
                {"ids = prompt + answer + [eos]": "ids = answer + [eos]"},
            ),
        ],
        [
            "Ids and labels have the same length. Write them one below the other, for a prompt of 2 and an answer of 1.",
            "IGNORE as often as the prompt has ids, and from there on the labels are the ids, eos included.",
        ],
        reference=reference_row,
        returns=("ids", "labels"),
    ),
    Exercise(
        "shift",
        lambda: list(shift_cases()),
        [
            Mistake(
                "not shifted",
                "you do not shift: each position learns the id that it has just read, and the loss falls to nothing in no "
                "time",
                {"logits[:-1]": "logits", "labels[1:]": "labels"},
            ),
            Mistake(
                "shifted the other way",
                "you shift the other way: each position learns the id *before* it. Logits lose their last, labels their "
                "first",
                {"logits[:-1]": "logits[1:]", "labels[1:]": "labels[:-1]"},
            ),
            Mistake(
                "shifted twice",
                "you shift by two: each position learns the id after the next",
                {"logits[:-1]": "logits[:-2]", "labels[1:]": "labels[2:]"},
            ),
            Mistake(
                "last of both dropped",
                "you drop the last of both, and so each position learns the id that it has just read; labels lose their "
                "first",
                {"labels[1:]": "labels[:-1]"},
            ),
            Mistake(
                "first of both dropped",
                "you drop the first of both, and so each position learns the id that it has just read; logits lose their "
                "last",
                {"logits[:-1]": "logits[1:]"},
            ),
            Mistake(
                "ignored kept",
                "your labels still have IGNORE among them; keep those alone that are to be learned",
                {"predicted != IGNORE": "torch.ones_like(predicted).bool()"},
            ),
            Mistake(
                "chosen by the labels unshifted",
                "you choose by the labels before the shift: a logit is kept if its *own* id is to be learned. What counts "
                "is the id that it predicts",
                {"predicted != IGNORE": "labels[:-1] != IGNORE"},
            ),
            Mistake(
                "zero dropped",
                "you keep labels above 0, and drop id 0, which is an id like any other: compare with IGNORE",
                {"predicted != IGNORE": "predicted > 0"},
            ),
            Mistake(
                "ignored chosen",
                "you keep what is to be ignored, and drop the rest",
                {"predicted != IGNORE": "predicted == IGNORE"},
            ),
            Mistake(
                "logits not chosen",
                "you drop the ignored labels, and keep all logits: there are more logits than labels",
                {"predicting[learned]": "predicting"},
            ),
            Mistake(
                "labels first",
                "you return the labels first; the logits come first, as cross_entropy takes them",
                {"return predicting[learned], predicted[learned]": "return predicted[learned], predicting[learned]"},
            ),
            Mistake(
                "probabilities",
                "your rows sum to 1, so there was a softmax: cross_entropy takes logits, and has the softmax in it",
                {"predicting[learned]": "predicting[learned].softmax(dim=-1)"},
            ),
        ],
        [
            "The logits at place 0 are about the id at place 1. So the first label has no logits, and the last logits "
            "have no label.",
            "`logits[:-1]` drops the last, `labels[1:]` the first. Compare the shifted labels with IGNORE, and index both "
            "with the result.",
        ],
        returns=("logits", "labels"),
    ),
]
