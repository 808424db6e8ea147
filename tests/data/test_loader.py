import itertools
import json
import logging
from dataclasses import dataclass, field, replace

import pytest
import torch
from PIL import Image

from ojito.config import ColourConfig, Config, DataConfig, ImageConfig, ProcessorConfig, TokenizerConfig, TrainConfig
from ojito.data import Batches, DataError, Scenes, Source, open_data, read_source, training_texts
from ojito.processor import Processor, Tokenizer
from ojito.records import IMAGE, PADDING, Sample, Turn
from ojito.settings import read
from tests.noise import noise

CONFIG = ProcessorConfig(tokenizer=TokenizerConfig(kind="characters"))
TOKENIZER = Tokenizer.train(CONFIG.tokenizer, ["abcdefghijklmnopqrstuvwxyz 0123456789?\n"], 100)
PROCESSOR = Processor(CONFIG, TOKENIZER, image_size=8, image_tokens=1)
TRAIN = TrainConfig(batch_size=4, seed=3)


def image_rows(folder, count, broken=()):
    rows = []
    for number in range(count):
        path = folder / f"{number}.png"
        Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
        if number in broken:
            path.write_bytes(path.read_bytes()[:45])
        rows.append(Sample([path], turns=(Turn("", (f"number {number}", f"or {number}")),), origin=f"row {number}"))
    return Source("rows", rows)


def take(source, count, config=DataConfig(), train=TRAIN, processor=PROCESSOR, **options):  # noqa: B008
    return list(itertools.islice(Batches(source, processor, config, train, **options), count))


def answers(batch):
    """The answer of every row, read back from its targets."""
    return [PROCESSOR.decode(t[t >= 0]) for t in batch.targets]


def numbers(batch):
    return [int(text.split()[-1]) for text in answers(batch)]


def same(left, right):
    return all(
        torch.equal(getattr(a, name), getattr(b, name))
        for a, b in zip(left, right, strict=True)
        for name in ("tokens", "positions", "segments", "prefix", "targets", "images")
    )


def test_every_epoch_holds_every_row_once_in_an_order_of_its_own(tmp_path):
    epochs = [
        [n for batch in take(image_rows(tmp_path, 12), 9) for n in numbers(batch)][i : i + 12] for i in (0, 12, 24)
    ]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_epoch_that_is_no_multiple_of_the_batch_goes_on_into_the_next(tmp_path):
    drawn = [n for batch in take(image_rows(tmp_path, 6), 3) for n in numbers(batch)]
    assert sorted(drawn[:6]) == sorted(drawn[6:]) == list(range(6))


def test_rows_of_one_length_share_a_batch():
    texts = ["ab" * n for n in range(1, 29)]
    epoch = [answers(batch) for batch in take(Source("rows", [Sample(turns=(Turn("", (t,)),)) for t in texts]), 7)]
    assert sorted(text for batch in epoch for text in batch) == texts
    assert {max(map(len, batch)) - min(map(len, batch)) for batch in epoch} == {6}
    shortest = [min(map(len, batch)) for batch in epoch]
    assert shortest != sorted(shortest)


def test_batch_that_goes_on_into_the_next_epoch_takes_no_other_out_of_step():
    rows = Source("rows", [Sample(turns=(Turn("", ("ab" * n,)),)) for n in range(1, 31)])  # 7 batches, and half of one
    spread = [max(map(len, batch)) - min(map(len, batch)) for batch in map(answers, take(rows, 15))]
    assert [number for number, width in enumerate(spread) if width > 10] == [7]


def test_accumulation_divides_a_batch_of_rows_of_one_length(tmp_path):
    rows = Source("rows", [Sample(turns=(Turn("", ("ab" * n,)),)) for n in range(1, 31)])
    whole = [text for batch in take(rows, 12) for text in answers(batch)]
    halves = [text for batch in take(rows, 24, train=replace(TRAIN, accumulate=2)) for text in answers(batch)]
    assert halves == whole


