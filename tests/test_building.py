"""A tower and a decoder out of folders, joined."""

import dataclasses
import itertools
import json
import shutil

import pytest
import tokenizers
import torch
from safetensors.torch import load_file, save_file

import ojito
from ojito import loading, memory
from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.folder import describe_part
from ojito.config import AveragePoolConfig, ConnectorConfig, PerceiverConfig, PixelShuffleConfig, TokenizerConfig
from ojito.errors import OjitoError
from ojito.loading import load, load_for, recipe_of
from ojito.records import Sample, Turn
from ojito.settings import ConfigError
from ojito.trainer import TrainState, fit
from tests.noise import noise
from tests.public_parts import NAMES, SMOLLM, TOWER, same, save_decoder, save_tower


@pytest.fixture
def image():
    return noise((20, 30))


# --------------------------------------------------------------------------------------------------------- the model


def test_built_model_has_the_weights_of_its_parts_and_a_fresh_connector(join, parts):
    state = join().model.state_dict()
    tower, decoder = describe_part(parts / "siglip", "vision").keys, describe_part(parts / "smollm", "decoder").keys
    for kind, keys, folder in (("vision", tower, "siglip"), ("decoder", decoder, "smollm")):
        theirs = load_file(parts / folder / "model.safetensors")
        mine = keys.to_theirs({name: tensor for name, tensor in state.items() if name.startswith(f"{kind}.")})
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], tensor) for name, tensor in theirs.items())
    fresh = {name: tensor for name, tensor in state.items() if name.startswith("connector.")}
    assert fresh["connector.project.0.weight"].std() > 0.05
    assert not fresh["connector.project.0.bias"].any()


def test_built_model_answers_about_the_image(join, image):
    pipe = join()
    answer = pipe.ask(image, "what is it?", max_new_tokens=6)
    assert answer == pipe.ask(image, "what is it?", max_new_tokens=6)
    batches = [pipe.processor([Sample([shown], "what is it?")]) for shown in (image, image.rotate(90))]
    with torch.inference_mode():
        here, there = (pipe.model(batch)[0, -1] for batch in batches)
    assert not torch.allclose(here, there)


def test_recipe_is_of_the_parts(join, parts):
    config = join().config
    assert config.name == "siglip-smollm"
    tower = dataclasses.replace(TOWER, feature_layer=-2)  # as LLaVA reads it
    assert (config.model.vision, config.model.decoder) == (tower, describe_part(parts / "smollm", "decoder").config)
    assert config.model.connector == ConnectorConfig(project="mlp", mlp_dim=config.model.decoder.width)
    assert config.train.connector_lr > config.train.lr
    assert config.train.vision_lr == config.train.decoder_lr == 0  # as train.lr
    tokenizer = TokenizerConfig(kind="file", path=str(parts / "smollm" / "tokenizer.json"), **NAMES)
    assert config.processor.tokenizer == tokenizer
    prompt = config.processor.prompt
    assert (prompt.image, prompt.user, prompt.separator, prompt.bos) == (
        "front",
        "",
        "\n",
        False,
    )  # its tokenizer writes no first token


def test_prompt_is_the_question_and_a_line_break_as_one_text(join, image):
    pipe = join()
    tokens = pipe.processor([Sample([image], "what?")]).tokens[0, 16:].tolist()
    assert tuple(tokens) == pipe.processor.tokenizer.encode("what?\n", "token")


def test_prompt_of_a_prefix_lm_is_paligemmas(join, image):
    pipe = join(settings=["model.decoder.mask=prefix"])
    tokens = pipe.processor([Sample([image], "what?")]).tokens[0, 16:].tolist()
    tokenizer = pipe.processor.tokenizer
    assert tokens == [tokenizer.bos, *tokenizer.encode("what?"), *tokenizer.encode("\n")]


@pytest.mark.parametrize(
    ("like", "connector", "expected"),
    [
        ("llava", None, ConnectorConfig(project="mlp")),
        ("paligemma", None, ConnectorConfig()),
        ("idefics3", None, PixelShuffleConfig(bias=False)),
        ("idefics3", "pixel_shuffle:4", PixelShuffleConfig(factor=4, bias=False)),
        ("", None, ConnectorConfig(project="mlp")),
    ],
)
def test_family_that_a_build_follows_has_its_connector(join, image, like, connector, expected):
    pipe = join(like=like, connector=connector)
    assert pipe.model.config.connector == dataclasses.replace(expected, mlp_dim=pipe.model.config.decoder.width)
    pipe.caption(image, max_new_tokens=2)


