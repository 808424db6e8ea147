"""What a model was trained on: which rows, of what kinds, and which were held out to score it on.

Rows are known again by their images, whatever these are called and wherever they lie: by a digest of the file. A row of
text alone is known by its prompts. A digest takes 6 bytes, so that 50,000 images make a file of 400 kB.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ojito.errors import OjitoError
from ojito.records import Sample, StoredImage

if TYPE_CHECKING:
    from ojito.records import ImageLike

FORMAT = 1
_DIGEST = 6  # bytes: among 50,000 images and 50,000 others, one in 100,000 evaluations mistakes one
_WHOLE = 2**16  # bytes of a file that are read whole; of a larger one, three pieces
_PIECE = 2**14


@dataclass(frozen=True)
class Learned:
    """What a model was trained on.

    Attributes:
        learned: Keys of the rows that it was trained on, see `row_keys`.
        held_out: Keys of the rows that were held out of the same data.
        kinds: How many turns of each kind it was trained on; "caption" and "question" where the data name none.
        question: One of the questions.
        before: Whether it began with weights that had learned something of which nothing is known.
        rule: How rows of data too large for a key each were held out, "seed share"; then `learned` and `held_out` are
            of some of the rows.
    """

    learned: frozenset[bytes] = frozenset()
    held_out: frozenset[bytes] = frozenset()
    kinds: Mapping[str, int] = field(default_factory=dict)
    question: str = ""
    before: bool = False
    rule: str = ""

    @classmethod
    def of(
        cls,
        rows: Iterable[Sample],
        held_out: Iterable[Sample] = (),
        before: Learned | None = None,
        keys: bool = True,
        rule: str = "",
    ) -> Learned:
        """Return what a model has learned after training on these rows.

        Args:
            rows: The training rows.
            held_out: The rows that were held out of them.
            before: What the model had learned before.
            keys: Whether the rows can come again; those of a source without end do not.
            rule: How rows of large data were held out.
        """
        before = before or cls()
        rows = [*rows]
        turns = [turn for row in rows for turn in row.dialogue if turn.answers]
        asked = next((turn.prompt for turn in turns if not turn.wants_caption), before.question)
        kinds = Counter(turn.kind or ("caption" if turn.wants_caption else "question") for turn in turns)
        learned = before.learned | (keys_of(rows) if keys else frozenset())
        held = frozenset((before.held_out | keys_of(held_out)) - learned)
        return cls(learned, held, dict(Counter(before.kinds) + kinds), asked, before.before, rule or before.rule)

    @property
    def captions(self) -> bool:
        """Whether it learned to describe images."""
        return "caption" in self.kinds

    @property
    def questions(self) -> bool:
        """Whether it learned to answer questions."""
        return bool(self.question)

    def count(self, rows: Iterable[Sample]) -> int:
        """Return how many of the rows have an image that it was trained on."""
        return sum(not self.learned.isdisjoint(row_keys(row)) for row in rows)

    def is_held_out(self, row: Sample) -> bool:
        """Whether the row was held out."""
        return not self.held_out.isdisjoint(row_keys(row))

    def to_dict(self) -> dict[str, Any]:
        """Return values for JSON."""
        return {
            "format": FORMAT,
            "learned": _packed(self.learned),
            "held_out": _packed(self.held_out),
            "kinds": dict(self.kinds),
            "question": self.question,
            "before": self.before,
            **({"rule": self.rule} if self.rule else {}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Learned:
        """Read what `to_dict` returned.

        Raises:
            OjitoError: It is not that.
        """
        try:
            if values["format"] != FORMAT:
                problem = f"is of format {values['format']!r}, and this Ojito reads {FORMAT}"
                raise OjitoError("learned", problem, "update Ojito")
            kinds = {str(kind): int(count) for kind, count in values["kinds"].items()}
            keys = (_unpacked(values["learned"]), _unpacked(values["held_out"]))
            rule = str(values.get("rule", ""))
            if rule:
                _, share = rule.split()
                float(share)
            return cls(*keys, kinds, str(values["question"]), bool(values["before"]), rule)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, OjitoError):
                raise
            raise OjitoError("learned", "does not hold what training writes", "delete it, or train again") from None


def keys_of(rows: Iterable[Sample]) -> frozenset[bytes]:
    """The keys of all these rows."""
    return frozenset(key for row in rows for key in row_keys(row))


def row_keys(row: Sample, read: bool = True) -> tuple[bytes, ...]:
    """Return the keys that a row is known by: one for each image; of a row of text alone, one for its prompts.

    Args:
        row: The row.
        read: Whether files are known by what they hold, or by their paths.
    """
    if not row.images:
        return (_digest(b"text", *(turn.prompt.encode() for turn in row.dialogue)),)
    several = isinstance(row.images, (list, tuple))  # if not, the processor says so
    return tuple(_image_key(image, read) for image in row.images) if several else ()


def _image_key(image: ImageLike, read: bool) -> bytes:
    if isinstance(image, bytes):
        return _digest(_size(len(image)), *_pieces(image))
    if isinstance(image, (str, Path)):
        path = Path(image)
        if not read:
            return _path_key(path)
        try:
            status = path.stat()
            return _file_key(str(path), status.st_size, status.st_mtime_ns)
        except (OSError, ValueError):  # whoever reads the image says so
            return _path_key(path)
    if isinstance(image, StoredImage):
        try:
            return _image_key(image.read(), read)
        except OSError:
            return _digest(b"object", repr(image).encode(errors="surrogateescape"))
    try:
        return _digest(f"{image.mode} {image.size}".encode(), image.tobytes())
    except (OSError, AttributeError):  # no image, or a cut-off one
        return _digest(b"object", repr(image).encode(errors="surrogateescape"))


@functools.lru_cache(maxsize=2**18)
def _file_key(path: str, size: int, changed: int) -> bytes:
    """The key of a file; read once for as long as it does not change."""
    with Path(path).open("rb") as file:
        if size <= _WHOLE:
            return _digest(_size(size), file.read())
        pieces = []
        for start in _starts(size):
            file.seek(start)
            pieces.append(file.read(_PIECE))
        return _digest(_size(size), *pieces)


def _path_key(path: Path) -> bytes:
    return _digest(b"path", str(path).encode(errors="surrogateescape"))


def _pieces(content: bytes) -> Iterable[bytes]:
    if len(content) <= _WHOLE:
        return [content]
    return [content[start : start + _PIECE] for start in _starts(len(content))]


def _starts(size: int) -> tuple[int, int, int]:
    """Where the pieces of a large file begin: at its start, in its middle, and before its end."""
    return 0, size // 2, size - _PIECE


def _size(size: int) -> bytes:
    return f"{size} ".encode()


def _digest(*parts: bytes) -> bytes:
    made = hashlib.blake2b(digest_size=_DIGEST)
    for part in parts:
        made.update(part)
        made.update(b"\0")
    return made.digest()


def _packed(keys: Collection[bytes]) -> str:
    return base64.b64encode(b"".join(sorted(keys))).decode()


def _unpacked(text: str) -> frozenset[bytes]:
    try:
        content = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError(text[:20]) from None  # caught above
    if len(content) % _DIGEST:
        raise ValueError(len(content))  # caught above
    return frozenset(content[i : i + _DIGEST] for i in range(0, len(content), _DIGEST))
