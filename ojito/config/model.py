"""The settings of a model: vision tower, decoder, and the whole with its connector. Each class checks its own values.

Numbers that follow from others when they are left out, such as the key heads from the query heads, are resolved when
a config is constructed: a 0 in a file asks for the usual number, and no config holds one.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Literal, Union

from ojito.config.connectors import (
    AveragePoolConfig,
    ConnectorConfig,
    Grid,
    PerceiverConfig,
    PixelShuffleConfig,
)
from ojito.config.efficientnet import EfficientNetConfig
from ojito.config.rules import divisible, fraction, not_negative, positive, resolve
from ojito.settings import ConfigError

Part = Literal["vision", "connector", "decoder"]
"""The parts of a model, as settings name them."""

_DEEPEST = 16  # stages, or convolutions of a stem


@dataclass(frozen=True)
class ViTConfig:
    """A vision transformer: ViT, SigLIP or CLIP by its switches. Output (N, P, width), the class token not among P.

    Attributes:
        kind: Chooses this tower.
        image_size: Side of the square image, pixels.
        patch_size: Side of a patch, pixels.
        crop: Whether `image_size` may be more than the patches cover; the pixels too many, on the right and below,
            are not read (SigLIP-So400m: 27 patches of 14 pixels in 384).
        width: Width of the hidden states.
        layers: Transformer layers; 0 leaves stem, positions and the last norm.
        heads: Attention heads of each layer; they divide `width`.
        mlp_dim: Width between the two projections of each MLP.
        activation: Activation between the two projections of each MLP.
        norm_eps: Added to the variance in every norm, so that nothing divides by zero.
        stem: How pixels become patches: one strided convolution ("patch"), or a pyramid of 3x3 convolutions with batch
            norm ("conv"), which learns much faster from scratch (Xiao et al. 2021, arXiv 2106.14881).
        stem_widths: Channels after each convolution of the "conv" stem; the first ones halve the image,
            as many as `patch_size` needs.
        stem_bias: Whether the convolution of the "patch" stem has a bias; CLIP's has none.
        class_token: Whether a class token is read along with the patches.
        positions: How the table of positions is read: a row for each patch ("learned"); resized to the grid
            ("resized": SigLIP 2 for any resolution); by the patch's place as a fraction of the side, in float32
            ("fractional": Idefics3), which at some grids is a neighbour's row.
        position_grid: Side of the table of positions, with positions=resized. Left out or 0 in a file, and always
            otherwise, the image's.
        pre_norm: Whether a norm stands before the first layer (CLIP).
        feature_layer: The layer that patches are taken from, counted from the end: -1 the last, after the last norm;
            -2 the one before it, as it is (LLaVA).
        final_norm: Whether there is a last norm.
        dropout: Share of embeddings, outputs of attention and MLP, and attention weights set to 0 in training.
        attention_dropout: Whether attention weights are among them. On a CPU that costs a little more time.
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
    attention_dropout: bool = True

    def __post_init__(self) -> None:
        positive(self, "image_size", "patch_size", "width", "heads", "mlp_dim", "norm_eps", "stem_widths")
        not_negative(self, layers="the stem alone", position_grid="the image's own")
        fraction(self, "dropout")
        if not self.crop:
            divisible(self, "image_size", "patch_size")
        elif self.image_size < self.patch_size:
            raise ConfigError(
                "image_size", f"{self.image_size} holds no patch of {self.patch_size} pixels", "enlarge it"
            )
        divisible(self, "width", "heads")
        if not -max(self.layers, 1) <= self.feature_layer <= -1:
            raise ConfigError(
                "feature_layer", f"{self.feature_layer} is none of {self.layers} layers", "use -1 for the last"
            )
        if self.positions == "resized":
            resolve(self, position_grid=self.grid)
        else:  # a row for each patch, of whatever image size a copy of this config gets
            object.__setattr__(self, "position_grid", self.grid)
        if self.class_token and self.positions != "learned":
            raise ConfigError("positions", f"{self.positions} has no place for a class_token", "use learned")
        if len(self.stem_widths) > _DEEPEST:
            many = f"{len(self.stem_widths)} convolutions are too many"
            raise ConfigError("stem_widths", f"{many}", f"use {_DEEPEST} or fewer")
        if self.stem == "conv":
            halvings = self.patch_size.bit_length() - 1
            if 2**halvings != self.patch_size:
                raise ConfigError(
                    "patch_size", f"{self.patch_size} must be a power of two with stem=conv", "use 8 or 16"
                )
            if len(self.stem_widths) < halvings:
                raise ConfigError(
                    "stem_widths",
                    f"{list(self.stem_widths)} has {len(self.stem_widths)} convolutions, but patch_size "
                    f"{self.patch_size} needs at least {halvings}",
                    f"add {halvings - len(self.stem_widths)}",
                )

    @property
    def grid(self) -> int:
        """Patches along one side."""
        return self.image_size // self.patch_size


