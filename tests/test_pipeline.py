import ast
import dataclasses
import json
import random
import re
import string
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from PIL import Image

import ojito
from ojito import device, memory
from ojito import pipeline as module
from ojito.checkpoint.files import CheckpointError
from ojito.config import Config, DecoderConfig, ModelConfig, ProcessorConfig, TokenizerConfig, ViTConfig
from ojito.errors import OjitoError
from ojito.generate import GenerateOptions, Greedy, PrefixCache, Temperature, TopK, TopP
from ojito.learned import Learned
from ojito.loading import load
from ojito.model import VLM
from ojito.pipeline import Answer, Pipeline
from ojito.processor import Processor, RowError, Tokenizer
from ojito.records import Sample, Turn
from ojito.settings import ConfigError
from tests.scripted import Scripted

CONFIG = Config(
    name="toy",
    model=ModelConfig(
        vision=ViTConfig(image_size=16, patch_size=8, width=32, layers=1, heads=2, mlp_dim=64),
        decoder=DecoderConfig(vocab_size=259, width=32, layers=1, heads=2, mlp_dim=64, max_positions=128),
    ),
    processor=ProcessorConfig(tokenizer=TokenizerConfig(kind="characters")),
)


def make(config=CONFIG, kind="characters"):
    torch.manual_seed(0)
    tokenizer = Tokenizer.train(TokenizerConfig(kind=kind), [string.printable], 259)
    processor = Processor(config.processor, tokenizer, config.model.vision.image_size, config.model.image_tokens)
    pipe = Pipeline(VLM(config.model).eval(), processor, config)
    for parameter in pipe.model.parameters():  # sharp, so that images and questions change what it says
        parameter.data.mul_(4 if parameter.ndim > 1 else 1)
    return pipe


@pytest.fixture
def pipe():
    return make()


@pytest.fixture
def image():
    return Image.frombytes("L", (40, 30), random.Random(1).randbytes(40 * 30))


@pytest.fixture
def presets(monkeypatch):
    """Two presets, whatever the real ones are."""
    known = {"tiny": CONFIG, "tinier": dataclasses.replace(CONFIG, name="tinier")}
    stub = types.ModuleType("ojito.presets")
    stub.PRESETS, stub.preset = known, known.__getitem__
    monkeypatch.setitem(sys.modules, "ojito.presets", stub)
    return known


def says(monkeypatch, pipe, *texts):
    """Makes the pipeline say these texts, token by token, then the end of text; one for each row."""
    rows = [list(pipe.processor.tokenizer.encode(text)) for text in texts]
    says_ids(monkeypatch, *rows)


def says_ids(monkeypatch, *rows):
    monkeypatch.setattr(module, "Scheduler", Scripted(*rows))


# -------------------------------------------------------------------------------------------------------------- answers


def test_answers_are_their_text(pipe, image):
    answer = pipe.ask(image, "what is it", max_new_tokens=5)
    assert isinstance(answer, Answer)
    assert str(answer) == answer.text == pipe.processor.decode(answer.tokens)
    assert len(answer.tokens) == 5
    assert answer.finish == "length"


def test_ask_and_caption_are_generate_for_one_image(pipe, image):
    ask, caption = pipe.generate([Sample([image], "what"), Sample([image])], max_new_tokens=9)
    assert pipe.ask(image, "what", max_new_tokens=9) == ask
    assert pipe.caption(image, max_new_tokens=9) == caption
    assert ask != caption


def test_images_come_as_paths_bytes_or_images(pipe, image, tmp_path):
    path = tmp_path / "photo.png"
    image.save(path)
    answers = [pipe.ask(form, "what", max_new_tokens=9) for form in (path, str(path), path.read_bytes(), image)]
    assert len(set(answers)) == 1


@pytest.mark.parametrize("batch_size", [1, 2, 3])
@pytest.mark.parametrize("sampler", [Greedy(), Temperature()], ids=str)
def test_batch_size_changes_no_answer(pipe, image, batch_size, sampler):
    samples = [Sample([image], "a" * n) for n in (5, 1, 9, 3)] + [Sample(turns=(Turn("b", ("c",)), Turn("d")))]
    options = {"max_new_tokens": 12, "sampler": sampler, "seed": 3}
    assert pipe.generate(samples, batch_size=batch_size, **options) == pipe.generate(samples, **options)


