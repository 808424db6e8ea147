import dataclasses
import itertools
import json
import signal

import pytest
import torch

from ojito.config import ResNetConfig, TrainConfig
from ojito.model import VLM
from ojito.records import Batch, Sample, Turn
from ojito.trainer import TrainingError, TrainState, fit, last_good, state
from ojito.trainer.loop import PATIENCE
from ojito.trainer.schedule import Clock


@pytest.fixture
def batches(tiny_processor, samples):
    """The same four rows for ever, `size` at a time."""

    def make(size=4):
        parts = [samples[i : i + size] for i in range(0, len(samples), size)]
        return itertools.cycle([tiny_processor(part, training=True) for part in parts])

    return make


@pytest.fixture
def train(tiny_config, batches):
    """Trains a fresh model; returns its weights and the history."""

    def run(model_config=None, size=None, data=None, **settings):
        config = dataclasses.replace(tiny_config.train, **settings)
        torch.manual_seed(0)
        model = VLM(model_config or tiny_config.model)
        data = data or batches(size or config.batch_size // config.accumulate)
        history = fit(TrainState(model, config), data, quiet=True)
        return {name: tensor.clone() for name, tensor in model.state_dict().items()}, history

    return run


def differ(a, b):
    return [name for name in a if not torch.equal(a[name], b[name])]


def poisoned(batch):
    return dataclasses.replace(batch, images=batch.images * float("nan"))


@pytest.mark.parametrize("settings", [{}, {"optimizer": "muon"}, {"schedule": "wsd"}])
def test_fit_learns_four_rows_by_heart(train, settings):
    _, history = train(steps=100, log_every=20, **settings)
    losses = [line["loss"] for line in history.log]
    assert losses[0] > 1.0
    assert losses[-1] < 0.1  # less than 0.25 takes looking: without, the first letter is a guess among four


def test_fit_learns_to_tell_images_apart(tiny_config, tiny_model, tiny_processor, samples, batches):
    fit(TrainState(tiny_model, dataclasses.replace(tiny_config.train, steps=80)), batches(), quiet=True)
    batch = tiny_processor(samples)
    first = tiny_model(batch)[:, -1].argmax(dim=-1).tolist()
    assert first == [tiny_processor.tokenizer.encode(s.turns[0].answers[0])[0] for s in samples]


def test_fit_is_the_same_twice(train):
    assert not differ(train(steps=3)[0], train(steps=3)[0])


@pytest.mark.parametrize("accumulate", [2, 4])
def test_accumulation_changes_nothing_but_memory(train, accumulate):
    # The rows' answers differ in length, so a mean of means would differ.
    # The low rate is for AdamW, which turns the last bit of a tiny gradient into a step of its own.
    whole, _ = train(steps=3, batch_size=4, lr=1e-4)
    parts, history = train(steps=3, batch_size=4, lr=1e-4, accumulate=accumulate)
    assert history.samples == 12
    for name in whole:
        torch.testing.assert_close(parts[name], whole[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("part", ["vision", "connector", "decoder"])
def test_frozen_part_stays_bit_equal_and_the_others_learn(train, tiny_config, part):
    torch.manual_seed(0)
    before = VLM(tiny_config.model).state_dict()
    changed = differ(before, train(steps=3, freeze=(part,))[0])
    assert len({name.split(".")[0] for name in changed}) == 2
    assert not [name for name in changed if name.startswith(part)]


def test_frozen_batch_norm_keeps_its_statistics(train, tiny_config):
    resnet = ResNetConfig(image_size=16, stem_width=4, blocks=(1, 1), width=32)
    config = dataclasses.replace(tiny_config.model, vision=resnet)
    learned, _ = train(config, steps=2)
    frozen, _ = train(config, steps=2, freeze=("vision",))
    assert any(learned[name].any() for name in learned if name.endswith("running_mean"))
    assert not any(frozen[name].any() for name in frozen if name.endswith("running_mean"))


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 4},
        {"lr": 1e-3},
        {"vision_lr": 1e-4},
        {"connector_lr": 1e-4},
        {"decoder_lr": 1e-4},
        {"betas": (0.5, 0.95)},
        {"betas": (0.9, 0.5)},
        {"weight_decay": 0.9},
        {"clip": 0.01},
        {"schedule": "wsd"},
        {"warmup": 0.9},
        {"freeze": ("vision",)},
        {"optimizer": "muon"},
        {"precision": "bfloat16"},
        {"batch_size": 2},
    ],
    ids=str,
)
def test_setting_changes_what_is_learned(train, change):
    assert differ(train(steps=3)[0], train(**{"steps": 3, **change})[0])


