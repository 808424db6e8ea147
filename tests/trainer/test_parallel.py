import dataclasses
import itertools
import signal

import pytest
import torch
from PIL import Image

from ojito.config import DataConfig, LoraConfig, TrainConfig
from ojito.data import Batches, Source
from ojito.model import VLM
from ojito.records import IGNORE, Sample, Turn
from ojito.trainer import TrainState, fit
from ojito.trainer.checkpoints import Checkpoints, Saver, read_state
from ojito.trainer.parallel import whole_model, with_image
from ojito.trainer.ranks import join
from tests.together import together


@pytest.fixture
def learn(tiny_config, tiny_processor, samples, tmp_path):
    """Trains on `count` ranks, each with its share of the four rows; returns the sum of weights by name, and losses."""

    def learn(count, steps=3, out=None, shares=None, stop=None, model=None, **settings):
        config = TrainConfig(
            steps=steps, batch_size=4, log_every=1, save_every=2, **{"lr": 1e-4, "precision": "float32", **settings}
        )
        parts = shares or [samples[rank::count] for rank in range(count)]

        def call(rank):
            torch.manual_seed(0)
            made = VLM(model or tiny_config.model)
            size = len(parts[rank]) // config.accumulate
            micro = [tiny_processor(parts[rank][n : n + size], training=True) for n in range(0, len(parts[rank]), size)]
            with join("cpu", 30) as ranks:
                state = TrainState(made, config, ranks=ranks)
                saver = None
                if out:
                    checkpoints = Checkpoints(tmp_path / out)
                    newest = checkpoints.newest()
                    if newest:
                        state.load_state_dict(read_state(newest))
                    saver = Saver(checkpoints, config, ranks, saved=state.clock.step or -1)
                history = fit(state, itertools.cycle(micro), saver=saver, on_step=stop and stop(rank), quiet=True)
                trained = whole_model(state.loss)
                weights = {name: tensor.double().flatten().tolist() for name, tensor in trained.state_dict().items()}
            return [weights, [line["loss"] for line in history.log], history.steps, history.samples]

        return together(count, call)

    return learn


def assert_same(results, expected, atol=1e-5):
    for weights, losses, steps, samples in results:
        assert (steps, samples) == tuple(expected[2:])
        assert losses == pytest.approx(expected[1], abs=1e-5)
        for name, values in expected[0].items():
            torch.testing.assert_close(torch.tensor(weights[name]), torch.tensor(values), rtol=0, atol=atol)


LORA = {"lora": LoraConfig(rank=2, parts=("vision", "decoder")), "lora_lr": 1e-4}


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"accumulate": 2}, {"freeze": ("vision",)}, {"clip": 0.01}, {"optimizer": "muon", "muon_lr": 1e-4}, LORA],
    ids=["plain", "accumulate", "freeze", "clip", "muon", "lora"],
)
def test_two_ranks_learn_what_one_learns(learn, parallel, settings):
    (one,) = learn(1, **settings)
    assert_same(learn(2, parallel=parallel, **settings), one)


def test_ranks_with_unequal_labels_weigh_each_token_alike(learn, samples):
    """A mean of the ranks' means would weigh the short answers of one rank more."""
    (one,) = learn(1)
    assert_same(learn(2, shares=[samples[:1] + samples[3:], samples[1:3]]), one)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_rank_without_an_image_takes_part(learn, samples, parallel):
    text = [Sample((), turns=(Turn("which colour", ("red",)),)), Sample((), turns=(Turn("say", ("no",)),))]
    (one,) = learn(1, shares=[[*samples[:2], *text]])
    assert_same(learn(2, shares=[samples[:2], text], parallel=parallel), one)


@pytest.fixture
def batches(tiny_processor, tmp_path):
    """A rank's share of rows of which some are broken; with `data.pack`, packed ones."""
    rows = []
    for number in range(24):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (16, 16), (9 * number, 0, 99)).save(path)
        if number in (2, 3, 5, 8, 11, 19):
            path.write_bytes(b"")
        rows.append(Sample([path], turns=(Turn("which", ("red" * (number % 3 + 1), "a dark one")),)))

    def make(config, pack, rank, ranks):
        data = DataConfig(pack=pack, max_bad=0.5)
        return Batches(Source("rows", rows), tiny_processor, data, config, None, rank, ranks)

    return make


