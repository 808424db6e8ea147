"""`load`: a saved folder, a public model or a preset to a `Pipeline`.

All that can be checked is checked before memory is taken.
"""

from __future__ import annotations

import dataclasses
import string
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ojito.allocator import give_back_freed_memory
from ojito.checkpoint.description import Described, OpenFolder
from ojito.checkpoint.files import CheckpointError, path_setting
from ojito.checkpoint.folder import describe, missing_tokenizer
from ojito.checkpoint.hub_cache import hub_id_of, is_hub_id
from ojito.checkpoint.keys import Key
from ojito.checkpoint.learned_file import read_learned
from ojito.checkpoint.native import LEARNED
from ojito.checkpoint.peft.adapter import AdaptedFolder, Adapter
from ojito.checkpoint.saving import holds_model
from ojito.checkpoint.tensors.reading import read_weights
from ojito.checkpoint.tensors.source import TensorSource
from ojito.checkpoint.unsupported import check_name
from ojito.config import Config, ModelConfig, Part, ProcessorConfig, TokenizerConfig, TrainConfig
from ojito.config.processor_file import PROCESSOR_FILE
from ojito.config.rules import check_seed
from ojito.device import pick_device, pick_dtype
from ojito.errors import OjitoError, nearest, nearest_name
from ojito.gguf.container import is_gguf_file
from ojito.hub.download import download, download_tokenizer
from ojito.hub.transfer import HubError, TransientError
from ojito.inference.mapped import Pages
from ojito.inference.quantize import (
    check_form,
    quantize_shape,
    quantized_form,
    quantized_names,
    set_dtype,
    tensor_form,
    tensors_of,
)
from ojito.inference.quantize import quantize as quantized
from ojito.inference.weights import WEIGHTS, Int4Weight, QuantizedWeight
from ojito.learned import Learned
from ojito.memory import check_memory, check_training_memory
from ojito.model import VLM
from ojito.model.lora import Adapters, attach
from ojito.model.meta import on_meta
from ojito.pipeline import Pipeline
from ojito.processor import Processor, Tokenizer
from ojito.records import Progress
from ojito.settings import ConfigError, differences, is_yaml_file

MODEL = "model"
"""The folder in which `ojito demo` writes its model, beside report and images."""

FINE_TUNING = TrainConfig(lr=1e-5, batch_size=8)
"""For a model that does not say how it was trained. The rate is that of PaliGemma's transfers, arXiv 2407.07726."""


def load(
    name: Path | str,
    device: torch.device | str = "auto",
    dtype: torch.dtype | str = "auto",
    quantize: str = "none",
    seed: int = 0,
    progress: Progress | None = None,
    mmproj: Path | str | None = None,
    base: Path | str | None = None,
) -> Pipeline:
    """Load a saved or public model, or a preset with random weights and a tokenizer of single bytes or characters.

    Args:
        name: A folder that `Pipeline.save` or `ojito demo` wrote, or in the form of Hugging Face; or an adapter of
            LoRA's folder, in PEFT's form, which is merged into its model; or a GGUF file, which without an mmproj is a
            model of text alone; else the name of a preset, or the path of a recipe in YAML; else
            "owner/name" of a model on the Hugging Face Hub, which is fetched once ("owner/name@revision").
        device: "auto" is the GPU where there is one.
        dtype: "auto" is bfloat16 where the device multiplies it fast, else float32.
        quantize: "int8" or "int4" quantizes the weights while they are read, tensor by tensor. A folder that was saved
            so is loaded so without being asked.
        seed: Of a preset's random weights.
        progress: Called with what is done and what there is in all: bytes while the Hub's files are fetched, then
            numbers while the weights are read.
        mmproj: The file with the vision tower and projector of a GGUF file; None takes the one beside it if a folder
            with both is named.
        base: The model that an adapter belongs to, as `name`; None takes the one that the adapter names, where it is on
            this machine.

    Raises:
        OjitoError: Neither folder nor preset, a device, dtype or form that is not there, too little memory.
        CheckpointError: A file of the folder is missing or damaged, or cannot be fetched.
        ConfigError: A setting in the folder cannot be used.
        GgufError: A GGUF file is damaged.
    """
    check_seed(seed)
    check_form(quantize)
    torch_device = pick_device(device)
    torch_dtype = pick_dtype(dtype, torch_device)
    folder = find_folder(name, progress)
    if folder is None:
        for argument, given, what in (("mmproj", mmproj, "a GGUF file"), ("base", base, "an adapter")):
            if given is not None:
                raise OjitoError(argument, f"is for {what}, and {name} is a preset", "leave it out")
        return _load_preset(str(name), torch_device, torch_dtype, quantize, seed)
    pipe = load_described(
        describe(folder, mmproj, find_base_model(base, progress)), torch_device, torch_dtype, quantize, progress
    )
    give_back_freed_memory()  # a large vocabulary leaves as much behind as a small model takes
    return pipe