def test_no_samples_give_no_answers(pipe):
    assert pipe.generate([]) == []


@pytest.mark.parametrize(
    "change",
    [
        {"max_new_tokens": 3},
        {"sampler": Temperature(3.0)},
        {"repetition_penalty": 50.0},
        {"sampler": Temperature(3.0), "seed": 9},
    ],
    ids=str,
)
def test_option_changes_the_answer(pipe, image, change):
    base = {"sampler": change["sampler"], "seed": 1} if "seed" in change else {}
    options = {"max_new_tokens": 20, **base}
    assert pipe.ask(image, "what", **{**options, **change}) != pipe.ask(image, "what", **options)
    changed = "".join(pipe.stream(image, "what", **{**options, **change}))
    assert changed == str(pipe.ask(image, "what", **{**options, **change}))
    assert changed != "".join(pipe.stream(image, "what", **options))


def test_ids_beyond_the_tokenizer_are_never_chosen(pipe, image):
    answer = pipe.ask(image, "what", max_new_tokens=60, sampler=Temperature(100.0))
    assert max(answer.tokens) < pipe.processor.tokenizer.size


def test_any_token_that_ends_an_answer_does(pipe, image):
    said = pipe.ask(image, "what is it", max_new_tokens=9).tokens
    end = next(token for token in said if token != said[0])
    pipe.processor.tokenizer.ends = (pipe.processor.tokenizer.eos, end)
    answer = pipe.ask(image, "what is it", max_new_tokens=9)
    assert (answer.tokens, answer.finish) == (said[: said.index(end)], "eos")
    assert "".join(pipe.stream(image, "what is it", max_new_tokens=9)) == answer.text


def test_white_space_that_the_prompt_puts_before_an_answer_is_not_part_of_it(monkeypatch, image):
    prompt = dataclasses.replace(CONFIG.processor.prompt, before_answer=" ")
    pipe = make(dataclasses.replace(CONFIG, processor=dataclasses.replace(CONFIG.processor, prompt=prompt)))
    says(monkeypatch, pipe, " red ball")
    assert pipe.ask(image, "what").text == "red ball"
    assert list(pipe.stream(image, "what")) == list("red ball")


@pytest.mark.parametrize("stop", [["STOP"], "STOP", ("x", "ST")])
def test_stop_string_ends_the_text_and_is_not_part_of_it(monkeypatch, pipe, image, stop):
    says(monkeypatch, pipe, "one STOP two")
    answer = pipe.ask(image, "what", stop=stop)
    assert str(answer) == "one "
    assert answer.finish == "stop"
    assert len(answer.tokens) == len("one STOP" if "ST" not in list(stop) else "one ST")


def test_stop_string_stops_each_row_by_itself(monkeypatch, pipe, image):
    says(monkeypatch, pipe, "one. two", "three", "four.")
    answers = pipe.generate([Sample([image])] * 3, stop=["."])
    assert [(str(a), a.finish) for a in answers] == [("one", "stop"), ("three", "eos"), ("four", "stop")]


def test_empty_stop_string_is_an_error(pipe, image):
    with pytest.raises(ValueError, match="stop: '' is part of every text"):
        pipe.ask(image, "what", stop=["a", ""])


@pytest.mark.parametrize(
    ("keywords", "options"),
    [
        ({"temperature": 3.0, "seed": 2}, {"sampler": Temperature(3.0), "seed": 2}),
        ({"top_k": 4, "temperature": 3.0}, {"sampler": TopK(4, 3.0)}),
        ({"top_p": 0.9, "temperature": 3.0}, {"sampler": TopP(0.9, 3.0)}),
        ({"beams": 4}, {"beams": 4}),
    ],
    ids=str,
)
def test_numbers_of_a_sampler_stand_in_for_it(pipe, image, keywords, options):
    given = GenerateOptions(max_new_tokens=9, **options)
    expected = pipe.ask(image, "what", given)
    assert pipe.ask(image, "what", max_new_tokens=9, **keywords) == expected != pipe.ask(image, "what")
    assert pipe.caption(image, given) == pipe.caption(image, max_new_tokens=9, **keywords)
    assert pipe.generate([Sample([image], "what")], max_new_tokens=9, **keywords) == [expected]
    assert "".join(pipe.stream(image, "what", max_new_tokens=9, **keywords)) == expected.text
    assert "".join(pipe.stream(image, "what", given)) == expected.text


