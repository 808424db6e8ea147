"""`ojito convert`: what it writes is what `Pipeline.export` and `save` write, in either form and dtype."""

import functools
import inspect
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

import ojito
from ojito import writer
from ojito.commands import convert
from ojito.commands.table import COMMANDS
from tests.parity.exporting import assert_same_state, export, files, read

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")

WRITTEN = ["README.md", "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors",
           "preprocessor_config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json"]  # fmt: skip


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A family's reference, ours, and the folder that ours wrote; made once."""
    return functools.cache(lambda family: export(family, tmp_path_factory.mktemp(family)))


def test_command_writes_what_the_method_writes(run, exported, tmp_path):
    _, pipe, folder = exported("llava")
    pipe.save(tmp_path / "native")
    code, out, err = run("convert", tmp_path / "native", "--out", tmp_path / "out")
    assert (code, err) == (0, "")
    assert files(tmp_path / "out") == files(folder)
    assert f"{tmp_path / 'out'} is {tmp_path / 'native'} in Hugging Face's form, family llava" in out


def test_command_goes_back_and_forth(run, exported, tmp_path):
    _, pipe, folder = exported("gemma3")
    code, out, _ = run("convert", folder, "--out", tmp_path / "native", "--to", "ojito", "--dtype", "bfloat16")
    assert code == 0
    assert f"{tmp_path / 'native'} is {folder} in Ojito's own form" in out
    code, out, err = run("convert", tmp_path / "native", "--out", tmp_path / "out", "--json")
    assert (code, err) == (0, "")
    values = json.loads(out)
    assert {name: values[name] for name in ("to", "family", "dtype")} == {
        "to": "huggingface", "family": "gemma3", "dtype": "bfloat16",
    }  # fmt: skip
    assert sorted(values["files"]) == WRITTEN
    assert values["parameters"] == sum(parameter.numel() for parameter in pipe.model.parameters())
    mine = ojito.load(tmp_path / "out", device="cpu", dtype="bfloat16").model.state_dict()
    assert_same_state(mine, {name: tensor.bfloat16() for name, tensor in pipe.model.state_dict().items()})


def test_command_names_the_model_of_the_hub_that_it_fetched(run, exported, tmp_path, monkeypatch):
    _, _, folder = exported("paligemma")
    monkeypatch.setattr(convert, "find_folder", lambda name, tell: folder)
    assert run("convert", "owner/name@main", "--out", tmp_path / "out")[0] == 0
    assert "\nbase_model: owner/name\n" in (tmp_path / "out" / "README.md").read_text()


def test_command_keeps_the_dtype_or_changes_it(run, exported, tmp_path):
    _, _, folder = exported("paligemma2")
    for words, dtype in ((["--dtype", "float16"], "float16"), ([], "float32")):
        code, _, _ = run("convert", folder, "--out", tmp_path / dtype, *words)
        assert code == 0
        assert {str(t.dtype) for t in load_file(tmp_path / dtype / "model.safetensors").values()} == {f"torch.{dtype}"}
        assert read(tmp_path / dtype, "config.json")["torch_dtype"] == dtype


def test_weights_of_several_dtypes_lose_no_bit(run, exported, tmp_path):
    _, _, folder = exported("gemma3")
    shutil.copytree(folder, tmp_path / "mixed")
    mixed = {
        name: tensor if "norm" in name else tensor.bfloat16()
        for name, tensor in load_file(folder / "model.safetensors").items()
    }
    save_file(mixed, tmp_path / "mixed" / "model.safetensors")
    expected = ojito.load(tmp_path / "mixed", device="cpu", dtype="float32").model.state_dict()
    for to in ("huggingface", "ojito"):
        code, out, err = run("convert", tmp_path / "mixed", "--out", tmp_path / to, "--to", to)
        assert code == 0
        note = "has weights in bfloat16 and float32; all are written in float32, unless --dtype says otherwise"
        assert err == f"ojito: {tmp_path / 'mixed'} {note}\n"
        assert "parameters in float32" in out
        assert_same_state(ojito.load(tmp_path / to, device="cpu", dtype="float32").model.state_dict(), expected)
    words = ["convert", tmp_path / "mixed", "--out", tmp_path / "half", "--dtype", "bfloat16"]
    assert run(*words)[::2] == (0, "")
    assert {tensor.dtype for tensor in load_file(tmp_path / "half" / "model.safetensors").values()} == {torch.bfloat16}


