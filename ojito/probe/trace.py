"""The data flow told: the way of an image and words through a model, module by module, in one forward pass."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from operator import itemgetter
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ojito.device import dtype_name
from ojito.errors import OjitoError
from ojito.generate import evaluating
from ojito.memory import parameters
from ojito.meter.clock import wait
from ojito.model import VLM
from ojito.model.dropout import Dropout
from ojito.pipeline import Pipeline
from ojito.processor.prompts import check_typed
from ojito.records import IMAGE, Batch, Sample

if TYPE_CHECKING:
    from ojito.records import ImageLike

DEPTH = 2
"""Levels that are told unless more are asked for: the parts, and what each is made of."""

Shape = tuple[int, ...]

_IDLE = (nn.Identity, Dropout)  # which do nothing outside training; a hook on attention weights would slow it down


@dataclass(frozen=True)
class Token:
    """A token of the row, or one that may follow it.

    Attributes:
        id: In the vocabulary; -1 is a placeholder that a visual token fills.
        text: For a reader.
        probability: Of a token that may follow, 0 to 1; 1 of one that is there.
    """

    id: int
    text: str
    probability: float = 1.0


@dataclass(frozen=True)
class Step:
    """A module, or several alike, as the pass went through.

    Attributes:
        name: Dotted, from the model: "vision.blocks.0-11" are twelve.
        kind: Class of the module; "merge" of the step that no module does; "Parameter" of a tensor outside of modules.
        inputs: Shapes of the tensors that it was called with; of several modules, those of the first.
        outputs: Shapes of the tensors that it returned; empty if it was not called: a table is read without a call, and
            a layer that is not needed is not run.
        dtype: Of the first tensor that it returned; empty if it was not called.
        parameters: Of all it holds; a matrix that two modules share counts where it is kept.
        milliseconds: In it and all below it, with the wait for a GPU.
        count: How many modules these are.
        children: The steps inside, in the order of their calls.
    """

    name: str
    kind: str
    inputs: tuple[Shape, ...] = ()
    outputs: tuple[Shape, ...] = ()
    dtype: str = ""
    parameters: int = 0
    milliseconds: float = 0.0
    count: int = 1
    children: tuple[Step, ...] = ()

    def rows(self, depth: int = DEPTH, level: int = 0) -> Iterator[tuple[int, Step]]:
        """Yield this step and those inside, each with its level, 0 first.

        Args:
            depth: Levels to open: 1 is the step alone.
            level: Of this step.
        """
        yield level, self
        if depth > 1:
            for child in self.children:
                yield from child.rows(depth - 1, level + 1)

    def to_dict(self, depth: int = DEPTH) -> dict[str, Any]:
        """Return values for JSON, with as many levels."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        values["milliseconds"] = round(self.milliseconds, 3)
        values["children"] = [child.to_dict(depth - 1) for child in self.children] if depth > 1 else []
        return values


