"""`build`: a new model of public parts, one folder's vision tower and another's decoder, to be trained together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ojito.checkpoint.description import Part, PartKind
from ojito.checkpoint.huggingface.families.idefics3 import IDEFICS3
from ojito.config import Config, ConnectorConfig, TokenizerConfig, ViTConfig
from ojito.config.rules import check_seed
from ojito.device import pick_device, pick_dtype
from ojito.errors import OjitoError, nearest
from ojito.loading import check_tokenizer, check_vocabulary
from ojito.memory import check_memory
from ojito.model.connectors import Connector
from ojito.model.initialize import initialize
from ojito.model.meta import on_meta
from ojito.parts import find_part, read_part
from ojito.pipeline import Pipeline
from ojito.processor import Processor, Tokenizer
from ojito.records import Progress
from ojito.settings import override, read, write

TRAINING: dict[str, Any] = {"lr": 1e-4, "connector_lr": 2e-3}
"""Parts that have learned are moved gently, the connector, which has not, more. Source: nanoVLM's recipe."""

FRESH_LR = 1e-3
"""Of a tower with random weights."""

CONNECTORS: dict[str, dict[str, Any]] = {
    "linear": {"project": "linear"},
    "mlp": {"project": "mlp"},
    "perceiver": {"reduce": "perceiver"},
    "pixel_shuffle": {"reduce": "pixel_shuffle", "bias": False},
    "average_pool": {"reduce": "average_pool"},
}
LIKE = {"llava": "mlp", "paligemma": "linear", "idefics3": "pixel_shuffle"}
"""Public families that a build can follow, and their connectors."""

NUMBERS = {"perceiver": "queries", "pixel_shuffle": "factor", "average_pool": "factor"}
"""What the number after a connector's name is."""


def build(
    *,
    vision: Path | str,
    decoder: Path | str,
    connector: str | Mapping[str, Any] | ConnectorConfig | None = None,
    like: Literal["", "llava", "paligemma", "idefics3"] = "",
    device: torch.device | str = "auto",
    dtype: torch.dtype | str = "auto",
    seed: int = 0,
    settings: Iterable[str] = (),
    progress: Progress | None = None,
) -> Pipeline:
    """Build a model of a vision tower and a decoder that were trained apart, and a new connector.

    Its recipe, which `save` keeps, is for `ojito train --from`. Images are prepared as the tower knows them and text
    as the decoder does: a decoder that was trained to chat keeps its form of chat, and any other is asked by the
    question and a line break.

    Args:
        vision: A tower of the package index, "efficientnet-lite2"; `ojito parts` lists them. Or a folder with a vision
            tower: one by itself, of a pair (CLIP, SigLIP), of a vision-language model, or of a model that Ojito saved.
            Or "owner/name" of one on the Hugging Face Hub. Or the name of a preset, whose tower then begins with random
            weights.
        decoder: A folder with a decoder and its tokenizer, by itself or of a vision-language model; a GGUF file; or
            "owner/name".
        connector: "linear"; "mlp"; "pixel_shuffle:2" or "average_pool:2" with their factor; "perceiver:64" with its
            queries; or the recipe's `model.connector`. None is the one of `like`, or "mlp".
        like: A public family whose plan the model follows, so that it can be exported as one: "llava" (MLP),
            "paligemma" (linear; image and prompt are read in both directions), "idefics3" (pixel shuffle; its prompt,
            for which three tokens are added to the vocabulary). "" decides nothing beyond the connector.
        device: "auto" is the GPU where there is one.
        dtype: "auto" is bfloat16 where the device multiplies it fast, else float32, which training needs.
        seed: Of the random weights.
        settings: Over the recipe, each "train.lr=3e-4".
        progress: As for `load`.

    Raises:
        ValueError: No such folder, preset, connector, family, device or dtype; too little memory.
        CheckpointError: A file is missing or damaged, cannot be fetched, or holds no such part; the tokenizer has more
            entries than the decoder.
        ConfigError: Parts or settings that make no model, such as more image tokens than the decoder has positions.
    """
    check_seed(seed)
    torch_device = pick_device(device)
    torch_dtype = pick_dtype(dtype, torch_device)
    parts: dict[PartKind, Part] = {
        "vision": find_part("vision", vision, progress),
        "decoder": find_part("decoder", decoder, progress),
    }
    if like and like not in LIKE:
        raise OjitoError("like", f"{like!r} is not one of {', '.join(LIKE)}", nearest(like, LIKE))
    tower = parts["vision"].config
    if like and not isinstance(tower, ViTConfig):
        kind = getattr(tower, "kind", "")
        problem = f"no {like} has a vision tower of kind {kind}"
        raise OjitoError("like", problem, "leave it out, or choose another tower")
    joined = _connector(LIKE.get(like, "mlp") if connector is None else connector)
    config = _recipe(parts["vision"], parts["decoder"], joined, settings, like)
    known = read(TokenizerConfig, parts["decoder"].tokenizer)
    check_tokenizer(Path(decoder), known, config.processor.tokenizer)
    model = on_meta(config.model, config.name)
    check_memory(config.name, model, torch_dtype, torch_device)
    tokenizer = Tokenizer.read(config.processor.tokenizer.path, config.processor.tokenizer)
    check_vocabulary(decoder, tokenizer, config.model.decoder.vocab_size)
    processor = Processor.for_model(config.processor, tokenizer, config.model)

    state: dict[str, Tensor] = {}
    fresh: dict[str, nn.Module] = {}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        fresh["connector"] = Connector(config.model)
        for kind, part in parts.items():
            if part.folder is None and not part.packaged:
                fresh[kind] = type(model.parts[kind])(getattr(config.model, kind))
                continue
            state |= read_part(part, kind, model, torch_dtype, torch_device, progress)
        for name, module in fresh.items():
            initialize(module)
            drawn = module.to(torch_device, torch_dtype).state_dict()
            state |= {f"{name}.{key}": tensor for key, tensor in drawn.items()}
    model.load_state_dict(state, assign=True)
    return Pipeline(model.eval(), processor, config)