@pytest.mark.parametrize(("a", "b"), [({"muon_lr": 0.02}, {"muon_lr": 0.01})])
def test_muon_rate_changes_what_is_learned(train, a, b):
    assert differ(*(train(steps=2, optimizer="muon", **settings)[0] for settings in (a, b)))


def test_decay_changes_what_wsd_learns(train):
    assert differ(*(train(steps=4, schedule="wsd", decay=decay)[0] for decay in (0.0, 0.9)))


def test_clip_of_zero_clips_nothing(train):
    assert not differ(train(steps=2, clip=0.0)[0], train(steps=2, clip=1e9)[0])


@pytest.mark.parametrize(("precision", "fast", "used"), [
    ("auto", False, False), ("auto", True, True), ("float32", True, False), ("bfloat16", False, True),
])  # fmt: skip
def test_precision_decides_on_autocast(train, monkeypatch, precision, fast, used):
    used_by_steps = []
    autocast = torch.autocast
    monkeypatch.setattr(state, "fast_bfloat16", lambda device: fast)
    monkeypatch.setattr(
        torch, "autocast", lambda *args, enabled: used_by_steps.append(enabled) or autocast(*args, enabled=enabled)
    )
    train(steps=1, precision=precision)
    assert used_by_steps == [used]


def test_minutes_end_a_run_and_drive_the_schedule(tiny_model, batches):
    config = TrainConfig(steps=0, minutes=0.5, batch_size=4, warmup=0.0, log_every=1, precision="float32")
    seconds = itertools.count(step=0.25)
    history = fit(TrainState(tiny_model, config, Clock(config, lambda: next(seconds))), batches(), quiet=True)
    assert history.steps > 1
    assert 20 < history.seconds <= 30
    rates = [line["lr"] for line in history.log]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.2 * config.lr


def test_clock_tells_the_data_how_far_the_run_is(tiny_config, tiny_model, batches):
    clock = Clock(tiny_config.train)
    heard = []

    def listening():
        for batch in batches():
            heard.append(clock.progress())
            yield batch

    fit(TrainState(tiny_model, tiny_config.train, clock), listening(), quiet=True)
    assert heard == [0.0, 0.25, 0.5, 0.75]


def test_evaluation_is_called_at_its_steps_and_its_time_does_not_count(tiny_model, batches):
    config = TrainConfig(steps=4, batch_size=4, eval_every=2, precision="float32")
    now = [0.0]
    modes = []

    def evaluation():
        now[0] += 1000
        modes.append(tiny_model.training)
        tiny_model.eval()
        return {"exact_match": 0.5}

    history = fit(
        TrainState(tiny_model, config, Clock(config, lambda: now[0])), batches(), evaluate=evaluation, quiet=True
    )
    assert [line["step"] for line in history.evaluations] == [2, 4]
    assert history.evaluations[0]["exact_match"] == 0.5
    assert history.seconds == 0
    assert modes == [True, True]  # training goes on in training mode afterwards
    assert not tiny_model.training


def test_evaluation_is_not_called_without_eval_every(tiny_config, tiny_model, batches):
    fit(TrainState(tiny_model, tiny_config.train), batches(), evaluate=lambda: pytest.fail("called"), quiet=True)


def test_metrics_hold_a_line_for_each_log_and_evaluation(tmp_path, tiny_model, batches):
    config = TrainConfig(steps=5, batch_size=4, log_every=2, eval_every=5, precision="float32")
    logged, scored = [], []
    history = fit(
        TrainState(tiny_model, config),
        batches(),
        out=tmp_path / "run",
        evaluate=lambda: {"score": 1},
        on_log=logged.append,
        on_eval=scored.append,
        quiet=True,
    )
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 5, 5]
    figures = {"grad_norm", "part_lr", "update_ratio", "tokens_per_second", "mfu", "mfu_language", "peak_memory"}
    assert set(lines[0]) == {"step", "loss", "lr", "samples_per_second", "seconds", "samples", *figures}
    assert lines[:3] == history.log == logged
    assert history.evaluations == scored == [{"step": 5, "seconds": scored[0]["seconds"], "score": 1}]
    assert lines[3]["evaluation"]
    assert lines[3]["score"] == 1


