import string

import pytest
import torch

from ojito.config import DecoderConfig, ModelConfig, ProcessorConfig, TokenizerConfig, ViTConfig
from ojito.model import VLM
from ojito.pipeline import Pipeline
from ojito.processor import Processor, Tokenizer


@pytest.fixture
def pipe():
    """A real pipeline that babbles, and sharp enough that images change what it says."""
    config = ModelConfig(
        vision=ViTConfig(image_size=16, patch_size=8, width=32, layers=1, heads=2, mlp_dim=64),
        decoder=DecoderConfig(vocab_size=128, width=32, layers=1, heads=2, mlp_dim=64, max_positions=128),
    )
    processing = ProcessorConfig(tokenizer=TokenizerConfig(kind="characters"))
    tokenizer = Tokenizer.train(processing.tokenizer, [string.printable], 128)
    torch.manual_seed(0)
    model = VLM(config).eval()
    for parameter in model.parameters():
        parameter.data.mul_(4 if parameter.ndim > 1 else 1)
    return Pipeline(model, Processor(processing, tokenizer, 16, config.image_tokens))
