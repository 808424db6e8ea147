"""The model that is examined, with rows to examine it on."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor, nn

from ojito.config import NoVisionConfig
from ojito.data import Scenes
from ojito.errors import OjitoError
from ojito.inference import quantized_form
from ojito.model import VLM
from ojito.pipeline import Pipeline
from ojito.processor import ImageError, Processor, RowError
from ojito.processor.prompts import Row
from ojito.records import IGNORE, Batch, Sample, Turn

if TYPE_CHECKING:
    from ojito.records import ImageLike

_AT_ONCE = 8  # rows
_LEARNED = 0.4  # of the loss of a model that finds all tokens equally likely
_MOVED = 1e-3  # mean change of a norm's weights that no rounding makes
_WORDS = "what is it?"


class Patient:
    """A model with its processor, and rows with one turn each that it can read.

    Args:
        pipe: Model and processor.
        samples: Rows to examine it on; none draws scenes.
        own: Whether the model should have learned what the samples ask; None finds it out where there are none.
        limit: The most rows.

    Attributes:
        samples: Those that can be written as tokens; each has one turn with one answer.
        own: Whether the model should have learned what they ask.

    Raises:
        OjitoError: None of the samples can be read.
    """

    def __init__(
        self, pipe: Pipeline, samples: Sequence[Sample] = (), own: bool | None = None, limit: int = 32
    ) -> None:
        self.pipe = pipe
        drawn = not samples
        if drawn:
            samples = Scenes().samples("dev", limit)
        if own is None:
            own = not drawn or (pipe.config is not None and pipe.config.data.path == "scenes")
        self.own = own
        self.samples: list[Sample] = []
        problem: OjitoError | None = None
        for sample in _single_turns(samples, images=self.sees):
            if len(self.samples) == limit:
                break
            try:
                self.processor.row(sample, training=True)
                self.samples.append(sample)
            except (ImageError, RowError) as error:
                problem = error
        if not self.samples:
            raise problem or OjitoError("data", "no row has a turn with an answer", "give rows with answers")

    @property
    def model(self) -> VLM:
        """The model, as it was loaded: nothing is prepared."""
        return self.pipe.model

    @property
    def processor(self) -> Processor:
        """The processor."""
        return self.pipe.processor

    @property
    def sees(self) -> bool:
        """Whether the model has a vision tower."""
        return not isinstance(self.model.config.vision, NoVisionConfig)

    @property
    def exact(self) -> bool:
        """Whether the model computes in float32, with weights that are not quantized."""
        return self.model.dtype == torch.float32 and quantized_form(self.model) == "none"

    @property
    def tolerance(self) -> float:
        """Relative difference of logits that rounding alone may make."""
        return 1e-3 if self.exact else 0.15

    @property
    def trained(self) -> bool:
        """Whether training has ever moved the norms, which begin with ones or zeros and move at the first step."""
        norms = [
            weight
            for module in self.model.decoder.modules()
            if "norm" in type(module).__name__.lower() and isinstance(weight := getattr(module, "weight", None), Tensor)
        ]
        return any(min((n - 1).abs().mean().item(), n.abs().mean().item()) > _MOVED for n in norms)

    @property
    def joined(self) -> bool:
        """Whether training has ever moved the connector, whose biases begin with zeros; true where it has none."""
        biases = [bias for name, bias in self.model.connector.named_parameters() if name.endswith("bias")]
        return not biases or any(bool(bias.any()) for bias in biases)

    def learned(self, loss: float) -> bool:
        """Whether a loss, nats per token, is one that only a model that has learned comes to."""
        return self.trained and loss < _LEARNED * math.log(self.model.config.decoder.vocab_size)

    @property
    def words(self) -> str:
        """A question that the tokenizer can write."""
        return next((one.dialogue[0].prompt for one in self.samples if one.dialogue[0].prompt), _WORDS)

    def rows(self, samples: Sequence[Sample] | None = None, training: bool = True) -> list[Row]:
        """Write samples as rows; all of them, if left out."""
        return [self.processor.row(sample, training=training) for sample in samples or self.samples]

    def batches(self, samples: Sequence[Sample]) -> Iterator[Batch]:
        """Yield batches of training, on the model's device."""
        for first in range(0, len(samples), _AT_ONCE):
            yield self.processor(samples[first : first + _AT_ONCE], training=True).to(self.model.device)

    def squares(self, image: ImageLike) -> Tensor:
        """The squares (n, 3, h, w) that the processor makes of an image, normalized."""
        images = self.processor([Sample([image], prompt=self.words)]).images
        if images is None:
            raise OjitoError("processor", "brings no image", "return its pixels in Batch.images")
        return images

    def whole(self, image: ImageLike) -> Tensor:
        """The square (3, h, w) that shows the whole of an image, or its tiles put together."""
        squares, tiles = self.squares(image), self.processor.read_image(image)
        if len(squares) == 1 or self.processor.config.prompt.whole == "first":
            return squares[0]
        if self.processor.config.prompt.whole == "last":
            return squares[-1]
        size = squares.shape[-1]
        grid = squares.view(tiles.rows, tiles.columns, 3, size, size).permute(2, 0, 3, 1, 4)
        return grid.reshape(3, tiles.rows * size, tiles.columns * size)

    def logits(self, batch: Batch, where: Tensor) -> Tensor:
        """Logits (n, V) at the places where `where` (B, T) is true, float32 on the CPU."""
        batch = batch.to(self.model.device)
        hidden = self.model.features(batch)[where.to(self.model.device)]
        return self.model.head(hidden).float().cpu()


def labelled(batch: Batch) -> Tensor:
    """Places (B, T) that have a target."""
    return batch.targets != IGNORE


def difference(a: Tensor, b: Tensor) -> float:
    """Distance of two tensors of one shape, relative to how much the first varies along its last dimension."""
    spread = (a - a.mean(-1, keepdim=True)).pow(2).mean().sqrt()
    return float((a - b).pow(2).mean().sqrt() / spread.clamp_min(1e-30))


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean of some numbers, and the ends of its 95% interval."""
    mean = statistics.fmean(values)
    error = 2.0 * statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.inf
    return mean, mean - error, mean + error


def layers(model: nn.Module) -> dict[str, nn.Module]:
    """Layers of a model by name: the entries of its lists of modules."""
    return {
        f"{name}.{number}": layer
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList)
        for number, layer in enumerate(module)
    }


def plain(colour: str | tuple[int, int, int], side: int = 48) -> Image.Image:
    """A square of one colour."""
    return Image.new("RGB", (side, side), colour)


def _single_turns(samples: Sequence[Sample], images: bool) -> Iterator[Sample]:
    """Yield a sample of one turn with one answer for each turn of these.

    Args:
        samples: Rows of any kind.
        images: Whether only those with images are wanted; otherwise images are left out.
    """
    for sample in samples:
        if images and not sample.images:
            continue
        for turn in sample.dialogue:
            if turn.answers:
                one: Turn = dataclasses.replace(turn, answers=turn.answers[:1])
                yield dataclasses.replace(sample, images=sample.images if images else (), prompt="", turns=(one,))
