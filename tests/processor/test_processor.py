import random
from dataclasses import replace

import pytest
import torch
from PIL import Image

from ojito.config import ImageConfig, ProcessorConfig, PromptConfig, TokenizerConfig
from ojito.processor import ImageError, Processor, RowError, Tokenizer, TooLongError
from ojito.processor.pixels import normalize, pixels
from ojito.processor.tiles import Tiles, read_image
from ojito.records import IGNORE, IMAGE, PADDING, Sample, Turn
from ojito.settings import ConfigError
from tests.noise import noise

RED, BLUE = Image.new("RGB", (9, 7), "red"), Image.new("RGB", (5, 8), "blue")
CONFIG = ProcessorConfig(tokenizer=TokenizerConfig(kind="characters"))
TOKENIZER = Tokenizer.train(CONFIG.tokenizer, ["what colour is it? red blue both caption\n"], 100)
SAMPLES = [
    Sample([RED], turns=(Turn("what colour?", ("red",)),)),
    Sample([BLUE, RED], turns=(Turn("what?", ("both",)), Turn("is it?", ("red", "blue")))),
    Sample([], turns=(Turn("is it blue?", ("it is",)),)),
]
FIELDS = ("tokens", "positions", "segments", "prefix", "targets")


def processor(config=CONFIG, image_size=8, image_tokens=4):
    return Processor(config, TOKENIZER, image_size, image_tokens)


@pytest.mark.parametrize("turns", ["chat", "blind"])
@pytest.mark.parametrize("training", [True, False])
def test_batched_equals_single_with_padding_beside(training, turns):
    made = processor(replace(CONFIG, prompt=PromptConfig(turns=turns)))
    batch = made(SAMPLES, training)
    for number, sample in enumerate(SAMPLES):
        single = made([sample], training)
        length = single.tokens.shape[1]
        place = slice(0, length) if training else slice(batch.tokens.shape[1] - length, None)
        for name in FIELDS:
            assert torch.equal(getattr(batch, name)[number, place], getattr(single, name)[0])
        padding = torch.ones(batch.tokens.shape[1], dtype=torch.bool)
        padding[place] = False
        assert (batch.tokens[number, padding] == TOKENIZER.pad).all()
        assert (batch.segments[number, padding] == PADDING).all()
        assert (batch.targets[number, padding] == IGNORE).all()
        assert not batch.prefix[number, padding].any()


def test_batch_has_the_types_and_shapes_of_records():
    batch = processor()(SAMPLES, training=True)
    for name in FIELDS:
        tensor = getattr(batch, name)
        assert tensor.shape == batch.tokens.shape
        assert tensor.dtype == (torch.bool if name == "prefix" else torch.int64)
    assert (batch.images.shape, batch.images.dtype) == ((3, 3, 8, 8), torch.float32)


def test_image_places_and_images_agree_in_number_and_order():
    batch = processor()(SAMPLES)
    assert (batch.tokens == IMAGE).sum(1).tolist() == [4, 8, 0]
    config = ImageConfig()
    assert torch.equal(batch.images, torch.stack([pixels(image, 8, config) for image in (RED, BLUE, RED)]))


def test_batch_without_images_has_no_images():
    assert processor()(SAMPLES[2:]).images is None


def test_training_changes_output():
    learned, asked = (processor()(SAMPLES, training) for training in (True, False))
    assert (learned.targets != IGNORE).any()
    assert (asked.targets == IGNORE).all()
    assert (asked.segments[:, -1] != PADDING).all()  # all rows go on at the same place
    assert (learned.segments[:, 0] != PADDING).all()


def test_rng_changes_output_reproducibly():
    targets = {seed: processor()(SAMPLES, True, random.Random(seed)).targets.tolist() for seed in range(8)}
    assert len({str(t) for t in targets.values()}) == 2
    assert targets == {seed: processor()(SAMPLES, True, random.Random(seed)).targets.tolist() for seed in range(8)}


def test_image_size_and_image_tokens_change_output():
    assert processor(image_size=6)(SAMPLES).images.shape == (3, 3, 6, 6)
    assert (processor(image_tokens=9)(SAMPLES).tokens == IMAGE).sum() == 27


def test_image_config_changes_output():
    dark = replace(CONFIG, image=ImageConfig(mean=(1.0, 1.0, 1.0)))
    assert not torch.equal(processor(dark)(SAMPLES).images, processor()(SAMPLES).images)


def test_decode_reads_a_tensor_of_ids():
    assert processor().decode(torch.tensor([*TOKENIZER.encode("red"), TOKENIZER.eos])) == "red"