def test_batch_may_be_larger_than_the_source(tmp_path):
    (batch,) = take(image_rows(tmp_path, 3), 1, train=replace(TRAIN, batch_size=9))
    assert sorted(numbers(batch)) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_images_stay_with_their_answers(tmp_path):
    for batch in take(image_rows(tmp_path, 12), 3):
        red = ((batch.images[:, 0, 0, 0] * 0.5 + 0.5) * 255).round().int()
        assert red.tolist() == numbers(batch)


def test_seed_changes_output_reproducibly(tmp_path):
    source = image_rows(tmp_path, 12)
    assert same(take(source, 5), take(source, 5))
    assert [numbers(b) for b in take(source, 5)] != [numbers(b) for b in take(source, 5, train=replace(TRAIN, seed=4))]


def test_all_answers_of_a_row_are_drawn(tmp_path):
    said = {text for batch in take(image_rows(tmp_path, 2), 20) for text in answers(batch)}
    assert said == {"number 0", "or 0", "number 1", "or 1"}


def test_batch_size_and_accumulate_change_output(tmp_path):
    source = image_rows(tmp_path, 12)
    assert len(take(source, 1, train=replace(TRAIN, batch_size=6))[0].tokens) == 6
    assert len(take(source, 1, train=replace(TRAIN, batch_size=6, accumulate=3))[0].tokens) == 2


def rows_of(batches):
    """Every row: its answer, and its image as it was read."""
    return [(text, image.sum().item()) for b in batches for text, image in zip(answers(b), b.images, strict=True)]


@pytest.mark.parametrize("accumulate", [2, 4])
@pytest.mark.parametrize("workers", [0, 2])
def test_accumulate_and_workers_change_neither_rows_nor_answers_nor_mirrors(tmp_path, accumulate, workers):
    source = image_rows(tmp_path, 6)  # a batch reaches from one epoch into the next
    for row in source.rows:
        left = Image.open(row.images[0]).convert("RGB")
        left.paste((255, 255, 255), (0, 0, 2, 8))
        left.putpixel((7, 7), (0, 9, 0))
        left.save(row.images[0])
    config = DataConfig(flip=True, workers=workers)
    whole = take(source, 4, replace(config, workers=0))
    parts = take(source, 4 * accumulate, config, replace(TRAIN, accumulate=accumulate))
    assert rows_of(whole) == rows_of(parts)
    mirrored = [bool(image[0, 0, 0] < image[0, 0, -1]) for batch in whole for image in batch.images]
    assert mirrored == [bool(image[0, 0, 0] < image[0, 0, -1]) for batch in parts for image in batch.images]
    assert {*mirrored} == {True, False}


@pytest.mark.parametrize("accumulate", [2, 4])
def test_accumulate_draws_the_same_from_a_stream(accumulate):
    parts = take(Counting(), 3 * accumulate, train=replace(TRAIN, accumulate=accumulate))
    assert [text for b in parts for text in answers(b)] == [text for b in take(Counting(), 3) for text in answers(b)]


def test_split_changes_output(tmp_path):
    source = image_rows(tmp_path, 4)
    source.rows[2] = replace(source.rows[2], split="dev")
    (batch,) = take(source, 1, DataConfig(split="dev"))
    assert numbers(batch) == [2] * 4
    with pytest.raises(DataError, match=r"rows: has no split 'test'; it has train \(3\), dev \(1\)"):
        take(source, 1, DataConfig(split="test"))


def test_worker_processes_make_the_same_batches(tmp_path):
    source = image_rows(tmp_path, 12, broken=(5,))
    alone, shared = (take(source, 7, DataConfig(max_bad=0.5, workers=workers)) for workers in (0, 2))
    assert same(alone, shared)


def test_worker_processes_report_bad_rows(tmp_path):
    with pytest.raises(DataError, match=r"1 of 12 rows are bad"):
        take(image_rows(tmp_path, 12, broken=(5,)), 7, DataConfig(workers=2))


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_leaves_the_random_numbers_of_dropout_alone(tmp_path, workers):
    before = torch.get_rng_state()
    take(image_rows(tmp_path, 4), 2, DataConfig(workers=workers))
    assert torch.equal(torch.get_rng_state(), before)


