"""What an index says of one row: its split, its images, and how many samples it makes."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ojito.data.grouping import regroup
from ojito.data.keys import ANSWERS, CAPTION, CHATS, IMAGE, LABEL, QUESTIONS, BadRow, spelled
from ojito.data.rows import samples_of
from ojito.data.splits import split_name
from ojito.processor.images import ImageError

if TYPE_CHECKING:
    from ojito.records import ImageLike

WAYS = ((False, False), (True, False), (True, True))
"""Ways to read a row: whether questions about an image go together, and whether a conversation is such questions."""

_SPEAKING = frozenset((*CAPTION, *QUESTIONS, *CHATS, *LABEL))  # keys of which each begins a sample of its own
_SURELY_ONE = frozenset((*CAPTION, *CHATS))


class Facts(NamedTuple):
    """What an index says of a row.

    Attributes:
        split: Its split, "" if it names none.
        images: A digest of the name of each of its images.
        samples: How many samples it makes in each of `WAYS`; empty where it is one in all of them.
    """

    split: str = ""
    images: tuple[int, ...] = ()
    samples: tuple[int, ...] = ()


class _Plan(NamedTuple):
    """What the keys of a row say, whatever their values are: rows of one file have the same few lists of keys.

    Attributes:
        image: The key of its image, as it is written; None where there are several or none.
        split: The key of its split, as it is written.
        speaks: The only key that makes a sample, as it is written; None where there are several or none.
    """

    image: Any
    split: Any
    speaks: Any


def facts_of(row: Mapping[str, Any]) -> Facts | None:
    """Return what an index says of a row; None of one that is bad for what it says, whatever its images are.

    Args:
        row: Keys and values as the file has them.
    """
    plan = _plan(tuple(row))
    if plan is not None:
        split, image = "" if plan.split is None else row[plan.split], row[plan.image]
        speaks = row[plan.speaks]
        if isinstance(image, str) and image and isinstance(split, str) and speaks and isinstance(speaks, (str, list)):
            return Facts(_split_name(split), (digest(image),))
    return _facts(row)


def keys_say_all(keys: tuple[str, ...]) -> bool:
    """Whether rows with these keys, and an image each, make one sample and name no split, whatever their values are."""
    plan = _plan(keys)
    return plan is not None and plan.split is None


@functools.lru_cache(maxsize=1024)
def _plan(keys: tuple[Any, ...]) -> _Plan | None:
    """The plan for rows with these keys; None where values decide, and the row has to be read in full."""
    found: dict[str, Any] = {}
    for key in keys:
        name = spelled(key)
        if name in found:
            return None
        found[name] = key
    images = [name for name in IMAGE if name in found]
    speaking = [name for name in found if name in _SPEAKING]
    sure = len(speaking) == 1 and speaking[0] in _SURELY_ONE and "qa" not in found
    asks = sure or _asks_once(found, speaking)
    if len(images) != 1 or not asks:
        return None
    return _Plan(found[images[0]], found.get("split"), found[speaking[0]])


def _asks_once(found: Mapping[str, Any], speaking: list[str]) -> bool:
    """Whether the only thing these keys make is one question."""
    asked = [name for name in speaking if name in ("question", "query", "instruction")]
    answers = {name for name in asked for name in ANSWERS[name]}
    return len(asked) == 1 and "qa" not in found and {*speaking} <= {*asked, *answers} and bool(answers & {*found})


def _facts(row: Mapping[str, Any]) -> Facts | None:
    try:
        samples = samples_of(row, _as_written, "")
    except (BadRow, ImageError):
        return None
    split = samples[0].split
    images = tuple(dict.fromkeys(_image(image) for sample in samples for image in sample.images))
    if not images:
        images = (digest(repr([turn.prompt for sample in samples for turn in sample.turns])),)
    counts = tuple(len(regroup(samples, *way)) for way in WAYS)
    return Facts(split, images, () if set(counts) == {1} else counts)


def _image(image: ImageLike) -> int:
    return digest(image if isinstance(image, (str, bytes)) else str(image))  # a `StoredImage` has a name of its own


def _as_written(name: str) -> Any:
    """Find an image without looking for it: its name is enough to know it again."""
    return name


def digest(name: str | bytes) -> int:
    """A number of 64 bits that stands for a name."""
    content = name if isinstance(name, bytes) else name.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


_split_name = functools.lru_cache(maxsize=256)(split_name)