def test_what_only_lies_beside_the_weights_has_no_say_in_their_dtype(run, exported, tmp_path):
    _, _, folder = exported("llava")
    assert run("convert", folder, "--out", tmp_path / "half", "--dtype", "bfloat16")[0] == 0
    path = tmp_path / "half" / "model.safetensors"
    ignored = {"language_model.model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    save_file({**load_file(path), **ignored}, path)
    code, out, err = run("convert", tmp_path / "half", "--out", tmp_path / "out")
    assert (code, err) == (0, "")
    assert "parameters in bfloat16" in out


def test_card_that_somebody_wrote_stays_and_the_command_says_so(run, exported, tmp_path):
    _, _, folder = exported("paligemma2")
    for _ in range(2):
        code, out, err = run("convert", folder, "--out", tmp_path / "out", "--force")
        assert code == 0
        assert f"next: describe in {tmp_path / 'out' / 'README.md'} what" in out
        if not err:
            (tmp_path / "out" / "README.md").write_text("mine")
    assert err == f"ojito: {tmp_path / 'out' / 'README.md'} was written by you, and is kept\n"
    assert (tmp_path / "out" / "README.md").read_text() == "mine"


def test_command_replaces_a_model_only_with_force(run, refused, exported, tmp_path):
    _, _, folder = exported("paligemma2")
    shutil.copytree(exported("llava")[2], tmp_path / "out")
    for to in ("huggingface", "ojito"):
        before = files(tmp_path / "out")
        said = refused("convert", folder, "--out", tmp_path / "out", "--to", to)
        assert said.endswith("holds a model already; choose another folder, or replace it with --force\n")
        assert files(tmp_path / "out") == before
        assert run("convert", folder, "--out", tmp_path / "out", "--to", to, "--force")[0] == 0
        assert files(tmp_path / "out") != before


def test_fetching_and_writing_are_told(run, exported, tmp_path, monkeypatch):
    told = []
    folder, write_folder = exported("llava")[2], writer.write_folder

    def download(name, progress, check):
        told.append(name)
        progress(1, 2)
        return folder

    def write(*args, **options):
        progress = inspect.signature(write_folder).bind(*args, **options).arguments["progress"]
        told.append("writing")
        progress(1, 2)
        return write_folder(*args, **options)

    monkeypatch.setattr("ojito.loading.download", download)
    monkeypatch.setattr(writer, "write_folder", write)
    assert run("convert", "owner/name", "--out", tmp_path / "out")[0] == 0
    assert told == ["owner/name", "writing"]


def test_device_reaches_the_model(refused, exported, tmp_path):
    said = refused("convert", exported("llava")[2], "--out", tmp_path / "out", "--device", "bogus")
    assert "device: 'bogus' is not one of auto" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tiny", "--out", "OUT"], "tiny: is of no family that Hugging Face knows"),
        (["nothing/here", "--out", "OUT", "--to", "onnx"], "argument --to: invalid choice"),
        (["tiny", "--out", "OUT", "--dtype", "int8"], "argument --dtype: invalid choice"),
        (["tiny"], "the following arguments are required: --out"),
        (["tinny", "--out", "OUT"], "did you mean tiny?"),
    ],
)
def test_command_that_cannot_be_followed_is_one_line(run, tmp_path, words, said):
    code, out, err = run("convert", *(tmp_path / "out" if word == "OUT" else word for word in words))
    assert (code, out) == (2, "")
    assert said in err.splitlines()[-1]  # that the weights of a preset are random stands before it
    assert not (tmp_path / "out").exists()


