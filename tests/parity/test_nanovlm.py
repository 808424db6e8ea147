"""nanoVLM's folders against numbers that its public code made: weights, pixels, rows, greedy answers, and the way back.

Each file in golden/ says which commit made it, with random weights of a size at which a mistake shows in the logits.
"""

import dataclasses
import json
import string
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import models, pre_tokenizers

import ojito
from ojito.checkpoint.files import CheckpointError, read_json
from ojito.checkpoint.folder import describe
from ojito.checkpoint.huggingface.families.nanovlm import write_config
from ojito.checkpoint.tensors import read_header
from ojito.config import ImageConfig, ModelConfig, ProcessorConfig
from ojito.generate import GenerateOptions, generate
from ojito.presets import preset
from ojito.processor import Processor, Tokenizer
from ojito.processor.prompts import RowWriter
from ojito.processor.tiles import whole_tiles
from ojito.records import IGNORE, IMAGE, PADDING, SHARED, Batch, Sample, Turn
from ojito.settings import ConfigError, override, read, write
from tests.noise import noise

GOLDEN = {name: json.loads((Path(__file__).parent / f"golden/nanovlm_{name}.json").read_text("utf-8"))
          for name in ("222m", "460m")}  # fmt: skip
CASES = [(name, case) for name, golden in GOLDEN.items() for case in golden["cases"]]
FREQUENCIES = "decoder.rotary_embd.inv_freq"
NAMES = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHARACTERS = string.ascii_letters + string.digits + " \n:?<>|_" + "!#$%&()*+,-./;=@[]^{}~"

# ---------------------------------------------------------------------------------------------------------- the folders


def frequencies(config):
    head = config["lm_hidden_dim"] // config["lm_n_heads"]
    return 1 / config["lm_re_base"] ** (torch.arange(0, head, 2).float() / head)


def weights(name):
    rng, config = np.random.default_rng(0), GOLDEN[name]["config"]
    return {
        key: frequencies(config)
        if key == FREQUENCIES
        else torch.from_numpy(rng.standard_normal(shape).astype(np.float32) * np.float32(0.5))
        for key, shape in GOLDEN[name]["keys"].items()
    }


def vocabulary(entries):
    """A tokenizer of so many entries: the three tokens of SmolLM2 and characters."""
    listed = [*NAMES, *CHARACTERS]
    listed = listed[:entries] + [f"entry {i}" for i in range(len(listed), entries)]
    made = tokenizers.Tokenizer(models.WordLevel({n: i for i, n in enumerate(listed)}, unk_token=NAMES[0]))
    made.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(r"[\s\S]"), behavior="isolated")
    made.add_special_tokens(NAMES)
    return made


def released(folder, name, changes=None, state=None):
    """A folder as nanoVLM writes it, and the vocabulary that it names beside it."""
    folder.mkdir(exist_ok=True)
    config = {**GOLDEN[name]["config"], **(changes or {})}
    config = {key: value for key, value in config.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(config, indent=4), "utf-8")
    save_file(weights(name) if state is None else state, folder / "model.safetensors", GOLDEN[name]["metadata"])
    vocabulary(config.get("lm_base_vocab_size", config["lm_vocab_size"])).save(str(folder / "tokenizer.json"))
    return folder


B = {"vlm_extra_tokens": {"image_token": "<|image|>"}, "lm_base_vocab_size": 96, "extra_token_amount": 1,
     "max_img_size": None, "resize_to_max_side_len": None, "lm_chat_template": None, "lm_eos_token_id": 0}  # fmt: skip
"""What the 450M's config.json has, over that of the 460M."""


@pytest.fixture(scope="module")
def pipes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("released")
    return {name: ojito.load(released(folder / name, name), "cpu", "float32") for name in GOLDEN}


def batch_of(name, case, image_tokens):
    """A golden case as ours: its placeholders become places; the 222M's image goes in front."""
    inputs = GOLDEN[name]["cases"][case]["inputs"]
    tokens = torch.tensor(inputs["input_ids"])
    mask = torch.tensor(inputs.get("attention_mask", torch.ones_like(tokens).tolist())).bool()
    if name == "222m":
        tokens = torch.cat([torch.full((len(tokens), image_tokens), IMAGE), tokens], 1)
        mask = torch.ones_like(tokens, dtype=torch.bool)
    else:
        tokens = tokens.masked_fill(tokens == GOLDEN[name]["extra_token_ids"]["<|image|>"], IMAGE)
    images = None
    if "image_seed" in inputs:
        values = np.random.default_rng(inputs["image_seed"]).random(inputs["image_shape"])
        images = torch.from_numpy(values.astype(np.float32))
    return Batch(
        tokens,
        (mask.cumsum(1) - 1).clamp(min=0),
        torch.where(mask, SHARED, PADDING),
        torch.zeros_like(mask),
        torch.full_like(tokens, IGNORE),
        images,
    )