def load_described(
    described: Described,
    device: torch.device,
    dtype: torch.dtype,
    quantize: str = "none",
    progress: Progress | None = None,
) -> Pipeline:
    """Load a model whose folder was described.

    Args:
        described: What `describe` made of the folder.
        device: Where to put the model.
        dtype: Of its floating-point weights.
        quantize: As for `load`.
        progress: Called with the numbers that are read, and all of them.

    Raises:
        OjitoError: Too little memory.
        CheckpointError: A file is missing or damaged, or the files do not fit together, or its weights are in another
            form than the one that is asked for.
    """
    if described.quantize not in ("none", quantize) and quantize != "none":
        problem = f"is quantized to {described.quantize}, and cannot be to {quantize}"
        raise CheckpointError(described.path, problem, "quantize the model that it was made from")
    model = shape_of(described)
    if quantize != described.quantize == "none":
        model = quantize_shape(model, quantize, dtype)
    check_memory(str(described.path), model, dtype, device)
    try:
        processor = _fill(described, model, described.processor, device, dtype, progress)
    except ConfigError as error:
        if error.where == str(described.tokenizer):
            raise
        source = described.path / PROCESSOR_FILE if described.form == "native" else described.path
        raise ConfigError(f"{source}: {error.where}", error.problem, error.remedy) from None
    pipe = Pipeline(model.eval(), processor, described.recipe, name=described.name)
    pipe.learned = read_learned(described.path)
    return pipe


def shape_of(described: Described, config: ModelConfig | None = None) -> VLM:
    """Build the model of a folder without memory for its weights.

    Args:
        described: What `describe` made of the folder.
        config: Of the model, where it is not the folder's.

    Raises:
        CheckpointError: The weights are missing, or too few for the config's layers.
        ConfigError: The config's sizes are absurd.
    """
    config = config or described.model
    described.folder.check_layers(config)
    model = on_meta(config, str(described.path))
    return model if described.quantize == "none" else quantize_shape(model, described.quantize, torch.float32)


def _fill(
    described: Described,
    model: VLM,
    config: ProcessorConfig,
    device: torch.device,
    dtype: torch.dtype,
    progress: Progress | None,
) -> Processor:
    """Load the folder's weights into the model; return a processor with this config and the folder's tokenizer.

    A model whose shape is quantized gets its weights quantized, where the folder's are not.
    """
    tokenizer = Tokenizer.read(described.tokenizer, config.tokenizer)
    check_vocabulary(described.path, tokenizer, model.config.decoder.vocab_size)
    processor = Processor.for_model(config, tokenizer, model.config)
    expected, convert = model.state_dict(), None
    form = quantized_form(model)
    if form != described.quantize:
        exact = shape_of(described, model.config)
        expected, convert = exact.state_dict(), _Quantizing(described.folder.tensors, exact, form)
    state = read_weights(
        described.folder.tensors,
        expected,
        dtype,
        device,
        described.keys,
        progress,
        keep=quantized_names(model),
        convert=convert,
    )
    model.load_state_dict(state, assign=True)
    set_dtype(model, dtype)
    return processor


class _Quantizing:
    """Reads tensors of a model into a quantized form: groups of 4 bits as they are, all others through numbers."""

    def __init__(self, source: TensorSource, model: VLM, form: str) -> None:
        self._source, self._model, self._form = source, model, form
        self._shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}

    def __call__(self, name: str, key: Key) -> Mapping[str, Tensor] | None:
        form = tensor_form(self._model, name, self._form)
        if not form:
            return None
        groups = self._source.groups(key) if form == "int4" else None
        if groups is not None and groups.minimums is not None:
            weight: QuantizedWeight = Int4Weight(
                groups.ints, groups.scales.half(), groups.minimums.half(), self._shapes[name][1]
            )
        else:
            read = self._source.read(key.name)
            weight = WEIGHTS[form].quantize(key.to_ours(read, self._shapes[name]))
            Pages([read]).let_go(written=False)
        return tensors_of(name, weight)


def check_settings(folder: Path) -> Described:
    """Check that Ojito can load the model that the files beside the weights describe, before those are fetched.

    nanoVLM's folders only name their tokenizer: it is fetched.

    Returns:
        The folder's description, without a header.

    Raises:
        CheckpointError: It cannot.
        ConfigError: A setting that cannot be used.
    """
    opened = OpenFolder(folder)
    elsewhere = missing_tokenizer(opened)
    if elsewhere:
        try:
            download_tokenizer(elsewhere)
        except HubError as error:
            raise HubError(folder, f"names its tokenizer: {error.where}: {error.problem}", error.remedy) from None
    return describe(opened)


