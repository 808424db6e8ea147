"""Images that are asked about again: encoded once."""

import pytest
import torch
from PIL import Image

from ojito.generate import PrefixCache
from ojito.model import VLM
from ojito.processor import Processor
from ojito.records import Sample
from tests.pipeline.toy import make


@pytest.fixture
def encoded(monkeypatch):
    """How many images were encoded, each time."""
    met, encode = [], VLM.encode
    monkeypatch.setattr(VLM, "encode", lambda self, images: met.append(len(images)) or encode(self, images))
    return met


def test_image_that_is_asked_about_again_is_encoded_once(pipe, image, encoded):
    first = [pipe.ask(image, "ab"), pipe.ask(image, "c"), "".join(pipe.stream(image, "c")), pipe.ask(image, "ab")]
    assert encoded == [1]
    assert first == [first[0], first[1], str(first[1]), first[0]]
    pipe.prefixes = PrefixCache(0)
    assert [pipe.ask(image, "ab"), pipe.ask(image, "c")] == first[:2]
    assert encoded == [1, 1, 1]


def test_image_of_several_samples_is_read_and_encoded_once(pipe, image, encoded, tmp_path, monkeypatch):
    image.save(tmp_path / "a.png")
    read, read_image = [], Processor.read_image
    monkeypatch.setattr(Processor, "read_image", lambda self, one: read.append(one) or read_image(self, one))
    samples = [Sample([tmp_path / "a.png"], text) for text in ("ab", "c", "def", "g")]
    answers = pipe.generate(samples, batch_size=3)
    assert encoded == [1]
    assert len(read) == 1
    assert answers == [pipe.ask(image, sample.prompt) for sample in samples]


def test_images_of_many_samples_do_not_stay(pipe, encoded):
    samples = [Sample([Image.new("RGB", (16, 16), (n, n, n))], "ab") for n in range(4)]
    answers = pipe.generate(samples)
    assert encoded == [4]
    assert len(pipe.prefixes) == 0
    assert answers == [pipe.generate([sample])[0] for sample in samples]


def test_other_weights_answer_about_the_same_image(pipe, image, encoded):
    pipe.ask(image, "ab")
    other = make()
    with torch.no_grad():
        for parameter, changed in zip(pipe.model.parameters(), other.model.parameters(), strict=True):
            changed.mul_(-0.5)
            parameter.copy_(changed)
    assert pipe.ask(image, "ab") == other.ask(image, "ab")
    assert encoded == [1, 1, 1]