def follow(batch, chosen):
    """The batch and one more token a row."""
    new = torch.tensor(chosen)[:, None]
    return Batch(
        torch.cat([batch.tokens, new], 1),
        torch.cat([batch.positions, batch.positions[:, -1:] + 1], 1),
        torch.cat([batch.segments, batch.segments[:, -1:]], 1),
        torch.cat([batch.prefix, batch.prefix[:, -1:]], 1),
        torch.cat([batch.targets, batch.targets[:, -1:]], 1),
        batch.images,
    )


# -------------------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(("name", "case"), CASES)
@torch.no_grad()
def test_matches_reference_logits(pipes, name, case):
    model, golden = pipes[name].model, GOLDEN[name]["cases"][case]
    tolerance = GOLDEN[name]["tolerance"]
    batch = batch_of(name, case, model.config.image_tokens)
    logits = model(batch)
    valid = logits[batch.segments != PADDING]
    expected = golden["logits"]
    assert list(valid.shape) == expected["shape"]
    assert valid.std() > 0.5
    close = {"rtol": 0, "atol": tolerance}
    torch.testing.assert_close(valid.flatten()[expected["at"]], torch.tensor(expected["values"]), **close)
    torch.testing.assert_close(logits[:, -1], torch.tensor(expected["last"]), **close)
    assert valid.double().abs().sum().item() == pytest.approx(expected["abs_sum"], rel=1e-6)
    if "visual" in golden:
        visual = model.encode(batch.images)
        assert list(visual.shape) == golden["visual"]["shape"]
        close["atol"] *= 10  # it is that much larger
        at = golden["visual"]["at"]
        torch.testing.assert_close(visual.flatten()[at], torch.tensor(golden["visual"]["values"]), **close)


@pytest.mark.parametrize(("name", "case"), CASES)
def test_matches_reference_greedy_with_the_cache(pipes, name, case):
    model = pipes[name].model
    rows = generate(model, batch_of(name, case, model.config.image_tokens), GenerateOptions(max_new_tokens=12), eos=())
    assert [row.tokens for row in rows] == GOLDEN[name]["cases"][case]["greedy"]


@pytest.mark.parametrize(("name", "case"), CASES)
@torch.no_grad()
def test_matches_reference_greedy_without_the_cache(pipes, name, case):
    model, expected = pipes[name].model, GOLDEN[name]["cases"][case]["greedy"]
    batch = batch_of(name, case, model.config.image_tokens)
    for step in range(12):
        chosen = model(batch)[:, -1].argmax(-1).tolist()
        assert chosen == [row[step] for row in expected]
        batch = follow(batch, chosen)


def test_matches_reference_greedy_up_to_the_end_token(pipes):
    golden = GOLDEN["460m"]["cases"]["padded_rows"]["greedy_with_eos"]
    end = golden["eos_token_id"]
    rows = generate(
        pipes["460m"].model, batch_of("460m", "padded_rows", 4), GenerateOptions(max_new_tokens=12), eos=end
    )
    assert [row.finish for row in rows] == ["eos", "length", "length"]
    # The reference goes on, and writes the end token over what comes.
    assert [row.tokens + [end] * (12 - len(row.tokens)) for row in rows] == golden["ids"]


def test_row_of_a_batch_equals_the_row_alone(pipes):
    model, whole = pipes["460m"].model, batch_of("460m", "padded_rows", 4)
    start = int((whole.segments[1] == PADDING).sum())
    alone = Batch(*(getattr(whole, n)[1:2, start:] for n in ("tokens", "positions", "segments", "prefix", "targets")))
    alone.images = whole.images[-1:]
    with torch.no_grad():
        torch.testing.assert_close(model(alone)[0], model(whole)[1, start:], rtol=0, atol=2e-5)


# --------------------------------------------------------------------------------------------------------------- pixels


def image(case):
    values = np.random.default_rng(case["seed"]).integers(0, 256, (case["height"], case["width"], 3), dtype=np.uint8)
    return Image.fromarray(values)


