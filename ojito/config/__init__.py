"""All settings of Ojito, as frozen dataclasses that check themselves. No torch here.

`ojito.settings` reads them from YAML and the command line, and `ojito settings` lists them with their descriptions.
A mistake is one `ConfigError`: the key, the problem, the remedy.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ojito.config.connectors import AveragePoolConfig, ConnectorConfig, PerceiverConfig, PixelShuffleConfig
from ojito.config.model import DecoderConfig, ModelConfig, ResNetConfig, RopeScaling, ViTConfig
from ojito.config.processor import ImageConfig, ProcessorConfig, PromptConfig, TokenizerConfig
from ojito.config.training import DataConfig, Part, ScenesConfig, TrainConfig, only_length

__all__ = [
    "AveragePoolConfig",
    "Config",
    "ConnectorConfig",
    "DataConfig",
    "DecoderConfig",
    "ImageConfig",
    "ModelConfig",
    "Part",
    "PerceiverConfig",
    "PixelShuffleConfig",
    "ProcessorConfig",
    "PromptConfig",
    "ResNetConfig",
    "RopeScaling",
    "ScenesConfig",
    "TokenizerConfig",
    "TrainConfig",
    "ViTConfig",
    "only_length",
]


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