def test_samples_may_have_options_of_their_own(pipe, image):
    samples = [Sample([image], "a"), Sample([image], "bc"), Sample(prompt="d")]
    each = [GenerateOptions(max_new_tokens=n, sampler=Temperature(2.0), seed=n) for n in (3, 9, 5)]
    each += [GenerateOptions(4, beams=3), GenerateOptions(4), GenerateOptions(6, beams=3, length_penalty=-1.0)]
    samples += [Sample([image], "ab"), Sample([image], "ab"), Sample([image], "c")]
    together = pipe.generate(samples, each, batch_size=2)
    assert [len(answer.tokens) for answer in together] == [3, 9, 5, 4, 4, 6]
    assert together == [pipe.generate([sample], one)[0] for sample, one in zip(samples, each, strict=True)]


@pytest.mark.parametrize(
    "keywords",
    [{"max_new_tokens": 2.5}, {"stop": None}, {"seed": None}, {"sampler": Greedy(), "top_k": 3}, {"max_tokens": 3}],
    ids=str,
)
def test_impossible_option_is_an_error_at_the_call(pipe, image, keywords):
    with pytest.raises(OjitoError):
        pipe.ask(image, "what", **keywords)
    with pytest.raises(OjitoError):
        pipe.stream(image, "what", **keywords)  # not only once it is iterated


def test_special_token_as_a_stop_text_ends_the_answer(monkeypatch, pipe, image):
    tokenizer = pipe.processor.tokenizer
    (special,) = tokenizer.parse("<bos>")
    ids = [*tokenizer.encode("ab"), special, *tokenizer.encode("cd")]
    says_ids(monkeypatch, ids)
    answer = pipe.ask(image, "what", stop=["<bos>"])
    assert (answer.text, answer.finish) == ("ab", "stop")
    assert "".join(pipe.stream(image, "what", stop=["<bos>"])) == "ab"
    assert pipe.ask(image, "what").text == "abcd"
    with pytest.raises(OjitoError, match="has a special token beside other text"):
        pipe.ask(image, "what", stop=["b<bos>"])


def test_repr_tells_what_there_is(pipe):
    assert repr(pipe) == "Pipeline('toy': 34,592 parameters, float32 on cpu, image 16 x 16 in 4 tokens)"
    assert "'mine'" in repr(Pipeline(pipe.model.bfloat16(), pipe.processor, name="mine"))
    assert "bfloat16 on cpu" in repr(pipe)


def test_lone_sample_is_an_error(pipe):
    with pytest.raises(ValueError, match=r"write \[sample\]"):
        pipe.generate(Sample(prompt="a"))


def test_batch_size_of_zero_is_an_error(pipe):
    with pytest.raises(ValueError, match="batch_size: 0 answers nothing"):
        pipe.generate([Sample(prompt="a")], batch_size=0)


# ------------------------------------------------------------------------------------------- one image, many questions


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


def test_allowed_tokens_are_those_of_an_answer(pipe, image):
    tokenizer = pipe.processor.tokenizer
    mask = torch.zeros(tokenizer.size, dtype=torch.bool)
    mask[list(tokenizer.encode("xy"))] = True
    answer = pipe.ask(image, "what", max_new_tokens=9, allowed=lambda tokens: mask)
    assert set(answer.text) <= set("xy")
    assert len(answer.text) == 9


def test_abandoned_stream_leaves_the_model_as_it_was(pipe, image):
    pipe.model.train()
    pieces = pipe.stream(image, "what")
    next(pieces)
    pieces.close()
    assert pipe.model.training


# ------------------------------------------------------------------------------------------------------------ streaming


def test_stream_gives_the_text_of_ask_piece_by_piece(pipe, image):
    pieces = list(pipe.stream(image, "what", max_new_tokens=15))
    assert "".join(pieces) == str(pipe.ask(image, "what", max_new_tokens=15))
    assert len(pieces) > 1
    assert all(pieces)


