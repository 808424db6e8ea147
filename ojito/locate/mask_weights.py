"""`vae-oid.npz`, the weights of PaliGemma's masks, which big_vision publishes beside the model.

It is a zip archive of arrays with the names and layouts of a PyTorch model, so that nothing has to be transposed here.
big_vision does that for JAX: to HWIO, and its transposed convolutions (`transpose_kernel`, padding 2 on what is spread
out) are those of PyTorch with padding 1, since 4 - 1 - 2 = 1.

Source: big_vision, `evaluators/proj/paligemma/transfers/segmentation.py`.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ojito.checkpoint.files import CheckpointError

_LAYERS = {
    "narrow": "decoder.0",
    **{
        f"blocks.{i}.{ours}": f"decoder.{2 + i}.net.{theirs}"
        for i in range(2)
        for ours, theirs in (("first", 0), ("second", 2), ("third", 4))
    },
    **{f"doublings.{i}": f"decoder.{4 + 2 * i}" for i in range(4)},
    "draw": "decoder.12",
}
KEYS = {"codebook.weight": "_vq_vae._embedding"} | {
    f"{ours}.{kind}": f"{theirs}.{kind}" for ours, theirs in _LAYERS.items() for kind in ("weight", "bias")
}
"""Names in `MaskDecoder` to names in the file; the one table for reading and writing."""

MAX_FILE = 16 * 2**20  # bytes; the real file has half of it
MAX_HEADER = 1024  # bytes of an array beside its numbers; NumPy writes 128
_DTYPE = np.dtype("<f4")
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile unpacks the others without a limit
_ENDING = ".npy"
_DECODER = "decoder."
_REMEDY = "use vae-oid.npz as big_vision publishes it"


def read_mask_weights(path: Path | str, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read the tensors of the decoder from `vae-oid.npz`. Its other half, the encoder, is never read.

    Nothing is unpacked before the archive's list has every array, of the size that it should have, and no array is
    made before its shape and dtype are found right.

    Args:
        path: The file.
        expected: The state dict of a `MaskDecoder`; tensors on `meta` will do.

    Raises:
        CheckpointError: It is missing, not such an archive, damaged, or an array is missing, unexpected or differs.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise CheckpointError(path, "is not a file", _REMEDY)
        if size > MAX_FILE:
            raise CheckpointError(path, f"has {size} bytes, more than {MAX_FILE}", _REMEDY)
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(path, f"cannot be read ({error.strerror})", _REMEDY) from None
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            found = _list(path, archive, expected)
            return {key: _read(path, archive, found[KEYS[key]], tensor) for key, tensor in expected.items()}
    except CheckpointError:
        raise
    except Exception as error:  # on a broken archive zipfile and NumPy raise almost anything
        raise CheckpointError(path, "is damaged or no .npz file", f"copy it again, or {_REMEDY}") from error


def _list(path: Path, archive: zipfile.ZipFile, expected: Mapping[str, Tensor]) -> dict[str, zipfile.ZipInfo]:
    """Return the archive's members by the names of their arrays, after a check of names and sizes."""
    members = archive.infolist()
    found = {member.filename.removesuffix(_ENDING): member for member in members}
    if len(found) != len(members):
        raise CheckpointError(path, "holds an array twice", _REMEDY)
    missing = [KEYS[key] for key in expected if KEYS[key] not in found]
    if missing:
        raise CheckpointError(path, f"lacks {len(missing)} of {len(expected)} arrays, first {missing[0]}", _REMEDY)
    known = set(KEYS.values())
    unexpected = [name for name in found if name.startswith(_DECODER) and name not in known]
    if unexpected:
        raise CheckpointError(path, f"holds an unexpected array, {unexpected[0][:200]}", _REMEDY)
    for key, tensor in expected.items():
        if found[KEYS[key]].compress_type not in _PACKINGS:
            raise CheckpointError(path, f"{KEYS[key]} is packed in a way that NumPy never does", _REMEDY)
        size, numbers = found[KEYS[key]].file_size, tensor.numel() * _DTYPE.itemsize
        if not numbers < size <= numbers + MAX_HEADER:
            raise CheckpointError(path, f"{KEYS[key]} has {size} bytes, not about {numbers}", _REMEDY)
    return found


def _read(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, expected: Tensor) -> Tensor:
    """Read one array, after a check of its header."""
    with archive.open(member) as file:
        # With a limit: without one, zipfile unpacks whatever is there before it cuts it to the size in its list.
        data = file.read(member.file_size)
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise CheckpointError(path, f"{member.filename} is of NumPy's format {version}, not (1, 0)", _REMEDY)
    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    if shape != tuple(expected.shape) or dtype != _DTYPE:
        theirs, ours = f"{dtype} {list(shape)}", f"{_DTYPE} {list(expected.shape)}"
        raise CheckpointError(path, f"{member.filename} is {theirs}, not {ours}", _REMEDY)
    if len(data) - stream.tell() != math.prod(shape) * _DTYPE.itemsize:
        raise CheckpointError(path, f"{member.filename} is cut off", "copy it again")
    stream.seek(0)
    return torch.from_numpy(np.load(stream, allow_pickle=False)).contiguous()
