import io
import random
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
import torch

from ojito.checkpoint.files import CheckpointError
from ojito.locate.mask_decoder import MaskDecoder
from ojito.locate.mask_weights import KEYS, read_mask_weights

CODEBOOK, BIAS = "_vq_vae._embedding", "decoder.12.bias"


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(0)
    return MaskDecoder().state_dict()


@pytest.fixture(scope="module")
def arrays(state):
    """What the file holds; with a part of the encoder, as the published one does."""
    made = {KEYS[key]: tensor.numpy() for key, tensor in state.items()}
    return {**made, "encoder.0.weight": np.zeros((16, 1, 4, 4), np.float32)}


@pytest.fixture(scope="module")
def good(arrays):
    """The bytes of the archive."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@pytest.fixture
def path(tmp_path, good):
    (tmp_path / "vae-oid.npz").write_bytes(good)
    return tmp_path / "vae-oid.npz"


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def save(path, members, method=zipfile.ZIP_STORED):
    """An archive of (name, bytes)."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)


def replaced(path, arrays, name, data, method=zipfile.ZIP_STORED):
    """The archive with other bytes in place of one array; None leaves it out."""
    members = [(f"{key}.npy", npy(array)) for key, array in arrays.items() if key != name]
    save(path, members + ([] if data is None else [(f"{name}.npy", data)]), method)


def refusal(path, state):
    with pytest.raises(CheckpointError) as caught:
        read_mask_weights(path, state)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


# -------------------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_weights_roundtrip_bit_by_bit(tmp_path, arrays, state, write):
    write(tmp_path / "vae-oid.npz", **arrays)
    found = read_mask_weights(str(tmp_path / "vae-oid.npz"), state)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], state[key]) for key in state)


def test_weights_read_draw_the_same_masks(path, state):
    codes = torch.arange(16)[None]
    first, second = MaskDecoder(), MaskDecoder()
    first.load_state_dict(state)
    with torch.device("meta"):
        expected = MaskDecoder().state_dict()
    second.load_state_dict(read_mask_weights(path, expected))
    assert torch.equal(first(codes), second(codes))


