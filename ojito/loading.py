"""`load`: a saved folder, a public model or a preset to a `Pipeline`.

All that can be checked is checked before memory is taken.
"""

from __future__ import annotations

import dataclasses
import difflib
import string
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch

from ojito.checkpoint import CheckpointError, find_file, read_config, read_weights
from ojito.checkpoint.hub.cache import is_hub_id
from ojito.checkpoint.hub.download import download, download_tokenizer
from ojito.checkpoint.hub.transfer import HubError, TransientError
from ojito.checkpoint.huggingface import is_huggingface, read_folder, tokenizer_elsewhere
from ojito.checkpoint.keys import KeyMap
from ojito.checks import check_layers, check_tokenizer, check_vocabulary, naming_settings
from ojito.config import Config, ModelConfig, ProcessorConfig, TrainConfig
from ojito.config.rules import check_seed
from ojito.device import pick_device, pick_dtype
from ojito.memory import check_memory, check_training_memory
from ojito.model import VLM
from ojito.model.meta import on_meta
from ojito.pipeline import RECIPE, Pipeline
from ojito.processor import Processor, Tokenizer
from ojito.processor.processor import CONFIG_FILE, TOKENIZER_FILE
from ojito.records import Progress
from ojito.settings import read, read_yaml

FINE_TUNING = TrainConfig(lr=1e-5, batch_size=8)
"""For a model that does not say how it was trained. The rate is that of PaliGemma's transfers, arXiv 2407.07726."""

MAX_RECIPE = 64 * 2**10  # bytes: YAML takes long to read


def load(
    name: Path | str,
    device: torch.device | str = "auto",
    dtype: torch.dtype | str = "auto",
    seed: int = 0,
    progress: Progress | None = None,
) -> Pipeline:
    """A saved or public model; or a preset with random weights and a tokenizer of single bytes or characters.

    Args:
        name: A folder that `Pipeline.save` wrote, or in the form of Hugging Face; else the name of a preset; else
            "owner/name" of a model on the Hugging Face Hub, which is fetched once ("owner/name@revision").
        device: "auto" is the GPU where there is one.
        dtype: "auto" is bfloat16 where the device multiplies it fast, else float32.
        seed: Of a preset's random weights.
        progress: Hears how far it is, and how far it goes: bytes while the Hub's files are fetched, then numbers while
            the weights are read.

    Raises:
        ValueError: Neither folder nor preset, a device or dtype that is not there, too little memory.
        CheckpointError: A file of the folder is missing or damaged, or cannot be fetched.
        ConfigError: A setting in the folder cannot be used.
    """
    check_seed(seed)
    torch_device = pick_device(device)
    torch_dtype = pick_dtype(dtype, torch_device)
    folder = find_folder(name, progress)
    if folder is None:
        return _load_preset(str(name), torch_device, torch_dtype, seed)
    return _load_folder(folder, torch_device, torch_dtype, progress)


def check_settings(folder: Path) -> None:
    """Whether Ojito can load the model that the files beside the weights describe, while those are still to come.

    nanoVLM's folders only name their tokenizer: it is fetched.

    Raises:
        CheckpointError: It cannot.
        ConfigError: A setting that cannot be used.
    """
    if not is_huggingface(folder):
        read_config(folder)
        for file in (CONFIG_FILE, TOKENIZER_FILE):
            find_file(folder, file)
        return
    elsewhere = tokenizer_elsewhere(folder)
    if elsewhere:
        try:
            download_tokenizer(elsewhere)
        except HubError as error:
            raise HubError(f"{folder} names its tokenizer: {error}") from None
    read_folder(folder)


def find_folder(
    name: Path | str,
    progress: Progress | None = None,
    check: Callable[[Path], object] = check_settings,
) -> Path | None:
    """The folder of a model, fetched where the name is one on the Hub; None where it can only be a preset.

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
        return path
    # "models/tpyo" could be a name on the Hub as well; where there is a folder "models", it is a typing mistake, and in
    # "runs", where Ojito puts its own, it always is.
    if is_hub_id(str(name)) and not path.parent.is_dir() and path.parent != Path("runs"):
        try:
            return download(str(name), progress, check)
        except TransientError as error:  # whether there is such a model, nobody could say
            raise HubError(f"there is no folder {name}, and {error}") from None
    return None


def _load_folder(folder: Path, device: torch.device, dtype: torch.dtype, progress: Progress | None) -> Pipeline:
    if is_huggingface(folder):
        return _load_public(folder, device, dtype, progress)
    name, model = read_shape(folder)
    config = model.config
    check_memory(str(folder), model, dtype, device)
    for file in ("processor.json", "tokenizer.json"):
        find_file(folder, file)
    processor = Processor.load(folder, config.decoder.max_positions)
    sizes = (processor.image_size, processor.image_tokens)
    if sizes != (config.vision.image_size, config.image_tokens):
        raise CheckpointError(
            f"{folder}: processor and model do not fit: image size and tokens {list(sizes)} and "
            f"{[config.vision.image_size, config.image_tokens]}; use the files of one model"
        )
    check_vocabulary(folder, processor.tokenizer, config.decoder.vocab_size)
    recipe = _read_recipe(folder) if (folder / RECIPE).exists() else None
    state = read_weights(folder, model.state_dict(), dtype, device, progress=progress)
    model.load_state_dict(state, assign=True)
    pipe = Pipeline(model.eval(), processor, recipe)
    pipe.name = name
    return pipe


def _load_public(folder: Path, device: torch.device, dtype: torch.dtype, progress: Progress | None) -> Pipeline:
    """A model in the form of Hugging Face."""
    described = read_folder(folder)
    pipe = _fill(folder, described.model, described.processor, described.keys, device, dtype, progress=progress)
    pipe.name = name_of(folder)
    return pipe


def _fill(
    folder: Path,
    config: ModelConfig,
    processor: ProcessorConfig,
    keys: KeyMap | None,
    device: torch.device,
    dtype: torch.dtype,
    training: TrainConfig | None = None,
    progress: Progress | None = None,
) -> Pipeline:
    """The folder's weights and tokenizer in this model and processor, perhaps to be trained."""
    model = _meta_model(folder, config)
    if training:
        check_training_memory(str(folder), model, training, device)
    else:
        check_memory(str(folder), model, dtype, device)
    # Ojito's own folders have one, whatever a recipe says about where that came from.
    path = find_file(folder, TOKENIZER_FILE) if keys is None else processor.tokenizer.path
    tokenizer = Tokenizer.read(path, processor.tokenizer)
    check_vocabulary(folder, tokenizer, config.decoder.vocab_size)
    made = Processor.for_model(processor, tokenizer, config)
    model.load_state_dict(read_weights(folder, model.state_dict(), dtype, device, keys, progress), assign=True)
    return Pipeline(model.eval(), made)


