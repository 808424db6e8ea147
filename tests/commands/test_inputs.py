"""What the commands share that look at images: what is checked before the model, how many pixels are read, and how
the flags become a sampler.
"""

import argparse
import dataclasses

import pytest

from ojito.commands import inputs
from ojito.config import ImageConfig
from ojito.generate import GenerateOptions, TopP
from ojito.processor import ImageError

LOOKING = ["caption", "ask", "detect", "segment"]


@pytest.fixture
def words(model, photo, weights):
    """Each command about an image."""
    return {
        "caption": ("caption", model, photo),
        "ask": ("ask", model, photo, "what?"),
        "detect": ("detect", model, photo, "cat"),
        "segment": ("segment", model, photo, "cat", "--weights", weights),
    }


@pytest.fixture
def strict(pipe):
    """A model that refuses images of more than 1000 pixels; the photo has 3200."""
    image = dataclasses.replace(pipe.processor.config.image, max_pixels=1000)
    pipe.processor.config = dataclasses.replace(pipe.processor.config, image=image)
    return pipe


@pytest.fixture
def no_model(monkeypatch):
    """Any model that is loaded is one too many."""
    monkeypatch.setattr(inputs, "load", lambda *args, **options: pytest.fail("loaded"))


@pytest.mark.parametrize("command", LOOKING)
def test_limit_of_the_model_holds_and_the_remedy_can_be_followed(run, strict, words, photo, says, command):
    says("no")
    code, _, err = run(*words[command])
    assert (code, err) == (
        2,
        f"ojito: error: {photo}: has 80 x 40 = 3,200 pixels, more than the limit of 1,000; "
        "scale it down or raise --max-pixels\n",
    )
    assert run(*words[command], "--max-pixels", 3199)[0] == 2
    assert run(*words[command], "--max-pixels", 3200)[0] == 0


def test_flag_leaves_the_model_that_was_loaded_as_it_is(pipe, monkeypatch):
    monkeypatch.setattr(inputs, "load", lambda *args, **options: pipe)
    before = pipe.processor.config.image
    given = argparse.Namespace(model="m", device="cpu", dtype="auto", quantize="none", seed=None)
    changed = inputs.load_model(given, 7)
    assert changed.processor.config.image == dataclasses.replace(before, max_pixels=7)
    assert pipe.processor.config.image == before
    assert changed.model is pipe.model
    assert (changed.name, changed.config) == (pipe.name, pipe.config)
    assert inputs.load_model(given) is pipe


@pytest.mark.parametrize(
    "change", [{"dtype": "bfloat16"}, {"quantize": "int8"}, {"seed": 3}, {"mmproj": "m.gguf"}, {"adapter_base": "m"}]
)
def test_each_flag_reaches_the_loading(pipe, monkeypatch, change):
    asked = []
    monkeypatch.setattr(inputs, "load", lambda *args: asked.append((*args[:5], *args[6:])) or pipe)
    given = {
        "model": "m",
        "device": "cpu",
        "dtype": "auto",
        "quantize": "none",
        "seed": None,
        "mmproj": None,
        "adapter_base": None,
    }
    inputs.load_model(argparse.Namespace(**given))
    inputs.load_model(argparse.Namespace(**{**given, **change}))
    assert asked[0] != asked[1]


def test_limit_of_the_model_holds_for_locate(strict, photo, weights):
    message = f"^{photo}: has 80 x 40 = 3,200 pixels, more than the limit of 1,000; .*processor.image.max_pixels$"
    with pytest.raises(ImageError, match=message):
        strict.detect(photo, "cat")
    with pytest.raises(ImageError, match=message):
        strict.segment(photo, "cat", weights)


@pytest.mark.parametrize("command", ["ask", "detect", "segment"])
def test_image_above_the_usual_limit_is_left_to_the_model(run, words, says, monkeypatch, command):
    says("no")
    monkeypatch.setattr(ImageConfig, "max_pixels", 1000)  # the usual one; the model's own is higher
    assert run(*words[command])[0] == 0


@pytest.mark.parametrize("command", ["ask", "detect", "segment"])
def test_image_is_looked_at_before_the_model_is_loaded(refused, words, photo, no_model, command):
    photo.write_bytes(photo.read_bytes()[:60])
    assert "photo.png: is damaged or cut off" in refused(*words[command])
    photo.unlink()
    assert "photo.png: does not exist" in refused(*words[command])


@pytest.mark.parametrize("command", LOOKING)
def test_flags_are_looked_at_before_the_model_is_loaded(refused, words, no_model, command):
    assert "top_p: 2.0 must be greater than 0" in refused(*words[command], "--top-p", 2)
    assert "argument --max-pixels: 0 must be greater than 0" in refused(*words[command], "--max-pixels", 0)


def test_things_and_weights_are_looked_at_before_the_model_is_loaded(refused, photo, weights, tmp_path, no_model):
    for name, *flags in (["detect"], ["segment", "--weights", weights]):
        assert "must name each thing to " + name in refused(name, "m", photo, "cat ;", *flags)
    said = refused("segment", "m", photo, "cat", "--weights", tmp_path / "gone.npz")
    assert "gone.npz: cannot be read" in said


def test_fetching_is_told(run, model, photo, monkeypatch):
    told = []

    def download(name, progress, check):
        told.append(name)
        progress(1, 2)
        return model

    monkeypatch.setattr("ojito.loading.download", download)
    assert run("ask", "owner/name", photo, "what?", "--max-new-tokens", 1)[0] == 0
    assert told == ["owner/name"]


@pytest.mark.parametrize("command", LOOKING)
def test_device_reaches_the_model(refused, words, command):
    assert "device: 'bogus' is not one of auto" in refused(*words[command], "--device", "bogus")


def test_flags_become_options_of_generation(run, words, asked, says):
    flags = ("--max-new-tokens", 3, "--top-p", 0.9, "--top-k", 7, "--temperature", 0.5, "--seed", 4)
    says("no")
    assert run(*words["caption"], *flags, "--stop", "x", "--stop", "y", "--repetition-penalty", 1.5)[0] == 0
    ((_, options),) = asked
    assert options == vars(GenerateOptions(3, TopP(0.9, 0.5, 7), 1.5, ("x", "y"), 4))


def test_beams_become_options_of_generation(run, words, asked, says):
    says("no")
    assert run(*words["caption"], "--beams", 3, "--length-penalty", 0.5)[0] == 0
    ((_, options),) = asked
    assert (options["beams"], options["length_penalty"]) == (3, 0.5)
