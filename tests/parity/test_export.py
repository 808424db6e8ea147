"""What Ojito writes, read by transformers: the same weights, the same config, all of the folder or nothing."""

import ast
import copy
import dataclasses
import re
import shutil

import pytest
import torch
from safetensors.torch import load_file

import ojito
from ojito.checkpoint import saving
from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.huggingface.export import find_family
from ojito.pipeline import Pipeline
from ojito.presets import PRESETS, preset
from tests.parity import reference
from tests.parity.exporting import (
    WRITTEN,
    assert_same_inputs,
    assert_same_state,
    files,
    from_preset,
    imported,
    load_processor,
    load_theirs,
    read,
    with_processor,
)
from tests.parity.reference import ASK, FULL, IMAGES, LLAMA3, NONE, ONE, SEVERAL, SLIDING

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")

# ----------------------------------------------------------------------------------------------------------- the models


@pytest.mark.parametrize("family", reference.FAMILIES)
def test_transformers_has_the_same_model_back(exported, family):
    theirs, pipe, folder = exported(family)
    back = load_theirs(folder)
    assert back.config.model_type == WRITTEN.get(family, family)
    assert_same_state(back.state_dict(), theirs.model.state_dict())
    batch = pipe.processor([ONE, SEVERAL, NONE])
    assert torch.equal(dataclasses.replace(theirs, model=back).logits(batch), theirs.logits(batch))


@pytest.mark.parametrize("family", reference.FAMILIES)
def test_ojito_has_the_same_model_back(exported, family):
    _, pipe, folder = exported(family)
    back = ojito.load(folder, device="cpu", dtype="float32")
    assert back.model.config == pipe.model.config
    assert_same_state(back.model.state_dict(), pipe.model.state_dict())
    tokenizer = dataclasses.replace(pipe.processor.config.tokenizer, path=str(folder / "tokenizer.json"))
    assert back.processor.config == dataclasses.replace(pipe.processor.config, tokenizer=tokenizer)
    assert back.processor.tokenizer.ends == pipe.processor.tokenizer.ends


VARIANTS = {
    "another activation": ("paligemma", {"vision": {"hidden_act": "gelu"}}),
    "other eps": ("paligemma", {"vision": {"layer_norm_eps": 0.1}, "text": {"rms_norm_eps": 0.1}}),
    "an image of no whole patches": ("paligemma", {"vision": {"image_size": 37}}),
    "no softcaps": ("paligemma2", {"text": {"attn_logit_softcapping": None, "final_logit_softcapping": None}}),
    "another scale": ("paligemma2", {"text": {"query_pre_attn_scalar": 144}}),
    "a scale that is no whole number": ("paligemma2", {"text": {"query_pre_attn_scalar": 10}}),
    "an earlier layer": ("llava", {"whole": {"vision_feature_layer": -3}}),
    "no biases": ("llava", {"whole": {"multimodal_projector_bias": False}}),
    "a tied head": ("llava", {"whole": {"tie_word_embeddings": True}}),
    "biases in the decoder": ("llava", {"text": {"attention_bias": True, "mlp_bias": True}}),
    "LLaMA 3's frequencies": ("llava", {"text": {"rope_parameters": LLAMA3}}),
    "Qwen 2": ("llava", {"text": {"model_type": "qwen2"}}),
    "Qwen 3": ("llava", {"text": {"model_type": "qwen3"}}),
    "SigLIP": (
        "llava", {"vision": {"model_type": "siglip_vision_model", "vision_use_head": False},
                  "whole": {"vision_feature_select_strategy": "full"}},
    ),
    "every second layer full": (
        "gemma3", {"text": {"layer_types": [SLIDING, FULL, SLIDING, FULL], "num_hidden_layers": 4}},
    ),
    "windows only": ("gemma3", {"text": {"num_hidden_layers": 2, "layer_types": [SLIDING] * 2}}),
}  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS)
def test_transformers_has_every_variant_back(tmp_path, variant):
    family, changes = VARIANTS[variant]
    theirs, pipe = imported(family, tmp_path / "in", **changes)
    pipe.export(tmp_path / "out")
    back = load_theirs(tmp_path / "out")
    assert_same_state(back.state_dict(), theirs.model.state_dict())
    batch = pipe.processor([ONE, NONE])
    assert torch.equal(dataclasses.replace(theirs, model=back).logits(batch), theirs.logits(batch))
    assert ojito.load(tmp_path / "out", device="cpu").model.config == pipe.model.config


