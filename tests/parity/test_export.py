"""What Ojito writes, read by transformers: the same weights, the same rows and pixels, the same answers."""

import dataclasses
import functools
import json
import re
import shutil
import string

import pytest
import tokenizers
import torch
from safetensors.torch import load_file

import ojito
from ojito import Sample, Turn
from ojito.checkpoint import CheckpointError, native
from ojito.checkpoint.huggingface.export import find_family
from ojito.cli import main
from ojito.commands import convert
from ojito.config import ImageConfig, PromptConfig, TokenizerConfig
from ojito.model import VLM
from ojito.pipeline import Pipeline
from ojito.presets import PRESETS, preset
from ojito.processor import Processor, Tokenizer
from ojito.records import IMAGE
from tests.parity import reference
from tests.parity.reference import PICTURES, transformers

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")

ASK, SAY, MORE = "what is it?", "it is red", "in the ball? 12 €"
ROWS = {"add_generation_prompt": True, "tokenize": True, "return_dict": True, "return_tensors": "pt"}
"""How to ask for a chat as tensors."""
ONE = Sample(PICTURES[:1], ASK)
FAMILIES = list(reference.FAMILIES)
CHATS = ["llava", "idefics3", "smolvlm", "gemma3"]
# SmolVLM without its videos.
WRITTEN = {"paligemma2": "paligemma", "smolvlm": "idefics3"}
LEFT = ["README.md", "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors",
        "preprocessor_config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json"]  # fmt: skip


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """A family's reference, and ours from its folder, which is gone by then. Arguments as for `reference.make`."""

    def imported(family, **changes):
        theirs = reference.make(family, scale=reference.FAMILIES[family].lively, seed=5, **changes)
        folder = theirs.save(tmp_path_factory.mktemp(family))
        pipe = ojito.load(folder, device="cpu", dtype="float32")
        shutil.rmtree(folder)
        return theirs, pipe

    return imported


@pytest.fixture(scope="module")
def exported(imported, tmp_path_factory):
    """A family's reference, ours, and the folder that ours wrote."""

    @functools.cache
    def exported(family):
        theirs, pipe = imported(family)
        folder = tmp_path_factory.mktemp("exported") / family
        pipe.export(folder)
        return theirs, pipe, folder

    return exported


def read(folder, name):
    return json.loads((folder / name).read_text(encoding="utf-8"))


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def load_theirs(folder, dtype=torch.float32):
    """Their model, of which nothing may be missing or left over."""
    model, info = transformers.AutoModelForImageTextToText.from_pretrained(
        folder, dtype=dtype, attn_implementation="eager", output_loading_info=True
    )
    assert not any(info.values()), info
    return model.eval()


def assert_same_state(made, expected):
    assert made.keys() == expected.keys()
    for name, tensor in expected.items():
        assert made[name].dtype == tensor.dtype
        assert torch.equal(made[name], tensor), name


# ----------------------------------------------------------------------------------------------------------- the models


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_has_the_same_model_back(exported, family):
    theirs, pipe, folder = exported(family)
    back = load_theirs(folder)
    assert back.config.model_type == WRITTEN.get(family, family)
    assert_same_state(back.state_dict(), theirs.model.state_dict())
    batch = pipe.processor([ONE, Sample(PICTURES[1:], "cat"), Sample((), "the red dog")])
    assert torch.equal(dataclasses.replace(theirs, model=back).logits(batch), theirs.logits(batch))


@pytest.mark.parametrize("family", FAMILIES)
def test_ojito_has_the_same_model_back(exported, family):
    _, pipe, folder = exported(family)
    back = ojito.load(folder, device="cpu", dtype="float32")
    assert back.model.config == pipe.model.config
    assert_same_state(back.model.state_dict(), pipe.model.state_dict())
    tokenizer = dataclasses.replace(pipe.processor.config.tokenizer, path=str(folder / "tokenizer.json"))
    assert back.processor.config == dataclasses.replace(pipe.processor.config, tokenizer=tokenizer)
    assert back.processor.tokenizer.ends == pipe.processor.tokenizer.ends


