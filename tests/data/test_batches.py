"""Batches that are packed, shared among ranks, and gone on with. `test_loader` has what is in a batch."""

import itertools
import json
import logging
import multiprocessing
from collections.abc import Sequence
from dataclasses import fields, replace

import pytest
import torch
from PIL import Image

from ojito.config import DataConfig, ImageConfig, ProcessorConfig, PromptConfig, TokenizerConfig, TrainConfig
from ojito.data import Batches, DataError, Scenes, Source, lengths, merge_states, plan
from ojito.errors import OjitoError
from ojito.processor import Processor, Tokenizer
from ojito.records import PADDING, Batch, Sample, Turn
from ojito.settings import ConfigError

CONFIG = ProcessorConfig(tokenizer=TokenizerConfig(kind="characters"))
TOKENIZER = Tokenizer.train(CONFIG.tokenizer, ["abcdefghijklmnopqrstuvwxyz 0123456789?\n"], 100)
PROCESSOR = Processor(CONFIG, TOKENIZER, image_size=8, image_tokens=4)
TRAIN = TrainConfig(batch_size=4, seed=3)
PACKED = DataConfig(pack=64, max_bad=0.5)
SINGLE = DataConfig(max_bad=0.5)
BOTH = pytest.mark.parametrize("config", [SINGLE, PACKED], ids=["single", "packed"])


@pytest.fixture(autouse=True)
def small_windows(monkeypatch):
    """Windows of a few rows, so that a test meets several of them."""
    monkeypatch.setattr(plan, "_WINDOW", 16)
    monkeypatch.setattr(plan, "_LEAST", 8)


@pytest.fixture
def source(tmp_path):
    """Rows of many lengths with an image each, three of which are broken, and two answers to draw from."""
    rows = []
    for number in range(50):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
        if number in (5, 17, 40):
            path.write_bytes(path.read_bytes()[:45])
        answers = (f"{'a' * (number % 13)} {number}", f"or {'b' * (number % 7)} {number}")
        rows.append(Sample([path], turns=(Turn("", answers),), origin=f"row {number}"))
    return Source("rows", rows)


@pytest.fixture
def text():
    """Rows of text alone."""
    return Source(
        "text", [Sample(turns=(Turn("", ("a" * (n % 11) + f" {n}",)),), origin=f"row {n}") for n in range(40)]
    )


def make(source, config=PACKED, train=TRAIN, processor=PROCESSOR, state=None, **ranks):
    batches = Batches(source, processor, config, train, **ranks)
    if state is not None:
        batches.load_state_dict(json.loads(json.dumps(state)))
    return batches


def take(batches, count):
    return list(itertools.islice(batches, count))


def same(left, right):
    def equal(a, b):
        return (a is None and b is None) or torch.equal(a, b)

    return len(left) == len(right) and all(
        equal(getattr(a, field.name), getattr(b, field.name))
        for a, b in zip(left, right, strict=True)
        for field in fields(Batch)
    )


def documents(batch):
    """Every sample of a batch as it stands there, by row and document: its columns, and its first pixel."""
    pixels = iter(batch.images[:, 0, 0, 0].tolist() if batch.images is not None else [])
    found = []
    for row in range(len(batch.tokens)):
        numbers = batch.segments[row].clamp(max=0) if batch.documents is None else batch.documents[row]
        for number in range(int(numbers.max()) + 1):
            place = numbers == number
            tokens = batch.tokens[row][place].tolist()
            columns = [
                getattr(batch, name)[row][place].tolist() for name in ("positions", "targets", "segments", "prefix")
            ]
            found.append((tokens, *columns, next(pixels) if -1 in tokens else None))
    return found


def number_of(document):
    return int(PROCESSOR.decode([t for t in document[2] if t >= 0]).split()[-1])


# -------------------------------------------------------------------------------------------------------------- packed


def test_packed_rows_have_one_length_and_hold_every_sample_once_an_epoch(source):
    batches = make(source, train=replace(TRAIN, batch_size=2))
    drawn = []
    while len(drawn) < 3 * 47:
        batch = next(batches)
        assert batch.tokens.shape == (2, 64)
        assert batch.num_samples == len(documents(batch))
        drawn += documents(batch)
    good = [number for number in range(50) if number not in (5, 17, 40)]
    counts = [[number_of(document) for document in drawn].count(number) for number in good]
    assert min(counts) >= 2
    assert max(counts) <= 4


def test_packed_samples_are_those_of_rows_of_their_own(text):
    alone = [d for b in take(make(text, DataConfig()), 10) for d in documents(b)]
    packed = [d for b in take(make(text, DataConfig(pack=100)), 40) for d in documents(b)]
    assert sorted(alone) == sorted(d for d in {number_of(d): d for d in packed}.values())


