"""ResNets in timm's and torchvision's files, against a forward pass written down here from the definition of v1.5."""

import json
import re

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

import ojito
from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.folder import describe, describe_part
from ojito.checkpoint.tensors.reading import read_weights
from ojito.config import ResNetConfig
from ojito.errors import OjitoError
from ojito.model.resnet import ResNet
from tests.public_parts import save_decoder

STEM, WIDTH = 8, 64
BLOCKS = (2, 1, 1, 2)
NORM = ("weight", "bias", "running_mean", "running_var")


def weights(blocks=BLOCKS, stem=STEM, width=WIDTH, inner=4, counters=False):
    """Random, under the names that timm and torchvision share, with the classifier."""
    generator, state = torch.Generator().manual_seed(0), {}

    def conv(name, norm, width_in, width, kernel):
        size = (width, width_in, kernel, kernel)
        state[f"{name}.weight"] = torch.randn(size, generator=generator) * (2 / (width_in * kernel**2)) ** 0.5
        for part in NORM:
            state[f"{norm}.{part}"] = torch.rand(width, generator=generator) + 0.3
        if counters:
            state[f"{norm}.num_batches_tracked"] = torch.tensor(7)

    conv("conv1", "bn1", 3, stem, 7)
    width_in = stem
    for stage, count in enumerate(blocks, 1):
        out = width // 2 ** (len(blocks) - stage)
        for block in range(count):
            at = f"layer{stage}.{block}"
            conv(f"{at}.conv1", f"{at}.bn1", width_in, out // inner, 1)
            conv(f"{at}.conv2", f"{at}.bn2", out // inner, out // inner, 3)
            conv(f"{at}.conv3", f"{at}.bn3", out // inner, out, 1)
            if block == 0 and (stage > 1 or width_in != out):
                conv(f"{at}.downsample.0", f"{at}.downsample.1", width_in, out, 1)
            width_in = out
    return {**state, "fc.weight": torch.zeros(10, width), "fc.bias": torch.zeros(10)}


def by_definition(state, images):
    """The last feature map: convolution, norm with running statistics, ReLU; strides where v1.5 has them."""

    def norm(x, name):
        scale, shift, mean, var = (state[f"{name}.{part}"][:, None, None] for part in NORM)
        return (x - mean) / (var + 1e-5).sqrt() * scale + shift

    x = F.conv2d(images, state["conv1.weight"], stride=2, padding=3)
    x = F.max_pool2d(norm(x, "bn1").relu(), 3, stride=2, padding=1)
    names = dict.fromkeys(re.findall(r"layer\d\.\d", " ".join(state)))
    for at in names:
        stride = 2 if at.endswith(".0") and not at.startswith("layer1") else 1
        y = norm(F.conv2d(x, state[f"{at}.conv1.weight"]), f"{at}.bn1").relu()
        y = norm(F.conv2d(y, state[f"{at}.conv2.weight"], stride=stride, padding=1), f"{at}.bn2").relu()
        y = norm(F.conv2d(y, state[f"{at}.conv3.weight"]), f"{at}.bn3")
        if f"{at}.downsample.0.weight" in state:
            x = norm(F.conv2d(x, state[f"{at}.downsample.0.weight"], stride=stride), f"{at}.downsample.1")
        x = (x + y).relu()
    return x.flatten(2).transpose(1, 2)


def read(folder):
    part = describe_part(folder, "vision")
    tower = ResNet(part.config)
    expected = {f"vision.{name}": tensor for name, tensor in tower.state_dict().items()}
    state = read_weights(folder, expected, keys=part.keys)
    tower.load_state_dict({name.removeprefix("vision."): tensor for name, tensor in state.items()})
    return tower.eval(), part


@pytest.fixture
def timm(tmp_path):
    """A folder of timm's: its fields over the usual ones."""

    def make(state, **fields):
        shown = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "interpolation": "lanczos", "input_size": [3, 64, 64]}
        values = {"architecture": "resnet50", "num_classes": 10, "num_features": WIDTH, "pretrained_cfg": shown}
        (tmp_path / "config.json").write_text(json.dumps({**values, **fields}))
        save_file(state, tmp_path / "model.safetensors")
        return tmp_path

    return make


@pytest.mark.parametrize("counters", [True, False], ids=["with counters", "without, as older files"])
def test_matches_the_definition_torchvision(tmp_path, counters):
    state = weights(counters=counters)
    save_file(state, tmp_path / "model.safetensors")
    tower, part = read(tmp_path)
    assert part.config == ResNetConfig(stem_width=STEM, blocks=BLOCKS, width=WIDTH)
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours, theirs = tower(images), by_definition(state, images)
    assert theirs.std() > 0.1
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)
    assert part.image == {
        "fit": "crop", "resample": "bilinear", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
    }  # fmt: skip


def test_folder_of_timm_has_the_same_names_and_its_own_images(timm):
    part = describe_part(timm({}, architecture="resnet26"), "vision")
    with torch.device("meta"):
        tower = ResNet(part.config)
    names = part.keys.resolve([f"vision.{name}" for name in tower.state_dict()])
    theirs = weights(blocks=(2, 2, 2, 2), stem=16, counters=True)
    assert {key.name for key in names.values()} == {name for name in theirs if not name.startswith("fc.")}
    assert part.image == {"fit": "crop", "resample": "lanczos", "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    assert part.config.image_size == 64


@pytest.mark.parametrize("architecture", ["resnet26", "resnet50", "resnet101", "resnet152"])
def test_architectures_of_timm_have_their_blocks(timm, architecture):
    folder = timm({}, architecture=architecture)
    config = describe_part(folder, "vision").config
    assert sum(config.blocks) * 3 + 2 == int(architecture.removeprefix("resnet"))
    assert (config.stem_width, config.width) == (64, 2048)


def test_older_fields_of_timm_stand_among_the_others(timm):
    folder = timm({}, pretrained_cfg=None, mean=[0.3, 0.2, 0.1], interpolation="bilinear", input_size=[3, 96, 96])
    part = describe_part(folder, "vision")
    assert (part.image["mean"], part.image["resample"], part.config.image_size) == ([0.3, 0.2, 0.1], "bilinear", 96)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"architecture": "resnet18"}, "architecture is 'resnet18'; use a ResNet of plain bottleneck blocks: resnet26"),
        ({"architecture": "vit_base_patch16_224"}, "use a ResNet of plain bottleneck blocks"),
        ({"model_args": {"block": "x"}}, "model_args is .*; Ojito has only resnet50 without changes"),
        ({"pretrained_cfg": {"interpolation": "random"}}, "interpolation is 'random'; Ojito knows nearest"),
        ({"pretrained_cfg": {"input_size": [3, 64, 96]}}, "input_size is .*; squares of 3 channels are needed"),
        ({"pretrained_cfg": {"mean": [0.5]}}, "mean is .*; 3 numbers are needed"),
        ({"pretrained_cfg": 3}, "pretrained_cfg is '3'; a group of fields is needed"),
    ],
    ids=str,
)
def test_other_networks_of_timm_are_refused(timm, fields, message):
    with pytest.raises(CheckpointError, match=message):
        describe_part(timm({}, **fields), "vision")