@pytest.mark.parametrize("pack", [0, 40])
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_ranks_learn_from_shares_of_packed_and_of_single_rows(batches, tiny_config, pack, parallel):
    settings = {"batch_size": 2, "lr": 1e-4, "precision": "float32"}  # one row a rank: some are bad
    config = TrainConfig(steps=6, log_every=1, parallel=parallel, **settings)

    def call(rank):
        torch.manual_seed(0)
        made = VLM(tiny_config.model)
        with join("cpu", 30) as ranks:
            state = TrainState(made, config, ranks=ranks)
            history = fit(state, batches(config, pack, ranks.rank, ranks.count), quiet=True)
            position = state.state_dict()["position"]
            trained = whole_model(state.loss).state_dict()
        weights = {name: tensor.double().flatten().tolist() for name, tensor in trained.items()}
        return [weights, [line["loss"] for line in history.log], history.steps, history.samples], position

    ((one, expected),) = together(1, call)
    results = together(2, call)
    assert_same([result for result, _ in results], one)
    assert one[-1] < 12 or pack  # bad rows are none
    for _, position in results:
        assert sorted(position.pop("bad")) == sorted(expected["bad"])
        assert position == {name: value for name, value in expected.items() if name != "bad"}


def test_row_with_a_black_image_adds_nothing_to_the_loss(tiny_model, tiny_processor):
    batch = tiny_processor([Sample((), turns=(Turn("a", ("b",)),))], training=True)
    more = with_image(batch, tiny_model)
    assert more.num_images == 1
    assert (more.targets[-1] == IGNORE).all()
    torch.testing.assert_close(tiny_model(more)[0, : batch.tokens.shape[1]], tiny_model(batch)[0])
    assert with_image(more, tiny_model) is more
    packed = tiny_processor.packed([[tiny_processor.row(Sample((), turns=(Turn("a", ("b",)),)), training=True)]], 20)
    more = with_image(packed, tiny_model)
    assert more.documents.shape == more.tokens.shape
    torch.testing.assert_close(tiny_model(more)[0, :20], tiny_model(packed)[0])


@pytest.mark.parametrize(("before", "after"), [("ddp", "ddp"), ("ddp", "fsdp"), ("fsdp", "fsdp"), ("fsdp", "ddp")])
def test_run_goes_on_with_another_number_of_ranks(learn, before, after):
    (whole,) = learn(1, steps=6)
    stop = lambda rank: lambda state: "stop" if state.clock.step == 3 else None  # noqa: E731
    learn(2, steps=6, out="run", stop=stop, parallel=before)
    resumed = learn(4, steps=6, out="run", parallel=after)
    assert_same(resumed, [whole[0], whole[1][2:], *whole[2:]])


def test_run_on_the_same_ranks_goes_on_to_the_bit(learn, tiny_config):
    decoder = dataclasses.replace(tiny_config.model.decoder, dropout=0.3)
    model = dataclasses.replace(tiny_config.model, decoder=decoder)
    whole = learn(2, steps=6, model=model)
    learn(2, steps=6, out="run", model=model, stop=lambda rank: lambda state: "stop" if state.clock.step == 3 else None)
    resumed = learn(2, steps=6, out="run", model=model)
    assert [result[0] for result in resumed] == [result[0] for result in whole]


def test_signal_to_one_rank_ends_all_after_the_same_step(learn):
    def stop(rank):
        return lambda state: signal.raise_signal(signal.SIGTERM) if (rank, state.clock.step) == (1, 2) else None

    assert [result[2] for result in learn(2, steps=6, stop=stop)] == [2, 2]


def test_callback_of_one_rank_ends_all(learn):
    results = learn(2, steps=6, stop=lambda rank: lambda state: "stop" if (rank, state.clock.step) == (1, 4) else None)
    assert [result[2] for result in results] == [4, 4]
