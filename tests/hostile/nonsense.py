"""Nonsense of every kind, put into every place of the files of the good folders."""

import json
import math
import zlib

from ojito.checkpoint.files import INDEX
from tests.hostile.attempt import attempt
from tests.hostile.good_folders import KINDS, OWN, PUBLIC

NONSENSE = [
    2**40, 2**39, 10**6, 10**18, 10**30, 10**400, 0, -1, -(2**63), 7, 0.5, -0.5, 1e308, math.nan, math.inf, -math.inf,
    True, False, None, "", "x", "16", "../x", "\x1b[2J\n", "\ud800", "x" * 10_000, [], [1], ["x"] * 1000, [[[[]]]], {},
    {"a": 1}, {"kind": "x"}, {"content": []}, json.loads("[" * 150 + "]" * 150), "DROP",
]  # fmt: skip
GIANT = (2**40, 2**39, 10**6, 10**18, 10**30, ["x"] * 1000)


def places(values, path=()):
    """Every place in what a JSON file holds: each value, and each group; of a vocabulary, the first entries."""
    if path:
        yield path
    children = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in list(children)[: 3 if len(values) > 50 else None] if children else ():
        yield from places(value, (*path, key))


def with_nonsense(text, path, nonsense):
    """The file's text with this at that place."""
    values = json.loads(text)
    node = values
    for key in path[:-1]:
        node = node[key]
    if nonsense == "DROP":
        del node[path[-1]]
    else:
        node[path[-1]] = nonsense
    return json.dumps(values)


WALKED = [
    (kind, name)
    for kind in KINDS
    for name in ("config.json", "processor.json", "tokenizer.json", "tokenizer_config.json", "preprocessor_config.json",
                 "generation_config.json", INDEX)
    if (name == INDEX) == (kind == "llava-shards")
    and not (kind in OWN and name.endswith("_config.json")) and not (kind in PUBLIC and name == "processor.json")
]  # fmt: skip


def walk(good, folder, kind, name, per_place):
    """What goes wrong when nonsense is put into each place of a file; and how often that was done.

    Args:
        good: The good folders.
        folder: For the bad ones.
        kind: Of the folder.
        name: Of the file.
        per_place: How much nonsense, or which.
    """
    text, count, wrong = good[kind].files[name].decode(), 0, []
    good[kind].copy(folder)
    for path in places(json.loads(text)):
        start = zlib.crc32(f"{kind}{name}{path}".encode())  # every place gets other nonsense
        chosen = per_place
        if isinstance(per_place, int):
            chosen = [NONSENSE[(start + i) % len(NONSENSE)] for i in range(per_place)]
        for nonsense in chosen:
            (folder / name).write_text(with_nonsense(text, path, nonsense))
            count += 1
            found = attempt(folder, good[kind].state)[1]
            wrong += [f"{kind}/{name}: {path} = {str(nonsense)[:40]}: {complaint}" for complaint in found]
    return count, wrong
