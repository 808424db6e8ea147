"""`ojito convert`: what it writes is what `Pipeline.export` and `save` write, in either form and dtype."""

import functools
import json
import shutil

import pytest
from safetensors.torch import load_file

import ojito
from ojito.commands import convert
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
    assert f"{tmp_path / 'out'} is {tmp_path / 'native'} in the form of Hugging Face, family llava" in out


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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tiny", "--out", "OUT"], "tiny is of no family that Hugging Face knows"),
        (["nothing/here", "--out", "OUT", "--to", "gguf"], "argument --to: invalid choice"),
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
    assert err == "ojito: tiny is a preset, and its weights are random: train it first\n"
    expected = ojito.load("tiny", device="cpu", dtype="float32", seed=3).model.state_dict()
    mine = ojito.load(tmp_path / "out", device="cpu", dtype="float32").model.state_dict()
    assert_same_state(mine, expected)
