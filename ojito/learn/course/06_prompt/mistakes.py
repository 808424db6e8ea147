"""Wrong solutions of lesson 6 that look right, by exercise."""

from ojito.learn import Mistake

MISTAKES = {
    "encode_question": [
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
    "prompt": [
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
    "row": [
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
    "shift": [
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
}