def test_log_is_the_mean_over_its_steps(train):
    single = train(steps=4, log_every=1, lr=1e-9)[1].log
    (mean,) = train(steps=4, log_every=4, lr=1e-9)[1].log
    assert mean["loss"] == pytest.approx(sum(line["loss"] for line in single) / 4, abs=1e-4)


def test_step_that_is_not_finite_changes_nothing_and_is_named(tiny_config, batches, capsys):
    resnet = ResNetConfig(image_size=16, stem_width=4, blocks=(1, 1), width=32)
    model_config = dataclasses.replace(tiny_config.model, vision=resnet)
    config = dataclasses.replace(tiny_config.train, steps=3)
    good = next(batches())
    models = []
    for data in ([good, poisoned(good), good], [good, good]):
        torch.manual_seed(0)
        model = VLM(model_config)
        clock = Clock(dataclasses.replace(config, steps=len(data)))
        # A rate that stays, so that both runs take the same two steps.
        flat = dataclasses.replace(config, steps=len(data), schedule="wsd", decay=0.0)
        history = fit(TrainState(model, flat, clock), data)
        models.append(model.state_dict())
        if len(data) == 3:
            assert history.skipped == [2]
            assert "step 2: loss or gradient is not finite; skipped" in capsys.readouterr().err
    assert not differ(*models)  # batch norm's statistics among them


def test_gradient_that_is_not_finite_is_skipped_although_the_loss_is(tiny_config, tiny_model, batches):
    tiny_model.decoder.norm.weight.register_hook(lambda gradient: gradient * float("inf"))
    before = {name: tensor.clone() for name, tensor in tiny_model.state_dict().items()}
    history = fit(TrainState(tiny_model, tiny_config.train), batches(), quiet=True)
    assert history.skipped == [1, 2, 3, 4]
    assert not differ(before, tiny_model.state_dict())


@pytest.mark.parametrize("count", [24, pytest.param(100, marks=pytest.mark.slow)])
def test_bad_steps_of_many_kinds_are_found_and_change_nothing(tiny_config, batches, count):
    """Between good steps: pixels and gradients of each part that are NaN or infinite, one number or all of them."""
    kinds = [(where, value, whole) for where in ("images", "vision", "connector", "decoder")
             for value in (float("nan"), float("inf"), -float("inf")) for whole in (False, True)]  # fmt: skip
    config = dataclasses.replace(tiny_config.train, schedule="wsd", decay=0.0, warmup=0)

    def run(bad_steps):
        torch.manual_seed(0)
        model, now, good = VLM(tiny_config.model), ("", 0.0, True), next(batches())

        def spoiled(tensor, where):
            if now[0] != where:
                return tensor
            return torch.full_like(tensor, now[1]) if now[2] else tensor.index_fill(0, torch.tensor([0]), now[1])

        for name, part in model.parts.items():
            next(part.parameters()).register_hook(lambda gradient, name=name: spoiled(gradient, name))

        def data():
            nonlocal now
            for number in range(count):
                now = ("", 0.0, True)
                yield good
                if bad_steps:
                    now = kinds[number % len(kinds)]
                    yield dataclasses.replace(good, images=spoiled(good.images, "images"))

        steps = 2 * count if bad_steps else count
        history = fit(TrainState(model, dataclasses.replace(config, steps=steps)), data(), quiet=True)
        return model.state_dict(), history.skipped

    (with_bad, skipped), (without, none) = run(bad_steps=True), run(bad_steps=False)
    assert skipped == [*range(2, 2 * count + 1, 2)]
    assert not none
    assert not differ(with_bad, without)


def test_run_stops_after_too_many_bad_steps_in_a_row_and_keeps_finite_weights(tiny_config, tiny_model, batches):
    good = next(batches())
    bad = itertools.chain([good, good], itertools.repeat(poisoned(good)))
    config = dataclasses.replace(tiny_config.train, steps=100)
    with pytest.raises(TrainingError, match=r"steps 3 to 12 had no finite loss.*lower train\.lr \(it is 0\.003\)"):
        fit(TrainState(tiny_model, config), bad, quiet=True)
    assert all(bool(tensor.isfinite().all()) for tensor in tiny_model.state_dict().values())
    assert not tiny_model.training


def test_run_survives_bad_steps_that_are_not_in_a_row(tiny_config, tiny_model, batches):
    good = next(batches())
    data = itertools.cycle([good, poisoned(good)])
    config = dataclasses.replace(tiny_config.train, steps=4 * PATIENCE)
    history = fit(TrainState(tiny_model, config), data, quiet=True)
    assert len(history.skipped) == 2 * PATIENCE


