"""Tensors on disk: strict, by mmap, in one file or in shards, and never more of them in memory than are asked for."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ojito.checkpoint import tensors
from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.keys import Key, KeyMap, Section
from ojito.checkpoint.tensors import (
    INDEX,
    MAX_NAME,
    MAX_SHARDS,
    MAX_TENSORS,
    WEIGHTS,
    Entry,
    read_header,
    read_weights,
    write_weights,
)

ROOT = Path(__file__).parents[2]
NAMED = KeyMap((Section("", ("theirs.",), {"a": Key("x", transposed=True), "b": "y"}),), ignored=(r"old\..*",))


def state(seed=0, **changes):
    torch.manual_seed(seed)
    made = {"a": torch.randn(3, 4), "b.weight": torch.randn(5), "b.count": torch.tensor(7)}
    return {**made, **changes}


@pytest.fixture
def folder(tmp_path):
    write_weights(tmp_path, state())
    return tmp_path


@pytest.fixture
def shards(tmp_path):
    write_weights(tmp_path, state(), max_shard=25)
    return tmp_path


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def on_meta(tensors):
    return {name: tensor.to("meta") for name, tensor in tensors.items()}


def reindex(folder, change):
    values = json.loads((folder / INDEX).read_text())
    change(values["weight_map"])
    (folder / INDEX).write_text(json.dumps(values))


# ------------------------------------------------------------------------------------------------- writing, and reading


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_weights_roundtrip_bit_by_bit(tmp_path, dtype):
    tensors = state(a=torch.randn(3, 4).to(dtype), empty=torch.zeros(0, 3), scalar=torch.tensor(0.5))
    write_weights(tmp_path, tensors)
    assert equal(read_weights(tmp_path, on_meta(tensors)), tensors)
    assert [path.name for path in tmp_path.iterdir()] == [WEIGHTS]


def test_tensors_that_are_no_block_of_memory_are_written(tmp_path):
    tensors = {"a": torch.randn(4, 3).T, "b": torch.randn(6)[::2], "c": torch.nn.Parameter(torch.randn(2))}
    write_weights(tmp_path, tensors)
    assert equal(read_weights(tmp_path, tensors), {name: tensor.detach() for name, tensor in tensors.items()})


def test_header_tells_dtype_shape_and_file(folder, shards):
    assert read_header(folder)["a"] == Entry("F32", (3, 4), WEIGHTS)
    assert read_header(folder)["b.count"] == Entry("I64", (), WEIGHTS)


@pytest.mark.parametrize("max_shard", [None, 25])
def test_folder_whose_name_is_not_utf8_is_read(latin1, max_shard):
    folder = latin1
    write_weights(folder, state(), max_shard=max_shard)
    assert equal(read_weights(folder, on_meta(state())), state())
    copied = KeyMap(copies={"b.copy": "b.weight"}, constants={"b.one": lambda: torch.ones(2)})
    write_weights(folder, state(**{"b.copy": state()["b.weight"], "b.one": torch.ones(2)}))
    assert equal(read_weights(folder, on_meta(state()), keys=copied), state())


@pytest.mark.parametrize(("max_shard", "files"), [(None, 1), (76, 1), (75, 2), (28, 2), (27, 3), (1, 3)])
def test_weights_are_split_where_a_shard_would_be_too_large(tmp_path, max_shard, files):
    write_weights(tmp_path, state(), max_shard)
    written = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert len(written) == files
    assert (tmp_path / INDEX).exists() == (files > 1)
    if files > 1:
        assert written == [f"model-{i:05}-of-{files:05}.safetensors" for i in range(1, files + 1)]
    assert equal(read_weights(tmp_path, state()), state())


def test_index_tells_the_whole_size_and_the_file_of_each_tensor(shards):
    index = json.loads((shards / INDEX).read_text())
    assert index["metadata"] == {"total_size": 48 + 20 + 8}
    assert index["weight_map"] == {name: entry.file for name, entry in read_header(shards).items()}
    assert len(set(index["weight_map"].values())) == 3


def test_whole_file_is_read_where_there_is_an_index_too(shards):
    write_weights(shards, state(1))
    assert equal(read_weights(shards, state()), state(1))


def test_full_disk_is_an_os_error(tmp_path):
    (tmp_path / WEIGHTS).mkdir()
    with pytest.raises(OSError, match="directory"):
        write_weights(tmp_path, state())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_come_in_the_dtype_asked_for_and_counts_stay_whole(folder, dtype):
    weights = read_weights(folder, state(), dtype)
    assert weights["a"].dtype == weights["b.weight"].dtype == dtype
    assert weights["b.count"].dtype == torch.int64
    assert torch.equal(weights["a"], state()["a"].to(dtype))


def test_weights_go_to_the_device_asked_for(folder):
    assert read_weights(folder, state(), device="meta")["a"].is_meta


def test_part_of_a_model_is_read_where_the_rest_is_ignored(folder):
    part = {"a": state()["a"]}
    assert equal(read_weights(folder, part, keys=KeyMap(ignored=(r"b\..*",))), part)


def test_weights_are_read_under_their_names_and_in_their_form(tmp_path):
    ours = {"a": torch.randn(3, 4), "b.weight": torch.randn(5)}
    theirs = {**NAMED.to_theirs(ours), "old.bias": torch.zeros(1)}
    write_weights(tmp_path, theirs)
    assert read_header(tmp_path)["theirs.x"].shape == (4, 3)
    read = read_weights(tmp_path, on_meta(ours), keys=NAMED)
    assert equal(read, ours)
    assert all(tensor.is_contiguous() for tensor in read.values())


def test_progress_hears_of_the_numbers_that_are_read(folder):
    heard = []
    read_weights(folder, on_meta(state()), progress=lambda done, total: heard.append((done, total)))
    assert heard == [(12, 18), (17, 18), (18, 18)]


# ----------------------------------------------------------------------------------------------------------- strictness


TWICE = KeyMap((Section("", ("theirs.",), {"a": "x"}),), copies={"head": "a.weight", "old.head": "b.weight"})


@pytest.mark.parametrize("name", ["head", "old.head"])
def test_copy_is_read_past_and_need_not_be_of_our_tensors(tmp_path, name):
    ours = {"a.weight": torch.randn(3, 4)}
    write_weights(tmp_path, {"theirs.x.weight": ours["a.weight"], name: ours["a.weight"].clone()})
    assert equal(read_weights(tmp_path, on_meta(ours), keys=TWICE), ours)


@pytest.mark.parametrize("change", [lambda t: t + 1e-3, lambda t: t[:2].clone(), lambda t: t.T.contiguous()])
def test_copy_of_other_numbers_is_refused(tmp_path, change):
    ours = {"a.weight": torch.randn(3, 4)}
    write_weights(tmp_path, {"theirs.x.weight": ours["a.weight"], "head": change(ours["a.weight"])})
    with pytest.raises(CheckpointError, match=r"has a head that is not its theirs\.x\.weight, and config\.json beside"):
        read_weights(tmp_path, on_meta(ours), keys=TWICE)


def test_keys_that_differ_are_all_listed(folder):
    expected = state(a=torch.zeros(4, 3), c=torch.zeros(1))
    del expected["b.weight"]
    expected["b.count"] = torch.tensor(1.0)
    message = (
        r"model\.safetensors: does not fit config\.json beside it: 1 missing \(c\); 1 unexpected \(b\.weight\); "
        r"2 differing \(a is \[3, 4\], not \[4, 3\], b\.count is of dtype I64\); use the files of one model"
    )
    with pytest.raises(CheckpointError, match=message):
        read_weights(folder, expected)


def test_keys_that_differ_are_called_as_in_the_file(tmp_path):
    write_weights(tmp_path, {"theirs.x": torch.zeros(3, 4), "new": torch.zeros(1), "old.bias": torch.zeros(1)})
    expected = {"a": torch.zeros(3, 4), "b.weight": torch.zeros(5)}
    message = (
        r"1 missing \(theirs\.y\.weight\); 1 unexpected \(new\); 1 differing \(theirs\.x is \[3, 4\], not \[4, 3\]\)"
    )
    with pytest.raises(CheckpointError, match=message):
        read_weights(tmp_path, expected, keys=NAMED)


def test_long_lists_of_keys_are_counted(folder):
    with pytest.raises(CheckpointError, match=r"9 missing \(k0, k1, k2, k3, k4, and 4 more\)"):
        read_weights(folder, {**state(), **{f"k{i}": torch.zeros(1) for i in range(9)}})


def test_whole_numbers_in_place_of_fractions_are_refused(tmp_path):
    write_weights(tmp_path, {"a": torch.zeros(3, dtype=torch.int32)})
    with pytest.raises(CheckpointError, match=r"1 differing \(a is of dtype I32\)"):
        read_weights(tmp_path, {"a": torch.zeros(3)})


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.uint8, torch.bool, torch.int8])
@pytest.mark.parametrize("expected", [torch.zeros(3), torch.zeros(3, dtype=torch.int64)])
def test_dtype_that_no_model_has_is_refused(tmp_path, dtype, expected):
    write_weights(tmp_path, {"a": torch.zeros(3).to(dtype)})
    with pytest.raises(CheckpointError, match=r"1 differing \(a is of dtype "):
        read_weights(tmp_path, {"a": expected})


def test_nothing_is_read_before_names_and_shapes_fit(folder, monkeypatch):
    monkeypatch.setattr(tensors, "safe_open", lambda *_, **__: pytest.fail("read"))
    with pytest.raises(CheckpointError):
        read_weights(folder, {})


# -------------------------------------------------------------------------------------------------------------- damage


def test_file_truncated_anywhere_is_an_error(folder):
    whole = (folder / WEIGHTS).read_bytes()
    for length in range(len(whole)):
        (folder / WEIGHTS).write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="truncated"):
            read_weights(folder, state())


def test_byte_changed_anywhere_in_the_header_is_an_error_or_changes_no_shape(folder):
    whole = (folder / WEIGHTS).read_bytes()
    for place in range(8 + int.from_bytes(whole[:8], "little")):
        changed = bytearray(whole)
        changed[place] ^= 0x21
        (folder / WEIGHTS).write_bytes(changed)
        try:
            weights = read_weights(folder, state())
        except CheckpointError:
            continue
        assert {key: tensor.shape for key, tensor in weights.items()} == {k: t.shape for k, t in state().items()}


def header(folder, values, data=b""):
    text = values if isinstance(values, bytes) else json.dumps(values).encode()
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(text)) + text + data)


def entry(shape=(1,), start=0, end=4, dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (b"", "damaged header"),
        (b"[" * 100_000, "damaged header"),
        (b"\xff\xfe", "damaged header"),
        (b"[]", "damaged header"),
        (b'"a"', "damaged header"),
        ({"a": None}, "damaged header"),
        ({"a": {"dtype": "F32", "shape": [1]}}, "damaged header"),
        ({"a": entry(shape=[-1])}, "damaged header"),
        ({"a": entry(shape=[1.5])}, "damaged header"),
        ({"a": entry(shape=[True])}, "damaged header"),
        ({"a": entry(shape=[2])}, "damaged header"),
        ({"a": entry(shape=[2**62])}, "damaged header"),
        ({"a": entry(shape=[2**32] * 3)}, "damaged header"),
        ({"a": entry(shape=[1] * 9)}, "damaged header"),
        ({"a": entry(dtype="F16")}, "damaged header"),
        ({"a": {**entry(), "dtype": 3}}, "damaged header"),
        ({"a": {**entry(), "data_offsets": []}}, "damaged header"),
        ({"a": {**entry(), "data_offsets": [0, 4, 8]}}, "damaged header"),
        ({"a": entry(end=10**30)}, "damaged header"),
        ({"a": entry(start=4, end=8)}, "damaged header"),
        ({"a": entry(start=4, end=0)}, "damaged header"),
        ({"a": entry(), "b": entry()}, "damaged header"),
        ({"a": entry(), "b": entry(start=5, end=9)}, "damaged header"),
        ({"a" * (MAX_NAME + 1): entry()}, "damaged header"),
        (b'{"a": {"dtype":"F32","shape":[1],"data_offsets":[0,4]}, "a": {}}', "damaged header"),
        ({}, "truncated or damaged: it has 14 bytes, not 10"),
        ({"a": entry((2,), 0, 8)}, "truncated or damaged"),
        ({f"t{i}": entry() for i in range(MAX_TENSORS + 1)}, "20001 tensors, more than 20000"),
    ],
)
def test_hostile_header_is_an_error(folder, values, message):
    header(folder, values, b"\0" * 4)
    with pytest.raises(CheckpointError, match=message):
        read_header(folder)


def test_tensors_may_stand_in_any_order_and_be_empty(folder):
    values = {"b": entry((1,), 4, 8), "none": entry((0, 3), 4, 4), "a": entry((1,), 0, 4), "__metadata__": {"a": "b"}}
    header(folder, values, struct.pack("<2f", 1, 2))
    read = read_weights(folder, {"a": torch.zeros(1), "b": torch.zeros(1), "none": torch.zeros(0, 3)})
    assert (read["a"].item(), read["b"].item(), read["none"].shape) == (1, 2, (0, 3))


def test_metadata_that_only_the_library_finds_wrong_is_an_error(folder):
    header(folder, {"__metadata__": {"a": [1]}, "a": entry()}, bytes(4))
    with pytest.raises(CheckpointError, match=r"model\.safetensors: is damaged; copy it again"):
        read_weights(folder, {"a": torch.zeros(1)})


def test_header_that_claims_to_be_huge_is_refused_without_reading_it(folder):
    path = folder / WEIGHTS
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 9 * 2**20))
        file.truncate(20 * 2**20)
    with pytest.raises(CheckpointError, match="header of 9437184 bytes, more than 8388608"):
        read_header(folder)
    path.write_bytes(struct.pack("<Q", 2**63) + b"{}")
    with pytest.raises(CheckpointError, match="truncated"):
        read_header(folder)


def test_pickles_are_named_as_what_they_are_and_never_opened(folder):
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"as pickles, which are programs; save them as model\.safetensors"):
        read_header(folder)


# -------------------------------------------------------------------------------------------------------------- shards


@pytest.mark.parametrize("name", [
    "../x.safetensors", "/x.safetensors", "a/x.safetensors", "..\\x.safetensors", "C:x.safetensors", "x.bin", "",
    ".x.safetensors", "x\n.safetensors", 3, None, ["x"],
])  # fmt: skip
def test_shard_that_is_no_plain_name_is_refused(shards, name):
    reindex(shards, lambda names: names.update(a=name))
    with pytest.raises(CheckpointError, match=r"index\.json: names .*, which is no plain name of a \*\.safetensors"):
        read_header(shards)


@pytest.mark.parametrize("weight_map", [None, [], "x", 3, {}])
def test_index_without_a_map_is_an_error(shards, weight_map):
    (shards / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(CheckpointError, match=r"has no weight_map of names to files; copy it again"):
        read_header(shards)


def test_missing_shard_is_named(shards):
    (shards / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"has no model-00002-of-00003\.safetensors"):
        read_header(shards)


@pytest.mark.parametrize(
    "change",
    [
        lambda names: names.update({"lm_head.weight": names["a"]}),
        lambda names: names.update(a=names["c"]),
        lambda names: names.update(a=names["c"], c=names["a"]),
        lambda names: names.pop("a"),
    ],
)
def test_shards_are_believed_where_the_index_says_otherwise(tmp_path, change):
    write_weights(tmp_path, {name: torch.full((2,), float(i)) for i, name in enumerate("abcd")}, max_shard=16)
    before = read_header(tmp_path)
    assert [entry.file[6:11] for entry in before.values()] == ["00001", "00001", "00002", "00002"]
    reindex(tmp_path, change)
    assert read_header(tmp_path) == before


def test_tensor_that_is_in_two_shards_is_an_error(shards):
    first, second, *_ = sorted(shards.glob("model-*.safetensors"))
    second.write_bytes(first.read_bytes())
    with pytest.raises(CheckpointError, match=rf"{second.name}: holds what {first.name} holds, too \(\w.*\); copy all"):
        read_header(shards)


def test_too_many_shards_or_tensors_are_refused_before_any_is_opened(shards):
    names = {f"t{i}": f"s{i}.safetensors" for i in range(MAX_SHARDS + 1)}
    (shards / INDEX).write_text(json.dumps({"weight_map": names}))
    with pytest.raises(CheckpointError, match="names 1001 files, more than 1000"):
        read_header(shards)
    names = {f"t{i}": "s.safetensors" for i in range(MAX_TENSORS + 1)}
    (shards / INDEX).write_text(json.dumps({"weight_map": names}))
    with pytest.raises(CheckpointError, match="names 20001 tensors, more than 20000"):
        read_header(shards)


def test_tensors_of_all_shards_together_are_counted(shards, monkeypatch):
    count = len(read_header(shards))
    monkeypatch.setattr(tensors, "MAX_TENSORS", count)
    assert len(read_header(shards)) == count
    reindex(shards, lambda names: [names.pop(name) for name in list(names) if name != "a" and name != "b.weight"])
    monkeypatch.setattr(tensors, "MAX_TENSORS", len(read_header(shards)) - 1)
    with pytest.raises(CheckpointError, match="tensors, more than"):
        read_header(shards)


def test_weights_that_do_not_fit_are_named_by_their_index(shards):
    with pytest.raises(CheckpointError, match=rf"{INDEX}: does not fit config\.json beside it: 1 missing \(c\)"):
        read_weights(shards, state(c=torch.zeros(1)))


@pytest.mark.parametrize("name", [WEIGHTS, "model-00001-of-00003.safetensors"])
def test_link_out_of_the_folder_is_refused(tmp_path, name):
    model = tmp_path / "model"
    model.mkdir()
    write_weights(model, state(), None if name == WEIGHTS else 25)
    (model / name).rename(tmp_path / name)
    try:
        (model / name).symlink_to(tmp_path / name)
    except OSError:
        pytest.skip("links cannot be made here")
    with pytest.raises(CheckpointError, match="link to a place outside"):
        read_header(model)


# -------------------------------------------------------------------------------------------------------------- memory


def mapped(path):
    """The ranges of addresses at which this process has the file mapped."""
    ranges = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(str(path)):
            ranges.append(range(*(int(address, 16) for address in line.split()[0].split("-"))))
    return ranges


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")


@linux
def test_tensor_in_the_files_dtype_is_a_view_of_the_file(folder):
    read = read_weights(folder, on_meta(state()), torch.float32)
    places = mapped((folder / WEIGHTS).resolve())
    assert places
    for tensor in read.values():
        assert any(tensor.data_ptr() in place for place in places)


@linux
def test_tensor_in_another_dtype_is_no_view_of_the_file(folder):
    read = read_weights(folder, on_meta(state()), torch.bfloat16)
    places = mapped((folder / WEIGHTS).resolve())
    assert not any(read["a"].data_ptr() in place for place in places)


@linux
def test_part_of_a_fused_tensor_is_a_view_of_the_file(tmp_path):
    fused = KeyMap((Section("", ("",), {name: Key("qkv", part=i, parts=3) for i, name in enumerate("qkv")}),))
    write_weights(tmp_path, {"qkv.weight": torch.randn(6, 4)})
    read = read_weights(tmp_path, {f"{name}.weight": torch.zeros(2, 4) for name in "qkv"}, keys=fused)
    places = mapped((tmp_path / WEIGHTS).resolve())
    assert all(any(tensor.data_ptr() in place for place in places) for tensor in read.values())


def test_weights_that_change_in_memory_do_not_change_the_file(folder):
    before = (folder / WEIGHTS).read_bytes()
    read_weights(folder, state())["a"].zero_()
    assert (folder / WEIGHTS).read_bytes() == before


MEASURE = """
import re, sys
from pathlib import Path
import torch
from ojito.checkpoint import tensors

def memory(which):
    return int(re.search(rf"{which}:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024

folder = Path(sys.argv[1])
expected = {f"t{i}": torch.zeros(2**20, device="meta") for i in range(32)}
for dtype, release in (("bfloat16", 8), ("float32", 8), ("float32", 10**6)):
    tensors._RELEASE = release * 2**20
    tensors.read_weights(folder / "warm", {"t": torch.zeros(1)}, getattr(torch, dtype))
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = memory("VmRSS")
    read = tensors.read_weights(folder, expected, getattr(torch, dtype))
    print(memory("VmHWM") - before)
    del read
"""


@linux
def test_memory_holds_the_target_and_little_of_the_file(tmp_path):
    """Of a file of 64 MiB in bfloat16: MiB as a view; in float32, 128 MiB; and so without letting go of the file."""
    (tmp_path / "warm").mkdir()
    write_weights(tmp_path, {f"t{i}": torch.full((2**20,), i, dtype=torch.bfloat16) for i in range(32)})
    write_weights(tmp_path / "warm", {"t": torch.zeros(1, dtype=torch.bfloat16)})
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    view, converted, kept = map(int, done.stdout.split())
    assert view < 8
    assert 120 < converted < 128 + 8 + 16
    assert kept > converted + 32