def _read_recipe(folder: Path) -> Config:
    path = find_file(folder, RECIPE, MAX_RECIPE)
    return read(Config, read_yaml(path), str(path))


def recipe_of(folder: Path) -> Config:
    """What training goes on with: the folder's model and processor, and the data and training of its recipe.

    Raises:
        CheckpointError: A file is missing or damaged.
        ConfigError: A setting that cannot be used.
    """
    if is_huggingface(folder):
        described = read_folder(folder)
        return Config(name_of(folder), described.model, described.processor, train=FINE_TUNING)
    name, model = read_config(folder)
    recipe = _read_recipe(folder) if (folder / RECIPE).exists() else Config(train=FINE_TUNING)
    for file in ("processor.json", "tokenizer.json"):
        find_file(folder, file)
    processor = Processor.load(folder).config
    if processor.tokenizer.path:  # "tokenizer.json", which is the folder's; a recipe may say where that came from
        source = recipe.processor.tokenizer.path or str(folder / TOKENIZER_FILE)
        processor = dataclasses.replace(processor, tokenizer=dataclasses.replace(processor.tokenizer, path=source))
    return dataclasses.replace(recipe, name=name, model=model, processor=processor)


def load_for(
    config: Config, folder: Path, device: torch.device | str = "auto", progress: Progress | None = None
) -> Pipeline:
    """The folder's weights, in float32, and its tokenizer in a recipe's model and processor, to train them on.

    Sets PyTorch's seed, which decides on dropout later.

    Args:
        config: What `recipe_of` read, with other settings over it.
        folder: Of the weights.
        device: Where to put the model.
        progress: Hears of the numbers that are read, and of all of them.

    Raises:
        ValueError: No such device, too little memory.
        CheckpointError: A file of the folder is missing or damaged, or its weights do not fit the recipe's model.
        ConfigError: A setting asks for another tokenizer.
    """
    described = recipe_of(folder)
    check_tokenizer(folder, described.processor.tokenizer, config.processor.tokenizer)
    keys = read_folder(folder).keys if is_huggingface(folder) else None
    torch_device = pick_device(device)
    with naming_settings("model", described.model, config.model):
        pipe = _fill(folder, config.model, config.processor, keys, torch_device, torch.float32, config.train, progress)
    pipe.config, pipe.name = config, config.name
    torch.manual_seed(config.train.seed)
    return pipe


def name_of(folder: Path) -> str:
    """What a folder's model is called: by the folder, or by what the Hub calls it."""
    folder = folder.resolve()
    if folder.parent.name == "snapshots":  # the Hub's cache: models--owner--name/snapshots/<commit>
        return folder.parent.parent.name.rpartition("--")[2]
    return folder.name


def read_shape(folder: Path) -> tuple[str, VLM]:
    """A saved model's name, and the model without memory for its weights.

    Raises:
        CheckpointError: A file is missing or damaged, or the config asks for what is not there.
    """
    if is_huggingface(folder):
        return name_of(folder), _meta_model(folder, read_folder(folder).model)
    name, config = read_config(folder)
    return name, _meta_model(folder, config)


def _meta_model(folder: Path, config: ModelConfig) -> VLM:
    check_layers(folder, config)
    return on_meta(config, str(folder))


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
    check_memory(name, on_meta(config.model, name), torch.float32, torch.device("cpu"))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = VLM(config.model).to(device, dtype)
    asked = config.processor.tokenizer
    kind: Literal["bpe", "characters"] = "characters" if asked.kind == "characters" else "bpe"
    plain = dataclasses.replace(asked, kind=kind, path="", phrases=0.0, vocab_size=0)
    # Of bytes, no merges: they would have to be learned from text.
    texts = [string.printable] if kind == "characters" else []
    tokenizer = Tokenizer.train(plain, texts, config.model.decoder.vocab_size)
    return Pipeline(model.eval(), Processor.for_model(config.processor, tokenizer, config.model), config)
