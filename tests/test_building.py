"""A tower and a decoder out of folders, joined, and what training goes on with."""

import dataclasses
import itertools
import json
import shutil
import string

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import ojito
from ojito import checks, loading
from ojito.building import build
from ojito.checkpoint import CheckpointError
from ojito.checkpoint.huggingface import read_decoder, read_tower
from ojito.checkpoint.huggingface.decoders import DECODERS
from ojito.checkpoint.huggingface.towers import TOWERS
from ojito.cli import main
from ojito.config import Config, ConnectorConfig, DataConfig, DecoderConfig, TokenizerConfig, ViTConfig
from ojito.loading import FINE_TUNING, load, load_for, name_of, recipe_of
from ojito.model.decoder import Decoder
from ojito.model.vit import ViT
from ojito.processor import Tokenizer
from ojito.records import Sample, Turn
from ojito.settings import ConfigError, override, read, write
from ojito.train import fit

TOWER = ViTConfig(image_size=16, patch_size=4, width=24, layers=2, heads=3, mlp_dim=40, activation="gelu_tanh")
SMOLLM = DecoderConfig(vocab_size=280, width=24, layers=2, heads=4, kv_heads=2, mlp_dim=40, max_positions=64)
GPT2 = DecoderConfig(
    vocab_size=280, width=24, layers=2, heads=4, mlp_dim=40, max_positions=64, mlp="plain", activation="gelu_tanh",
    norm="layer", norm_eps=1e-5, positions="learned", bias=True,
)  # fmt: skip
NAMES = {"bos": "<|im_start|>", "eos": ("<|im_end|>",), "pad": "<|im_end|>"}
ONE_NAME = {"bos": "<|endoftext|>", "eos": ("<|endoftext|>",), "pad": "<|endoftext|>"}


def draw(module, seed):
    generator = torch.Generator().manual_seed(seed)
    for tensor in module.state_dict().values():
        tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
    return module.state_dict()


def save_tower(folder, config=TOWER, model_type="siglip_vision_model", seed=1):
    """As somebody else has it: their names of fields and tensors."""
    folder.mkdir()
    described = {"model_type": model_type, **TOWERS[model_type].write(config)}
    (folder / "config.json").write_text(json.dumps(described))
    state = {f"vision.{name}": tensor for name, tensor in draw(ViT(config), seed).items()}
    save_file(read_tower(folder).keys.to_theirs(state), folder / "model.safetensors")
    return folder