@pytest.mark.parametrize("family", reference.FAMILIES)
def test_weights_have_the_hubs_names(exported, family):
    _, _, folder = exported(family)
    names = load_file(folder / "model.safetensors").keys()
    tiled = family in ("idefics3", "smolvlm")
    usual = ("vision_tower.vision_model.", "multi_modal_projector.", "language_model.model.", "language_model.lm_head.")
    beginnings = ("model.vision_model.", "model.connector.", "model.text_model.", "lm_head.") if tiled else usual
    found = {next(b for b in beginnings if name.startswith(b)) for name in names}
    tied = "gemma" in family
    assert found == set(beginnings[:-1] if tied else beginnings)


@pytest.mark.parametrize(("family", "dtype"), [("paligemma2", torch.bfloat16), ("idefics3", "bfloat16")])
def test_weights_are_written_in_the_dtype_asked_for(exported, tmp_path, family, dtype):
    _, pipe, _ = exported(family)
    told = pipe.export(tmp_path / "out", dtype=dtype)
    assert told.dtype == "bfloat16"
    assert pipe.model.decoder.embedding.weight.dtype == torch.float32
    back = load_theirs(tmp_path / "out", dtype="auto")
    assert back.dtype == torch.bfloat16
    mine = ojito.load(tmp_path / "out", device="cpu", dtype="bfloat16").model.state_dict()
    assert_same_state(mine, {name: tensor.bfloat16() for name, tensor in pipe.model.state_dict().items()})


@pytest.mark.parametrize("family", ["gemma3", "llava"])
def test_weights_of_several_dtypes_are_written_as_they_are(exported, tmp_path, family):
    _, pipe, _ = exported(family)
    model = copy.deepcopy(pipe.model)
    model.decoder.to(torch.bfloat16)
    mixed = Pipeline(model, pipe.processor)
    told = mixed.export(tmp_path / "out")
    assert told.dtype == read(tmp_path / "out", "config.json")["torch_dtype"] == "float32"  # which holds all of them
    back = ojito.load(tmp_path / "out", device="cpu", dtype="float32").model.state_dict()
    assert_same_state(back, {name: tensor.float() for name, tensor in model.state_dict().items()})
    found = {name: tensor.dtype for name, tensor in load_file(tmp_path / "out" / "model.safetensors").items()}
    assert {dtype for name, dtype in found.items() if "language_model" in name} == {torch.bfloat16}
    assert {dtype for name, dtype in found.items() if "vision_tower" in name} == {torch.float32}
    model.to(torch.bfloat16)
    assert mixed.export(tmp_path / "half").dtype == "bfloat16"


def test_dtype_that_is_none_of_a_models_is_refused(exported, tmp_path):
    _, pipe, _ = exported("paligemma")
    for dtype in ("int8", torch.float64):
        with pytest.raises(ValueError, match="is not one of float32, bfloat16, float16; leave it out"):
            pipe.export(tmp_path / "out", dtype=dtype)


def test_weights_are_written_in_shards(exported, tmp_path):
    theirs, pipe, folder = exported("idefics3")
    heard = []
    pipe.export(tmp_path / "out", max_shard=40_000, progress=lambda done, total: heard.append((done, total)))
    shards = sorted((tmp_path / "out").glob("*.safetensors"))
    assert len(shards) > 3
    assert [path.name for path in shards] == [
        f"model-{i:05}-of-{len(shards):05}.safetensors" for i in range(1, len(shards) + 1)
    ]
    assert all(len(load_file(path)) == 1 or path.stat().st_size < 50_000 for path in shards)
    total = sum(tensor.nbytes for tensor in pipe.model.state_dict().values())
    assert read(tmp_path / "out", "model.safetensors.index.json")["metadata"]["total_size"] == total
    assert heard[-1] == (total, total)
    assert heard == sorted(heard)
    assert len(heard) == len(shards)
    assert_same_state(load_theirs(tmp_path / "out").state_dict(), theirs.model.state_dict())
    mine = ojito.load(tmp_path / "out", device="cpu", dtype="float32")
    assert_same_state(mine.model.state_dict(), pipe.model.state_dict())
    others = {name: text for name, text in files(folder).items() if "safetensors" not in name}
    assert others == {name: text for name, text in files(tmp_path / "out").items() if "safetensors" not in name}


