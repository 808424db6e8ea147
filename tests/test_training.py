import dataclasses
import itertools
import json
import random
import shutil
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from PIL import Image

import ojito
from ojito.checkpoint.files import CheckpointError
from ojito.config import DataConfig, TokenizerConfig
from ojito.data import Batches, Scenes, open_data
from ojito.errors import OjitoError
from ojito.evaluation import Report
from ojito.pipeline import Pipeline
from ojito.settings import ConfigError
from ojito.threads import Threads
from ojito.trainer import TrainingError, last_good
from ojito.training import prepare


@pytest.fixture
def recipe(tiny_config, tmp_path):
    """Two images of one's own with captions."""
    for name, colour in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (20, 20), colour).save(tmp_path / f"{name}.png")
    rows = [{"image": f"{name}.png", "caption": text} for name, text in (("a", "zebra"), ("b", "quokka"))]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return dataclasses.replace(tiny_config, data=DataConfig(path=str(tmp_path / "rows.jsonl")))


def test_prepare_learns_the_tokenizer_from_the_training_text(recipe):
    _, processor = prepare(recipe, open_data(recipe), "cpu")
    encode = processor.tokenizer.encode
    assert processor.decode(encode("zebra quokka")[:5]) == "zebra"
    assert set(encode("xyz")) & set(encode("x"))  # never met: all the unknown token
    assert processor.tokenizer.size == len(set("zebraquokkacaption\n")) + 4


def test_prepare_makes_a_model_and_a_processor_that_fit(recipe):
    model, processor = prepare(recipe, open_data(recipe), "cpu")
    assert processor.image_size == 16
    assert processor.image_tokens == recipe.model.image_tokens
    batch = processor(open_data(recipe).samples("train"), training=True)
    assert model(batch).shape == (*batch.tokens.shape, recipe.model.decoder.vocab_size)


def test_prepare_draws_the_same_weights_for_the_same_seed_alone(recipe):
    def weight(seed):
        config = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, seed=seed))
        return prepare(config, open_data(config), "cpu")[0].decoder.embedding.weight

    assert torch.equal(weight(1), weight(1))
    assert not torch.equal(weight(1), weight(2))


def test_prepare_limits_the_tokenizer_to_its_vocab_size(recipe):
    tokenizer = TokenizerConfig(kind="characters", vocab_size=9)
    config = dataclasses.replace(recipe, processor=dataclasses.replace(recipe.processor, tokenizer=tokenizer))
    assert prepare(config, open_data(config), "cpu")[1].tokenizer.size == 9


def test_prepare_refuses_a_tokenizer_that_is_larger_than_the_decoders_vocabulary(recipe, tmp_path):
    _, processor = prepare(recipe, open_data(recipe), "cpu")
    processor.tokenizer.save(tmp_path / "tokenizer.json")
    tokenizer = TokenizerConfig(kind="file", path=str(tmp_path / "tokenizer.json"))
    decoder = dataclasses.replace(recipe.model.decoder, vocab_size=8)
    config = dataclasses.replace(
        recipe,
        model=dataclasses.replace(recipe.model, decoder=decoder),
        processor=dataclasses.replace(recipe.processor, tokenizer=tokenizer),
    )
    size = processor.tokenizer.size
    with pytest.raises(ConfigError, match=rf"vocab_size: 8 is less than the tokenizer's {size} entries; use {size} or"):
        prepare(config, open_data(config), "cpu")


def test_prepare_reads_the_first_samples_of_a_source_without_end(tiny_config, monkeypatch):
    monkeypatch.setattr("itertools.islice", lambda rows, count, islice=itertools.islice: islice(rows, min(count, 5)))
    _, processor = prepare(tiny_config, Scenes(), "cpu")
    assert processor.tokenizer.size > 10


def test_prepare_names_a_device_that_is_not_there(recipe):
    with pytest.raises(ValueError, match="'gpu' is not one of"):
        prepare(recipe, open_data(recipe), "gpu")