def test_drawn_answers_have_the_length_that_was_planned(source):
    for batch in take(make(source), 20):
        assert (batch.documents >= 0).sum(dim=1).max() <= 64
    told = [d for batch in take(make(source), 40) for d in documents(batch)]
    assert len({tuple(d[0]) for d in told if number_of(d) == 12}) == 2  # both answers are drawn


def test_images_of_packed_rows_stand_in_the_order_of_their_tokens(source):
    for batch in take(make(source), 10):
        for document in documents(batch):
            assert round((document[-1] * 0.5 + 0.5) * 255) == number_of(document)


def test_rows_are_nearly_full(text, monkeypatch):
    monkeypatch.undo()  # windows as they are
    batches = take(make(text, DataConfig(pack=100)), 50)
    full = sum(int((batch.documents >= 0).sum()) for batch in batches) / sum(b.tokens.numel() for b in batches)
    assert full > 0.97


def test_pack_changes_output(text):
    shapes = {pack: next(make(text, DataConfig(pack=pack))).tokens.shape for pack in (0, 50, 80)}
    assert (shapes[50], shapes[80]) == ((4, 50), (4, 80))
    assert shapes[0][1] < 50


def test_planning_reads_no_image(source, monkeypatch):
    monkeypatch.setattr(Processor, "read_image", lambda *args: pytest.fail("read"))
    batches = make(source)
    planned = next(batches._plan(batches._state.position))
    assert len(planned.rows) == 4
    assert len(planned.rows[0]) > 1


@pytest.mark.parametrize("workers", [0, 2])
@BOTH
def test_worker_processes_make_the_same_batches(source, config, workers):
    assert same(take(make(source, config), 9), take(make(source, replace(config, workers=workers)), 9))


def test_accumulation_divides_a_step_of_packed_rows(source):
    whole = [d for batch in take(make(source), 6) for d in documents(batch)]
    halves = take(make(source, train=replace(TRAIN, accumulate=2)), 12)
    assert [d for batch in halves for d in documents(batch)] == whole


def test_seed_changes_what_shares_a_row(source):
    one, other = (take(make(source, train=replace(TRAIN, seed=seed)), 3) for seed in (3, 4))
    assert not same(one, other)


def test_row_longer_than_a_packed_one_is_refused_by_name_and_never_cut(source):
    source.rows[7] = replace(source.rows[7], turns=(Turn("", ("long " * 20,)),))
    batches = make(source)
    drawn = {number_of(d) for batch in take(batches, 20) for d in documents(batch)}
    assert 7 not in drawn
    assert batches.problems[0] == (
        "row 7: takes 114 tokens, more than a packed row has, data.pack=64; raise it, or use less text or fewer images"
    )


def test_nothing_but_rows_longer_than_a_packed_one_ends_before_the_first_step(source):
    with pytest.raises(DataError, match=r"rows: all 50 rows are too long; raise it, or use less text or fewer images"):
        make(source, DataConfig(pack=9))


def test_blind_questions_are_divided_among_packed_rows():
    processor = Processor(
        replace(CONFIG, prompt=PromptConfig(turns="blind", separator="?")), TOKENIZER, image_size=8, image_tokens=4
    )
    image = Image.new("RGB", (8, 8))
    turns = tuple(Turn(f"what is {n}", (f"it is {n}",)) for n in range(30))
    batches = make(Source("rows", [Sample([image], turns=turns)]), DataConfig(pack=100), processor=processor)
    said = {number_of(d) for batch in take(batches, 12) for d in documents(batch)}
    assert not batches.problems
    assert len(said) > 5


TILED = Processor(
    replace(CONFIG, image=ImageConfig(fit="tiles", longest_side=32)), TOKENIZER, image_size=8, image_tokens=4
)


def test_rows_of_tiles_are_planned_by_the_sizes_of_their_images(tmp_path):
    rows = []
    for number, size in enumerate([(32, 32), (32, 8), (8, 8), (10, 30), (31, 17)] * 4):
        Image.new("RGB", size, (number, 0, 0)).save(tmp_path / f"{number}.jpg")
        rows.append(Sample([tmp_path / f"{number}.jpg"], turns=(Turn("", (str(number),)),), origin=f"row {number}"))
    batches = make(Source("rows", rows), DataConfig(pack=128), processor=TILED)
    for batch in take(batches, 20):
        assert int((batch.tokens == -1).sum()) == 4 * len(batch.images)
        assert (batch.documents >= 0).float().mean() > 0.7
    assert not batches.problems