def test_tells_what_it_wrote(exported, tmp_path):
    _, pipe, _ = exported("gemma3")
    told = pipe.export(tmp_path / "out")
    assert (told.family, told.dtype) == ("gemma3", "float32")
    assert told.parameters == sum(parameter.numel() for parameter in pipe.model.parameters())


@pytest.mark.parametrize("family", ["paligemma", "llava", "gemma3"])
def test_card_shows_how_to_load_the_model(exported, family, monkeypatch, capsys):
    _, pipe, folder = exported(family)
    text = (folder / "README.md").read_text(encoding="utf-8")
    front = text.split("---\n")[1]
    assert "library_name: transformers\n" in front
    assert "pipeline_tag: image-text-to-text\n" in front
    assert "license" not in front
    assert "base_model" not in front
    assert f"{sum(p.numel() for p in pipe.model.parameters()):,} parameters in float32" in text
    monkeypatch.chdir(folder.parent)
    IMAGES[0].save("photo.jpg")
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(code.replace("FOLDER", str(folder)), {})
    assert len(capsys.readouterr().out.splitlines()) >= 2


@pytest.mark.parametrize("family", ["paligemma", "gemma3"])
@pytest.mark.parametrize("caption", ['say "hi"', "one line\nand another", "it's \\n {here}", "```", "what`s ``this"])
def test_card_shows_any_question_as_python_and_text(exported, tmp_path, family, caption):
    _, pipe, _ = exported(family)
    asked = with_processor(pipe, prompt=dataclasses.replace(pipe.processor.config.prompt, caption=caption))
    asked.export(tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^(`{3,})(\w+)\n(.*?)^\1$", text, re.DOTALL | re.MULTILINE)
    assert [kind for _, kind, _ in blocks] == ["text", "python", "python"]
    ours, theirs = (ast.parse(code) for _, kind, code in blocks if kind == "python")
    if family == "paligemma":  # where a question is left out, its caption is asked for
        for code, said in ((ours, caption), (theirs, f"<image>{caption}")):
            assert said in [node.value for node in ast.walk(code) if isinstance(node, ast.Constant)]
        assert caption in blocks[0][2]


def test_card_names_the_model_that_it_was_made_from(exported, tmp_path):
    _, pipe, _ = exported("paligemma")
    pipe.export(tmp_path / "out", base_model="owner/name")
    assert "\nbase_model: owner/name\n" in (tmp_path / "out" / "README.md").read_text()


# -------------------------------------------------------------------------------------------------- where it comes from


@pytest.mark.parametrize("family", reference.FAMILIES)
def test_model_that_was_saved_and_loaded_is_written_as_it_was(exported, tmp_path, family):
    _, pipe, folder = exported(family)
    pipe.save(tmp_path / "native")
    ojito.load(tmp_path / "native", device="cpu", dtype="float32").export(tmp_path / "out")
    assert files(tmp_path / "out") == files(folder)


@pytest.mark.parametrize("name", ["paligemma-3b-224", "paligemma2-3b"])
def test_model_that_was_never_imported_is_written_as_well(tmp_path, name):
    pipe = from_preset(name, *(["model.decoder.kv_heads=4"] if name[9] == "2" else []))
    assert pipe.export(tmp_path / "out").family == "paligemma"
    model, processor = load_theirs(tmp_path / "out"), load_processor(tmp_path / "out", "paligemma")
    assert processor.image_token_id == pipe.processor.tokenizer.size == model.config.image_token_id
    made = processor(images=IMAGES[0], text=f"<image>{ASK}", return_tensors="pt")
    batch = pipe.processor([ONE])
    assert_same_inputs(made, batch, processor.image_token_id)
    made.pop("labels", None)
    with torch.no_grad():
        expected = model(**made).logits
        torch.testing.assert_close(pipe.model(batch), expected, rtol=1e-5, atol=1e-5)
    back = ojito.load(tmp_path / "out", device="cpu", dtype="float32")
    assert_same_state(back.model.state_dict(), pipe.model.state_dict())


@pytest.mark.parametrize("vocab_size", [300, 1200])  # less than the places alone, and than all its characters and these
def test_paligemma_with_fewer_tokens_than_places_is_loaded_as_it_was(tmp_path, vocab_size):
    recipe = tmp_path / "few.yaml"
    recipe.write_text(
        f"""
        model:
          vision: {{image_size: 28, patch_size: 14, width: 32, layers: 1, heads: 2, mlp_dim: 32, activation: gelu_tanh}}
          connector: {{project: linear}}
          decoder: {{vocab_size: {vocab_size}, width: 32, layers: 1, heads: 2, kv_heads: 1, head_dim: 16, mlp_dim: 32,
                    norm: rms_plus_one, activation: gelu_tanh, scale_embeddings: true, mask: prefix}}
        processor:
          tokenizer: {{kind: characters}}
          prompt: {{image: front, bos: true, separator: "\\n", caption: caption en}}
        """
    )
    pipe = ojito.load(recipe, device="cpu", dtype="float32")
    assert pipe.export(tmp_path / "out").family == "paligemma"
    back = ojito.load(tmp_path / "out", device="cpu", dtype="float32")
    assert back.processor.row(ONE).tokens == pipe.processor.row(ONE).tokens
    assert back.generate([ONE], max_new_tokens=5) == pipe.generate([ONE], max_new_tokens=5)


@pytest.mark.parametrize("name", [name for name in PRESETS if name.startswith("paligemma")])
def test_public_presets_are_of_their_family(name):
    family, fields, _ = find_family(name, preset(name).model)
    assert family.model_type == "paligemma"
    assert fields["text_config"]["model_type"] == ("gemma2" if name.startswith("paligemma2") else "gemma")


# -------------------------------------------------------------------------------------------------- models of no family


def test_model_of_no_family_is_refused_with_what_keeps_it_from_being_one():
    with pytest.raises(CheckpointError) as error:
        find_family("mine", preset("tiny").model)
    assert "mine: is of no family that Hugging Face knows" in str(error.value)
    assert "model.vision.stem is 'conv', not 'patch'" in str(error.value)
    assert "`save` keeps it as it is" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (
            "model.decoder.mask=causal",
            "nearest is paligemma with gemma, but model.decoder.mask is 'causal', not 'prefix'",
        ),
        (
            "model.decoder.window=40",
            "nearest is paligemma with gemma2, but model.decoder.post_norms is False, not True",
        ),
        ("model.connector.bias=false", "model.connector.bias is False, not True"),
        ("model.vision.class_token=true", "model.vision.class_token is True, not False"),
    ],
)
def test_single_setting_that_is_not_the_familys_is_named(setting, said):
    with pytest.raises(CheckpointError) as error:
        find_family("mine", preset("paligemma-3b-224", [setting]).model)
    assert said in str(error.value)


@pytest.mark.parametrize("name", [name for name in PRESETS if not name.startswith("paligemma")])
def test_presets_of_no_family_are_refused_in_a_line(name):
    with pytest.raises(CheckpointError, match="is of no family"):
        find_family(name, preset(name).model)


def test_settings_that_mean_the_same_are_no_difference():
    usual = preset("paligemma-3b-224").model
    same = preset(
        "paligemma-3b-224",
        ["model.decoder.query_scalar=256", "model.decoder.dropout=0.3", "model.decoder.full_every=5",
         "model.vision.dropout=0.1", "model.vision.crop=true", "model.connector.queries=3"],
    )  # fmt: skip
    assert find_family("", same.model)[1] == find_family("", usual)[1]


# ----------------------------------------------------------------------------------------------------------- the folder


def test_model_in_the_folder_is_replaced_as_a_whole_and_only_if_asked(exported, tmp_path):
    _, pipe, folder = exported("paligemma")
    out = tmp_path / "out"
    exported("llava")[1].export(out, max_shard=20_000)
    before = files(out)
    assert "chat_template.jinja" in before
    (out / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="holds a model already; choose another folder, or replace it with force"):
        pipe.export(out)
    assert files(out) == {**before, "notes.txt": b"mine"}
    pipe.export(out, force=True)
    assert files(out) == {**files(folder), "README.md": before["README.md"], "notes.txt": b"mine"}


def test_card_that_somebody_wrote_stays_as_it_is(exported, tmp_path):
    _, pipe, folder = exported("paligemma")
    for out, force in ((tmp_path / "notes", False), (tmp_path / "model", True)):
        if force:
            pipe.export(out)
        else:
            out.mkdir()
        (out / "README.md").write_text("---\nlicense: mit\n---\nMy own words.\n")
        pipe.export(out, force=force)
        assert (out / "README.md").read_text() == "---\nlicense: mit\n---\nMy own words.\n"
        assert files(out, but=["README.md"]) == files(folder, but=["README.md"])


def test_forms_replace_each_other(exported, tmp_path):
    _, pipe, folder = exported("llava")
    pipe.save(tmp_path / "native")
    out = tmp_path / "out"
    pipe.export(out)
    pipe.save(out)
    assert files(out, but=["README.md"]) == files(tmp_path / "native")
    pipe.export(out, force=True)
    assert files(out) == files(folder)


def test_folder_that_it_was_loaded_from_can_be_written_over(exported, tmp_path):
    theirs, _, folder = exported("idefics3")
    shutil.copytree(folder, tmp_path / "out")
    ojito.load(tmp_path / "out", device="cpu", dtype="float32").export(tmp_path / "out", force=True, max_shard=40_000)
    assert_same_state(load_theirs(tmp_path / "out").state_dict(), theirs.model.state_dict())


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_export_that_is_cut_short_at_any_moment_never_leaves_a_mixture(exported, tmp_path, monkeypatch, call):
    old, new = exported("llava")[1], exported("paligemma")[1]
    for name, pipe in (("old", old), ("new", new)):
        pipe.export(tmp_path / name, max_shard=60_000)
    outcomes = set()
    for k in range(60):
        out = tmp_path / f"{call}{k}"
        shutil.copytree(tmp_path / "old", out)
        left, real = [k], getattr(saving.os, call)

        def breaking(*args, left=left, real=real):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(28, "No space left on device")
            return real(*args)

        with monkeypatch.context() as patch:
            patch.setattr(saving.os, call, breaking)
            try:
                new.export(out, force=True, max_shard=60_000)
            except CheckpointError as error:
                assert "No space left on device" in str(error)  # noqa: PT017
        found = files(out, but=["README.md"])
        wholes = {name: files(tmp_path / name, but=["README.md"]) for name in ("old", "new")}
        outcome = next((name for name, whole in wholes.items() if found == whole), "none")
        if outcome == "none":
            assert "config.json" not in found
            assert files(out / ".before") == wholes["old"]
        outcomes.add(outcome)
        if left[0] >= 0:
            break
    assert outcome == "new"
    # A disk that takes nothing more cannot be put in order again. One that does not sync can.
    assert outcomes == {"new", "old" if call == "fsync" else "none"}


def test_disk_that_is_full_leaves_what_was_there(exported, tmp_path, monkeypatch):
    _, pipe, folder = exported("llava")
    shutil.copytree(folder, tmp_path / "out")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ojito.checkpoint.tensors.writing.save_file", full)
    for out in (tmp_path / "out", tmp_path / "new" / "deep"):
        with pytest.raises(CheckpointError, match="No space left on device"):
            pipe.export(out, force=True)
    assert files(tmp_path / "out") == files(folder)
    assert not (tmp_path / "new" / "deep").exists()