def save_decoder(folder, config=SMOLLM, model_type="llama", names=NAMES, seed=2):
    """With a tokenizer of single bytes."""
    folder.mkdir()
    described = {"model_type": model_type, **DECODERS[model_type].write(config)}
    (folder / "config.json").write_text(json.dumps(described))
    Tokenizer.train(TokenizerConfig(**names), [string.printable], 260).save(folder / "tokenizer.json")
    said = {f"{name}_token": token if isinstance(token, str) else token[0] for name, token in names.items()}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    state = {f"decoder.{name}": tensor for name, tensor in draw(Decoder(config), seed).items()}
    keys = read_decoder(folder).keys
    save_file({name: t.contiguous() for name, t in keys.to_theirs(state).items()}, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A SigLIP, a SmolLM2, a GPT-2."""
    folder = tmp_path_factory.mktemp("parts")
    save_tower(folder / "siglip")
    save_decoder(folder / "smollm")
    save_decoder(folder / "gpt2", GPT2, "gpt2", ONE_NAME)
    return folder


@pytest.fixture
def join(parts):
    """`build` with these parts, but for what is given."""

    def joined(**changes):
        given = {"vision": parts / "siglip", "decoder": parts / "smollm", "dtype": "float32", "device": "cpu"}
        return build(**{**given, **changes})

    return joined


@pytest.fixture
def picture():
    return Image.effect_noise((20, 30), 90).convert("RGB")


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def tensors(pipe):
    return pipe.model.state_dict().values()


# --------------------------------------------------------------------------------------------------------- the model


def test_built_model_has_the_weights_of_its_parts_and_a_fresh_connector(join, parts):
    state = join().model.state_dict()
    tower, decoder = read_tower(parts / "siglip").keys, read_decoder(parts / "smollm").keys
    for kind, keys, folder in (("vision", tower, "siglip"), ("decoder", decoder, "smollm")):
        theirs = load_file(parts / folder / "model.safetensors")
        mine = keys.to_theirs({name: tensor for name, tensor in state.items() if name.startswith(f"{kind}.")})
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], tensor) for name, tensor in theirs.items())
    fresh = {name: tensor for name, tensor in state.items() if name.startswith("connector.")}
    assert fresh["connector.project.0.weight"].std() > 0.05
    assert not fresh["connector.project.0.bias"].any()


def test_built_model_answers_about_the_picture(join, picture):
    pipe = join()
    answer = pipe.ask(picture, "what is it?", max_new_tokens=6)
    assert answer == pipe.ask(picture, "what is it?", max_new_tokens=6)
    batches = [pipe.processor([Sample([image], "what is it?")]) for image in (picture, picture.rotate(90))]
    with torch.inference_mode():
        here, there = (pipe.model(batch)[0, -1] for batch in batches)
    assert not torch.allclose(here, there)


def test_recipe_is_of_the_parts(join, parts):
    config = join().config
    assert config.name == "siglip-smollm"
    assert (config.model.vision, config.model.decoder) == (TOWER, read_decoder(parts / "smollm").config)
    assert config.model.connector == ConnectorConfig(project="mlp")
    assert config.train.connector_lr > config.train.lr
    assert config.train.vision_lr == config.train.decoder_lr == 0  # as train.lr
    tokenizer = TokenizerConfig(kind="file", path=str(parts / "smollm" / "tokenizer.json"), **NAMES)
    assert config.processor.tokenizer == tokenizer
    prompt = config.processor.prompt
    assert (prompt.image, prompt.user, prompt.separator, prompt.bos) == ("front", "", "\n", True)


def test_prompt_is_the_question_and_a_line_break(join, picture):
    pipe = join()
    tokens = pipe.processor([Sample([picture], "what?")]).tokens[0, 16:].tolist()
    tokenizer = pipe.processor.tokenizer
    assert tokens == [tokenizer.bos, *tokenizer.encode("what?"), *tokenizer.encode("\n")]


def test_pictures_are_prepared_as_the_tower_knows_them(join, tmp_path):
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


def test_tower_of_siglip2_reads_pictures_of_another_size_when_asked(join, tmp_path, picture):
    config = dataclasses.replace(TOWER, positions="resized", position_grid=4)
    folder = save_tower(tmp_path / "naflex", config, "siglip2_vision_model")
    pipe = join(vision=folder, settings=["model.vision.image_size=24"])
    assert pipe.processor.image_size == 24
    assert pipe.model.config.image_tokens == 36
    pipe.caption(picture, max_new_tokens=2)


def test_tokenizer_with_one_special_token_lends_it_to_all(join, parts, picture):
    pipe = join(decoder=parts / "gpt2")
    tokenizer = pipe.processor.tokenizer
    assert tokenizer.bos == tokenizer.eos == tokenizer.pad
    assert tokenizer.ends == (tokenizer.eos,)
    pipe.generate([Sample([picture], "what?"), Sample([picture], "what is it?")], max_new_tokens=2)


def test_row_has_no_bos_where_the_decoder_names_none(join, tmp_path):
    """The file has a token of a usual name, which begins messages and not rows."""
    folder = save_decoder(tmp_path / "qwen")
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": None, "eos_token": "<|im_end|>"}))
    pipe = join(decoder=folder)
    assert pipe.processor.tokenizer.bos not in pipe.processor([Sample([], "what?")]).tokens


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


def test_dtype_is_that_of_all_weights(join, picture):
    pipe = join(dtype="bfloat16")
    assert {tensor.dtype for tensor in pipe.model.state_dict().values()} == {torch.bfloat16}
    pipe.caption(picture, max_new_tokens=2)


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
        ("perceiver:5", ConnectorConfig(reduce="perceiver", queries=5), 5),
        ("pixel_shuffle:2", ConnectorConfig(reduce="pixel_shuffle", factor=2), 4),
        ("average_pool:4", ConnectorConfig(reduce="average_pool", factor=4), 1),
        ({"project": "mlp", "mlp_dim": 7}, ConnectorConfig(project="mlp", mlp_dim=7), 16),
        (ConnectorConfig(norm="rms"), ConnectorConfig(norm="rms"), 16),
    ],
    ids=["linear", "mlp", "perceiver", "pixel_shuffle", "average_pool", "mapping", "config"],
)
def test_connector_is_the_one_that_is_named(join, picture, connector, expected, tokens):
    pipe = join(connector=connector)
    assert pipe.model.config.connector == pipe.config.model.connector == expected
    assert pipe.processor.image_tokens == pipe.model.config.image_tokens == tokens
    pipe.caption(picture, max_new_tokens=2)


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
    def download(name, progress):
        progress(1, len(name))
        return parts / name.partition("/")[2]

    monkeypatch.setattr(loading, "download", download)
    heard = []
    pipe = join(vision="google/siglip", decoder="hub/gpt2", progress=lambda done, total: heard.append(total))
    assert heard == [13, 8]
    assert same(pipe.model, join(decoder=parts / "gpt2").model)


def test_parts_of_a_saved_model_are_its_own(join, tmp_path, picture):
    first = join(settings=["processor.image.fit=pad", "processor.tokenizer.special=[<extra>]"])
    first.save(tmp_path / "first")
    pipe = join(vision=tmp_path / "first", decoder=tmp_path / "first", connector="linear")
    assert same(first.model.vision, pipe.model.vision)
    assert same(first.model.decoder, pipe.model.decoder)
    assert pipe.config.processor.image == first.config.processor.image
    assert pipe.processor.tokenizer.parse("<extra>") == first.processor.tokenizer.parse("<extra>")
    assert (pipe.name, pipe.config.processor.prompt.bos) == ("siglip-smollm-siglip-smollm", True)


# -------------------------------------------------------------------------------------------------- saved, and trained


def test_saved_model_loads_the_same(join, tmp_path, picture):
    pipe = join(connector="pixel_shuffle:2")
    pipe.save(tmp_path / "new")
    loaded = load(tmp_path / "new", dtype="float32", device="cpu")
    assert same(loaded.model, pipe.model)
    assert (loaded.name, loaded.config, loaded.model.config) == (pipe.name, pipe.config, pipe.model.config)
    assert loaded.ask(picture, "what?", max_new_tokens=9) == pipe.ask(picture, "what?", max_new_tokens=9)


def test_saved_model_does_not_need_its_parts(join, tmp_path, picture):
    folders = save_tower(tmp_path / "tower"), save_decoder(tmp_path / "decoder")
    join(vision=folders[0], decoder=folders[1]).save(tmp_path / "new")
    for folder in folders:
        shutil.rmtree(folder)
    load(tmp_path / "new").caption(picture, max_new_tokens=2)
    load_for(recipe_of(tmp_path / "new"), tmp_path / "new", "cpu")


def test_training_learns_and_leaves_the_files_of_the_parts_alone(join, parts, picture):
    before = [(parts / name / "model.safetensors").read_bytes() for name in ("siglip", "smollm")]
    pipe = join(settings=["train.steps=3", "train.batch_size=1", "train.log_every=1", "train.warmup=0"])
    start = {name: tensor.clone() for name, tensor in pipe.model.state_dict().items()}
    batch = pipe.processor([Sample([picture], turns=(Turn("what?", ("a red ball",)),))], training=True)
    history = fit(pipe.model, itertools.repeat(batch), pipe.config.train, quiet=True)
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


def test_decoder_that_reads_both_ways_is_refused(join, tmp_path):
    small = save_decoder(tmp_path / "both", model_type="gemma", config=dataclasses.replace(
        SMOLLM, norm="rms_plus_one", scale_embeddings=True, activation="gelu_tanh"
    ))  # fmt: skip
    join(decoder=small)
    described = json.loads((small / "config.json").read_text())
    (small / "config.json").write_text(json.dumps({**described, "use_bidirectional_attention": True}))
    says(join, CheckpointError, "use_bidirectional_attention is 'True'; Ojito has only False", decoder=small)


def test_pictures_of_another_size_than_the_towers_are_refused(join, tmp_path):
    folder = save_tower(tmp_path / "tower")
    for size in (20, {"height": 20, "width": 16}):
        (folder / "preprocessor_config.json").write_text(json.dumps({"size": size}))
        says(join, CheckpointError, "prepares pictures of 20 pixels, and the model reads 16", vision=folder)


def test_missing_folder_and_preset_are_named(join, tmp_path):
    says(join, ValueError, "neither a folder nor a preset", vision=tmp_path / "nothing")
    says(join, ValueError, "did you mean tiny?", vision="tinny")
    says(join, ValueError, "'tiny' is a preset, whose tokenizer is learned from data; give a folder", decoder="tiny")
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
        ("mlp:2", "'mlp:2' has '2' after the colon; write mlp"),
        ("pixel_shuffle:two", "has 'two' after the colon; write pixel_shuffle:2"),
        ("pixel_shuffle", "factor: 1 reduces nothing with reduce=pixel_shuffle; use 2 or more"),
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
    monkeypatch.setattr(checks, "available_memory", lambda device: 1000)
    says(join, ValueError, "siglip-smollm needs", "are free on cpu")


def test_device_and_dtype_have_to_be_there(join):
    says(join, ValueError, "'float31' is not one of auto, float32", dtype="float31")
    says(join, ValueError, "tpu", device="tpu")


# ------------------------------------------------------------------------------------------- what training goes on with


def test_recipe_of_a_folder_is_its_models_with_its_data_and_training(join, tmp_path):
    pipe = join(settings=["train.lr=0.25", "data.path=mine.jsonl"])
    pipe.save(tmp_path)
    assert recipe_of(tmp_path) == pipe.config
    (tmp_path / "recipe.yaml").unlink()
    here = dataclasses.replace(pipe.config.processor.tokenizer, path="tokenizer.json")
    processor = dataclasses.replace(pipe.config.processor, tokenizer=here)
    expected = dataclasses.replace(pipe.config, processor=processor, data=DataConfig(), train=FINE_TUNING)
    assert recipe_of(tmp_path) == expected


def test_saved_recipe_may_be_given_to_the_training_that_goes_on(run, join, tmp_path):
    join().save(tmp_path / "new")
    words = ("train", "--from", tmp_path / "new", "--config", tmp_path / "new" / "recipe.yaml", "--print-config")
    assert run(*words)[0] == 0
    load_for(recipe_of(tmp_path / "new"), tmp_path / "new", "cpu")


def test_load_for_has_the_weights_the_tokenizer_and_the_recipe(join, tmp_path):
    pipe = join()
    pipe.save(tmp_path)
    config = read(Config, override(write(recipe_of(tmp_path)), ["train.lr=0.25", "processor.tokenizer.special=[<x>]"]))
    loaded = load_for(config, tmp_path, "cpu")
    assert same(loaded.model, pipe.model)
    assert loaded.config == config
    assert loaded.processor.tokenizer.size == pipe.processor.tokenizer.size + 1
    assert loaded.model.decoder.embedding.weight.dtype == torch.float32


def test_load_for_sets_the_seed_of_the_training(join, tmp_path):
    join().save(tmp_path)
    config = recipe_of(tmp_path)
    drawn = []
    for seed in (3, 3, 4):
        load_for(dataclasses.replace(config, train=dataclasses.replace(config.train, seed=seed)), tmp_path, "cpu")
        drawn.append(float(torch.rand(())))
    assert drawn[0] == drawn[1] != drawn[2]


def test_load_for_takes_dropout_and_names_what_cannot_change(join, tmp_path):
    join().save(tmp_path)

    def with_setting(setting):
        return load_for(read(Config, override(write(recipe_of(tmp_path)), [setting])), tmp_path, "cpu")

    assert with_setting("model.decoder.dropout=0.5").model.decoder.dropout.p == 0.5
    with pytest.raises(CheckpointError, match=r"does not fit.*and leave model\.decoder\.mlp_dim at 40$"):
        with_setting("model.decoder.mlp_dim=48")
    with pytest.raises(ConfigError, match=r"tokenizer\.vocab_size: 99 asks for another tokenizer.*leave it at 0"):
        with_setting("processor.tokenizer.vocab_size=99")


def test_model_of_the_hub_is_called_as_the_hub_calls_it(tmp_path):
    snapshot = tmp_path / "models--google--siglip-base" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    assert name_of(snapshot) == "siglip-base"
    assert name_of(tmp_path) == tmp_path.name


# -------------------------------------------------------------------------------------------------- on the command line


@pytest.fixture
def run(capsys):
    def call(*words):
        code = main([*map(str, words), "--device", "cpu"])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def data(tmp_path, picture):
    """Two pictures with captions."""
    folder = tmp_path / "data"
    folder.mkdir()
    rows = [{"image": f"{number}.png", "caption": text} for number, text in enumerate(["a red ball", "grey noise"])]
    for row in rows:
        picture.save(folder / row["image"])
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


TRAIN = ("train.batch_size=2", "--steps", 3)


def test_build_then_train_then_caption(run, parts, data, tmp_path):
    words = ("build", "--vision", parts / "siglip", "--decoder", parts / "smollm", "--out", tmp_path / "new")
    code, out, err = run(*words, "--connector", "pixel_shuffle:2", "name=fresh")
    assert (code, err) == (0, "")
    assert out.startswith("fresh: ")
    assert "4 tokens a picture" in out
    assert f"ojito train --from {tmp_path / 'new'}" in out

    code, out, err = run("train", "--from", tmp_path / "new", "--data", data, "--out", tmp_path / "trained", *TRAIN)
    assert code == 0, err
    new, trained = (load(tmp_path / name, "cpu", "float32") for name in ("new", "trained"))
    assert not same(new.model.decoder, trained.model.decoder)
    assert trained.config.train == dataclasses.replace(new.config.train, steps=3, batch_size=2)
    files = [(tmp_path / name / "tokenizer.json").read_bytes() for name in ("new", "trained")]
    assert files[0] == files[1]
    assert run("caption", tmp_path / "trained", data / "0.png", "--max-new-tokens", 2)[0] == 0


def test_build_saves_float32_and_reports_json(run, parts, tmp_path):
    words = ("build", "--vision", parts / "siglip", "--decoder", parts / "smollm", "--out", tmp_path / "new", "--json")
    code, out, _ = run(*words)
    said = json.loads(out)
    assert (code, said["out"], said["name"], said["image_tokens"]) == (0, str(tmp_path / "new"), "siglip-smollm", 16)
    assert said["parameters"]["total"] == sum(said["parameters"][part] for part in ("vision", "connector", "decoder"))
    assert {tensor.dtype for tensor in load_file(tmp_path / "new" / "model.safetensors").values()} == {torch.float32}
    code, _, err = run(*words)
    assert (code, err.count("\n")) == (2, 1)
    assert "holds a model already; choose another folder, or replace it with --force" in err
    before = load_file(tmp_path / "new" / "model.safetensors")["connector.project.0.weight"]
    assert run(*words, "--force", "--seed", 5)[0] == 0
    assert not torch.equal(load_file(tmp_path / "new" / "model.safetensors")["connector.project.0.weight"], before)


def test_train_from_starts_with_the_recipe_of_the_folder(run, join, tmp_path):
    join(settings=["train.lr=0.25", "train.steps=7"]).save(tmp_path / "new")
    (tmp_path / "over.yaml").write_text("train: {weight_decay: 0.5, betas: [0.5, 0.6]}")
    code, out, _ = run(
        "train", "--from", tmp_path / "new", "--config", tmp_path / "over.yaml", "--steps", 9, "train.betas=[0.1, 0.2]",
        "--print-config", "--json",
    )  # fmt: skip
    train = json.loads(out)["train"]
    assert code == 0
    assert (train["lr"], train["weight_decay"], train["steps"], train["betas"]) == (0.25, 0.5, 9, [0.1, 0.2])


def test_train_from_may_replace_the_folder_itself(run, join, data, tmp_path):
    pipe = join()
    pipe.save(tmp_path / "new")
    words = ("train", "--from", tmp_path / "new", "--data", data, "--out", tmp_path / "new", *TRAIN)
    assert run(*words)[0] == 2
    assert run(*words, "--force")[0] == 0
    assert not same(load(tmp_path / "new", "cpu", "float32").model.connector, pipe.model.connector)


def test_train_from_has_a_line_for_each_mistake(run, join, tmp_path):
    join().save(tmp_path / "new")
    (tmp_path / "preset.yaml").write_text("preset: tiny")
    for words, problem in (
        (("--from", tmp_path / "new", "--preset", "tiny"), "and the preset tiny are two to start from; name one"),
        (("--from", tmp_path / "new", "--config", tmp_path / "preset.yaml"), "and the preset tiny are two to start"),
        (("--from", "tiny"), "--from tiny is a preset, and goes on with no weights; write --preset tiny"),
        (("--from", tmp_path / "nwe"), "did you mean"),
        (
            ("--from", tmp_path / "new", "model.decoder.width=32", "--out", tmp_path / "out"),
            "model.decoder.width at 24",
        ),
    ):
        code, _, err = run("train", *words)
        assert (code, err.count("\n")) == (2, 1), err
        assert problem in err


def test_public_model_is_fine_tuned(run, data, tmp_path):
    """A PaliGemma of transformers', with its 1152 tokens for places and masks."""
    transformers = pytest.importorskip("transformers")
    names = TokenizerConfig(bos="<bos>", eos=("<eos>",), pad="<pad>", added=("<loc{0000..1023}>", "<seg{000..127}>"))
    folder = tmp_path / "paligemma"
    text = {
        "vocab_size": 1420, "hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 8, "intermediate_size": 32, "pad_token_id": 0,
    }  # fmt: skip
    vision = {
        "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 1, "num_attention_heads": 3, "image_size": 16,
        "patch_size": 4, "vision_use_head": False,
    }  # fmt: skip
    config = transformers.PaliGemmaConfig(
        vision_config={"model_type": "siglip_vision_model", **vision}, text_config={"model_type": "gemma", **text},
        projection_dim=24, image_token_id=1419,
    )  # fmt: skip
    transformers.PaliGemmaForConditionalGeneration(config).save_pretrained(folder)
    Tokenizer.train(names, [string.printable], 1411).save(folder / "tokenizer.json")
    said = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))

    weights = (folder / "model.safetensors").read_bytes()
    code, _, err = run("train", "--from", folder, "--data", data, "--out", tmp_path / "tuned", *TRAIN)
    assert code == 0, err
    assert "1152" not in err
    before, tuned = load(folder, "cpu", "float32"), load(tmp_path / "tuned", "cpu", "float32")
    assert (tuned.name, tuned.config.train.lr, tuned.model.config) == ("paligemma", FINE_TUNING.lr, before.model.config)
    assert not same(before.model.decoder, tuned.model.decoder)
    difference = max(float((a - b).abs().max()) for a, b in zip(*map(tensors, (before, tuned)), strict=True))
    assert difference < 1e-3  # it went on from there
    assert tuned.processor.tokenizer.encode("<loc0007>") == before.processor.tokenizer.encode("<loc0007>")
    assert (folder / "model.safetensors").read_bytes() == weights
