"""All settings of Ojito, as frozen dataclasses that check themselves. No torch here.

`ojito.settings` reads them from YAML and the command line, and `ojito settings` lists them with their descriptions.
A mistake is one `ConfigError`: the key, the problem, the remedy.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ojito.config.connectors import AveragePoolConfig, ConnectorConfig, PerceiverConfig, PixelShuffleConfig
from ojito.config.data import ColourConfig, DataConfig, MixedConfig, ScenesConfig
from ojito.config.efficientnet import EfficientNetConfig
from ojito.config.lora import LoraConfig
from ojito.config.model import (
    DecoderConfig,
    ModelConfig,
    NoVisionConfig,
    Part,
    ResNetConfig,
    RopeScaling,
    VisionConfig,
    ViTConfig,
)
from ojito.config.processor import ImageConfig, ProcessorConfig, PromptConfig, TokenizerConfig
from ojito.config.stages import StageConfig
from ojito.config.training import TrainConfig, only_length
from ojito.settings import ConfigError

__all__ = [
    "AveragePoolConfig",
    "ColourConfig",
    "Config",
    "ConnectorConfig",
    "DataConfig",
    "DecoderConfig",
    "EfficientNetConfig",
    "ImageConfig",
    "LoraConfig",
    "MixedConfig",
    "ModelConfig",
    "NoVisionConfig",
    "Part",
    "PerceiverConfig",
    "PixelShuffleConfig",
    "PretrainedConfig",
    "ProcessorConfig",
    "PromptConfig",
    "ResNetConfig",
    "RopeScaling",
    "ScenesConfig",
    "StageConfig",
    "TokenizerConfig",
    "TrainConfig",
    "ViTConfig",
    "VisionConfig",
    "only_length",
]


@dataclass(frozen=True)
class PretrainedConfig:
    """Parts that a new model begins with, in place of random weights. Its config then takes their sizes.

    Attributes:
        vision: A vision tower of `ojito parts`, a folder, or "owner/name" on the Hugging Face Hub; "" means random
            weights.
        decoder: A decoder with its tokenizer: a folder, or "owner/name"; "" means random weights.
    """

    vision: str = ""
    decoder: str = ""


@dataclass(frozen=True)
class Config:
    """A recipe: model, processor, data and training in one file.

    Attributes:
        name: Name of the model; without --out, training writes it to runs/NAME.
    """

    name: str = "custom"
    model: ModelConfig = field(default_factory=ModelConfig)
    processor: ProcessorConfig = field(default_factory=ProcessorConfig)
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    pretrained: PretrainedConfig = field(default_factory=PretrainedConfig)

    def __post_init__(self) -> None:
        if self.train.lora.rank and not self.train.adapted:  # a single stage may well have none
            problem = f"{list(self.train.lora.parts)} never learn (train.freeze), and get no adapters"
            raise ConfigError("train.lora.parts", problem, "leave one of them out of freeze, or set train.lora.rank=0")