def test_interrupt_ends_the_run_and_keeps_what_was_learned(tiny_config, tiny_model, batches):
    def interrupted():
        yield from itertools.islice(batches(), 3)
        raise KeyboardInterrupt

    before = tiny_model.decoder.norm.weight.clone()
    config = dataclasses.replace(tiny_config.train, steps=50)
    history = fit(TrainState(tiny_model, config), interrupted(), quiet=True)
    assert history.interrupted
    assert history.steps == 3
    assert not torch.equal(before, tiny_model.decoder.norm.weight)
    assert not tiny_model.training


def test_signal_within_a_step_leaves_the_weights_of_the_last_one(tiny_config, batches, monkeypatch):
    resnet = ResNetConfig(image_size=16, stem_width=4, blocks=(1, 1), width=32)  # whose forward pass changes statistics
    flat = dataclasses.replace(tiny_config.train, steps=9, schedule="wsd", decay=0.0)
    states = []
    for kill in (True, False):
        torch.manual_seed(0)
        model = VLM(dataclasses.replace(tiny_config.model, vision=resnet))
        calls = []

        def killed(module, args, output, kill=kill, calls=calls):
            calls.append(1)
            if kill and len(calls) == 3:
                signal.raise_signal(signal.SIGTERM)

        model.connector.register_forward_hook(killed)
        stop = None if kill else lambda state: "stop" if state.clock.step == 2 else None
        history = fit(TrainState(model, flat), batches(), on_step=stop, quiet=True)
        assert (history.steps, history.interrupted) == (2, kill)
        assert history.signal == (signal.SIGTERM if kill else 0)
        states.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
    assert not differ(*states)


def test_signal_within_an_update_waits_for_its_end(tiny_config, tiny_model, batches, monkeypatch):
    training = TrainState(tiny_model, tiny_config.train)
    (adamw,) = training.optimizers
    step = adamw.step

    def killed():
        signal.raise_signal(signal.SIGTERM)
        step()

    monkeypatch.setattr(adamw, "step", killed)
    before = tiny_model.decoder.norm.weight.clone()
    history = fit(training, batches(), quiet=True)
    assert (history.steps, history.samples, history.signal) == (1, 4, signal.SIGTERM)
    assert not torch.equal(before, tiny_model.decoder.norm.weight)


def test_signal_within_an_evaluation_ends_the_run(tiny_model, batches):
    config = TrainConfig(steps=9, batch_size=4, eval_every=2, precision="float32")
    history = fit(
        TrainState(tiny_model, config), batches(), evaluate=lambda: signal.raise_signal(signal.SIGTERM), quiet=True
    )
    assert (history.steps, history.evaluations, history.signal) == (2, [], signal.SIGTERM)


@pytest.mark.parametrize("steps", [1, 2, 60])
def test_update_that_ruins_the_weights_is_taken_back(tiny_config, tiny_model, batches, steps, capsys):
    before = {name: tensor.clone() for name, tensor in tiny_model.state_dict().items()}
    training = TrainState(tiny_model, dataclasses.replace(tiny_config.train, steps=steps, lr=1e38))
    if steps > PATIENCE:
        with pytest.raises(TrainingError, match="had no finite loss"):
            fit(training, batches())
    else:
        assert fit(training, batches()).skipped == [*range(1, steps + 1)][-1:]
    assert not differ(before, tiny_model.state_dict())
    assert training.sound
    assert "the last update left weights without a finite loss; it was taken back" in capsys.readouterr().err


def test_good_update_is_not_taken_back_for_bad_batches_after_it(tiny_config, batches):
    states = []
    for bad in ([], [poisoned(next(batches()))] * 3):
        torch.manual_seed(0)
        model = VLM(tiny_config.model)
        config = dataclasses.replace(tiny_config.train, steps=2 + len(bad), schedule="wsd", decay=0.0)
        fit(TrainState(model, config), [*itertools.islice(batches(), 2), *bad], quiet=True)
        states.append(model.state_dict())
    assert not differ(*states)


def test_ruined_weights_of_which_no_copy_is_kept_end_the_run_and_are_called_so(
    tiny_config, tiny_model, batches, monkeypatch
):
    monkeypatch.setattr(last_good, "MOST", 0)
    training = TrainState(tiny_model, dataclasses.replace(tiny_config.train, steps=1, lr=1e38))
    with pytest.raises(
        TrainingError, match=r"weights after step 1 give no finite loss; lower train\.lr \(it is 1e\+38"
    ):
        fit(training, batches(), quiet=True)
    assert not training.sound