def test_stream_without_a_question_is_a_caption(pipe, image):
    assert "".join(pipe.stream(image, max_new_tokens=9)) == str(pipe.caption(image, max_new_tokens=9))


def test_stream_never_ends_a_piece_within_a_character(monkeypatch, image):
    pipe = make(kind="bpe")  # single bytes
    says(monkeypatch, pipe, "ñ 🦉 ok")
    assert list(pipe.stream(image)) == ["ñ", " ", "🦉", " ", "o", "k"]


def test_stream_gives_broken_characters_once_the_text_has_ended(monkeypatch, image):
    pipe = make(kind="bpe")
    ids = list(pipe.processor.tokenizer.encode("a🦉"))[:-1]
    says_ids(monkeypatch, ids)
    assert "".join(pipe.stream(image)) == str(pipe.ask(image, "")) == pipe.processor.decode(ids)


def test_stream_never_gives_the_beginning_of_a_stop_string(monkeypatch, pipe, image):
    says(monkeypatch, pipe, "a ST ab STOP c")
    pieces = list(pipe.stream(image, stop=["STOP"]))
    assert pieces == ["a", " ", "ST ", "a", "b", " "]
    says(monkeypatch, pipe, "a STO")
    assert "".join(pipe.stream(image, stop=["STOP"])) == "a STO"


# ------------------------------------------------------------------------------------------------------ saving, loading


def same(a, b, image):
    samples = [Sample([image], "what"), Sample([image, image], "which one")]
    with torch.no_grad():
        return torch.equal(a.model(a.processor(samples)), b.model(b.processor(samples)))


def test_answering_changes_nothing_of_what_is_saved(pipe, image, tmp_path):
    pipe.save(tmp_path / "before")
    pipe.ask(image, "what")
    pipe.save(tmp_path / "after")
    before, after = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("before", "after"))
    assert after == before
    assert load(tmp_path / "after", device="cpu").ask(image, "what") == pipe.ask(image, "what")


def test_saved_model_roundtrips_with_bit_equal_logits(pipe, image, tmp_path):
    pipe.save(tmp_path / "run")
    loaded = load(tmp_path / "run", device="cpu", dtype="float32")
    assert same(pipe, loaded, image)
    assert not loaded.model.training
    assert loaded.config == CONFIG
    assert loaded.name == "toy"
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "config.json", "model.safetensors", "processor.json", "recipe.yaml", "tokenizer.json",
    ]  # fmt: skip


def test_model_without_recipe_is_saved_without_one(pipe, image, tmp_path):
    bare = Pipeline(pipe.model, pipe.processor)
    bare.save(tmp_path)
    assert not (tmp_path / "recipe.yaml").exists()
    assert load(tmp_path, "cpu").config is None


def test_loaded_model_can_be_saved_into_its_own_folder_and_trained_on(pipe, image, tmp_path):
    pipe.save(tmp_path)
    loaded = load(str(tmp_path), "cpu", "float32")
    with torch.no_grad():
        loaded.model.decoder.norm.weight.mul_(2)
    loaded.save(tmp_path)
    again = load(tmp_path, "cpu", "float32")
    assert same(loaded, again, image)
    assert not same(pipe, again, image)


@pytest.mark.parametrize(("dtype", "expected"), [
    ("float32", torch.float32), ("bfloat16", torch.bfloat16), (torch.bfloat16, torch.bfloat16), ("auto", None),
])  # fmt: skip
@pytest.mark.parametrize("fast", [True, False])
def test_dtype_is_that_of_the_weights(pipe, presets, image, tmp_path, monkeypatch, dtype, expected, fast):
    monkeypatch.setattr(device, "fast_bfloat16", lambda _: fast)
    expected = expected or (torch.bfloat16 if fast else torch.float32)
    pipe.save(tmp_path)
    for name in (tmp_path, "tiny"):
        loaded = load(name, "cpu", dtype)
        assert {p.dtype for p in loaded.model.parameters()} == {expected}
        assert len(loaded.ask(image, "what", max_new_tokens=3).tokens) == 3


def test_preset_has_random_weights_from_the_seed(presets, image):
    a, b, c = (load("tiny", "cpu", "float32", seed=seed) for seed in (1, 1, 2))
    assert same(a, b, image)
    assert not same(a, c, image)
    assert not a.model.training