def test_bad_image_is_named_counted_once_and_skipped_again(tmp_path, caplog):
    source = image_rows(tmp_path, 12, broken=(5,))
    batches = Batches(source, PROCESSOR, DataConfig(max_bad=0.1), TRAIN)
    with caplog.at_level(logging.WARNING):
        drawn = [n for batch in itertools.islice(batches, 9) for n in numbers(batch)]
    assert sorted(drawn) == sorted([n for n in range(12) if n != 5] * 3)
    assert batches.problems == [f"row 5: {tmp_path / '5.png'}: is damaged or cut off; save or copy it again"]
    assert caplog.text.count("skipped row 5") == 1


def test_odd_images_are_learned_and_bad_ones_skipped_the_same_every_time(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    plain = Image.new("RGB", (8, 8), "red")
    odd = {
        "cmyk.jpg": (plain.convert("CMYK"), {}),
        "grey16.png": (Image.new("I;16", (8, 8), 40_000), {}),
        "palette.png": (plain.convert("P"), {}),
        "animated.gif": (plain.convert("P"), {"save_all": True, "append_images": [Image.new("P", (8, 8), 3)]}),
        "turned.jpg": (plain, {"exif": exif}),
        "thin.png": (Image.new("RGB", (1, 999)), {}),
    }
    for name, (image, options) in odd.items():
        image.save(tmp_path / name, **options)
    whole = (tmp_path / "cmyk.jpg").read_bytes()
    (tmp_path / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "words.png").write_text("not an image")
    (tmp_path / "empty.png").touch()
    names = [*odd, "truncated.jpg", "words.png", "empty.png", "missing.png"]
    rows = [json.dumps({"image": name, "caption": f"number {n}"}) for n, name in enumerate(names)]
    (tmp_path / "rows.jsonl").write_text("\n".join([*rows, '{"image": ']))

    def run():
        batches = Batches(read_source(tmp_path, max_bad=0.5), PROCESSOR, DataConfig(max_bad=0.5), TRAIN)
        learned = {n for batch in itertools.islice(batches, 4) for n in numbers(batch)}
        return learned, batches.problems

    learned, problems = run()
    assert learned == set(range(len(odd)))
    assert sorted(int(problem.split(":")[1]) for problem in problems) == [7, 8, 9, 10, 11]
    assert run() == (learned, problems)


def test_row_with_too_much_text_is_skipped_like_a_bad_image(tmp_path):
    source = image_rows(tmp_path, 12)
    source.rows[7] = replace(source.rows[7], turns=(Turn("", ("long " * 200,)),))
    batches = Batches(source, PROCESSOR, DataConfig(max_bad=0.1), TRAIN)
    assert 7 not in [n for batch in itertools.islice(batches, 3) for n in numbers(batch)]
    assert batches.problems[0].startswith("row 7: has 1")


def test_budget_counts_the_broken_rows_of_the_loader_against_the_rows_it_serves(tmp_path):
    source = image_rows(tmp_path, 20, broken=(5,))
    source.rows += [replace(row, split="dev") for row in source.rows]
    source.problems.append("rows:99: is not JSON")
    assert take(source, 9, DataConfig(max_bad=0.05))
    with pytest.raises(DataError, match=r"^rows: 1 of 20 rows are bad, more than data.max_bad=0.04 allows"):
        take(source, 9, DataConfig(max_bad=0.04))


def test_bad_lines_that_opening_let_pass_leave_the_budget_of_images_whole(tmp_path):
    image_rows(tmp_path, 20, broken=(5,))
    lines = [f"{image}.png,number {image}" for image in range(20) for _ in range(5)]
    (tmp_path / "captions.csv").write_text("\n".join(["image,caption", *lines, *["none.png,x"] * 5]))
    batches = Batches(read_source(tmp_path), PROCESSOR, DataConfig(), TRAIN)
    drawn = [n for batch in itertools.islice(batches, 5) for n in numbers(batch)]
    assert sorted(drawn) == [n for n in range(20) if n != 5]
    assert [problem.split(":")[1] for problem in batches.problems] == ["102", "103", "104", "105", "106", "27"]


@pytest.mark.parametrize("workers", [0, 2])
def test_nothing_but_broken_images_ends_whatever_the_budget(tmp_path, workers):
    source = image_rows(tmp_path, 3, broken=(0, 1, 2))
    source.problems.append("rows:9: is not JSON")
    with pytest.raises(DataError, match=r"^rows: all 3 rows are bad; mend them\n  row \d: .*.png: is damaged"):
        take(source, 1, DataConfig(max_bad=1.0, workers=workers), replace(TRAIN, batch_size=2))


def test_row_that_is_bad_with_some_of_its_answers_only_is_waited_for():
    source = Source("text", [Sample(turns=(Turn("", ("a" * 600,) * 9 + ("b",)),))])
    batches = take(source, 9, DataConfig(max_bad=1.0), replace(TRAIN, batch_size=1))
    assert [answers(batch) for batch in batches] == [["b"]] * 9


def test_batch_without_a_single_good_row_is_one_that_nothing_is_learned_from(tmp_path):
    source = image_rows(tmp_path, 3, broken=(0, 2))
    batches = take(source, 6, DataConfig(max_bad=1.0), replace(TRAIN, batch_size=1))
    assert sorted(map(answers, batches)) == [[""]] * 4 + [["number 1"], ["or 1"]]
    blank = next(batch for batch in batches if answers(batch) == [""])
    assert (blank.images, blank.num_samples) == (None, 0)
    assert (blank.segments == PADDING).all()


def test_cache_reads_an_image_once(tmp_path):
    source = image_rows(tmp_path, 4)
    batches = Batches(source, PROCESSOR, DataConfig(), TRAIN)
    first = next(batches)
    for row in source.rows:
        row.images[0].unlink()
    assert sorted(numbers(next(batches))) == sorted(numbers(first)) == [0, 1, 2, 3]


def test_cache_mb_changes_output(tmp_path):
    source = image_rows(tmp_path, 4)
    batches = Batches(source, PROCESSOR, DataConfig(cache_mb=0), TRAIN)
    next(batches)
    for row in source.rows:
        row.images[0].unlink()
    with pytest.raises(DataError, match="does not exist"):
        next(batches)


def test_rows_without_images_make_batches():
    source = Source("text", [Sample(turns=(Turn("what?", ("a",)),))])
    (batch,) = take(source, 1)
    assert batch.images is None


# ------------------------------------------------------------------------------------------------------------ streams


@dataclass
class Counting:
    """A stream whose answers tell how it was asked for."""

    name: str = "counting"
    length: int = 1
    seeds: list = field(default_factory=list)

    def stream(self, split, seed):
        for number in itertools.count():
            yield Sample(turns=(Turn("q" * self.length, (f"{split} {seed % 1000} {number}",)),))


def test_stream_gets_split_and_a_new_seed_for_every_batch():
    batches = take(Counting(), 3, DataConfig(split="dev"))
    said = [[text.split() for text in answers(batch)] for batch in batches]
    assert [[(split, number) for split, _, number in rows] for rows in said] == [
        [("dev", str(number)) for number in range(4)]
    ] * 3
    assert len({rows[0][1] for rows in said}) == 3


def test_stream_gives_the_same_batches_in_worker_processes():
    alone, shared = (take(Counting(), 5, DataConfig(workers=workers)) for workers in (0, 2))
    assert [answers(batch) for batch in alone] == [answers(batch) for batch in shared]


def test_stream_of_bad_rows_ends_instead_of_searching_for_ever():
    with pytest.raises(DataError, match=r"counting: 4 of 4 rows are bad"):
        take(Counting(length=600), 1)


def test_stream_of_bad_rows_ends_whatever_the_budget():
    with pytest.raises(DataError, match=r"counting: all 1000 rows are bad"):
        take(Counting(length=600), 1, DataConfig(max_bad=1.0))


@pytest.mark.parametrize("workers", [0, 2])
def test_wrong_split_of_a_stream_is_refused_before_the_first_batch(workers):
    with pytest.raises(ValueError, match=r"'trian' is no split of scenes; did you mean train\?"):
        Batches(Scenes(), PROCESSOR, DataConfig(split="trian", workers=workers), TRAIN)


def test_scenes_are_streamed_with_their_images():
    config = read(Config, {"processor": {"prompt": {"turns": "blind"}}, "data": {"scenes": {"questions": 3}}})
    source = open_data(config)
    assert isinstance(source, Scenes)
    tokenizer = Tokenizer.train(config.processor.tokenizer, training_texts(source, config, drawn=50), 400)
    processor = Processor(config.processor, tokenizer, 48, 9)
    batches = take(source, 2, processor=processor)
    assert [batch.images.shape for batch in batches] == [(4, 3, 48, 48)] * 2
    assert all((batch.tokens == IMAGE).sum() == 36 for batch in batches)
    assert max(int(batch.segments.max()) for batch in batches) == 3


# -------------------------------------------------------------------------------------------------------- open a recipe


def test_open_data_knows_files_and_built_in_sources(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "rows.jsonl").write_text('{"image": "a.png", "caption": "x", "question": "q", "answer": "a"}')
    config = read(Config, {"data": {"path": str(tmp_path)}})
    assert [len(row.turns) for row in open_data(config).rows] == [1, 1]
    blind = read(Config, {"data": {"path": str(tmp_path)}, "processor": {"prompt": {"turns": "blind"}}})
    assert [len(row.turns) for row in open_data(blind).rows] == [2]
    pytest.importorskip("skimage")
    assert len(open_data(read(Config, {"data": {"path": "photos16"}})).rows) == 16


def test_open_data_passes_max_bad_on(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "rows.jsonl").write_text('{"image": "a.png", "caption": "x"}\n{')
    with pytest.raises(DataError, match="1 of 2 rows"):
        open_data(read(Config, {"data": {"path": str(tmp_path)}}))
    assert open_data(read(Config, {"data": {"path": str(tmp_path), "max_bad": 0.5}})).problems


def test_training_texts_are_those_of_the_training_split(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    rows = [json.dumps({"image": "a.png", "caption": c, "split": s}) for c, s in [("x", "train"), ("y", "dev")]]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    config = read(Config, {"data": {"path": str(tmp_path)}})
    assert list(training_texts(read_source(tmp_path), config)) == ["caption", "\n", "x"]


@pytest.mark.parametrize("size", [(16, 24), (24, 16), (8, 8)])
@pytest.mark.parametrize("tiling", ["idefics3", "nanovlm"])
def test_flip_mirrors_an_image_and_not_only_its_tiles(tiling, size):
    photo = noise(size, spread=99)
    config = replace(CONFIG, image=ImageConfig(fit="tiles", longest_side=max(size), tiling=tiling))
    processor = Processor(config, TOKENIZER, image_size=8, image_tokens=1)
    mirrored = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    images = [processor([Sample([image])]).images for image in (photo, mirrored)]
    rows = [Sample([photo], turns=(Turn("", ("a",)),))]
    batches = take(Source("rows", rows), 20, DataConfig(flip=True), replace(TRAIN, batch_size=1), processor)
    met = [[torch.allclose(batch.images, image, atol=0.02) for image in images] for batch in batches]
    assert all(sum(found) == 1 for found in met)
    assert [True, False] in met
    assert [False, True] in met


LOCATED = "<loc0000><loc0100><loc0200><loc0300> cat"


@pytest.mark.parametrize(("setting", "exchanged"), [("flip", "left for right"), ("vertical_flip", "top for bottom")])
@pytest.mark.parametrize("turn", [Turn("detect cat", ("none", LOCATED)), Turn(f"what is at {LOCATED[:36]}?", ("a",))])
def test_flip_refuses_rows_that_say_where_things_are(turn, setting, exchanged):
    rows = [Sample(turns=(Turn("q", ("a",)),)), Sample(turns=(Turn("q", ("a",)), turn), origin="rows.jsonl:2")]
    with pytest.raises(DataError, match=rf"^rows\.jsonl:2: data\.{setting} would make <loc0000> wrong, {exchanged}"):
        Batches(Source("rows", rows), PROCESSOR, DataConfig(**{setting: True}), TRAIN)
    assert Batches(Source("rows", rows), PROCESSOR, DataConfig(), TRAIN)
    assert Batches(Source("rows", rows[:1]), PROCESSOR, DataConfig(**{setting: True}), TRAIN)


@pytest.mark.parametrize(("setting", "window"), [("flip", (0, 0, 4, 8)), ("vertical_flip", (0, 0, 8, 4))])
def test_flip_mirrors_half_of_the_images_and_nothing_else(setting, window):
    image = Image.new("RGB", (8, 8))
    image.paste((255, 255, 255), window)
    rows = [Sample([image, image], turns=(Turn("", (f"number {n}",)),)) for n in range(8)]
    plain, flipped = (take(Source("rows", rows), 20, DataConfig(**{setting: flip})) for flip in (False, True))
    assert all(torch.equal(a.tokens, b.tokens) for a, b in zip(plain, flipped, strict=True))
    mirrored = [bool(image[0, 0, 0] < image[0, -1, -1]) for batch in flipped for image in batch.images]
    assert not any(image[0, 0, 0] < image[0, -1, -1] for batch in plain for image in batch.images)
    assert mirrored[::2] == mirrored[1::2]  # the images of a row belong together
    assert 25 <= sum(mirrored[::2]) <= 55  # of 80
    again = take(Source("rows", rows), 20, DataConfig(**{setting: True}))
    assert same(flipped, again)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_colour_changes_the_images_of_a_row_alike_and_nothing_else(name):
    image = Image.merge("RGB", [noise((8, 8), seed, mode="L") for seed in range(3)])
    rows = [Sample([image, image], turns=(Turn("", (f"number {n}",)),)) for n in range(8)]
    config = DataConfig(colour=ColourConfig(**{name: 0.6}))
    plain, coloured = (take(Source("rows", rows), 6, data) for data in (DataConfig(), config))
    assert all(torch.equal(a.tokens, b.tokens) for a, b in zip(plain, coloured, strict=True))
    images = [image for batch in coloured for image in batch.images]
    assert all(torch.equal(a, b) for a, b in zip(images[::2], images[1::2], strict=True))
    assert len({tuple(image.flatten().tolist()) for image in images}) == len(images) // 2
    assert same(coloured, take(Source("rows", rows), 6, config))


def test_row_that_would_lose_image_tokens_is_left_out_by_name_and_none_is_cut(tmp_path):
    processor = Processor(CONFIG, TOKENIZER, image_size=8, image_tokens=4, max_positions=24)
    few = image_rows(tmp_path, 8).rows
    many = replace(few[0], images=[*few[0].images] * 6, origin="many images")
    wordy = replace(few[0], turns=(Turn("", ("x" * 40,)),), origin="many words")
    batches = Batches(Source("rows", [*few, many, wordy]), processor, DataConfig(max_bad=0.5), TRAIN)
    for batch in itertools.islice(batches, 12):
        assert (batch.tokens == IMAGE).sum(1).tolist() == [4] * len(batch.tokens)
        assert batch.num_images == len(batch.tokens)
    images, *_, words = sorted(batches.problems)
    assert images.startswith("many images: needs ")
    assert "4 for each of 6 images, and the decoder has 24; use fewer images or less text" in images
    assert words.startswith("many words: needs ")
