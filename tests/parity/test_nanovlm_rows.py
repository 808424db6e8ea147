"""nanoVLM's rows: its chat, its tiles, its tokens."""

import dataclasses
import json

import pytest
import tokenizers
import torch
from PIL import Image

import ojito
from ojito.checkpoint.folder import describe
from ojito.checkpoint.huggingface.families.nanovlm import write_config
from ojito.presets import preset
from ojito.processor import Processor, Tokenizer
from ojito.processor.prompts import RowWriter
from ojito.records import IMAGE, Sample, Turn
from tests.noise import noise
from tests.parity.nanovlm import GOLDEN, B, released, vocabulary

# The code at 800b182: no token for a whole view, no field for enlarging.
JULY = {
    "vlm_extra_tokens": {"image_token": "<|image|>", "r1c1": "<row_1_col_1>", "r1c2": "<row_1_col_2>",
                         "r2c1": "<row_2_col_1>", "r2c2": "<row_2_col_2>"},
    "resize_to_max_side_len": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def july(tmp_path_factory):
    changes = {**JULY, "lm_base_vocab_size": 97 - len(JULY["vlm_extra_tokens"])}
    return ojito.load(released(tmp_path_factory.mktemp("july") / "model", "460m", changes), "cpu", "float32")


@pytest.mark.parametrize("grids", [[(1, 1)], [(2, 1)], [(2, 2), (1, 1)]], ids=str)
def test_tiles_without_a_whole_view_are_written_as_the_code_of_july_writes_them(july, grids):
    expected = ""
    for number, (rows, columns) in enumerate(grids):  # its `get_image_string`
        expected += f"<image: {number}>" * (len(grids) > 1)
        for row in range(1, rows + 1):
            for column in range(1, columns + 1):
                expected += f"<row_{row}_col_{column}>" + "<|image|>" * 2
    ours = [(0, 0) if grid == (1, 1) else grid for grid in grids]
    writer = RowWriter(july.processor.config.prompt, july.processor.tokenizer, 2)
    row = writer.write(Sample([None] * len(grids), "what?"), training=False, grids=ours)
    assert text_of(row, july.processor.tokenizer) == (
        f"<|im_start|>user\n{expected}what?<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(("size", "grid"), [((20, 30), (1, 1)), ((50, 20), (1, 2)), ((90, 100), (2, 2))])
def test_tiles_without_a_whole_view_are_the_tiles_of_the_later_code(july, pipes, size, grid):
    image = noise(size)
    made = july.processor([Sample([image], "what?")]).images
    later = pipes["460m"].processor
    later = Processor(
        dataclasses.replace(later.config, image=july.processor.config.image),  # which does not enlarge
        later.tokenizer, later.image_size, later.image_tokens,
    )  # fmt: skip
    with_whole = later([Sample([image], "what?")]).images
    assert len(made) == grid[0] * grid[1]
    assert torch.equal(made, with_whole[len(with_whole) - len(made) :])
    assert july.ask(image, "what?", max_new_tokens=2).tokens  # as many placeholders as visual tokens


def test_model_of_july_is_written_as_its_code_reads_it(july, tmp_path):
    july.export(tmp_path / "out")
    values = json.loads((tmp_path / "out" / "config.json").read_text("utf-8"))
    assert values["vlm_extra_tokens"] == JULY["vlm_extra_tokens"]
    assert "resize_to_max_side_len" not in values
    assert ojito.load(tmp_path / "out", "cpu", "float32").processor.config.prompt == july.processor.config.prompt


def text_of(row, tokenizer):
    """What stands in a row, special tokens by name."""
    names = tokenizers.Tokenizer.from_str(tokenizer._tokenizer.to_str())
    return "".join("<|image|>" if token == IMAGE else names.id_to_token(token) for token in row.tokens)


@pytest.mark.parametrize("golden", GOLDEN["460m"]["image_strings"])
def test_matches_reference_image_strings(pipes, golden):
    processor = pipes["460m"].processor
    grids = [(0, 0) if grid == [1, 1] else tuple(grid) for grid in golden["grids"]]
    writer = RowWriter(processor.config.prompt, processor.tokenizer, 2)
    row = writer.write(Sample([None] * len(grids), "what?"), training=False, grids=grids)
    expected = f"<|im_start|>user\n{golden['text']}what?<|im_end|>\n<|im_start|>assistant\n"
    assert text_of(row, processor.tokenizer) == expected


def test_chat_of_the_460m_is_that_of_its_template(pipes):
    transformers = pytest.importorskip("transformers")
    processor = pipes["460m"].processor
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=vocabulary(91), chat_template=GOLDEN["460m"]["config"]["lm_chat_template"]
    )
    turns = [Turn("what?", ("red",)), Turn("who?", ("I",))]
    messages = [{"role": "user", "content": "what?"}, {"role": "assistant", "content": "red"},
                {"role": "user", "content": "who?"}]  # fmt: skip
    row = processor.row(Sample(turns=tuple(turns)))
    assert row.tokens == tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    messages.append({"role": "assistant", "content": "I"})
    row = processor.row(Sample(turns=tuple(turns)), training=True)
    assert row.tokens == tokenizer.apply_chat_template(messages, return_dict=False)


def test_template_that_is_written_is_the_same_chat(pipes):
    transformers = pytest.importorskip("transformers")
    template = write_config(pipes["460m"].model.config, pipes["460m"].processor.config, 97)["lm_chat_template"]
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=vocabulary(91))
    messages = [{"role": role, "content": "a\nb "} for role in ("system", "user", "assistant", "user")]
    for asks in (True, False):
        made = [
            tokenizer.apply_chat_template(messages, chat_template=t, add_generation_prompt=asks, tokenize=False)
            for t in (template, GOLDEN["460m"]["config"]["lm_chat_template"])
        ]
        assert made[0] == made[1]


