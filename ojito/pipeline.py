"""A model and its processor together: from images and text to text."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ojito.allocator import keeping_freed_memory
from ojito.answering import Answer, answer_each
from ojito.checkpoint.description import Described
from ojito.checkpoint.gguf.export import Written
from ojito.checkpoint.huggingface.export import Exported
from ojito.checkpoint.tensors.writing import MAX_SHARD
from ojito.config import Config
from ojito.device import pick_device
from ojito.errors import OjitoError
from ojito.generate import (
    GenerateOptions,
    OptionKeywords,
    PrefixCache,
    Scheduler,
    StopTexts,
    evaluating,
    make_options,
    options_of_rows,
)
from ojito.inference import Preparation, quantized_form
from ojito.learned import Learned
from ojito.locate.boxes import Box, parse
from ojito.locate.masks import add_masks, read_mask_decoder
from ojito.locate.things import Task, check_location_tokens, locating_prompt, split_things
from ojito.memory import parameters
from ojito.model import VLM
from ojito.model.lora import merge
from ojito.processor import ImageError, Processor, RowError
from ojito.processor.prompts import check_typed
from ojito.records import Progress, Sample
from ojito.writer import Writer

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ojito.records import ImageLike

_LONG = {"max_new_tokens": 256}  # a box takes about 7 tokens, and its mask 16


@dataclass(frozen=True)
class Located:
    """Where things are in an image.

    Attributes:
        boxes: Those in the answer that can be read.
        answer: What the model wrote; where it ended by "length", there may have been more boxes.
        width: Width of the upright image that the boxes are of, pixels.
        height: Height of the upright image, pixels.
    """

    boxes: list[Box]
    answer: Answer
    width: int
    height: int


class Pipeline:
    """A model that answers.

    How it answers is said in keywords, of every method alike: `max_new_tokens=64`; `temperature=0.7`, `top_k=40`,
    `top_p=0.9` or `sampler=` with a sampler; `beams=4` and `length_penalty=`; `repetition_penalty=1.2`;
    `stop=["."]`; `seed=0`; `allowed=` with masks of tokens; `drafts=0` to guess none. Or in one `GenerateOptions`, over
    which keywords are laid.

    An image that is asked about again is encoded once, and where the model's attention allows it, read once: what is
    known of it is kept in `prefixes`, up to 256 MiB on the model's device. `pipe.prefixes = PrefixCache(0)` keeps
    nothing from call to call. It is forgotten when the weights change, and not used while a module has hooks.

    Args:
        model: Any VLM.
        processor: The one that it was trained with.
        config: The recipe, which `save` then keeps.
        device: Where to put the model; None leaves it where it is.
        name: What the model is called; by default as the recipe is.

    Attributes:
        base: The folder whose weights the model has beside adapters of LoRA; None where it has none, or they are in
            none.
    """

    def __init__(
        self,
        model: VLM,
        processor: Processor,
        config: Config | None = None,
        device: torch.device | str | None = None,
        name: str = "",
    ) -> None:
        self.model = model if device is None else model.to(pick_device(device))
        self._preparation = Preparation()
        self.processor, self.config = processor, config
        self.prefixes = PrefixCache()
        self.base: Described | None = None
        self._learned: Learned | Callable[[], Learned] | None = None
        self.name = name or (config.name if config else "custom")

    def __repr__(self) -> str:
        form, size = quantized_form(self.model), self.model.config.vision.image_size
        dtype = str(self.model.dtype).removeprefix("torch.") + f" with {form} weights" * (form != "none")
        reads = f"image {size} x {size} in {self.model.config.image_tokens} tokens" if size else "text alone"
        return f"Pipeline({self.name!r}: {parameters(self.model):,} parameters, {dtype} on {self.device}, {reads})"

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return self.model.device

    @property
    def learned(self) -> Learned | None:
        """What the model was trained on; None where nobody knows. It may be set to a function that finds it out."""
        if callable(self._learned):
            self._learned = self._learned()
        return self._learned

    @learned.setter
    def learned(self, value: Learned | Callable[[], Learned] | None) -> None:
        self._learned = value

    def prepared(self, once: bool = False) -> VLM:
        """Return the model made ready to answer, which every method answers with.

        It is made when it is first needed, and anew when the model's weights have changed. A model that is in training,
        or whose parts carry hooks, answers itself.

        Args:
            once: Whether one answer is wanted; see `inference.prepare`. The first call decides.
        """
        return self._preparation.of(self.model, once)

    def with_image(self, **settings: Any) -> Pipeline:
        """Return the same model with other settings of images, `with_image(max_pixels=50_000_000)`; this one stays.

        Args:
            **settings: Fields of `ImageConfig`.

        Raises:
            ConfigError: A value that is out of range.
        """
        changed = copy.copy(self)
        changed.processor = self.processor.with_image(**settings)
        return changed

    def caption(
        self, image: ImageLike, options: GenerateOptions | None = None, **keywords: Unpack[OptionKeywords]
    ) -> Answer:
        """Describe an image. Arguments and errors as for `ask`."""
        return self.ask(image, "", options, **keywords)

    def ask(
        self,
        image: ImageLike | None,
        prompt: str,
        options: GenerateOptions | None = None,
        **keywords: Unpack[OptionKeywords],
    ) -> Answer:
        """Answer a question about an image.

        Args:
            image: A path, a PIL image, encoded bytes. None asks without an image.
            prompt: The question; empty asks for a caption.
            options: How to answer.
            **keywords: The same, one by one; they win.

        Raises:
            ImageError: The image cannot be read.
            RowError: The question is too long for the model, or cannot be written as tokens.
            OjitoError: An option that is not known or not possible.
        """
        return self.generate([_sample(image, check_typed(prompt))], options, **keywords)[0]

    def detect(self, image: ImageLike, things: str | Sequence[str], **options: Any) -> list[Box]:
        """Where these things are in the image, by a model that has learned it as PaliGemma has: with location tokens.

        What the model writes that is no box is left out.

        Args:
            image: A path, a PIL image, encoded bytes.
            things: "cat ; dog", or ["cat", "dog"].
            **options: As for `generate`; max_new_tokens is 256 where it is not given.

        Raises:
            ImageError: The image cannot be read.
            OjitoError: No thing is named, the tokenizer has no locations, or an option is out of range.
        """
        return self._locate("detect", image, things, options).boxes

    def segment(self, image: ImageLike, things: str | Sequence[str], weights: Path | str, **options: Any) -> list[Box]:
        """As `detect`, and a box has a mask of the image's pixels, unless the model wrote none that can be read.

        Args:
            image: A path, a PIL image, encoded bytes.
            things: "cat", or several as for `detect`.
            weights: The file `vae-oid.npz` that big_vision publishes beside PaliGemma: it draws the masks.
            **options: As for `detect`.

        Raises:
            CheckpointError: The weights are missing, damaged or of something else.
            ImageError: The image cannot be read.
            OjitoError: As for `detect`.
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
            ImageError: The image cannot be read.
            OjitoError: As for `detect`.
        """
        if weights is None:
            return self._locate("detect", image, things, options)
        return self._locate("segment", image, things, options, weights)

    def generate(
        self,
        samples: Sequence[Sample],
        options: GenerateOptions | Sequence[GenerateOptions] | None = None,
        *,
        batch_size: int = 32,
        **keywords: Unpack[OptionKeywords],
    ) -> list[Answer]:
        """Answer the last turn of each sample.

        A sample that is answered makes room for the next one. An image that several ask about is encoded once.

        In float32 a sample gets the same answer whatever samples are answered beside it. In bfloat16 and float16 sums
        are rounded in another order beside others, or where more of an image is known already, so that an answer may
        differ where two tokens are nearly as likely. (When sampling, a sample's number in the list decides: sample i
        draws with `seed + i`.)

        Args:
            samples: Questions, with images or without.
            options: How to answer them; or a list of options, one for each.
            batch_size: The most samples that are answered at once; each takes as many rows as it has beams.
            **keywords: Options one by one; they win.

        Raises:
            ImageError: An image cannot be read.
            RowError: A question is too long for the model, or cannot be written as tokens.
            OjitoError: An option that is not known or not possible, a batch size below 1, samples that are no list.
        """
        _check_several(samples, batch_size)
        if options is None or isinstance(options, GenerateOptions):
            rows = make_options(options, keywords).rows(len(samples))
        else:
            rows = [make_options(one, keywords) for one in options_of_rows(options, len(samples))]
        order = sorted(range(len(samples)), key=lambda i: rows[i].beams)  # as many beams are searched together
        ordered, each = [samples[i] for i in order], [rows[i] for i in order]
        for one in {one.stop: one for one in rows}.values():  # before anything is asked
            self._stop_texts(one)
        answers = self._answers(ordered, each, batch_size, ahead=len(samples), strict=True, keep=len(samples) == 1)
        of = {i: answer for i, answer in zip(order, answers, strict=True) if isinstance(answer, Answer)}
        return [of[i] for i in range(len(samples))]

    def generate_each(
        self,
        samples: Iterable[Sample],
        options: GenerateOptions | Iterable[GenerateOptions] | None = None,
        *,
        batch_size: int = 32,
        **keywords: Unpack[OptionKeywords],
    ) -> Generator[Answer | ImageError | RowError, None, None]:
        """Yield the answer to the last turn of each sample, in their order, as soon as it is complete.

        As `generate`, for any number of samples: they are taken as they are needed, `batch_size` of them ahead, and
        their images are opened when it is their turn. A sample that cannot be asked yields its error, and the others go
        on. An image is read once for all samples about it that come within that number.

        Args:
            samples: Questions, with images or without.
            options: How to answer all, where the i-th that can be asked draws with `seed + i`; or options of each.
            batch_size: The most samples that are answered at once; each takes as many rows as it has beams, and those
                with as many beams, side by side, are searched together.
            **keywords: Options one by one; they win.

        Raises:
            OjitoError: An option that is not known or not possible, a batch size below 1, one sample in place of
                several, fewer options than samples.
        """
        _check_several(samples, batch_size)
        if options is None or isinstance(options, GenerateOptions):
            options = make_options(options, keywords)
            self._stop_texts(options)
        else:
            options = (make_options(one, keywords) for one in options)
        return self._answers(samples, options, batch_size, ahead=batch_size)

    def _answers(
        self,
        samples: Iterable[Sample],
        options: GenerateOptions | Iterable[GenerateOptions],
        batch_size: int,
        **how: Any,
    ) -> Generator[Answer | ImageError | RowError, None, None]:
        with evaluating(self.model), keeping_freed_memory():
            scheduler = self._scheduler(batch_size)
            yield from answer_each(self.processor, scheduler, samples, options, self._stop_texts, **how)

    def stream(
        self,
        image: ImageLike | Sample | None,
        prompt: str = "",
        options: GenerateOptions | None = None,
        **keywords: Unpack[OptionKeywords],
    ) -> Iterator[str]:
        """Answer one question in pieces, as they come; together they are the text of `ask`.

        A piece never ends within a character, nor within what may become a stop text. With beams the answer is one
        piece, at the end of the search: until then another beam may win.

        Args:
            image: The image, or None; or a Sample, whose last turn is the question.
            prompt: The question about the image; empty asks for a caption.
            options: How to answer.
            **keywords: The same, one by one; they win.

        Raises:
            ImageError: The image cannot be read.
            RowError: The question is too long for the model, or cannot be written as tokens.
            OjitoError: An option that is not known or not possible.
        """
        checked = make_options(options, keywords)
        stops = self._stop_texts(checked)
        sample = image if isinstance(image, Sample) else _sample(image, prompt)
        return self._pieces(sample, checked, stops)

    def _pieces(self, sample: Sample, options: GenerateOptions, stops: StopTexts) -> Iterator[str]:
        given = ""
        with evaluating(self.model):
            request = self._scheduler(1).submit(self.processor([sample]), options, stops)
            for _ in request:
                text = stops.settled(request.answer.tokens)
                if len(text) > len(given) and not request.done:
                    yield text[len(given) :]
                    given = text
        text = stops.cut(request.answer.tokens)
        if len(text) > len(given):
            yield text[len(given) :]

    def _scheduler(self, rows: int) -> Scheduler:
        tokenizer = self.processor.tokenizer
        model = self.prepared()
        return Scheduler(model, eos=tokenizer.ends, vocab_size=tokenizer.size, rows=rows, prefixes=self.prefixes)

    def _stop_texts(self, options: GenerateOptions) -> StopTexts:
        return StopTexts(options.stop, self.processor.decode, self.processor.tokenizer.parse)

    def save(self, folder: Path | str) -> None:
        """Write the folder that `load` reads: config.json, model.safetensors, tokenizer, processor and recipe.

        A model that learned by LoRA, from a folder of its own, is written as an adapter in PEFT's form, in place of the
        first two, if its decoder did not learn in full. That folder itself stays whole: into it, the model is merged.

        Beside them learned.json says what the model was trained on. All or nothing; other files in the folder stay. See
        `checkpoint/native.py`. The weights are written in the dtype that they have: a model that is to be kept or
        trained on is loaded with dtype="float32".

        Raises:
            CheckpointError: The folder cannot be written.
        """
        self._writer.save(folder, self.config, self.learned)

    def saved_bytes(self) -> int:
        """The bytes of the weights that `save` writes."""
        return self._writer.saved_bytes()

    def merge(self) -> None:
        """Merge the adapters of a model that learned by LoRA into its weights, in place: it then answers faster.

        What `save` writes from then on is the whole model.
        """
        merge(self.model)

    @property
    def _writer(self) -> Writer:
        return Writer(self.name, self.model, self.processor, self.base)

    def export_family(self) -> str:
        """Return the name of the family that `export` writes the model as.

        Raises:
            CheckpointError: As for `export`, where the model is of none.
        """
        return self._writer.family()

    def export_gguf(
        self,
        folder: Path | str,
        *,
        force: bool = False,
        dtype: torch.dtype | str | None = None,
        progress: Progress | None = None,
    ) -> Written:
        """Write the files that llama.cpp loads: model.gguf, and mmproj.gguf of a model that sees. `load` reads them.

        All or nothing. The recipe, and what the model has learned, have no place in them.

        Args:
            folder: Where to.
            force: Whether a model that is there, of whatever form, is replaced.
            dtype: Of the matrices, "float16"; None leaves them as the embedding is. Norms and biases are float32.
            progress: Called with the bytes that are written, and all of them.

        Returns:
            The architecture and projector, the parameters and their dtype.

        Raises:
            CheckpointError: There is a model, the folder cannot be written, or llama.cpp has no such model, prompt or
                tokenizer: names the settings that keep it from having one.
            OjitoError: No such dtype.
        """
        return self._writer.export_gguf(folder, force=force, dtype=dtype, progress=progress)

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
        """Write the folder that transformers loads: weights, configs, tokenizer, processor and a model card.

        All or nothing. `load` reads it, too, with what the model has learned; it has no place for the recipe. A nanoVLM
        is written as its own code loads it: in one file, without a card. A card, README.md, that is in the folder is
        somebody's, and stays.

        Args:
            folder: Where to.
            force: Whether a model that is there, of whatever form, is replaced.
            dtype: Of the weights in the files, "bfloat16"; None leaves each tensor as it is.
            max_shard: The most bytes of a file of weights; where there are more, several are written.
            base_model: The model on the Hub that this one was made from, for the card.
            progress: Called with the bytes of weights that are written, and all of them.

        Returns:
            The model's family, its parameters and their dtype.

        Raises:
            CheckpointError: There is a model, the folder cannot be written, or the model is not of one of the families
                that Ojito loads: names the nearest, and the settings that keep it from being one.
            OjitoError: No such dtype.
        """
        return self._writer.export(
            folder, force=force, dtype=dtype, max_shard=max_shard, base_model=base_model, learned=self.learned,
            progress=progress,
        )  # fmt: skip

    def _locate(
        self,
        task: Task,
        image: ImageLike,
        things: str | Sequence[str],
        options: dict[str, Any],
        weights: Path | str = "",
    ) -> Located:
        check_location_tokens(self.processor, task, self.name)
        names = split_things(things, task)
        decoder = read_mask_decoder(weights) if task == "segment" else None
        opened = self.processor.open_image(image)
        keywords: dict[str, Any] = options if "options" in options else {**_LONG, **options}
        answer = self.ask(opened.image, locating_prompt(names, task), **keywords)
        size = (opened.width, opened.height)  # of the whole image, whatever scale of it the model read
        boxes = parse(answer.text, *size)
        return Located(boxes if decoder is None else add_masks(boxes, decoder, *size), answer, *size)


def _sample(image: ImageLike | None, prompt: str) -> Sample:
    return Sample([] if image is None else [image], prompt)


def _check_several(samples: Iterable[Sample], batch_size: int) -> None:
    """Refuse a sample in place of samples, and a batch that holds nothing."""
    if isinstance(samples, Sample):
        raise OjitoError("samples", "takes a list of samples, not one Sample", "write [sample]")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise OjitoError("batch_size", f"{batch_size!r} answers nothing", "use 1 or more, for example 32")