def test_table_has_each_name_once_and_those_of_big_vision(state):
    assert set(KEYS) == set(state)
    assert len(set(KEYS.values())) == len(KEYS) == 25
    layers = ["0", *(f"{i}.net.{j}" for i in (2, 3) for j in (0, 2, 4)), "4", "6", "8", "10", "12"]
    named = {f"decoder.{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}
    assert set(KEYS.values()) == {CODEBOOK, *named}
    assert KEYS["blocks.1.third.bias"] == "decoder.3.net.4.bias"
    assert KEYS["doublings.2.weight"] == "decoder.8.weight"


def test_array_in_columns_is_read_like_one_in_rows(path, arrays, state):
    replaced(path, arrays, CODEBOOK, npy(np.asfortranarray(arrays[CODEBOOK])))
    assert torch.equal(read_mask_weights(path, state)["codebook.weight"], state["codebook.weight"])


# ------------------------------------------------------------------------------------------------------- wrong contents


def test_missing_file_is_named(tmp_path, state):
    assert "cannot be read (No such file or directory)" in refusal(tmp_path / "gone.npz", state)


def test_folder_is_not_a_file(tmp_path, state):
    assert "is not a file" in refusal(tmp_path, state)


@pytest.mark.parametrize("content", [b"", b"PK", b"not an archive", b"\x93NUMPY\x01\x00"])
def test_file_that_is_no_archive_is_named(path, state, content):
    path.write_bytes(content)
    assert "is damaged or no .npz file" in refusal(path, state)


@pytest.mark.parametrize("name", [CODEBOOK, BIAS])
def test_missing_array_is_named(path, arrays, state, name):
    replaced(path, arrays, name, None)
    assert f"lacks 1 of 25 arrays, first {name}" in refusal(path, state)


def test_archive_of_something_else_lacks_all(path, state):
    np.savez(path, a=np.zeros(3))
    assert "lacks 25 of 25 arrays" in refusal(path, state)


def test_decoder_of_more_layers_is_another_one(path, arrays, state):
    np.savez(path, **arrays, **{"decoder.14.weight": np.zeros(3, np.float32)})
    assert "holds an unexpected array, decoder.14.weight" in refusal(path, state)


def test_array_that_is_there_twice_is_an_error(path, arrays, state):
    with pytest.warns(UserWarning, match="Duplicate name"):
        save(path, [(f"{key}.npy", npy(array)) for key, array in [*arrays.items(), (BIAS, arrays[BIAS])]])
    assert "holds an array twice" in refusal(path, state)


@pytest.mark.parametrize("shape", [(512, 128), (128 * 512,), (1, 128, 512)])
def test_array_of_another_shape_is_named(path, arrays, state, shape):
    replaced(path, arrays, CODEBOOK, npy(arrays[CODEBOOK].reshape(shape)))
    assert f"{CODEBOOK}.npy is float32 {list(shape)}, not float32 [128, 512]" in refusal(path, state)


@pytest.mark.parametrize("dtype", ["<i4", ">f4", "<u4"])
def test_array_of_another_dtype_is_named(path, arrays, state, dtype):
    replaced(path, arrays, CODEBOOK, npy(arrays[CODEBOOK].astype(dtype)))
    assert "[128, 512], not float32 [128, 512]" in refusal(path, state)


def test_array_of_another_size_is_named(path, arrays, state):
    replaced(path, arrays, CODEBOOK, npy(arrays[CODEBOOK].astype(np.float64)))
    assert f"{CODEBOOK} has {128 * 512 * 8 + 128} bytes, not about {128 * 512 * 4}" in refusal(path, state)


# -------------------------------------------------------------------------------------------------------------- hostile


class Malice:
    """Pickled, it leaves a mark when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


@pytest.mark.parametrize("as_header", [True, False])
def test_pickles_are_never_read(path, arrays, state, tmp_path, as_header):
    data = npy(np.array([Malice(tmp_path / "mark")] * 1, dtype=object))
    if not as_header:
        data = data[data.index(b"\n") + 1 :]  # the bare pickle, which np.load would take for one
    replaced(path, arrays, BIAS, data)
    refusal(path, state)
    assert not (tmp_path / "mark").exists()


def test_objects_of_the_right_size_are_never_read(path, arrays, state):
    header = npy(np.zeros(1, np.float32))[:-4].replace(b"<f4'", b"|O' ")
    replaced(path, arrays, BIAS, header + b"\0\0\0\0")
    assert "is object [1], not float32 [1]" in refusal(path, state)


def test_header_that_claims_more_than_there_is_allocates_nothing(path, arrays, state):
    header = npy(np.zeros(1, np.float32))[:-4].replace(b"(1,), } " + b" " * 14, b"(1000000000000000,), }")
    assert b"(1000000000000000,)" in header
    replaced(path, arrays, BIAS, header + b"\0\0\0\0")
    assert "is float32 [1000000000000000], not float32 [1]" in refusal(path, state)


def test_header_of_another_version_is_an_error(path, arrays, state):
    data = bytearray(npy(arrays[BIAS]))
    data[6] = 2
    replaced(path, arrays, BIAS, bytes(data))
    assert "is of NumPy's format (2, 0), not (1, 0)" in refusal(path, state)


def test_deeply_nested_header_is_an_error(path, arrays, state):
    text = b"(" * 900
    replaced(path, arrays, BIAS, b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + b"\0\0\0\0")
    assert "is damaged" in refusal(path, state)


def test_numbers_that_are_cut_off_are_an_error(path, arrays, state):
    replaced(path, arrays, CODEBOOK, npy(arrays[CODEBOOK])[:-100])
    assert "is cut off" in refusal(path, state)


def test_large_file_is_never_read(path, state):
    with path.open("wb") as file:
        file.truncate(2**40)  # nothing of it is on the disk
    assert f"has {2**40} bytes, more than" in refusal(path, state)


def peak_of(path, state):
    tracemalloc.start()
    try:
        refusal(path, state)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_bomb_is_refused_by_its_size_in_the_list(path, arrays, state):
    replaced(path, arrays, BIAS, bytes(2**26), zipfile.ZIP_DEFLATED)
    assert peak_of(path, state) < 2**25
    assert f"{BIAS} has {2**26} bytes, not about 4" in refusal(path, state)


def test_bomb_is_not_unpacked_where_the_list_lies_about_its_size(path, arrays, state):
    honest = len(npy(arrays[BIAS]))
    replaced(path, arrays, BIAS, npy(arrays[BIAS]) + bytes(2**26), zipfile.ZIP_DEFLATED)
    data = path.read_bytes().replace(struct.pack("<I", honest + 2**26), struct.pack("<I", honest))
    crc, lie = (struct.pack("<I", zlib.crc32(npy(arrays[BIAS]) + bytes(n))) for n in (2**26, 0))
    path.write_bytes(data.replace(crc, lie))
    with zipfile.ZipFile(path) as archive:
        assert archive.getinfo(f"{BIAS}.npy").file_size == honest
    tracemalloc.start()
    try:
        assert torch.equal(read_mask_weights(path, state)["draw.bias"], state["draw.bias"])
        assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated_file_is_an_error(path, good, state, share):
    path.write_bytes(good[: int(len(good) * share)])
    assert "is damaged" in refusal(path, state)


def test_flipped_bit_in_the_numbers_is_an_error(path, good, state):
    broken = bytearray(good)
    broken[len(good) // 3] ^= 1
    path.write_bytes(broken)
    assert "is damaged" in refusal(path, state)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packings_that_unpack_without_a_limit_are_refused(path, state, method):
    save(path, [(f"{name}.npy", b"") for name in KEYS.values()], method)
    assert f"{CODEBOOK} is packed in a way that NumPy never does" in refusal(path, state)


def test_encrypted_array_is_an_error(path, state):
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    assert "is damaged" in refusal(path, state)


def test_mutated_files_only_raise_checkpoint_errors(path, good, state):
    """Mutates what is not numbers: the list at the end, and the headers."""
    rng = random.Random(0)
    begin = good.index(b"PK\1\2")
    headers = [at for at in range(2_000_000) if good.startswith((b"PK\3\4", b"\x93NUMPY"), at)]
    read = 0
    for _ in range(60):
        data = bytearray(good)
        for _ in range(rng.choice((1, 2, 8))):
            in_list, in_headers = rng.randrange(begin, len(data)), rng.choice(headers) + rng.randrange(128)
            data[rng.choice((in_list, in_headers))] = rng.randrange(256)
        path.write_bytes(data)
        try:
            read_mask_weights(path, state)
            read += 1
        except CheckpointError as error:
            assert "\n" not in str(error)  # noqa: PT017
    assert 0 < read < 60
