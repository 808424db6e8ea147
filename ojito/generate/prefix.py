"""The prefix cache: an image that is asked about again is neither encoded nor read again.

What may be kept depends on what an image's tokens attend to, which the mask says (`model/masks.py`):

    mask="causal"   what stands before them: keys and values are the same whatever follows
    mask="image"    their whole image as well: the same, as long as the image is kept whole
    mask="prefix"   the question after them, too: keys and values change with it; only visual tokens are kept

So a row's keys and values are kept through its last image, and the visual tokens of every image.
"""

from __future__ import annotations

import hashlib
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from ojito.errors import OjitoError
from ojito.generate.model import Model
from ojito.model import Columns
from ojito.records import IMAGE, Batch

MAX_BYTES = 256 * 2**20
"""What a prefix cache holds at most unless it is told otherwise: 256 MiB."""


class PrefixCache:
    """Keys and values of the beginnings of rows, and visual tokens of images; the least recently used ones leave.

    Its entries are of one model. `follow` empties it for another model, or when the weights have changed, as far as
    PyTorch counts changes: not those made through `parameter.data`.

    Args:
        max_bytes: The most bytes that it holds, on the model's device. What is larger by itself is not kept.

    Raises:
        OjitoError: Fewer than 0.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        if max_bytes < 0:
            raise OjitoError("max_bytes", f"{max_bytes} is less than nothing", "use 0 (keeps nothing) or more")
        self.max_bytes = max_bytes
        self.nbytes = 0
        self._kept: OrderedDict[bytes, Columns | Tensor] = OrderedDict()
        self._model: Callable[[], object] = lambda: None  # a weak reference
        self._weights: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._kept)

    def columns(self, key: bytes) -> Columns | None:
        """What is kept of a beginning, if anything."""
        found = self._get(key)
        return found if isinstance(found, Columns) else None

    def visual(self, key: bytes) -> Tensor | None:
        """(P, D) what is kept of an image, if anything."""
        found = self._get(key)
        return found if isinstance(found, Tensor) else None

    def put(self, key: bytes, value: Columns | Tensor) -> None:
        """Keep something, in place of what was not used for longest."""
        self._remove(key)
        if value.nbytes > self.max_bytes:
            return
        self._kept[key] = value
        self.nbytes += value.nbytes
        while self.nbytes > self.max_bytes:
            self._remove(next(iter(self._kept)))

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self.nbytes = 0

    def follow(self, model: Model) -> bool:
        """Forget everything if the model or its weights are not those of before; return whether the cache may be used.

        It may not while modules have hooks: these may change what a module does, or want to see all that it reads.
        """
        modules = list(model.modules())
        tensors = chain.from_iterable(chain(m.parameters(False), m.buffers(False)) for m in modules)
        weights = [(one.data_ptr(), 0 if one.is_inference() else one._version) for one in tensors]
        hooked = any(module._forward_hooks or module._forward_pre_hooks for module in modules)
        if hooked or self._model() is not model or weights != self._weights:
            self.clear()
            self._model, self._weights = weakref.ref(model), weights
        return not hooked

    def _get(self, key: bytes) -> Columns | Tensor | None:
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def _remove(self, key: bytes) -> None:
        gone = self._kept.pop(key, None)
        if gone is not None:
            self.nbytes -= gone.nbytes


@dataclass(frozen=True)
class Beginning:
    """The part of a row that other rows may share.

    Attributes:
        length: Tokens through its last image; 0 where no keys and values may be kept.
        key: Of these tokens and their images.
        images: Key of each of its images.
    """

    length: int
    key: bytes
    images: tuple[bytes, ...]


def find_beginning(batch: Batch, mask: str) -> Beginning:
    """Return the part of a row that other rows may share.

    Args:
        batch: One row, without padding.
        mask: Of the decoder.
    """
    images = tuple(_digest([b"image", image]) for image in batch.images) if batch.images is not None else ()
    places = (batch.tokens[0] == IMAGE).nonzero()
    length = int(places[-1]) + 1 if images and mask != "prefix" else 0
    if length == batch.tokens.shape[1]:
        length = 0  # the last token is read in any case: its hidden state says how the row goes on
    columns = [getattr(batch, name)[0, :length] for name in ("tokens", "positions", "segments")]
    return Beginning(length, _digest([b"beginning", *columns, *images]), images)


def _digest(parts: Iterable[bytes | Tensor]) -> bytes:
    made = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, Tensor):
            made.update(f"{part.dtype}{tuple(part.shape)}".encode())
            made.update(part.detach().cpu().contiguous().view(torch.uint8).numpy().data)
        else:
            made.update(part)
    return made.digest()