@dataclass(frozen=True)
class Trace:
    """The way of an image and words through a model.

    Attributes:
        name: Of the model.
        device: That it ran on.
        image_size: Width and height of the image as it was given, pixels; None without an image.
        tiles: Rows and columns of tiles that the image was cut into; (0, 0) if it is one square.
        pixels: Shape (N, c, h, w) of what the vision tower read; None without an image.
        tokens: The row, in order.
        steps: The parts of the model that ran: vision, connector, merge, decoder.
        likeliest: The likeliest next tokens, the first one first.
        parameters: Of the model.
        processor_milliseconds: From image and words to tensors.
        milliseconds: Of the forward pass, the first of this shape, with the wait for a GPU.
    """

    name: str
    device: str
    image_size: tuple[int, int] | None
    tiles: tuple[int, int]
    pixels: Shape | None
    tokens: tuple[Token, ...]
    steps: tuple[Step, ...]
    likeliest: tuple[Token, ...]
    parameters: int
    processor_milliseconds: float
    milliseconds: float

    @property
    def image_tokens(self) -> int:
        """Placeholders in the row."""
        return sum(token.id == IMAGE for token in self.tokens)

    def rows(self, depth: int = DEPTH) -> Iterator[tuple[int, Step]]:
        """Yield all steps, each with its level.

        Args:
            depth: Levels to open: 1 is the parts alone.

        Raises:
            OjitoError: Fewer than 1.
        """
        if depth < 1:
            raise OjitoError("depth", f"{depth} shows nothing", "use 1 (the parts alone) or more")
        for step in self.steps:
            yield from step.rows(depth)

    def to_dict(self, depth: int = DEPTH) -> dict[str, Any]:
        """Return values for JSON, with as many levels of steps."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        values["tokens"] = [{"id": token.id, "text": token.text} for token in self.tokens]
        values["likeliest"] = [dataclasses.asdict(token) for token in self.likeliest]
        values["steps"] = [step.to_dict(depth) for step in self.steps]
        times = {name: round(values[name], 3) for name in ("processor_milliseconds", "milliseconds")}
        return {**values, **times, "image_tokens": self.image_tokens}


def trace(pipe: Pipeline, image: ImageLike | None, prompt: str, likeliest: int = 5) -> Trace:
    """Run the pass that an answer begins with, and record what each module reads and returns.

    The model itself runs, not its prepared form, and stays as it was: no hook is left behind, even if the pass fails.

    Args:
        pipe: Any model with its processor.
        image: A path, a PIL image, encoded bytes. None asks without an image.
        prompt: The question; empty asks for a caption.
        likeliest: How many of the likeliest next tokens are named.

    Raises:
        ImageError: The image cannot be read.
        RowError: The question is too long for the model, or cannot be written as tokens.
        OjitoError: `likeliest` is below 1.
    """
    if likeliest < 1:
        raise OjitoError("likeliest", f"{likeliest} names no token", "use 1 or more, for example 5")
    model, processor = pipe.model, pipe.processor
    start = perf_counter()
    opened = None if image is None else processor.open_image(image)
    sample = Sample([] if opened is None else [opened.image], check_typed(prompt))
    row = processor.row(sample)
    batch = processor.batch([row], left=True)
    processed = perf_counter()
    with evaluating(model), torch.no_grad(), _recording(model) as seen:
        hidden = model.features(batch, last=True)
        logits = model.head(hidden)[0, -1]
        wait(model.device)
    done = perf_counter()
    tiles = row.images[0] if row.images else None
    return Trace(
        name=pipe.name,
        device=str(model.device),
        image_size=None if opened is None else (opened.width, opened.height),
        tiles=(0, 0) if tiles is None else (tiles.rows, tiles.columns),
        pixels=None if batch.images is None else tuple(batch.images.shape),
        tokens=tuple(_token(pipe, number) for number in row.tokens),
        steps=tuple(_steps(model, batch, seen)),
        likeliest=_likeliest(pipe, logits, likeliest),
        parameters=parameters(model),
        processor_milliseconds=1000 * (processed - start),
        milliseconds=1000 * (done - processed),
    )


# -------------------------------------------------------------------------------------------------- while it is running


@dataclass
class _Seen:
    """What a hook saw of one module.

    Attributes:
        spans: Start and end of each call, seconds.
        inputs: Shapes of the first call.
        outputs: Shapes of the first call.
        dtype: Of the first output.
    """

    spans: list[tuple[float, float]] = field(default_factory=list)
    inputs: tuple[Shape, ...] = ()
    outputs: tuple[Shape, ...] = ()
    dtype: str = ""


@contextmanager
def _recording(model: VLM) -> Iterator[dict[nn.Module, _Seen]]:
    """Context in which every module that does something is watched."""
    seen: dict[nn.Module, _Seen] = {}
    running: list[float] = []  # when each of the modules began that are inside each other now
    device = model.device

    def begin(module: nn.Module, args: Any, kwargs: Any) -> None:
        wait(device)
        running.append(perf_counter())

    def end(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        wait(device)
        one = seen.setdefault(module, _Seen())
        one.spans.append((running.pop(), perf_counter()))
        if len(one.spans) == 1:
            returned = [*_tensors(output)]
            one.inputs, one.outputs = _shapes(_tensors([*args, *kwargs.values()])), _shapes(returned)
            one.dtype = dtype_name(returned[0].dtype) if returned else ""

    with ExitStack() as hooks:
        for module in model.modules():
            if module is not model and not isinstance(module, _IDLE):
                hooks.callback(module.register_forward_pre_hook(begin, with_kwargs=True).remove)
                hooks.callback(module.register_forward_hook(end, with_kwargs=True).remove)
        yield seen


def _tensors(values: Any) -> Iterator[Tensor]:
    """The tensors among these values, and in the tuples among them."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, (tuple, list)):
        for value in values:
            yield from _tensors(value)


