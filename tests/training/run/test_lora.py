"""`ojito.train` by LoRA: what is written, that it loads, and how it is gone on with."""

import json

import pytest
import torch
from safetensors.torch import load_file

import ojito
from ojito.checkpoint.files import CheckpointError
from ojito.settings import ConfigError

LORA = ["train.lora.rank=2", "train.lora_lr=0.01", "train.lora.parts=[decoder]", "train.freeze=[vision]"]


@pytest.fixture
def base(train, tmp_path):
    """A folder of a model that has learned."""
    train(out=tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture
def adapter(train, base, recipe, tmp_path):
    """A folder that training by LoRA leaves, and its result."""
    result = train(base, out=tmp_path / "adapter", settings=LORA)
    return tmp_path / "adapter", result


def state(folder, **options):
    return ojito.load(folder, device="cpu", dtype="float32", **options).model.state_dict()


def differ(a, b):
    return {name for name in a if not torch.equal(a[name], b[name])}


def test_out_holds_the_adapter_and_what_is_needed_to_ask_it(adapter, base):
    folder, _ = adapter
    there = {path.name for path in folder.iterdir()}
    assert there >= {"adapter_config.json", "adapter_model.safetensors", "learned.json", "processor.json"}
    assert there >= {"recipe.yaml", "tokenizer.json", "metrics.jsonl"}
    assert not there & {"config.json", "model.safetensors"}
    values = json.loads((folder / "adapter_config.json").read_text())
    assert values["base_model_name_or_path"] == str(base.resolve())
    assert values["modules_to_save"] == ["connector"]
    names = {name.removeprefix("base_model.model.") for name in load_file(folder / "adapter_model.safetensors")}
    assert {name.partition(".")[0] for name in names} == {"connector", "decoder"}
    assert all(".lora_" in name for name in names if name.startswith("decoder"))


def test_bytes_of_the_base_stay(adapter, base, train, tmp_path):
    _, result = adapter
    before = load_file(base / "model.safetensors")
    after = result.pipeline.model.state_dict()
    changed = differ({name: before[name] for name in before if not name.startswith("connector.")}, after)
    assert not changed
    assert differ({name: before[name] for name in before if name.startswith("connector.")}, after)


def test_folder_loads_as_the_model_that_was_trained(adapter, base, tmp_path):
    folder, result = adapter
    loaded, image = ojito.load(folder, device="cpu", dtype="float32"), tmp_path / "a.png"
    batch = loaded.processor([ojito.Sample([str(image)], "")])
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(batch), result.pipeline.model(batch), atol=1e-5, rtol=1e-5)
    assert loaded.ask(image, "").text == result.pipeline.ask(image, "").text
    assert loaded.config.train.lora.rank == 2
    assert loaded.learned.captions
    assert differ(state(base), state(folder))


def test_pipeline_merges_its_adapters(adapter, tmp_path):
    folder, result = adapter
    result.pipeline.merge()
    result.pipeline.save(tmp_path / "merged")
    assert (tmp_path / "merged" / "model.safetensors").is_file()
    merged, loaded = state(tmp_path / "merged"), state(folder)
    assert all(torch.allclose(merged[name], loaded[name], atol=1e-6) for name in merged)
    assert result.pipeline.prepared() is not result.pipeline.model


def test_adapter_goes_on_learning(train, adapter, tmp_path):
    folder, _ = adapter
    result = train(folder, out=tmp_path / "further")
    first, second = (load_file(one / "adapter_model.safetensors") for one in (folder, tmp_path / "further"))
    assert first.keys() == second.keys()
    assert differ(first, second)
    values = json.loads((tmp_path / "further" / "adapter_config.json").read_text())
    assert values == json.loads((folder / "adapter_config.json").read_text())
    assert result.pipeline.model.adapters.whole == {"connector"}


def test_adapter_that_goes_on_begins_where_it_was(train, adapter):
    folder, before = adapter
    result = train(folder, settings=["train.lora_lr=1e-30", "train.lr=1e-30", "train.weight_decay=0"])
    assert not differ(before.pipeline.model.state_dict(), result.pipeline.model.state_dict())


def test_rank_zero_merges_the_adapter_and_trains_the_whole(train, adapter, tmp_path):
    folder, _ = adapter
    result = train(folder, out=tmp_path / "whole", settings=["train.lora.rank=0", "train.freeze=[]"])
    assert result.pipeline.model.adapters is None
    assert (tmp_path / "whole" / "model.safetensors").is_file()
    assert differ(state(folder), state(tmp_path / "whole")) == {*state(folder)}


