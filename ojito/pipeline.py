"""The joining place: a model and its processor, from pictures and words to words."""

from __future__ import annotations

import difflib
import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml

from ojito.checkpoint import CheckpointError, find_file, read_config, read_header, read_weights, save_model, saving
from ojito.config import Config, ModelConfig, ResNetConfig, TokenizerConfig
from ojito.device import available_memory, fast_bfloat16, pick_device
from ojito.generate import Generation, Greedy, Sampler, generate, stream
from ojito.generate.engine import Finish
from ojito.model import VLM
from ojito.processor import Processor, Tokenizer
from ojito.records import Sample
from ojito.settings import read, read_yaml, write

if TYPE_CHECKING:
    from ojito.records import ImageLike

RECIPE = "recipe.yaml"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
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


def load(
    folder_or_preset: Path | str, device: torch.device | str = "auto", dtype: torch.dtype | str = "auto", seed: int = 0
) -> Pipeline:
    """A saved model, or a preset with random weights and a tokenizer that knows single bytes or characters.

    Args:
        folder_or_preset: A folder that `Pipeline.save` wrote; else the name of a preset.
        device: "auto" is the GPU where there is one.
        dtype: "auto" is bfloat16 where the device multiplies it fast, else float32.
        seed: Of a preset's random weights.

    Raises:
        ValueError: Neither a folder nor a preset, a device or dtype that is not there, too little memory.
        CheckpointError: A file of the folder is missing or damaged.
        ConfigError: A setting in the folder cannot be used.
    """
    torch_device = pick_device(device)
    torch_dtype = _pick_dtype(dtype, torch_device)
    folder = Path(folder_or_preset)
    if folder.is_dir():
        return _load_folder(folder, torch_device, torch_dtype)
    return _load_preset(str(folder_or_preset), torch_device, torch_dtype, seed)


def _load_folder(folder: Path, device: torch.device, dtype: torch.dtype) -> Pipeline:
    name, model = read_shape(folder)
    config = model.config
    _check_memory(name, model, dtype, device)
    for file in ("processor.json", "tokenizer.json"):
        find_file(folder, file)
    processor = Processor.load(folder, config.decoder.max_positions)
    sizes = (processor.image_size, processor.image_tokens)
    if sizes != (config.vision.image_size, config.image_tokens) or processor.tokenizer.size > config.decoder.vocab_size:
        raise CheckpointError(
            f"{folder}: processor and model do not fit: image size and tokens {list(sizes)} and "
            f"{[config.vision.image_size, config.image_tokens]}, vocabulary {processor.tokenizer.size} and at most "
            f"{config.decoder.vocab_size}; use the files of one model"
        )
    recipe = read(Config, read_yaml(find_file(folder, RECIPE))) if (folder / RECIPE).exists() else None
    state = read_weights(folder, model.state_dict(), dtype, device)
    model.load_state_dict(state, assign=True)
    pipe = Pipeline(model.eval(), processor, recipe)
    pipe.name = name
    return pipe


def read_shape(folder: Path) -> tuple[str, VLM]:
    """A saved model's name, and the model without memory for its weights.

    Raises:
        CheckpointError: A file is missing or damaged, or the config asks for what is not there.
    """
    name, config = read_config(folder)
    layers, tensors = _layers(config), len(read_header(folder))
    # Building costs time for every layer, on `meta` too: a config may not ask for more layers than there are tensors.
    if layers > tensors:
        raise CheckpointError(
            f"{folder}: config.json asks for {layers} layers, but model.safetensors has {tensors} tensors; "
            "use the two files of one model"
        )
    return name, on_meta(config, str(folder))


def find_preset(name: str) -> Config:
    """The recipe of that name.

    Raises:
        ValueError: It is no preset, and no folder either; names the nearest of both.
    """
    from ojito.presets import PRESETS, preset  # a folder needs none

    if name not in PRESETS:
        path = Path(name)
        near = difflib.get_close_matches(name, PRESETS, 1)
        if not near and path.parent.is_dir():
            beside = {str(path.parent / p.name) for p in path.parent.iterdir() if p.is_dir()}
            near = difflib.get_close_matches(str(path), beside, 1)
        hint = f"did you mean {near[0]}?" if near else f"presets are {', '.join(PRESETS)}"
        raise ValueError(f"{name!r} is neither a folder nor a preset; {hint}")
    return preset(name)


def _load_preset(name: str, device: torch.device, dtype: torch.dtype, seed: int) -> Pipeline:
    config = find_preset(name)
    _check_memory(name, on_meta(config.model, name), torch.float32, torch.device("cpu"))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = VLM(config.model).to(device, dtype)
    kind = config.processor.tokenizer.kind
    tokens = TokenizerConfig(kind="characters" if kind == "characters" else "bpe")
    # 256 bytes and three special tokens leave no room for merges, which would have to be learned from text.
    tokenizer = Tokenizer.train(tokens, [string.printable], min(259, config.model.decoder.vocab_size))
    sizes = (config.model.vision.image_size, config.model.image_tokens, config.model.decoder.max_positions)
    return Pipeline(model.eval(), Processor(config.processor, tokenizer, *sizes), config)


def _layers(config: ModelConfig) -> int:
    vision, connector = config.vision, config.connector
    in_vision = sum(vision.blocks) if isinstance(vision, ResNetConfig) else vision.layers
    return in_vision + config.decoder.layers + (connector.layers if connector.reduce == "perceiver" else 0)


def on_meta(config: ModelConfig, name: str) -> VLM:
    """The model without memory for its weights.

    Raises:
        CheckpointError: The config's sizes are absurd.
    """
    try:
        with torch.device("meta"):
            return VLM(config)
    except (RuntimeError, ValueError, OverflowError, TypeError):  # PyTorch's, on sizes beyond 64 bits
        problem = "the config's sizes are beyond any memory; use the config of a real model"
        raise CheckpointError(f"{name}: {problem}") from None


def _check_memory(name: str, model: VLM, dtype: torch.dtype, device: torch.device) -> None:
    """Tells before the system kills the process."""
    needed = sum(p.numel() for p in model.parameters()) * dtype.itemsize
    free = available_memory(device)
    if free is not None and needed > free:
        raise ValueError(
            f"{name} needs {needed / 2**30:.1f} GiB for its weights in {str(dtype).removeprefix('torch.')}, and "
            f"{free / 2**30:.1f} GiB are free on {device}; use a smaller model or free memory"
        )


def _pick_dtype(dtype: torch.dtype | str, device: torch.device) -> torch.dtype:
    if isinstance(dtype, torch.dtype):
        dtype = str(dtype).removeprefix("torch.")
    if dtype == "auto":
        return torch.bfloat16 if fast_bfloat16(device) else torch.float32
    if dtype not in DTYPES:
        raise ValueError(f"dtype {dtype!r} is not one of auto, {', '.join(DTYPES)}; leave it at auto")
    return DTYPES[dtype]


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