def test_loading_a_preset_leaves_pytorchs_own_random_state_alone(presets):
    before = torch.get_rng_state()
    load("tiny", "cpu")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("kind", "size"), [("characters", 104), ("bpe", 259)])
def test_preset_knows_single_characters_or_bytes(presets, kind, size):
    processor = dataclasses.replace(CONFIG.processor, tokenizer=TokenizerConfig(kind=kind))
    presets["tiny"] = dataclasses.replace(CONFIG, processor=processor)
    tokenizer = load("tiny", "cpu").processor.tokenizer
    assert tokenizer.size == size
    assert tokenizer.decode(tokenizer.encode("How many?")) == "How many?"


def test_preset_survives_saving(presets, image, tmp_path):
    pipe = load("tiny", "cpu", "float32")
    pipe.save(tmp_path)
    assert same(pipe, load(tmp_path, "cpu", "float32"), image)


def test_folder_wins_over_a_preset_of_its_name(pipe, presets, tmp_path, monkeypatch):
    pipe.name = "mine"
    pipe.save(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    assert load("tiny", "cpu").name == "mine"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("tinyer", "did you mean tinier"), ("xyz", "presets are tiny, tinier"), ("runs/deom", "did you mean runs/demo")],
)
def test_name_that_is_nothing_gets_a_hint(presets, tmp_path, monkeypatch, name, hint):
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=re.escape(f"{name!r}: is neither a folder nor a preset; {hint}")):
        load(name, "cpu")


def test_model_of_a_demo_is_found_below_its_folder(pipe, tmp_path):
    pipe.save(tmp_path / "demo" / "model")
    assert ojito.load(tmp_path / "demo").name == pipe.name
    other = Pipeline(pipe.model, pipe.processor, name="other")
    other.save(tmp_path / "demo")
    assert ojito.load(tmp_path / "demo").name == "other"  # a model wins over one below it


