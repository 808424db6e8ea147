"""A few small tensors, and folders that hold them."""

import torch

from ojito.checkpoint.keys import Key, KeyMap, Section

NAMED = KeyMap((Section("", ("theirs.",), {"a": Key("x", transposed=True), "b": "y"}),), ignored=(r"old\..*",))


def state(seed=0, **changes):
    torch.manual_seed(seed)
    made = {"a": torch.randn(3, 4), "b.weight": torch.randn(5), "b.count": torch.tensor(7)}
    return {**made, **changes}


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def on_meta(tensors):
    return {name: tensor.to("meta") for name, tensor in tensors.items()}