LLAMA3 = {
    "rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 3.0,
    "original_max_position_embeddings": 32, "rope_theta": 500.0,
}  # fmt: skip
FULL, SLIDING = "full_attention", "sliding_attention"
VARIANTS = {
    "another activation": ("paligemma", {"vision": {"hidden_act": "gelu"}}),
    "other eps": ("paligemma", {"vision": {"layer_norm_eps": 0.1}, "text": {"rms_norm_eps": 0.1}}),
    "a picture of no whole patches": ("paligemma", {"vision": {"image_size": 37}}),
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
def test_transformers_has_every_variant_back(imported, tmp_path, variant):
    family, changes = VARIANTS[variant]
    theirs, pipe = imported(family, **changes)
    pipe.export(tmp_path / "out")
    back = load_theirs(tmp_path / "out")
    assert_same_state(back.state_dict(), theirs.model.state_dict())
    batch = pipe.processor([ONE, Sample((), "the red dog")])
    assert torch.equal(dataclasses.replace(theirs, model=back).logits(batch), theirs.logits(batch))
    assert ojito.load(tmp_path / "out", device="cpu").model.config == pipe.model.config


@pytest.mark.parametrize("family", FAMILIES)
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


# ------------------------------------------------------------------------------------------------------- the processors


def load_processor(folder, family):
    """Their processor, with the Pillow form of its images, as where torchvision is missing."""
    made = transformers.AutoProcessor.from_pretrained(folder)
    assert type(made.image_processor).__name__.endswith("Pil")
    assert type(made).__name__.lower().startswith(WRITTEN.get(family, family))
    return made


def turns(*said, image=False):
    """Questions and answers, as chats are handed to transformers."""
    roles = ["user", "assistant"] * len(said)
    made = [
        {"role": role, "content": [{"type": "text", "text": text}]} for role, text in zip(roles, said, strict=False)
    ]
    if image:
        made[0]["content"].insert(0, {"type": "image", "image": PICTURES[0]})
    return made


def assert_same_inputs(made, batch, image_id):
    assert torch.equal(batch.tokens.masked_fill(batch.tokens == IMAGE, image_id), made["input_ids"])
    if batch.images is not None:
        assert torch.equal(batch.images, made["pixel_values"].reshape(batch.images.shape))


@pytest.mark.parametrize("family", CHATS)
def test_processor_writes_chats_as_ours(exported, family):
    theirs, pipe, folder = exported(family)
    processor = load_processor(folder, family)
    for sample, said in [
        (ONE, turns(ASK, image=True)),
        (Sample((), ASK), turns(ASK)),
        (Sample((), ASK), [{"role": "user", "content": ASK}]),
        (Sample(PICTURES[:1], turns=(Turn(ASK, (SAY,)), Turn(MORE))), turns(ASK, SAY, MORE, image=True)),
    ]:
        assert_same_inputs(processor.apply_chat_template(said, **ROWS), pipe.processor([sample]), theirs.image_id)
    whole = Sample(PICTURES[:1], turns=(Turn(ASK, (SAY,)), Turn(MORE, (SAY,))))
    made = processor.apply_chat_template(
        turns(ASK, SAY, MORE, SAY, image=True), **{**ROWS, "add_generation_prompt": False}
    )
    assert_same_inputs(made, pipe.processor([whole], training=True), theirs.image_id)


@pytest.mark.parametrize("said", [turns(ASK, SAY)[::-1], turns(ASK)[:1] * 2, [{"role": "system", "content": ASK}]])
def test_chat_that_no_row_of_ours_is_like_is_refused(exported, said):
    _, _, folder = exported("gemma3")
    with pytest.raises(Exception, match="roles must alternate"):
        load_processor(folder, "gemma3").apply_chat_template(said, tokenize=False)


@pytest.mark.parametrize("family", ["paligemma", "paligemma2"])
@pytest.mark.parametrize("images", [1, 2])
def test_processor_writes_paligemmas_rows_as_ours(exported, family, images):
    theirs, pipe, folder = exported(family)
    assert not (folder / "chat_template.jinja").exists()
    processor = load_processor(folder, family)
    for question in (ASK, "detect <loc0010> cat", " the ▁ball"):
        text = ["<image>" * images + question]
        made = processor(images=[PICTURES[:images]], text=text, return_tensors="pt")
        assert_same_inputs(made, pipe.processor([Sample(PICTURES[:images], question)]), theirs.image_id)


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("paligemma", {"resample": "nearest", "mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}),
        ("gemma3", {"resample": "bicubic", "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}),
        ("llava", {"resample": "lanczos", "std": (0.2, 0.3, 0.4)}),
        ("idefics3", {"longest_side": 150, "resample": "bilinear"}),
        ("smolvlm", {"split": False}),
    ],
)
def test_processor_reads_pictures_as_ours(exported, tmp_path, family, settings):
    _, pipe, _ = exported(family)
    changed = with_processor(pipe, image=dataclasses.replace(pipe.processor.config.image, **settings))
    changed.export(tmp_path / "out")
    images = load_processor(tmp_path / "out", family).image_processor
    for picture in PICTURES:
        made = images([picture.convert("RGB")], return_tensors="pt")["pixel_values"]
        mine = changed.processor([Sample([picture])]).images
        assert torch.equal(mine, made.reshape(mine.shape))
    back = ojito.load(tmp_path / "out", device="cpu").processor.config.image
    assert back == changed.processor.config.image


def with_processor(pipe, **settings):
    """The same model, spoken to in another way."""
    old = pipe.processor
    config = dataclasses.replace(old.config, **settings)
    made = Pipeline(pipe.model, Processor(config, old.tokenizer, old.image_size, old.image_tokens))
    made.name = pipe.name
    return made


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_are_the_same(exported, family):
    _, pipe, folder = exported(family)
    model, processor = load_theirs(folder), load_processor(folder, family)
    if family in CHATS:
        inputs = processor.apply_chat_template(turns(ASK, image=True), **ROWS)
    else:
        inputs = processor(images=PICTURES[0], text=f"<image>{ASK}", return_tensors="pt")
        inputs.pop("labels", None)
    assert model.generation_config.eos_token_id in (
        list(pipe.processor.tokenizer.ends),
        pipe.processor.tokenizer.ends[0],
    )
    ids = model.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs["input_ids"].shape[1] :].tolist()
    answer = pipe.ask(PICTURES[0], ASK, max_new_tokens=12)
    assert len(set(answer.tokens)) > 2
    assert [i for i in ids if i not in pipe.processor.tokenizer.ends] == list(answer.tokens)
    text = processor.decode(ids, skip_special_tokens=True)
    assert text.strip() == answer.text.strip()


@pytest.mark.parametrize("family", FAMILIES)
def test_tokenizer_is_the_one_that_it_was(exported, family):
    theirs, _, folder = exported(family)
    before = json.loads(theirs.processor.tokenizer.backend_tokenizer.to_str())
    after = read(folder, "tokenizer.json")
    for values in (before, after):
        values.pop("padding"), values.pop("truncation")
    assert after == before
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert tokenizer.model_input_names == ["input_ids", "attention_mask"]
    for name in ("bos_token", "pad_token", "unk_token", "padding_side"):
        assert getattr(tokenizer, name) == getattr(theirs.processor.tokenizer, name)
    assert len(tokenizer) == len(theirs.processor.tokenizer)
    for text in (ASK, MORE, " the  cat\n"):
        assert tokenizer(text)["input_ids"] == theirs.processor.tokenizer(text)["input_ids"]


@pytest.mark.parametrize("family", ["paligemma", "llava", "gemma3"])
def test_first_token_is_written_once_by_a_tokenizer_that_writes_it_itself(exported, tmp_path, family):
    """As those of the released models do. LLaVA's rows depend on it, the others' have it from elsewhere."""
    theirs, _, folder = exported(family)
    shutil.copytree(folder, tmp_path / "in")
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    bos = theirs.processor.tokenizer.bos_token
    number = tokenizer.token_to_id(bos)
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        f"{bos} $A", f"{bos} $A {bos} $B", [(bos, number)]
    )
    tokenizer.save(str(tmp_path / "in" / "tokenizer.json"))
    pipe = ojito.load(tmp_path / "in", device="cpu", dtype="float32")
    pipe.export(tmp_path / "out")
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "out")(ASK)["input_ids"].count(number) == 1
    processor = load_processor(tmp_path / "out", family)
    if family in CHATS:
        made = processor.apply_chat_template(turns(ASK, image=True), **ROWS)
        text = processor.apply_chat_template(turns(ASK, image=True), add_generation_prompt=True)
        assert text.startswith(bos) == (family != "llava")
    else:
        made = processor(images=PICTURES[0], text=f"<image>{ASK}", return_tensors="pt")
    assert_same_inputs(made, pipe.processor([ONE]), theirs.image_id)
    assert made["input_ids"][0].tolist().count(number) == 1


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
    PICTURES[0].save("photo.jpg")
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(code.replace("FOLDER", str(folder)), {})
    assert len(capsys.readouterr().out.splitlines()) >= 2


