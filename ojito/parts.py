"""Parts that a model begins with: found by name, described, and read into the model."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ojito.checkpoint.description import Part, PartKind
from ojito.checkpoint.folder import describe_part, open_folder
from ojito.checkpoint.keys import KeyMap
from ojito.checkpoint.packaged import PACKAGED, read_packaged
from ojito.checkpoint.tensors.reading import read_weights
from ojito.checkpoint.vocabulary_rows import VOCABULARY, with_rows
from ojito.config import Config, DecoderConfig, ViTConfig
from ojito.errors import OjitoError, nearest_name
from ojito.loading import find_folder, find_preset, naming_settings
from ojito.model import VLM
from ojito.presets import PRESETS
from ojito.records import Progress
from ojito.settings import read, write

KINDS: tuple[PartKind, ...] = ("vision", "decoder")


def find_part(kind: PartKind, name: Path | str, progress: Progress | None = None) -> Part:
    """Find a part by name and describe it.

    Args:
        kind: What it is.
        name: A tower of the package index ("efficientnet-lite2"); a folder, or a GGUF file; "owner/name" on the Hugging
            Face Hub; or a preset, whose tower then has random weights.
        progress: As for `load`.

    Raises:
        OjitoError: There is none of that name, or no such part in it.
        CheckpointError: A file is missing or damaged, or cannot be fetched.
    """
    if kind == "vision" and str(name) in PACKAGED:
        packaged = PACKAGED[str(name)]
        return Part(packaged.config, KeyMap(), image={**packaged.image}, name=str(name), packaged=True)
    folder = find_folder(name, progress, functools.partial(describe_part, kind=kind))
    if folder is not None:
        opened = open_folder(folder)
        part = describe_part(opened, kind)
        opened.check_layers(part.config)
        return part
    known = [*PACKAGED, *PRESETS] if kind == "vision" else []
    if known and str(name) not in PRESETS and (near := nearest_name(str(name), known)):
        raise OjitoError(f"vision {name}", "is no vision tower", f"did you mean {near}? `ojito parts` lists them")
    recipe = find_preset(str(name))
    if kind == "decoder":
        raise OjitoError(
            f"decoder {name}",
            "is a preset, whose tokenizer is learned from data",
            f"give a folder, or train the whole of it with `ojito train --preset {name}`",
        )
    return Part(recipe.model.vision, KeyMap(), image=write(recipe.processor.image), name=str(name))


def read_part(
    part: Part,
    kind: PartKind,
    model: VLM,
    dtype: torch.dtype,
    device: torch.device,
    progress: Progress | None = None,
) -> dict[str, Tensor]:
    """Read the weights of a part, under the names that they have in the model.

    Args:
        part: What `find_part` returned; not one with random weights.
        kind: What it is.
        model: With a part of this kind; on `meta` will do.
        dtype: Of floating-point tensors.
        device: Where to put them.
        progress: As for `load`.

    Raises:
        CheckpointError: A file is damaged, or the weights do not fit the model's config.
    """
    expected = {name: tensor for name, tensor in model.state_dict().items() if name.startswith(f"{kind}.")}
    known = part.config.vocab_size if isinstance(part.config, DecoderConfig) else 0
    longer = {name: len(t) for name, t in expected.items() if name in VOCABULARY and len(t) > known}
    expected |= {name: expected[name][:known] for name in longer}
    if part.packaged:
        state = read_packaged(part.name, f"{kind}.")
        return {name: state[name].to(device, dtype if t.is_floating_point() else None) for name, t in expected.items()}
    assert part.folder is not None  # noqa: S101 - the caller's to see
    with naming_settings(f"model.{kind}", part.config, getattr(model.config, kind)):
        state = read_weights(part.folder.tensors, expected, dtype, device, part.keys, progress)
    return state | {name: with_rows(state[name], rows) for name, rows in longer.items()}


def with_pretrained(config: Config, progress: Progress | None = None) -> Config:
    """Return a recipe with the sizes, image statistics, tokenizer and prompt of the parts that it begins with.

    Args:
        config: The recipe. It keeps its image size where the tower takes any.
        progress: As for `load`.

    Raises:
        OjitoError: There is no such part.
        ConfigError: The parts make no model with the rest of the recipe.
    """
    if config.pretrained.vision:
        part = find_part("vision", config.pretrained.vision, progress)
        if not part.folder and not part.packaged:
            problem = f"{part.name} is a preset, whose tower has random weights"
            raise OjitoError("pretrained.vision", problem, "choose one of `ojito parts`, or a folder")
        # Convolutions read an image of any size; a table of positions is for one.
        decided = ("head_width", "dropout") if isinstance(part.config, ViTConfig) else ("image_size", "head_width")
        kept = {n: v for n, v in write(config.model.vision).items() if n in decided and n in write(part.config)}
        values: dict[str, Any] = write(config)
        values["model"]["vision"] = {**write(part.config), **kept}
        values["processor"]["image"] = {**values["processor"]["image"], **part.image}
        config = read(Config, values)
    if config.pretrained.decoder:
        part = find_part("decoder", config.pretrained.decoder, progress)
        values = write(config)
        values["model"]["decoder"] = {**write(part.config), "dropout": config.model.decoder.dropout}
        values["processor"]["tokenizer"] = part.tokenizer
        values["processor"]["prompt"] = {**values["processor"]["prompt"], **part.prompt}
        config = read(Config, values)
    return config


def load_pretrained(model: VLM, config: Config, progress: Progress | None = None) -> None:
    """Load the parts that a recipe begins with into its model.

    Args:
        model: Of the config that `with_pretrained` returned.
        config: The recipe.
        progress: As for `load`.

    Raises:
        OjitoError: There is no such part.
        CheckpointError: A file is missing or damaged.
    """
    for kind in KINDS:
        name = getattr(config.pretrained, kind)
        if name:
            part = find_part(kind, name, progress)
            state = read_part(part, kind, model, torch.float32, model.device, progress)
            model.load_state_dict(state, strict=False)
