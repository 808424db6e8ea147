"""Pixels against transformers' Pillow processors: the same bits, whatever the image's shape."""

import importlib

import numpy as np
import pytest
import torch
from PIL import Image

from ojito.config import ImageConfig
from ojito.processor.pixels import normalize, pixels
from ojito.processor.tiles import read_image

pytest.importorskip("transformers")

SIZE = 29
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
OPENAI = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
RESAMPLE = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3}

# Model, processor, and our settings: fit, resample, mean and std.
SQUARES = {
    "siglip": ("siglip", "SiglipImageProcessorPil", "squash", "bicubic", HALF),
    "siglip2": ("siglip", "SiglipImageProcessorPil", "squash", "bilinear", HALF),  # as its files of one resolution say
    "gemma3": ("gemma3", "Gemma3ImageProcessorPil", "squash", "bilinear", HALF),
    "vit": ("vit", "ViTImageProcessorPil", "squash", "bilinear", HALF),
    "imagenet": ("vit", "ViTImageProcessorPil", "squash", "bicubic", IMAGENET),
    "clip": ("clip", "CLIPImageProcessorPil", "crop", "bicubic", OPENAI),
    "llava": ("llava", "LlavaImageProcessorPil", "crop", "bicubic", OPENAI),
}
# Tile's side, longest side, split. The sides are odd or even, whole tiles or not, less than one tile.
TILES = [
    (28, 112, True), (28, 100, True), (25, 75, True), (28, 57, True), (28, 28, True), (28, 20, True), (28, 112, False),
]  # fmt: skip
SHAPES = [
    (1, 1), (3, 5), (SIZE, SIZE), (60, 60), (60, 40), (37, 91), (300, 31), (1, 200), (350, 1), (29, 30), (112, 84),
]  # fmt: skip
SHAPES += [tuple(int(side) for side in np.random.default_rng(seed).integers(1, 250, 2)) for seed in range(9)]


def noise(width, height, channels=3):
    values = np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(values)


def reference(model, name, **settings):
    return getattr(importlib.import_module(f"transformers.models.{model}.image_processing_pil_{model}"), name)(
        do_convert_rgb=True, do_resize=True, do_rescale=True, rescale_factor=1 / 255, do_normalize=True, **settings
    )


def square_pair(family):
    """Theirs and ours: two functions from an image to (3, SIZE, SIZE)."""
    model, name, fit, resample, (mean, std) = SQUARES[family]
    square = {"height": SIZE, "width": SIZE}
    sizes = {"crop_size": square, "size": {"shortest_edge": SIZE}} if fit == "crop" else {"size": square}
    theirs = reference(model, name, resample=RESAMPLE[resample], image_mean=mean, image_std=std, **sizes)
    config = ImageConfig(fit=fit, resample=resample, mean=mean, std=std)
    return (
        lambda image: theirs(image, return_tensors="pt")["pixel_values"][0],
        lambda image: pixels(image, SIZE, config),
    )


@pytest.mark.parametrize("family", SQUARES)
def test_matches_reference_square(family):
    theirs, ours = square_pair(family)
    for shape in SHAPES:
        expected, made = theirs(noise(*shape)), ours(noise(*shape))
        assert expected.shape == (3, SIZE, SIZE)
        assert torch.equal(made, expected), f"{shape}: {(made != expected).sum()} values differ"


@pytest.mark.parametrize("resample", RESAMPLE)
def test_matches_reference_resample(resample):
    square = {"height": SIZE, "width": SIZE}
    theirs = reference("siglip", "SiglipImageProcessorPil", size=square, resample=RESAMPLE[resample])
    expected = theirs(noise(60, 40), return_tensors="pt")["pixel_values"][0]
    assert torch.equal(pixels(noise(60, 40), SIZE, ImageConfig(resample=resample)), expected)


@pytest.mark.parametrize(("mean", "std"), [HALF, IMAGENET, OPENAI, ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))])
def test_matches_reference_normalize_for_every_value(mean, std):
    vit = importlib.import_module("transformers.models.vit.image_processing_pil_vit")
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).convert("RGB")
    theirs = vit.ViTImageProcessorPil(do_resize=False, image_mean=mean, image_std=std)
    raw = read_image(ramp, 16, ImageConfig()).pixels
    made = normalize(raw, ImageConfig(mean=mean, std=std))
    assert torch.equal(made, theirs(ramp, return_tensors="pt")["pixel_values"])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "CMYK", "YCbCr"])
def test_matches_reference_mode(mode):
    theirs, ours = square_pair("siglip")
    image = noise(SIZE, SIZE, 4)  # every shade of transparency
    image = image if mode == "RGBA" else image.convert("P" if mode == "PA" else "RGB" if mode != "LA" else "LA")
    image = image.convert(mode)
    assert torch.equal(ours(image), theirs(image))


@pytest.mark.parametrize(
    ("model", "name"), [("idefics3", "Idefics3ImageProcessorPil"), ("smolvlm", "SmolVLMImageProcessorPil")]
)
@pytest.mark.parametrize(("size", "longest_side", "split"), TILES)
def test_matches_reference_tiles(model, name, size, longest_side, split):
    theirs = reference(
        model, name, size={"longest_edge": longest_side}, max_image_size={"longest_edge": size},
        do_image_splitting=split, do_pad=True, return_row_col_info=True, resample=RESAMPLE["lanczos"],
        image_mean=HALF[0], image_std=HALF[1],
    )  # fmt: skip
    config = ImageConfig(fit="tiles", longest_side=longest_side, split=split, resample="lanczos")
    grids = set()
    for shape in SHAPES:
        expected = theirs([[noise(*shape)]], return_tensors="pt")
        made = read_image(noise(*shape), size, config)
        assert (made.rows, made.columns) == (expected["rows"][0][0], expected["cols"][0][0]), shape
        assert expected["pixel_attention_mask"].all()  # no tile is padded: ours need no mask
        assert torch.equal(normalize(made.pixels, config), expected["pixel_values"][0]), shape
        grids.add((made.rows, made.columns))
    assert len(grids) > 2 or not split or longest_side <= size  # or the shapes are too much alike