def test_prepare_and_open_data_take_a_source_of_ones_own(recipe):
    rows = open_data(recipe).rows

    class Mine:
        name, problems = "mine", ()

        def samples(self, split, limit=None):
            return rows

    _, processor = prepare(recipe, Mine(), "cpu")
    assert processor.decode(processor.tokenizer.encode("zebra")) == "zebra"


# --------------------------------------------------------------------------------------------------------------- train


def differ(a, b):
    a, b = a.model.state_dict(), b.model.state_dict()
    return [name for name in a if not torch.equal(a[name], b[name])]


@pytest.fixture
def train(recipe):
    """`ojito.train` with the recipe, for some steps, without display."""

    def run(start=None, *args, settings=(), **options):
        return ojito.train(
            recipe if start is None else start,
            *args,
            settings=["train.steps=3", "train.batch_size=2", "train.log_every=1", *settings],
            **{"device": "cpu", "quiet": True, **options},
        )

    return run


@pytest.fixture
def dev(tmp_path):
    """A file of rows with an evaluation split."""
    rows = [{"image": "a.png", "caption": "zebra", "split": split} for split in ("train", "dev")]
    (tmp_path / "split.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "split.jsonl"


def test_verb_and_its_rooms_do_not_share_a_name():
    import ojito.evaluation.runner
    import ojito.trainer.loop

    assert callable(ojito.train)
    assert callable(ojito.evaluate)
    assert ojito.trainer.loop.fit is ojito.fit


def test_train_learns_saves_and_returns_a_model_that_answers(train, tmp_path):
    result = train(out=tmp_path / "mine", settings=["train.steps=40"])
    assert result.history.log[-1]["loss"] < 0.5 * result.history.log[0]["loss"]
    assert (result.history.steps, result.out, result.scores, result.problems) == (40, tmp_path / "mine", None, ())
    loaded = ojito.load(tmp_path / "mine", device="cpu", dtype="float32")
    assert not differ(result.pipeline, loaded)
    assert loaded.config.train.steps == 40
    assert len((tmp_path / "mine" / "metrics.jsonl").read_text().splitlines()) == 40
    image = tmp_path / "a.png"
    assert result.pipeline.ask(image, "").text == loaded.ask(image, "").text


def test_train_without_a_folder_writes_nothing(train, tmp_path):
    before = {path.name for path in tmp_path.iterdir()}
    result = train()
    assert result.out is None
    assert {path.name for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("form", ["path", "text", "source", "samples"])
def test_data_may_be_a_path_a_source_or_samples(train, recipe, form):
    path = recipe.data.path
    forms = {"path": Path(path), "text": path, "source": open_data(recipe), "samples": open_data(recipe).rows}
    result = train(dataclasses.replace(recipe, data=DataConfig(path="nothing")), forms[form])
    assert not differ(result.pipeline, train().pipeline)
    assert result.pipeline.config.data.path == {"source": "rows.jsonl", "samples": "samples"}.get(form, path)


def test_start_may_be_the_name_of_a_preset(train, recipe):
    small = ["model.vision.layers=1", "model.decoder.layers=1", "train.minutes=0"]
    result = train("tiny", recipe.data.path, settings=small)
    assert result.pipeline.name == "tiny"
    assert result.pipeline.config.data.path == recipe.data.path


def test_folder_as_start_goes_on_with_its_weights_and_recipe(train, tmp_path):
    first = train(out=tmp_path / "mine")
    again = train(tmp_path / "mine", settings=["train.lr=1e-12", "train.weight_decay=0"])
    assert again.pipeline.config.train.lr == 1e-12
    assert again.pipeline.config.data == first.pipeline.config.data
    for name, tensor in first.pipeline.model.state_dict().items():
        torch.testing.assert_close(again.pipeline.model.state_dict()[name], tensor, rtol=0, atol=1e-9)


def test_weights_go_into_the_recipe_that_is_given(train, recipe, tmp_path):
    first = train(out=tmp_path / "mine")
    config = dataclasses.replace(first.pipeline.config, name="other")
    again = train(config, weights=tmp_path / "mine", settings=["train.lr=1e-12", "train.weight_decay=0"])
    assert again.pipeline.name == "other"
    name = "decoder.embedding.weight"
    expected = first.pipeline.model.state_dict()[name]
    torch.testing.assert_close(again.pipeline.model.state_dict()[name], expected, rtol=0, atol=1e-9)
    with pytest.raises(OjitoError, match="weights: go with a recipe as start"):
        train(tmp_path / "mine", weights=tmp_path / "mine")


def test_pipeline_as_start_is_trained_in_place(train):
    pipe = train().pipeline
    before = pipe.model.decoder.embedding.weight.clone()
    result = train(pipe, settings=["train.seed=4"])
    assert result.pipeline.model is pipe.model
    assert result.pipeline.config.train.seed == 4
    assert not torch.equal(before, pipe.model.decoder.embedding.weight)


def test_pipeline_that_cannot_be_trained_is_refused(train):
    pipe = train().pipeline
    with pytest.raises(ConfigError, match="model: is another than that of the Pipeline"):
        train(pipe, settings=["model.decoder.norm_eps=0.5"])
    pipe.model.to(torch.bfloat16)
    with pytest.raises(OjitoError, match=r'start: .* has weights in bfloat16; load it with dtype="float32"'):
        train(pipe)


def test_scores_are_those_after_the_last_step(train, dev):
    assert train(data=dev).scores["n"] == 1
    assert train(data=dev, evaluate=False).scores is None
    assert train(data=dev, settings=["data.eval_split=other"]).scores is None
    scored = []
    result = train(data=dev, settings=["train.eval_every=3"], on_eval=scored.append)
    assert scored == result.history.evaluations
    assert result.scores == {name: scored[0][name] for name in result.scores}
    assert result.scores["n"] == 1


@pytest.fixture
def many(tmp_path):
    """A file of 40 images without a split, and a question about each."""
    rows = []
    for number in range(40):
        Image.new("RGB", (8, 8), (6 * number, 0, 0)).save(tmp_path / f"{number}.png")
        rows.append({"image": f"{number}.png", "question": "which one?", "answer": "zebra"})
    (tmp_path / "many.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "many.jsonl"


def test_rows_without_a_split_are_held_out_and_scored(train, many, tmp_path, capsys):
    result = train(data=many, out=tmp_path / "mine", quiet=False)
    assert (result.scores["n"], result.split, result.held_out) == (8, "dev", 8)
    assert "held out 8 of 40 rows, by image" in capsys.readouterr().err
    learned = ojito.load(tmp_path / "mine", device="cpu").learned
    assert (len(learned.learned), len(learned.held_out), learned.kinds) == (32, 8, {"question": 32})
    off = train(data=many, settings=["data.hold_out=0"])
    assert (off.scores, off.split, off.held_out) == (None, "", 0)


def test_rows_that_are_scored_although_their_images_were_learned_are_counted(train, dev, many):
    assert train(data=dev).learned == 1
    assert train(data=many).learned == 0


def test_training_that_goes_on_holds_out_the_same_rows(train, many, tmp_path):
    first = train(data=many, out=tmp_path / "mine").pipeline
    for start in (tmp_path / "mine", first):
        again = train(start, settings=["train.seed=7"])
        assert again.held_out == 8
        assert again.pipeline.learned.held_out == first.learned.held_out
        assert again.pipeline.learned.kinds == {"question": 64}


def test_seed_of_training_draws_the_rows_of_an_evaluation(train, many, monkeypatch):
    drawn = []

    def evaluate(pipe, rows, **options):
        drawn.append([row.origin for row in rows])
        return Report(())

    monkeypatch.setattr("ojito.training.scoring.evaluate", evaluate)
    lines = [
        json.loads(line) | {"split": split} for line in many.read_text().splitlines() for split in ("train", "dev")
    ]
    many.write_text("\n".join(map(json.dumps, lines)))
    for seed in (0, 0, 1):
        train(data=many, settings=["train.eval_samples=3", f"train.seed={seed}"])
    assert drawn[0] == drawn[1] != drawn[2]
    assert {len(rows) for rows in drawn} == {3}


@pytest.mark.parametrize("name", ["val", "valid", "validation", "test"])
def test_other_usual_names_of_the_evaluation_split_are_understood(train, dev, name):
    dev.write_text(dev.read_text().replace('"dev"', f'"{name}"'))
    result = train(data=dev)
    assert (result.split, result.scores["n"]) == ("test" if name == "test" else "dev", 1)


@pytest.mark.parametrize("bad", [{"image": "bad.png", "caption": "x"}, {"image": "a.png", "question": "z" * 600}])
def test_row_that_cannot_be_asked_does_not_end_the_training(train, dev, tmp_path, capsys, bad):
    (tmp_path / "bad.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    good = dev.read_text()
    bad = json.dumps({"answer": "x", "split": "dev"} | bad)
    if "caption" in bad:
        bad = bad.replace('"answer": "x", ', "")
    dev.write_text(good.replace('"dev"', '"train"') + "\n" + bad)
    settings = ["data.max_bad=0.5", "train.eval_every=1"]
    result = train(data=dev, settings=settings, quiet=False)
    assert (result.history.steps, result.scores, result.split) == (3, None, "dev")
    assert [problem.split(":")[:2] for problem in result.problems] == [["split.jsonl", "3"]]
    assert capsys.readouterr().err.count("not asked in the evaluation: split.jsonl:3") == 1
    dev.write_text(good + "\n" + bad)
    result = train(data=dev, settings=settings)
    assert (result.scores["n"], len(result.problems)) == (1, 1)


def test_callbacks_hear_of_the_run_and_may_stop_it(train, tmp_path):
    steps, lines = [], []
    result = train(out=tmp_path / "mine", on_step=lambda state: steps.append(state.clock.step), on_log=lines.append)
    assert steps == [line["step"] for line in lines] == [1, 2, 3]
    result = train(on_log=lambda line: "stop" if line["step"] == 2 else None)
    assert (result.history.steps, result.history.stopped) == (2, True)


def test_model_that_is_there_stays_unless_force_is_given(train, tmp_path):
    train(out=tmp_path / "mine")
    before = (tmp_path / "mine" / "model.safetensors").read_bytes()
    with pytest.raises(OjitoError, match="holds a model already; choose another folder, or replace it with force=True"):
        train(out=tmp_path / "mine", settings=["train.seed=5"])
    assert (tmp_path / "mine" / "model.safetensors").read_bytes() == before
    train(out=tmp_path / "mine", settings=["train.seed=5"], force=True)
    assert (tmp_path / "mine" / "model.safetensors").read_bytes() != before
    assert len((tmp_path / "mine" / "metrics.jsonl").read_text().splitlines()) == 6  # nothing of the first run is lost


def test_folder_that_is_a_file_is_refused_before_training(train, tmp_path):
    for out in (tmp_path / "a.png", tmp_path / "a.png" / "mine"):
        with pytest.raises(OjitoError, match="a file; give a folder"):
            train(out=out)


def test_metrics_may_go_elsewhere(train, tmp_path):
    train(out=tmp_path / "mine", metrics=tmp_path / "log")
    assert (tmp_path / "log" / "metrics.jsonl").is_file()
    assert not (tmp_path / "mine" / "metrics.jsonl").exists()


def test_run_that_fails_leaves_its_last_good_weights(train, tmp_path, capsys):
    def fail(state):
        if state.clock.step == 2:
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        train(out=tmp_path / "mine", on_step=fail, quiet=False)
    assert f"the last good weights are in {tmp_path / 'mine'}" in capsys.readouterr().err
    assert ojito.load(tmp_path / "mine", device="cpu").config.train.steps == 3


def test_run_that_fails_beside_a_model_leaves_its_weights_beside_it(train, tmp_path, capsys):
    def fail(state):
        raise RuntimeError("out of memory")

    train(out=tmp_path / "mine")
    before = (tmp_path / "mine" / "model.safetensors").read_bytes()
    for name in ("mine-failed", "mine-failed-2"):
        with pytest.raises(RuntimeError, match="out of memory"):
            train(out=tmp_path / "mine", force=True, on_step=fail, quiet=False)
        assert f"the last good weights are in {tmp_path / name}" in capsys.readouterr().err
        assert ojito.load(tmp_path / name, device="cpu").config.train.steps == 3
    assert (tmp_path / "mine" / "model.safetensors").read_bytes() == before


def test_run_that_fails_before_its_first_step_says_that_the_model_stays(train, tmp_path, capsys, monkeypatch):
    train(out=tmp_path / "mine")
    before = (tmp_path / "mine" / "model.safetensors").read_bytes()
    monkeypatch.setattr(Batches, "__next__", lambda batches: pytest.fail("broken rows"))
    with pytest.raises(pytest.fail.Exception):
        train(out=tmp_path / "mine", force=True, quiet=False)
    assert f"the weights in {tmp_path / 'mine'} are those of before" in capsys.readouterr().err
    assert (tmp_path / "mine" / "model.safetensors").read_bytes() == before


def test_weights_that_a_failed_run_cannot_save_are_called_lost(train, tmp_path, capsys, monkeypatch):
    def fail(state):
        raise RuntimeError("out of memory")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ojito.pipeline.save_model", full)
    with pytest.raises(RuntimeError, match="out of memory"):
        train(out=tmp_path / "mine", on_step=fail, quiet=False)
    assert "the last good weights are lost: " in capsys.readouterr().err


def test_save_that_fails_at_the_end_leaves_the_model_before_it(train, tmp_path, monkeypatch):
    train(out=tmp_path / "mine")
    before = {path.name: path.read_bytes() for path in (tmp_path / "mine").iterdir()}

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ojito.pipeline.save_model", full)
    with pytest.raises(OjitoError, match=r"cannot be written \(No space left on device\); free the disk, or save else"):
        train(out=tmp_path / "mine", force=True, metrics=tmp_path / "log", settings=["train.seed=5"])
    assert {path.name: path.read_bytes() for path in (tmp_path / "mine").iterdir()} == before


def test_model_that_cannot_be_saved_any_more_is_saved_elsewhere(train, tmp_path, monkeypatch):
    save, spare = Pipeline.save, tmp_path / "spare"
    spare.mkdir()

    def full(pipe, folder):
        if Path(folder) == tmp_path / "mine":
            raise CheckpointError(folder, "cannot be written (No space left on device)", "free the disk")
        save(pipe, folder)

    monkeypatch.setattr(Pipeline, "save", full)
    monkeypatch.setattr("tempfile.tempdir", str(spare))
    with pytest.raises(CheckpointError, match=r"No space left on device\); the model is in .*ojito-") as caught:
        train(out=tmp_path / "mine")
    (folder,) = spare.iterdir()
    assert str(folder) in str(caught.value)
    assert ojito.load(folder, device="cpu")


@pytest.mark.parametrize("free", [100, 10**9])
def test_room_for_the_model_is_looked_for_before_the_first_step(train, tmp_path, monkeypatch, free):
    usage = shutil.disk_usage(tmp_path)._replace(free=free)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    steps = []
    if free > 10**6:
        assert train(out=tmp_path / "mine", on_step=lambda state: steps.append(1)).out
        return
    with pytest.raises(OjitoError, match=r"mine: is to hold a model of 0 MiB, and 0 MiB of the disk are free"):
        train(out=tmp_path / "mine", on_step=lambda state: steps.append(1))
    assert not steps


def test_folder_that_cannot_be_written_is_found_before_the_model_is_made(train, tmp_path, monkeypatch):
    def refuse(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    monkeypatch.setattr("ojito.training.begin.prepare", lambda *args: pytest.fail("made"))
    with pytest.raises(OjitoError, match=r"mine: cannot be written \(Permission denied\); give another folder"):
        train(out=tmp_path / "new" / "mine")
    assert not (tmp_path / "new").exists()


def test_ruined_weights_are_never_saved(train, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(last_good, "MOST", 0)
    with pytest.raises(TrainingError, match="give no finite loss"):
        train(out=tmp_path / "mine", settings=["train.lr=1e38", "train.steps=1"], quiet=False)
    assert "nothing was saved: the weights give no finite loss" in capsys.readouterr().err
    assert not (tmp_path / "mine" / "model.safetensors").exists()


def test_signal_while_data_are_opened_ends_the_run_at_once(train, tmp_path, monkeypatch):
    monkeypatch.setattr("ojito.training.begin.open_data", lambda config: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt) as caught:
        train(out=tmp_path / "mine")
    assert caught.value.signal == signal.SIGTERM
    assert not (tmp_path / "mine").exists()


def test_second_signal_does_not_undo_the_saving(train, tmp_path, monkeypatch, capsys):
    save = Pipeline.save

    def killed(pipe, folder):
        signal.raise_signal(signal.SIGINT)
        save(pipe, folder)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Pipeline, "save", killed)
    result = train(out=tmp_path / "mine", on_step=lambda state: signal.raise_signal(signal.SIGINT))
    assert (result.history.steps, result.history.signal) == (1, signal.SIGINT)
    assert ojito.load(tmp_path / "mine", device="cpu")
    assert capsys.readouterr().err.count("ojito: SIGINT: saving what was learned comes first") == 2
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def test_signal_within_the_save_of_a_run_that_is_over_leaves_out_the_evaluation(train, dev, tmp_path, monkeypatch):
    save = Pipeline.save
    monkeypatch.setattr(Pipeline, "save", lambda *args: (signal.raise_signal(signal.SIGTERM), save(*args)))
    result = train(data=dev, out=tmp_path / "mine")
    assert (result.history.steps, result.history.signal, result.scores) == (3, signal.SIGTERM, None)
    assert ojito.load(tmp_path / "mine", device="cpu")


def test_signal_within_the_last_evaluation_leaves_the_model(train, dev, tmp_path, monkeypatch):
    monkeypatch.setattr("ojito.training.scoring.evaluate", lambda *args, **_: signal.raise_signal(signal.SIGTERM))
    result = train(data=dev, out=tmp_path / "mine")
    assert (result.history.interrupted, result.history.signal, result.scores) == (True, signal.SIGTERM, None)
    assert ojito.load(tmp_path / "mine", device="cpu")


@pytest.mark.slow
def test_signal_at_any_moment_loses_nothing(train, dev, tmp_path):
    """In loading, in steps, in evaluations, in the save, after it: whatever was learned is whole on the disk."""
    settings = ["train.steps=12", "train.eval_every=4"]
    started = time.monotonic()
    train(data=dev, out=tmp_path / "whole", settings=settings)
    length, ends = time.monotonic() - started, Counter()
    for number in range(100):
        out, steps, result = tmp_path / str(number), [], None
        timer = threading.Timer(random.Random(number).uniform(0, 1.1 * length), signal.raise_signal, [signal.SIGINT])
        try:
            timer.start()
            result = train(data=dev, out=out, settings=settings, on_step=lambda state, steps=steps: steps.append(1))
            timer.join()
        except KeyboardInterrupt:
            pass  # before the first step, or after the run
        timer.join()
        taken = result.history.steps if result else len(steps)
        ends["nothing" if not taken else "all" if taken == 12 else "some"] += 1
        assert (out / "model.safetensors").exists() == (taken > 0)
        if taken:
            assert ojito.load(out, device="cpu")
        assert not (out / ".saving").exists()
    assert len(ends) == 3, ends


def test_interrupt_before_the_first_step_saves_nothing(train, tmp_path, monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Batches, "__next__", interrupted)
    result = train(out=tmp_path / "mine")
    assert (result.history.interrupted, result.out) == (True, None)
    assert not (tmp_path / "mine" / "model.safetensors").exists()


def test_bad_rows_are_in_the_result(train, recipe):
    with Path(recipe.data.path).open("a") as file:
        file.write('\n{"image": "gone.png", "caption": "x"}')
    result = train(settings=["data.max_bad=0.5"])
    assert [problem.split(":")[:2] for problem in result.problems] == [["rows.jsonl", "3"]]


def test_quiet_shows_nothing(train, capsys):
    train()
    assert capsys.readouterr() == ("", "")
    train(quiet=False)
    assert "parameters) on rows.jsonl (2 rows), cpu: 3 steps" in capsys.readouterr().err


@pytest.mark.parametrize(("minutes", "met"), [(0, [1, 1, 1]), (1, [2, 1, 2])])
def test_threads_are_measured_and_looked_at_again_in_a_run_of_minutes(train, monkeypatch, capsys, minutes, met):
    class Measured(Threads):
        def __init__(self, count):
            assert count == 0
            super().__init__(1, most=4)

        def again(self):
            self.count = 3 - self.count
            torch.set_num_threads(self.count)
            return True

    before, used = torch.get_num_threads(), []

    def step(state):
        used.append(torch.get_num_threads())
        return "stop" if len(used) == 3 else None

    monkeypatch.setattr("ojito.training.said.Threads", Measured)
    train(settings=[f"train.minutes={minutes}"], on_step=step, quiet=False)
    assert used == met
    assert torch.get_num_threads() == before
    assert "computing with 1 of 4 threads, which is faster while other processes keep" in capsys.readouterr().err


def test_threads_of_the_recipe_are_taken(train):
    used = []
    train(settings=["train.threads=3"], on_step=lambda state: used.append(torch.get_num_threads()))
    assert used == [3, 3, 3]
    assert torch.get_num_threads() != 3


@pytest.mark.parametrize("data", [[], ["a.png"], 3])
def test_data_that_are_none_are_refused(train, data):
    with pytest.raises(OjitoError, match="data: is no list of samples"):
        train(data=data)


def test_characters_without_an_entry_are_counted_with_the_setting_that_helps(train, tmp_path, caplog):
    rows = [{"image": "a.png", "caption": text} for text in ("zebra", "甲乙", "甲", "丙")]
    (tmp_path / "many.jsonl").write_text("\n".join(map(json.dumps, rows)))
    size = len({*"zebra甲乙丙caption\n"}) + 4
    few = [f"model.decoder.vocab_size={size - 2}"]
    train(data=tmp_path / "many.jsonl", settings=few)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("2 different characters, 2 in all, have no entry in the tokenizer")
    assert caplog.messages[0].endswith(f"a new model has room for them with model.decoder.vocab_size at {size}")
    caplog.clear()
    train(data=tmp_path / "many.jsonl", settings=[*few, f"processor.tokenizer.vocab_size={size - 3}"])
    assert f"with processor.tokenizer.vocab_size and model.decoder.vocab_size at {size}" in caplog.text
    caplog.clear()
    train(data=tmp_path / "many.jsonl", settings=[f"model.decoder.vocab_size={size}"])
    assert not caplog.messages


def test_new_letters_of_a_model_to_go_on_with_are_counted(train, recipe, tmp_path, caplog):
    train(out=tmp_path / "mine")
    caplog.clear()
    (tmp_path / "new.jsonl").write_text(json.dumps({"image": "a.png", "caption": "grün ist schön"}))
    train(tmp_path / "mine", tmp_path / "new.jsonl")
    assert "have no entry in the tokenizer" in caplog.text
    assert "ü" in caplog.text


def test_device_that_is_not_there_is_named(train):
    with pytest.raises(ValueError, match="gpu"):
        train(device="gpu")


# ------------------------------------------------------------------------------------------------- a loop of one's own


def test_parts_make_a_training_loop(recipe):
    config = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, steps=40, batch_size=2, log_every=20))
    # The README's snippet, from here on.
    data = ojito.open_data(config)
    model, processor = ojito.prepare(config, data, "cpu")
    batches = ojito.Batches(data, processor, config.data, config.train)
    state = ojito.TrainState(model, config.train)
    history = ojito.fit(state, batches, quiet=True)
    report = ojito.evaluate(ojito.Pipeline(model, processor, config), data.samples("train"))
    assert history.log[-1]["loss"] < 0.5 * history.log[0]["loss"]
    assert report.scores.n == 2


def test_parts_make_a_training_loop_from_scratch(recipe):
    config = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, batch_size=2))
    losses = []
    # The README's snippet, from here on.
    from ojito.trainer import count_labels, token_loss

    data = ojito.open_data(config)
    model, processor = ojito.prepare(config, data, "cpu")
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    model.train()
    for batch in itertools.islice(ojito.Batches(data, processor, config.data, config.train), 40):
        loss = token_loss(model, batch) / count_labels(batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
