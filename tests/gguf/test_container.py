"""Headers of GGUF files: good ones read as the package reads them, hostile ones refused at once and in one line."""

import contextlib
import resource
import struct
import time

import gguf
import numpy as np
import pytest

from ojito.gguf.container import GgufFile, is_gguf_file
from ojito.gguf.header import GgufError
from tests import gguf_files

SECONDS = 2  # a case that takes longer hangs; a usual one takes a thousandth
MEMORY = 64 * 2**20  # bytes that a case may take


def u32(number):
    return struct.pack("<I", number)


def u64(number):
    return struct.pack("<Q", number)


def text(content):
    raw = content if isinstance(content, bytes) else content.encode()
    return u64(len(raw)) + raw


def entry(key, kind, value):
    return text(key) + u32(kind) + value


ARCHITECTURE = entry("general.architecture", 8, text("llama"))


def tensor(name="a", sizes=(32,), kind=0, offset=0):
    return text(name) + u32(len(sizes)) + b"".join(map(u64, sizes)) + u32(kind) + u64(offset)


TENSOR = tensor()


def made(entries=(ARCHITECTURE,), tensors=(TENSOR,), data=bytes(128), version=3, counts=None, magic=b"GGUF"):
    """A file of these parts."""
    number, keys = counts or (len(tensors), len(entries))
    header = magic + u32(version) + u64(number) + u64(keys) + b"".join((*entries, *tensors))
    return header + bytes(-len(header) % 32) + data


def opened(tmp_path, content):
    (tmp_path / "model.gguf").write_bytes(content)
    return GgufFile(tmp_path / "model.gguf")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A file of the package's own, with every kind of value."""
    path = tmp_path_factory.mktemp("good") / "good.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    for kind in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"):
        getattr(writer, f"add_{kind}")(f"a.{kind}", 7)
    writer.add_float32("a.float32", 0.5)
    writer.add_float64("a.float64", 0.1)
    writer.add_bool("a.bool", True)
    writer.add_string("a.text", "é")
    writer.add_array("a.texts", ["one", "", "drei ▁"])
    writer.add_array("a.numbers", [1, -2, 3])
    writer.add_array("a.floats", [0.5, 1.5])
    writer.add_array("a.flags", [True, False])
    rng = np.random.default_rng(0)
    for name, shape in (("one", (5,)), ("two", (3, 7)), ("four", (2, 3, 2, 4))):
        writer.add_tensor(name, rng.standard_normal(shape, np.float32))
    gguf_files.finish(writer)
    return path


def test_every_value_is_the_packages(good):
    file, reference = GgufFile(good), gguf.GGUFReader(good)
    theirs = {name: field.contents() for name, field in reference.fields.items() if not name.startswith("GGUF.")}
    ours = {key: file.array(key) if key in ("a.texts", "a.numbers", "a.floats", "a.flags") else value
            for key, value in file.metadata.items()}  # fmt: skip
    assert ours == theirs
    assert file.architecture == "llama"


def test_every_tensor_is_the_packages(good):
    file, reference = GgufFile(good), gguf.GGUFReader(good)
    assert [*file.tensors] == [one.name for one in reference.tensors]
    for one in reference.tensors:
        assert file.tensors[one.name].shape == one.data.shape
        assert file.data(one.name).tobytes() == one.data.tobytes()


def test_an_array_that_is_not_there_is_empty(good):
    assert GgufFile(good).array("b") == []


def test_one_value_is_no_list(good):
    with pytest.raises(GgufError, match=r"a\.bool as one value, and a list is needed"):
        GgufFile(good).array("a.bool")


def test_alignment_places_the_tensors(tmp_path):
    entries = (ARCHITECTURE, entry("general.alignment", 4, u32(256)))
    plain = made(entries, data=b"")
    content = plain + bytes(-len(plain) % 256) + b"\x07" * 128
    assert opened(tmp_path, content).data("a").tolist() == [7] * 128


def test_version_2_is_read(tmp_path):
    assert opened(tmp_path, made(version=2)).architecture == "llama"


def test_a_gguf_file_is_told_by_its_name(tmp_path):
    for name in ("a.gguf", "B.GGUF", "c.bin"):
        (tmp_path / name).touch()
    assert [is_gguf_file(tmp_path / name) for name in ("a.gguf", "B.GGUF", "c.bin", "d.gguf")] == [
        True,
        True,
        False,
        False,
    ]
    assert not is_gguf_file(tmp_path)


