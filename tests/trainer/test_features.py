"""Images that a frozen tower encodes once: the same training as if it encoded them in every step."""

import dataclasses

import pytest
import torch

from ojito.config import ColourConfig, ConnectorConfig, DataConfig, EfficientNetConfig, ModelConfig
from ojito.data import Batches, Source
from ojito.data.features import Features, distinct_images
from ojito.model import VLM
from ojito.processor import ImageError, Processor
from ojito.records import Sample, Turn
from ojito.trainer.features import encode_images, views_of
from ojito.trainer.loss import token_loss
from tests.noise import noise

TOWER = EfficientNetConfig(image_size=32, stem_width=4, widths=(4,) * 6 + (8,), blocks=(1,) * 7)


@pytest.fixture
def model(tiny_config):
    torch.manual_seed(0)
    model = VLM(ModelConfig(TOWER, ConnectorConfig(), tiny_config.model.decoder)).eval()
    for module in model.vision.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # statistics of what it sees now, as if it had been trained
    model.vision.train()(torch.randn(16, 3, 32, 32))
    return model.eval()


@pytest.fixture
def processor(tiny_config, tiny_processor, model):
    return Processor.for_model(tiny_config.processor, tiny_processor.tokenizer, model.config)


@pytest.fixture
def rows(tmp_path):
    """Three images in files; the first of them has two rows."""
    samples = []
    for number in range(3):
        path = tmp_path / f"{number}.png"
        noise((40, 30), seed=number, spread=50 + 50 * number).save(path)
        samples.append(Sample([path], turns=(Turn("which", ("red", "blue")),), origin=f"row {number}"))
    return [*samples, dataclasses.replace(samples[0], origin="row 3")]


def encoded(model, processor, rows, **settings):
    return encode_images(model, processor, distinct_images(rows), DataConfig(path="x", **settings))


def test_each_image_is_encoded_once(rows):
    assert distinct_images(rows) == [row.images[0] for row in rows[:3]]


def test_loss_of_encoded_images_is_that_of_their_pixels(model, processor, rows, tiny_config):
    features = encoded(model, processor, rows)
    config = (DataConfig(path="x"), dataclasses.replace(tiny_config.train, batch_size=4, accumulate=1))
    pixels = next(Batches(Source("rows", rows), processor, *config))
    patches = next(Batches(Source("rows", rows), processor, *config, features=features))
    assert patches.images is None
    assert patches.num_images == pixels.num_images == 4
    assert torch.equal(patches.targets, pixels.targets)
    with torch.no_grad():
        torch.testing.assert_close(token_loss(model, patches), token_loss(model, pixels), rtol=1e-3, atol=1e-3)


def test_encoding_leaves_the_tower_as_it_was(model, processor, rows):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    encoded(model, processor, rows)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("settings", "mirrored", "differ"),
    [
        ({"views": 2, "flip": True}, [False, True], False),
        ({"views": 3, "flip": True, "crop": 0.4}, [False, True, None], True),
        ({"views": 2, "crop": 0.4}, [False, None], True),
        ({"flip": True, "vertical_flip": True, "crop": 0.4}, [False, True, None], True),
        ({"colour": ColourConfig(saturation=0.9, brightness=0.5)}, [False, None], True),
        ({"flip": True, "colour": ColourConfig(brightness=0.5)}, [False, True, None], True),
    ],
)
def test_views_are_the_image_its_mirror_image_and_crops(processor, rows, settings, mirrored, differ):
    image = processor.read_image(rows[0].images[0])
    views = views_of(image, DataConfig(path="x", **settings), "seed")
    assert len(views) == len(mirrored)
    for view, expected in zip(views, mirrored, strict=True):
        if expected is not None:
            assert torch.equal(view, image.pixels[0].flip(-1) if expected else image.pixels[0])
        else:
            assert not torch.equal(view, image.pixels[0])
    other = views_of(image, DataConfig(path="x", **settings), "another seed")
    assert torch.equal(views, other) != differ


def test_rows_draw_from_all_views(model, processor, rows, tiny_config):
    features = encoded(model, processor, rows, views=2, flip=True)
    train = dataclasses.replace(tiny_config.train, batch_size=4, accumulate=1)
    batches = Batches(Source("rows", rows), processor, DataConfig(path="x"), train, features=features)
    seen = {tuple(patches.flatten().tolist()) for _ in range(20) for patches in next(batches).patches}
    assert len(seen) == 6  # three images, two views


def test_image_that_cannot_be_read_is_a_bad_row(model, processor, rows, tiny_config):
    rows[1].images[0].write_bytes(b"not an image")
    features = encoded(model, processor, rows)
    with pytest.raises(ImageError, match=r"1\.png"):
        features.read(rows[1].images[0])
    train = dataclasses.replace(tiny_config.train, batch_size=4, accumulate=1)
    batches = Batches(Source("rows", rows), processor, DataConfig(path="x", max_bad=0.5), train, features=features)
    assert len(next(batches).tokens) == 3
    assert "1.png" in batches.problems[0]


def test_more_than_the_memory_lies_in_a_file_that_leaves_nothing_behind(tmp_path):
    path = tmp_path / "new" / "features.bin"
    features = Features(["a", b"b"], 2, (3, 4), most=10, path=path)
    assert features.in_file
    patches = torch.arange(24.0).view(2, 3, 4)
    features.put(b"b", patches)
    assert torch.equal(features.read(b"b", 1).patches, patches[1].half())
    assert not path.exists() or path.stat().st_size == 2 * 24 * 2
    assert not Features(["a"], 1, (3, 4), most=1000, path=path).in_file


def test_progress_counts_every_image(model, processor, rows):
    calls = []
    images = distinct_images(rows)
    encode_images(model, processor, images, DataConfig(path="x"), progress=lambda *call: calls.append(call))
    assert calls[-1] == (3, 3)


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({}, 1),
        ({"flip": True}, 2),
        ({"crop": 0.5}, 2),
        ({"flip": True, "crop": 0.5}, 3),
        ({"flip": True, "views": 5}, 5),
        ({"flip": True, "views": 0}, 0),
    ],
)
def test_what_is_asked_for_has_a_view_of_its_own(settings, count):
    assert DataConfig(path="x", **settings).encoded_views == count
