"""The files beside a folder's weights: every field that is read changes what is read, or is refused by name."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.folder import describe, describe_part
from ojito.checkpoint.huggingface import preprocessing
from ojito.checkpoint.huggingface.fields import Fields
from ojito.checkpoint.huggingface.preprocessing import (
    read_chat_template,
    read_image_settings,
    read_tokenizer_settings,
    writes_bos,
)
from ojito.checkpoint.huggingface.towers import TOWERS
from ojito.config import ImageConfig
from ojito.processor.pixels import pixels
from ojito.processor.tiles import read_image
from ojito.settings import read
from tests.parity.reading import fields_read
from tests.parity.reference import transformers
from tests.parity.released import released_folder

SIZE = 32
SQUARE = {"height": SIZE, "width": SIZE}
HALF = [0.5, 0.5, 0.5]
# What a file says, whose usual settings are meant, and the reference's class.
KINDS = {
    "squash": ({"size": SQUARE}, "siglip_vision_model", "SiglipImageProcessor"),
    "crop": ({"size": {"shortest_edge": SIZE}, "crop_size": SQUARE}, "clip_vision_model", "CLIPImageProcessor"),
    "tiles": (
        {"size": {"longest_edge": 100}, "max_image_size": {"longest_edge": SIZE}},
        "idefics3_vision",
        "Idefics3ImageProcessor",
    ),
    "naflex": ({"max_num_patches": 16, "patch_size": 8}, "siglip2_vision_model", "Siglip2ImageProcessor"),
}
SAME = [
    *(("do_convert_rgb", value) for value in (None, True, False)), ("do_resize", True), ("do_rescale", True),
    ("rescale_factor", 0.00392156862745098), ("rescale_factor", 0.003921568859368563), ("do_normalize", True),
    ("do_pan_and_scan", None), ("do_pan_and_scan", False), ("do_pad", None),
]  # fmt: skip
# Fields, and the settings that they change.
FIELDS = {
    "squash": [
        *((name, value, {}) for name, value in SAME), ("do_center_crop", False, {}), ("do_pad", False, {}),
        *(("resample", i, {"resample": name}) for i, name in enumerate(["nearest", "lanczos", "bilinear", "bicubic"])),
        ("image_mean", [0.1, 0.2, 0.3], {"mean": [0.1, 0.2, 0.3]}), ("image_std", [1, 2, 3], {"std": [1, 2, 3]}),
        ("do_normalize", False, {"mean": [0, 0, 0], "std": [1, 1, 1]}),
    ],
    "crop": [*((name, value, {}) for name, value in SAME), ("do_center_crop", True, {}), ("size", SIZE, {}),
             ("crop_size", SIZE, {}), ("size", {"shortest_edge": SIZE, "longest_edge": None}, {})],
    "tiles": [
        *((name, value, {}) for name, value in SAME), ("do_pad", True, {}), ("do_pad", False, {}),
        ("do_image_splitting", True, {}), ("do_image_splitting", False, {"split": False}),
        ("size", {"longest_edge": 70}, {"longest_side": 70}),
    ],
    "naflex": [("max_num_patches", None, {}), ("max_num_patches", 17, {})],
}  # fmt: skip
ANYWHERE = [
    ("do_resize", False), ("do_rescale", False), ("rescale_factor", 1 / 127.5), ("rescale_factor", 1), ("resample", 5),
    ("image_mean", 0.5), ("image_mean", [0.5]), ("image_std", ["a", 1, 1]), ("do_normalize", "no"),
    ("do_pan_and_scan", True), ("size", "large"), ("size", {}), ("size", [SIZE, SIZE]),
]  # fmt: skip
# What Ojito cannot do, by the name that has to be said.
REFUSED = {
    "squash": [
        *ANYWHERE, ("do_center_crop", True), ("do_pad", True), ("size", {"shortest_edge": SIZE}),
        ("size", {"height": SIZE}), ("size", {**SQUARE, "shortest_edge": SIZE}), ("max_num_patches", "many"),
    ],
    "crop": [
        *ANYWHERE, ("do_center_crop", False), ("do_pad", True), ("size", SQUARE),
        ("size", {"shortest_edge": SIZE, "longest_edge": 40}), ("crop_size", {"height": SIZE}),
        ("crop_size", {"shortest_edge": SIZE}), ("crop_size", True),
    ],
    "tiles": [
        *ANYWHERE, ("do_center_crop", True), ("do_image_splitting", 1), ("size", SQUARE), ("size", 100),
        ("max_image_size", SQUARE), ("max_image_size", SIZE),
    ],
}  # fmt: skip
# Images for another model, and their size.
SIZES = [
    ("squash", {"size": {"height": 33, "width": SIZE}}, 33),
    ("squash", {"size": {"height": SIZE, "width": 31}}, 31),
    ("squash", {"size": 33}, 33),
    ("crop", {"size": {"shortest_edge": 40}}, 40),
    ("crop", {"size": 40}, 40),
    ("crop", {"crop_size": {"height": 31, "width": SIZE}}, 31),
    ("crop", {"crop_size": {"height": SIZE, "width": 31}}, 31),
    ("crop", {"crop_size": 31}, 31),
    ("tiles", {"max_image_size": {"longest_edge": 16}}, 16),
    ("naflex", {"max_num_patches": 25}, 40),
    ("naflex", {"patch_size": 7}, 28),
]


def saved(folder, kind, **fields):
    """A folder with an image processor that differs in these fields from the usual one."""
    values = {**KINDS[kind][0], "image_processor_type": KINDS[kind][2], **fields}
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
    return folder


def settings_of(folder, kind):
    return read_image_settings(folder, TOWERS[KINDS[kind][1]].image_settings, SIZE)


def usual_of(kind):
    return {
        **TOWERS[KINDS[kind][1]].image_settings,
        **({"longest_side": 100, "split": True} if kind == "tiles" else {}),
    }


def noise(width, height):
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8))


def their_pixels(folder, kind, image):
    made = getattr(transformers, f"{KINDS[kind][2]}Pil").from_pretrained(folder)
    return made([image], return_tensors="pt")["pixel_values"]


def our_pixels(settings, image):
    config = read(ImageConfig, settings)
    if config.fit != "tiles":
        return pixels(image, SIZE, config)[None]
    raw = read_image(image, SIZE, config).pixels
    mean, std = (torch.tensor(values)[:, None, None] for values in (config.mean, config.std))
    return ((raw / 255 - mean) / std)[None]


# ------------------------------------------------------------------------------------------------------------- images


@pytest.mark.parametrize("kind", FIELDS)
def test_every_field_of_an_image_processor_changes_what_is_read(tmp_path, kind):
    assert settings_of(saved(tmp_path, kind), kind) == usual_of(kind)
    for field, value, changes in FIELDS[kind]:
        assert settings_of(saved(tmp_path, kind, **{field: value}), kind) == {**usual_of(kind), **changes}, field


@pytest.mark.parametrize("kind", ["squash", "crop", "tiles"])
def test_matches_reference_with_every_field(tmp_path, kind):
    image = noise(61, 40)
    for field, value, _ in FIELDS[kind]:
        folder = saved(tmp_path, kind, **{field: value})
        theirs, ours = their_pixels(folder, kind, image), our_pixels(settings_of(folder, kind), image)
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6, msg=f"{field}: {value}")


@pytest.mark.parametrize("kind", REFUSED)
def test_field_that_ojito_cannot_follow_is_refused_by_name(tmp_path, kind):
    for field, value in REFUSED[kind]:
        with pytest.raises(CheckpointError, match=rf"preprocessor_config\.json: {field} is ['\"].*; .*[A-Za-z]"):
            settings_of(saved(tmp_path, kind, **{field: value}), kind)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("squash", {"rescale_factor": 1 / 127.5}), ("squash", {"do_center_crop": True, "crop_size": 20}),
        ("crop", {"do_center_crop": False}), ("crop", {"size": SQUARE}),
        ("crop", {"size": {"shortest_edge": SIZE, "longest_edge": 40}}), ("tiles", {"size": 100}),
    ],
)  # fmt: skip
def test_what_is_refused_is_another_image_to_the_reference(tmp_path, kind, fields):
    image = noise(61, 40)
    usual = our_pixels(settings_of(saved(tmp_path, kind), kind), image)
    theirs = their_pixels(saved(tmp_path, kind, **fields), kind, image)
    assert theirs.shape != usual.shape or (theirs - usual).abs().max() > 0.1


def test_llavas_padding_is_not_ours(tmp_path):
    folder = saved(tmp_path, "crop", do_pad=True)
    theirs = transformers.LlavaImageProcessorPil.from_pretrained(folder)(noise(61, 40), return_tensors="pt")
    ours = our_pixels({**usual_of("crop"), "fit": "pad"}, noise(61, 40))
    assert (theirs["pixel_values"] - ours).abs().max() > 0.1


@pytest.mark.parametrize(("kind", "fields", "size"), SIZES)
def test_images_for_another_model_are_refused(tmp_path, kind, fields, size):
    with pytest.raises(CheckpointError, match=rf"prepares images of {size} pixels, and the model reads {SIZE};"):
        settings_of(saved(tmp_path, kind, **fields), kind)


def test_longest_side_is_four_tiles_where_no_file_says_otherwise(tmp_path):
    assert settings_of(tmp_path, "tiles")["longest_side"] == 4 * SIZE
    theirs = transformers.Idefics3ImageProcessorPil()
    assert theirs.size["longest_edge"] == 4 * theirs.max_image_size["longest_edge"]


@pytest.mark.parametrize("kind", TOWERS)
def test_settings_that_are_missing_have_the_references_defaults(tmp_path, kind):
    tower = TOWERS[kind]
    made = read_image_settings(tmp_path, tower.image_settings, 224)
    theirs = getattr(transformers, f"{tower.image_class}Pil")()
    assert preprocessing.RESAMPLE[theirs.resample] == made["resample"]
    assert ([*theirs.image_mean], [*theirs.image_std]) == (made["mean"], made["std"])


def test_fields_within_the_processors_file_come_first(tmp_path):
    saved(tmp_path, "squash", resample=0)
    (tmp_path / "processor_config.json").write_text(json.dumps({"processor_class": "SiglipProcessor"}))
    assert settings_of(tmp_path, "squash")["resample"] == "nearest"
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": {"resample": 2}}))
    assert settings_of(tmp_path, "squash")["resample"] == "bilinear"
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": {"do_resize": False}}))
    with pytest.raises(CheckpointError, match=r"processor_config\.json: do_resize is 'False'; Ojito has only True"):
        settings_of(tmp_path, "squash")


# ---------------------------------------------------------------------------------------------------------------- words

ADDED = [{"id": 0, "content": "<a>"}, {"id": 1, "content": "<b>"}, {"id": 7, "content": "<c>"}]
TOKENS, ENDS = "tokenizer_config.json", "generation_config.json"


def read_words(folder, end=(), **files):
    """What is read of a folder with these files, without the path."""
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": ADDED}))
    for name in ("tokenizer_config", "generation_config"):
        path = folder / f"{name}.json"
        path.unlink(missing_ok=True)
        if name in files:
            path.write_text(json.dumps(files[name]))
    settings = read_tokenizer_settings(folder, end)
    assert (settings.pop("kind"), settings.pop("path")) == ("file", str(folder / "tokenizer.json"))
    return settings


NONE = {"has_bos": False}


@pytest.mark.parametrize(
    ("tokens", "ends", "settings"),
    [
        ({}, None, NONE),
        ({"bos_token": "<a>"}, None, {"bos": "<a>", "special": ["<a>"]}),
        ({"bos_token": {"content": "<a>", "lstrip": False}}, None, {"bos": "<a>", "special": ["<a>"]}),
        ({"bos_token": None, "pad_token": ""}, None, NONE),
        ({"pad_token": "<b>"}, None, {"pad": "<b>", "special": ["<b>"], **NONE}),
        ({"eos_token": "<b>"}, None, {"eos": ["<b>"], "special": ["<b>"], **NONE}),
        ({"eos_token": "<b>"}, {"eos_token_id": None}, {"eos": ["<b>"], "special": ["<b>"], **NONE}),
        ({"eos_token": "<b>"}, {"eos_token_id": 7}, {"eos": ["<b>", "<c>"], "special": ["<b>"], **NONE}),
        ({}, {"eos_token_id": [7, 1, 0]}, {"eos": ["<c>", "<b>", "<a>"], **NONE}),
        ({}, {"eos_token_id": [5, 1]}, {"eos": ["<b>"], "eos_ids": [5], **NONE}),  # 5 is an ordinary word
        ({"image_token": "<i>"}, None, {"special": ["<i>"], **NONE}),
        ({"add_bos_token": True}, None, NONE),  # the reference does not read it beside a tokenizer.json
        ({"extra_special_tokens": {"image_token": "<i>"}}, None, {"special": ["<i>"], **NONE}),
        ({"extra_special_tokens": ["<i>", {"content": "<j>"}]}, None, {"special": ["<i>", "<j>"], **NONE}),
        ({"additional_special_tokens": ["<i>"]}, None, {"special": ["<i>"], **NONE}),
        (
            {"added_tokens_decoder": {"9": {"content": "<j>"}, "8": {"content": "<i>", "special": True}}},
            None,
            {"special": ["<i>"], "added": ["<j>"], **NONE},
        ),
    ],
)
def test_every_field_of_the_tokenizer_changes_what_is_read(tmp_path, tokens, ends, settings):
    files = {"tokenizer_config": tokens, **({} if ends is None else {"generation_config": ends})}
    assert read_words(tmp_path, **files) == settings
    assert read_words(tmp_path, ("<end>", "<b>"), **files)["eos"] == list(
        dict.fromkeys(["<end>", "<b>", *settings.get("eos", [])])
    )


def test_ends_of_config_json_count_where_no_generation_config_names_any(tmp_path):
    (tmp_path / "tokenizer.json").write_text(json.dumps({"added_tokens": ADDED}))

    def ends(**config):
        return read_tokenizer_settings(tmp_path, (), Fields(config, "config.json")).get("eos")

    assert ends() is None
    assert ends(eos_token_id=1) == ["<b>"]
    assert ends(text_config={"eos_token_id": [1, 7]}) == ["<b>", "<c>"]
    assert ends(eos_token_id=0, text_config={"eos_token_id": 1}) == ["<a>"]
    (tmp_path / ENDS).write_text(json.dumps({"eos_token_id": 7}))
    assert ends(eos_token_id=0) == ["<c>"]


def test_special_tokens_map_counts_where_there_is_no_added_tokens_decoder(tmp_path):
    older = {"bos_token": "<a>", "eos_token": {"content": "<c>"}, "pad_token": None}
    (tmp_path / "special_tokens_map.json").write_text(json.dumps(older))
    named = {"bos_token": "<b>", "pad_token": "<b>"}
    settings = read_words(tmp_path, tokenizer_config=named)
    assert (settings["bos"], settings["eos"], settings.get("pad")) == ("<a>", ["<c>"], None)
    settings = read_words(tmp_path, tokenizer_config={**named, "added_tokens_decoder": {}})
    assert (settings["bos"], settings.get("eos"), settings["pad"]) == ("<b>", None, "<b>")


TEMPLATE_OF_A = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<a>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "special_tokens": {"<a>": {"id": "<a>", "ids": [0], "tokens": ["<a>"]}},
}


@pytest.mark.parametrize(
    ("post_processor", "begin"),
    [
        (None, ""),
        ({"type": "ByteLevel"}, ""),
        (TEMPLATE_OF_A, "<a>"),
        ({"type": "Sequence", "processors": [{"type": "ByteLevel"}, TEMPLATE_OF_A]}, "<a>"),
    ],
)
def test_post_processor_says_whether_a_token_begins_a_text(tmp_path, post_processor, begin):
    (tmp_path / "tokenizer.json").write_text(json.dumps({"added_tokens": ADDED, "post_processor": post_processor}))
    settings = read_tokenizer_settings(tmp_path, ())
    assert settings.get("bos", "") == begin
    assert writes_bos(tmp_path) == bool(begin)


@pytest.mark.parametrize(
    ("post_processor", "problem"),
    [
        ({"type": "BertProcessing", "sep": ["<b>", 1], "cls": ["<a>", 0]}, "writes <a> ... <b> around every text"),
        ({"type": "TemplateProcessing", "single": 3}, "damaged post_processor"),
        ({"type": "RobertaProcessing"}, "damaged post_processor"),
    ],
)
def test_post_processor_that_no_row_has_is_refused(tmp_path, post_processor, problem):
    (tmp_path / "tokenizer.json").write_text(json.dumps({"added_tokens": ADDED, "post_processor": post_processor}))
    with pytest.raises(CheckpointError, match=problem):
        read_tokenizer_settings(tmp_path, ())


@pytest.mark.parametrize(
    ("file", "fields", "name"),
    [
        ("tokenizer_config", {"bos_token": 3}, "bos_token"),
        ("tokenizer_config", {"pad_token": ["<a>"]}, "pad_token"),
        ("tokenizer_config", {"eos_token": {"content": 3}}, "eos_token"),
        ("generation_config", {"eos_token_id": "<a>"}, "eos_token_id"),
        ("generation_config", {"eos_token_id": [1, True]}, "eos_token_id"),
    ],
)
def test_token_that_is_none_is_refused_by_name(tmp_path, file, fields, name):
    with pytest.raises(CheckpointError, match=rf"{file}\.json: {name} is ['\"].*; .*needed"):
        read_words(tmp_path, **{file: fields})


@pytest.mark.parametrize(
    ("file", "text", "found"),
    [
        ("chat_template.jinja", "{{ messages }}", "{{ messages }}"),
        ("chat_template.json", '{"chat_template": "a"}', "a"),
        ("tokenizer_config.json", '{"chat_template": "a"}', "a"),
        ("tokenizer_config.json", '{"chat_template": [{"name": "default", "template": "a"}]}', "a"),
        ("tokenizer_config.json", '{"chat_template": {"tool_use": "b", "default": "a"}}', "a"),
        ("tokenizer_config.json", '{"chat_template": null}', None),
        ("tokenizer_config.json", '{"bos_token": "<a>"}', None),
        ("processor_config.json", '{"chat_template": "a"}', "a"),
        ("processor_config.json", '{"chat_template": null}', None),
        ("processor_config.json", '{"processor_class": "LlavaProcessor"}', None),
        ("preprocessor_config.json", '{"chat_template": "a"}', None),
    ],
)
def test_chat_template_is_read_from_every_file_that_may_hold_it(tmp_path, file, text, found):
    assert read_chat_template(tmp_path) is None
    (tmp_path / file).write_text(text)
    assert read_chat_template(tmp_path) == found


def test_chat_template_of_the_processor_comes_before_that_of_its_tokenizer(tmp_path):
    files = ["tokenizer_config.json", "chat_template.jinja", "chat_template.json", "processor_config.json"]
    for number, file in enumerate(files):
        text = str(number) if file.endswith("jinja") else json.dumps({"chat_template": str(number)})
        (tmp_path / file).write_text(text)
        assert read_chat_template(tmp_path) == str(number)


@pytest.mark.parametrize("value", [3, [{"name": "tools", "template": "a"}], {"default": 3}])
def test_chat_template_that_is_none_is_refused(tmp_path, value):
    (tmp_path / TOKENS).write_text(json.dumps({"chat_template": value}))
    with pytest.raises(CheckpointError, match=r"tokenizer_config\.json: chat_template is .* needed"):
        read_chat_template(tmp_path)


# ------------------------------------------------------------------------------------------------------ released models

OPENAI = TOWERS["clip_vision_model"].image_settings
HALVES = {"mean": HALF, "std": HALF}
RELEASED = {
    "paligemma-3b-pt-224": (
        {**HALVES, "resample": "bicubic"},
        {"bos": "<bos>", "pad": "<pad>", "eos": ("<eos>",)},
        {"separator": "\n", "max_tokens": 8192},
    ),
    "llava-1.5-7b-hf": (
        {**OPENAI, "resample": "bicubic", "fit": "crop"},
        {"bos": "<s>", "pad": "<pad>", "eos": ("</s>",)},
        {"separator": " ASSISTANT:", "max_tokens": 4096},
    ),
    "SmolVLM-256M-Instruct": (
        {**HALVES, "resample": "lanczos", "fit": "tiles", "longest_side": 2048, "split": True},
        {"bos": "<|im_start|>", "pad": "<|im_end|>", "eos": ("<end_of_utterance>",)},
        {"separator": "<end_of_utterance>\nAssistant:", "max_tokens": 8192},
    ),
    "gemma-3-4b-it": (
        {**HALVES, "resample": "bilinear"},
        {"bos": "<bos>", "pad": "<pad>", "eos": ("<end_of_turn>", "<eos>")},
        {"separator": "<end_of_turn>\n<start_of_turn>model\n", "max_tokens": 131072},
    ),
}


@pytest.mark.parametrize("name", RELEASED)
def test_files_of_a_released_model_are_read(tmp_path, name):
    read_now = describe(released_folder(tmp_path, name)).processor
    image, words, prompt = RELEASED[name]
    assert read_now.image == read(ImageConfig, image)
    assert {field: getattr(read_now.tokenizer, field) for field in words} == words
    assert {field: getattr(read_now.prompt, field) for field in prompt} == prompt
    tower = describe_part(tmp_path, "vision").image
    assert {field: tower[field] for field in ("mean", "std", "resample")} == {
        field: image[field] for field in ("mean", "std", "resample")
    }
    assert tower.get("fit", "squash") == ("crop" if name.startswith("llava") else "squash")
    assert read(ImageConfig, tower)
    assert sorted(describe_part(tmp_path, "decoder").tokenizer["eos"]) == sorted(words["eos"])


@pytest.mark.parametrize(
    ("name", "size", "image"),
    [
        ("siglip-base-patch16-224", 224, {**HALVES, "resample": "bicubic"}),
        ("siglip2-base-patch16-224", 224, {**HALVES, "resample": "bilinear"}),
        ("clip-vit-large-patch14", 224, {**OPENAI, "fit": "crop", "resample": "bicubic"}),
    ],
)
def test_files_of_a_released_tower_are_read(tmp_path, name, size, image):
    part = describe_part(released_folder(tmp_path, name), "vision")
    assert (part.config.image_size, part.image) == (size, image)
    assert part.config.layers == (24 if name.startswith("clip") else 12)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("SmolLM2-135M", {"bos": "<|endoftext|>", "eos": ["<|endoftext|>"], "special": ["<|endoftext|>"]}),
        ("gpt2", {"eos": ["<|endoftext|>"], **NONE}),
    ],
)
def test_files_of_a_released_decoder_are_read(tmp_path, name, words):
    tokenizer = describe_part(released_folder(tmp_path, name), "decoder").tokenizer
    assert tokenizer == {**words, "kind": "file", "path": str(tmp_path / "tokenizer.json")}


@pytest.mark.parametrize(
    ("name", "separator", "ends"),
    [
        ("gemma-3-4b-it", "", ("<eos>", "<end_of_turn>")),
        ("SmolVLM-256M-Instruct", "<end_of_utterance>\nAssistant:", ("</s>",)),
    ],
)
def test_model_without_a_template_is_not_spoken_to_in_turns(tmp_path, name, separator, ends):
    folder = released_folder(tmp_path, name)
    (folder / "chat_template.json").unlink()
    said = json.loads((folder / TOKENS).read_text())
    del said["chat_template"]
    if name.startswith("SmolVLM"):
        said["eos_token"] = "</s>"
        (folder / ENDS).unlink()
    (folder / TOKENS).write_text(json.dumps(said))
    processor = describe(folder).processor
    assert (processor.prompt.separator, processor.tokenizer.eos) == (separator, ends)


@pytest.mark.parametrize(("name", "resample"), [("gemma-3-4b-it", "bilinear"), ("paligemma-3b-pt-224", "bicubic")])
def test_family_has_its_own_way_to_resample_where_no_file_says_otherwise(tmp_path, name, resample):
    folder = released_folder(tmp_path, name)
    (folder / "preprocessor_config.json").unlink()
    assert describe(folder).processor.image.resample == resample
    assert describe_part(folder, "vision").image["resample"] == resample


def test_no_field_of_these_files_is_read_that_is_not_tested():
    tested = {field for kind in KINDS.values() for field in kind[0]}
    tested |= {row[0] for table in (FIELDS, REFUSED) for rows in table.values() for row in rows}
    tested |= {"bos_token", "pad_token", "eos_token", "eos_token_id", "chat_template", "text_config"}
    tested |= {"added_tokens_decoder", "default", "eos_token"}
    tested |= {"height", "width", "shortest_edge", "longest_edge"}
    found = fields_read(preprocessing)
    assert {"rescale_factor", "crop_size", "chat_template", "eos_token_id"} <= found
    assert found <= tested
