"""Every setting of Ojito, as frozen dataclasses that check themselves. No torch here.

`settings` makes them from YAML and the command line. Whatever is wrong is one `ConfigError`: key, value, remedy.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Union

from ojito.settings import ConfigError

_FEW = 1000  # candidates that a message looks among for others that fit
_DEEPEST = 16  # stages, or convolutions of a stem


def _entries(config: Any, *names: str) -> Iterator[tuple[str, Any]]:
    """Settings and their values; of a list, each entry: "blocks[0]"."""
    for name in names:
        value = getattr(config, name)
        if isinstance(value, (list, tuple)):
            yield from ((f"{name}[{i}]", entry) for i, entry in enumerate(value))
        else:
            yield name, value


def _positive(config: Any, *names: str) -> None:
    for name, value in _entries(config, *names):
        if not value > 0:  # and not "<= 0", which nan is not either
            raise ConfigError(name, f"{value} must be greater than 0")


def _not_negative(config: Any, **zero: str) -> None:
    """Takes what a 0 means, for each setting."""
    for name, meaning in zero.items():
        if not getattr(config, name) >= 0:
            raise ConfigError(name, f"{getattr(config, name)} must be at least 0; use 0 for {meaning}")


def _fraction(config: Any, *names: str) -> None:
    for name, value in _entries(config, *names):
        if not 0 <= value < 1:
            raise ConfigError(name, f"{value} must be at least 0 and less than 1")


def _share(config: Any, **example: float) -> None:
    """Unlike a fraction, a share may be the whole."""
    for name, usual in example.items():
        if not 0 <= getattr(config, name) <= 1:
            raise ConfigError(name, f"{getattr(config, name)} must lie between 0 and 1, for example {usual}")


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
        crop: Whether `image_size` may be more than the patches cover; the pixels too many, on the right and below,
            are not read (SigLIP-So400m: 27 patches of 14 pixels in 384).
        layers: Transformer layers; 0 leaves stem, positions and the last norm.
        stem: How pixels become patches: one strided convolution ("patch"), or a pyramid of 3x3 convolutions with batch
            norm ("conv"), which learns much faster from scratch (Xiao et al. 2021, arXiv 2106.14881).
        stem_widths: Channels after each convolution of the "conv" stem; as many of them halve the picture as
            `patch_size` needs, the first ones.
        stem_bias: Whether the convolution of the "patch" stem has a bias; CLIP's has none.
        class_token: Whether a class token is read along with the patches.
        positions: How the table of positions is read: a row for each patch ("learned"); resized to the grid
            ("resized": SigLIP 2 for any resolution); by the patch's place as a fraction of the side, in float32
            ("fractional": Idefics3), which at some grids is a neighbour's row.
        position_grid: Side of the table of positions, with positions=resized; 0 means the picture's own.
        pre_norm: Whether a norm stands before the first layer (CLIP).
        feature_layer: The layer that patches are taken from, counted from the end: -1 the last, after the last norm;
            -2 the one before it, as it is (LLaVA).
        final_norm: Whether there is a last norm.
    """

    kind: Literal["vit"] = "vit"
    image_size: int = 224
    patch_size: int = 16
    crop: bool = False
    width: int = 768
    layers: int = 12
    heads: int = 12
    mlp_dim: int = 3072
    activation: Literal["gelu", "gelu_tanh", "quick_gelu"] = "gelu"
    norm_eps: float = 1e-6
    class_token: bool = False
    positions: Literal["learned", "resized", "fractional"] = "learned"
    position_grid: int = 0
    pre_norm: bool = False
    feature_layer: int = -1
    final_norm: bool = True
    stem: Literal["patch", "conv"] = "patch"
    stem_widths: tuple[int, ...] = ()
    stem_bias: bool = True
    dropout: float = 0.0

    def __post_init__(self) -> None:
        _positive(self, "image_size", "patch_size", "width", "heads", "mlp_dim", "norm_eps", "stem_widths")
        _not_negative(self, layers="the stem alone", position_grid="the picture's own")
        _fraction(self, "dropout")
        if not self.crop:
            _divisible(self, "image_size", "patch_size")
        elif self.image_size < self.patch_size:
            raise ConfigError("image_size", f"{self.image_size} holds no patch of {self.patch_size} pixels; enlarge it")
        _divisible(self, "width", "heads")
        if not -max(self.layers, 1) <= self.feature_layer <= -1:
            raise ConfigError(
                "feature_layer", f"{self.feature_layer} is none of {self.layers} layers; use -1 for the last"
            )
        if self.position_grid and self.positions != "resized":
            raise ConfigError("position_grid", f"{self.position_grid} is for positions=resized; leave it at 0")
        if self.class_token and self.positions != "learned":
            raise ConfigError("positions", f"{self.positions} has no place for a class_token; use learned")
        if len(self.stem_widths) > _DEEPEST:
            many = f"{len(self.stem_widths)} convolutions are too many"
            raise ConfigError("stem_widths", f"{many}; use {_DEEPEST} or fewer")
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
        _positive(self, "image_size", "stem_width", "blocks", "width")
        if not 0 < len(self.blocks) <= _DEEPEST:
            stages = f"{len(self.blocks)} stages are too many" if self.blocks else "[] has no stage"
            raise ConfigError("blocks", f"{stages}; use for example [3, 4, 6, 3]")
        stride = self.stride
        if self.image_size % stride:
            lower = max(self.image_size // stride * stride, stride)
            raise ConfigError(
                "image_size",
                f"{self.image_size} is not divisible by the network's stride {stride}; use {lower} or {lower + stride}",
            )
        narrowest = 4 * 2 ** (len(self.blocks) - 1)
        if self.width % narrowest:
            lower = max(self.width // narrowest * narrowest, narrowest)
            raise ConfigError(
                "width",
                f"{self.width} is not divisible by {narrowest} (4, and 2 for every stage after the first); "
                f"use {lower} or {lower + narrowest}",
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
    """From patches (N, P, vision width) to visual tokens (N, P', decoder width): reduce, normalise, project.

    Attributes:
        reduce: "pixel_shuffle" folds `factor` x `factor` patches into channels, "average_pool" averages them,
            "perceiver" lets `queries` learned queries read them through `layers` of cross-attention.
        norm: Before the projection; "rms_plus_one" is Gemma 3's.
        project: One matrix, or two with a GELU between them.
        mlp_dim: Width between the two; 0 means the decoder's.
    """

    reduce: Literal["none", "pixel_shuffle", "average_pool", "perceiver"] = "none"
    factor: int = 1
    queries: int = 64
    layers: int = 2
    heads: int = 8
    norm: Literal["none", "layer", "rms", "rms_plus_one"] = "none"
    norm_eps: float = 1e-6
    project: Literal["linear", "mlp"] = "linear"
    mlp_dim: int = 0
    bias: bool = True

    def __post_init__(self) -> None:
        _positive(self, "factor", "queries", "layers", "heads", "norm_eps")
        _not_negative(self, mlp_dim="the decoder's width")
        if self.reduce in ("pixel_shuffle", "average_pool") and self.factor < 2:
            raise ConfigError("factor", f"{self.factor} reduces nothing with reduce={self.reduce}; use 2 or more")


@dataclass(frozen=True)
class RopeScaling:
    """How rotary frequencies are slowed down, so that a model reads more tokens than it was first trained on.

    Attributes:
        kind: "linear" divides all by `factor`; "llama3" the slow ones only: those that turn less than `low` times in
            `original_positions`, with a smooth way to those that turn more than `high` times, which stay.
    """

    kind: Literal["none", "linear", "llama3"] = "none"
    factor: float = 1.0
    low: float = 1.0
    high: float = 4.0
    original_positions: int = 8192

    def __post_init__(self) -> None:
        _positive(self, "factor", "low", "high", "original_positions")
        if self.kind == "llama3" and not self.low < self.high:
            raise ConfigError("high", f"{self.high} must be more than low {self.low}; use for example 4")


@dataclass(frozen=True)
class DecoderConfig:
    """One decoder for GPT-2, LLaMA, SmolLM2, Qwen and Gemma: the family is in the switches.

    Attributes:
        heads: Query heads.
        kv_heads: Key and value heads, each shared by heads / kv_heads query heads; 0 means as many as `heads`.
        head_dim: Size of a head; 0 means width / heads.
        mlp: "plain" up-activation-down, or "gated" down(activation(gate) * up) (SwiGLU, GeGLU).
        norm: LayerNorm with bias; RMSNorm; RMSNorm that multiplies by 1 + weight in float32 (Gemma).
        rope_theta: Base of the rotary frequencies; of the layers without a window, where there is `window_theta`.
        window_theta: Base in the layers with a window; 0 means `rope_theta` (Gemma 3: 10,000 beside a million).
        rope_scaling: Of the layers that `rope_theta` is for.
        bias: Whether all projections of the layers have one (GPT-2).
        query_bias: Whether queries, keys and values have one, even if the others have none (Qwen2).
        query_key_norm: Normalise every head's query and key before they are turned (Gemma 3, Qwen3).
        post_norms: Also normalise what attention and MLP return (Gemma 2 and 3).
        scale_embeddings: Multiply text embeddings, never visual tokens, by sqrt(width) (Gemma).
        query_scalar: Scores are divided by its root; 0 means head_dim.
        attention_softcap, final_softcap: cap * tanh(x / cap) on scores and logits; 0 means none (Gemma 2).
        window: Layers see only so many latest tokens; 0 means all (Gemma 2 and 3).
        full_every: With a window, every so many-th layer sees all tokens (Gemma 2: 2, Gemma 3: 6).
        mask: "causal" throughout; or image and prompt in both directions, window or not, and the answer causal
            ("prefix", PaliGemma); or each image in both directions, within the window, and all text causal ("image",
            Gemma 3).
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
    window_theta: float = 0.0
    rope_scaling: RopeScaling = field(default_factory=RopeScaling)
    bias: bool = False
    query_bias: bool = False
    tied_head: bool = True
    query_key_norm: bool = False
    post_norms: bool = False
    scale_embeddings: bool = False
    query_scalar: float = 0.0
    attention_softcap: float = 0.0
    final_softcap: float = 0.0
    window: int = 0
    full_every: int = 2
    mask: Literal["causal", "prefix", "image"] = "causal"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        _positive(self, "vocab_size", "width", "layers", "heads", "mlp_dim", "max_positions", "norm_eps", "rope_theta")
        _positive(self, "full_every")
        _not_negative(self, kv_heads="as many as heads", head_dim="width / heads", query_scalar="head_dim")
        _not_negative(self, attention_softcap="none", final_softcap="none", window="all tokens")
        _not_negative(self, window_theta="rope_theta")
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

    def window_of(self, layer: int) -> int:
        """Latest tokens that a layer, counted from 0, sees; 0 means all."""
        return self.window if (layer + 1) % self.full_every else 0


@dataclass(frozen=True)
class ModelConfig:
    """A vision-language model: vision tower, connector, decoder."""

    vision: Union[ViTConfig, ResNetConfig] = field(default_factory=ViTConfig)
    connector: ConnectorConfig = field(default_factory=ConnectorConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)

    def __post_init__(self) -> None:
        c, grid = self.connector, self.vision.grid
        if c.reduce in ("pixel_shuffle", "average_pool") and grid % c.factor:
            fits = [f for f in range(2, min(grid, _FEW) + 1) if grid % f == 0]
            remedy = f"use one of {fits}" if fits else "use connector.reduce=none"
            raise ConfigError(
                "connector.factor",
                f"{c.factor} does not divide the vision tower's grid of {grid}x{grid} patches; {remedy}",
            )
        if c.reduce == "perceiver" and self.vision.width % c.heads:
            fits = [h for h in range(1, min(c.heads, _FEW)) if self.vision.width % h == 0]
            raise ConfigError(
                "connector.heads",
                f"{c.heads} does not divide vision.width {self.vision.width}; use one of {fits}, or more",
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
    """How a picture becomes pixels: RGB, squares of the vision tower's size, then (x / 255 - mean) / std.

    Attributes:
        fit: One square: the picture squashed, its middle cropped (CLIP), or padded with the mean colour. Or "tiles":
            scaled to `longest_side`, stretched to whole tiles and cut, with the whole picture as one more square.
        longest_side: Of the picture that is cut into tiles, pixels; 0 for every other `fit`.
        split: With tiling=idefics3, whether the picture is cut at all, or only the whole of it is read.
        tiling: How tiles are made, with fit=tiles: step by step, each rounded to whole colours ("idefics3": Idefics3,
            SmolVLM); or at once, and the whole of the picture from them, without rounding ("nanovlm").
        enlarge: With tiling=nanovlm, whether smaller pictures grow to `longest_side`, too, or to whole tiles only.
        max_pixels: Pictures with more are refused before they are decoded.
    """

    fit: Literal["squash", "crop", "pad", "tiles"] = "squash"
    longest_side: int = 0
    split: bool = True
    tiling: Literal["idefics3", "nanovlm"] = "idefics3"
    enlarge: bool = True
    resample: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bicubic"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    max_pixels: int = 20_000_000

    def __post_init__(self) -> None:
        _positive(self, "max_pixels")
        if self.fit == "tiles" and not 0 < self.longest_side <= 4096:
            raise ConfigError(
                "longest_side", f"{self.longest_side} must lie between 1 and 4096 with fit=tiles; use for example 2048"
            )
        if self.fit != "tiles" and self.longest_side:
            raise ConfigError("longest_side", f"{self.longest_side} is for fit=tiles, not {self.fit}; leave it at 0")
        if self.fit != "tiles" and self.tiling != "idefics3":
            raise ConfigError("tiling", f"{self.tiling} is for fit=tiles, not {self.fit}; leave it at idefics3")
        if self.fit != "tiles" and not self.split:
            raise ConfigError("split", f"false is for fit=tiles, not {self.fit}; leave it at true")
        if self.tiling != "idefics3" and not self.split:
            raise ConfigError("split", f"false is for tiling=idefics3, not {self.tiling}; leave it at true")
        if self.tiling != "nanovlm" and not self.enlarge:
            raise ConfigError("enlarge", f"false is for tiling=nanovlm, not {self.tiling}; leave it at true")
        if not all(0 <= mean <= 1 for mean in self.mean):
            raise ConfigError("mean", f"{list(self.mean)} must lie between 0 and 1; divide means of 0..255 by 255")
        if not all(std > 0 for std in self.std):
            raise ConfigError("std", f"{list(self.std)} must be greater than 0 in every channel")


@dataclass(frozen=True)
class TokenizerConfig:
    """Characters or byte-level BPE, learned from the training text, or any `tokenizer.json`.

    Attributes:
        vocab_size: The most entries that training may learn; 0 means the decoder's `vocab_size`.
        phrases: For kind=bpe: two neighbours that stand together at least this often become one token. Counted are
            all times that they do, as a share of the number of texts, and every prompt, answer and separator is a
            text: 0.02 is twice in a hundred. 0 means that no token goes beyond a word.
        path: The file for kind=file.
        bos: The token that begins a row; "" means the first of the usual names that the file has.
        eos: The tokens that end an answer: training writes the first, generation ends at any. () means the first of
            the usual names that the file has.
        pad: The token that fills rows to one length; "" means the first of the usual names, else `eos`.
        special: More tokens that `prompt` may write and nobody else can: typed, they are so many characters; decoded,
            nothing. Those that the file lacks are added to it. "<row_{1..6}_col_{1..6}>" is 36 of them.
        added: Tokens that every text may hold and that are never split. Written likewise, and added likewise
            (PaliGemma's "<loc{0000..1023}>").
    """

    kind: Literal["bpe", "characters", "file"] = "bpe"
    vocab_size: int = 0
    phrases: float = 0.0
    path: str = ""
    bos: str = ""
    eos: tuple[str, ...] = ()
    pad: str = ""
    special: tuple[str, ...] = ()
    added: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _not_negative(self, vocab_size="the decoder's vocab_size")
        for name, token in _entries(self, "eos", "special", "added"):
            if not token:
                raise ConfigError(name, "'' is no token; leave it out")
        if len(self.eos) > 16:
            raise ConfigError("eos", f"{len(self.eos)} tokens that end an answer are too many; use 16 or fewer")
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
    """How a turn is written down: user, question, separator, answer, end of answer.

    All but `caption` may hold the tokenizer's special tokens. In a question or an answer they are plain text.

    Attributes:
        image: "front" puts a row's images before all text; "inline" where a question says `<image>`, else before the
            words of the first question.
        bos: Whether a begin-of-text token follows the images in front, or begins the row.
        user: What precedes a question.
        before_text: What precedes a question's words where no image stands before them in their turn (Idefics3 writes
            "User:<image>what?" and "User: what?").
        separator: What follows a question.
        before_answer: White space that precedes an answer, and is learned with it: of a byte-level vocabulary, " red"
            and not "red" is the word. Generated answers are given without it.
        after_answer: What follows the end of an answer.
        joined: Whether all of these and the question are tokenized as one text, as chat models are used to; otherwise
            each apart, so that a separator never merges into the question's last token.
        picture: How an image is written; `<image>` stands for its visual tokens.
        picture_number: What precedes each image of a row that has several, `{number}` counted from 0 (nanoVLM).
        tile: How a tile of a picture that was split is written, `{row}` and `{column}` counted from 1.
        tile_row_end: What follows the tiles of one row.
        tiles_end: What follows all tiles.
        whole: Whether the whole of a picture that was split, as `picture`, comes after its tiles or before them.
        caption: The prompt that asks for a caption.
        turns: "chat": a turn reads the turns before it; "blind": each turn reads the image and itself alone, so
            that many questions about one picture train in one row without seeing each other.
        answers: What a turn with several answers (reference captions) teaches: "one" of them, drawn anew every time;
            or "all", each as a blind turn of its own, for one look at the picture.
        loss: Labels on the answers only, or on the questions too ("all").
        max_tokens: The most tokens of text in a row, image tokens not among them.
    """

    image: Literal["front", "inline"] = "front"
    bos: bool = True
    user: str = ""
    before_text: str = ""
    separator: str = "\n"
    before_answer: str = ""
    after_answer: str = ""
    joined: bool = False
    picture: str = "<image>"
    picture_number: str = ""
    tile: str = "<image>"
    tile_row_end: str = ""
    tiles_end: str = ""
    whole: Literal["last", "first"] = "last"
    caption: str = "caption"
    turns: Literal["chat", "blind"] = "chat"
    answers: Literal["one", "all"] = "one"
    loss: Literal["answers", "all"] = "answers"
    max_tokens: int = 512

    def __post_init__(self) -> None:
        _positive(self, "max_tokens")
        if self.answers == "all" and self.turns != "blind":
            raise ConfigError(
                "answers", f"all needs turns=blind, not turns={self.turns}: answers must not read each other"
            )
        for name, text in _entries(self, "picture", "tile"):
            if text.count("<image>") != 1:
                raise ConfigError(name, f"{text!r} must hold <image>, for the visual tokens, exactly once")
        if self.before_answer.strip():
            raise ConfigError(
                "before_answer", f"{self.before_answer!r} is more than white space; put words into separator"
            )


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
        cache_mb: Memory for decoded pictures, MiB; 0 keeps none.
        flip: Mirrors half of the rows' pictures, left to right, drawn anew every time: twice as many pictures, where
            left, right and writing do not matter.
    """

    path: str = "scenes"
    split: str = "train"
    eval_split: str = "dev"
    max_bad: float = 0.05
    workers: int = 0
    cache_mb: int = 1024
    flip: bool = False
    scenes: ScenesConfig = field(default_factory=ScenesConfig)

    def __post_init__(self) -> None:
        if not self.path:
            raise ConfigError("path", "'' names nothing; give a folder, a .jsonl or .csv file, scenes or photos16")
        _share(self, max_bad=0.05)
        _not_negative(self, workers="reading between steps", cache_mb="no cache")


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
        clip: The longest gradient, as a norm over all parameters; longer ones are scaled down to it. 0 clips nothing.
        freeze: Parts that do not learn.
        warmup: Share of the run over which the rate rises from 0.
        decay: Share of the run, at its end, over which schedule=wsd falls to 0.
        precision: "auto" is bfloat16 autocast where the device multiplies it fast, else float32.
        log_every: Steps for a line of the log.
        eval_every: Steps between evaluations; 0 evaluates at the end only.
        eval_samples: The most rows of `data.eval_split` that an evaluation asks.
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
        _positive(self, "batch_size", "accumulate", "lr", "muon_lr", "log_every", "eval_samples")
        _divisible(self, "batch_size", "accumulate")
        _not_negative(self, vision_lr="lr", connector_lr="lr", decoder_lr="lr")
        _not_negative(self, weight_decay="none", clip="no clipping", eval_every="an evaluation at the end only")
        _fraction(self, "betas", "warmup")
        _share(self, decay=0.2)
        if self.schedule == "wsd" and self.warmup + self.decay > 1:
            raise ConfigError(
                "decay",
                f"{self.decay} and warmup {self.warmup} are more than the whole run; use {1 - self.warmup:g} or less",
            )
        if self.steps <= 0 and self.minutes <= 0:
            raise ConfigError("steps", f"{self.steps} and minutes {self.minutes} leave no training; set one of them")
        _not_negative(self, steps="as many as the minutes hold", minutes="as many as the steps take")
        if self.seed.bit_length() > 63:
            raise ConfigError("seed", f"{self.seed} is too large for PyTorch; use a number below 2**63")
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