@pytest.mark.parametrize(
    ("name", "number"), [(name, i) for name, g in GOLDEN.items() for i in range(len(g["pixels"]["cases"]))]
)
def test_matches_reference_pixels(pipes, tmp_path, name, number):
    case = GOLDEN[name]["pixels"]["cases"][number]
    pipe = pipes[name]
    if name == "460m":
        count = case["max_img_size"] // case["side"]
        tokens = {"image_token": "<|image|>", "global_image_token": "<|global_image|>"}
        tokens |= {f"r{r}c{c}": f"<row_{r}_col_{c}>" for r in range(1, count + 1) for c in range(1, count + 1)}
        changes = {key: case[key] for key in ("max_img_size", "resize_to_max_side_len")}
        changes |= {"vlm_extra_tokens": tokens, "lm_base_vocab_size": 97 - len(tokens)}
        pipe = ojito.load(released(tmp_path, name, changes), "cpu", "float32")
    row = pipe.processor.row(Sample([image(case)], "what?"))
    made = pipe.processor.batch([row]).images
    if "grid" in case:
        assert [max(row.images[0].rows, 1), max(row.images[0].columns, 1)] == case["grid"]
    assert list(made.shape) == case["shape"]
    torch.testing.assert_close(made.flatten()[case["at"]], torch.tensor(case["values"]), rtol=0, atol=1e-6)
    assert made.double().sum().item() == pytest.approx(case["sum"], rel=1e-7)


@pytest.mark.parametrize("rule", GOLDEN["460m"]["resize"])
def test_matches_reference_resize(rule):
    config = ImageConfig("tiles", rule["max_img_size"], tiling="nanovlm", enlarge=rule["resize_to_max_side_len"])
    for (height, width), (new_height, new_width) in rule["sizes"]:
        assert whole_tiles(width, height, rule["tile"], config) == (new_width, new_height), (width, height)


# --------------------------------------------------------------------------------------------------- tiles of July 2025

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


# ----------------------------------------------------------------------------------------------------------------- rows


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


# ------------------------------------------------------------------------------------ whole pipes and the way back


def test_pipe_answers_as_its_rows_read_anew(pipes):
    pipe = pipes["460m"]
    sample = Sample([image({"seed": 1, "width": 70, "height": 30})], "what?")
    answer = pipe.generate([sample], max_new_tokens=6)[0]
    batch, chosen = pipe.processor([sample]), []
    assert batch.images.shape[0] == 1 + 2
    with torch.no_grad():
        for _ in range(6):
            chosen += pipe.model(batch)[:, -1].argmax(-1).tolist()
            batch = follow(batch, chosen[-1:])
    end = chosen.index(2) if 2 in chosen else 6
    assert list(answer.tokens) == chosen[:end]


@pytest.mark.parametrize("name", GOLDEN)
def test_saved_by_ojito_it_is_the_same_model(pipes, tmp_path, name):
    pipes[name].save(tmp_path)
    again = ojito.load(tmp_path, "cpu", "float32")
    sample = Sample([image({"seed": 1, "width": 70, "height": 30})], "what?")
    batches = [pipe.processor([sample]) for pipe in (pipes[name], again)]
    assert torch.equal(batches[0].tokens, batches[1].tokens)
    assert torch.equal(batches[0].images, batches[1].images)
    with torch.no_grad():
        assert torch.equal(pipes[name].model(batches[0]), again.model(batches[1]))


def written(folder, pipe, **options):
    """The pipe's folder in nanoVLM's form, the vocabulary beside it."""
    assert pipe.export(folder, **options).family == "nanovlm"
    return folder


@pytest.mark.parametrize("name", GOLDEN)
def test_written_tensors_are_those_of_the_reference(pipes, tmp_path, name):
    header = read_header(written(tmp_path / "made", pipes[name]))
    assert {key: list(entry.shape) for key, entry in header.items()} == GOLDEN[name]["keys"]
    assert {entry.dtype for entry in header.values()} == {"F32"}
    made = load_file(tmp_path / "made" / "model.safetensors")
    for key, tensor in weights(name).items():
        assert torch.equal(made[key], tensor), key


@pytest.mark.parametrize("name", GOLDEN)
def test_written_fields_are_those_of_the_reference(pipes, tmp_path, name):
    """Without those that say how the reference trains, and whose default its code has."""
    known, made = GOLDEN[name]["config"], read_json(written(tmp_path / "made", pipes[name]), "config.json")
    unread = {"vit_model_type", "lm_model_type", "lm_max_length", "lm_eos_token_id", "vlm_load_backbone_weights",
              "vlm_checkpoint_path", "hf_repo_name"}  # fmt: skip
    assert made.keys() == known.keys() - unread
    others = {"lm_tokenizer", "lm_chat_template"}
    assert {key: made[key] for key in made.keys() - others} == {key: known[key] for key in made.keys() - others}
    assert list(made.get("vlm_extra_tokens", ())) == list(known.get("vlm_extra_tokens", ()))  # they are in order