def find_folder(
    name: Path | str,
    progress: Progress | None = None,
    check: Callable[[Path], object] = check_settings,
) -> Path | None:
    """The folder or GGUF file of a model, fetched where it is named on the Hub; None where it can only be a preset.

    Args:
        name: As for `load`.
        progress: As for `load`.
        check: Refuses a model of the Hub that is of no use, before its weights are fetched.

    Raises:
        CheckpointError: It cannot be fetched, or is refused.
        ConfigError: It is refused.
    """
    path = Path(name)
    if path.is_dir():
        return _with_model(path)
    if is_gguf_file(path):
        return path
    pasted = hub_id_of(str(name))
    if pasted:
        name, path = pasted, Path(pasted)
    # "models/tpyo" could be a name on the Hub as well; where there is a folder "models", it is a typing mistake, and in
    # "runs", where Ojito puts its own, it always is.
    if is_hub_id(str(name)) and not path.parent.is_dir() and path.parent != Path("runs"):
        try:
            return download(str(name), progress, check)
        except TransientError as error:  # whether there is such a model, nobody could say
            raise HubError(name, f"is no folder, and {error.where} {error.problem}", error.remedy) from None
    return None


def find_base_model(name: Path | str | None, progress: Progress | None = None) -> Path | None:
    """The folder or GGUF file of the model that an adapter is said to belong to; None where nothing is said.

    Args:
        name: As for `load`.
        progress: As for `load`.

    Raises:
        OjitoError: It is a preset.
        CheckpointError: It cannot be fetched.
    """
    if name is None:
        return None
    folder = find_folder(name, progress)
    if folder is None:
        find_preset(str(name))
        raise OjitoError("base", f"{name} is a preset, with random weights", "name the model that it was trained on")
    return folder


def _with_model(path: Path) -> Path:
    """The folder, or `model` in it, where `ojito demo` writes."""
    below = path / MODEL
    return below if holds_model(below) and not holds_model(path) else path


def recipe_of(folder: Path | str | Described) -> Config:
    """The recipe that training goes on with: the folder's model and processor, with the data and training it had.

    Raises:
        CheckpointError: A file is missing or damaged.
        ConfigError: A setting that cannot be used.
    """
    described = describe(folder)
    recipe = described.recipe or Config(train=_fine_tuning(described))
    processor = described.processor
    if (described.form == "native" or described.adapter) and processor.tokenizer.path:
        # In the folder it says "tokenizer.json", which is the folder's; a recipe may say where that came from.
        source = recipe.processor.tokenizer.path or path_setting(described.tokenizer)
        processor = dataclasses.replace(processor, tokenizer=dataclasses.replace(processor.tokenizer, path=source))
    return dataclasses.replace(recipe, name=described.name, model=described.model, processor=processor)


def _fine_tuning(described: Described) -> TrainConfig:
    """How a model is trained on that does not say how it was: an adapter goes on, and the rest stays as it is."""
    if described.adapter is None:
        return FINE_TUNING
    lora, learned = described.adapter.settings, described.adapter.parts
    freeze = tuple(part for part in typing.get_args(Part) if part not in (*lora.parts, *learned))
    return dataclasses.replace(FINE_TUNING, lora=lora, freeze=freeze)


def load_for(
    config: Config,
    folder: Path | str | Described,
    device: torch.device | str = "auto",
    progress: Progress | None = None,
) -> Pipeline:
    """Load a folder's weights, in float32, and its tokenizer into a recipe's model and processor, to train them on.

    Sets PyTorch's seed, which decides on dropout later. An adapter goes on learning if the recipe has adapters, and is
    merged if it has none.

    Args:
        config: What `recipe_of` returned, with other settings over it.
        folder: Of the weights, or its description.
        device: Where to put the model.
        progress: Called with the numbers that are read, and all of them.

    Raises:
        OjitoError: No such device, too little memory.
        CheckpointError: A file of the folder is missing or damaged, or its weights do not fit the recipe's model.
        ConfigError: A setting asks for another tokenizer.
    """
    described = describe(folder)
    if described.quantize != "none":
        problem = f"is quantized to {described.quantize}, and cannot be trained further"
        raise CheckpointError(described.path, problem, "train the model that it was made from")
    check_tokenizer(described.path, recipe_of(described).processor.tokenizer, config.processor.tokenizer)
    torch_device = pick_device(device)
    with naming_settings("model", described.model, config.model):
        model = shape_of(described, config.model)
        check_training_memory(str(described.path), model, config.train, torch_device)
        keeps = described.adapter if config.train.lora.rank else None
        folder_of = (
            described if keeps is None else dataclasses.replace(described, folder=AdaptedFolder(keeps, merge=False))
        )
        processor = _fill(folder_of, model, config.processor, torch_device, torch.float32, progress)
        if keeps is not None:
            _attach(model, keeps, config.train)
    torch.manual_seed(config.train.seed)
    pipe = Pipeline(model.eval(), processor, config)
    pipe.learned = read_learned(described.path) or Learned(before=True)
    if config.train.lora.rank and config.model == described.model:  # an adapter fits no other model
        pipe.base = described if described.adapter is None else described.adapter.base
    return pipe


