"""What `ojito.build` refuses, in one line."""

import dataclasses
import json

import pytest
import tokenizers
import torch
from safetensors.torch import load_file, save_file

from ojito import memory
from ojito.checkpoint.files import CheckpointError
from ojito.errors import OjitoError
from ojito.loading import load
from ojito.settings import ConfigError
from tests.public_parts import SMOLLM, save_decoder, save_tower


def says(join, error, *parts, **given):
    with pytest.raises(error) as raised:
        join(**given)
    message = str(raised.value)
    assert "\n" not in message
    assert all(part in message for part in parts), message


def test_family_that_no_build_follows_is_named(join):
    says(join, OjitoError, "like: 'lava' is not one of llava, paligemma, idefics3; did you mean llava?", like="lava")


def test_folder_without_the_part_says_what_it_is(join, parts, tmp_path):
    says(join, CheckpointError, "'llama'; it is a decoder of text, and a vision tower is needed; Ojito knows siglip",
         vision=parts / "smollm")  # fmt: skip
    says(join, CheckpointError, "'siglip_vision_model'; it is a vision tower, and a decoder is needed; Ojito knows ll",
         decoder=parts / "siglip")  # fmt: skip
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    says(join, CheckpointError, f"{tmp_path}", "'bert'; Ojito knows siglip_vision_model", "llava", vision=tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": ["llama"]}')
    says(join, CheckpointError, f"{tmp_path}", "Ojito knows llama", decoder=tmp_path)


def test_special_token_beyond_the_decoders_last_is_never_written(join, tmp_path, image):
    """Gemma 3's decoders without a tower have the tokenizer of those with one, and no embedding of its image token."""
    small = save_decoder(tmp_path / "gemma")
    tokenizer = tokenizers.Tokenizer.from_file(str(small / "tokenizer.json"))
    tokenizer.add_tokens([f"<unused{i}>" for i in range(20)])
    tokenizer.add_special_tokens(["<image_soft_token>"])
    tokenizer.save(str(small / "tokenizer.json"))
    pipe = join(decoder=small)
    assert pipe.processor.tokenizer.size == pipe.model.config.decoder.vocab_size + 1
    text = pipe.ask(image, "<image_soft_token>", max_new_tokens=2)
    pipe.save(tmp_path / "new")
    assert load(tmp_path / "new", "cpu", "float32").ask(image, "<image_soft_token>", max_new_tokens=2) == text
    says(join, CheckpointError, "the tokenizer has 281 entries, and the model 280", decoder=small,
         settings=["processor.tokenizer.special=['<image_soft_token>']"])  # fmt: skip


def test_decoder_that_reads_both_ways_is_refused(join, tmp_path):
    small = save_decoder(tmp_path / "both", model_type="gemma", config=dataclasses.replace(
        SMOLLM, norm="rms_plus_one", scale_embeddings=True, activation="gelu_tanh"
    ))  # fmt: skip
    join(decoder=small)
    described = json.loads((small / "config.json").read_text())
    (small / "config.json").write_text(json.dumps({**described, "use_bidirectional_attention": True}))
    says(join, CheckpointError, "use_bidirectional_attention is 'True'; Ojito has only False", decoder=small)


def test_images_of_another_size_than_the_towers_are_refused(join, tmp_path):
    folder = save_tower(tmp_path / "tower")
    for size in (20, {"height": 20, "width": 16}):
        (folder / "preprocessor_config.json").write_text(json.dumps({"size": size}))
        says(join, CheckpointError, "prepares images of 20 pixels, and the model reads 16", vision=folder)


def test_missing_folder_and_preset_are_named(join, tmp_path):
    says(join, ValueError, "neither a folder nor a preset", vision=tmp_path / "nothing")
    says(join, ValueError, "did you mean tiny?", vision="tinny")
    says(join, ValueError, "decoder tiny: is a preset, whose tokenizer is learned from data; give", decoder="tiny")
    says(join, CheckpointError, "has no config.json", vision=tmp_path)


def test_tokenizer_has_to_be_there_and_small_enough(join, tmp_path):
    small = save_decoder(tmp_path / "small", dataclasses.replace(SMOLLM, vocab_size=200))
    says(join, CheckpointError, "the tokenizer has 260 entries, and the model 200; use", decoder=small)
    says(join, CheckpointError, "the tokenizer has 283 entries", settings=["processor.tokenizer.added=['<{1..23}>']"])
    (small / "tokenizer.json").unlink()
    says(join, CheckpointError, "has no tokenizer.json", decoder=small)


def test_tokenizer_stays_that_of_the_decoder(join, parts):
    says(join, ConfigError, "kind: 'bpe' asks for another tokenizer", "leave it at 'file'",
         settings=["processor.tokenizer.kind=bpe"])  # fmt: skip
    says(join, ConfigError, "path", "asks for another tokenizer",
         settings=[f"processor.tokenizer.path={parts / 'gpt2' / 'tokenizer.json'}"])  # fmt: skip


def test_decoder_needs_more_positions_than_there_are_image_tokens(join, tmp_path):
    short = save_decoder(tmp_path / "short", dataclasses.replace(SMOLLM, max_positions=16))
    says(join, ConfigError, "16 leaves no room for text after 16 image tokens", "connector.reduce", decoder=short)
    assert join(decoder=short, connector="pixel_shuffle:2").model.config.image_tokens == 4


@pytest.mark.parametrize(
    ("connector", "problem"),
    [
        ("mpl", "'mpl' is not one of linear, mlp, perceiver, pixel_shuffle, average_pool; did you mean mlp?"),
        (3, "3 is not one of linear, mlp"),
        ("mlp:2", "'mlp:2' has '2' after the colon; write mlp"),
        ("pixel_shuffle:two", "has 'two' after the colon; write pixel_shuffle:2"),
        ("pixel_shuffle:1", "factor: 1 reduces nothing with reduce=pixel_shuffle; use 2 or more"),
        ("pixel_shuffle:3", "3 does not divide the vision tower's grid of 4x4 patches; use one of [2, 4]"),
        ({"reduce": "perceiver", "heads": 7}, "7 does not divide vision.width 24"),
        ({"projekt": "mlp"}, "model.connector.projekt: unknown setting; did you mean project?"),
    ],
    ids=str,
)
def test_connector_that_cannot_be_is_refused(join, connector, problem):
    says(join, ValueError, problem, connector=connector)


@pytest.mark.parametrize(
    ("setting", "kept"),
    [
        ("model.vision.image_size=24", "model.vision.image_size at 16"),
        ("model.vision.layers=1", "model.vision.layers at 2"),
        ("model.decoder.width=32", "model.decoder.width at 24"),
        ("model.decoder.tied_head=false", "model.decoder.tied_head at True"),
    ],
)
def test_settings_that_the_weights_do_not_fit_are_named(join, setting, kept):
    says(join, CheckpointError, "does not fit", kept, settings=[setting])


@pytest.mark.parametrize("kind", ["vision", "decoder"])
def test_part_of_a_whole_model_loses_no_layers(join, tmp_path, kind):
    join(settings="model.vision.feature_layer=-1").save(tmp_path)
    join(**{kind: tmp_path})
    changes = {kind: tmp_path, "settings": [f"model.{kind}.layers=1"]}
    says(join, CheckpointError, "unexpected", f"and leave model.{kind}.layers at 2", **changes)


@pytest.mark.parametrize(
    "setting", ["model.vision.class_token=true", "model.decoder.positions=learned", "model.decoder.post_norms=true"]
)
def test_setting_that_the_family_has_no_name_for_is_named(join, setting):
    key, _, _ = setting.partition("=")
    says(join, CheckpointError, "has no name for", f"and leave {key} at", settings=[setting])


def test_packed_weights_and_adapters_are_called_so(join, tmp_path):
    folder = save_decoder(tmp_path / "packed")
    described = json.loads((folder / "config.json").read_text())
    for left in {"quant_method": "awq"}, "fp8":  # merging an adapter leaves it behind
        (folder / "config.json").write_text(json.dumps({**described, "quantization_config": left}))
        join(decoder=folder)
    weights = load_file(folder / "model.safetensors")
    save_file({**weights, "model.layers.0.mlp.up_proj.qweight": torch.zeros(2)}, folder / "model.safetensors")
    says(join, CheckpointError, "quantization_config: 'fp8'", "Ojito reads plain weights", decoder=folder)
    (folder / "config.json").rename(folder / "adapter_config.json")
    says(join, CheckpointError, "packed: holds an adapter, and not its model; merge it into its model", decoder=folder)


def test_weights_are_read_strictly(join, tmp_path):
    folder = save_tower(tmp_path / "tower")
    weights = load_file(folder / "model.safetensors")
    name = "encoder.layers.1.mlp.fc1.bias"
    save_file({n: tensor for n, tensor in weights.items() if n != name}, folder / "model.safetensors")
    says(join, CheckpointError, f"1 missing ({name})", vision=folder)
    save_file({**weights, "adapter": torch.zeros(3)}, folder / "model.safetensors")
    says(join, CheckpointError, "1 unexpected (adapter)", vision=folder)


def test_more_layers_than_tensors_are_refused_before_they_are_made(join, tmp_path):
    folder = save_tower(tmp_path / "tower")
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, "num_hidden_layers": 10**9}))
    says(join, CheckpointError, "asks for 1000000000 layers", vision=folder)


def test_too_little_memory_is_told_before_weights_are_read(join, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda device: 1000)
    says(join, ValueError, "siglip-smollm: needs", "are free on cpu")


def test_seed_that_no_generator_takes_is_refused(join):
    says(join, ConfigError, "seed: ", "is too large for PyTorch; use a number below 2**63", seed=10**23)
    with pytest.raises(ConfigError, match="too large for PyTorch"):
        load("tiny", "cpu", seed=10**23)


def test_device_and_dtype_have_to_be_there(join):
    says(join, ValueError, "'float31' is not one of auto, float32", dtype="float31")
    says(join, ValueError, "tpu", device="tpu")
