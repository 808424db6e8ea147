"""What all tests share: a command run in this process, real photographs, and no GPU where there is none."""

import builtins
import os
import signal
from pathlib import Path

# Before torch is imported: threads on tiny tensors only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import jaxtyping
import pytest

# As a terminal has them: under nohup, or in the background of a script, they are ignored, here and in what is started.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# The shapes in the model's signatures, checked at every call. Before the model is imported; and by their bare names,
# because the model itself does not import jaxtyping, which its users need not have.
for name in ("Bool", "Float", "Int"):
    setattr(builtins, name, getattr(jaxtyping, name))
jaxtyping.install_import_hook(["ojito.model", "ojito.locate.mask_decoder"], "beartype.beartype")

DATA = "OJITO_DATA"


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data sets that OJITO_DATA names. Where it is set, the data have to be there."""
    if DATA not in os.environ:
        pytest.skip(f"{DATA} is not set: no real photographs to test with")
    folder = Path(os.environ[DATA])
    if not (folder / "flickr8k_128" / "captions.jsonl").is_file():
        pytest.fail(f"{DATA}={folder} holds no flickr8k_128/captions.jsonl; unset it, or mend the folder")
    return folder


@pytest.fixture
def run(capsys):
    """Runs a command in this process, as it is typed; returns its exit code, stdout and stderr."""
    from ojito.cli import main

    def run(*words):
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def refused(run):
    """Runs a command that cannot be followed; returns what it says, which is one line on stderr, with exit code 2."""

    def refused(*words):
        code, out, err = run(*words)
        assert (code, out) == (2, "")
        assert err.startswith("ojito: error: ")
        assert err.count("\n") == 1
        return err

    return refused


@pytest.fixture
def tiny_config():
    """Transformer layers of width 32 on 16-pixel images."""
    from ojito.config import (
        Config,
        ConnectorConfig,
        DecoderConfig,
        ModelConfig,
        ProcessorConfig,
        TokenizerConfig,
        TrainConfig,
        ViTConfig,
    )  # fmt: skip

    return Config(
        model=ModelConfig(
            vision=ViTConfig(image_size=16, patch_size=8, width=32, layers=1, heads=2, mlp_dim=64),
            connector=ConnectorConfig(project="mlp"),
            decoder=DecoderConfig(vocab_size=64, width=32, layers=2, heads=4, kv_heads=2, mlp_dim=64),
        ),
        processor=ProcessorConfig(tokenizer=TokenizerConfig(kind="characters")),
        train=TrainConfig(steps=4, batch_size=4, lr=3e-3, warmup=0.0, precision="float32"),
    )


@pytest.fixture(scope="session")
def parts(tmp_path_factory):
    """Folders of a SigLIP, a SmolLM2 and a GPT-2."""
    from tests.public_parts import GPT2, ONE_NAME, save_decoder, save_tower

    folder = tmp_path_factory.mktemp("parts")
    save_tower(folder / "siglip")
    save_decoder(folder / "smollm")
    save_decoder(folder / "gpt2", GPT2, "gpt2", ONE_NAME)
    return folder


@pytest.fixture
def join(parts):
    """`build` with these parts, but for what is given."""
    from ojito.building import build

    given = {"vision": parts / "siglip", "decoder": parts / "smollm", "dtype": "float32", "device": "cpu"}
    return lambda **changes: build(**{**given, **changes})


@pytest.fixture
def latin1(tmp_path):
    """A folder whose name is not UTF-8, as old archives unpack."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/mod\xe8le"))
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("names are UTF-8 on this disk")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests for a GPU are skipped where there is none."""
    waiting = [item for item in items if item.get_closest_marker("gpu")]
    if waiting:
        import torch

        if not torch.cuda.is_available():
            for item in waiting:
                item.add_marker(pytest.mark.skip(reason="needs CUDA"))


@pytest.fixture
def caption_rows():
    """Two plain images with a caption each."""
    from PIL import Image

    from ojito.data import Source
    from ojito.records import Sample, Turn

    colours = ("red", "blue")
    rows = [Sample([Image.new("RGB", (20, 20), c)], turns=(Turn("", (f"a {c} card",)),), origin=c) for c in colours]
    return Source("cards", rows)


@pytest.fixture
def babbler():
    """A real pipeline that babbles, and sharp enough that images change what it says."""
    import string

    import torch

    from ojito.config import DecoderConfig, ModelConfig, ProcessorConfig, TokenizerConfig, ViTConfig
    from ojito.model import VLM
    from ojito.pipeline import Pipeline
    from ojito.processor import Processor, Tokenizer

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
