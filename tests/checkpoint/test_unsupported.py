"""Folders that hold something else than a model, more than one, or a part of one: what is said of them, what loads."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

import ojito
from ojito import Pipeline
from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.unsupported import check_supported
from ojito.loading import load
from tests.hostile.good_folders import make

ADAPTER = {"peft_type": "LORA", "base_model_name_or_path": "owl/eyes"}
PICKLED = "save them as model.safetensors (in transformers: from_pretrained, then save_pretrained)"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A tiny LLaVA in transformers' form, and a model that Ojito saved."""
    made = tmp_path_factory.mktemp("good")
    for kind in ("llava", "own"):
        make(made / kind, kind)
    return made


@pytest.fixture(params=["llava", "own"])
def folder(good, tmp_path, request):
    return copy(good / request.param, tmp_path / "model")


@pytest.fixture
def llava(good, tmp_path):
    return copy(good / "llava", tmp_path / "model")


def copy(source, target):
    target.mkdir()
    for path in source.iterdir():
        if path.is_file():
            (target / path.name).write_bytes(path.read_bytes())
    return target


def refusal(folder):
    """What is said of the folder, from its name on."""
    with pytest.raises(CheckpointError) as error:
        load(folder, "cpu", "float32")
    assert error.value.problem
    assert error.value.remedy
    return str(error.value).replace(str(folder), "FOLDER")


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def same(folder, good):
    """Whether the folder loads as the good one does."""
    found, wanted = load(folder, "cpu", "float32"), load(good, "cpu", "float32")
    pairs = zip(found.model.state_dict().values(), wanted.model.state_dict().values(), strict=True)
    return isinstance(found, Pipeline) and all(torch.equal(ours, theirs) for ours, theirs in pairs)


# ------------------------------------------------------------------------------------------------------------- adapters


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"])
def test_adapter_beside_its_model_is_never_left_out_in_silence(folder, name):
    (folder / name).write_text("{}")
    assert refusal(folder) == (
        f"FOLDER: holds an adapter beside its model; move {name} to a folder of their own: give that, and this one as "
        "its base (--base), to load the model with the adapter, or this one to load it without"
    )


@pytest.mark.parametrize("extra", [(), ("training_args.bin",), ("model.gguf",)])
@pytest.mark.parametrize("config", [True, False])
def test_adapter_whose_model_is_not_here_names_that(llava, config, extra):
    (llava / "model.safetensors").unlink()
    if not config:
        (llava / "config.json").unlink()
    (llava / "adapter_config.json").write_text(json.dumps(ADAPTER))
    for name in ("adapter_model.safetensors", *extra):
        (llava / name).write_bytes(b"x")
    assert refusal(llava) == (
        "FOLDER: is an adapter for owl/eyes, which was not fetched yet; name its model: ojito.load('FOLDER', "
        "base=MODEL), or --base MODEL"
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "is empty"),
        ("[]", "holds a list, not a mapping"),
        ("{}", "has peft_type None, and Ojito knows LORA; merge it into its model"),
        ('{"peft_type": "LORA", "base_model_name_or_path": null}', "is an adapter and does not name its model"),
        ('{"peft_type": "LORA", "base_model_name_or_path": 3}', "is an adapter for 3, which is not here"),
    ],
)
def test_adapter_that_names_no_model_is_called_so(llava, content, problem):
    (llava / "config.json").unlink()
    (llava / "model.safetensors").unlink()
    (llava / "adapter_config.json").write_text(content)
    assert problem in refusal(llava)


def test_adapter_without_its_config_is_called_so(llava):
    (llava / "model.safetensors").unlink()
    (llava / "adapter_model.safetensors").write_bytes(b"x")
    assert refusal(llava) == "FOLDER: holds an adapter without its adapter_config.json; copy that file, too"


def test_saving_over_a_model_with_an_adapter_takes_that_away(folder):
    pipe = load(folder, "cpu", "float32")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (folder / name).write_text("{}")
    pipe.save(folder)
    assert not [*folder.glob("adapter*")]
    load(folder, "cpu", "float32")