@pytest.mark.parametrize(
    ("name", "changes"),
    [("222m", {}), ("460m", {}), ("460m", B), ("460m", {"resize_to_max_side_len": False, "max_img_size": 32}),
     ("460m", {"lm_re_base": 500.5, "vit_dropout": 0.1, "lm_dropout": 0.2})],
)  # fmt: skip
def test_written_folder_reads_as_the_same_model(tmp_path, name, changes):
    state = weights(name)
    state[FREQUENCIES] = frequencies({**GOLDEN[name]["config"], **changes})
    first = ojito.load(released(tmp_path / "first", name, changes, state), "cpu", "float32")
    second = ojito.load(written(tmp_path / "second", first), "cpu", "float32")
    assert second.model.config == first.model.config
    assert describe(tmp_path / "second").processor.prompt == first.processor.config.prompt
    assert second.processor.config.image == first.processor.config.image
    assert (second.processor.tokenizer.size, second.processor.tokenizer.ends) == (97, first.processor.tokenizer.ends)
    for key, tensor in first.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[key]), key


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_dtype_is_that_of_all_but_the_frequencies(pipes, tmp_path, dtype):
    loaded = ojito.load(released(tmp_path / "first", "460m"), "cpu", "float32" if dtype else "bfloat16")
    header = read_header(written(tmp_path / "second", loaded, dtype=dtype))
    assert {key for key, entry in header.items() if entry.dtype == "F32"} == {FREQUENCIES}
    assert {entry.dtype for entry in header.values()} == {"F32", "BF16"}
    assert ojito.load(tmp_path / "second", "cpu", "bfloat16").model.config == pipes["460m"].model.config


def test_export_tells_of_the_bytes_that_are_written(pipes, tmp_path):
    told = []
    written(tmp_path, pipes["222m"], progress=lambda *bytes_: told.append(bytes_))
    assert told[-1] == (sum(tensor.nbytes for tensor in weights("222m").values()),) * 2


def test_head_of_its_own_is_read_and_written(tmp_path):
    state = weights("222m")
    state["decoder.token_embedding.weight"] = 2 * state["decoder.head.weight"]
    pipe = ojito.load(released(tmp_path / "first", "222m", {"lm_tie_weights": False}, state), "cpu", "float32")
    assert torch.equal(pipe.model.decoder.embedding.weight, 2 * pipe.model.decoder.untied_head.weight)
    made = load_file(written(tmp_path / "second", pipe) / "model.safetensors")
    assert made.keys() == state.keys()
    assert all(torch.equal(made[key], tensor) for key, tensor in state.items())


@pytest.mark.parametrize("names", [("token_embedding",), ("head", "token_embedding")])
def test_embedding_is_read_by_either_name(tmp_path, names):
    state = weights("222m")
    embedding = state.pop("decoder.head.weight")
    state |= {f"decoder.{name}.weight": embedding.clone() for name in names}
    pipe = ojito.load(released(tmp_path, "222m", state=state), "cpu", "float32")
    assert torch.equal(pipe.model.decoder.embedding.weight, embedding)


