"""Wrong solutions of the milestone paligemma that look right, by exercise."""

from ojito.learn import Mistake

MISTAKES = {
    "ask": [
        Mistake(
            "question left out",
            "your question is empty: pass on the one that was asked",
            {"answer(image, question, separator, steps": "answer(image, [], separator, steps"},
        ),
        Mistake(
            "separator left out",
            "your prompt has no separator",
            {"answer(image, question, separator, steps": "answer(image, question, [], steps"},
        ),
        Mistake(
            "question and separator exchanged",
            "question and separator have changed places: see the arguments of your `answer`",
            {"answer(image, question, separator, steps": "answer(image, separator, question, steps"},
        ),
        Mistake(
            "one token",
            "your answer ends after one token; it may have `steps` of them",
            {"separator, steps, weights": "separator, 1, weights"},
        ),
        Mistake(
            "separator twice",
            "your prompt has the separator twice: `answer` puts it behind the question itself",
            {"answer(image, question, separator, steps": "answer(image, question + separator, separator, steps"},
        ),
        Mistake(
            "steps left out",
            "`answer` takes the most tokens of an answer as well: image, question, separator, steps, weights, config, "
            "parts",
            {"answer(image, question, separator, steps, weights": "answer(image, question, separator, weights"},
        ),
        Mistake(
            "weights and config in one",
            "`load` returns two things, weights and config; you took both for the weights",
            {
                "weights, config = parts": "weights = config = parts",
            },
        ),
        Mistake(
            "config file",
            "you load config.json alone, or a file; `load` takes the folder",
            {".load(folder)": '.load(folder / "config.json")'},
        ),
    ],
    "collate": [
        Mistake(
            "not shifted",
            "your labels are not shifted: each position would learn the token that it reads. Position t predicts the "
            "label of t + 1: drop the first label, and put IGNORE at the end",
            {"[*labels[1:], rows.IGNORE]": "labels"},
        ),
        Mistake(
            "prompt learned",
            "your labels are the ids: the model would spend itself on writing placeholders and questions. `row` has "
            "labels, with IGNORE for the prompt",
            {"[*labels[1:], rows.IGNORE]": "ids[1:] + [rows.IGNORE]"},
        ),
        Mistake(
            "shifted the other way",
            "your labels are shifted the other way: each position would learn the token before it",
            {"[*labels[1:], rows.IGNORE]": "[rows.IGNORE] + labels[:-1]"},
        ),
        Mistake(
            "one label less",
            "your labels are one fewer than the ids: put IGNORE at the end, since the last position predicts nothing",
            {
                "[*labels[1:], rows.IGNORE]": "labels[1:]",
                "[rows.IGNORE] * (longest - len(one))": "[rows.IGNORE] * (longest - 1 - len(one))",
            },
        ),
        Mistake(
            "first label at the end",
            "the label that you cut off in front stands at the end again: of a text without a prompt it would be "
            "learned",
            {"[*labels[1:], rows.IGNORE]": "labels[1:] + [PAD]"},
        ),
        Mistake(
            "padding learned",
            "your labels are filled up with PAD, which is a token like any other: the model would learn to write it. "
            "Fill them with IGNORE",
            {"[rows.IGNORE] * (longest - len(one))": "[PAD] * (longest - len(one))"},
        ),
        Mistake(
            "padded in front",
            "your labels are padded in front, and the ids at the end: no label stands where it belongs",
            {
                "one + [rows.IGNORE] * (longest - len(one)) for one in all_labels": (
                    "[rows.IGNORE] * (longest - len(one)) + one for one in all_labels"
                )
            },
        ),
        Mistake(
            "answer in the prefix",
            "your prefix is the whole row: the answer would be read before it is given",
            {"lengths.append(len(prompt))": "lengths.append(len(ids))"},
        ),
        Mistake(
            "image alone",
            "your prefix is the image alone; bos, question and separator belong to it",
            {"lengths.append(len(prompt))": "lengths.append(count)"},
        ),
        Mistake(
            "question's length",
            "your prefix is as long as the question; it is the whole prompt",
            {"lengths.append(len(prompt))": "lengths.append(len(question))"},
        ),
        Mistake(
            "bos left out",
            "your prefix is one short: image, bos, question and separator are the prompt",
            {"lengths.append(len(prompt))": "lengths.append(len(prompt) - 1)"},
        ),
    ],
    "PaliGemma": [
        Mistake(
            "not copied",
            "your parameters are the tensors that were given: as they learn, the caller's weights change, too. Take "
            "copies, weight.clone()",
            {"nn.Parameter(weight.clone())": "nn.Parameter(weight)"},
        ),
        Mistake(
            "nothing learns",
            "your weights get no gradient: an nn.Parameter asks for one by itself, unless it is told not to",
            {"nn.Parameter(weight.clone())": "nn.Parameter(weight.clone(), requires_grad=False)"},
        ),
        Mistake(
            "a plain list",
            "PyTorch finds no parameters in a plain list: the optimizer gets none, and nothing learns. It finds those of "
            "an nn.ParameterList",
            {
                "nn.ParameterList(nn.Parameter(weight.clone()) for weight in weights.values())": (
                    "[nn.Parameter(weight.clone()) for weight in weights.values()]"
                )
            },
        ),
        Mistake(
            "matrices alone",
            "your biases and norms do not learn",
            {"nn.Parameter(weight.clone())": "nn.Parameter(weight.clone(), requires_grad=weight.ndim > 1)"},
        ),
        Mistake(
            "eye frozen",
            "no gradient reaches your eye: the visual tokens were detached, or made without gradients",
            {
                "weights, self.config, self.parts)  # (B, P, D)": "weights, self.config, self.parts).detach()  # (B, P, D)"
            },
        ),
        Mistake(
            "first image for all",
            "all rows of yours see the first image",
            {
                "weights, self.config, self.parts)  # (B, P, D)": (
                    "weights, self.config, self.parts)[:1].expand(len(ids), -1, -1)  # (B, P, D)"
                )
            },
        ),
        Mistake(
            "blind",
            "your model sees nothing: the visual tokens are zeros",
            {"weights, self.config, self.parts)  # (B, P, D)": "weights, self.config, self.parts) * 0  # (B, P, D)"},
        ),
        Mistake(
            "first prefix for all",
            "all rows of yours have the prefix of the first",
            {"ids, lengths, weights": "ids, lengths[:1].expand(len(ids)), weights"},
        ),
        Mistake(
            "probabilities",
            "you return probabilities; the loss of lesson 13 takes logits",
            {
                "lengths, weights, self.config, self.parts)": "lengths, weights, self.config, self.parts).softmax(-1)",
            },
        ),
        Mistake(
            "sorted",
            "your parameters are in the order of the alphabet, and self.names is not: a name gets the weight of another. "
            "Take weights.values(), which has the order of `weights`",
            {
                "nn.Parameter(weight.clone()) for weight in weights.values()": (
                    "nn.Parameter(weights[name].clone()) for name in sorted(weights)"
                )
            },
        ),
        Mistake(
            "wrong order",
            "your parameters are in another order than the names: a name gets the weight of another",
            {"weights.values())": "reversed(weights.values()))"},
        ),
    ],
}
