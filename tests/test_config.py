"""Settings: what may be set, and the one line that each impossible value gets."""

import dataclasses
import subprocess
import sys

import pytest

from ojito import config as module
from ojito.config import (
    AveragePoolConfig,
    Config,
    ConnectorConfig,
    DecoderConfig,
    ModelConfig,
    NoVisionConfig,
    PerceiverConfig,
    PixelShuffleConfig,
    TrainConfig,
)
from ojito.settings import ConfigError, merge, read, write


def nested(dotted, value):
    for name in reversed(dotted.split(".")):
        value = {name: value}
    return value


def test_config_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().name = "other"


# ---------------------------------------------------------------------------------------------------- impossible values

RESNET = {"kind": "resnet"}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("train.lr", 0, "train.lr: 0.0 must be greater than 0"),
        ("train.muon_lr", 0, "train.muon_lr: 0.0 must be greater than 0"),
        ("train.connector_lr", -1e-3, "train.connector_lr: -0.001 must be at least 0; use 0 for lr"),
        ("train.weight_decay", -0.1, "train.weight_decay: -0.1 must be at least 0; use 0 for none"),
        ("train.betas", [0.9, 1], "train.betas[1]: 1.0 must be at least 0 and less than 1"),
        ("train.clip", -1, "train.clip: -1.0 must be at least 0; use 0 for no clipping"),
        ("train.steps", 0, "train.steps: 0, samples 0 and minutes 0.0 leave no training; set one of them"),
        ("train", {"steps": -5, "minutes": 1}, "train.steps: -5 must be at least 0; use 0 for no limit"),
        ("train.minutes", -1, "train.minutes: -1.0 must be at least 0; use 0 for no limit"),
        ("train.freeze", ["vision", "connector", "decoder"], "leaves nothing to train; leave one part out"),
        ("train.warmup", 1, "train.warmup: 1.0 must be at least 0 and less than 1"),
        ("train.warmup", -0.1, "train.warmup: -0.1 must be at least 0 and less than 1"),
        ("train.decay", -0.1, "train.decay: -0.1 must lie between 0 and 1; use for example 0.2"),
        ("train.decay", 1.5, "train.decay: 1.5 must lie between 0 and 1; use for example 0.2"),
        (
            "train",
            {"schedule": "wsd", "warmup": 0.25, "decay": 0.8},
            "train.decay: 0.8 and warmup 0.25 are more than the whole run; use 0.75 or less",
        ),
        ("train.accumulate", 5, "train.batch_size: 32 is not divisible by accumulate 5; use 30 or 35"),
        ("train.log_every", 0, "train.log_every: 0 must be greater than 0"),
        ("train.eval_every", -1, "train.eval_every: -1 must be at least 0; use 0 for an evaluation at the end only"),
        ("train.eval_samples", 0, "train.eval_samples: 0 must be greater than 0"),
        ("train.seed", 2**63, "train.seed: 9223372036854775808 is too large for PyTorch; use a number below 2**63"),
        (
            "model.vision.heads",
            7,
            "model.vision.width: 768 is not divisible by heads 7; use 763 or 770, or change heads",
        ),
        (
            "model.vision.image_size",
            100,
            "model.vision.image_size: 100 is not divisible by patch_size 16; use 96 or 112",
        ),
        ("model.vision.image_size", 3, "use 16 or 32"),
        ("model.vision.layers", -1, "model.vision.layers: -1 must be at least 0; use 0 for the stem alone"),
        ("model.vision.norm_eps", 0, "model.vision.norm_eps: 0.0 must be greater than 0"),
        ("model.vision", {"stem": "conv", "patch_size": 12, "image_size": 48}, "patch_size: 12 must be a power of two"),
        ("model.vision.stem_widths", [8] * 17, "stem_widths: 17 convolutions are too many; use 16 or fewer"),
        ("model.vision", RESNET | {"blocks": [1] * 17}, "blocks: 17 stages are too many; use for example [3, 4, 6, 3]"),
        (
            "model",  # whose divisors would take for ever to list
            {
                "vision": {"image_size": 2**61 - 1, "patch_size": 1},
                "connector": {"reduce": "average_pool", "factor": 2},
            },
            "does not divide the vision tower's grid",
        ),
        ("model.connector", {"reduce": "perceiver", "heads": 2**61 - 1}, "heads: 2305843009213693951 does not divide"),
        ("processor.tokenizer.eos", ["<e>"] * 17, "eos: 17 tokens that end an answer are too many; use 16 or fewer"),
        (
            "model.vision",
            {"stem": "conv", "stem_widths": [8, 8]},
            "model.vision.stem_widths: [8, 8] has 2 convolutions, but patch_size 16 needs at least 4; add 2",
        ),
        ("model.vision.stem_widths", [32, 0], "model.vision.stem_widths[1]: 0 must be greater than 0"),
        (
            "model.vision",
            {**RESNET, "blocks": []},
            "model.vision.blocks: [] has no stage; use for example [3",
        ),
        ("model.vision", {**RESNET, "blocks": [3, 0]}, "model.vision.blocks[1]: 0 must be greater than 0"),
        (
            "model.vision",
            {**RESNET, "image_size": 100},
            "model.vision.image_size: 100 is not divisible by the network's stride 32; use 96 or 128",
        ),
        (
            "model.vision",
            {**RESNET, "width": 100},
            "model.vision.width: 100 is not divisible by 32 (4, and 2 for every stage after the first); use 96 or 128",
        ),
        ("model.decoder.heads", 7, "model.decoder.width: 768 is not divisible by heads 7"),
        ("model.decoder.kv_heads", 5, "model.decoder.heads: 12 is not divisible by kv_heads 5"),
        ("model.decoder.kv_heads", -4, "model.decoder.kv_heads: -4 must be at least 0; use 0 for as many as heads"),
        ("model.decoder.head_dim", 33, "model.decoder.head_dim: 33 must be even for positions=rope; use 34"),
        ("model.decoder.head_dim", -64, "model.decoder.head_dim: -64 must be at least 0; use 0 for width / heads"),
        ("model.decoder.query_scalar", -1, "model.decoder.query_scalar: -1.0 must be at least 0; use 0 for head_dim"),
        ("model.decoder.final_softcap", -30, "model.decoder.final_softcap: -30.0 must be at least 0; use 0 for none"),
        ("model.decoder.window", -1, "model.decoder.window: -1 must be at least 0; use 0 for all tokens"),
        ("model.decoder.rope_theta", 0, "model.decoder.rope_theta: 0.0 must be greater than 0"),
        ("model.decoder.max_positions", 196, "196 leaves no room for text after 196 image tokens; use 392 or more"),
        ("model.connector", {"reduce": "pixel_shuffle", "factor": 3}, "model.connector.factor: 3"),
        ("model.connector", {"reduce": "average_pool", "factor": 1}, "model.connector.factor: 1 reduces nothing"),
        (
            "model",
            {"vision": {"image_size": 16}, "connector": {"reduce": "average_pool", "factor": 2}},
            "model.connector.factor: 2 does not divide the vision tower's grid of 1x1 patches; "
            "use connector.reduce=none",
        ),
        (
            "model",
            {"vision": {"width": 36}, "connector": {"reduce": "perceiver"}},
            "model.connector.heads: 8 does not divide vision.width 36; use one of [1, 2, 3, 4, 6], or more",
        ),
        (
            "model.connector.mlp_dim",
            -1,
            "mlp_dim: -1 must be at least 0; use 0 for the decoder's width",
        ),
        ("processor.image.std", [0.5, 0.0, 0.5], "processor.image.std: [0.5, 0.0, 0.5] must be greater than 0"),
        (
            "processor.image.mean",
            [123.7, 116.3, 103.5],
            "processor.image.mean: [123.7, 116.3, 103.5] must lie between 0 and 1; divide means of 0..255 by 255",
        ),
        ("processor.tokenizer.kind", "file", "processor.tokenizer.path: '' names no file"),
        ("processor.tokenizer.vocab_size", -1, "vocab_size: -1 must be at least 0; use 0 for the decoder's vocab_size"),
        (
            "processor.tokenizer.phrases",
            1,
            "processor.tokenizer.phrases: 1.0 is no share of the texts; use for",
        ),
        ("processor.prompt.max_tokens", 0, "processor.prompt.max_tokens: 0 must be greater than 0"),
        ("data.path", "", "data.path: '' names nothing; give a folder, a .jsonl or .csv file, scenes or photos16"),
        ("data.max_bad", 2, "data.max_bad: 2.0 must lie between 0 and 1; use for example 0.05"),
        ("data.pack", -1, "data.pack: -1 must be at least 0; use 0 for a row for each sample"),
        ("data.workers", -1, "data.workers: -1 must be at least 0; use 0 for reading between steps"),
        ("data.cache_mb", -1, "data.cache_mb: -1 must be at least 0; use 0 for no cache"),
        ("data.scenes.max_objects", 10, "data.scenes.max_objects: 10 do not fit the nine places of a scene; use 9"),
    ],
)
def test_impossible_value_names_the_key_the_value_and_the_remedy_in_one_line(key, value, said):
    with pytest.raises(ConfigError) as error:
        read(Config, nested(key, value))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def numbers(config, key=""):
    """Every setting that is a number or a list of them, by its dotted key."""
    for field in dataclasses.fields(config):
        name, value = f"{key}{field.name}", getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from numbers(value, f"{name}.")
        elif isinstance(value, tuple) and value and not isinstance(value[0], str):
            yield name, [-1] * len(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield name, -1


def message(values):
    """What is said about these settings; nothing if they will do."""
    try:
        read(Config, values)
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_no_setting_may_be_negative_but_the_seed_and_what_is_counted_from_the_end(kind):
    tower = {"model": {"vision": {"kind": kind}}}
    found = dict(numbers(read(Config, tower)))
    assert len(found) > 40
    said = {key: message(merge(tower, nested(key, value))) for key, value in found.items()}
    from_the_end = ["model.vision.feature_layer"] if kind == "vit" else []
    assert [key for key in said if not said[key].startswith(key)] == [*from_the_end, "train.seed"]


def test_not_a_number_is_refused_without_a_reader_too():
    with pytest.raises(ConfigError, match="lr: nan must be greater than 0"):
        TrainConfig(lr=float("nan"))
    with pytest.raises(ConfigError, match="clip: nan must be at least 0"):
        TrainConfig(clip=float("nan"))


def test_whole_run_may_be_warmup_and_decay():
    for warmup in (i / 100 for i in range(100)):
        TrainConfig(schedule="wsd", warmup=warmup, decay=1 - warmup)


# -------------------------------------------------------------------------------------------------------- image tokens


@pytest.mark.parametrize(
    ("connector", "tokens"),
    [
        ({}, 196),
        ({"reduce": "pixel_shuffle", "factor": 2}, 49),
        ({"reduce": "average_pool", "factor": 7}, 4),
        ({"reduce": "perceiver", "queries": 10}, 10),
    ],
)
def test_image_tokens_follow_from_the_model_alone(connector, tokens):
    assert read(ModelConfig, {"connector": connector}).image_tokens == tokens


def test_image_tokens_are_asked_with_the_grid_of_an_image():
    for connector, tokens in (({}, 24), ({"reduce": "pixel_shuffle"}, 6), ({"reduce": "perceiver", "queries": 5}, 5)):
        assert read(ModelConfig, {"connector": connector}).visual_tokens((4, 6)) == tokens


def test_numbers_are_resolved_when_a_config_is_constructed():
    decoder = read(ModelConfig, {"decoder": {"width": 48, "heads": 4, "kv_heads": 0, "rope_theta": 5.0}}).decoder
    assert (decoder.kv_heads, decoder.head_dim, decoder.query_scalar, decoder.window_theta) == (4, 12, 12.0, 5.0)
    given = DecoderConfig(width=48, heads=4, kv_heads=2, head_dim=16, query_scalar=9.0, window_theta=7.0)
    assert (given.kv_heads, given.head_dim, given.query_scalar, given.window_theta) == (2, 16, 9.0, 7.0)
    model = read(ModelConfig, {"vision": {"positions": "resized", "position_grid": 0}})
    assert (model.connector.mlp_dim, model.vision.position_grid) == (768, 14)
    assert read(ModelConfig, {"connector": {"mlp_dim": 5}}).connector.mlp_dim == 5
    assert read(ModelConfig, write(model)) == model


def test_scaling_of_windowed_layers_is_that_of_all_unless_they_have_a_base_of_their_own():
    assert DecoderConfig().window_scaling
    assert not DecoderConfig(window_theta=10000.0).window_scaling  # though rope_theta is the same
    assert read(DecoderConfig, write(DecoderConfig())) == DecoderConfig()


def test_connector_is_of_the_class_that_reduce_names():
    old = {"factor": 2, "queries": 64, "layers": 2, "heads": 8, "norm": "none", "mlp_dim": 0}  # as files had it
    classes = {"none": ConnectorConfig, "pixel_shuffle": PixelShuffleConfig, "average_pool": AveragePoolConfig}
    for reduce, cls in (classes | {"perceiver": PerceiverConfig}).items():
        connector = read(ModelConfig, {"connector": {"reduce": reduce, **old}}).connector
        assert type(connector) is cls
        assert set(write(connector)) < {"reduce", *old, "norm_eps", "project", "bias"}
    with pytest.raises(
        ConfigError, match=r"connector\.reduce: 'pixelshuffle' is not one of .*; did you mean pixel_shuffle"
    ):
        read(Config, {"model": {"connector": {"reduce": "pixelshuffle"}}})
    with pytest.raises(ConfigError, match="use PixelShuffleConfig"):
        ConnectorConfig(reduce="perceiver")


def test_class_token_is_not_an_image_token():
    assert read(ModelConfig, {"vision": {"class_token": True}}).image_tokens == 196


# ------------------------------------------------------------------------------------------------------------- fitness


def test_settings_need_no_torch():
    code = "import sys, ojito.config, ojito.records; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_dataclass_is_documented():
    every = [value for value in vars(module).values() if dataclasses.is_dataclass(value)]
    assert len(every) > 10
    assert not [value.__name__ for value in every if value.__doc__.startswith(f"{value.__name__}(")]


def test_a_model_of_text_alone_has_no_image_tokens():
    config = ModelConfig(vision=NoVisionConfig())
    assert (config.image_tokens, config.vision.image_size, config.vision.width) == (0, 0, 0)
    assert read(ModelConfig, write(config)) == config


def test_a_model_of_text_alone_has_no_queries_to_read_images_with():
    with pytest.raises(
        ConfigError, match=r"connector\.reduce: perceiver makes 4 tokens of an image, and vision\.kind is"
    ):
        ModelConfig(vision=NoVisionConfig(), connector=PerceiverConfig(queries=4))