MANY = 2**63
LISTED = {kind: entry("a", 9, u32(kind) + u64(MANY)) for kind in (0, 4, 8, 12)}
HOSTILE = {
    "empty": (b"", "it is empty"),
    "another magic": (made(magic=b"GGML"), "is not a GGUF file"),
    "the magic turned round": (made(magic=b"FUGG"), "big-endian"),
    "big-endian": (b"GGUF" + struct.pack(">I", 3) + bytes(64), "big-endian"),
    "version 1": (made(version=1), "GGUF version 1"),
    "version 4": (made(version=4), "GGUF version 4"),
    "version 0": (made(version=0), "GGUF version 0"),
    "more tensors than there are": (made(counts=(2, 1)), "twice|truncated|bytes|axes"),
    "giant count of tensors": (made(counts=(MANY, 1)), "tensors, more than"),
    "giant count of keys": (made(counts=(1, MANY)), "keys, more than"),
    "more keys than there are": (made(counts=(1, 4096)), "twice|truncated|bytes|type"),
    "giant key": (made([u64(MANY)]), "a key of"),
    "giant text": (made([text("a") + u32(8) + u64(MANY)]), "a of .* bytes, more than"),
    "text beyond the end": (made([text("a") + u32(8) + u64(2**19)]), "truncated"),
    "key that is not UTF-8": (made([entry(b"\xff", 7, b"\1")]), "not UTF-8"),
    "key twice": (made([ARCHITECTURE, ARCHITECTURE]), "twice"),
    "unknown type of value": (made([entry("a", 13, bytes(8))]), "of type 13"),
    "neither true nor false": (made([entry("a", 7, b"\2")]), "neither true nor false"),
    "lists within lists": (made([entry("a", 9, u32(9) + u64(1) + u32(9) + u64(1))]), "lists within"),
    "list of an unknown type": (made([entry("a", 9, u32(77) + u64(1))]), "of type 77"),
    **{f"giant list of type {kind}": (made([one]), "more than") for kind, one in LISTED.items()},
    "list beyond the end": (made([entry("a", 9, u32(12) + u64(10**6))]), "truncated"),
    "texts beyond the end": (made([entry("a", 9, u32(8) + u64(10**6))]), "truncated|bytes"),
    "many long lists": (made([entry(f"a{i}", 9, u32(0) + u64(0)) for i in range(10)] + [LISTED[0]]), "more than"),
    "alignment 0": (made([entry("general.alignment", 4, u32(0))]), "alignment of 0"),
    "alignment 1": (made([entry("general.alignment", 4, u32(1))]), "alignment of 1, which is no power of two from 8"),
    "alignment 12": (made([entry("general.alignment", 4, u32(12))]), "alignment of 12"),
    "giant alignment": (made([entry("general.alignment", 4, u32(2**31))]), "alignment of 2147483648"),
    "alignment in words": (made([entry("general.alignment", 8, text("32"))]), "alignment of '32'"),
    "no architecture": (made([]), "general.architecture"),
    "architecture that is a number": (made([entry("general.architecture", 4, u32(1))]), "general.architecture"),
    "tensor twice": (made(tensors=[tensor(), tensor(offset=128)]), "twice"),
    "tensor without a shape": (made(tensors=[tensor(sizes=())]), "0 axes"),
    "tensor with five axes": (made(tensors=[tensor(sizes=(1,) * 5)]), "5 axes"),
    "tensor with four billion axes": (made(tensors=[text("a") + u32(2**32 - 1)]), "axes"),
    "size 0": (made(tensors=[tensor(sizes=(32, 0))]), "absurd sizes"),
    "giant size": (made(tensors=[tensor(sizes=(MANY,))]), "absurd sizes"),
    "product beyond 64 bits": (made(tensors=[tensor(sizes=(2**32, 2**32))]), "absurd sizes"),
    "product that is 0 in 64 bits": (made(tensors=[tensor(sizes=(2**31, 2**33, 1, 1))]), "absurd sizes"),
    "unknown type": (made(tensors=[tensor(kind=5)]), "type 5, which Ojito does not know"),
    "type beyond all": (made(tensors=[tensor(kind=2**32 - 1)]), "does not know"),
    "half a block": (made(tensors=[tensor(sizes=(33,), kind=8)]), "do not divide 33"),
    "tensor beyond the file": (made(tensors=[tensor(sizes=(32, 1000))]), "truncated"),
    "tensor at a giant offset": (made(tensors=[tensor(offset=MANY)]), "at byte"),
    "tensors that overlap": (made(tensors=[tensor(), tensor("b", offset=32)], data=bytes(256)), "at byte 32"),
    "tensors with a gap": (made(tensors=[tensor(), tensor("b", offset=256)], data=bytes(512)), "at byte 256"),
    "tensors the other way round": (made(tensors=[tensor(offset=128), tensor("b")], data=bytes(256)), "at byte 128"),
    "offset that is not aligned": (made(tensors=[tensor(sizes=(3,)), tensor("b", offset=12)]), "at byte 12"),
    "giant name": (made(tensors=[tensor(name="a" * 300)]), "a tensor's name of 300 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_is_refused_in_one_line_at_once(tmp_path, name):
    content, said = HOSTILE[name]
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(GgufError, match=said) as caught:
        _ = opened(tmp_path, content).architecture
    assert time.perf_counter() - begin < SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MEMORY
    message = str(caught.value)
    assert message.isprintable()
    assert "model.gguf" in message
    assert "; " in message


def test_a_file_cut_off_at_any_byte_is_refused(good, tmp_path):
    whole = good.read_bytes()
    end = max(place.start + place.size for place in GgufFile(good).tensors.values())
    for length in range(0, end, 7):
        with pytest.raises(GgufError):
            opened(tmp_path, whole[:length])


def test_a_file_with_one_other_byte_is_read_or_refused(good, tmp_path):
    whole = bytearray(good.read_bytes())
    begin = min(place.start for place in GgufFile(good).tensors.values())
    for at in range(0, begin, 3):
        changed = bytearray(whole)
        changed[at] ^= 0xFF
        with contextlib.suppress(GgufError):
            file = opened(tmp_path, changed)
            [file.array(key) for key, value in file.metadata.items() if isinstance(value, tuple)]


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(GgufError, match="No such file"):
        GgufFile(tmp_path / "none.gguf")
    with pytest.raises(GgufError, match="not a plain file"):
        GgufFile(tmp_path)


def test_text_in_a_list_that_is_not_utf8_is_refused_when_it_is_read(tmp_path):
    file = opened(tmp_path, made([ARCHITECTURE, entry("a", 9, u32(8) + u64(1) + text(b"\xff"))]))
    with pytest.raises(GgufError, match="a with bytes that are not UTF-8"):
        file.array("a")