def test_image_that_is_not_of_the_size_that_its_header_had_is_refused_and_no_other_row_suffers(tmp_path, monkeypatch):
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    rows = [
        Sample([tmp_path / "a.png"], turns=(Turn("", (str(number),)),), origin=f"row {number}") for number in range(4)
    ]
    monkeypatch.setattr("ojito.processor.processor.read_grid", lambda *args: (0, 0))
    batches = make(Source("rows", rows), DataConfig(pack=100, max_bad=1.0), processor=TILED)
    for batch in take(batches, 3):
        assert (batch.documents.amax(dim=1) == 0).all()  # of many that were planned, the first one of each row
    assert "takes 79 tokens, which is not what its image's header said; save the image again" in batches.problems[0]


def test_broken_image_leaves_the_others_of_its_row(source):
    batches = make(source)
    take(batches, 40)
    assert sorted(problem.split(":")[0] for problem in batches.problems) == ["row 17", "row 40", "row 5"]


def test_stream_is_not_packed():
    with pytest.raises(
        DataError, match=r"scenes: draws its rows, and data.pack=64 is for rows that are there; set data"
    ):
        make(Scenes(), DataConfig(pack=64, split="train"))


def test_negative_pack_is_refused():
    with pytest.raises(ConfigError, match="pack: -1 must be at least 0; use 0 for a row for each sample"):
        DataConfig(pack=-1)


@BOTH
def test_processes_end_with_the_batches(source, config):
    before = len(multiprocessing.active_children())
    batches = make(source, replace(config, workers=2))
    next(batches)
    assert len(multiprocessing.active_children()) == before + (3 if config.pack else 2)
    del batches
    assert len(multiprocessing.active_children()) == before


# --------------------------------------------------------------------------------------------------------------- state


@pytest.mark.parametrize("workers", [0, 2])
@BOTH
def test_what_is_gone_on_with_is_the_same_to_the_last_bit(source, config, workers):
    whole = take(make(source, config), 40)
    config = replace(config, workers=workers)
    for stop in (1, 6, 25):  # within an epoch and a window, and beyond both
        first = make(source, config)
        take(first, stop)
        assert same(take(make(source, config, state=first.state_dict()), 5), whole[stop : stop + 5])


@BOTH
def test_every_place_can_be_gone_on_from(text, config):
    train = replace(TRAIN, batch_size=2, accumulate=2)
    batches = make(text, config, train)
    whole, states = [], []
    for _ in range(45 if config.pack else 90):  # more than two epochs, and more than one window
        states.append(batches.state_dict())
        whole.append(next(batches))
    if config.pack:
        assert len({state["position"]["sample"] for state in states}) > 1
        assert any(state["position"]["packed"] == 0 for state in states[1:])
    for stop in [*range(5), *range(5, len(whole) - 1, 3)]:
        assert same(take(make(text, config, train, state=states[stop]), 2), whole[stop : stop + 2])


def test_epoch_that_ends_with_a_batch_is_gone_on_with_in_the_next(text):
    batches = make(text, DataConfig())
    whole = take(batches, 12)
    first = make(text, DataConfig())
    take(first, 10)  # 40 rows
    assert first.state_dict()["position"] == {"sample": 40, "packed": 0}
    assert same(take(make(text, DataConfig(), state=first.state_dict()), 2), whole[10:])


@BOTH
def test_run_may_be_gone_on_with_again_and_again(source, config):
    whole = take(make(source, config), 21)
    state, parts = None, []
    for _ in range(7):
        batches = make(source, config, state=state)
        parts += take(batches, 3)
        state = batches.state_dict()
    assert same(parts, whole)


@pytest.mark.parametrize("workers", [0, 2])
@BOTH
def test_bad_rows_are_known_and_not_told_again(source, config, workers, caplog):
    whole = make(source, replace(config, workers=workers))
    take(whole, 30)
    first = make(source, config)
    take(first, 4)
    found = len(first.problems)
    assert 0 < found < 3
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        second = make(source, replace(config, workers=workers), state=first.state_dict())
        assert second.problems == first.problems
        take(second, 26)
    assert second.problems == whole.problems
    assert second.state_dict() == whole.state_dict()
    assert len(caplog.messages) == 3 - found


def test_bad_rows_of_before_count_toward_the_budget(source):
    first = make(source, DataConfig(max_bad=0.05))  # 2 of 50
    with pytest.raises(DataError, match="3 of 50 rows are bad"):
        take(first, 20)
    first = make(source, DataConfig(max_bad=0.05))
    while not first.problems:
        next(first)
    assert len(first.problems) < 3
    second = make(source, DataConfig(max_bad=0.05), state=first.state_dict())
    with pytest.raises(DataError, match="3 of 50 rows are bad"):
        take(second, 20)


