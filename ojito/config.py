"""Every setting of Ojito, as frozen dataclasses that check themselves. No torch here.

`read` turns a mapping (YAML, JSON) into a `Config`; `override` applies `train.lr=3e-4` to that mapping first.
Whatever is wrong with it is one `ConfigError`: the key, the value, the remedy.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

import yaml

T = TypeVar("T")


class ConfigError(ValueError):
    """A setting that cannot be used: names the key, the value and the remedy in one line."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key, self.problem = key, problem

    def __reduce__(self) -> tuple[type[ConfigError], tuple[str, str]]:
        return type(self), (self.key, self.problem)  # loader processes send it home


def _positive(config: Any, *names: str) -> None:
    for name in names:
        if getattr(config, name) <= 0:
            raise ConfigError(name, f"{getattr(config, name)} must be greater than 0")


def _fraction(config: Any, *names: str) -> None:
    for name in names:
        if not 0 <= getattr(config, name) < 1:
            raise ConfigError(name, f"{getattr(config, name)} must be at least 0 and less than 1")


def _divisible(config: Any, whole: str, part: str) -> None:
    size, divisor = getattr(config, whole), getattr(config, part)
    if size % divisor:
        lower = max(size // divisor * divisor, divisor)
        raise ConfigError(
            whole, f"{size} is not divisible by {part} {divisor}; use {lower} or {lower + divisor}, or change {part}"
        )


# ----------------------------------------------------------------------------------------------------------- the model


@dataclass(frozen=True)
class ViTConfig:
    """A vision transformer: ViT, SigLIP or CLIP by its switches. Output (N, P, width), the class token not among P.

    Attributes:
        image_size: Side of the square picture, pixels.
        patch_size: Side of a patch, pixels.
        stem: How pixels become patches: one strided convolution ("patch"), or a pyramid of 3x3 convolutions with batch
            norm ("conv"), which learns much faster from scratch (Xiao et al. 2021, arXiv 2106.14881).
        stem_widths: Channels after each convolution of the "conv" stem; as many of them halve the picture as
            `patch_size` needs, the first ones.
        class_token: Whether a class token is read along with the patches.
        final_norm: Whether the output passes a last norm.
    """

    kind: Literal["vit"] = "vit"
    image_size: int = 224
    patch_size: int = 16
    width: int = 768
    layers: int = 12
    heads: int = 12
    mlp_dim: int = 3072
    activation: Literal["gelu", "gelu_tanh"] = "gelu"
    norm_eps: float = 1e-6
    class_token: bool = False
    final_norm: bool = True
    stem: Literal["patch", "conv"] = "patch"
    stem_widths: tuple[int, ...] = ()
    dropout: float = 0.0

    def __post_init__(self) -> None:
        _positive(self, "image_size", "patch_size", "width", "heads", "mlp_dim")
        _fraction(self, "dropout")
        _divisible(self, "image_size", "patch_size")
        _divisible(self, "width", "heads")
        if self.stem == "conv":
            halvings = self.patch_size.bit_length() - 1
            if 2**halvings != self.patch_size:
                raise ConfigError("patch_size", f"{self.patch_size} must be a power of two with stem=conv; use 8 or 16")
            if len(self.stem_widths) < halvings:
                raise ConfigError(
                    "stem_widths",
                    f"{list(self.stem_widths)} has {len(self.stem_widths)} convolutions, but patch_size "
                    f"{self.patch_size} needs at least {halvings}; add {halvings - len(self.stem_widths)}",
                )

    @property
    def grid(self) -> int:
        """Patches along one side."""
        return self.image_size // self.patch_size


@dataclass(frozen=True)
class ResNetConfig:
    """A residual network of bottleneck blocks (He et al. 2015, v1.5), its last feature map read as patches."""

    kind: Literal["resnet"] = "resnet"
    image_size: int = 224
    stem_width: int = 64
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    width: int = 2048

    def __post_init__(self) -> None:
        _positive(self, "image_size", "stem_width", "width")
        if not self.blocks:
            raise ConfigError("blocks", "[] has no stage; use for example [3, 4, 6, 3]")
        stride = self.stride
        if self.image_size % stride:
            lower = max(self.image_size // stride * stride, stride)
            raise ConfigError(
                "image_size",
                f"{self.image_size} is not divisible by the network's stride {stride}; use {lower} or {lower + stride}",
            )
        halvings = 2 ** (len(self.blocks) - 1)
        if self.width % (4 * halvings):
            raise ConfigError(
                "width", f"{self.width} is not divisible by {4 * halvings} (4 x 2 per stage after the first)"
            )

    @property
    def stride(self) -> int:
        """Pixels of the picture for one of the feature map."""
        return 4 * 2 ** (len(self.blocks) - 1)

    @property
    def grid(self) -> int:
        """Patches along one side."""
        return self.image_size // self.stride


@dataclass(frozen=True)
class ConnectorConfig:
    """From patches (N, P, vision width) to visual tokens (N, P', decoder width): reduce, then project.

    Attributes:
        reduce: "pixel_shuffle" folds `factor` x `factor` patches into channels, "average_pool" averages them,
            "perceiver" lets `queries` learned queries read them through `layers` of cross-attention.
        project: One matrix, or two with a GELU between them.
    """

    reduce: Literal["none", "pixel_shuffle", "average_pool", "perceiver"] = "none"
    factor: int = 1
    queries: int = 64
    layers: int = 2
    heads: int = 8
    project: Literal["linear", "mlp"] = "linear"
    mlp_dim: int = 0
    bias: bool = True

    def __post_init__(self) -> None:
        _positive(self, "factor", "queries", "layers", "heads")
        if self.reduce in ("pixel_shuffle", "average_pool") and self.factor < 2:
            raise ConfigError("factor", f"{self.factor} reduces nothing with reduce={self.reduce}; use 2 or more")


@dataclass(frozen=True)
class DecoderConfig:
    """One decoder for GPT-2, LLaMA, SmolLM2 and Gemma: the family is in the switches.

    Attributes:
        heads: Query heads.
        kv_heads: Key and value heads, each shared by heads / kv_heads query heads; 0 means as many as `heads`.
        head_dim: Size of a head; 0 means width / heads.
        mlp: "plain" up-activation-down, or "gated" down(activation(gate) * up) (SwiGLU, GeGLU).
        norm: LayerNorm with bias; RMSNorm; RMSNorm that multiplies by 1 + weight in float32 (Gemma).
        post_norms: Also normalise what attention and MLP return (Gemma 2).
        scale_embeddings: Multiply text embeddings, never visual tokens, by sqrt(width) (Gemma).
        query_scalar: Scores are divided by its root; 0 means head_dim.
        attention_softcap, final_softcap: cap * tanh(x / cap) on scores and logits; 0 means none (Gemma 2).
        window: Even layers, counted from 0, see only so many latest tokens; 0 means all (Gemma 2).
        mask: "causal" throughout, or image and prompt in both directions and the answer causal ("prefix").
    """

    vocab_size: int = 32000
    width: int = 768
    layers: int = 12
    heads: int = 12
    kv_heads: int = 0
    head_dim: int = 0
    mlp_dim: int = 3072
    mlp: Literal["plain", "gated"] = "gated"
    activation: Literal["gelu", "gelu_tanh", "silu", "relu2"] = "silu"
    norm: Literal["layer", "rms", "rms_plus_one"] = "rms"
    norm_eps: float = 1e-6
    positions: Literal["learned", "rope"] = "rope"
    max_positions: int = 2048
    rope_theta: float = 10000.0
    bias: bool = False
    tied_head: bool = True
    post_norms: bool = False
    scale_embeddings: bool = False
    query_scalar: float = 0.0
    attention_softcap: float = 0.0
    final_softcap: float = 0.0
    window: int = 0
    mask: Literal["causal", "prefix"] = "causal"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        _positive(self, "vocab_size", "width", "layers", "heads", "mlp_dim", "max_positions")
        _fraction(self, "dropout")
        if not self.head_dim:
            _divisible(self, "width", "heads")
        if self.kv_heads:
            _divisible(self, "heads", "kv_heads")
        if self.positions == "rope" and self.head_size % 2:
            raise ConfigError("head_dim", f"{self.head_size} must be even for positions=rope; use {self.head_size + 1}")

    @property
    def head_size(self) -> int:
        """Numbers in one head's query, key or value."""
        return self.head_dim or self.width // self.heads

    @property
    def num_kv_heads(self) -> int:
        """Key and value heads."""
        return self.kv_heads or self.heads

    @property
    def score_scale(self) -> float:
        """What query-key products are multiplied with."""
        return float(self.query_scalar or self.head_size) ** -0.5


@dataclass(frozen=True)
class ModelConfig:
    """A vision-language model: vision tower, connector, decoder."""

    vision: Union[ViTConfig, ResNetConfig] = field(default_factory=ViTConfig)
    connector: ConnectorConfig = field(default_factory=ConnectorConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)

    def __post_init__(self) -> None:
        c, grid = self.connector, self.vision.grid
        if c.reduce in ("pixel_shuffle", "average_pool") and grid % c.factor:
            fits = [f for f in range(2, grid + 1) if grid % f == 0]
            raise ConfigError(
                "connector.factor",
                f"{c.factor} does not divide the vision tower's grid of {grid}x{grid} patches; use one of {fits}",
            )
        if c.reduce == "perceiver" and self.vision.width % c.heads:
            raise ConfigError(
                "connector.heads",
                f"{c.heads} does not divide vision.width {self.vision.width}; use a divisor, for example 8",
            )
        if self.image_tokens >= self.decoder.max_positions:
            raise ConfigError(
                "decoder.max_positions",
                f"{self.decoder.max_positions} leaves no room for text after {self.image_tokens} image tokens; "
                f"use {2 * self.image_tokens} or more, or reduce the image tokens with connector.reduce",
            )

    @property
    def image_tokens(self) -> int:
        """Places that one image takes in a row of tokens: a property of the model alone."""
        if self.connector.reduce == "perceiver":
            return self.connector.queries
        side = self.vision.grid
        if self.connector.reduce != "none":
            side //= self.connector.factor
        return side * side


# ------------------------------------------------------------------------------------------------------- the processor


@dataclass(frozen=True)
class ImageConfig:
    """How a picture becomes pixels: RGB, a square resize, then (x / 255 - mean) / std."""

    fit: Literal["squash", "crop", "pad"] = "squash"
    resample: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bicubic"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    max_pixels: int = 20_000_000

    def __post_init__(self) -> None:
        _positive(self, "max_pixels")
        if min(self.std) <= 0:
            raise ConfigError("std", f"{list(self.std)} must be greater than 0 in every channel")


@dataclass(frozen=True)
class TokenizerConfig:
    """Characters or byte-level BPE, learned from the training text, or any `tokenizer.json`.

    Attributes:
        vocab_size: The most entries that training may learn; 0 means the decoder's `vocab_size`.
        phrases: For kind=bpe: words that stand together in this share of the texts become one token, for example
            0.02; 0 means that no token goes beyond a word.
        path: The file for kind=file.
    """

    kind: Literal["bpe", "characters", "file"] = "bpe"
    vocab_size: int = 0
    phrases: float = 0.0
    path: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.phrases < 1:
            raise ConfigError(
                "phrases", f"{self.phrases} is no share of the texts; use for example 0.02, or 0 for none"
            )
        if self.phrases and self.kind != "bpe":
            raise ConfigError("phrases", f"{self.phrases} is for kind=bpe, not kind={self.kind}; leave it at 0")
        if self.kind == "file" and not self.path:
            raise ConfigError("path", "'' names no file, and kind=file needs one; give the path of a tokenizer.json")


@dataclass(frozen=True)
class PromptConfig:
    """How a turn is written down.

    Attributes:
        image: "front" puts a row's images before all text; "inline" where the text says `<image>`, else in front.
        bos: Whether a begin-of-text token follows the images.
        separator: Ends the question; tokenized apart, so that it never merges into the question's last token.
        caption: The prompt that asks for a caption.
        turns: "chat": a turn reads the turns before it; "blind": each turn reads the image and itself alone, so
            that many questions about one picture train in one row without seeing each other.
        loss: Labels on the answers only, or on the questions too ("all").
    """

    image: Literal["front", "inline"] = "front"
    bos: bool = True
    separator: str = "\n"
    caption: str = "caption"
    turns: Literal["chat", "blind"] = "chat"
    loss: Literal["answers", "all"] = "answers"
    max_tokens: int = 512


@dataclass(frozen=True)
class ProcessorConfig:
    """Pictures and words to tensors and back."""

    image: ImageConfig = field(default_factory=ImageConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    prompt: PromptConfig = field(default_factory=PromptConfig)


# ---------------------------------------------------------------------------------------------------- data and training


@dataclass(frozen=True)
class ScenesConfig:
    """The drawn scenes.

    Attributes:
        max_objects: The most objects of a scene, 1 to 9.
        questions: Turns about one training scene; the caption is always one of them.
    """

    max_objects: int = 4
    questions: int = 5

    def __post_init__(self) -> None:
        _positive(self, "max_objects", "questions")
        if self.max_objects > 9:
            raise ConfigError("max_objects", f"{self.max_objects} do not fit the nine places of a scene; use 9 or less")


@dataclass(frozen=True)
class DataConfig:
    """What to learn from.

    Attributes:
        path: A folder, a `.jsonl` file, or a built-in source: "scenes", "photos16".
        split: The split to train on, where the rows name one.
        eval_split: The split to evaluate on during training; without such rows, nothing is evaluated.
        max_bad: Share of broken rows or pictures that is skipped (named and counted); above it training stops.
        workers: Processes that read pictures; 0 reads them between steps.
        cache_mb: Memory for decoded pictures, MiB.
    """

    path: str = "scenes"
    split: str = "train"
    eval_split: str = "dev"
    max_bad: float = 0.05
    workers: int = 0
    cache_mb: int = 1024
    scenes: ScenesConfig = field(default_factory=ScenesConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.max_bad <= 1:
            raise ConfigError("max_bad", f"{self.max_bad} must lie between 0 and 1, for example 0.05")


Part = Literal["vision", "connector", "decoder"]


@dataclass(frozen=True)
class TrainConfig:
    """How to learn.

    Attributes:
        steps: Optimizer steps; 0 means that `minutes` decides.
        minutes: Wall-clock budget of the training loop, which the schedule follows; 0 means that `steps` decides.
        batch_size: Rows a step, all micro-batches of `accumulate` together.
        lr: Peak learning rate; vision_lr, connector_lr, decoder_lr replace it for their part where greater than 0.
        muon_lr: Peak learning rate of Muon on hidden matrices, with optimizer=muon; all else is AdamW's. A part with
            a learning rate of its own gets as much more or less of this one, too.
        freeze: Parts that do not learn.
        warmup: Share of the run over which the rate rises from 0.
        decay: Share of the run, at its end, over which schedule=wsd falls to 0.
        precision: "auto" is bfloat16 autocast where the device multiplies it fast, else float32.
    """

    steps: int = 1000
    minutes: float = 0.0
    batch_size: int = 32
    accumulate: int = 1
    optimizer: Literal["adamw", "muon"] = "adamw"
    lr: float = 1e-3
    vision_lr: float = 0.0
    connector_lr: float = 0.0
    decoder_lr: float = 0.0
    muon_lr: float = 0.02
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.05
    clip: float = 1.0
    schedule: Literal["cosine", "wsd"] = "cosine"
    warmup: float = 0.05
    decay: float = 0.2
    freeze: tuple[Part, ...] = ()
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    log_every: int = 10
    eval_every: int = 0
    eval_samples: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        _positive(self, "batch_size", "accumulate", "lr", "log_every")
        _divisible(self, "batch_size", "accumulate")
        _fraction(self, "warmup")
        if self.steps <= 0 and self.minutes <= 0:
            raise ConfigError("steps", f"{self.steps} and minutes {self.minutes} leave no training; set one of them")
        if set(self.freeze) == set(typing.get_args(Part)):
            raise ConfigError("freeze", f"{list(self.freeze)} leaves nothing to train; leave one part out")


@dataclass(frozen=True)
class Config:
    """A recipe: model, processor, data and training in one file."""

    name: str = "custom"
    model: ModelConfig = field(default_factory=ModelConfig)
    processor: ProcessorConfig = field(default_factory=ProcessorConfig)
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


# ------------------------------------------------------------------------------------------- mappings in, mappings out


def read(cls: type[T], values: Mapping[str, Any], key: str = "") -> T:
    """The dataclass `cls` with these values; what is not given keeps its default.

    Raises:
        ConfigError: Unknown key (with the nearest known one), wrong type, impossible value or combination.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(key or "config", f"{values!r} is not a mapping of settings to values")
    types_ = typing.get_type_hints(cls)
    known = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise ConfigError(_join(key, str(name)), f"unknown setting; {hint}")
    made = {name: _value(types_[name], value, _join(key, name)) for name, value in values.items()}
    try:
        return cls(**made)
    except ConfigError as error:
        raise ConfigError(_join(key, error.key), error.problem) from None


def write(config: Any) -> dict[str, Any]:
    """The mapping that `read` turns back into this config: plain dicts, lists, numbers and strings."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value

    return plain(dataclasses.asdict(config))


def override(values: Mapping[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """The mapping with each `dotted.key=value` set in it; the value is read as YAML.

    Raises:
        ConfigError: A setting without `=`, or one that reaches into a plain value.
    """
    result = _copy(values)
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key:
            raise ConfigError(setting, "is not a setting; write key=value, for example train.lr=3e-4")
        *path, last = key.strip().split(".")
        node = result
        for name in path:
            node = node.setdefault(name, {})
            if not isinstance(node, dict):
                raise ConfigError(key, f"{name} is a value, not a group of settings")
        node[last] = parse_yaml(text, key)
    return result


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Two mappings of settings, group by group; what `over` says wins."""
    result = _copy(under)
    for name, value in over.items():
        if isinstance(value, Mapping) and isinstance(result.get(name), dict):
            result[name] = merge(result[name], value)
        else:
            result[name] = _copy(value) if isinstance(value, Mapping) else value
    return result


class _Loader(yaml.SafeLoader):
    """YAML 1.2's floats: `1e-3` is a number, which YAML 1.1 reads as a string."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


def parse_yaml(text: str, origin: str) -> Any:
    """The value of a YAML text.

    Raises:
        ConfigError: The text is not YAML; names `origin` and the line.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(origin, f"is not valid YAML{where}: {getattr(error, 'problem', None) or error}") from None


def read_yaml(path: Path | str) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: No such file, not YAML, or not a mapping.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8 text"
        raise ConfigError(str(path), f"cannot be read ({reason}); give the path of a YAML recipe") from None
    values = parse_yaml(text, str(path))
    if not isinstance(values, dict):
        raise ConfigError(str(path), "is not a mapping of settings; see `ojito train --print-config` for one")
    return values


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _copy(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _copy(v) if isinstance(v, Mapping) else v for k, v in values.items()}


def _value(kind: Any, value: Any, key: str) -> Any:
    """`value` as the annotated type `kind`, or a ConfigError that names both."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        return _tagged(args, value, key)
    if dataclasses.is_dataclass(kind):
        return value if isinstance(value, kind) else read(kind, value, key)  # type: ignore[arg-type]
    if origin is Literal:
        if value in args and not isinstance(value, bool):
            return value
        near = difflib.get_close_matches(str(value), [str(a) for a in args], 1)
        hint = f"did you mean {near[0]}?" if near else "choose one of these"
        raise ConfigError(key, f"{value!r} is not one of {', '.join(map(str, args))}; {hint}")
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(key, f"{value!r} is not a list; write [{value}]")
        if args[-1] is Ellipsis:
            return tuple(_value(args[0], v, f"{key}[{i}]") for i, v in enumerate(value))
        if len(value) != len(args):
            raise ConfigError(key, f"{list(value)} has {len(value)} entries, not {len(args)}")
        return tuple(_value(a, v, f"{key}[{i}]") for i, (a, v) in enumerate(zip(args, value, strict=True)))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool):
        return value
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    raise ConfigError(key, f"{value!r} is not {words[kind]}")


def _tagged(members: tuple[Any, ...], value: Any, key: str) -> Any:
    """One of several dataclasses, chosen by the value's `kind`."""
    if isinstance(value, members):
        return value
    if not isinstance(value, Mapping):
        raise ConfigError(key, f"{value!r} is not a mapping of settings to values")
    by_kind = {m.kind: m for m in members}
    kind = value.get("kind", members[0].kind)
    if kind not in by_kind:
        raise ConfigError(_join(key, "kind"), f"{kind!r} is not one of {', '.join(by_kind)}; choose one of these")
    return read(by_kind[kind], value, key)