def test_222m_asks_after_its_image(pipes):
    processor = pipes["222m"].processor
    row = processor.row(Sample([Image.new("RGB", (20, 20))], "what?"))
    assert text_of(row, processor.tokenizer) == "<|image|>" * 4 + "Question: what? Answer:"
    assert (processor.tokenizer.eos, processor.tokenizer.pad) == (0, 0)


@pytest.mark.parametrize("chats", [False, True])
def test_450m_has_one_square_in_front_of_its_question(tmp_path, chats):
    template = GOLDEN["460m"]["config"]["lm_chat_template"] if chats else None
    pipe = ojito.load(released(tmp_path, "460m", {**B, "lm_chat_template": template}), "cpu", "float32")
    processor = pipe.processor
    row = processor.row(Sample([Image.new("RGB", (90, 40))], "what?"))
    asked = "<|im_start|>user\n{}what?<|im_end|>\n<|im_start|>assistant\n" if chats else "{}Question: what? Answer:"
    assert text_of(row, processor.tokenizer) == asked.format("<|image|>" * 4)
    assert processor.batch([row]).images.shape == (1, 3, 32, 32)
    assert processor.config.image.resample == "bilinear"
    assert (processor.tokenizer.eos, processor.tokenizer.pad) == (2, 2)  # whatever lm_eos_token_id says
    assert processor.tokenizer.parse("<|image|>") == [96]


def test_added_tokens_get_the_ids_of_the_release(tmp_path):
    folder = released(tmp_path, "460m", RELEASE)
    tokenizer = Tokenizer.read(folder / "tokenizer.json", describe(folder).processor.tokenizer)
    ids = {"<|image|>": 49152, "<|global_image|>": 49153, "<row_1_col_1>": 49154, "<row_2_col_1>": 49162,
           "<row_8_col_8>": 49217}  # fmt: skip
    assert {name: tokenizer.parse(name)[0] for name in ids} == ids
    assert (tokenizer.size, tokenizer.bos, tokenizer.eos, tokenizer.pad) == (49218, 1, 2, 2)


RELEASE = {
    "vit_hidden_dim": 768, "vit_inter_dim": 3072, "vit_patch_size": 16, "vit_img_size": 512, "vit_n_heads": 12,
    "vit_n_blocks": 12, "vit_ln_eps": 1e-6, "lm_hidden_dim": 960, "lm_inter_dim": 2560, "lm_rms_eps": 1e-5,
    "lm_re_base": 100000, "lm_max_position_embeddings": 8192, "lm_base_vocab_size": 49152, "extra_token_amount": 66,
    "lm_vocab_size": 49218, "lm_n_heads": 15, "lm_n_kv_heads": 5, "lm_n_blocks": 32, "mp_image_token_length": 64,
    "max_img_size": 2048, "vlm_extra_tokens": {
        "image_token": "<|image|>", "global_image_token": "<|global_image|>",
        **{f"r{r}c{c}": f"<row_{r}_col_{c}>" for r in range(1, 9) for c in range(1, 9)},
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("nanovlm-460m-8k", RELEASE),
        (
            "nanovlm-222m",
            {**RELEASE, "vit_img_size": 224, "lm_hidden_dim": 576, "lm_inter_dim": 1536, "lm_vocab_size": 49152,
             "lm_n_heads": 9, "lm_n_kv_heads": 3, "lm_n_blocks": 30, "mp_pixel_shuffle_factor": 2,
             "mp_image_token_length": None, "vlm_extra_tokens": None, "lm_base_vocab_size": None},
        ),
    ],
)  # fmt: skip
def test_preset_is_what_its_folder_says(tmp_path, name, changes):
    described, config = describe(released(tmp_path, "460m", changes)), preset(name)
    assert described.model == config.model
    assert described.processor.image == config.processor.image
    assert described.processor.prompt == config.processor.prompt
    for setting in ("bos", "eos", "pad", "special", "added"):
        assert getattr(described.processor.tokenizer, setting) == getattr(config.processor.tokenizer, setting)
    write_config(config.model, config.processor, config.model.decoder.vocab_size)  # and can be written as one
