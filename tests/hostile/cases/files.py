"""Every file, replaced by what is none, or not it."""

import re

from ojito.checkpoint.files import INDEX
from tests.hostile.changes import (
    Cases,
    both,
    halved,
    linked_to,
    moved_out,
    outside,
    piped,
    removed,
    replaced,
    sparse,
    unreadable,
)

CASES = Cases()
case = CASES.add

FILES = {
    "own": ("config.json", "processor.json", "tokenizer.json", "model.safetensors", "recipe.yaml"),
    "llava": ("config.json", "tokenizer.json", "model.safetensors", "tokenizer_config.json",
              "preprocessor_config.json", "generation_config.json"),
    "llava-shards": ("model.safetensors.index.json", "model-00002-of-00004.safetensors"),
}  # fmt: skip
OPTIONAL = ("tokenizer_config.json", "preprocessor_config.json", "generation_config.json", "recipe.yaml")


def twice(path):
    text = path.read_text()
    return "{" + f'"a": 1, "a": 2, {text.strip()[1:]}'


for kind, names in FILES.items():
    for name in names:
        own = re.escape(name)
        # What is there, but is no file, counts as missing; only a recipe would be a loss that nobody notices.
        without_index = r"has its weights as shards without an index"
        missing = None if name in OPTIONAL else without_index if name == INDEX else f"has no {own}"
        no_file = own if name == "recipe.yaml" else missing
        case(f"{name} links to a file outside", kind, moved_out(name), f"{own}: is a link to a place outside")
        case(f"{name} links to /etc/passwd", kind, linked_to(name, "/etc/passwd"), f"{own}: is a link")
        case(
            f"{name} links to a file above",
            kind,
            both(lambda folder: (outside(folder) / "x").touch(), linked_to(name, "../outside/x")),
            f"{own}: is a link",
        )
        case(f"{name} links to nothing", kind, linked_to(name, "nothing"), missing)
        case(f"{name} links to itself", kind, linked_to(name, name), missing)
        case(f"{name} links to a device", kind, linked_to(name, "/dev/zero"), no_file)
        case(f"{name} links to a process", kind, linked_to(name, "/proc/self/maps"), f"{own}: is a link")
        case(f"{name} is a pipe", kind, piped(name), no_file)
        case(f"{name} is a folder", kind, both(removed(name), lambda f, n=name: (f / n).mkdir()), no_file)
        case(f"{name} may not be read", kind, unreadable(name), f"{own}: may not be read; allow it")
        case(f"{name} is missing", kind, removed(name), missing)
        case(f"{name} is empty", kind, replaced(name, ""), own)
        case(f"{name} is cut in half", kind, halved(name), own if name != "recipe.yaml" else None)
        case(f"{name} is of zeros", kind, replaced(name, bytes(5000)), own)
        case(f"{name} is not UTF-8", kind, replaced(name, b"\xff\xfe{}\xc3"), own)
        if name.endswith((".json", ".yaml")):
            for what, text in (
                ("null", "null"),
                ("a list", "[]"),
                ("a number", "3"),
                ("a text", '"x"'),
                ("NaN", "NaN"),
            ):
                case(f"{name} is {what}", kind, replaced(name, text), own)
            case(f"{name} is an empty mapping", kind, replaced(name, "{}"), None)
            case(f"{name} is nested deep", kind, replaced(name, "[" * 60_000), own)
            case(f"{name} is a mapping nested deep", kind, replaced(name, '{"a":' * 10_000), own)
            case(f"{name} is huge", kind, sparse(name, 65 * 2**20), f"{own}: has 68157440 bytes, more than")
        if name.endswith(".json"):
            case(f"{name} holds a key twice", kind, replaced(name, lambda f, n=name: twice(f / n)), None)
            case(f"{name} begins with a mark", kind, replaced(
                name, lambda f, n=name: b"\xef\xbb\xbf" + (f / n).read_bytes()), None)  # fmt: skip
