"""Quantized models: while a folder is read, saved, and read again."""

import json
import shutil

import pytest
import torch
from PIL import Image

import ojito
from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.folder import describe_part
from ojito.errors import OjitoError
from ojito.inference import quantize, quantized_form
from ojito.loading import load, load_for, recipe_of
from ojito.memory import parameters, weight_bytes
from tests.public_parts import same

IMAGE = Image.new("RGB", (24, 20), (200, 30, 90))


@pytest.fixture
def folder(join, tmp_path):
    pipe = join()
    pipe.save(tmp_path / "exact")
    return tmp_path / "exact"


def quantized_folder(folder, form):
    load(folder, "cpu", "float32", quantize=form).save(folder.parent / form)
    return folder.parent / form


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("form", ["int8", "int4"])
def test_weights_are_quantized_while_they_are_read(folder, form, dtype):
    pipe = load(folder, "cpu", dtype, quantize=form)
    expected = quantize(load(folder, "cpu", "float32").model, form)
    assert quantized_form(pipe.model) == form
    assert pipe.model.dtype == getattr(torch, dtype)
    for name, tensor in expected.state_dict().items():
        found = pipe.model.state_dict()[name]
        assert torch.equal(found, tensor if name.endswith(("values", "scale", "minimum")) else tensor.to(found.dtype))
    assert f"{dtype} with {form} weights" in repr(pipe)
    assert parameters(pipe.model) == parameters(load(folder, "cpu").model)


@pytest.mark.parametrize("form", ["int8", "int4"])
def test_saved_folder_is_read_as_it_is(folder, form):
    saved = quantized_folder(folder, form)
    pipe, again = load(folder, "cpu", "float32", quantize=form), load(saved, "cpu", "float32")
    assert same(pipe.model, again.model)
    assert pipe.ask(IMAGE, "a", max_new_tokens=5) == again.ask(IMAGE, "a", max_new_tokens=5)
    assert same(load(saved, "cpu", "float32", quantize=form).model, pipe.model)
    size = (saved / "model.safetensors").stat().st_size
    assert size < (folder / "model.safetensors").stat().st_size
    assert size > weight_bytes(again.model, torch.float32)
    assert again.learned == pipe.learned


@pytest.mark.parametrize("form", ["int8", "int4"])
def test_scales_keep_their_dtype_whatever_that_of_the_rest(folder, form):
    model = load(quantized_folder(folder, form), "cpu", "bfloat16").model
    assert model.dtype == torch.bfloat16
    scale = model.decoder.blocks[0].mlp.down.scale
    assert scale.dtype == (torch.float32 if form == "int8" else torch.float16)
    assert model.decoder.embed(torch.tensor([[1]])).dtype == torch.bfloat16


def test_preset_is_quantized_after_its_weights_are_drawn():
    assert quantized_form(load("tiny", "cpu", quantize="int8").model) == "int8"


def test_unknown_form_is_refused_before_anything_is_read():
    with pytest.raises(OjitoError, match="'int5' is not one of none, int8, int4"):
        load("no-such-folder", quantize="int5")


def test_quantized_folder_has_no_other_form(folder):
    with pytest.raises(CheckpointError, match="is quantized to int8, and cannot be to int4"):
        load(quantized_folder(folder, "int8"), quantize="int4")


def test_quantized_model_is_not_trained(folder):
    saved = quantized_folder(folder, "int8")
    with pytest.raises(CheckpointError, match="is quantized to int8, and cannot be trained further"):
        load_for(recipe_of(saved), saved)
    with pytest.raises(CheckpointError, match="parts are for training"):
        describe_part(saved, "decoder")


def test_quantized_model_is_not_exported(folder, tmp_path):
    pipe = load(quantized_folder(folder, "int4"), "cpu")
    for write in (pipe.export, pipe.export_gguf):
        with pytest.raises(CheckpointError, match="has weights in int4"):
            write(tmp_path / "out")
    with pytest.raises(CheckpointError, match="has weights in int4"):
        pipe.export_family()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("named", ["int2", 8, None])
def test_form_that_is_not_known_is_refused(folder, named):
    saved = quantized_folder(folder, "int8")
    values = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps({**values, "quantize": named}))
    with pytest.raises(CheckpointError, match="and this Ojito reads int8 and int4"):
        load(saved)


def test_config_that_does_not_say_so_fits_no_quantized_weights(folder):
    saved = quantized_folder(folder, "int8")
    shutil.copy(folder / "config.json", saved / "config.json")
    with pytest.raises(CheckpointError, match="missing"):
        load(saved)


def test_public_face_has_the_argument(folder):
    assert quantized_form(ojito.load(folder, quantize="int8").model) == "int8"