def test_folder_without_a_model_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match=r"has no config\.json: it is empty; give a folder"):
        load(tmp_path, "cpu")


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json", "processor.json"])
def test_missing_file_is_named(pipe, tmp_path, missing):
    pipe.save(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(CheckpointError, match=f"no {re.escape(missing)}"):
        load(tmp_path, "cpu")


@pytest.mark.parametrize("linked", ["tokenizer.json", "processor.json", "recipe.yaml"])
def test_link_out_of_the_folder_is_refused(pipe, tmp_path, linked):
    pipe.save(tmp_path / "run")
    (tmp_path / "run" / linked).rename(tmp_path / linked)
    (tmp_path / "run" / linked).symlink_to(tmp_path / linked)
    with pytest.raises(CheckpointError, match="link to a place outside"):
        load(tmp_path / "run", "cpu")


def edit(path, change):
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["decoder"].update(layers=10**9), "asks for 1000000001 layers, but"),
        (lambda m: m["vision"].update(layers=10**9), "asks for 1000000001 layers, but"),
        (lambda m: m["decoder"].update(vocab_size=10**15), "GiB for its weights"),
        (lambda m: m["decoder"].update(width=2 * 10**18), "beyond any memory"),
        (lambda m: m["decoder"].update(mlp_dim=10**30), "beyond any memory"),
        (lambda m: m["decoder"].update(mlp_dim=65), "differing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_config_that_lies_is_an_error_before_memory_is_taken(pipe, tmp_path, change, message):
    pipe.save(tmp_path)
    edit(tmp_path / "config.json", lambda values: change(values["model"]))
    with pytest.raises(ValueError, match=message):
        load(tmp_path, "cpu")


@pytest.mark.parametrize("setting", ["image_size", "image_tokens"])
def test_processor_of_another_model_is_an_error(pipe, tmp_path, setting):
    pipe.save(tmp_path)
    edit(tmp_path / "processor.json", lambda values: values.update({setting: 99}))
    with pytest.raises(CheckpointError, match="processor and model do not fit"):
        load(tmp_path, "cpu")


def test_recipe_that_cannot_be_read_is_named(pipe, tmp_path):
    pipe.save(tmp_path)
    (tmp_path / "recipe.yaml").write_text("trian: {}")
    with pytest.raises(ConfigError, match="did you mean train"):
        load(tmp_path, "cpu")


def test_model_too_large_for_the_memory_is_an_error_with_both_sizes(presets, pipe, tmp_path, monkeypatch):
    pipe.save(tmp_path)
    monkeypatch.setattr(memory, "available_memory", lambda device: 2**10)
    for name in ("tiny", tmp_path):
        with pytest.raises(
            ValueError, match=r"needs 0\.0 GiB for its weights in float32, and 0\.0 GiB are free on cpu"
        ):
            load(name, "cpu", "float32")


@pytest.mark.parametrize(("argument", "message"), [
    ({"device": "gpu"}, "device: 'gpu' is not one of"),
    ({"dtype": "int8"}, "dtype: 'int8' is not one of auto, float32"),
])  # fmt: skip
def test_device_or_dtype_that_is_not_there_is_an_error(argument, message):
    with pytest.raises(ValueError, match=message):
        load("tiny", **argument)


def test_device_moves_the_model(pipe):
    assert Pipeline(pipe.model, pipe.processor, device="cpu").device == torch.device("cpu")


# ------------------------------------------------------------------------------------------------------ the public face


def test_importing_ojito_does_not_import_torch():
    code = "import sys, ojito; dir(ojito); ojito.Sample; assert 'torch' not in sys.modules; print(ojito.__version__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0.1.0"


@pytest.mark.parametrize("name", [name for name in ojito.__all__ if name not in ("preset", "presets")])
def test_public_name_is_there(name):
    assert getattr(ojito, name) is not None
    assert name in dir(ojito)


@pytest.mark.parametrize("name", ["preset", "presets"])
def test_public_preset_name_is_there(presets, name):
    assert getattr(ojito, name) is not None


def test_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        _ = ojito.lod


def test_lazy_names_are_those_that_type_checkers_see():
    tree = ast.parse(Path(ojito.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {(f"{node.module}", alias.name) for node in block.body for alias in node.names}
    lazy = {(home, name) for home, names in ojito._HOMES.items() for name in names}
    assert seen == lazy | {("ojito", "presets")}
    assert {name for _, name in seen} | {"__version__"} == set(ojito.__all__)


def test_saving_over_another_model_leaves_none_of_its_recipe(pipe, tmp_path):
    pipe.save(tmp_path / "run")
    assert (tmp_path / "run" / "recipe.yaml").is_file()
    Pipeline(pipe.model, pipe.processor).save(tmp_path / "run")
    assert not (tmp_path / "run" / "recipe.yaml").exists()
    assert load(tmp_path / "run", device="cpu").config is None


def test_row_that_is_too_long_for_the_decoder_is_named(pipe, image, tmp_path):
    pipe.save(tmp_path)
    pipe = load(tmp_path, device="cpu")
    most = pipe.model.config.decoder.max_positions
    sample = Sample([image] * most, "what", origin="rows:3")
    with pytest.raises(RowError, match=f"^rows:3: needs .* and the decoder has {most}; use fewer images"):
        pipe.generate([sample])


def test_stream_takes_a_dialogue(pipe, image):
    sample = Sample([image], turns=(Turn("b", ("c",)), Turn("d")))
    (answer,) = pipe.generate([sample], max_new_tokens=9)
    assert "".join(pipe.stream(sample, max_new_tokens=9)) == str(answer)


def test_what_was_learned_is_found_out_when_it_is_asked_for(pipe):
    asked = []

    def find_out():
        asked.append(1)
        return Learned(before=True)

    assert pipe.learned is None
    pipe.learned = find_out
    assert not asked
    assert pipe.learned == pipe.learned == Learned(before=True)
    assert asked == [1]


def test_what_was_learned_is_saved_with_the_model(pipe, tmp_path):
    pipe.save(tmp_path / "mine")
    assert load(tmp_path / "mine", device="cpu").learned is None
    pipe.learned = Learned.of([Sample([b"a"])])
    pipe.save(tmp_path / "mine")
    assert load(tmp_path / "mine", device="cpu").learned == pipe.learned
    pipe.learned = None  # another model in the same folder has learned something else
    pipe.save(tmp_path / "mine")
    assert load(tmp_path / "mine", device="cpu").learned is None