# ------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: None, ""),
        (lambda f: f.bfloat16(), ""),
        (lambda f: f * 1.05, "has another decoder.rotary_embd.inv_freq than config.json beside it makes"),
        (lambda f: f[:2], "has another decoder.rotary_embd.inv_freq"),
        (lambda f: f.int(), "has another decoder.rotary_embd.inv_freq"),
    ],
    ids=["missing", "rounded", "other", "fewer", "whole"],
)
def test_frequencies_are_compared_where_they_are_there(tmp_path, change, message):
    state = weights("460m")
    changed = change(state.pop(FREQUENCIES))
    if changed is not None:
        state[FREQUENCIES] = changed
    folder = released(tmp_path, "460m", state=state)
    if not message:
        ojito.load(folder, "cpu", "float32")
        return
    with pytest.raises(CheckpointError, match=message):
        ojito.load(folder, "cpu", "float32")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lm_use_tokens": True}, "lm_use_tokens is 'True'; Ojito has only False"),
        ({"vit_cls_flag": True}, "vit_cls_flag is 'True'"),
        ({"lm_attn_scaling": 1.1}, "lm_attn_scaling is '1.1'"),
        ({"mp_image_token_length": 5}, "mp_image_token_length is '5'; Ojito has only 4"),
        ({"mp_pixel_shuffle_factor": 0}, "mp_pixel_shuffle_factor is '0'; a whole number greater than 0 is needed"),
        ({"vit_n_blocks": None}, "vit_n_blocks is 'None'"),
        ({"mp_pixel_shuffle_factor": 3}, "model.connector.factor: 3 does not divide"),
        ({"max_img_size": 70}, "max_img_size is '70'; whole tiles of vit_img_size 32 are needed"),
        ({"max_img_size": 96}, "vlm_extra_tokens is 'None'; Ojito has only <row_1_col_3> for r1c3"),
        (
            {"vlm_extra_tokens": {"image_token": "<i>", "r1c1": "<row_1_col_1>"}},
            "Ojito has only <row_1_col_2> for r1c2",
        ),
        ({"vlm_extra_tokens": {"image_token": "<i>", "other": "<o>"}}, "those of the releases 450M, 230M-8k and 460M"),
        ({"vlm_extra_tokens": {"r1c1": "<row_1_col_1>"}}, "image_token among them, are needed"),
        ({"vlm_extra_tokens": {"image_token": 3}}, "image_token among them, are needed"),
        ({"lm_chat_template": "{{ messages }}"}, "Ojito has only chats with <|im_start|> and <|im_end|>"),
        ({"lm_base_vocab_size": 90}, "tokenizer.json: has 97 entries with the added tokens"),
    ],
)
def test_what_cannot_be_followed_is_refused_by_name(tmp_path, changes, message):
    folder = released(tmp_path, "460m", changes)
    vocabulary(91).save(str(folder / "tokenizer.json"))
    with pytest.raises((CheckpointError, ConfigError)) as caught:
        describe(folder)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("name", GOLDEN)
def test_folder_without_its_vocabulary_says_where_that_is(tmp_path, name):
    folder = released(tmp_path, name, {"lm_tokenizer": "owner/words"})
    (folder / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError) as caught:
        ojito.load(folder)
    assert str(caught.value) == (
        f"{folder}: has no tokenizer.json, and nanoVLM's folders bring none; copy that of "
        "https://huggingface.co/owner/words there, which its lm_tokenizer names"
    )


def test_names_of_tokens_come_from_the_file_beside_the_vocabulary(tmp_path):
    folder = released(tmp_path, "222m")
    values = {"eos_token": "<|im_end|>", "pad_token": None, "bos_token": {"content": "<|im_start|>"}}
    (folder / "tokenizer_config.json").write_text(json.dumps(values), "utf-8")
    tokenizer = ojito.load(folder, "cpu").processor.tokenizer
    assert (tokenizer.eos, tokenizer.pad, tokenizer.bos) == (2, 0, 1)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.vision.activation=gelu", "model.vision.activation: is 'gelu', and nanoVLM's is 'gelu_tanh'"),
        ("model.decoder.query_bias=true", "model.decoder.query_bias: is True"),
        ("model.decoder.head_dim=8", "model.decoder.head_dim: is 8, and nanoVLM's is 6"),
        ("model.connector.bias=true", "model.connector.bias: is True"),
        ("model.connector.project=mlp", "model.connector.project: is 'mlp'"),
        ("processor.image.resample=lanczos", "processor.image.resample: is 'lanczos', and nanoVLM's is 'bicubic'"),
        ("processor.image.mean=[0.5,0.5,0.5]", "processor.image.mean: is [0.5, 0.5, 0.5]"),
        ("processor.prompt.whole=last", "processor.prompt.whole: is 'last', and nanoVLM's is 'first'"),
        ("processor.prompt.separator=.", "processor.prompt.separator: is '.'"),
    ],
)
def test_what_nanovlm_has_not_is_not_written(pipes, setting, message):
    pipe = pipes["460m"]
    values = {"model": write(pipe.model.config), "processor": write(pipe.processor.config)}
    values = override(values, [setting])
    model, processor = read(ModelConfig, values["model"]), read(ProcessorConfig, values["processor"])
    with pytest.raises(CheckpointError) as caught:
        write_config(model, processor, 97)
    assert message in str(caught.value)
    assert str(caught.value).endswith(
        "; stay with Ojito: `save` keeps it as it is, and so does `ojito convert --to ojito`"
    )