@dataclass(frozen=True)
class ResNetConfig:
    """A residual network of bottleneck blocks (He et al. 2015, v1.5), its last feature map read as patches.

    Attributes:
        kind: Chooses this tower.
        image_size: Side of the square image, pixels.
        stem_width: Channels after the first convolution.
        blocks: Bottleneck blocks of each stage; every stage after the first halves the feature map.
        width: Channels of the last feature map.
    """

    kind: Literal["resnet"] = "resnet"
    image_size: int = 224
    stem_width: int = 64
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    width: int = 2048

    def __post_init__(self) -> None:
        positive(self, "image_size", "stem_width", "blocks", "width")
        if not 0 < len(self.blocks) <= _DEEPEST:
            stages = f"{len(self.blocks)} stages are too many" if self.blocks else "[] has no stage"
            raise ConfigError("blocks", f"{stages}", "use for example [3, 4, 6, 3]")
        stride = self.stride
        if self.image_size % stride:
            lower = max(self.image_size // stride * stride, stride)
            raise ConfigError(
                "image_size",
                f"{self.image_size} is not divisible by the network's stride {stride}",
                f"use {lower} or {lower + stride}",
            )
        narrowest = 4 * 2 ** (len(self.blocks) - 1)
        if self.width % narrowest:
            lower = max(self.width // narrowest * narrowest, narrowest)
            raise ConfigError(
                "width",
                f"{self.width} is not divisible by {narrowest} (4, and 2 for every stage after the first)",
                f"use {lower} or {lower + narrowest}",
            )

    @property
    def stride(self) -> int:
        """Pixels of the image along one side of a patch."""
        return 4 * 2 ** (len(self.blocks) - 1)

    @property
    def grid(self) -> int:
        """Patches along one side."""
        return self.image_size // self.stride


@dataclass(frozen=True)
class NoVisionConfig:
    """No vision tower: a model of text alone, such as a GGUF file without its mmproj.

    Attributes:
        kind: Chooses this.
    """

    kind: Literal["none"] = "none"

    @property
    def image_size(self) -> int:
        """Side of an image, pixels: 0, for there is none."""
        return 0

    @property
    def width(self) -> int:
        """Width of a patch: 0, for there is none."""
        return 0

    @property
    def grid(self) -> int:
        """Patches along one side: 0, for there are none."""
        return 0


VisionConfig = Union[ViTConfig, ResNetConfig, EfficientNetConfig, NoVisionConfig]
"""Any vision tower, or none; they are told apart by `kind`."""


@dataclass(frozen=True)
class RopeScaling:
    """How rotary frequencies are slowed down, so that a model reads more tokens than it was first trained on.

    Attributes:
        kind: "linear" divides all by `factor`; "llama3" the slow ones only: those that turn less than `low` times in
            `original_positions`, with a smooth way to those that turn more than `high` times, which stay.
        factor: How much slower the frequencies become; 1 leaves them.
        low: Turns within `original_positions` below which a frequency is slowed down fully, with kind=llama3.
        high: Turns within `original_positions` above which a frequency stays, with kind=llama3.
        original_positions: Tokens that the model was first trained on, with kind=llama3.
    """

    kind: Literal["none", "linear", "llama3"] = "none"
    factor: float = 1.0
    low: float = 1.0
    high: float = 4.0
    original_positions: int = 8192

    def __post_init__(self) -> None:
        positive(self, "factor", "low", "high", "original_positions")
        if self.kind == "llama3" and not self.low < self.high:
            raise ConfigError("high", f"{self.high} must be more than low {self.low}", "use for example 4")


@dataclass(frozen=True)
class DecoderConfig:
    """One decoder for GPT-2, LLaMA, SmolLM2, Qwen and Gemma: the family is in the switches.

    Attributes:
        vocab_size: Entries of the embedding table; the tokenizer may have fewer.
        width: Width of the hidden states.
        layers: Transformer layers.
        heads: Query heads.
        kv_heads: Key and value heads, each shared by heads / kv_heads query heads. Left out or 0 in a file, as many
            as `heads`.
        head_dim: Size of a head. Left out or 0 in a file, width / heads.
        mlp_dim: Width between the projections of each MLP.
        mlp: "plain" up-activation-down, or "gated" down(activation(gate) * up) (SwiGLU, GeGLU).
        activation: Activation of the MLP, on the gate where there is one; "relu2" is the square of ReLU.
        norm: LayerNorm with bias; RMSNorm; RMSNorm that multiplies by 1 + weight in float32 (Gemma).
        norm_eps: Added to the mean square or variance in every norm, so that nothing divides by zero.
        positions: A learned table, added to the embeddings (GPT-2), or rotary positions in attention.
        max_positions: Most positions in a row, image tokens included.
        rope_theta: Base of the rotary frequencies; of the layers without a window, where there is `window_theta`.
        window_theta: Base in the layers with a window (Gemma 3: 10,000 beside a million). Left out or 0 in a file,
            `rope_theta`.
        window_scaling: Whether `rope_scaling` holds in the layers with a window, too; so it does where `window_theta`
            is left out or 0 in a file.
        rope_scaling: Of the layers without a window.
        bias: Whether all projections of the layers have one (GPT-2).
        query_bias: Whether queries, keys and values have one, even if the others have none (Qwen2).
        tied_head: Whether the head uses the embedding table as its weights.
        query_key_norm: Normalize every head's query and key before they are turned (Gemma 3, Qwen3).
        post_norms: Also normalize what attention and MLP return (Gemma 2 and 3).
        scale_embeddings: Multiply text embeddings, never visual tokens, by sqrt(width) (Gemma).
        query_scalar: Scores are divided by its root. Left out or 0 in a file, head_dim.
        attention_softcap, final_softcap: cap * tanh(x / cap) on scores and logits; 0 means none (Gemma 2).
        window: Layers see only so many latest tokens; 0 means all (Gemma 2 and 3).
        full_every: With a window, every so many-th layer sees all tokens (Gemma 2: 2, Gemma 3: 6).
        mask: "causal" throughout; or image and prompt in both directions, window or not, and the answer causal
            ("prefix", PaliGemma); or each image in both directions, within the window, and all text causal ("image",
            Gemma 3).
        dropout: Share of embeddings, outputs of attention and MLP, and attention weights set to 0 in training.
        attention_dropout: Whether attention weights are among them. On a CPU that costs a little more time.
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
    window_scaling: bool = False
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
    attention_dropout: bool = True

    def __post_init__(self) -> None:
        positive(self, "vocab_size", "width", "layers", "heads", "mlp_dim", "max_positions", "norm_eps", "rope_theta")
        positive(self, "full_every")
        not_negative(self, kv_heads="as many as heads", head_dim="width / heads", query_scalar="head_dim")
        not_negative(self, attention_softcap="none", final_softcap="none", window="all tokens")
        not_negative(self, window_theta="rope_theta")
        fraction(self, "dropout")
        if not self.head_dim:
            divisible(self, "width", "heads")
        resolve(self, window_scaling=not self.window_theta)
        resolve(self, kv_heads=self.heads, head_dim=self.width // self.heads, window_theta=self.rope_theta)
        resolve(self, query_scalar=float(self.head_dim))
        divisible(self, "heads", "kv_heads")
        if self.positions == "rope" and self.head_dim % 2:
            raise ConfigError(
                "head_dim", f"{self.head_dim} must be even for positions=rope", f"use {self.head_dim + 1}"
            )

    @property
    def score_scale(self) -> float:
        """Factor on the products of queries and keys."""
        return self.query_scalar**-0.5

    def window_of(self, layer: int) -> int:
        """Return how many latest tokens a layer, counted from 0, sees; 0 means all."""
        return self.window if (layer + 1) % self.full_every else 0


@dataclass(frozen=True)
class ModelConfig:
    """A vision-language model: vision tower, connector, decoder. With vision.kind=none, the decoder alone."""

    vision: VisionConfig = field(default_factory=ViTConfig)
    connector: Union[ConnectorConfig, PixelShuffleConfig, AveragePoolConfig, PerceiverConfig] = field(
        default_factory=ConnectorConfig
    )
    decoder: DecoderConfig = field(default_factory=DecoderConfig)

    def __post_init__(self) -> None:
        if not self.connector.mlp_dim:  # 0 asks for the decoder's width, which a connector alone does not know
            object.__setattr__(self, "connector", dataclasses.replace(self.connector, mlp_dim=self.decoder.width))
        try:
            self.connector.check_fit(self.grid, self.vision.width)
        except ConfigError as error:
            raise ConfigError(f"connector.{error.where}", error.problem, error.remedy) from None
        if self.vision.kind == "none" and self.image_tokens:
            raise ConfigError(
                "connector.reduce",
                f"{self.connector.reduce} makes {self.image_tokens} tokens of an image, and vision.kind is none",
                "use connector.reduce=none",
            )
        if self.image_tokens >= self.decoder.max_positions:
            raise ConfigError(
                "decoder.max_positions",
                f"{self.decoder.max_positions} leaves no room for text after {self.image_tokens} image tokens",
                f"use {2 * self.image_tokens} or more, or reduce the image tokens with connector.reduce",
            )

    @property
    def grid(self) -> Grid:
        """Rows and columns of patches of an image: those of the vision tower's one size."""
        return self.vision.grid, self.vision.grid

    @property
    def image_tokens(self) -> int:
        """Positions that an image of the vision tower's size takes in a row of tokens."""
        return self.visual_tokens(self.grid)

    def visual_tokens(self, grid: Grid) -> int:
        """Return how many positions an image takes in a row of tokens: a property of the model's config alone.

        Args:
            grid: The image's rows and columns of patches.
        """
        return self.connector.tokens(grid)