# ------------------------------------------------------------------------------------------------ LLaVA's original form

ORIGINAL = {
    "architectures": ["LlavaLlamaForCausalLM"], "hidden_size": 4096, "mm_hidden_size": 1024,
    "mm_projector_type": "mlp2x_gelu", "mm_vision_tower": "openai/clip-vit-large-patch14-336", "model_type": "llava",
    "num_attention_heads": 32, "num_hidden_layers": 32, "vocab_size": 32000,
}  # fmt: skip


@pytest.mark.parametrize("weights", ["pytorch_model.bin", "model.safetensors", "mm_projector.bin", None])
@pytest.mark.parametrize(
    ("changes", "instead"),
    [
        ({}, "use llava-hf/llava-1.5-7b-hf"),
        ({"hidden_size": 5120}, "use llava-hf/llava-1.5-13b-hf"),
        ({"model_type": "llava_llama"}, "use llava-hf/llava-1.5-7b-hf"),
        ({"model_type": "llava_mistral"}, "use a LLaVA of transformers' form"),
        ({"hidden_size": [4096]}, "use a LLaVA of transformers' form"),
        ({"model_type": "llama", "mm_vision_tower": None}, "use llava-hf/llava-1.5-7b-hf"),
        ({"model_type": "llava_qwen", "text_config": {}}, "use llava-hf/llava-1.5-7b-hf"),
    ],
)
def test_llava_of_its_authors_is_called_so(tmp_path, weights, changes, instead):
    (tmp_path / "config.json").write_text(json.dumps({**ORIGINAL, **changes}))
    if weights:
        (tmp_path / weights).write_bytes(b"x")
    assert f"is of LLaVA's original form, that of its authors' own code; {instead}" in refusal(tmp_path)


# --------------------------------------------------------------------------------------------------------- quantization


@pytest.mark.parametrize("left", [None, {}, {"quant_method": "bitsandbytes", "load_in_4bit": True}, "fp8", {"bits": 4}])
def test_plain_weights_load_whatever_quantization_config_is_left(llava, good, left):
    edit(llava / "config.json", quantization_config=left)
    assert same(llava, good / "llava")


PACKED = {
    "bitsandbytes": {".weight.absmax": torch.float32, ".weight.quant_map": torch.float32},
    "bitsandbytes of 8 bits": {".SCB": torch.float32},
    "GPTQ or AWQ": {".qweight": torch.int32, ".qzeros": torch.int32, ".scales": torch.float16},
    "compressed-tensors": {".weight_packed": torch.int32, ".weight_scale": torch.bfloat16},
    "eight bits with scales": {".weight_scale_inv": torch.float32},
    "U8": {".weight": torch.uint8},
    "I8": {".weight": torch.int8},
    "F8_E4M3": {".weight": torch.float8_e4m3fn},
}


@pytest.mark.parametrize("field", [True, False])
@pytest.mark.parametrize("how", PACKED)
def test_packed_weights_are_called_so_with_and_without_the_field(llava, how, field):
    state = load_file(llava / "model.safetensors")
    name = next(name for name in state if name.endswith("q_proj.weight"))
    packed = {name.removesuffix(".weight") + suffix: torch.zeros(3, 3).to(t) for suffix, t in PACKED[how].items()}
    save_file({**state, **packed}, llava / "model.safetensors")
    if field:
        edit(llava / "config.json", quantization_config={"quant_method": "awq"})
        assert refusal(llava) == (
            "FOLDER/config.json: says that its weights are packed (quantization_config: 'awq'); Ojito reads plain "
            "weights: use the model that this one was made from"
        )
    else:
        named = how.partition(" of ")[0] if "bits" in how and "bnb" not in how and "eight" not in how else how
        assert refusal(llava).startswith(f"FOLDER/model.safetensors: has its weights packed ({named}), and Ojito")


def test_packed_weights_that_are_still_to_come_are_refused_before(llava):
    """A model of the Hub, whose weights are fetched when all else is known to be of use."""
    (llava / "model.safetensors").unlink()
    edit(llava / "config.json", quantization_config={"quant_method": "gptq"})
    with pytest.raises(CheckpointError, match=r"'gptq'\); .*; if they are plain, download it and delete the field"):
        check_supported(llava, json.loads((llava / "config.json").read_text()))