def test_build_like_idefics3_adds_its_tokens_to_the_vocabulary(join, parts):
    pipe, plain = join(like="idefics3"), join()
    tokenizer, decoder = pipe.processor.tokenizer, pipe.model.decoder
    assert tokenizer.eos == tokenizer.parse("<end_of_utterance>")[0]
    assert tokenizer.size < decoder.config.vocab_size
    assert torch.equal(decoder.embedding.weight[:280], plain.model.decoder.embedding.weight)


def test_vocabulary_may_be_larger_than_the_decoders(join):
    plain, larger = join(), join(settings=["model.decoder.vocab_size=300"])
    rows = larger.model.decoder.embedding.weight
    assert torch.equal(rows[:280], plain.model.decoder.embedding.weight)
    assert torch.equal(rows[280:], rows[:280].mean(dim=0).expand(20, -1))


def test_family_that_no_build_follows_is_named(join):
    says(join, OjitoError, "like: 'lava' is not one of llava, paligemma, idefics3; did you mean llava?", like="lava")


@pytest.mark.parametrize(
    ("connector", "settings", "layer"),
    [
        ("mlp", [], -2),
        ("mlp", ["model.vision.feature_layer=-1"], -1),
        ("linear", [], -1),
        ("linear", ["model.connector.project=mlp"], -2),
        ("mlp", ["model.decoder.mask=prefix"], -1),
    ],
)
def test_tower_is_read_as_llava_reads_it_where_the_model_is_of_its_plan(join, connector, settings, layer):
    assert join(connector=connector, settings=settings).model.config.vision.feature_layer == layer


def test_images_are_prepared_as_the_tower_knows_them(join, tmp_path):
    folder = save_tower(tmp_path / "tower")
    said = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "resample": 1, "size": 16}
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    image = join(vision=folder).config.processor.image
    assert (image.mean, image.std, image.resample) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "lanczos")


def test_tower_of_clip_crops_and_reads_the_layer_before_the_last(join, tmp_path):
    config = dataclasses.replace(
        TOWER, class_token=True, pre_norm=True, stem_bias=False, feature_layer=-2, activation="quick_gelu"
    )
    folder = save_tower(tmp_path / "clip", config, "clip_vision_model")
    (folder / "preprocessor_config.json").write_text('{"size": 16, "crop_size": 16}')  # as in CLIP's own folder
    pipe = join(vision=folder)
    assert pipe.config.processor.image.fit == "crop"
    assert pipe.model.config.vision.feature_layer == -2
    assert join(vision=tmp_path / "clip", settings=["model.vision.feature_layer=-1"]).model.config.image_tokens == 16


def test_tower_of_siglip2_reads_images_of_another_size_when_asked(join, tmp_path, image):
    config = dataclasses.replace(TOWER, positions="resized", position_grid=4)
    folder = save_tower(tmp_path / "naflex", config, "siglip2_vision_model")
    pipe = join(vision=folder, settings=["model.vision.image_size=24"])
    assert pipe.processor.image_size == 24
    assert pipe.model.config.image_tokens == 36
    pipe.caption(image, max_new_tokens=2)


def test_tokenizer_with_one_special_token_lends_it_to_all(join, parts, image):
    pipe = join(decoder=parts / "gpt2")
    tokenizer = pipe.processor.tokenizer
    assert tokenizer.bos == tokenizer.eos == tokenizer.pad
    assert tokenizer.ends == (tokenizer.eos,)
    pipe.generate([Sample([image], "what?"), Sample([image], "what is it?")], max_new_tokens=2)


def test_row_has_no_bos_where_the_decoder_names_none(join, tmp_path):
    """The file has a token of a usual name, which begins messages and not rows."""
    folder = save_decoder(tmp_path / "qwen")
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": None, "eos_token": "<|im_end|>"}))
    pipe = join(decoder=folder)
    tokenizer = pipe.processor.tokenizer
    assert tokenizer.bos is None
    row = pipe.processor.row(Sample([], "what?"))
    assert tuple(row.tokens) == tokenizer.encode("what?\n")


CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def test_decoder_that_was_trained_to_chat_keeps_its_chat(join, tmp_path):
    folder = save_decoder(tmp_path / "chat")
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>", "chat_template": CHATML}))
    pipe = join(decoder=folder, settings=["processor.prompt.system=be short"])
    ids = pipe.processor.tokenizer.parse
    row = pipe.processor.row(Sample([], "what?")).tokens
    (start,), (end,) = ids("<|im_start|>"), ids("<|im_end|>")
    assert (row.count(start), row.count(end), pipe.processor.tokenizer.eos) == (3, 2, end)
    assert row[0] == start
    other = join(decoder=folder)
    assert other.processor.row(Sample([], "what?", system="be short")).tokens == row
    assert other.processor.row(Sample([], "what?")).tokens.count(start) == 2


def test_decoder_with_a_chat_of_no_known_form_is_asked_by_the_question_alone(join, tmp_path, caplog):
    folder = save_decoder(tmp_path / "odd")
    odd = {"eos_token": "<|im_end|>", "chat_template": "{{ 'Q: ' + messages[0]['content'] }}"}
    (folder / "tokenizer_config.json").write_text(json.dumps(odd))
    assert join(decoder=folder).config.processor.prompt.separator == "\n"
    assert "has a chat template of a form that Ojito does not know" in caplog.text


# ------------------------------------------------------------------------------------------------------- the arguments


def test_vision_and_decoder_change_the_model(join, parts, tmp_path):
    pipe = join()
    other = join(vision=save_tower(tmp_path / "other", seed=9))
    assert not same(pipe.model.vision, other.model.vision)
    assert same(pipe.model.connector, other.model.connector)
    assert same(pipe.model.decoder, other.model.decoder)
    assert join(decoder=parts / "gpt2").model.config.decoder.positions == "learned"