def test_read_stands_in_for_reading():
    row = processor().row(SAMPLES[0], read=lambda image: Tiles(torch.full((1, 3, 8, 8), 7, dtype=torch.uint8)))
    assert (row.images[0].pixels == 7).all()


TILED = replace(CONFIG, image=ImageConfig(fit="tiles", longest_side=24))


def test_every_tile_of_a_image_has_its_places_and_its_pixels():
    batch = processor(TILED)(SAMPLES)
    read = [read_image(image, 8, TILED.image) for image in (RED, BLUE, RED)]
    assert [len(tiles.pixels) for tiles in read] == [10, 7, 10]
    assert (batch.tokens == IMAGE).sum(1).tolist() == [40, 68, 0]
    assert torch.equal(batch.images, normalize(torch.cat([tiles.pixels for tiles in read]), TILED.image))


def test_whole_image_may_come_before_its_tiles():
    photo = Image.radial_gradient("L").resize((30, 20))
    last, first = (
        processor(replace(TILED, prompt=PromptConfig(whole=whole)))([Sample([photo, photo])]).images
        for whole in ("last", "first")
    )
    count = len(last) // 2
    assert torch.equal(first, torch.cat([last[count - 1 : count], last[: count - 1]] * 2))
    assert not torch.equal(first, last)


def test_decode_takes_off_the_white_space_before_an_answer():
    ids = TOKENIZER.encode(" red")
    assert processor().decode(ids) == " red"
    assert processor(replace(CONFIG, prompt=PromptConfig(before_answer=" "))).decode(ids) == "red"


def test_saved_processor_keeps_the_names_of_its_tokens(tmp_path):
    names = TokenizerConfig(
        kind="characters", bos="<b>", eos=("<end>", "<eos>"), pad="<p>", special=("<x>",), added=("<loc{0..3}>",)
    )
    config = replace(CONFIG, tokenizer=names, prompt=PromptConfig(separator="<x>"))
    tokenizer = Tokenizer.train(names, ["what colour? red"], 100)
    Processor(config, tokenizer, 8, 4).save(tmp_path)
    again = Processor.load(tmp_path).tokenizer
    for name in ("bos", "eos", "ends", "pad", "size", "whole"):
        assert getattr(again, name) == getattr(tokenizer, name)
    sample = Sample(turns=(Turn("what<loc2><x>", ("red",)),))
    assert Processor.load(tmp_path).row(sample, True) == Processor(config, tokenizer, 8, 4).row(sample, True)


def test_saved_processor_does_not_say_where_its_tokenizer_came_from(tmp_path):
    TOKENIZER.save(tmp_path / "theirs.json")
    config = replace(CONFIG, tokenizer=TokenizerConfig(kind="file", path=str(tmp_path / "theirs.json")))
    Processor(config, TOKENIZER, 8, 4).save(tmp_path / "ours")
    assert str(tmp_path) not in (tmp_path / "ours" / "processor.json").read_text()
    assert Processor.load(tmp_path / "ours").config.tokenizer == TokenizerConfig(kind="file", path="tokenizer.json")


@pytest.mark.parametrize("turns", ["chat", "blind"])
def test_saved_processor_roundtrips(turns, tmp_path):
    config = replace(
        CONFIG, image=ImageConfig(fit="pad", max_pixels=100), prompt=PromptConfig(turns=turns, caption="ü")
    )
    processor(config).save(tmp_path / "new" / "folder")
    assert sorted(p.name for p in (tmp_path / "new" / "folder").iterdir()) == ["processor.json", "tokenizer.json"]
    again = Processor.load(tmp_path / "new" / "folder")
    assert (again.config, again.image_size, again.image_tokens) == (config, 8, 4)
    first, second = processor(config)(SAMPLES, True), again(SAMPLES, True)
    assert all(torch.equal(getattr(first, name), getattr(second, name)) for name in (*FIELDS, "images"))


@pytest.mark.parametrize(
    "content", [None, "", "[]", "{}", '{"image_size": 8}', '{"image_size": 8, "image_tokens": -1}', "\x00"]
)
def test_damaged_processor_file_is_refused(content, tmp_path):
    processor().save(tmp_path)
    (tmp_path / "processor.json").unlink()
    if content is not None:
        (tmp_path / "processor.json").write_text(content)
    with pytest.raises(ConfigError, match=r"processor.json: "):
        Processor.load(tmp_path)


def test_missing_tokenizer_file_is_refused(tmp_path):
    processor().save(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match=r"tokenizer.json: cannot be read"):
        Processor.load(tmp_path)


