"""How lesson 13 is checked."""

import copy
from types import SimpleNamespace

import torch
from torch import nn

from ojito.learn import Case, Exercise, Question
from ojito.records import IGNORE
from ojito.trainer.loss import count_labels
from ojito.trainer.loss import token_loss as library_summed_loss
from ojito.trainer.norms import clip_gradients

QUESTION = Question(
    "A step has two micro-batches: captions with 98 labelled tokens in all, and yes or no with 2. Somebody takes the mean "
    "loss of each and averages the two. How much does a token of the second pull on the weights, compared with one of the "
    "first?",
    {"a": "as much: a mean is a mean", "b": "49 times as much", "c": "twice as much"},
    "b",
    "A token of the first has a weight of 1/2 * 1/98, one of the second 1/2 * 1/2. Two words of yes and no pull as hard as "
    "98 of captions together; and which ones share a micro-batch is chance.",
)


def library_loss(logits, labels):
    """The library's loss of a model whose logits these are."""
    decoder = SimpleNamespace(head=None)
    config = SimpleNamespace(decoder=SimpleNamespace(vocab_size=logits.shape[-1]))
    model = SimpleNamespace(features=lambda _: logits, head=lambda hidden: hidden, decoder=decoder, config=config)
    batch = SimpleNamespace(targets=labels)
    return library_summed_loss(model, batch) / max(count_labels(batch), 1)


def labels_like(rows, columns, counts, made, vocabulary):
    """Labels (rows, columns), of which the last `counts[i]` of row i count."""
    labels = torch.randint(vocabulary, (rows, columns), generator=made)
    for row, count in enumerate(counts):
        labels[row, : columns - count] = IGNORE
    return labels


def loss_cases():
    made = torch.Generator().manual_seed(0)
    for name, counts in (("answers of 1, 4 and 3 tokens", (1, 4, 3)), ("no token is labelled", (0, 0, 0))):
        logits = 2 * torch.randn(3, 5, 7, generator=made)
        yield Case(name, {"logits": logits, "labels": labels_like(3, 5, counts, made, 7)})
    logits, labels = 100 * torch.randn(3, 5, 7, generator=made), labels_like(3, 5, (2, 3, 1), made, 7)
    logits[0, -1, labels[0, -1]] = 300.0  # sure, and right
    yield Case("logits of 100 and more", {"logits": logits, "labels": labels})
    logits = torch.randn(2, 4, 7, generator=made)
    yield Case("its gradient", {"logits": logits, "labels": labels_like(2, 4, (3, 1), made, 7), "gradient": True})


def use_loss(solution, inputs):
    """The loss, or what it tells the logits."""
    logits, labels = inputs["logits"], inputs["labels"]
    if "gradient" not in inputs:
        return solution(logits=logits, labels=labels)
    logits.requires_grad_()
    loss = solution(logits=logits, labels=labels)
    if loss.requires_grad:
        loss.backward()
    logits.requires_grad_(False)
    gradient = torch.zeros_like(logits) if logits.grad is None else logits.grad
    return {"loss": loss.detach(), "gradient of the logits": gradient}


def micro_batches(sizes, made, width=4, vocabulary=6):
    return [
        (
            torch.randn(len(counts), columns, width, generator=made),
            labels_like(len(counts), columns, counts, made, vocabulary),
        )
        for columns, counts in sizes
    ]


def accumulate_cases():
    made = torch.Generator().manual_seed(1)
    weights = torch.randn(6, 4, generator=made)
    uneven = micro_batches([(5, (1, 5)), (3, (1, 0, 1)), (7, (6,))], made)
    yield Case("6, 2 and 6 labelled tokens in 2, 3 and 1 rows", {"weights": weights, "batches": uneven})
    empty = micro_batches([(4, (3, 4)), (4, (0, 0))], made)
    yield Case("a micro-batch without labels", {"weights": weights, "batches": empty})
    nothing = micro_batches([(4, (0, 0)), (3, (0,))], made)
    yield Case("no label at all", {"weights": weights, "batches": nothing})


def use_accumulate(solution, inputs):
    """Loss and gradient, and how many micro-batches were held in memory at once."""
    weights = inputs["weights"].clone().requires_grad_()
    held = {"now": 0, "most": 0}

    def loss(hidden, labels):
        held["now"] += 1
        held["most"] = max(held["most"], held["now"])
        found = library_loss(nn.functional.linear(hidden, weights), labels)
        found.register_hook(lambda _: held.update(now=held["now"] - 1))
        return found

    value = solution(inputs["batches"], loss)
    gradient = torch.zeros_like(weights) if weights.grad is None else weights.grad
    return {"loss": value, "gradient": gradient, "micro-batches held in memory at once": max(1, held["most"])}