def test_seed_draws_the_connector_and_nothing_else(join):
    state = torch.random.get_rng_state()
    one, again, other = join(), join(), join(seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert same(one.model, again.model)
    assert not same(one.model.connector, other.model.connector)
    assert same(one.model.vision, other.model.vision)
    assert same(one.model.decoder, other.model.decoder)


def test_dtype_is_that_of_all_weights(join, image):
    pipe = join(dtype="bfloat16")
    assert {tensor.dtype for tensor in pipe.model.state_dict().values()} == {torch.bfloat16}
    pipe.caption(image, max_new_tokens=2)


def test_weights_in_bfloat16_become_float32_when_asked(join, tmp_path):
    folder = save_tower(tmp_path / "tower")
    weights = load_file(folder / "model.safetensors")
    save_file({name: tensor.bfloat16() for name, tensor in weights.items()}, folder / "model.safetensors")
    assert {tensor.dtype for tensor in join(vision=folder).model.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize(
    ("connector", "expected", "tokens"),
    [
        ("linear", ConnectorConfig(), 16),
        ("mlp", ConnectorConfig(project="mlp"), 16),
        ("perceiver:5", PerceiverConfig(queries=5), 5),
        ("pixel_shuffle:2", PixelShuffleConfig(factor=2, bias=False), 4),
        ("average_pool:4", AveragePoolConfig(factor=4), 1),
        ({"project": "mlp", "mlp_dim": 7}, ConnectorConfig(project="mlp", mlp_dim=7), 16),
        (ConnectorConfig(norm="rms"), ConnectorConfig(norm="rms"), 16),
    ],
    ids=["linear", "mlp", "perceiver", "pixel_shuffle", "average_pool", "mapping", "config"],
)
def test_connector_is_the_one_that_is_named(join, image, connector, expected, tokens):
    pipe = join(connector=connector)
    expected = dataclasses.replace(expected, mlp_dim=expected.mlp_dim or pipe.model.config.decoder.width)
    assert pipe.model.config.connector == pipe.config.model.connector == expected
    assert pipe.processor.image_tokens == pipe.model.config.image_tokens == tokens
    pipe.caption(image, max_new_tokens=2)


def test_one_setting_may_be_alone(join):
    assert join(settings="train.lr=0.25").config.train.lr == 0.25


def test_settings_change_the_recipe(join):
    settings = ["name=mine", "train.lr=0.5", "processor.prompt.separator='?'", "model.connector.project=linear"]
    pipe = join(settings=settings)
    assert (pipe.name, pipe.config.train.lr, pipe.config.processor.prompt.separator) == ("mine", 0.5, "?")
    assert isinstance(pipe.model.connector.project, torch.nn.Linear)


def test_tower_of_a_preset_begins_with_random_weights(join):
    pipe, other = join(vision="tiny", connector="linear"), join(vision="tiny", connector="linear", seed=1)
    tower, image = ojito.preset("tiny").model.vision, ojito.preset("tiny").processor.image
    assert (pipe.config.model.vision, pipe.config.processor.image) == (tower, image)
    assert pipe.name == "tiny-smollm"
    assert not same(pipe.model.vision, other.model.vision)
    assert same(pipe.model.decoder, other.model.decoder)
    assert pipe.config.train.vision_lr > pipe.config.train.lr


def test_parts_of_the_hub_are_fetched_and_progress_hears_of_it(join, parts, monkeypatch):
    def download(name, progress, check):
        progress(1, len(name))
        return parts / name.partition("/")[2]

    monkeypatch.setattr(loading, "download", download)
    heard = []
    pipe = join(vision="google/siglip", decoder="hub/gpt2", progress=lambda done, total: heard.append(total))
    assert heard[:2] == [13, 8]  # and then of the weights
    assert same(pipe.model, join(decoder=parts / "gpt2").model)


def test_parts_of_a_saved_model_are_its_own(join, tmp_path, image):
    first = join(settings=["processor.image.fit=pad", "processor.tokenizer.special=[<extra>]"])
    first.save(tmp_path / "first")
    pipe = join(vision=tmp_path / "first", decoder=tmp_path / "first", connector="linear")
    assert same(first.model.vision, pipe.model.vision)
    assert same(first.model.decoder, pipe.model.decoder)
    assert pipe.config.processor.image == first.config.processor.image
    assert pipe.processor.tokenizer.parse("<extra>") == first.processor.tokenizer.parse("<extra>")
    assert (pipe.name, pipe.config.processor.prompt.bos) == ("siglip-smollm-siglip-smollm", False)


# -------------------------------------------------------------------------------------------------- saved, and trained


def test_saved_model_loads_the_same(join, tmp_path, image):
    pipe = join(connector="pixel_shuffle:2")
    pipe.save(tmp_path / "new")
    loaded = load(tmp_path / "new", dtype="float32", device="cpu")
    assert same(loaded.model, pipe.model)
    assert (loaded.name, loaded.config, loaded.model.config) == (pipe.name, pipe.config, pipe.model.config)
    assert loaded.ask(image, "what?", max_new_tokens=9) == pipe.ask(image, "what?", max_new_tokens=9)


def test_saved_model_does_not_need_its_parts(join, tmp_path, image):
    folders = save_tower(tmp_path / "tower"), save_decoder(tmp_path / "decoder")
    join(vision=folders[0], decoder=folders[1]).save(tmp_path / "new")
    for folder in folders:
        shutil.rmtree(folder)
    load(tmp_path / "new").caption(image, max_new_tokens=2)
    load_for(recipe_of(tmp_path / "new"), tmp_path / "new", "cpu")


def test_training_learns_and_leaves_the_files_of_the_parts_alone(join, parts, image):
    before = [(parts / name / "model.safetensors").read_bytes() for name in ("siglip", "smollm")]
    settings = ["train.steps=3", "train.batch_size=1", "train.log_every=1", "train.warmup=0"]
    pipe = join(settings=[*settings, "model.vision.feature_layer=-1"])  # with all layers
    start = {name: tensor.clone() for name, tensor in pipe.model.state_dict().items()}
    batch = pipe.processor([Sample([image], turns=(Turn("what?", ("a red ball",)),))], training=True)
    history = fit(TrainState(pipe.model, pipe.config.train), itertools.repeat(batch), quiet=True)
    assert history.log[-1]["loss"] < history.log[0]["loss"]
    assert all(not torch.equal(tensor, start[name]) for name, tensor in pipe.model.state_dict().items())
    moved = {
        part: max(float((t - start[n]).abs().max()) for n, t in pipe.model.state_dict().items() if n.startswith(part))
        for part in ("vision", "connector", "decoder")
    }
    assert moved["connector"] > 5 * max(moved["vision"], moved["decoder"])
    assert [(parts / name / "model.safetensors").read_bytes() for name in ("siglip", "smollm")] == before


# ---------------------------------------------------------------------------------------------- what is wrong, one line


def says(join, error, *parts, **given):
    with pytest.raises(error) as raised:
        join(**given)
    message = str(raised.value)
    assert "\n" not in message
    assert all(part in message for part in parts), message


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