def _recipe(
    vision: Part, decoder: Part, connector: Mapping[str, Any], settings: Iterable[str], like: str = ""
) -> Config:
    """The recipe of a model of these parts."""
    values: dict[str, Any] = {
        "name": f"{vision.name}-{decoder.name}",
        "model": {
            "vision": write(vision.config),
            "connector": connector,
            "decoder": write(decoder.config),
        },
        "processor": {
            "image": vision.image,
            "tokenizer": decoder.tokenizer,
            "prompt": decoder.prompt,
        },
        "train": {**TRAINING, **({} if vision.folder or vision.packaged else {"vision_lr": FRESH_LR})},
    }
    if like == "paligemma":
        values["model"]["decoder"]["mask"] = "prefix"
    elif like == "idefics3":
        _follow_idefics3(values)
    settings = [settings] if isinstance(settings, str) else [*settings]
    config = read(Config, override(values, settings))
    usual = _as_public(config, vision)
    return read(Config, override(values, [*usual, *settings])) if usual else config


def _follow_idefics3(values: dict[str, Any]) -> None:
    """Put Idefics3's way to read an image and to be asked into a recipe; the whole image is one square."""
    vision, decoder = values["model"]["vision"], values["model"]["decoder"]
    vision["positions"] = "fractional"
    image, text = values["processor"]["image"], values["processor"]["tokenizer"]
    squares = {"fit": "tiles", "tiling": "idefics3", "split": False, "longest_side": 2 * vision["image_size"]}
    values["processor"]["image"] = {**image, **squares}
    values["processor"]["prompt"] = {**values["processor"]["prompt"], **IDEFICS3.prompt(True)}
    more = [*IDEFICS3.needed, "<global-img>"]
    text = {**text, "special": [*dict.fromkeys([*text.get("special", ()), *more])]}
    text["eos"] = [*dict.fromkeys([*IDEFICS3.end, *text.get("eos", ())])]
    values["processor"]["tokenizer"] = text
    tokenizer = read(TokenizerConfig, text)
    known = Tokenizer.read(tokenizer.path, tokenizer).size
    decoder["vocab_size"] = max(decoder["vocab_size"], known + 1)  # and the image's


def _as_public(config: Config, vision: Part) -> list[str]:
    """Return the settings by which the model can be exported, where a public class has models of this plan."""
    tower, connector, mask = config.model.vision, config.model.connector, config.model.decoder.mask
    usual = []
    if mask == "causal":  # a row is tokenized as one text
        usual.append("processor.prompt.joined=true")
    elif mask == "prefix" and config.processor.tokenizer.has_bos:  # as PaliGemma
        usual.append("processor.prompt.bos=true")
    plan = connector.reduce == "none" and connector.project == "mlp" and mask == "causal"
    if plan and vision.folder and isinstance(tower, ViTConfig) and _is_llavas(tower):
        # LLaVA reads the layer before the last (arXiv 2304.08485, section 4.1), and no layer after its norm.
        usual.append(f"model.vision.feature_layer={min(tower.feature_layer, -2)}")
    return usual


def _is_llavas(tower: ViTConfig) -> bool:
    """Whether LLaVA's class has this tower: SigLIP or CLIP, of which the second has class token and first norm."""
    return tower.stem == "patch" and tower.layers > 1 and tower.class_token == tower.pre_norm


def _connector(given: str | Mapping[str, Any] | ConnectorConfig) -> Mapping[str, Any]:
    """Return the settings of a connector by its name."""
    if isinstance(given, ConnectorConfig):
        return write(given)
    if isinstance(given, Mapping):
        return given
    name, colon, number = str(given).partition(":")
    if name not in CONNECTORS:
        problem = f"{given!r} is not one of {', '.join(CONNECTORS)}"
        raise OjitoError("connector", problem, nearest(name, CONNECTORS, "choose one of these"))
    if not colon:
        return CONNECTORS[name]
    if name not in NUMBERS or not number.isdecimal():
        wanted = f"write {name}:2" if name in NUMBERS else f"write {name}"
        raise OjitoError("connector", f"{given!r} has {number!r} after the colon", wanted)
    return {**CONNECTORS[name], NUMBERS[name]: int(number)}