def test_statistics_that_are_not_finite_are_a_step_that_is_not(tiny_config, batches):
    resnet = ResNetConfig(image_size=16, stem_width=4, blocks=(1, 1), width=32)
    model = VLM(dataclasses.replace(tiny_config.model, vision=resnet))
    norm = next(module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d))

    def overflow(module, args, output):
        module.running_var.data.fill_(float("inf"))  # .data: the backward pass uses it, too

    norm.register_forward_hook(overflow)
    history = fit(TrainState(model, dataclasses.replace(tiny_config.train, steps=2)), batches(), quiet=True)
    assert history.skipped == [1, 2]
    assert all(bool(buffer.isfinite().all()) for buffer in model.buffers())


@pytest.mark.parametrize(
    ("name", "stops", "steps"),
    [
        ("on_step", lambda state: state.clock.step == 3, 3),
        ("on_log", lambda line: line["step"] == 4, 4),
        ("on_eval", lambda line: line["score"] == 6, 6),
    ],
)
def test_callback_that_returns_stop_ends_the_run(tmp_path, tiny_model, batches, name, stops, steps):
    config = TrainConfig(steps=50, batch_size=4, log_every=2, eval_every=3, precision="float32")
    training = TrainState(tiny_model, config)
    options = {"evaluate": lambda: {"score": training.clock.step}, "out": tmp_path, "quiet": True}
    options[name] = lambda value: "stop" if stops(value) else None
    history = fit(training, batches(), **options)
    assert (history.steps, history.stopped, history.interrupted) == (steps, True, False)
    assert history.log[-1]["step"] in (steps, steps - steps % 2)
    assert not tiny_model.training


def test_callback_that_returns_something_else_ends_nothing(tiny_config, tiny_model, batches):
    history = fit(TrainState(tiny_model, tiny_config.train), batches(), on_step=lambda state: 1, quiet=True)
    assert (history.steps, history.stopped) == (4, False)


def test_interrupt_in_a_callback_ends_the_run_like_any_other(tiny_config, tiny_model, batches):
    def interrupt(state):
        raise KeyboardInterrupt

    history = fit(TrainState(tiny_model, tiny_config.train), batches(), on_step=interrupt, quiet=True)
    assert (history.steps, history.interrupted, history.stopped) == (1, True, False)


def test_run_goes_on_where_an_earlier_call_ended_and_counts_all_of_it(tmp_path, tiny_model, batches):
    now = [0.0]
    config = TrainConfig(steps=6, batch_size=4, log_every=1, precision="float32")
    training = TrainState(tiny_model, config, Clock(config, lambda: now[0]))

    def timed():
        for batch in batches():
            now[0] += 10
            yield batch

    def stop(state):
        return "stop" if state.clock.step == 2 else None

    fit(training, timed(), on_step=stop, out=tmp_path, quiet=True)
    now[0] += 1000  # not trained
    history = fit(training, timed(), out=tmp_path, quiet=True)
    assert (history.steps, history.seconds, history.samples) == (6, 60, 24)
    assert [line["step"] for line in history.log] == [1, 2, 3, 4, 5, 6]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["seconds"]) for line in lines] == [(n, 10 * n) for n in range(1, 7)]


def test_run_that_is_over_takes_no_step(tiny_config, tiny_model, batches):
    training = TrainState(tiny_model, tiny_config.train)
    fit(training, batches(), quiet=True)
    before = {name: tensor.clone() for name, tensor in tiny_model.state_dict().items()}
    history = fit(training, itertools.repeat(None), quiet=True)
    assert (history.steps, [line["step"] for line in history.log]) == (4, [4])
    assert not differ(before, tiny_model.state_dict())


def test_batches_that_end_are_an_error_with_the_step(tiny_config, tiny_model, batches):
    with pytest.raises(TrainingError, match="ended after step 2"):
        fit(TrainState(tiny_model, tiny_config.train), itertools.islice(batches(), 2), quiet=True)


def test_rows_without_images_train(tiny_config, tiny_model, tiny_processor):
    batch = tiny_processor([Sample(turns=(Turn("it is", ("red",)),))], training=True)
    assert isinstance(batch, Batch)
    config = dataclasses.replace(tiny_config.train, steps=2)
    history = fit(TrainState(tiny_model, config), itertools.repeat(batch), quiet=True)
    assert history.log[-1]["loss"] > 0
