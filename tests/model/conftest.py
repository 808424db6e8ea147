"""Tiny models of every decoder style with either vision tower, and rows to feed them."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from ojito.config import ConnectorConfig, DecoderConfig, ModelConfig, ResNetConfig, RopeScaling, ViTConfig
from ojito.model import VLM
from ojito.records import IGNORE, IMAGE, PADDING, SHARED, Batch

VOCABULARY = 40
SIZES = {"vocab_size": VOCABULARY, "width": 24, "layers": 3, "heads": 4, "mlp_dim": 40, "max_positions": 64}
GEMMA = {
    **SIZES, "kv_heads": 1, "head_dim": 10, "activation": "gelu_tanh", "norm": "rms_plus_one",
    "scale_embeddings": True, "mask": "prefix",
}  # fmt: skip
STYLES = {
    "gpt2": DecoderConfig(**SIZES, mlp="plain", activation="gelu_tanh", norm="layer", positions="learned", bias=True),
    "llama": DecoderConfig(**SIZES, kv_heads=2, tied_head=False),
    "gemma": DecoderConfig(**GEMMA),
    # The window is shorter than the prefix and than the answer.
    "gemma2": DecoderConfig(
        **GEMMA | {"kv_heads": 2}, post_norms=True, query_scalar=7, attention_softcap=1.0, final_softcap=3.0, window=3
    ),
    # The window cuts through the image.
    "gemma3": DecoderConfig(
        **GEMMA | {"kv_heads": 2, "mask": "image"},
        post_norms=True,
        query_key_norm=True,
        rope_theta=1e6,
        window_theta=1e4,
        rope_scaling=RopeScaling("linear", factor=8.0),
        window=3,
        full_every=3,
    ),
    "qwen2": DecoderConfig(**SIZES, kv_heads=2, query_bias=True, rope_theta=1e6),
    "qwen3": DecoderConfig(**SIZES, kv_heads=2, head_dim=8, query_key_norm=True),
}
TOWERS = {
    "vit": ViTConfig(image_size=16, patch_size=8, width=16, layers=1, heads=2, mlp_dim=32),
    "resnet": ResNetConfig(image_size=16, stem_width=4, blocks=(1, 1), width=16),
}


def randomize(model):
    """Every parameter and running statistic; zeros and ones would hide what they should do."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
            if name.endswith("running_var"):
                tensor.abs_().add_(0.5)
    return model.eval()


@pytest.fixture(params=STYLES)
def style(request):
    return STYLES[request.param]


@pytest.fixture
def build():
    """A model by decoder style and vision tower, with random weights everywhere, in evaluation mode."""

    def make(decoder="llama", vision="vit", connector=None):
        decoder = STYLES[decoder] if isinstance(decoder, str) else decoder
        vision = TOWERS[vision] if isinstance(vision, str) else vision
        return randomize(VLM(ModelConfig(vision, connector or ConnectorConfig(), decoder)))

    return make


@pytest.fixture(params=[(style, tower) for style in STYLES for tower in TOWERS], ids="-".join)
def model(request, build):
    """A model of every decoder style with every vision tower."""
    with torch.no_grad():
        yield build(*request.param)


@pytest.fixture
def row():
    """One row: its images, a prompt, an answer. Different seeds are different images and words."""

    def make(model, prompt=5, answer=6, num_images=1, seed=0):
        generator = torch.Generator().manual_seed(seed)
        size, num_places = model.config.vision.image_size, num_images * model.config.image_tokens
        words = torch.randint(1, VOCABULARY, (1, prompt + answer), generator=generator)
        tokens = torch.cat((torch.full((1, num_places), IMAGE), words), dim=1)
        places = torch.arange(tokens.shape[1])[None]
        return Batch(
            tokens=tokens,
            positions=places,
            segments=torch.full_like(tokens, SHARED),
            prefix=places < num_places + prompt,
            targets=torch.full_like(tokens, IGNORE),
            images=torch.randn(num_images, 3, size, size, generator=generator) if num_images else None,
        )

    return make


@pytest.fixture
def pad():
    """A batch with padding to its left and right."""
    fill = {"tokens": 0, "positions": 0, "segments": PADDING, "prefix": False, "targets": IGNORE}

    def padded(batch, left=0, right=0):
        columns = {name: F.pad(getattr(batch, name), (left, right), value=value) for name, value in fill.items()}
        return Batch(**columns, images=batch.images)

    return padded


@pytest.fixture
def join(pad):
    """Several batches as one, padded on one side to the same length."""

    def joined(batches, side):
        length = max(batch.tokens.shape[1] for batch in batches)
        batches = [pad(batch, **{side: length - batch.tokens.shape[1]}) for batch in batches]
        columns = {
            field.name: torch.cat([getattr(batch, field.name) for batch in batches])
            for field in dataclasses.fields(Batch)
            if field.name not in ("images", "patches", "visual", "documents")
        }
        images = [batch.images for batch in batches if batch.images is not None]
        return Batch(**columns, images=torch.cat(images) if images else None)

    return joined


@pytest.fixture
def pack(pad):
    """Batches of one row each as the documents of one row, with padding behind them."""

    def packed(batches, padding=3):
        names = [
            f.name for f in dataclasses.fields(Batch) if f.name not in ("images", "patches", "visual", "documents")
        ]
        together = Batch(**{name: torch.cat([getattr(batch, name) for batch in batches], dim=1) for name in names})
        numbers = [torch.full_like(batch.tokens, number) for number, batch in enumerate(batches)]
        documents = F.pad(torch.cat(numbers, dim=1), (0, padding), value=PADDING)
        images = [batch.images for batch in batches if batch.images is not None]
        return dataclasses.replace(pad(together, right=padding), images=torch.cat(images), documents=documents)

    return packed


@pytest.fixture
def columns():
    """Some columns of a batch, with its images or without."""

    def sliced(batch, start, stop, images=False):
        parts = {
            field.name: getattr(batch, field.name)[:, start:stop]
            for field in dataclasses.fields(Batch)
            if field.name not in ("images", "patches", "visual", "documents")
        }
        return Batch(**parts, images=batch.images if images else None)

    return sliced
