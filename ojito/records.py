"""Shared records: what users hand in (`Sample`, `Turn`) and what a model reads (`Batch`).

Processor and model never import each other; they meet in `Batch`.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Union

from ojito.errors import OjitoError

if TYPE_CHECKING:  # `ojito --help` reads this file too, and must not wait for torch
    import torch
    from PIL import Image

    ImageLike = Union[str, Path, bytes, Image.Image, "StoredImage"]

Progress = Callable[[int, int], None]
"""Progress of long work: called with how much is done, and how much there is in all."""

IGNORE = -100
"""A target that no loss counts (PyTorch's own `ignore_index`)."""

IMAGE = -1
"""The token at a place that one visual feature fills. Never a vocabulary id, so no tokenizer needs a slot for it."""

SHARED = 0
"""The segment that every other segment of its row may read: the image, and all of an ordinary row."""

PADDING = -1
"""The segment, and the document, of padding: nobody reads it."""


class StoredImage(ABC):
    """An image inside another file, such as an archive, read when it is needed. Equal ones are the same image."""

    @abstractmethod
    def read(self) -> bytes:
        """Return the encoded image.

        Raises:
            OSError: The file cannot be read.
        """


def image_key(image: ImageLike) -> Hashable:
    """Key of an image that is equal for the same file, the same place in one, the same bytes or the same object."""
    if isinstance(image, (str, Path)):
        return str(image)
    return image if isinstance(image, (bytes, StoredImage)) else id(image)


@dataclass(frozen=True)
class Turn:
    """One question about the images and, where known, its answers.

    Attributes:
        prompt: The question. Empty asks for a caption, in the words of the processor's `prompt.caption`.
            `<image>` in it asks for an image at that place; see docs/adr/0005-typed-text.md.
        answers: Acceptable answers or reference captions; training draws one, scoring accepts any.
        kind: What is asked ("colour", "caption", ...), for scores per kind.
        tagged: Whether the row comes from data that write `<image>` where an image stands, as LLaVA's do. Then a model
            that reads its images before all text leaves it out, and a later turn may show an image, too.
        choices: The texts that the prompt lists with letters, where the answer is one of these.
    """

    prompt: str = ""
    answers: tuple[str, ...] = ()
    kind: str = ""
    tagged: bool = False
    choices: tuple[str, ...] = ()

    @property
    def wants_caption(self) -> bool:
        """Whether it asks for a caption, in words of its own or in the processor's."""
        return self.kind == "caption" or not self.prompt


@dataclass(frozen=True)
class Sample:
    """A row: zero, one or several images, and one or several turns about them.

    Attributes:
        images: Paths, encoded bytes, PIL images, or images inside other files.
        prompt: Short for a single turn without an answer, `turns=(Turn(prompt),)`.
        turns: The dialogue. Leave it empty to use `prompt`.
        system: The system message, where the dialogue has one of its own; else the processor's `prompt.system`.
        chat: Whether the turns read each other even where the processor's prompt has blind ones: a conversation.
        split: "train", "dev", ...; empty when the data has none.
        origin: Where the row comes from ("captions.jsonl:12"), for messages.
        problem: What is wrong with the row, where that was found when it was read; whoever writes it as tokens raises
            it, as any other error of a row.
    """

    images: Sequence[ImageLike] = ()
    prompt: str = ""
    turns: tuple[Turn, ...] = ()
    split: str = ""
    origin: str = ""
    system: str = ""
    chat: bool = False
    problem: OjitoError | None = None

    @property
    def dialogue(self) -> tuple[Turn, ...]:
        """The turns, whichever way the sample was written."""
        if self.turns and self.prompt:
            raise OjitoError("Sample", f"has turns and the prompt {self.prompt!r}", "put the prompt into a Turn")
        return self.turns or (Turn(self.prompt),)


@dataclass
class Batch:
    """Rows of tokens, ready for the model. B rows, T positions, N images.

    Attributes:
        tokens: (B, T) int64 vocabulary ids; `IMAGE` where a visual feature goes, in the order of `images`.
        positions: (B, T) int64, counted from 0 in reading order. A turn that is blind to the others
            counts on from the shared part, so that it cannot tell whether it has neighbours.
        segments: (B, T) int64: `SHARED`, 1, 2, ... for blind turns, `PADDING`.
        prefix: (B, T) bool: image and prompt tokens. A prefix-LM reads these in both directions.
        targets: (B, T) int64: the token that the logits AT this place shall predict (already shifted), or `IGNORE`.
        images: (N, 3, h, w) float pixels, normalized as the vision tower expects; None when no row has an image.
        patches: (N, P, D) what the vision tower made of the images before; then `images` is None.
        visual: (N, P, D) the visual tokens that the connector made of those; then `patches` is None, too.
        documents: (B, T) int64, of packed rows: which sample of its row a token belongs to, counted from 0, and
            `PADDING`. Tokens attend within their document alone, where positions and segments begin anew. None means
            that each row is one document.
    """

    tokens: torch.Tensor
    positions: torch.Tensor
    segments: torch.Tensor
    prefix: torch.Tensor
    targets: torch.Tensor
    images: torch.Tensor | None = field(default=None)
    patches: torch.Tensor | None = field(default=None)
    visual: torch.Tensor | None = field(default=None)
    documents: torch.Tensor | None = field(default=None)

    @property
    def num_images(self) -> int:
        """Images, or squares of images, that the batch brings."""
        brought = next((one for one in (self.images, self.patches, self.visual) if one is not None), ())
        return len(brought)

    @property
    def num_samples(self) -> int:
        """Samples: rows, or the documents of packed ones. A row of padding alone is none."""
        if self.documents is None:
            return len(self.tokens)
        return int((self.documents.amax(dim=1) + 1).sum())

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        tensors = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        moved = {name: t.to(device, non_blocking=True) for name, t in tensors.items() if t is not None}
        return dataclasses.replace(self, **moved)
