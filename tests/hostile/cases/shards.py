"""The index of shards."""

from ojito.checkpoint.files import INDEX
from ojito.checkpoint.tensors.header import MAX_SHARDS, MAX_TENSORS
from tests.hostile.changes import Cases, both, edited, link, removed, replaced
from tests.hostile.good_folders import BOTH

CASES = Cases()
case = CASES.add

SHARDS = tuple(f"model-0000{i}-of-00004.safetensors" for i in (1, 2, 3, 4))


def one_named(file):
    """The index says that a tensor is in this file."""

    def edit(values):
        values["weight_map"][next(iter(values["weight_map"]))] = file

    return edited(INDEX, edit)


def all_named(file):
    """The index calls the first shard so."""

    def edit(values):
        names = values["weight_map"]
        values["weight_map"] = {key: file if shard == SHARDS[0] else shard for key, shard in names.items()}

    return edited(INDEX, edit)


PATHS = {
    "a file above": "../x.safetensors",
    "a file far above": "../../../../../../etc/passwd",
    "an absolute path": "/etc/passwd.safetensors",
    "a backslash": "..\\x.safetensors",
    "a drive": "C:\\x.safetensors",
    "a short drive": "C:x.safetensors",
    "a share": "\\\\host\\x.safetensors",
    "nothing": "",
    "a dot": ".",
    "two dots": "..",
    "a subfolder": "sub/x.safetensors",
    "a home": "~/x.safetensors",
    "a null character": "x\0.safetensors",
    "a line break": "x\n.safetensors",
    "an escape sequence": "\x1b[2Jx.safetensors",
    "an address": "https://example.org/x.safetensors",
    "a hidden file": ".x.safetensors",
    "a long name": "x" * 300 + ".safetensors",
    "a very long name": "x" * 100_000,
    "half a character": "\ud800.safetensors",
    "a variable": "$HOME.safetensors",
    "a stream": "x.safetensors:y",
    "another kind": "model.bin",
    "the config": "config.json",
    "itself": INDEX,
    "a space": " .safetensors",
    "a number": 3,
    "a list": ["x"],
    "a mapping": {"x": 1},
    "true": True,
    "null": None,
}
for what, path in PATHS.items():
    case(f"index names {what}", "llava-shards", one_named(path), r"index\.json: names .*, which is no plain name of")
case(
    "index in our own folder names a file above",
    "own",
    both(removed("model.safetensors"), replaced(INDEX, {"weight_map": {"a": "../x.safetensors"}})),
    "no plain name",
)
case("index names a missing shard", "llava-shards", all_named("x.safetensors"), r"has no x\.safetensors")
case(
    "index names a folder",
    "llava-shards",
    both(all_named("x.safetensors"), lambda folder: (folder / "x.safetensors").mkdir()),
    r"has no x\.safetensors",
)
case("index names another shard", "llava-shards", one_named(SHARDS[1]), "")
case(
    "index lacks a tensor",
    "llava-shards",
    edited(INDEX, lambda v: v["weight_map"].pop(next(iter(v["weight_map"])))),
    "",
)
case(
    "index has a tensor too many",
    "llava-shards",
    edited(INDEX, lambda v: v["weight_map"].update(x=SHARDS[0])),
    "",
)
case(
    "index lacks a shard",
    "llava-shards",
    edited(INDEX, lambda v: v.update(weight_map={k: s for k, s in v["weight_map"].items() if s != SHARDS[2]})),
    "missing",
)
case(
    "a tensor is in two shards",
    "llava-shards",
    lambda folder: (folder / SHARDS[1]).write_bytes((folder / SHARDS[0]).read_bytes()),
    "holds what .* holds, too",
)
case(
    "two names for one shard",
    "llava-shards",
    both(lambda folder: link(folder / "x.safetensors", SHARDS[0]), one_named("x.safetensors")),
    "holds what .* holds, too",
)
for what, weight_map in (
    ("no", None), ("a list as", []), ("a text as", "x"), ("a number as", 3), ("an empty", {}), ("a nested", {"a": {}}),
):  # fmt: skip
    case(
        f"index has {what} weight_map",
        "llava-shards",
        edited(INDEX, lambda v, m=weight_map: v.update(weight_map=m)),
        r"index\.json: (has no weight_map|names \{\})",
    )
case(
    "index names 100,000 tensors",
    "llava-shards",
    replaced(INDEX, lambda _: {"weight_map": {f"t{i}": SHARDS[0] for i in range(100_000)}}),
    f"names 100000 tensors, more than {MAX_TENSORS}",
)
case(
    "index names 20,000 shards",
    "llava-shards",
    replaced(INDEX, lambda _: {"weight_map": {f"t{i}": f"s{i}.safetensors" for i in range(MAX_TENSORS)}}),
    f"20000 files, more than {MAX_SHARDS}",
)
case("index beside the weights is not looked at", BOTH, replaced(INDEX, {"weight_map": {"a": "../x"}}), "")
case(
    "index of 7 MiB of lists",
    "llava-shards",
    replaced(INDEX, lambda _: '{"weight_map": [' + "[]," * (7 * 2**20 // 3) + "0]}"),
    "too many values",
)
