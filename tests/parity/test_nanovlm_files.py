"""nanoVLM's folders: read, written, and refused."""

import json

import pytest
import torch
from safetensors.torch import load_file

import ojito
from ojito.checkpoint.files import CheckpointError, read_json
from ojito.checkpoint.folder import describe
from ojito.checkpoint.huggingface.families.nanovlm import write_config
from ojito.checkpoint.tensors.header import read_header
from ojito.config import ModelConfig, ProcessorConfig
from ojito.records import Sample
from ojito.settings import ConfigError, override, read, write
from tests.parity.nanovlm import FREQUENCIES, GOLDEN, B, follow, frequencies, image, released, vocabulary, weights


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
