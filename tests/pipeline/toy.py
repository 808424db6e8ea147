"""A tiny pipeline, and pipelines that say what they are told."""

import string

import torch

from ojito import pipeline as module
from ojito.config import Config, DecoderConfig, ModelConfig, ProcessorConfig, TokenizerConfig, ViTConfig
from ojito.model import VLM
from ojito.pipeline import Pipeline
from ojito.processor import Processor, Tokenizer
from ojito.records import Sample
from tests.scripted import Scripted

CONFIG = Config(
    name="toy",
    model=ModelConfig(
        vision=ViTConfig(image_size=16, patch_size=8, width=32, layers=1, heads=2, mlp_dim=64),
        decoder=DecoderConfig(vocab_size=259, width=32, layers=1, heads=2, mlp_dim=64, max_positions=128),
    ),
    processor=ProcessorConfig(tokenizer=TokenizerConfig(kind="characters")),
)


def make(config=CONFIG, kind="characters"):
    torch.manual_seed(0)
    tokenizer = Tokenizer.train(TokenizerConfig(kind=kind), [string.printable], 259)
    processor = Processor(config.processor, tokenizer, config.model.vision.image_size, config.model.image_tokens)
    pipe = Pipeline(VLM(config.model).eval(), processor, config)
    for parameter in pipe.model.parameters():  # sharp, so that images and questions change what it says
        parameter.data.mul_(4 if parameter.ndim > 1 else 1)
    return pipe


def says(monkeypatch, pipe, *texts):
    """Makes the pipeline say these texts, token by token, then the end of text; one for each row."""
    rows = [list(pipe.processor.tokenizer.encode(text)) for text in texts]
    says_ids(monkeypatch, *rows)


def says_ids(monkeypatch, *rows):
    monkeypatch.setattr(module, "Scheduler", Scripted(*rows))


def same(a, b, image):
    samples = [Sample([image], "what"), Sample([image, image], "which one")]
    with torch.no_grad():
        return torch.equal(a.model(a.processor(samples)), b.model(b.processor(samples)))
