"""A run on several ranks, from the data to the folder."""

import pytest

import ojito
from tests.together import Together, together


@pytest.fixture
def rows(some_bad):
    return some_bad(12, lambda number: ["zebra" if number % 2 else "a quokka"])


@pytest.fixture
def go(train, rows, tmp_path):
    def go(name, *settings, resume="auto", **options):
        usual = ["train.steps=8", "train.batch_size=4", "train.save_every=2", "train.eval_every=4", "train.threads=1"]
        usual += ["data.max_bad=0.5", "train.lr=1e-3", "train.rank_timeout=30"]
        return train(data=rows, out=tmp_path / name, resume=resume, settings=[*usual, *settings], **options)

    return go


def weights(folder):
    return ojito.load(folder, device="cpu").model.state_dict()


def assert_near(folder, other):
    for (name, one), two in zip(weights(folder).items(), weights(other).values(), strict=True):
        assert (one - two).abs().max() < 1e-5, name


def told(result):
    return [result.history.steps, result.history.samples, result.scores, sorted(result.problems), result.resumed]


@pytest.mark.parametrize("settings", [[], ["train.parallel=fsdp"], ["data.workers=1"]], ids=str)
def test_two_ranks_leave_what_one_leaves(go, tmp_path, settings):
    one = told(go("one"))
    first, second = together(2, lambda rank: told(go("two", *settings)))
    assert first[:3] == second[:3] == one[:3]
    assert_near(tmp_path / "two", tmp_path / "one")


def test_run_goes_on_with_one_rank_after_two(go, tmp_path):
    go("one")
    stop = lambda state: "stop" if state.clock.step == 3 else None  # noqa: E731
    together(2, lambda rank: told(go("two", on_step=stop)))
    (tmp_path / "two" / "run.json").unlink()
    assert told(go("two"))[-1] == 3
    assert_near(tmp_path / "two", tmp_path / "one")


def test_rank_that_is_killed_in_a_run_ends_it_with_its_name_and_step(go, tmp_path):
    def call(rank):
        def step(state):
            (tmp_path / f"{rank}-{state.clock.step}").touch()

        return told(go("mine", "train.steps=100000", on_step=step))

    ranks = Together(2, call)
    while not (tmp_path / "1-5").exists():
        pass
    ranks.kill(1)
    first, killed = ranks.results()
    assert killed is None
    assert first["error"].startswith("LostRankError: rank 0: rank 1 of 2 was lost in step ")
    assert (tmp_path / "mine" / "checkpoints" / "latest").exists()
    assert not (tmp_path / "mine" / "model.safetensors").exists()


def test_batch_that_ranks_cannot_share_is_refused(go):
    results = Together(3, lambda rank: told(go("mine"))).results()
    assert all("batch_size" in result["error"] for result in results), results