def test_state_is_that_of_the_batches_that_were_returned_whatever_processes_have_read(source):
    ahead, alone = make(source, replace(PACKED, workers=2)), make(source)
    take(ahead, 5)
    take(alone, 5)
    assert ahead.state_dict() == alone.state_dict()
    assert ahead.number == 5


def test_accumulate_may_change_between_steps(text):
    first = make(text, SINGLE)
    take(first, 3)
    halves = take(make(text, SINGLE, replace(TRAIN, accumulate=2), state=first.state_dict()), 4)
    whole = take(first, 2)
    assert [d for b in halves for d in documents(b)] == [d for b in whole for d in documents(b)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"train": replace(TRAIN, seed=4)}, "seed 3, now 4"),
        ({"train": replace(TRAIN, batch_size=8)}, "batch_size 4, now 8"),
        ({"config": replace(PACKED, pack=80)}, "pack 64, now 80"),
    ],
)
def test_state_of_other_settings_is_refused(text, change, said):
    state = make(text).state_dict()
    with pytest.raises(OjitoError, match=f"^state of the data: was saved with {said}; go on with the same data"):
        make(text, state=state, **change)


def test_state_of_other_data_is_refused(text):
    state = make(text).state_dict()
    text.rows.pop()
    with pytest.raises(OjitoError, match="was saved with rows 40, now 39"):
        make(text, state=state)


@pytest.mark.parametrize("values", [{}, {"number": 3}, {"data": 3}, [], {"data": {"rows": "x"}}])
def test_state_that_is_none_is_refused(text, values):
    with pytest.raises(OjitoError, match=r"^state of the data: is not one of a loader; give what Batches"):
        make(text, state=values)


def test_state_is_loaded_before_the_first_batch(text):
    batches = make(text)
    state = batches.state_dict()
    next(batches)
    with pytest.raises(OjitoError, match="comes after the first batch; load it before"):
        batches.load_state_dict(state)


# --------------------------------------------------------------------------------------------------------------- ranks


def of_ranks(source, config, ranks, count, train=TRAIN, states=None):
    """What all ranks read together, batch by batch, and their loaders."""
    loaders = [make(source, config, train, rank=rank, ranks=ranks, state=states) for rank in range(ranks)]
    return [[d for loader in loaders for d in documents(next(loader))] for _ in range(count)], loaders


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("accumulate", [1, 2])
@BOTH
def test_ranks_share_the_batch_of_one(source, config, ranks, accumulate):
    train = replace(TRAIN, batch_size=8, accumulate=accumulate)
    whole = [documents(batch) for batch in take(make(source, config, train), 12)]
    assert of_ranks(source, config, ranks, 12, train)[0] == whole


def test_packed_rows_stay_whole_on_a_rank(source):
    for batch in take(make(source, rank=1, ranks=2), 3):
        assert batch.tokens.shape == (2, 64)


@pytest.mark.parametrize(("before", "after"), [(1, 2), (4, 2), (2, 1)])
@BOTH
def test_run_is_gone_on_with_on_another_number_of_ranks(source, config, before, after):
    whole = make(source, config)
    expected = [documents(batch) for batch in take(whole, 20)]
    first, loaders = of_ranks(source, config, before, 7)
    state = merge_states([loader.state_dict() for loader in loaders])
    second, loaders = of_ranks(source, config, after, 13, states=state)
    assert first + second == expected
    bad = {problem for loader in loaders for problem in loader.problems}
    assert bad == {*whole.problems}
    merged = merge_states([loader.state_dict() for loader in loaders])
    assert sorted(merged["bad"]) == sorted(whole.state_dict()["bad"])


def test_states_of_different_batches_are_not_merged(source):
    loaders = [make(source, rank=rank, ranks=2) for rank in range(2)]
    next(loaders[0])
    with pytest.raises(OjitoError, match="rank 1 is at batch 0, and rank 0 at 1; save all ranks after the same step"):
        merge_states([loader.state_dict() for loader in loaders])


@BOTH
def test_rank_whose_rows_are_all_bad_waits_for_the_others(source, config):
    for row in source.rows[:40]:
        row.images[0].write_bytes(b"")
    config = replace(config, max_bad=1.0, pack=42 if config.pack else 0)  # of one sample or two
    train = replace(TRAIN, batch_size=4)
    whole = take(make(source, config, train), 40)
    batches, loaders = of_ranks(source, config, 4, 40, train)
    assert batches == [documents(batch) for batch in whole]
    assert {loader.number for loader in loaders} == {40}
    blank = [batch for batch in whole if not batch.num_samples]
    assert blank
    for batch in blank:
        assert batch.images is None
        assert (batch.targets < 0).all()
        assert (batch.segments == PADDING).all()


