"""Names of a model's tensors in public files: one table for both directions.

A table maps our modules to theirs: `"blocks.*.attention.q": "layers.*.self_attn.q_proj"`; `.weight` and `.bias` follow,
and `*` is the layer's number. Where a tensor is stored in another form, the table has a `Key` instead of a name.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:  # presets read these tables too, and must not wait for torch
    from torch import Tensor

Shape = tuple[int, ...]

_LAYER = re.compile(r"\bblocks\.(\d+)\.")


@dataclass(frozen=True)
class Key:
    """Name and form of a tensor in a file.

    Attributes:
        name: Theirs; `*` is the layer's number.
        transposed: A matrix stored as (in, out).
        part, parts: Which of so many equal pieces along the first axis, after transposing (fused projections).
        leading: Axes of size 1 in front.
        flat_patches: A matrix (D, p * p * 3) over flattened patches, which here is a convolution (D, 3, p, p).
        heads: Of queries or keys whose rows are stored as rotary positions turn them in neighbouring pairs: of each
            of so many heads, rows i and i + half of it are neighbours. 0 means that they are in the order of ours.
        plus_one: Whether 1 was added to what ours is.
    """

    name: str
    transposed: bool = False
    part: int = 0
    parts: int = 1
    leading: int = 0
    flat_patches: bool = False
    heads: int = 0
    plus_one: bool = False

    def their_shape(self, shape: Shape) -> Shape:
        """Return the shape in the file of a tensor of this shape."""
        if self.flat_patches and len(shape) == 4:
            shape = (shape[0], shape[1] * shape[2] * shape[3])
        if self.parts > 1:
            shape = (shape[0] * self.parts, *shape[1:])
        if self.transposed and len(shape) == 2:
            shape = (shape[1], shape[0])
        return (1,) * self.leading + shape

    def to_ours(self, theirs: Tensor, shape: Shape) -> Tensor:
        """Return the model's tensor of this shape from the file's, of `their_shape(shape)`: a view where possible."""
        made = theirs[(0,) * self.leading]
        if self.transposed and made.ndim == 2:
            made = made.T
        if self.parts > 1:
            made = made.chunk(self.parts)[self.part]
        if self.flat_patches and len(shape) == 4:
            made = made.view(shape[0], shape[2], shape[3], shape[1]).permute(0, 3, 1, 2)
        if self.heads:
            made = made.reshape(self.heads, -1, 2, *made.shape[1:]).transpose(1, 2).flatten(0, 2)
        return made.float() - 1 if self.plus_one else made

    def to_theirs(self, pieces: list[Tensor]) -> Tensor:
        """Return the file's tensor from the model's, which are all of its parts in order."""
        from torch import cat

        made = cat(pieces) if self.parts > 1 else pieces[0]
        if self.heads:
            made = made.reshape(self.heads, 2, -1, *made.shape[1:]).transpose(1, 2).flatten(0, 2)
        if self.plus_one:
            made = made.float() + 1
        if self.flat_patches and made.ndim == 4:
            made = made.permute(0, 2, 3, 1).flatten(1)
        if self.transposed and made.ndim == 2:
            made = made.T
        return made[(None,) * self.leading]


Table = Mapping[str, Union[str, Key]]
"""Our module, or tensor, to theirs."""


@dataclass(frozen=True)
class Section:
    """A part of a model, and the prefixes of its names in files.

    Attributes:
        ours: Beginning of our names, "decoder.".
        theirs: Beginnings of theirs; each is found somewhere, and the first is written.
        table: What comes after.
    """

    ours: str
    theirs: tuple[str, ...]
    table: Table


@dataclass(frozen=True)
class KeyMap:
    """Names of a family's tensors. Without sections, they are the model's own.

    Attributes:
        sections: Of the model.
        ignored: Patterns of names that may be in their files and say nothing that is needed.
        copies: What may be in their files beside one of our tensors, to that one, whose numbers it must have: the head
            of a decoder whose head is its embedding.
        constants: What they keep beside the weights although it follows from the config, and how to make it: written,
            and where it is read, compared. Made when the weights are known to be of the config's sizes, and not before.
    """

    sections: tuple[Section, ...] = ()
    ignored: tuple[str, ...] = field(default=())
    copies: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, Callable[[], Tensor]] = field(default_factory=dict, compare=False)

    def ignores(self, name: str) -> bool:
        """Whether a name in the file is not read, except to be compared."""
        compared = name in self.constants or name in self.copies
        return compared or any(re.fullmatch(pattern, name) for pattern in self.ignored)

    def resolve(self, ours: Collection[str], found: Collection[str] | None = None) -> dict[str, Key]:
        """Map each of the model's names to its key in the file.

        Args:
            ours: Names of the model's tensors.
            found: Names in their file, which decide between the layouts of each section; None takes the first.

        Raises:
            LookupError: The table lacks a tensor: a model that is not of this family.
        """
        if not self.sections:
            return {name: Key(name) for name in ours}
        resolved: dict[str, Key] = {}
        for section in self.sections:
            mine = {name: _find(section.table, name[len(section.ours) :]) for name in ours
                    if name.startswith(section.ours) and name not in resolved}  # fmt: skip
            hits = {name: key for name, key in mine.items() if key}
            beginning = max(section.theirs, key=lambda b: sum(b + key.name in (found or ()) for key in hits.values()))
            resolved |= {n: dataclasses.replace(key, name=beginning + key.name) for n, key in hits.items()}
        lacking = [name for name in ours if name not in resolved]
        if lacking:
            raise LookupError(f"no name for {lacking[0]}")
        return resolved

    def own_names(self) -> KeyMap:
        """Return the map to the names that the modules of the family's own code have today."""
        sections = [dataclasses.replace(section, theirs=section.theirs[-1:]) for section in self.sections]
        return dataclasses.replace(self, sections=tuple(sections))

    def owners(self, theirs: Collection[str]) -> dict[str, dict[str, Key]]:
        """Return for names in a file, of whatever layout, the model's tensors that are stored there, and how.

        Args:
            theirs: Names in the file. One that no table has is left out.
        """
        patterns = [
            (section.ours + ours, re.compile(_pattern(beginning + key.name)), key)
            for section in self.sections
            for beginning in section.theirs
            for ours, key in ((ours, Key(key) if isinstance(key, str) else key) for ours, key in section.table.items())
        ]
        found: dict[str, dict[str, Key]] = {}
        for name in theirs:
            for ours, pattern, key in patterns:
                hit = pattern.fullmatch(name)
                if hit:
                    *layer, ending = hit.groups()
                    whole = (ours.replace("*", layer[0]) if layer else ours) + ending
                    found.setdefault(name, {})[whole] = dataclasses.replace(key, name=name)
        return found

    def to_theirs(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the state dict under the names and in the form of the file.

        Raises:
            LookupError: As for `resolve`.
        """
        pieces: dict[str, list[tuple[Key, Tensor]]] = {}
        for name, key in self.resolve(state).items():
            pieces.setdefault(key.name, []).append((key, state[name]))
        made = {}
        for name, parts in pieces.items():
            parts.sort(key=lambda part: part[0].part)
            made[name] = parts[0][0].to_theirs([tensor for _, tensor in parts])
        return {**made, **{name: make() for name, make in self.constants.items()}}


def _pattern(theirs: str) -> str:
    """Return the pattern of a table's name in files, with the layer's number, if it has one, and the ending."""
    return re.escape(theirs).replace(r"\*", r"(\d{1,5})") + r"((?:\.(?:weight|bias))?)"


def _find(table: Table, name: str) -> Key | None:
    """Return the entry of one tensor: by its own name, or by its module's."""
    layer = _LAYER.search(name)
    pattern = _LAYER.sub("blocks.*.", name)
    module, dot, suffix = pattern.rpartition(".")
    for entry, ending in ((table.get(pattern), ""), (table.get(module), dot + suffix)):
        if entry is not None:
            key = Key(entry) if isinstance(entry, str) else entry
            whole = key.name + ending
            return dataclasses.replace(key, name=whole.replace("*", layer[1]) if layer else whole)
    return None
