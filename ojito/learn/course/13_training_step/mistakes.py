"""Wrong solutions of lesson 13 that look right, by exercise."""

from ojito.learn import Mistake

MISTAKES = {
    "token_loss": [
        Mistake(
            "divided by all positions",
            "you divide by all B * T positions, and not by the labelled ones: your loss is {ratio} of the right one, and "
            "the longer the prompt, the smaller it gets",
            {"labelled.sum().clamp(min=1)": "labels.numel()"},
        ),
        Mistake(
            "mean of the rows' means",
            "you average each row first, and then the rows: a token of a short answer weighs more than one of a long one. "
            "Sum over all labelled tokens, divide once",
            {
                'nn.functional.cross_entropy(logits[labelled], labels[labelled], reduction="sum")': (
                    '(nn.functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none").sum(1)'
                    " / labelled.sum(1).clamp(min=1)).sum()"
                ),
                "labelled.sum().clamp(min=1)": "len(labels)",
            },
        ),
        Mistake(
            "divided by the rows",
            "you divide by the number of rows: long answers then have large losses. Divide by the labelled tokens",
            {"labelled.sum().clamp(min=1)": "len(labels)"},
        ),
        Mistake(
            "nothing labelled",
            "right, but for a batch without labels: it gives 0 / 0, NaN, which would spoil all weights. Divide by at "
            "least 1",
            {"labelled.sum().clamp(min=1)": "labelled.sum()"},
        ),
        Mistake(
            "divided twice",
            'your total is a mean already, and then it is divided by the count again: reduction="sum"',
            {', reduction="sum")': ")"},
        ),
        Mistake(
            "not divided",
            "you return the sum: it grows with the batch, and so would each step. Divide by the count of labelled tokens",
            {"labelled.sum().clamp(min=1)": "1"},
        ),
        Mistake(
            "softmax twice",
            "you give chances to cross_entropy, which takes logits and has a softmax of its own: after two of them all "
            "tokens are nearly alike, and the loss cannot come near 0",
            {"cross_entropy(logits[labelled], ": "cross_entropy(logits[labelled].softmax(dim=-1), "},
        ),
        Mistake(
            "no softmax",
            "nll_loss takes logarithms of chances, and you give it logits: cross_entropy does both steps",
            {"cross_entropy(logits": "nll_loss(logits"},
        ),
        Mistake(
            "chances and not their logarithms",
            "you add up the chances themselves: a token costs minus the LOGARITHM of its chance, so that being sure of "
            "the wrong one is dear",
            {"cross_entropy(logits[labelled], ": "nll_loss(logits[labelled].softmax(dim=-1), "},
        ),
        Mistake(
            "ignored positions count",
            "you count positions with -100 as if their token were 0: they are not to count. Choose the labelled ones, "
            "logits[labelled]",
            {"logits[labelled], labels[labelled]": "logits.flatten(0, 1), labels.clamp(min=0).flatten()"},
        ),
        Mistake(
            "shifted once more",
            "you shift the labels against the logits: that is done already, and now each position is to predict the "
            "token after the next. The loss still falls, and the model never learns to write",
            {
                "labelled = labels != IGNORE": (
                    "labels = labels.roll(-1, 1)\n    labels[:, -1] = IGNORE\n    labelled = labels != IGNORE"
                )
            },
        ),
        Mistake(
            "axes of cross_entropy",
            "cross_entropy wants the classes at axis 1: (n, V) with (n,), or (B, V, T) with (B, T). Choose the labelled "
            "positions first, logits[labelled] is (n, V)",
            {"logits[labelled], labels[labelled]": "logits, labels"},
        ),
        Mistake(
            "infinite numbers",
            "right for small logits, but e^logits is infinite from 89 on in float32, and infinite / infinite is NaN. "
            "cross_entropy, or log_softmax, subtracts the largest of each position first",
            {
                'nn.functional.cross_entropy(logits[labelled], labels[labelled], reduction="sum")': (
                    "-(logits[labelled].exp() / logits[labelled].exp().sum(dim=-1, keepdim=True))"
                    ".gather(-1, labels[labelled][:, None]).log().sum()"
                )
            },
        ),
        Mistake(
            "logarithm of a softmax",
            "right for small logits, but a chance below 1e-45 is 0 in float32, and its logarithm infinite. "
            "cross_entropy, or log_softmax, never makes the chance itself",
            {"cross_entropy(logits[labelled], ": "nll_loss(logits[labelled].softmax(dim=-1).log(), "},
        ),
        Mistake(
            "no way back",
            "your loss is right, but no gradient comes from it: it is a number alone (detach, item, no_grad, or a new "
            "tensor made of it), and nothing would learn",
            {"return total / count": "return (total / count).detach()"},
        ),
    ],
    "accumulate": [
        Mistake(
            "mean of means",
            "every micro-batch weighs alike in yours, whether it has 2 labelled tokens or 6: each is to weigh by its "
            "share of them, count / sum(counts)",
            {"share = count / max(sum(counts), 1)": "share = 1 / len(counts)"},
        ),
        Mistake(
            "sum of means",
            "you add the means up: with n micro-batches loss and gradient are about n times too large. Each is to "
            "weigh by its share of the labelled tokens",
            {"share = count / max(sum(counts), 1)": "share = 1.0"},
        ),
        Mistake(
            "no backward pass",
            "there is no gradient: part.backward() computes it, and adds it to what is there",
            {"        part.backward()\n": ""},
        ),
        Mistake(
            "divided by the micro-batches as well",
            "your shares sum to 1 already, and you divide by the number of micro-batches once more: loss and gradient "
            "are that many times too small",
            {"count / max(sum(counts), 1)": "count / max(sum(counts), 1) / len(counts)"},
        ),
        Mistake(
            "shares of rows",
            "your shares are those of rows, long and short ones alike: what counts is labelled tokens",
            {"share = count / max(sum(counts), 1)": "share = len(labels) / sum(len(one) for _, one in batches)"},
        ),
        Mistake(
            "shares of positions",
            "your shares count all positions, prompt and padding as well: what counts is labelled tokens",
            {
                "share = count / max(sum(counts), 1)": (
                    "share = labels.numel() / sum(one.numel() for _, one in batches)"
                )
            },
        ),
        Mistake(
            "gradient without its share",
            "the loss that you return is right, but the gradient is not: the backward pass has to start from the part, "
            "after it was multiplied by the share",
            {
                "part = loss(inputs, labels) * share": (
                    "full = loss(inputs, labels)\n        part = full.detach() * share"
                ),
                "part.backward()": "full.backward()",
            },
        ),
        Mistake(
            "gradient of another loss",
            "the loss that you return is right, but the gradient is not: you go backward from the mean of the "
            "micro-batch, computed a second time. Go backward from `part`, which has its share",
            {"part.backward()": "loss(inputs, labels).backward()"},
        ),
        Mistake(
            "no label at all",
            "right, but for a step without any label: its share is 0 / 0. Divide by at least 1",
            {"count / max(sum(counts), 1)": "count / sum(counts)"},
        ),
        Mistake(
            "sums and not shares",
            "you multiply each mean by its count, which makes it a sum, and do not divide by the count of all",
            {"share = count / max(sum(counts), 1)": "share = count"},
        ),
        Mistake(
            "share turned",
            "your share is turned: small micro-batches weigh most",
            {"share = count / max(sum(counts), 1)": "share = sum(counts) / max(count, 1)"},
        ),
        Mistake(
            "all held until the end",
            "your numbers are right, but you keep all micro-batches until one backward pass at the end: then they need "
            "as much memory as the whole batch, which is what they are to save. Go backward in the loop",
            {
                "        part.backward()\n        total += part.item()\n    return total": (
                    "        total = total + part\n    total.backward()\n    return total.item()"
                )
            },
        ),
    ],
    "train_step": [
        Mistake(
            "old gradients stay",
            "the gradients of the step before are added to those of this one: optimizer.zero_grad() comes first",
            {"    optimizer.zero_grad()\n": ""},
        ),
        Mistake(
            "gradients forgotten too late",
            "the weights never move: zero_grad() after the backward pass forgets what was just computed. It comes first",
            {
                "    optimizer.zero_grad()\n": "",
                "    norm = nn.utils": "    optimizer.zero_grad()\n    norm = nn.utils",
            },
        ),
        Mistake(
            "forgotten before each micro-batch",
            "you forget the gradients before each micro-batch, so that only those of the last are left: zero_grad "
            "comes once, before the first",
            {
                "lambda inputs, labels: token_loss(model(inputs), labels)": (
                    "lambda inputs, labels: (optimizer.zero_grad(), token_loss(model(inputs), labels))[1]"
                )
            },
        ),
        Mistake(
            "forgotten at the end",
            "you forget the gradients at the end of a step, and what lay there before the first is added to it: "
            "zero_grad comes first, since this function cannot know who used the model before",
            {
                "    optimizer.zero_grad()\n": "",
                "        optimizer.step()\n": "        optimizer.step()\n    optimizer.zero_grad()\n",
            },
        ),
        Mistake(
            "forgotten where a step was taken",
            "you forget the gradients only where a step was taken: after one batch with NaN its NaN stays, each later "
            "norm is NaN, and no step is ever taken again. zero_grad comes first, always",
            {
                "    optimizer.zero_grad()\n": "",
                "        optimizer.step()\n": "        optimizer.step()\n        optimizer.zero_grad()\n",
            },
        ),
        Mistake(
            "no model",
            "token_loss gets inputs where it wants logits: the model is between, token_loss(model(inputs), labels)",
            {"lambda inputs, labels: token_loss(model(inputs), labels)": "token_loss"},
        ),
        Mistake(
            "not clipped",
            "gradients are not clipped when the optimizer uses them: your step is as long as the worst batch makes it. "
            "clip_grad_norm_ measures and clips at once",
            {"clip_grad_norm_(model.parameters(), clip)": 'clip_grad_norm_(model.parameters(), float("inf"))'},
        ),
        Mistake(
            "each number clipped",
            "you clip each number by itself, which turns the direction of the step: clip_grad_norm_ makes all of them "
            "shorter alike",
            {
                "    norm = nn.utils.clip_grad_norm_(model.parameters(), clip)": (
                    '    norm = nn.utils.clip_grad_norm_(model.parameters(), float("inf"))\n'
                    "    nn.utils.clip_grad_value_(model.parameters(), clip)"
                )
            },
        ),
        Mistake(
            "clip_grad_value_",
            "clip_grad_value_ clips each number by itself, which turns the direction of the step, and returns nothing: "
            "clip_grad_norm_ makes all of them shorter alike, and returns the norm",
            {"clip_grad_norm_(model": "clip_grad_value_(model"},
        ),
        Mistake(
            "clipped to 1",
            "you clip to a norm of 1, whatever `clip` says",
            {"clip_grad_norm_(model.parameters(), clip)": "clip_grad_norm_(model.parameters(), 1.0)"},
        ),
        Mistake(
            "each parameter clipped",
            "you clip the norm of each parameter by itself: it is the norm of all gradients together, as one long vector",
            {
                "    norm = nn.utils.clip_grad_norm_(model.parameters(), clip)": (
                    '    norm = nn.utils.clip_grad_norm_(model.parameters(), float("inf"))\n'
                    "    for one in model.parameters():\n        nn.utils.clip_grad_norm_(one, clip)"
                )
            },
        ),
        Mistake(
            "norm after clipping",
            "your norm is measured after clipping, so that it never exceeds `clip` and tells nothing: clip_grad_norm_ "
            "returns the one from before",
            {
                "    norm = nn.utils.clip_grad_norm_(model.parameters(), clip)": (
                    "    nn.utils.clip_grad_norm_(model.parameters(), clip)\n"
                    "    norm = nn.utils.get_total_norm([one.grad for one in model.parameters()])"
                )
            },
        ),
        Mistake(
            "always stepped",
            "a batch with an infinite number makes all weights NaN, for ever: step only if the norm is finite",
            {"finite = norm.isfinite()": "finite = True"},
        ),
        Mistake(
            "NaN alone",
            "you leave out a step whose norm is NaN, and take one whose norm is infinite: clipping then divides by it, "
            "infinite * 0 is NaN, and so are the weights. isfinite() is False for both",
            {"finite = norm.isfinite()": "finite = not norm.isnan()"},
        ),
        Mistake(
            "infinity alone",
            "you leave out a step whose norm is infinite, and take one whose norm is NaN: nothing equals NaN. "
            "isfinite() is False for both",
            {"finite = norm.isfinite()": "finite = not norm.isinf()"},
        ),
        Mistake(
            "a finite loss",
            "you ask whether the loss is finite: a gradient may be infinite or NaN where the loss is not, and then makes "
            "weights NaN, for ever. Ask the norm",
            {"finite = norm.isfinite()": "finite = torch.tensor(loss).isfinite()"},
        ),
        Mistake(
            "never stepped",
            "the weights never move: step if the norm is finite",
            {"finite = norm.isfinite()": "finite = not norm.isfinite()"},
        ),
        Mistake(
            "only short gradients",
            "you take no step where the norm is above `clip`: such gradients are made shorter, not left out",
            {"finite = norm.isfinite()": "finite = norm <= clip"},
        ),
    ],
}
