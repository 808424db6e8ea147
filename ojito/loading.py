"""`load`: a saved folder, or a preset, to a `Pipeline`. All that can be checked is checked before memory is taken."""

from __future__ import annotations

import difflib
import string
from pathlib import Path

import torch

from ojito.checkpoint import CheckpointError, find_file, read_config, read_header, read_weights
from ojito.config import Config, ModelConfig, ResNetConfig, TokenizerConfig
from ojito.device import available_memory, fast_bfloat16, pick_device
from ojito.model import VLM
from ojito.pipeline import RECIPE, Pipeline
from ojito.processor import Processor, Tokenizer
from ojito.settings import read, read_yaml

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


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
