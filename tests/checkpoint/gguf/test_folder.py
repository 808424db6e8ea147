"""GGUF files where a model is named: in Python, on the command line, as a decoder to build with."""

import io
import json
import logging
import random

import gguf
import numpy as np
import pytest
import torch
from PIL import Image

import ojito
from ojito import Sample
from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.folder import describe, describe_part
from ojito.errors import OjitoError
from ojito.loading import recipe_of
from ojito.model import VLM
from ojito.processor import RowError
from tests.checkpoint.gguf import test_decoders, test_export, test_towers
from tests.parity import reference
from tests.public_parts import TOWER, save_tower

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")


@pytest.fixture(scope="module")
def chatty(tmp_path_factory):
    """A model of text that knows ChatML, in a folder of its own."""
    path = tmp_path_factory.mktemp("chatty") / "chatty-1B.Q4.gguf"
    test_export.chatting(path)
    return path


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A model that sees: its file, and its mmproj."""
    return test_towers.write(tmp_path_factory.mktemp("pair"), reference.make("idefics3"))


@pytest.fixture
def photo(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


# ------------------------------------------------------------------------------------------------------------ in Python


def test_description_says_what_the_file_is(chatty, pair):
    text, both = describe(chatty), describe(*pair)
    assert (text.form, text.family, text.name, text.path) == ("gguf", "llama", "chatty-1B.Q4", chatty)
    assert text.model.image_tokens == 0
    assert (both.family, both.model.image_tokens) == ("idefics3", 25)


def test_dtypes_are_those_that_the_weights_are_read_as(tmp_path, chatty):
    assert describe(chatty).dtypes == {"float32"}
    model, tokenizer = test_decoders.draw("llama")
    path = test_decoders.store(
        tmp_path / "a.gguf", "llama", model, tokenizer, types={".*attn_q.weight": gguf.GGMLQuantizationType.F16}
    )
    assert describe(path).dtypes == {"float32", "float16"}


def test_a_model_of_text_answers_without_an_image(chatty):
    pipe = ojito.load(chatty, device="cpu", dtype="float32")
    answer = pipe.ask(None, "what is it?", max_new_tokens=6)
    assert answer == pipe.generate([Sample(prompt="what is it?")], max_new_tokens=6)[0]
    assert "".join(pipe.stream(None, "what is it?", max_new_tokens=6)) == str(answer)
    assert "text alone" in repr(pipe)


def test_system_message_changes_the_row(chatty):
    pipe = ojito.load(chatty, device="cpu", dtype="float32")
    rows = [pipe.processor([Sample(prompt="cat", system=system)]).tokens for system in ("", "the red dog")]
    begin = pipe.processor.tokenizer.parse("<|im_start|>")[0]
    assert all(row[0, 0] == begin for row in rows)
    assert rows[0].tolist() != rows[1].tolist()


def test_a_model_of_text_refuses_an_image(chatty, photo):
    pipe = ojito.load(chatty, device="cpu", dtype="float32")
    with pytest.raises(RowError, match=r"brings an image, and this model reads text alone; ask it without one"):
        pipe.ask(photo, "what is it?")
    with pytest.raises(RowError, match="reads text alone"):
        pipe.processor.open_image(photo)
    with pytest.raises(OjitoError, match="has no vision tower, and reads text alone"):
        pipe.model.see(torch.zeros(1, 3, 8, 8))


def test_a_model_of_text_is_saved_and_loaded_in_our_own_form(chatty, tmp_path):
    pipe = ojito.load(chatty, device="cpu", dtype="float32")
    pipe.save(tmp_path / "own")
    again = ojito.load(tmp_path / "own", device="cpu", dtype="float32")
    assert again.model.config == pipe.model.config
    test_export.assert_same(pipe, again, [Sample(prompt="the red dog")])
    assert json.loads((tmp_path / "own" / "config.json").read_text())["model"]["vision"] == {"kind": "none"}


def test_a_model_of_text_has_no_parameters_of_a_tower(chatty):
    model = VLM(describe(chatty).model)
    assert not [name for name in model.state_dict() if not name.startswith("decoder.")]
    assert [*model.parts] == ["vision", "connector", "decoder"]


def test_mmproj_changes_what_is_loaded(pair):
    path, mmproj = pair
    assert ojito.load(path, device="cpu").model.config.vision.kind == "none"
    assert ojito.load(path, device="cpu", mmproj=mmproj).model.config.vision.kind == "vit"


def test_mmproj_of_what_is_no_gguf_file_is_refused(pair, tmp_path):
    with pytest.raises(OjitoError, match="mmproj: is for a GGUF file, and tiny is a preset"):
        ojito.load("tiny", mmproj=pair[1])
    with pytest.raises(CheckpointError, match="is no GGUF file, and only such a file has an mmproj"):
        ojito.load(tmp_path, mmproj=pair[1])


def test_recipe_of_a_file_names_it_as_its_tokenizer(chatty):
    recipe = recipe_of(chatty)
    assert recipe.processor.tokenizer.path == str(chatty)
    assert recipe.name == "chatty-1B.Q4"


def test_unknown_chat_template_is_said_and_not_used(tmp_path, caplog):
    model, tokenizer = test_decoders.draw("llama")
    strange = "{% for m in messages %}{{ '[[' + m['role'] + ']]' + m['content'] }}{% endfor %}"
    path = test_decoders.store(tmp_path / "a.gguf", "llama", model, tokenizer, template=strange)
    with caplog.at_level(logging.WARNING):
        prompt = describe(path).processor.prompt
    assert "of a form that Ojito does not know" in caplog.text
    assert (prompt.user, prompt.separator) == ("", "")


def test_a_model_without_a_chat_goes_on_with_what_is_written(tmp_path):
    model, tokenizer = test_decoders.draw("gemma")
    pipe = ojito.load(test_decoders.store(tmp_path / "a.gguf", "gemma", model, tokenizer), device="cpu")
    ids = list(pipe.processor.tokenizer.encode("the red dog"))
    assert pipe.processor([Sample(prompt="the red dog")]).tokens.tolist() == [[pipe.processor.tokenizer.bos, *ids]]


@pytest.mark.parametrize("begins", [True, False])
def test_bos_is_the_files(tmp_path, begins):
    model, tokenizer = test_decoders.draw("gemma")
    path = test_decoders.store(tmp_path / "a.gguf", "gemma", model, tokenizer, begins=begins)
    assert describe(path).processor.prompt.bos is begins


def test_folder_with_several_files_names_them(chatty, tmp_path):
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(chatty.read_bytes())
    with pytest.raises(
        CheckpointError, match=r"holds several GGUF files, a\.gguf and b\.gguf among them; give the path"
    ):
        describe(tmp_path)


def test_folder_with_safetensors_beside_a_file_is_loaded_from_those(chatty, tmp_path):
    pipe = ojito.load(chatty, device="cpu", dtype="float32")
    pipe.save(tmp_path)
    (tmp_path / "a.gguf").write_bytes(b"x")
    assert describe(tmp_path).form == "native"


def test_a_header_with_other_bytes_is_refused_in_one_line_or_read(pair, tmp_path):
    rng = random.Random(0)
    for number in range(60):
        files = [tmp_path / file.name for file in pair]
        for file, good in zip(files, pair, strict=True):
            file.write_bytes(good.read_bytes())
        changed = files[number % 2]
        content = bytearray(changed.read_bytes())
        for _ in range(rng.choice([1, 2, 4])):
            content[rng.randrange(24, 1400)] = rng.choice([0, 1, 8, 9, 127, 128, 255])
        changed.write_bytes(content)
        try:
            ojito.load(files[0], device="cpu", dtype="float32", mmproj=files[1])
        except OjitoError as error:
            said = str(error)
        else:
            continue
        assert said.isprintable()
        assert str(tmp_path) in said


# ------------------------------------------------------------------------------------------------------ as part of more


def test_a_decoder_is_built_with(chatty, tmp_path):
    tower = save_tower(tmp_path / "tower")
    pipe = ojito.build(vision=tower, decoder=chatty, device="cpu", dtype="float32")
    state = ojito.load(chatty, device="cpu", dtype="float32").model.decoder.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in pipe.model.decoder.state_dict().items())
    assert pipe.processor.config.prompt.user == "<|im_start|>user\n"
    image = Image.new("RGB", (TOWER.image_size, TOWER.image_size))
    assert pipe.ask(image, "cat", max_new_tokens=2).finish in ("eos", "length")
    pipe.save(tmp_path / "built")
    assert ojito.load(tmp_path / "built", device="cpu").model.config == pipe.model.config


def test_a_decoder_without_a_chat_is_asked_as_any_other_is(tmp_path):
    model, tokenizer = test_decoders.draw("gemma")
    path = test_decoders.store(tmp_path / "a.gguf", "gemma", model, tokenizer)
    assert describe_part(path, "decoder").prompt == {"bos": True}


def test_a_file_of_text_has_no_tower_to_build_with(chatty):
    with pytest.raises(CheckpointError, match="has no vision tower"):
        describe_part(chatty, "vision")


# -------------------------------------------------------------------------------------------------- as commands take it


def test_ask_without_an_image_answers(run, chatty):
    code, said, _ = run("ask", chatty, "--no-image", "what is it?", "--max-new-tokens", 6)
    assert code == 0
    pipe = ojito.load(chatty, device="cpu")
    assert said == f"{pipe.ask(None, 'what is it?', max_new_tokens=6)}\n"


def test_system_flag_is_the_samples_system_message(run, chatty):
    words = ("ask", chatty, "--no-image", "cat", "--max-new-tokens", 6, "--json")
    said = json.loads(run(*words, "--system", "the red dog")[1])
    (answer,) = ojito.load(chatty, device="cpu").generate(
        [Sample(prompt="cat", system="the red dog")], max_new_tokens=6
    )
    assert said["answer"] == str(answer)
    assert said["image"] is None


def test_lines_of_stdin_are_asked_without_an_image(run, chatty, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("cat\ndog\n"))
    code, said, _ = run("ask", chatty, "--no-image", "--max-new-tokens", 2, "--json")
    assert code == 0
    assert [json.loads(line)["question"] for line in said.splitlines()] == ["cat", "dog"]


def test_ask_takes_an_image_or_says_that_there_is_none(refused, chatty, photo):
    assert "ask needs an image; name one after the model, or say --no-image" in refused("ask", chatty)
    assert "leave one of them out" in refused("ask", chatty, photo, "cat", "--no-image")
    assert "reads text alone" in refused("ask", chatty, photo, "cat")


def test_ask_takes_an_mmproj(run, pair, photo):
    path, mmproj = pair
    code, said, _ = run("ask", path, photo, "what is it?", "--mmproj", mmproj, "--max-new-tokens", 4)
    assert code == 0
    pipe = ojito.load(path, device="cpu", mmproj=mmproj)
    assert said == f"{pipe.ask(photo, 'what is it?', max_new_tokens=4)}\n"


def test_info_shows_a_file_and_its_mmproj(run, pair, chatty):
    path, mmproj = pair
    values = json.loads(run("info", path, "--mmproj", mmproj, "--json")[1])
    assert values["files"] == {file.name: file.stat().st_size for file in pair}
    assert values["image_tokens"] == 25
    assert "none: the model reads text alone" in run("info", chatty)[1]


@pytest.mark.parametrize("form", ["ojito", "gguf"])
def test_convert_writes_a_file_in_another_form(run, pair, tmp_path, form):
    path, mmproj = pair
    code, said, _ = run("convert", path, "--mmproj", mmproj, "--to", form, "--out", tmp_path / "out")
    assert code == 0
    assert {"ojito": "in Ojito's own form", "gguf": "in llama.cpp's form, architecture llama"}[form] in said
    one, other = ojito.load(path, device="cpu", mmproj=mmproj), ojito.load(tmp_path / "out", device="cpu")
    test_export.assert_same(one, other, [reference.ONE])


def test_convert_writes_a_model_of_another_form_as_gguf(run, tmp_path, pair):
    public = test_export.seeing(tmp_path, reference.make("idefics3"))
    public.save(tmp_path / "own")
    words = ("convert", tmp_path / "own", "--to", "gguf", "--dtype", "float16", "--out", tmp_path / "out", "--json")
    values = json.loads(run(*words)[1])
    assert (values["to"], values["family"], values["dtype"]) == ("gguf", "llama", "float16")
    assert set(values["files"]) == {"model.gguf", "mmproj.gguf"}
    reader = gguf.GGUFReader(tmp_path / "out" / "model.gguf")
    assert {tensor.tensor_type.name for tensor in reader.tensors} == {"F16", "F32"}


def test_damaged_file_is_one_line_of_the_command(refused, chatty, tmp_path):
    (tmp_path / "a.gguf").write_bytes(chatty.read_bytes()[:1000])
    assert "a.gguf: is truncated" in refused("ask", tmp_path / "a.gguf", "--no-image", "cat")