def _attach(model: VLM, adapter: Adapter, config: TrainConfig) -> None:
    """Give a model the adapters of a folder, to learn on.

    Raises:
        CheckpointError: They are of another rank or scale than the recipe's.
    """
    if difference := adapter.settings.difference(config.lora):
        problem = f"is an adapter of {difference[0]}, and train.lora asks for {difference[1]}"
        remedy = f"leave it as it is, merge the adapter (train.lora.rank=0), or begin with {adapter.base.path}"
        raise CheckpointError(adapter.path, problem, remedy)
    for name in adapter.layers:
        matrices = adapter.matrices(name)
        attach(model, name, matrices.a, matrices.b, matrices.scale, config.lora.dropout)
    model.adapters = Adapters(config.lora, set(adapter.parts))


def check_vocabulary(where: Path | str, tokenizer: Tokenizer, vocab_size: int) -> None:
    """Check that the decoder has an embedding for every token that can be written.

    Raises:
        CheckpointError: It has not.
    """
    if tokenizer.size > vocab_size and tokenizer.reach > vocab_size:  # the second takes a moment
        problem = f"the tokenizer has {tokenizer.size} entries, and the model {vocab_size}"
        raise CheckpointError(where, problem, "use the files of one model")


def check_tokenizer(folder: Path | str, known: TokenizerConfig, asked: TokenizerConfig) -> None:
    """Check that a recipe leaves a folder's tokenizer as it is; tokens may be added and named otherwise.

    Raises:
        ConfigError: It does not.
    """
    for name in LEARNED:
        before, after = getattr(known, name), getattr(asked, name)
        if before != after:
            problem = f"{after!r} asks for another tokenizer than the one that the weights in {folder} know"
            raise ConfigError(f"processor.tokenizer.{name}", problem, f"leave it at {before!r}")


@contextmanager
def naming_settings(group: str, described: Any, asked: Any) -> Iterator[None]:
    """Have an error about a folder's weights name the settings that are not those of the folder.

    Args:
        group: Where in a recipe they are, "model.vision".
        described: The folder's config.
        asked: The config of the model that is filled.
    """
    try:
        yield
    except CheckpointError as error:
        changed = [f"{key} at {value}" for key, value, _ in differences(described, asked, group)]
        if not changed:
            raise
        remedy = f"{error.remedy}, and leave {', '.join(changed)}"
        raise CheckpointError(error.where, error.problem, remedy) from None


def find_preset(name: str) -> Config:
    """Return the preset of that name, or the recipe at that path.

    Raises:
        OjitoError: Neither a preset nor a folder; names the nearest.
    """
    from ojito.presets import PRESETS, preset  # a folder needs none

    if name not in PRESETS and not is_yaml_file(name):
        check_name(name)
        path, remedy = Path(name), f"presets are {', '.join(PRESETS)}"
        if not nearest_name(name, PRESETS) and path.parent.is_dir():
            beside = {str(path.parent / p.name) for p in path.parent.iterdir() if p.is_dir()}
            remedy = nearest(str(path), beside, remedy)
        raise OjitoError(repr(name), "is neither a folder nor a preset", nearest(name, PRESETS, remedy))
    return preset(name)


def plain_tokenizer(config: Config) -> Tokenizer:
    """Return a tokenizer for a preset, of single bytes or characters: merges would have to be learned from text."""
    asked = config.processor.tokenizer
    kind: Literal["bpe", "characters"] = "characters" if asked.kind == "characters" else "bpe"
    plain = dataclasses.replace(asked, kind=kind, path="", phrases=0.0, vocab_size=0)
    texts = [string.printable] if kind == "characters" else []
    return Tokenizer.train(plain, texts, config.model.decoder.vocab_size)


def _load_preset(name: str, device: torch.device, dtype: torch.dtype, quantize: str, seed: int) -> Pipeline:
    config = find_preset(name)
    check_memory(name, on_meta(config.model, name), torch.float32, torch.device("cpu"))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = quantized(VLM(config.model).to(device, dtype), quantize)
    processor = Processor.for_model(config.processor, plain_tokenizer(config), config.model)
    return Pipeline(model.eval(), processor, config)
