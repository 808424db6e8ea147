"""Samples to a `Batch`, and generated ids back to text."""

from __future__ import annotations

import copy
import dataclasses
import json
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ojito.config import ModelConfig, ProcessorConfig
from ojito.config.processor_file import PROCESSOR_FILE, read_processor_file
from ojito.errors import OjitoError
from ojito.processor.collating import collate, collate_packed
from ojito.processor.images import OpenedImage
from ojito.processor.pixels import normalize, open_for
from ojito.processor.prompts import Row, RowError, RowWriter
from ojito.processor.tiles import Encoded, Tiles, add_whole, read_grid, read_image
from ojito.processor.tokenizers import Tokenizer
from ojito.records import Batch, Sample
from ojito.settings import ConfigError, write

if TYPE_CHECKING:
    from ojito.records import ImageLike

CONFIG_FILE, TOKENIZER_FILE = PROCESSOR_FILE, "tokenizer.json"


class Processor:
    """Images and text to tensors.

    Args:
        config: The recipe's `processor`.
        tokenizer: Text to ids and back.
        image_size: Side of the model's square image, pixels.
        image_tokens: Positions that one square takes in a row, `ModelConfig.image_tokens`.
        max_positions: Of the decoder; a row that needs more is refused by name. None leaves it to the model to refuse.

    Raises:
        ConfigError: Prompt settings that contradict each other.
    """

    def __init__(
        self,
        config: ProcessorConfig,
        tokenizer: Tokenizer,
        image_size: int,
        image_tokens: int,
        max_positions: int | None = None,
    ) -> None:
        prompt = config.prompt
        if prompt.turns == "blind" and prompt.image == "inline":
            raise ConfigError(
                "processor.prompt.image", "inline hides a turn's image from the others with turns=blind", "use front"
            )
        if prompt.turns == "blind" and not (prompt.user or prompt.separator or prompt.caption):
            raise ConfigError(
                "processor.prompt.separator",
                "'' leaves a blind turn without a question nothing to answer from",
                "use for example '\\n', or set processor.prompt.caption",
            )
        self.config, self.tokenizer = config, tokenizer
        self.image_size, self.image_tokens = image_size, image_tokens
        self._writer = RowWriter(prompt, tokenizer, image_tokens, max_positions)

    @classmethod
    def for_model(cls, config: ProcessorConfig, tokenizer: Tokenizer, model: ModelConfig) -> Processor:
        """The processor of a model: image size, image tokens and positions are the model's.

        Args:
            config: The recipe's `processor`.
            tokenizer: Text to ids and back.
            model: The config of the model.

        Raises:
            ConfigError: Prompt settings that contradict each other.
        """
        return cls(config, tokenizer, model.vision.image_size, model.image_tokens, model.decoder.max_positions)

    def __call__(self, samples: Sequence[Sample], training: bool = False, rng: random.Random | None = None) -> Batch:
        """Rows that a model can read.

        Args:
            samples: The rows.
            training: With answers and targets, padded on the right. Otherwise the rows end where the last turn's
                answer begins, and are padded on the left, so that all of them go on at the same place.
            rng: Draws one of a turn's several answers in training; without it, the first is taken.

        Raises:
            ImageError: An image cannot be read.
            RowError: A sample cannot be written as tokens.
        """
        if isinstance(samples, Sample) or not samples:
            found = "one Sample" if isinstance(samples, Sample) else "an empty one"
            raise OjitoError("samples", f"is {found}, and the processor takes a list of them", "write [sample]")
        return self.batch([self.row(sample, training, rng) for sample in samples], left=not training)

    def row(
        self,
        sample: Sample,
        training: bool = False,
        rng: random.Random | None = None,
        read: Callable[[ImageLike], Tiles | Encoded] | None = None,
    ) -> Row:
        """One row of a batch; a loader can do without a bad one. As for `__call__`, and:

        Args:
            sample: The row.
            training: With answer and targets.
            rng: Draws one of several answers.
            read: Stands in for `read_image`, for example a cache of it, or of what a vision tower makes of it.

        Raises:
            ImageError: An image cannot be read.
            RowError: The sample cannot be written as tokens.
        """
        self._check_images(sample)
        images = [(read or self.read_image)(image) for image in sample.images]
        row = self._writer.write(sample, training, rng, [(image.rows, image.columns) for image in images])
        row.images = images
        return row

    def length(self, sample: Sample, rng: random.Random | None = None) -> int:
        """Tokens of the row of training that `row` makes of a sample. Of its images no more than the size is read.

        Args:
            sample: The row.
            rng: Draws one of several answers.

        Raises:
            ImageError: An image that would be split into tiles cannot be read.
            RowError: The sample cannot be written as tokens.
        """
        self._check_images(sample)
        grids = [read_grid(image, self.image_size, self.config.image) for image in sample.images]
        return len(self._writer.write(sample, True, rng, grids).tokens)

    def _check_images(self, sample: Sample) -> None:
        if not isinstance(sample.images, (list, tuple)):  # a lone path would be read letter by letter
            kind = type(sample.images).__name__
            raise RowError(sample.origin, f"images is one {kind}, not a list", "write images=[image]")
        if sample.images:
            self._check_sees(sample.origin)

    def _check_sees(self, origin: str) -> None:
        if not self.image_size:
            raise RowError(origin, "brings an image, and this model reads text alone", "ask it without one")

    def check_length(self, sample: Sample) -> None:
        """Check that a row of training fits, before its images are read; if they are split, they add to it.

        Raises:
            TooLongError: It does not.
            RowError: It cannot be written as tokens at all.
        """
        self._writer.write(sample, training=True)

    def surely_fits(self, sample: Sample) -> bool:
        """Whether a row of training fits without a doubt, told from its bytes, which takes no time."""
        return self._writer.surely_fits(sample)

    def for_packs(self, length: int) -> Processor:
        """The same processor, which refuses by name what does not fit into a packed row; this one stays.

        Args:
            length: Tokens of a packed row; 0 means that rows are not packed.
        """
        changed = copy.copy(self)
        changed._writer = self._writer.within(length)
        return changed

    def with_image(self, **settings: Any) -> Processor:
        """The same processor with other settings of images, `with_image(max_pixels=50_000_000)`; this one stays.

        Args:
            **settings: Fields of `ImageConfig`. The model's image size and tokens do not change with them.

        Raises:
            ConfigError: A value that is out of range.
        """
        changed = copy.copy(self)
        changed.config = dataclasses.replace(self.config, image=dataclasses.replace(self.config.image, **settings))
        return changed

    def open_image(self, image: ImageLike) -> OpenedImage:
        """The image as RGB and upright, a large one maybe scaled down; `read_image` reads the same of it as of `image`.

        Raises:
            ImageError: It cannot be read.
            RowError: The model reads text alone.
        """
        self._check_sees("image")
        return open_for(image, self.image_size, self.config.image)

    def read_image(self, image: ImageLike) -> Tiles:
        """The image fitted to the model's squares.

        Raises:
            ImageError: It cannot be read.
        """
        return read_image(image, self.image_size, self.config.image)

    def batch(self, rows: Sequence[Row], left: bool = False) -> Batch:
        """Rows padded to one length, on the right or the left, and their images normalized."""
        return Batch(**collate(rows, self.tokenizer.pad, left), **self._images(rows))

    def packed(self, packs: Sequence[Sequence[Row]], length: int) -> Batch:
        """Rows for training that each hold several samples, which do not see each other.

        Args:
            packs: The samples of each row. A row without any is padding, from which nothing is learned.
            length: Tokens of a row; those of its samples together are no more.
        """
        rows = [row for pack in packs for row in pack]
        return Batch(**collate_packed(packs, length, self.tokenizer.pad), **self._images(rows))

    def _images(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        images = [image for row in rows for image in row.images]
        tiles = [image for image in images if isinstance(image, Tiles)]
        encoded = [image.patches for image in images if isinstance(image, Encoded)]
        brought = {"images": self._squares(tiles)} if tiles else {}
        return {**brought, "patches": torch.stack(encoded)} if encoded else brought

    def _squares(self, images: Sequence[Tiles]) -> torch.Tensor:
        """All squares, normalized, as the prompt writes them: the whole of an image after its tiles, before, or not."""
        made = normalize(torch.cat([image.pixels for image in images]), self.config.image)
        each = list(torch.split(made, [len(image.pixels) for image in images]))
        whole = self.config.prompt.whole
        if whole == "none":
            split = zip(each, images, strict=True)
            return torch.cat([tiles[: image.rows * image.columns or 1] for tiles, image in split])
        if self.config.image.tiling == "nanovlm":
            each = [
                add_whole(tiles, image.rows, image.columns) if image.rows else tiles
                for tiles, image in zip(each, images, strict=True)
            ]
        return torch.cat(each if whole == "last" else [squares.roll(1, 0) for squares in each])

    def decode(self, ids: Iterable[int]) -> str:
        """The text of generated ids, without the white space of `prompt.before_answer`."""
        text = self.tokenizer.decode([int(i) for i in ids])
        return text.lstrip() if self.config.prompt.before_answer else text

    def save(self, folder: Path | str) -> None:
        """Write processor.json and tokenizer.json."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        values = {"image_size": self.image_size, "image_tokens": self.image_tokens, **write(self.config)}
        if self.config.tokenizer.path:  # where it came from is nobody's business; here it is beside us
            values["tokenizer"]["path"] = TOKENIZER_FILE
        (folder / CONFIG_FILE).write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        self.tokenizer.save(folder / TOKENIZER_FILE)

    @classmethod
    def load(cls, folder: Path | str, max_positions: int | None = None) -> Processor:
        """The processor that `save` wrote. Reads these two files and nothing else.

        Args:
            folder: Where they are.
            max_positions: Of the decoder that it works for.

        Raises:
            ConfigError: A file is missing or damaged.
        """
        config, image_size, image_tokens = read_processor_file(folder)
        tokenizer = Tokenizer.read(Path(folder) / TOKENIZER_FILE, config.tokenizer)
        try:
            return cls(config, tokenizer, image_size, image_tokens, max_positions)
        except ConfigError as error:
            raise ConfigError(f"{Path(folder) / CONFIG_FILE}: {error.where}", error.problem, error.remedy) from None
