"""Files of weights: their headers, and what those say of the bytes behind them."""

import json
import struct

from tests.hostile.changes import Cases, both, edited, replaced, sparse
from tests.hostile.good_folders import BOTH

CASES = Cases()
case = CASES.add


def split_up(content):
    """The header's values, and the bytes behind it."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def joined(header, data=b"", length=None):
    """A file of weights whose header is these values or bytes, and says that it is of this length."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def header(edit):
    """The weights' header, after `edit` has changed it."""

    def change(folder):
        path = folder / "model.safetensors"
        values, data = split_up(path.read_bytes())
        edit(values)
        path.write_bytes(joined(values, data))

    return change


def first(**fields):
    """These fields of one tensor's entry."""

    def edit(values):
        entry = next(v for k, v in values.items() if k != "__metadata__" and v["dtype"] == "F32")
        entry.update(fields)

    return edit


def raw(content):
    return replaced("model.safetensors", content)


def swapped(values):
    """Two tensors change places: still no gap, no overlap."""
    entries = [v for k, v in values.items() if k != "__metadata__"]
    for entry in entries[1:]:
        if entry["shape"] != entries[0]["shape"]:
            entry["data_offsets"], entries[0]["data_offsets"] = entries[0]["data_offsets"], entry["data_offsets"]
            break


def too_long(folder):
    """A header that is a byte longer than allowed, in a file that has room for it."""
    sparse("model.safetensors", 20 * 2**20)(folder)
    with (folder / "model.safetensors").open("r+b") as file:
        file.write(struct.pack("<Q", 2**23 + 1))


def entry(shape=(1,), start=0, end=4, dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


DAMAGED = "damaged header|truncated|differing|is damaged"
for kind in BOTH:
    case("header of length 0", kind, raw(joined(b"", b"x" * 50)), "damaged header")
    for length in (1, 7, 2**24, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1):
        case(f"header of length {length}", kind, raw(joined(b"{}", b"x" * 50, length)), "truncated|damaged header")
    case(
        "header longer than allowed",
        kind,
        too_long,
        "has a header of 8388609 bytes, more than 8388608",
    )
    for what, text in {
        "text": b'"x"', "list": b"[]", "null": b"null", "number": b"1", "not UTF-8": b"\xff\xfe\xfd", "NaN": b"NaN",
        "deep": b"[" * 100_000, "deep mappings": b'{"a":' * 50_000, "duplicate keys": b'{"a": {}, "a": {}}',
        "8 MiB of lists": b'{"a": [' + b"[]," * 2_500_000 + b"0]}", "nothing": b"{}", "spaces": b" " * 1000,
    }.items():  # fmt: skip
        case(f"header is {what}", kind, raw(joined(text, bytes(4))), DAMAGED)
    for what, edit in {
        "overlapping": first(data_offsets=[0, 4]), "negative": first(data_offsets=[-4, 0]), "backward":
        first(data_offsets=[64, 0]), "beyond the file": first(data_offsets=[0, 2**40]), "huge":
        first(data_offsets=[2**63, 2**64]), "huger": first(data_offsets=[10**30, 10**31]), "fractions":
        first(data_offsets=[0.0, 4.0]), "a text": first(data_offsets="04"), "one": first(data_offsets=[0]), "three":
        first(data_offsets=[0, 4, 8]), "null": first(data_offsets=None), "true": first(data_offsets=[False, True]),
    }.items():  # fmt: skip
        case(f"offsets are {what}", kind, header(edit), "damaged header")
    case("offsets are swapped", kind, header(swapped), "damaged header")
    for what, shape in {
        "larger than its bytes": [2**40], "beyond 64 bits": [2**32, 2**32, 2**32], "negative": [-1], "fractions": [1.5],
        "a text": "12", "null": None, "true": [True], "a number": 4, "nested": [[4]], "10,000 axes": [1] * 10_000,
        "a huge number": [10**4000], "zero": [0],
    }.items():  # fmt: skip
        case(f"shape is {what}", kind, header(first(shape=shape)), "damaged header")
    for dtype in ("F8_E4M3", "F8_E5M2", "F4", "I4", "BOOL", "U8", "U64", "C64", "F32 ", "f32", "", "X" * 10**5):
        case(f"dtype is {dtype[:9]!r}", kind, header(first(dtype=dtype)), f"{DAMAGED}|weights packed")
    for dtype in (None, 3, [], {}, True):
        case(f"dtype is {dtype!r}", kind, header(first(dtype=dtype)), "damaged header")
    for dtype in ("I32", "F16", "F64", "I64"):
        case(f"dtype is {dtype}, not F32", kind, header(first(dtype=dtype)), DAMAGED)
    for what, metadata in {"list": [], "text": "x", "nested": {"a": {}}, "number": {"a": 1}, "null": None}.items():
        case(f"metadata is a {what}", kind, header(lambda v, m=metadata: v.update(__metadata__=m)), None)
    case("100,000 tensors", kind, raw(lambda _: joined({f"t{i}": entry((0,), 0, 0) for i in range(100_000)})),
         "damaged header|more than 8388608")  # fmt: skip
    case(
        "20,000 tensors and too many layers",
        kind,
        both(
            raw(lambda _: joined({f"t{i}": entry((0,), 0, 0) for i in range(20_000)})),
            edited(
                "config.json",
                lambda v: (
                    v["model"]["decoder"].update(layers=3_500)
                    if "model" in v
                    else v["text_config"].update(num_hidden_layers=3_500)
                ),
            ),
        ),
        r"asks for 350\d layers, but 20000 tensors are too few",
    )
    case(
        "a name of 1 MB",
        kind,
        header(lambda v: v.update({"head.attention" * 70_000 + "\n": entry((0,), 0, 0)})),
        DAMAGED,
    )
    case("a name of control characters", kind, header(lambda v: v.update({"\x1b[2J\r\nx\ud800": entry((0,), 0, 0)})),
         r"unexpected \(\\x1b\[2J")  # fmt: skip
    case("a tensor too many", kind, header(lambda v: v.update(x=entry((0,), 0, 0))), r"1 unexpected \(x\)")
    case("other tensors", kind, raw(joined({"a": entry()}, bytes(4))), "are too few|missing")
    case(
        "a byte too many",
        kind,
        raw(lambda folder: (folder / "model.safetensors").read_bytes() + b"x"),
        "truncated",
    )
    case("a sparse file", kind, sparse("model.safetensors", 2**40), "damaged header")
    case("weights of another model", kind, replaced("model.safetensors", joined({}, b"")), "too few|missing")