@pytest.mark.parametrize(
    ("prompt", "key"),
    [
        (PromptConfig(turns="blind", image="inline"), "image"),
        (PromptConfig(turns="blind", separator="", caption=""), "separator"),
    ],
)
def test_prompts_that_contradict_themselves_are_refused(prompt, key):
    with pytest.raises(ConfigError, match=f"^processor.prompt.{key}: .*; use"):
        processor(replace(CONFIG, prompt=prompt))


@pytest.mark.parametrize("setting", ["user", "separator", "caption"])
def test_blind_turn_without_a_question_needs_one_place_to_answer_from(setting):
    nothing = PromptConfig(turns="blind", separator="", caption="")
    assert processor(replace(CONFIG, prompt=replace(nothing, **{setting: "what"})))(SAMPLES)


@pytest.mark.parametrize("samples", [[], SAMPLES[0]])
def test_anything_but_a_list_of_samples_is_refused(samples):
    with pytest.raises(ValueError, match=r"the processor takes a list of them; write \[sample\]"):
        processor()(samples)


@pytest.mark.parametrize("lone", ["a.jpg", RED, b"abc"])
def test_lone_image_instead_of_a_list_is_refused(lone):
    with pytest.raises(RowError, match=r"row:3: images is one .*; write images=\[image\]"):
        processor()([Sample(lone, "what?", origin="row:3")])


@pytest.mark.parametrize("turns", ["chat", "blind"])
@pytest.mark.parametrize("image", [ImageConfig(), ImageConfig(fit="tiles", longest_side=16)])
def test_length_is_that_of_the_row_with_the_same_answer(turns, image):
    made = processor(replace(CONFIG, prompt=PromptConfig(turns=turns), image=image))
    for sample in SAMPLES:
        lengths = [
            (len(made.row(sample, True, random.Random(n)).tokens), made.length(sample, random.Random(n)))
            for n in range(9)
        ]
        assert all(row == told for row, told in lengths)
    assert made.length(SAMPLES[0]) == len(made.row(SAMPLES[0], True).tokens)


def test_length_refuses_what_row_refuses():
    made = processor()
    with pytest.raises(RowError, match="has no answer"):
        made.length(Sample([RED], "what?"))
    with pytest.raises(RowError, match="images is one str, not a list"):
        made.length(Sample("a.jpg", turns=SAMPLES[0].turns))


def test_row_that_does_not_fit_into_a_packed_one_is_refused():
    made = processor()
    length = made.length(SAMPLES[0])
    assert made.for_packs(length).length(SAMPLES[0]) == length
    assert made.for_packs(0).length(SAMPLES[0]) == length
    smaller = made.for_packs(length - 1)
    with pytest.raises(
        TooLongError, match=f"takes {length} tokens, more than a packed row has, data.pack={length - 1};"
    ):
        smaller.row(SAMPLES[0], True)
    assert not smaller.surely_fits(SAMPLES[0])
    assert made.row(SAMPLES[0], True).tokens  # which stays as it was


def test_packed_rows_hold_the_rows_and_images_of_their_samples():
    made = processor()
    rows = [made.row(sample, True) for sample in SAMPLES]
    batch = made.packed([[rows[2], rows[1]], [rows[0]]], 80)
    assert batch.tokens.shape == (2, 80)
    assert batch.num_samples == 3
    single = made.batch([rows[2], rows[1], rows[0]])
    assert torch.equal(batch.images, single.images)
    for (row, document), number in {(0, 0): 0, (0, 1): 1, (1, 0): 2}.items():
        place, alone = batch.documents[row] == document, single.segments[number] != PADDING
        for name in FIELDS:
            assert torch.equal(getattr(batch, name)[row][place], getattr(single, name)[number][alone])


def test_with_image_changes_settings_of_images_in_a_copy():
    before = processor()
    after = before.with_image(max_pixels=62, fit="pad")
    assert after.config == replace(CONFIG, image=ImageConfig(fit="pad", max_pixels=62))
    assert before.config == CONFIG
    assert (after.tokenizer, after.image_size, after.image_tokens) == (TOKENIZER, 8, 4)
    with pytest.raises(ImageError, match="more than the limit of 62"):
        after([Sample([RED])])
    before([Sample([RED])])
    with pytest.raises(ConfigError, match="max_pixels"):
        before.with_image(max_pixels=0)


def test_open_image_opens_what_read_image_reads(tmp_path, monkeypatch):
    monkeypatch.setattr("ojito.processor.images.EXACT_PIXELS", 1000)
    noise((90, 60), mode="L").save(tmp_path / "a.jpg")
    opened = processor().open_image(tmp_path / "a.jpg")
    assert (opened.image.size, opened.width, opened.height) == ((45, 30), 90, 60)
    assert torch.equal(processor().read_image(opened.image).pixels, processor().read_image(tmp_path / "a.jpg").pixels)
