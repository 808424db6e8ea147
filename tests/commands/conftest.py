"""Models for the commands: one that a command trained, and one that can say where things are."""

import json
import shutil
import string

import numpy as np
import pytest
import tokenizers
import torch
from PIL import Image

from ojito import pipeline
from ojito.cli import main
from ojito.config import Config, DecoderConfig, ModelConfig, ProcessorConfig, PromptConfig, TokenizerConfig, ViTConfig
from ojito.locate.mask_decoder import MaskDecoder
from ojito.locate.mask_weights import KEYS
from ojito.model import VLM
from ojito.pipeline import Pipeline
from ojito.processor import Processor, Tokenizer
from tests.noise import noise
from tests.scripted import Scripted

# --------------------------------------------------------------------------------------------- a model that was trained

MICRO = """
name: micro
model:
  vision: {image_size: 16, patch_size: 8, width: 16, layers: 1, heads: 2, mlp_dim: 16}
  decoder: {vocab_size: 300, width: 16, layers: 1, heads: 2, mlp_dim: 16, max_positions: 96}
train: {steps: 3, batch_size: 4, log_every: 1}
"""
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """Eight images with captions; the last two are the dev split."""
    folder = tmp_path_factory.mktemp("images")
    rows = []
    for number in range(8):
        colour = list(COLOURS)[number % 4]
        Image.new("RGB", (20 + number, 20), COLOURS[colour]).save(folder / f"{number}.png")
        split = "dev" if number >= 6 else "train"
        rows.append({"image": f"{number}.png", "caption": f"a {colour} image", "split": split})
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


@pytest.fixture(scope="session")
def recipe(tmp_path_factory):
    """Three steps of the smallest model."""
    path = tmp_path_factory.mktemp("recipe") / "micro.yaml"
    path.write_text(MICRO)
    return path


@pytest.fixture(scope="session")
def adapter(images, trained, tmp_path_factory):
    """An adapter of that model, after three steps."""
    out = tmp_path_factory.mktemp("adapter") / "tuned"
    words = ["train", "--from", trained, "--data", images / "captions.jsonl", "--out", out, "--steps", "3"]
    lora = ["train.lora.rank=2", "train.lora_lr=0.1", "train.lora.parts=[decoder]", "train.freeze=[vision]"]
    assert main([str(word) for word in (*words, *lora, "--device", "cpu")]) == 0
    return out


@pytest.fixture
def moved(adapter, trained, tmp_path):
    """The same adapter, where its base is not where it says."""
    folder = shutil.copytree(adapter, tmp_path / "moved")
    config = folder / "adapter_config.json"
    config.write_text(config.read_text().replace(str(trained), "/no/such/model"))
    return folder


@pytest.fixture(scope="session")
def trained(images, recipe, tmp_path_factory):
    """A model after three steps: it knows nothing, but it is whole."""
    out = tmp_path_factory.mktemp("runs") / "mine"
    assert main(["train", "--config", str(recipe), "--data", str(images), "--out", str(out), "--device", "cpu"]) == 0
    return out


# ----------------------------------------------------------------------------------- a model that says where things are

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
def image():
    """80 wide, 40 high."""
    return noise((80, 40), mode="L")


@pytest.fixture
def asked():
    """What the model was asked: (prompt, options) each."""
    return []


@pytest.fixture
def says(monkeypatch, pipe, asked):
    """Makes the model say a text, token by token as the tokenizer writes it."""

    def say(text, finish="eos"):
        tokenizer = pipe.processor.tokenizer

        def submitted(batch, options):
            words = [token for token in batch.tokens[0].tolist() if token >= 0]
            asked.append((tokenizer.decode(words), vars(options)))

        scripted = Scripted(tokenizer.encode(text), finish=finish, submitted=submitted)
        monkeypatch.setattr(pipeline, "Scheduler", scripted)

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
def model(pipe, tmp_path):
    """The folder of `pipe`."""
    pipe.save(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def photo(image, tmp_path):
    path = tmp_path / "photo.png"
    image.save(path)
    return path
