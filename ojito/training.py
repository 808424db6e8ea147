"""From a recipe to a model that can be trained, and the processor that feeds it."""

from __future__ import annotations

import torch

from ojito.config import Config
from ojito.data import Scenes, Source, training_texts
from ojito.device import pick_device
from ojito.memory import check_training_memory
from ojito.model import VLM
from ojito.model.meta import on_meta
from ojito.processor import Processor, Tokenizer
from ojito.settings import ConfigError


def prepare(config: Config, source: Source | Scenes, device: torch.device | str = "auto") -> tuple[VLM, Processor]:
    """The recipe's model with random weights, and its processor with a tokenizer learned from the data.

    Sets PyTorch's seed, which also decides on dropout later: the same recipe makes the same model.

    Args:
        config: The recipe.
        source: What `open_data(config)` opened; of one without end, the first samples are read.
        device: Where to put the model.

    Raises:
        ConfigError: The tokenizer has more entries than the decoder has embeddings.
        ValueError: No such device, too little memory.
    """
    torch_device = pick_device(device)
    decoder = config.model.decoder
    tokenizer = Tokenizer.train(config.processor.tokenizer, training_texts(source, config), decoder.vocab_size)
    if tokenizer.size > decoder.vocab_size:
        raise ConfigError(
            "model.decoder.vocab_size",
            f"{decoder.vocab_size} is less than the tokenizer's {tokenizer.size} entries; use {tokenizer.size} or more",
        )
    check_training_memory(config.name, on_meta(config.model, config.name), config.train, torch_device)
    torch.manual_seed(config.train.seed)
    model = VLM(config.model).to(torch_device)
    return model, Processor.for_model(config.processor, tokenizer, config.model)