def test_command_writes_a_preset_in_ojitos_form(run, tmp_path):
    code, _, err = run("convert", "tiny", "--out", tmp_path / "out", "--to", "ojito", "--seed", 3)
    assert code == 0
    assert err == "ojito: tiny is a preset, and its weights are random; train it first\n"
    expected = ojito.load("tiny", device="cpu", dtype="float32", seed=3).model.state_dict()
    mine = ojito.load(tmp_path / "out", device="cpu", dtype="float32").model.state_dict()
    assert_same_state(mine, expected)


def test_example_of_the_help_works_for_what_was_trained(run, trained, tmp_path):
    (example,) = (command.example for command in COMMANDS if command.name == "convert")
    words = example.replace("runs/mine", str(trained)).replace("smaller", str(tmp_path / "smaller")).split()[1:]
    assert run(*words)[0] == 0
    assert (tmp_path / "smaller" / "model.safetensors").is_file()


@pytest.mark.parametrize("form", ["int8", "int4"])
def test_quantize_writes_what_loading_so_saves(run, exported, tmp_path, form):
    _, _, folder = exported("llava")
    code, out, err = run("convert", folder, "--quantize", form, "--out", tmp_path / "out")
    assert (code, err) == (0, "")
    assert f"{tmp_path / 'out'} is {folder} in Ojito's own form" in out
    assert f" parameters in {form} and float32, " in out
    ojito.load(folder, "cpu", "float32", quantize=form).save(tmp_path / "saved")
    assert files(tmp_path / "out") == files(tmp_path / "saved")
    values = json.loads(run("convert", tmp_path / "out", "--to", "ojito", "--out", tmp_path / "again", "--json")[1])
    assert (values["quantize"], values["to"], values["dtype"]) == (form, "ojito", "float32")
    assert files(tmp_path / "again") == files(tmp_path / "saved")


def test_quantized_weights_have_no_place_elsewhere(run, exported, tmp_path):
    _, _, folder = exported("llava")
    code, _, err = run("convert", folder, "--quantize", "int8", "--to", "huggingface", "--out", tmp_path / "out")
    assert code == 2
    assert "--to huggingface: has no place for weights in int8; leave it out" in err
    assert run("convert", folder, "--quantize", "int8", "--out", tmp_path / "out")[0] == 0
    code, _, err = run("convert", tmp_path / "out", "--out", tmp_path / "hf")
    assert code == 2
    assert "has weights in int8, for which the form has no place" in err


def test_adapter_is_merged_into_its_model(run, adapter, tmp_path):
    assert run("convert", adapter, "--to", "ojito", "--out", tmp_path / "merged")[0] == 0
    merged = ojito.load(tmp_path / "merged", device="cpu", dtype="float32").model.state_dict()
    loaded = ojito.load(adapter, device="cpu", dtype="float32").model.state_dict()
    assert all(torch.equal(merged[name], tensor) for name, tensor in loaded.items())
    assert not [*(tmp_path / "merged").glob("adapter*")]


def test_base_of_an_adapter_reaches_the_conversion(run, moved, trained, tmp_path):
    words = ("convert", moved, "--to", "ojito", "--out", tmp_path / "merged")
    code, _, err = run(*words)
    assert (code, "is an adapter for /no/such/model, which is not here" in err) == (2, True)
    assert run(*words, "--base", trained)[0] == 0


def test_base_is_for_an_adapter_alone(run, trained, tmp_path):
    code, _, err = run("convert", trained, "--base", trained, "--out", tmp_path / "out")
    assert (code, err) == (
        2, f"ojito: error: {trained}: is no adapter, and only an adapter has a base; leave the base out\n"
    )  # fmt: skip
    code, _, err = run("convert", "tiny", "--base", trained, "--out", tmp_path / "out")
    assert (code, "base: is for an adapter, and tiny is a preset; leave it out" in err) == (2, True)