# ----------------------------------------------------------------------------------------------- weights in other forms


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["mmproj-f16.gguf"], "has its weights as GGUF; give the path of the model's .gguf file"),
        (["model-Q4_K_M.gguf", "model-Q8_0.gguf"], "holds several GGUF files, model-Q4_K_M.gguf and model-Q8_0.gguf"),
        (["pytorch_model.bin"], f"has its weights as pickles, which are programs; {PICKLED}"),
        (["pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json"], "as pickles"),
        (["model.pt", "optimizer.pt"], "as pickles"),
        (["consolidated.safetensors"], "has its weights in its authors' own form (consolidated)"),
        (["consolidated.00.pth", "params.json"], "has its weights in its authors' own form (consolidated)"),
        (["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
         "has its weights as shards without an index; copy model.safetensors.index.json, too"),
        (["zero_to_fp32.py", "latest", "training_args.bin"], "has its weights as a checkpoint of DeepSpeed"),
        (["pytorch_model_fsdp_0"], "has its weights as shards of a distributed training (FSDP)"),
        (["tf_model.h5"], "has its weights in TensorFlow's or Flax's form"),
        (["flax_model.msgpack"], "has its weights in TensorFlow's or Flax's form"),
        (["model.onnx"], "has its weights as ONNX"),
        (["model.fp16.safetensors"], "has no model.safetensors, but model.fp16.safetensors; if that is the whole"),
        (["training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"],
         "has no model.safetensors; give a folder"),
        ([], "has no model.safetensors; give a folder that holds a model"),
    ],
)  # fmt: skip
def test_weights_in_another_form_are_called_so(folder, files, said):
    (folder / "model.safetensors").unlink()
    for name in files:
        (folder / name).write_bytes(b"x")
    assert said in refusal(folder)


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (b"PK\x03\x04" + b"x" * 50, "a pickle of PyTorch's"),
        (b"\x80\x02}q\x00" + b"x" * 50, "a pickle of PyTorch's"),
        (b"GGUF\x03\0\0\0" + b"x" * 50, "a GGUF file"),
        (b"\n<!DOCTYPE html>" + b"x" * 50, "a web page"),
    ],
)
def test_other_file_under_the_name_of_the_weights_is_called_so(folder, content, form):
    (folder / "model.safetensors").write_bytes(content)
    assert f"is {form}, under the name of a safetensors file" in refusal(folder)


@pytest.mark.parametrize(
    "name",
    ["optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin",
     "trainer_state.json", "consolidated.safetensors", "model.gguf", "pytorch_model.bin", "model.onnx",
     "global_step500/mp_rank_00.pt", "checkpoint-500/config.json"],
)  # fmt: skip
def test_what_is_beside_whole_weights_is_passed_over(llava, good, name):
    (llava / name).parent.mkdir(exist_ok=True)
    (llava / name).write_bytes(b"x")
    assert same(llava, good / "llava")


# --------------------------------------------------------------------------------------------- a folder above, or below


def test_model_in_a_folder_within_is_named_the_latest_first(good, tmp_path):
    for step in (500, 1000, 90):
        copy(good / "llava", tmp_path / f"checkpoint-{step}")
    assert (
        refusal(tmp_path) == "FOLDER: has no config.json, but checkpoint-1000 within has; give FOLDER/checkpoint-1000"
    )
    copy(good / "own", tmp_path / "own")
    (tmp_path / "own" / "model.safetensors").rename(tmp_path / "checkpoint-90" / "x.safetensors")
    assert "has no model.safetensors; " in refusal(tmp_path / "own")


def test_adapter_in_a_folder_within_is_named(tmp_path):
    (tmp_path / "checkpoint-5").mkdir()
    (tmp_path / "checkpoint-5" / "adapter_config.json").write_text("{}")
    assert "has no config.json, but checkpoint-5 within has; give FOLDER/checkpoint-5" in refusal(tmp_path)