def _shapes(tensors: Iterator[Tensor] | Sequence[Tensor]) -> tuple[Shape, ...]:
    return tuple(tuple(tensor.shape) for tensor in tensors)


# ----------------------------------------------------------------------------------------------------------- afterwards


def _steps(model: VLM, batch: Batch, seen: dict[nn.Module, _Seen]) -> Iterator[Step]:
    """The parts that the model has, and the merge before the decoder."""
    for name, part in model.parts.items():
        if part is model.decoder:
            words, visual = seen[model.decoder.embedding], seen.get(model.connector, _Seen())
            into = seen[part].inputs[:1]
            yield Step("merge", "merge", (tuple(batch.tokens.shape), *visual.outputs[:1]), into, words.dtype)
        if parameters(part):
            yield _step(name, part, seen)


def _step(name: str, module: nn.Module, seen: dict[nn.Module, _Seen]) -> Step:
    here = seen.get(module, _Seen())
    below, called = [], 0.0
    for path, child in _children(module):
        called = seen[child].spans[0][0] if child in seen else called  # not called, it stays behind the one before it
        below.append((called, _step(f"{name}.{path}", child, seen)))
    own = module.named_parameters(recurse=False) if below else ()
    inside = [Step(f"{name}.{path}", "Parameter", parameters=tensor.numel()) for path, tensor in own]
    inside += _folded([step for _, step in sorted(below, key=itemgetter(0))])
    spans = [span for one in module.modules() if one in seen for span in seen[one].spans]
    return Step(
        name,
        type(module).__name__,
        here.inputs,
        here.outputs,
        here.dtype,
        parameters(module),
        1000 * _busy(spans),
        children=tuple(inside),
    )


def _children(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules that this one is made of, those in a list one by one."""
    for name, child in module.named_children():
        if isinstance(child, nn.ModuleList):
            yield from ((f"{name}.{number}", one) for number, one in child.named_children())
        elif not isinstance(child, _IDLE):
            yield name, child


def _folded(steps: list[Step]) -> list[Step]:
    """The steps, with numbered ones that follow each other and are alike as one."""
    folded: list[Step] = []
    for step in steps:
        if folded and _alike(folded[-1], step):
            folded[-1] = _together(folded[-1], step)
        else:
            folded.append(step)
    return folded


def _alike(some: Step, step: Step) -> bool:
    """Whether a step, or several that are one already, differ from the next in nothing but number and time."""
    list_of, _, number = step.name.rpartition(".")
    if not number.isdigit() or some.name.rpartition(".")[0] != list_of:
        return False
    return _signature(some) == _signature(step)


def _signature(step: Step) -> tuple[Any, ...]:
    each = step.parameters // step.count
    return step.kind, step.inputs, step.outputs, step.dtype, each, tuple(map(_signature, step.children))


def _together(some: Step, step: Step, name: str = "") -> Step:
    """The step that both are, under the name of both, or of the step that they are inside of."""
    name = name or f"{some.name.partition('-')[0]}-{step.name.rpartition('.')[2]}"
    return dataclasses.replace(
        some,
        name=name,
        parameters=some.parameters + step.parameters,
        milliseconds=some.milliseconds + step.milliseconds,
        count=some.count + step.count,
        children=tuple(
            _together(a, b, f"{name}{a.name.removeprefix(some.name)}")
            for a, b in zip(some.children, step.children, strict=True)
        ),
    )


def _busy(spans: list[tuple[float, float]]) -> float:
    """Seconds within any of the spans, which lie apart or inside each other."""
    total, until = 0.0, 0.0
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        if start >= until:
            total, until = total + end - start, end
    return total


def _token(pipe: Pipeline, number: int, probability: float = 1.0) -> Token:
    return Token(number, "<image>" if number == IMAGE else pipe.processor.tokenizer.shown(number), probability)


def _likeliest(pipe: Pipeline, logits: Tensor, number: int) -> tuple[Token, ...]:
    """The likeliest tokens among those that the tokenizer has."""
    known = logits[: pipe.processor.tokenizer.size].softmax(dim=-1)
    found = known.topk(min(number, len(known)))
    return tuple(_token(pipe, *pair) for pair in zip(found.indices.tolist(), found.values.tolist(), strict=True))