def test_card_names_the_model_that_it_was_made_from(exported, tmp_path):
    _, pipe, _ = exported("paligemma")
    pipe.export(tmp_path / "out", base_model="owner/name")
    assert "\nbase_model: owner/name\n" in (tmp_path / "out" / "README.md").read_text()


# -------------------------------------------------------------------------------------------------- where it comes from


@pytest.mark.parametrize("family", FAMILIES)
def test_model_that_was_saved_and_loaded_is_written_as_it_was(exported, tmp_path, family):
    _, pipe, folder = exported(family)
    pipe.save(tmp_path / "native")
    ojito.load(tmp_path / "native", device="cpu", dtype="float32").export(tmp_path / "out")
    assert files(tmp_path / "out") == files(folder)


PRESET = [
    "model.vision.layers=1", "model.vision.width=32", "model.vision.heads=2", "model.vision.mlp_dim=16",
    "model.vision.image_size=28", "model.decoder.layers=2", "model.decoder.width=32", "model.decoder.mlp_dim=16",
    "model.decoder.head_dim=8", "model.decoder.vocab_size=1500", "model.decoder.max_positions=64",
]  # fmt: skip


def from_preset(name, *settings):
    """A model with random weights, and a tokenizer that Ojito learned."""
    config = preset(name, [*PRESET, "processor.tokenizer.kind=characters", *settings])
    torch.manual_seed(0)
    tokenizer = Tokenizer.train(config.processor.tokenizer, [string.printable, ASK], 300)
    model = config.model
    sizes = (model.vision.image_size, model.image_tokens, model.decoder.max_positions)
    return Pipeline(VLM(model).eval(), Processor(config.processor, tokenizer, *sizes), config)