def test_tower_of_timm_is_neither_a_decoder_nor_a_whole_model(timm):
    with pytest.raises(CheckpointError, match="architecture is 'resnet50'; it is a vision tower, and a decoder is"):
        describe_part(timm({}), "decoder")
    with pytest.raises(CheckpointError, match="architecture is 'resnet50'; it is a part: join it with another by"):
        describe(timm({}))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (weights(inner=2), "blocks that are 32 wide within, of 64; use a ResNet of plain"),
        (
            {name: tensor for name, tensor in weights().items() if "conv3" not in name},
            "is a ResNet of basic blocks, as resnet18 and resnet34 are; use",
        ),
        (
            {n: t[:, ::2].contiguous() if n.endswith("conv2.weight") else t for n, t in weights().items()},
            "is a ResNet of grouped convolutions, as ResNeXts are",
        ),
        (
            {n: t.flatten() if n == "conv1.weight" else t for n, t in weights().items()},
            "has convolutions without their four axes",
        ),
    ],
    ids=["wide", "basic", "grouped", "flat"],
)
def test_other_weights_alone_are_refused(tmp_path, state, message):
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=message):
        describe_part(tmp_path, "vision")


def test_tower_of_torchvision_is_built_into_a_model(tmp_path):
    tower = tmp_path / "tower"
    tower.mkdir()
    save_file(weights(), tower / "model.safetensors")
    decoder = save_decoder(tmp_path / "decoder")
    settings = ["model.vision.image_size=64"]
    pipe = ojito.build(vision=tower, decoder=decoder, device="cpu", dtype="float32", settings=settings)
    assert pipe.model.config.image_tokens == 4
    assert pipe.processor.config.image.mean == (0.485, 0.456, 0.406)
    pipe.save(tmp_path / "built")
    again = ojito.load(tmp_path / "built", device="cpu", dtype="float32").model.vision.state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in pipe.model.vision.state_dict().items())
    with pytest.raises(
        CheckpointError, match="is of no family that Hugging Face knows: none joins a resnet to a decoder"
    ):
        pipe.export_family()
    with pytest.raises(OjitoError, match="like: no llava has a vision tower of kind resnet; leave it out, or choose"):
        ojito.build(vision=tower, decoder=decoder, device="cpu", settings=settings, like="llava")
