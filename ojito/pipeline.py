"""The joining place: a model and its processor, from pictures and words to words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml

from ojito.checkpoint import save_model, saving
from ojito.config import Config
from ojito.device import pick_device
from ojito.generate import Generation, Greedy, Sampler, generate, stream
from ojito.generate.engine import Finish
from ojito.model import VLM
from ojito.processor import Processor
from ojito.records import Sample
from ojito.settings import write

if TYPE_CHECKING:
    from ojito.records import ImageLike

RECIPE = "recipe.yaml"
_UNFINISHED = "\ufffd"  # what the bytes of half a character decode to


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
        return self.generate([Sample([image], prompt)], **options)[0]

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
                eos=self.processor.tokenizer.eos,
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
            eos=self.processor.tokenizer.eos,
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
        with saving(folder, without=() if self.config else (RECIPE,)) as staging:
            save_model(staging, self.name, self.model.config, self.model.state_dict())
            self.processor.save(staging)
            if self.config:
                text = yaml.safe_dump(write(self.config), sort_keys=False, allow_unicode=True)
                (staging / RECIPE).write_text(text, encoding="utf-8")

    def _stop(self, texts: Sequence[str]) -> Callable[[int, list[int]], bool] | None:
        """Whether tokens hold one of the texts; decoding them at every step is only worth it where there are any."""
        if not texts:
            return None
        return lambda row, tokens: any(text in self.processor.decode(tokens) for text in texts)

    def _answer(self, row: Generation, stop: Sequence[str]) -> Answer:
        return Answer(_cut(self.processor.decode(row.tokens), stop), tuple(row.tokens), row.finish or "length")


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