def whole_batch(batches, loss):
    """What accumulation must equal: one batch that holds all tokens."""
    found = loss(torch.cat([x.flatten(0, 1) for x, _ in batches]), torch.cat([y.flatten() for _, y in batches]))
    found.backward()
    return found.item()


def step_cases():
    made = torch.Generator().manual_seed(2)
    steps = [
        [(4 * hidden, labels) for hidden, labels in micro_batches([(5, (2, 4)), (3, (1,))], made)] for _ in range(4)
    ]
    yield Case("gradients are clipped", {"seed": 3, "steps": steps, "clip": 0.25})
    yield Case("gradients are short enough", {"seed": 4, "steps": steps, "clip": 100.0})


def use_step(solution, inputs):
    """Two steps; then, each on a copy, one whose loss or gradient is not finite, and a good one."""
    torch.manual_seed(inputs["seed"])
    model = nn.Linear(4, 6)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    first, second, broken, good = inputs["steps"]
    found = {}
    for parameter in model.parameters():  # gradients of before, which a step has to forget
        parameter.grad = torch.ones_like(parameter)
    for number, batches in enumerate((first, second), 1):
        loss, norm = solution(model, optimizer, batches, inputs["clip"])
        found[f"loss of step {number}"] = loss
        found[f"norm of step {number}"] = norm
        found[f"weights after step {number}"] = model.weight.detach().clone()
    (hidden, labels), *others = broken
    spoilt = hidden.clone()
    spoilt[0, -1, 0] = float("inf")
    for name, batches, value in (
        ("loss is NaN", [(spoilt, labels), *others], None),
        ("loss is finite, and whose gradient is infinite", broken, float("inf")),
        ("loss is finite, and whose gradient is NaN", broken, float("nan")),
    ):
        again = copy.deepcopy(model)
        optimizer = torch.optim.SGD(again.parameters(), lr=0.5)
        hook = again.weight.register_hook(lambda gradient, value=value: spoil(gradient, value))
        solution(again, optimizer, batches, inputs["clip"])
        hook.remove()
        found[f"weights after a step whose {name}"] = again.weight.detach().clone()
        solution(again, optimizer, good, inputs["clip"])
        found[f"weights after a good step that follows one whose {name}"] = again.weight.detach().clone()
    return found


def spoil(gradient, value):
    """A gradient with one number replaced."""
    gradient = gradient.clone()
    if value is not None:
        gradient[0, 0] = value
    return gradient


def library_step(model, optimizer, batches, clip):
    optimizer.zero_grad()
    loss = whole_batch(batches, lambda inputs, labels: library_loss(model(inputs), labels))
    norm = clip_gradients(SimpleNamespace(parts={"model": model}), clip)["all"]
    if torch.tensor(norm).isfinite():
        optimizer.step()
    return loss, norm


EXERCISES = [
    Exercise(
        "token_loss",
        lambda: list(loss_cases()),
        hints=[
            "`logits[labelled]` is (n, V), the logits at the n labelled positions; `labels[labelled]` is (n,).",
            '`nn.functional.cross_entropy(logits[labelled], labels[labelled], reduction="sum")`; what for no labels at all?',
            "The count is `labelled.sum()`, and at least 1: `.clamp(min=1)`.",
        ],
        reference=library_loss,
        use=use_loss,
    ),
    Exercise(
        "accumulate",
        lambda: list(accumulate_cases()),
        hints=[
            "A mean times its count is a sum; the sums of all, divided by the count of all, are the mean of all.",
            "So a micro-batch's mean weighs `count / sum(counts)`; with no label at all, divide by 1.",
            "`part = loss(inputs, labels) * share`, then `part.backward()`: gradients add up by themselves.",
        ],
        reference=whole_batch,
        use=use_accumulate,
    ),
    Exercise(
        "train_step",
        lambda: list(step_cases()),
        hints=[
            "The order is on the page. `optimizer.zero_grad()` forgets.",
            "accumulate wants a function: `lambda inputs, labels: token_loss(model(inputs), labels)`.",
            "`nn.utils.clip_grad_norm_(model.parameters(), clip)` clips, and returns the norm from before; `norm.isfinite()`.",
        ],
        reference=library_step,
        use=use_step,
    ),
]