@pytest.mark.parametrize("change", ["train.lora.rank=4", "train.lora.alpha=3", "train.lora.rslora=true"])
def test_adapter_of_another_form_than_the_recipe_is_refused(train, adapter, change):
    with pytest.raises(CheckpointError, match=r"is an adapter of .* and train.lora asks for .*; leave it as it is"):
        train(adapter[0], settings=[change])


def test_model_whose_decoder_learned_in_full_is_saved_whole(train, base, tmp_path):
    train(base, out=tmp_path / "out", settings=["train.lora.rank=2", "train.lora.parts=[vision]"])
    assert (tmp_path / "out" / "model.safetensors").is_file()
    assert state(tmp_path / "out").keys() == state(base).keys()


def test_model_that_is_in_no_folder_is_saved_whole(train, base, tmp_path):
    pipe = ojito.load(base, device="cpu", dtype="float32")
    before = {name: tensor.clone() for name, tensor in pipe.model.state_dict().items()}
    result = train(pipe, out=tmp_path / "out", settings=LORA)
    assert (tmp_path / "out" / "model.safetensors").is_file()
    assert differ(before, state(tmp_path / "out"))
    # Gone on with in full, it has no adapters any more, and no base.
    again = train(result.pipeline, settings=["train.lora.rank=0"])
    assert again.pipeline.model.adapters is None
    assert again.pipeline.base is None


def test_model_of_another_shape_than_its_folders_is_saved_whole(train, base, tmp_path):
    train(base, out=tmp_path / "out", settings=[*LORA, "model.decoder.dropout=0.1"])
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_adapters_of_parts_with_random_weights_are_refused(train):
    with pytest.raises(
        ConfigError, match=r"^train\.lora\.parts: gives adapters to the decoder, which begins with random"
    ):
        train(settings=["train.lora.rank=2", "train.lora.parts=[decoder]"])


def test_adapter_of_one_run_is_replaced_by_that_of_another(train, base, adapter, tmp_path):
    folder, _ = adapter
    before = state(folder)
    train(base, out=folder, force=True, settings=[*LORA, "train.seed=5"])
    assert differ(before, state(folder))
    train(base, out=folder, force=True)
    assert not [*folder.glob("adapter*")]
    train(base, out=folder, force=True, settings=LORA)
    assert not [*folder.glob("model*")]
    assert not (folder / "config.json").exists()


def test_announcement_says_what_learns(train, base, capsys):
    train(base, settings=LORA, quiet=False)
    said = capsys.readouterr()
    assert "by LoRA of rank 2 in 14 layers of the decoder; connector in full; vision not at all" in said.out + said.err


def test_recipe_of_an_adapter_of_others_keeps_what_it_did_not_train(adapter):
    from ojito.loading import recipe_of

    folder, _ = adapter
    (folder / "recipe.yaml").unlink()
    config = recipe_of(folder)
    assert config.train.freeze == ("vision",)
    assert (config.train.lora.rank, config.train.lora.parts) == (2, ("decoder",))


def test_weights_merged_in_full_are_those_of_the_adapters(train, base, tmp_path):
    result = train(base, out=tmp_path / "out", settings=["train.lora.rank=2", "train.lora_lr=0.01"])
    assert result.pipeline.model.adapters.whole == set()
    assert {name.partition(".")[0] for name in differ(state(base), state(tmp_path / "out"))} == {
        "vision", "connector", "decoder",
    }  # fmt: skip
    values = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert values["modules_to_save"] is None


def test_saved_bytes_are_those_of_the_adapter(adapter, base):
    folder, result = adapter
    written = sum(tensor.nbytes for tensor in load_file(folder / "adapter_model.safetensors").values())
    assert result.pipeline.saved_bytes() == written
    whole = ojito.load(base, device="cpu", dtype="float32")
    assert whole.saved_bytes() == sum(tensor.nbytes for tensor in whole.model.state_dict().values())


@pytest.mark.parametrize("settings", [LORA, ["train.lora.rank=2", "train.lora.dropout=0.2"]])
def test_run_that_was_interrupted_ends_as_one_that_was_not(train, base, tmp_path, settings):
    settings = [*settings, "train.steps=6", "train.save_every=1"]
    train(base, out=tmp_path / "whole", settings=settings)

    def stop(state):
        if state.clock.step == 3:
            raise KeyboardInterrupt

    train(base, out=tmp_path / "parts", settings=settings, on_step=stop, resume="auto")
    train(base, out=tmp_path / "parts", settings=settings, resume="auto")
    whole, parts = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("whole", "parts"))
    assert not differ(whole, parts)


def test_folder_of_the_base_stays_a_whole_model(train, base):
    before = state(base)
    train(base, out=base, force=True, settings=LORA)
    assert (base / "model.safetensors").is_file()
    assert not [*base.glob("adapter*")]
    assert differ(before, state(base))