@pytest.mark.parametrize("ranks", [1, 2])
@BOTH
def test_nothing_but_bad_rows_ends_at_the_first_batch(source, config, ranks):
    for row in source.rows:
        row.images[0].write_bytes(b"")
    batches = make(source, replace(config, max_bad=1.0), rank=0, ranks=ranks)
    with pytest.raises(DataError, match=r"^rows: all 50 rows are bad; mend them\n  row"):
        next(batches)


def test_rows_that_turn_bad_end_a_run_that_has_learned(source):
    batches = make(source, replace(SINGLE, cache_mb=0, max_bad=1.0))
    next(batches)
    for row in source.rows:
        row.images[0].write_bytes(b"")
    with pytest.raises(DataError, match=r"^rows: all 50 rows are bad"):
        take(batches, 300)


@pytest.mark.parametrize(
    ("ranks", "accumulate", "said"),
    [
        (3, 1, "4 cannot be divided among 3 ranks; use a multiple of 3, for example 6"),
        (4, 2, "4 cannot be divided among 4 ranks in 2 micro-batches; use a multiple of 8, for example 8"),
    ],
)
def test_rows_that_ranks_cannot_share_are_refused(text, ranks, accumulate, said):
    with pytest.raises(ConfigError, match=f"^train.batch_size: {said}$"):
        make(text, train=replace(TRAIN, accumulate=accumulate), ranks=ranks)


@pytest.mark.parametrize("rank", [-1, 2])
def test_rank_that_there_is_not_is_refused(text, rank):
    with pytest.raises(OjitoError, match=f"rank: {rank} is not one of 2; use 0 to 1"):
        make(text, rank=rank, ranks=2)


# ---------------------------------------------------------------------------------------------------------- large data


class Lazy(Sequence):
    """Rows that are made when they are asked for, and counted."""

    def __init__(self, count, long=()):
        self.count, self.long, self.read = count, long, 0

    def __len__(self):
        return self.count

    def __getitem__(self, number):
        if not 0 <= number < self.count:
            raise IndexError(number)
        self.read += 1
        text = "a" * 600 if number in self.long else "a" * (number % 17) + f" {number}"
        return Sample(turns=(Turn("", (text,)),), origin=f"row {number}")


class LazySource:
    name, problems = "lazy", ()

    def __init__(self, *rows):
        self.rows = Lazy(*rows)

    def samples(self, split, limit=None):
        return self.rows


@BOTH
def test_large_source_is_not_read_whole(config):
    source = LazySource(5_000_000)
    batches = make(source, replace(config, flip=True))
    assert source.rows.read == 0
    drawn = [number_of(d) for batch in take(batches, 3) for d in documents(batch)]
    assert len({*drawn}) == len(drawn)
    assert max(drawn) > 1_000_000
    assert source.rows.read < 2000


@BOTH
def test_row_that_is_too_long_is_refused_late_where_there_are_many(monkeypatch, config):
    monkeypatch.setattr(lengths, "LARGE", 20)
    source = LazySource(30, (3, 4))
    batches = make(source, config)
    drawn = {number_of(d) for batch in take(batches, 30) for d in documents(batch)}
    assert drawn == {*range(30)} - {3, 4}
    assert sorted(problem.split(":")[0] for problem in batches.problems) == ["row 3", "row 4"]


def test_small_lazy_source_is_looked_through_at_the_start():
    batches = make(LazySource(30, (3,)))
    assert [problem.split(":")[0] for problem in batches.problems] == ["row 3"]


def test_flip_refuses_a_row_of_many_that_says_where_things_are(monkeypatch):
    monkeypatch.setattr(lengths, "LARGE", 5)
    rows = tuple(Sample(turns=(Turn("q", ("<loc0000> a" if n == 3 else "a",)),), origin=f"row {n}") for n in range(9))

    class Located(LazySource):
        def samples(self, split, limit=None):
            return LazyTuple(rows)

    class LazyTuple(Lazy):
        def __init__(self, rows):
            self.rows, self.count = rows, len(rows)

        def __getitem__(self, number):
            return self.rows[number]

    batches = make(Located(9), DataConfig(flip=True, max_bad=0.2))
    take(batches, 6)
    assert batches.problems == ["row 3: data.flip would make <loc0000> wrong, left for right; set data.flip=false"]