def test_weights_in_a_folder_within_are_named(llava):
    (llava / "step-3").mkdir()
    (llava / "model.safetensors").rename(llava / "step-3" / "model.safetensors")
    assert refusal(llava) == "FOLDER: has no model.safetensors, but step-3 within has; give FOLDER/step-3"


def test_model_in_the_folder_above_is_named(llava):
    (llava / "global_step9").mkdir()
    (llava / "global_step9" / "x.txt").write_text("")
    assert refusal(llava / "global_step9") == f"FOLDER: has no config.json, but the folder above has; give {llava}"


def test_place_in_the_hubs_cache_leads_to_its_snapshot(good, tmp_path):
    for name in ("blobs", "refs", "snapshots"):
        (tmp_path / name).mkdir()
    copy(good / "llava", tmp_path / "snapshots" / "123")
    assert refusal(tmp_path) == "FOLDER: is a model's place in the Hub's cache; give FOLDER/snapshots/123"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], "has no config.json: it is empty; give a folder that holds a model"),
        (["model_index.json"], "is a pipeline of diffusers, which makes images"),
        (
            ["model.safetensors", "README.md"],
            "has no config.json beside its weights; copy the config.json of the same model",
        ),
        (["README.md"], "has no config.json; give a folder that holds a model"),
        (["mmproj.gguf"], "has no config.json, and has its weights as GGUF; give the path"),
        (
            ["consolidated.safetensors", "params.json"],
            "has no config.json, and has its weights in its authors' own form",
        ),
    ],
)
def test_folder_without_a_config_says_what_it_is(tmp_path, files, said):
    for name in files:
        (tmp_path / name).write_text("x")
    assert said in refusal(tmp_path)


# ------------------------------------------------------------------------------------------------- names of a tied head


def test_tied_weight_is_read_under_either_name(good, tmp_path):
    """As transformers reads it: the embedding may be in the file as the head alone."""
    folder = copy(good / "llava", tmp_path / "tied")
    state = load_file(folder / "model.safetensors")
    head = next(name for name in state if name.endswith("lm_head.weight"))
    embedding = next(name for name in state if name.endswith("embed_tokens.weight"))
    edit(folder / "config.json", tie_word_embeddings=True)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["tie_word_embeddings"] = True
    (folder / "config.json").write_text(json.dumps(config))
    state[head] = state[embedding].clone()
    for dropped in ([], [head], [embedding]):
        kept = {name: tensor for name, tensor in state.items() if name not in dropped}
        save_file(kept, folder / "model.safetensors", {"format": "pt"})
        pipe = load(folder, "cpu", "float32")
        assert torch.equal(pipe.model.decoder.embedding.weight, state[embedding])
    save_file({n: t for n, t in state.items() if n not in (head, embedding)}, folder / "model.safetensors")
    assert "1 missing" in refusal(folder)


# -------------------------------------------------------------------------------------------------------- a name, typed


def wrong_name(name):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        ojito.load(name)
    return str(error.value)


def test_file_in_place_of_a_folder_names_the_folder(folder):
    for name in ("model.safetensors", "config.json"):
        assert wrong_name(folder / name) == f"{folder / name}: is a file; give its folder, {folder}"


@pytest.mark.parametrize("name", ["b.bin", "c.zip"])
def test_file_of_another_kind_is_not_taken_for_a_folder(tmp_path, name):
    (tmp_path / name).write_text("x")
    assert "is a file; give a folder that holds a model" in wrong_name(tmp_path / name)


@pytest.mark.parametrize(
    "name",
    ["https://github.com/haotian-liu/LLaVA", "http://127.0.0.1:1/model.safetensors", "https://huggingface.co/datasets/a/b",
     "https://huggingface.co/a", "s3://bucket/model", "file:///models/x"],
)  # fmt: skip
def test_address_that_is_not_of_a_model_is_called_so(name):
    said = "is an address, and not that of a model on the Hugging Face Hub; give owner/name, or a folder"
    assert wrong_name(name) == f"{name}: {said}"