@pytest.mark.parametrize("name", ["paligemma-3b-224", "paligemma2-3b"])
def test_model_that_was_never_imported_is_written_as_well(tmp_path, name):
    pipe = from_preset(name, *(["model.decoder.kv_heads=4"] if name[9] == "2" else []))
    assert pipe.export(tmp_path / "out").family == "paligemma"
    model, processor = load_theirs(tmp_path / "out"), load_processor(tmp_path / "out", "paligemma")
    assert processor.image_token_id == pipe.processor.tokenizer.size == model.config.image_token_id
    made = processor(images=PICTURES[0], text=f"<image>{ASK}", return_tensors="pt")
    batch = pipe.processor([ONE])
    assert_same_inputs(made, batch, processor.image_token_id)
    made.pop("labels", None)
    with torch.no_grad():
        expected = model(**made).logits
        torch.testing.assert_close(pipe.model(batch), expected, rtol=1e-5, atol=1e-5)
    back = ojito.load(tmp_path / "out", device="cpu", dtype="float32")
    assert_same_state(back.model.state_dict(), pipe.model.state_dict())


@pytest.mark.parametrize("name", [name for name in PRESETS if name.startswith("paligemma")])
def test_public_presets_are_of_their_family(name):
    family, fields, _ = find_family(name, preset(name).model)
    assert family.model_type == "paligemma"
    assert fields["text_config"]["model_type"] == ("gemma2" if name.startswith("paligemma2") else "gemma")


# ------------------------------------------------------------------------------------------------------------- refusals


def test_model_of_no_family_is_refused_with_what_keeps_it_from_being_one():
    with pytest.raises(CheckpointError) as error:
        find_family("mine", preset("tiny").model)
    assert "mine is of no family that Hugging Face knows" in str(error.value)
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


