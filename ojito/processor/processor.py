"""Samples to a `Batch`, and generated ids back to text."""

from __future__ import annotations

import copy
import dataclasses
import json
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ojito.config import ModelConfig, ProcessorConfig
from ojito.config.processor_file import PROCESSOR_FILE, read_processor_file
from ojito.errors import OjitoError
from ojito.processor.images import OpenedImage
from ojito.processor.pixels import normalize, open_for
from ojito.processor.prompts import Row, RowError, RowWriter
from ojito.processor.tiles import Encoded, Tiles, add_whole, read_image
from ojito.processor.tokenizers import Tokenizer
from ojito.records import IGNORE, PADDING, Batch, Sample
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
        if not isinstance(sample.images, (list, tuple)):  # a lone path would be read letter by letter
            kind = type(sample.images).__name__
            raise RowError(sample.origin, f"images is one {kind}, not a list", "write images=[image]")
        if sample.images:
            self._check_sees(sample.origin)
        images = [(read or self.read_image)(image) for image in sample.images]
        row = self._writer.write(sample, training, rng, [(image.rows, image.columns) for image in images])
        row.images = images
        return row

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
        shape = (len(rows), max(len(row.tokens) for row in rows))  # (B, T)
        tokens = np.full(shape, self.tokenizer.pad, np.int64)
        positions = np.zeros(shape, np.int64)
        segments = np.full(shape, PADDING, np.int64)
        prefix = np.zeros(shape, np.bool_)
        targets = np.full(shape, IGNORE, np.int64)
        for i, row in enumerate(rows):
            place = slice(shape[1] - len(row.tokens), None) if left else slice(len(row.tokens))
            tokens[i, place] = row.tokens
            positions[i, place] = row.positions
            segments[i, place] = row.segments
            prefix[i, place] = row.prefix
            targets[i, place] = row.targets
        images = [image for row in rows for image in row.images]
        tiles = [image for image in images if isinstance(image, Tiles)]
        encoded = [image.patches for image in images if isinstance(image, Encoded)]
        return Batch(
            tokens=torch.from_numpy(tokens),
            positions=torch.from_numpy(positions),
            segments=torch.from_numpy(segments),
            prefix=torch.from_numpy(prefix),
            targets=torch.from_numpy(targets),
            images=self._squares(tiles) if tiles else None,
            patches=torch.stack(encoded) if encoded else None,
        )

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
