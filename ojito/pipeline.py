"""The joining place: a model and its processor, from pictures and words to words."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.huggingface.card import CARD
from ojito.checkpoint.huggingface.export import Exported, write_folder
from ojito.checkpoint.huggingface.tokenizer_files import SpecialIds
from ojito.checkpoint.native import RECIPE, save_model
from ojito.checkpoint.saving import holds_model, staged_save
from ojito.checkpoint.tensors import MAX_SHARD
from ojito.config import Config
from ojito.device import pick_device
from ojito.generate import Generation, Greedy, Sampler, generate, stream
from ojito.generate.engine import Finish
from ojito.locate.boxes import BETWEEN, Box, fit_mask, parse
from ojito.locate.mask_decoder import MaskDecoder
from ojito.locate.mask_weights import read_mask_weights
from ojito.model import VLM
from ojito.model.meta import shapes_only
from ojito.processor import Processor
from ojito.processor.images import open_image
from ojito.processor.processor import TOKENIZER_FILE
from ojito.processor.prompts import check_typed
from ojito.records import Progress, Sample
from ojito.settings import to_yaml, write

if TYPE_CHECKING:
    from ojito.records import ImageLike

_UNFINISHED = "\ufffd"  # what the bytes of half a character decode to
_LONG = {"max_new_tokens": 256}  # a box takes about 7 tokens, and its mask 16


@dataclass(frozen=True)
class Answer:
    """What the model says; `str(answer)` is the text.

    Attributes:
        text: Up to the stop string, where one ended it.
        tokens: All that were generated, without the end-of-text token.
        finish: Why it ended: "eos" (the model ended it), "length" (no more tokens allowed), "stop" (a stop string).
    """

    text: str
    tokens: tuple[int, ...]
    finish: Finish

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Located:
    """Where things are in a picture.

    Attributes:
        boxes: Those in the answer that can be read.
        answer: What the model wrote; where it ended by "length", there may have been more boxes.
    """

    boxes: list[Box]
    answer: Answer


class Pipeline:
    """A model that answers.

    Args:
        model: Any VLM.
        processor: The one that it was trained with.
        config: The recipe, which `save` then keeps.
        device: Where to put the model; None leaves it where it is.
    """

    def __init__(
        self,
        model: VLM,
        processor: Processor,
        config: Config | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        self.model = model if device is None else model.to(pick_device(device))
        self.processor, self.config = processor, config
        self.name = config.name if config else "custom"

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.decoder.embedding.weight.device

    def caption(self, image: ImageLike, **options: Any) -> Answer:
        """What the picture shows. Options as for `generate`."""
        return self.ask(image, "", **options)

    def ask(self, image: ImageLike, prompt: str, **options: Any) -> Answer:
        """The answer to a question about a picture (a path, a PIL image, encoded bytes). Options as for `generate`."""
        return self.generate([Sample([image], check_typed(prompt))], **options)[0]

    def detect(self, image: ImageLike, things: str | Sequence[str], **options: Any) -> list[Box]:
        """Where these things are in the picture, by a model that has learned it as PaliGemma has: with location tokens.

        What the model writes that is no box is left out.

        Args:
            image: A path, a PIL image, encoded bytes.
            things: "cat ; dog", or ["cat", "dog"].
            **options: As for `generate`; max_new_tokens is 256 where it is not given.

        Raises:
            ImageError: The picture cannot be read.
            ValueError: No thing is named, the tokenizer has no locations, or an option is out of range.
        """
        return self._locate("detect", image, things, options).boxes

    def segment(self, image: ImageLike, things: str | Sequence[str], weights: Path | str, **options: Any) -> list[Box]:
        """As `detect`, and a box has a mask of the picture's pixels, unless the model wrote none that can be read.

        Args:
            image: A path, a PIL image, encoded bytes.
            things: "cat", or several as for `detect`.
            weights: The file `vae-oid.npz` that big_vision publishes beside PaliGemma: it draws the masks.
            **options: As for `detect`.

        Raises:
            CheckpointError: The weights are missing, damaged or of something else.
            ImageError: The picture cannot be read.
            ValueError: As for `detect`.
        """
        return self._locate("segment", image, things, options, weights).boxes

    def locate(
        self, image: ImageLike, things: str | Sequence[str], weights: Path | str | None = None, **options: Any
    ) -> Located:
        """As `detect`, or with weights as `segment`; with the whole answer, which tells whether it was cut off.

        Args:
            image: A path, a PIL image, encoded bytes.
            things: As for `detect`.
            weights: As for `segment`; None finds boxes alone.
            **options: As for `detect`.

        Raises:
            CheckpointError: As for `segment`.
            ImageError: The picture cannot be read.
            ValueError: As for `detect`.
        """
        if weights is None:
            return self._locate("detect", image, things, options)
        return self._locate("segment", image, things, options, weights)

    def generate(
        self,
        samples: Sequence[Sample],
        *,
        max_new_tokens: int = 64,
        sampler: Sampler = Greedy(),  # noqa: B008 - frozen
        repetition_penalty: float = 1.0,
        stop: Sequence[str] = (),
        seed: int = 0,
        batch_size: int = 32,
    ) -> list[Answer]:
        """Answers to the last turn of each sample.

        A sample gets the same answer whatever samples stand beside it in a batch. (When sampling, its number in the
        list decides: sample i draws with `seed + i`.)

        Args:
            samples: Questions, with pictures or without.
            max_new_tokens: The most tokens of an answer; fewer where the model has no more positions.
            sampler: `Greedy()`, `Temperature(0.7)`, `TopK(40)`, `TopP(0.9)`.
            repetition_penalty: On tokens that the question or the answer holds already; 1 is none, 1.2 is usual.
            stop: Texts that end an answer, and are not part of it.
            seed: Of the sampling.
            batch_size: Samples that are answered at once.

        Raises:
            ImageError: A picture cannot be read.
            ValueError: An argument is out of range, or a question too long for the model.
        """
        if isinstance(samples, Sample):
            raise ValueError("generate takes a list of samples, not one Sample; write [sample]")
        stop = _stop_texts(stop)
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size} answers nothing; use 1 or more, for example 32")
        answers: list[Answer] = []
        for start in range(0, len(samples), batch_size):
            rows = generate(
                self.model,
                self.processor(samples[start : start + batch_size]),
                eos=self.processor.tokenizer.ends,
                max_new_tokens=max_new_tokens,
                sampler=sampler,
                repetition_penalty=repetition_penalty,
                stop=self._stop(stop),
                seed=seed + start,
                vocab_size=self.processor.tokenizer.size,
            )
            answers += [self._answer(row, stop) for row in rows]
        return answers

    def stream(
        self,
        image: ImageLike | Sample,
        prompt: str = "",
        *,
        max_new_tokens: int = 64,
        sampler: Sampler = Greedy(),  # noqa: B008 - frozen
        repetition_penalty: float = 1.0,
        stop: Sequence[str] = (),
        seed: int = 0,
    ) -> Iterator[str]:
        """The answer to one question in pieces, as they come; together they are the text of `ask`.

        A piece never ends within a character, nor within what may become a stop string.

        Args:
            image: The picture; or a Sample, whose last turn is the question.
            prompt: The question about the picture; empty asks for a caption.
            max_new_tokens: This and the others as for `generate`.
            sampler: As there.
            repetition_penalty: As there.
            stop: As there.
            seed: As there.

        Raises:
            ImageError: The picture cannot be read.
            ValueError: An argument is out of range, or the question too long for the model.
        """
        stop = _stop_texts(stop)
        said = ""
        sample = image if isinstance(image, Sample) else Sample([image], prompt)
        steps = stream(
            self.model,
            self.processor([sample]),
            eos=self.processor.tokenizer.ends,
            max_new_tokens=max_new_tokens,
            sampler=sampler,
            repetition_penalty=repetition_penalty,
            stop=self._stop(stop),
            seed=seed,
            vocab_size=self.processor.tokenizer.size,
        )
        for (row,) in steps:
            text = _cut(self.processor.decode(row.tokens), stop)
            if not row.finish:
                text = _settled(text, stop)
            if len(text) > len(said):
                yield text[len(said) :]
                said = text

    def save(self, folder: Path | str) -> None:
        """Writes the folder that `load` reads: config.json, model.safetensors, tokenizer, processor and recipe.

        All or nothing; other files in the folder stay. See `checkpoint/native.py`. The weights are written in the
        dtype that they have: a model that is to be kept or trained on is loaded with dtype="float32".

        Raises:
            CheckpointError: The folder cannot be written.
        """
        with staged_save(folder) as staging:
            save_model(staging, self.name, self.model.config, self.model.state_dict())
            self.processor.save(staging)
            if self.config:
                (staging / RECIPE).write_text(to_yaml(write(self.config)), encoding="utf-8")

    def export(
        self,
        folder: Path | str,
        *,
        force: bool = False,
        dtype: torch.dtype | str | None = None,
        max_shard: int = MAX_SHARD,
        base_model: str = "",
        progress: Progress | None = None,
    ) -> Exported:
        """Writes the folder that transformers loads: weights, configs, tokenizer, processor and a model card.

        All or nothing. `load` reads it, too; it has no place for the recipe. A nanoVLM is written as its own code
        loads it: in one file, without a card. A card, README.md, that is in the folder is somebody's, and stays.

        Args:
            folder: Where to.
            force: Whether a model that is there, of whatever form, is replaced.
            dtype: Of the weights in the files, "bfloat16"; None leaves each tensor as it is.
            max_shard: The most bytes of a file of weights; where there are more, several are written.
            base_model: The model on the Hub that this one was made from, for the card.
            progress: Hears of the bytes of weights that are written, and of all of them.

        Returns:
            The model's family, its parameters and their dtype.

        Raises:
            CheckpointError: There is a model, the folder cannot be written, or the model is not of one of the families
                that Ojito loads: names the nearest, and the settings that keep it from being one.
            ValueError: No such dtype.
        """
        if not force and holds_model(folder):
            raise CheckpointError(
                f"{folder} holds a model already; choose another folder, or replace it with force=True"
            )
        tokenizer = self.processor.tokenizer
        marks = SpecialIds(tokenizer.bos, tokenizer.ends, tokenizer.pad)
        with staged_save(folder, keep=(CARD,)) as staging:
            tokenizer.save(staging / TOKENIZER_FILE)
            return write_folder(
                staging, self.name, self.model.config, self.processor.config, marks, self.model.state_dict(),
                dtype, max_shard, base_model, progress,
            )  # fmt: skip

    def _check_token(self, token: str) -> None:
        """Whether the tokenizer has it; a model without it was never taught to say where things are."""
        ids = self.processor.tokenizer.encode(token)
        if len(ids) != 1 or self.processor.decode(ids) != token:
            raise ValueError(
                f"the tokenizer of {self.name} has no token {token}, so the model cannot say where things are; use "
                "PaliGemma, or a model that was trained with its tokenizer"
            )

    def _locate(
        self,
        task: Literal["detect", "segment"],
        image: ImageLike,
        things: str | Sequence[str],
        options: dict[str, Any],
        weights: Path | str = "",
    ) -> Located:
        self._check_token("<loc0000>")
        names = split_things(things, task)
        decoder = None
        if task == "segment":
            self._check_token("<seg000>")
            decoder = read_masks(weights)
        picture = open_image(image, self.processor.config.image.max_pixels)
        answer = self.ask(picture, f"{task} {BETWEEN.join(names)}", **{**_LONG, **options})
        boxes = parse(answer.text, *picture.size)
        return Located(boxes if decoder is None else _with_masks(boxes, decoder, picture.size), answer)

    def _stop(self, texts: Sequence[str]) -> Callable[[int, list[int]], bool] | None:
        """Whether tokens hold one of the texts; decoding them at every step is only worth it where there are any."""
        if not texts:
            return None
        return lambda row, tokens: any(text in self.processor.decode(tokens) for text in texts)

    def _answer(self, row: Generation, stop: Sequence[str]) -> Answer:
        return Answer(_cut(self.processor.decode(row.tokens), stop), tuple(row.tokens), row.finish or "length")


def split_things(things: str | Sequence[str], task: str) -> list[str]:
    """The names of the things to look for.

    Args:
        things: "cat ; dog", or ["cat", "dog"].
        task: "detect" or "segment", for the message.

    Raises:
        ValueError: One has no name, or there is none.
    """
    names = [name.strip() for name in (things.split(";") if isinstance(things, str) else things)]
    if not all(names) or not names:
        raise ValueError(f"things {things!r} must name each thing to {task}; give for example 'cat ; dog'")
    return names


def read_masks(weights: Path | str) -> MaskDecoder:
    """The decoder in `vae-oid.npz`, which draws masks from their codes.

    Raises:
        CheckpointError: The weights are missing, damaged or of something else.
    """
    with shapes_only():
        decoder = MaskDecoder()
    decoder.load_state_dict(read_mask_weights(weights, decoder.state_dict()), assign=True)
    return decoder


def _with_masks(boxes: list[Box], decoder: MaskDecoder, size: tuple[int, int]) -> list[Box]:
    """The boxes, those with codes as pixels of a picture of this width and height, too."""
    codes = [box.codes for box in boxes if box.codes]
    if not codes:
        return boxes
    with torch.inference_mode():
        drawn = iter(decoder(torch.tensor(codes)).numpy())
    return [dataclasses.replace(b, mask=fit_mask(next(drawn), b, *size)) if b.codes else b for b in boxes]


def _stop_texts(stop: Sequence[str]) -> Sequence[str]:
    if isinstance(stop, str):
        stop = (stop,)
    if "" in stop:
        raise ValueError("stop holds '', which every text holds; leave it out")
    return stop


def _cut(text: str, stop: Sequence[str]) -> str:
    """The text up to the first stop string."""
    return text[: min((text.index(end) for end in stop if end in text), default=len(text))]


def _settled(text: str, stop: Sequence[str]) -> str:
    """The text without what the next token may still change: half a character, the beginning of a stop string."""
    text = text.rstrip(_UNFINISHED)
    begun = (n for end in stop for n in range(len(end) - 1, 0, -1) if text.endswith(end[:n]))
    return text[: len(text) - max(begun, default=0)]
