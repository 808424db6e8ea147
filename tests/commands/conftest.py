"""A tiny model whose tokenizer can say where things are, and weights to draw masks with."""

import string

import numpy as np
import pytest
import tokenizers
import torch
from PIL import Image

from ojito import pipeline
from ojito.checkpoint.mask_weights import KEYS
from ojito.cli import main
from ojito.config import Config, DecoderConfig, ModelConfig, ProcessorConfig, PromptConfig, TokenizerConfig, ViTConfig
from ojito.generate import Generation
from ojito.model import VLM
from ojito.model.mask_decoder import MaskDecoder
from ojito.pipeline import Pipeline
from ojito.processor import Processor, Tokenizer

LOCATIONS = [f"<loc{i:04d}>" for i in range(1024)]
SEGMENTS = [f"<seg{i:03d}>" for i in range(128)]
CONFIG = Config(
    name="toy",
    model=ModelConfig(
        vision=ViTConfig(image_size=16, patch_size=8, width=32, layers=1, heads=2, mlp_dim=64),
        decoder=DecoderConfig(vocab_size=1400, width=32, layers=1, heads=2, mlp_dim=64, max_positions=400),
    ),
    processor=ProcessorConfig(
        tokenizer=TokenizerConfig(kind="characters"), prompt=PromptConfig(separator="\n", turns="chat")
    ),
)


def make_pipe(folder, added):
    Tokenizer.train(TokenizerConfig(kind="characters"), [string.printable], 259).save(folder / "plain.json")
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "plain.json"))
    tokenizer.add_tokens(added)
    torch.manual_seed(0)
    processor = Processor(CONFIG.processor, Tokenizer(tokenizer), 16, CONFIG.model.image_tokens)
    return Pipeline(VLM(CONFIG.model).eval(), processor, CONFIG)


@pytest.fixture
def pipe(tmp_path):
    return make_pipe(tmp_path, LOCATIONS + SEGMENTS)


@pytest.fixture
def blind(tmp_path):
    """A model without such tokens."""
    return make_pipe(tmp_path, [])


@pytest.fixture
def maskless(tmp_path):
    """A model with locations, and without codes of masks."""
    return make_pipe(tmp_path, LOCATIONS)


@pytest.fixture
def picture():
    """80 wide, 40 high."""
    return Image.effect_noise((80, 40), 90)


@pytest.fixture
def asked(monkeypatch):
    """What the engine was asked: (prompt, options) each."""
    return []


@pytest.fixture
def says(monkeypatch, pipe, asked):
    """Makes the engine say a text, token by token as the tokenizer writes it."""

    def say(text):
        tokenizer = pipe.processor.tokenizer

        def generate(model, batch, **options):
            words = [token for token in batch.tokens[0].tolist() if token >= 0]
            asked.append((tokenizer.decode(words), options))
            return [Generation(tokens=list(tokenizer.encode(text)), finish="eos")]

        monkeypatch.setattr(pipeline, "generate", generate)

    return say


@pytest.fixture(scope="session")
def mask_decoder():
    torch.manual_seed(3)
    made = MaskDecoder().eval()
    for parameter in made.parameters():  # loud, so that masks have an inside and an outside
        parameter.data.normal_(std=(2 / parameter[0].numel()) ** 0.5 if parameter.ndim > 1 else 0.01)
    return made


@pytest.fixture
def weights(tmp_path, mask_decoder):
    """The decoder's `vae-oid.npz`."""
    path = tmp_path / "vae-oid.npz"
    np.savez(path, **{KEYS[key]: tensor.numpy() for key, tensor in mask_decoder.state_dict().items()})
    return path


@pytest.fixture
def run(capsys):
    """Runs a command; returns its exit code, stdout and stderr."""

    def call(*words):
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def model(pipe, tmp_path):
    """The model's folder."""
    pipe.save(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def photo(picture, tmp_path):
    path = tmp_path / "photo.png"
    picture.save(path)
    return path