@pytest.mark.parametrize(
    ("family", "settings", "said"),
    [
        ("paligemma", {"prompt": PromptConfig(separator=" ")}, r"processor.prompt.separator is ' ', not '\\n'"),
        ("paligemma", {"prompt": PromptConfig(bos=False)}, "processor.prompt.bos is False, not True"),
        ("paligemma", {"image": ImageConfig(fit="pad")}, "processor.image.fit is 'pad', and the processor of"),
        ("llava", {"prompt": PromptConfig()}, "the processor of llava writes another prompt"),
        (
            "idefics3", {"image": ImageConfig(fit="tiles", tiling="nanovlm", longest_side=100)},
            "processor.image.tiling is 'nanovlm'",
        ),
    ],
)  # fmt: skip
def test_way_to_be_spoken_to_that_the_familys_processor_has_not_is_refused(exported, tmp_path, family, settings, said):
    _, pipe, _ = exported(family)
    with pytest.raises(CheckpointError, match=said):
        with_processor(pipe, **settings).export(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_settings_that_are_about_training_are_no_other_prompt(exported, tmp_path):
    _, pipe, folder = exported("paligemma")
    prompt = PromptConfig(turns="blind", answers="all", loss="all", caption="describe", max_tokens=99)
    with_processor(pipe, prompt=prompt).export(tmp_path / "out")
    without = {name: text for name, text in files(tmp_path / "out").items() if name != "README.md"}
    assert without == {name: text for name, text in files(folder).items() if name != "README.md"}


def test_tokenizer_without_what_the_processor_writes_is_refused(exported, tmp_path):
    _, pipe, _ = exported("gemma3")
    other = Tokenizer.train(TokenizerConfig(special=("<start_of_image>",)), [ASK], 300)
    with pytest.raises(CheckpointError, match="has no <end_of_image>, which the processor of gemma3 writes"):
        Pipeline(pipe.model, Processor(pipe.processor.config, other, 32, 16)).export(tmp_path / "out")


def test_tokenizer_that_reads_a_separator_in_another_way_beside_its_question_is_refused(tmp_path):
    pipe = from_preset("paligemma-3b-224", "processor.tokenizer.kind=bpe")
    with pytest.raises(
        CheckpointError, match=r"tokenizes '\\n' with the question before it.*no space before every text"
    ):
        pipe.export(tmp_path / "out")


def test_tokenizer_without_the_token_that_begins_a_row_is_refused(tmp_path):
    pipe = from_preset("paligemma-3b-224")
    pipe.processor.tokenizer.save(tmp_path / "tokenizer.json")
    text = (tmp_path / "tokenizer.json").read_text().replace("<bos>", "<none>")
    (tmp_path / "tokenizer.json").write_text(text)
    tokenizer = Tokenizer.read(tmp_path / "tokenizer.json")
    without = Pipeline(pipe.model, Processor(pipe.processor.config, tokenizer, 28, 4))
    with pytest.raises(
        CheckpointError, match="has no token that begins a row, and the processor of paligemma writes one"
    ):
        without.export(tmp_path / "out")


@pytest.mark.parametrize("kind", ["bpe", "characters"])
def test_chat_with_a_tokenizer_of_our_own_is_written(exported, tmp_path, kind):
    """It has no token for images, and does not write the first token by itself."""
    _, pipe, _ = exported("llava")
    tokenizer = Tokenizer.train(TokenizerConfig(kind=kind), [string.printable, ASK], 300)
    assert tokenizer.bos is not None
    mine = Pipeline(pipe.model, Processor(pipe.processor.config, tokenizer, 32, 16))
    mine.export(tmp_path / "out")
    processor = load_processor(tmp_path / "out", "llava")
    sample = Sample(PICTURES[:1], turns=(Turn(ASK, (SAY,)), Turn(MORE)))
    made = processor.apply_chat_template(turns(ASK, SAY, MORE, image=True), **ROWS)
    assert_same_inputs(made, mine.processor([sample]), tokenizer.size)
    assert ojito.load(tmp_path / "out", device="cpu").processor.tokenizer.size == tokenizer.size + 1


def test_vocabulary_without_room_for_the_image_token_is_refused(tmp_path):
    pipe = from_preset("paligemma-3b-224", "model.decoder.vocab_size=300")
    size = pipe.processor.tokenizer.size
    with pytest.raises(CheckpointError, match=rf"vocabulary of {size} has no room for <image>.*{size + 1} or more"):
        from_preset("paligemma-3b-224", f"model.decoder.vocab_size={size}").export(tmp_path / "out")


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
    assert files(out) == {**files(folder), "notes.txt": b"mine"}


def test_forms_replace_each_other(exported, tmp_path):
    _, pipe, folder = exported("llava")
    pipe.save(tmp_path / "native")
    out = tmp_path / "out"
    pipe.export(out)
    pipe.save(out)
    assert {name: text for name, text in files(out).items() if name != "README.md"} == files(tmp_path / "native")
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
        left, real = [k], getattr(native.os, call)

        def breaking(*args, left=left, real=real):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(28, "No space left on device")
            return real(*args)

        with monkeypatch.context() as patch:
            patch.setattr(native.os, call, breaking)
            try:
                new.export(out, force=True, max_shard=60_000)
            except CheckpointError as error:
                assert "No space left on device" in str(error)  # noqa: PT017
        found = files(out)
        outcome = next((name for name in ("old", "new") if found == files(tmp_path / name)), "none")
        assert outcome != "none" or "config.json" not in found
        outcomes.add(outcome)
        if left[0] >= 0:
            break
    assert outcome == "new"
    assert "none" in outcomes
    assert ("old" in outcomes) == (call == "fsync")


def test_disk_that_is_full_leaves_what_was_there(exported, tmp_path, monkeypatch):
    _, pipe, folder = exported("llava")
    shutil.copytree(folder, tmp_path / "out")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ojito.checkpoint.tensors.save_file", full)
    for out in (tmp_path / "out", tmp_path / "new" / "deep"):
        with pytest.raises(CheckpointError, match="No space left on device"):
            pipe.export(out, force=True)
    assert files(tmp_path / "out") == files(folder)
    assert not (tmp_path / "new" / "deep").exists()


# ---------------------------------------------------------------------------------------------------------- the command


@pytest.fixture
def run(capsys):
    """Runs a command here; returns its exit code, stdout and stderr."""

    def call(*words):
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_command_writes_what_the_method_writes(exported, tmp_path, run):
    _, pipe, folder = exported("llava")
    pipe.save(tmp_path / "native")
    code, out, err = run("convert", tmp_path / "native", "--out", tmp_path / "out")
    assert (code, err) == (0, "")
    assert files(tmp_path / "out") == files(folder)
    assert f"{tmp_path / 'out'} is {tmp_path / 'native'} in the form of Hugging Face, family llava" in out


def test_command_goes_back_and_forth(exported, tmp_path, run):
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
    assert sorted(values["files"]) == LEFT
    assert values["parameters"] == sum(parameter.numel() for parameter in pipe.model.parameters())
    mine = ojito.load(tmp_path / "out", device="cpu", dtype="bfloat16").model.state_dict()
    assert_same_state(mine, {name: tensor.bfloat16() for name, tensor in pipe.model.state_dict().items()})


def test_command_names_the_model_of_the_hub_that_it_fetched(exported, tmp_path, run, monkeypatch):
    _, _, folder = exported("paligemma")
    monkeypatch.setattr(convert, "find_folder", lambda name, tell: folder)
    assert run("convert", "owner/name@main", "--out", tmp_path / "out")[0] == 0
    assert "\nbase_model: owner/name\n" in (tmp_path / "out" / "README.md").read_text()


def test_command_keeps_the_dtype_or_changes_it(exported, tmp_path, run):
    _, _, folder = exported("paligemma2")
    for words, dtype in ((["--dtype", "float16"], "float16"), ([], "float32")):
        code, _, _ = run("convert", folder, "--out", tmp_path / dtype, *words)
        assert code == 0
        assert {str(t.dtype) for t in load_file(tmp_path / dtype / "model.safetensors").values()} == {f"torch.{dtype}"}
        assert read(tmp_path / dtype, "config.json")["torch_dtype"] == dtype


def test_command_replaces_a_model_only_with_force(exported, tmp_path, run):
    _, _, folder = exported("paligemma2")
    shutil.copytree(exported("llava")[2], tmp_path / "out")
    for to in ("huggingface", "ojito"):
        before = files(tmp_path / "out")
        code, out, err = run("convert", folder, "--out", tmp_path / "out", "--to", to)
        assert (code, out) == (2, "")
        assert err.endswith("holds a model already; choose another folder, or replace it with --force\n")
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
def test_command_that_cannot_be_followed_is_one_line(tmp_path, run, words, said):
    code, out, err = run("convert", *(tmp_path / "out" if word == "OUT" else word for word in words))
    assert (code, out) == (2, "")
    assert said in err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_command_writes_a_preset_in_ojitos_form(tmp_path, run):
    code, _, err = run("convert", "tiny", "--out", tmp_path / "out", "--to", "ojito", "--seed", "3")
    assert code == 0
    assert err == "ojito: tiny is a preset, and its weights are random: train it first\n"
    expected = ojito.load("tiny", device="cpu", dtype="float32", seed=3).model.state_dict()
    mine = ojito.load(tmp_path / "out", device="cpu", dtype="float32").model.state_dict()
    assert_same_state(mine, expected)
