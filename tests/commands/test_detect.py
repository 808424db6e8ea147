"""Finding things: `Pipeline.detect`, and `ojito detect`."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from ojito.generate import Temperature
from ojito.locate.boxes import Box, parse, write_boxes
from ojito.processor import ImageError
from tests.noise import noise

BOXES = [Box(0, 0, 20, 40, "cat"), Box(10, 20, 40, 80, "dog")]
TEXT = write_boxes(BOXES, 80, 40)


def near(found, expected):
    assert [box.label for box in found] == [box.label for box in expected]
    for a, b in zip(found, expected, strict=True):
        assert (a.top, a.left, a.bottom, a.right) == pytest.approx((b.top, b.left, b.bottom, b.right), abs=0.05)
    return True


# ------------------------------------------------------------------------------------------------------------- pipeline


def test_locations_are_single_tokens_that_are_read_back(pipe):
    tokenizer = pipe.processor.tokenizer
    assert len(tokenizer.encode(TEXT)) == 2 * 4 + len(" cat ;  dog")
    assert tokenizer.decode(tokenizer.encode(TEXT)) == TEXT


def test_boxes_are_in_pixels_of_the_image(pipe, image, says):
    says(TEXT)
    assert near(pipe.detect(image, "cat ; dog"), BOXES)


@pytest.mark.parametrize("things", ["cat ; dog", "cat;dog", ["cat", "dog"], ("cat ", " dog")])
def test_things_are_asked_for_as_paligemma_knows_it(pipe, image, says, asked, things):
    says(TEXT)
    pipe.detect(image, things)
    assert asked[0][0] == "detect cat ; dog\n"


def test_boxes_are_of_the_upright_image(pipe, says, tmp_path):
    says(TEXT)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 80)).save(tmp_path / "turned.jpg", exif=exif)
    for image in (tmp_path / "turned.jpg", (tmp_path / "turned.jpg").read_bytes()):
        assert near(pipe.detect(image, "cat"), BOXES)


@pytest.fixture
def large_jpeg(monkeypatch, tmp_path):
    """A photograph, 80 x 40 when upright, of which the model (16 x 16) reads what was decoded at a fifth or so."""
    monkeypatch.setattr("ojito.processor.images.EXACT_PIXELS", 1000)
    exif = Image.Exif()
    exif[0x0112] = 6
    noise((400, 800), mode="L").save(tmp_path / "large.jpg", exif=exif)
    return tmp_path / "large.jpg"


LARGE = [Box(0, 0, 200, 400, "cat"), Box(100, 200, 400, 800, "dog")]


def test_boxes_are_in_pixels_of_the_whole_upright_image_at_whatever_scale_it_is_read(pipe, says, large_jpeg):
    assert pipe.processor.open_image(large_jpeg).image.size == (100, 50)
    says(TEXT)
    for image in (large_jpeg, large_jpeg.read_bytes()):
        found = pipe.locate(image, "cat ; dog")
        assert (found.width, found.height) == (800, 400)
        assert [(round(b.top), round(b.left), round(b.bottom), round(b.right)) for b in found.boxes] == [
            (b.top, b.left, b.bottom, b.right) for b in LARGE
        ]


def test_model_reads_the_same_of_a_large_image_whether_it_locates_or_answers(pipe, large_jpeg):
    opened = pipe.processor.open_image(large_jpeg)
    assert torch.equal(pipe.processor.read_image(opened.image).pixels, pipe.processor.read_image(large_jpeg).pixels)


def test_large_image_is_drawn_in_full(run, model, says, large_jpeg, tmp_path):
    says(TEXT)
    code, out, _ = run("detect", model, large_jpeg, "cat ; dog", "--json", "--out", tmp_path / "boxed.png")
    values = json.loads(out)
    assert (code, values["width"], values["height"]) == (0, 800, 400)
    assert values["boxes"][1]["right"] == 800
    assert Image.open(tmp_path / "boxed.png").size == (800, 400)


def test_what_cannot_be_read_is_left_out(pipe, image, says):
    says(f"I see {TEXT} ; <loc0001><loc0002>")
    assert near(pipe.detect(image, "cat"), BOXES)
    says("nothing here")
    assert pipe.detect(image, "cat") == []


def test_options_are_those_of_generate_with_room_for_many_boxes(pipe, image, says, asked):
    says(TEXT)
    pipe.detect(image, "cat")
    pipe.detect(image, "cat", max_new_tokens=9, seed=3)
    assert [options["max_new_tokens"] for _, options in asked] == [256, 9]
    assert [options["seed"] for _, options in asked] == [0, 3]


def test_locate_has_the_boxes_and_the_whole_answer(pipe, image, says):
    says(f"I see {TEXT}", finish="length")
    found = pipe.locate(image, "cat ; dog")
    assert near(found.boxes, BOXES)
    assert (found.answer.text, found.answer.finish) == (f"I see {TEXT}", "length")


def test_boxes_are_those_of_the_answer_with_random_weights(pipe, image):
    how = {"sampler": Temperature(1.0), "max_new_tokens": 150}
    seed, found = next((seed, boxes) for seed in range(20) if (boxes := pipe.detect(image, "cat", seed=seed, **how)))
    assert found == parse(str(pipe.ask(image, "detect cat", seed=seed, **how)), 80, 40)


def test_model_without_locations_is_an_error_before_anything_is_generated(blind):
    with pytest.raises(ValueError, match="toy: the tokenizer has no token <loc0000>"):
        blind.detect("no such image", "cat")


@pytest.mark.parametrize("things", ["", " ", "cat ; ", [], ["cat", ""]])
def test_thing_without_a_name_is_an_error(pipe, image, things):
    with pytest.raises(ValueError, match="must name each thing to detect; give for example"):
        pipe.detect(image, things)


def test_image_that_is_missing_is_an_error(pipe, tmp_path):
    with pytest.raises(ImageError, match="does not exist"):
        pipe.detect(tmp_path / "gone.png", "cat")


# -------------------------------------------------------------------------------------------------------------- command


def test_detect_prints_a_line_a_box(run, model, photo, says):
    says(TEXT + " ; <loc0000><loc0000><loc0512><loc0512>")
    assert run("detect", model, photo, "cat ; dog") == (
        0,
        "cat: left 0, top 0, right 40, bottom 20\n"
        "dog: left 20, top 10, right 80, bottom 40\n"
        "left 0, top 0, right 40, bottom 20\n",
        "",
    )


def test_detect_as_json_writes_json_alone(run, model, photo, says):
    says(TEXT)
    code, out, err = run("detect", model, photo, "cat ; dog", "--json")
    values = json.loads(out)
    assert (code, err) == (0, "")
    assert {**values, "boxes": len(values["boxes"])} == {
        "image": str(photo), "width": 80, "height": 40, "boxes": 2, "out": None,
        "answer": TEXT, "finish": "eos", "tokens": 19,
    }  # fmt: skip
    assert values["boxes"][1] == {"label": "dog", "left": 20.02, "top": 10.01, "right": 80.0, "bottom": 40.0}


def test_detect_draws_the_boxes_to_out(run, model, photo, says, tmp_path):
    says(TEXT)
    for name in ("boxed.png", "boxed.JPG"):
        assert run("detect", model, photo, "cat", "--out", tmp_path / name)[0] == 0
        assert Image.open(tmp_path / name).size == (80, 40)
    before, after = (np.asarray(Image.open(p).convert("RGB")) for p in (photo, tmp_path / "boxed.png"))
    changed = (before != after).any(-1)
    assert changed[25, 20]  # the dog's left edge
    assert not changed[39, :20].any()


def test_detect_that_finds_nothing_says_so_beside_stdout(run, model, photo, says):
    says("no")
    assert run("detect", model, photo, "cat") == (0, "", "ojito: nothing was found of cat\n")
    code, out, err = run("detect", model, photo, "cat", "--json")
    assert (code, json.loads(out)["boxes"], err) == (0, [], "")


def test_detect_passes_its_flags_on(run, model, photo, says, asked):
    says(TEXT)
    run("detect", model, photo, "cat")
    run("detect", model, photo, "cat", "--max-new-tokens", 5, "--temperature", 0.5, "--seed", 7)
    assert [options["max_new_tokens"] for _, options in asked] == [256, 5]
    assert (asked[1][1]["sampler"], asked[1][1]["seed"]) == (Temperature(0.5), 7)


def test_answer_that_was_cut_off_says_that_there_may_be_more(run, model, photo, says):
    says(TEXT, finish="length")
    code, out, err = run("detect", model, photo, "cat", "--max-new-tokens", 19)
    assert (code, out.count("\n")) == (0, 2)
    assert err == "ojito: the answer ended at --max-new-tokens 19; there may be more\n"
    code, out, err = run("detect", model, photo, "cat", "--json")
    assert (code, json.loads(out)["finish"], json.loads(out)["answer"], err) == (0, "length", TEXT, "")
    err = run("detect", model, photo, "cat")[2]  # of 256 tokens
    assert err == "ojito: the answer ended where the model has no more positions; there may be more\n"
    says("no", finish="length")
    err = run("detect", model, photo, "cat", "--max-new-tokens", 2)[2]
    assert err.startswith("ojito: nothing was found of cat\nojito: the answer ended at --max-new-tokens 2;")


def test_answer_comes_before_the_image_is_saved(run, model, photo, says, tmp_path, monkeypatch):
    def fails(*args):
        raise OSError(28, "No space left on device", "boxed.png")

    says(TEXT)
    monkeypatch.setattr(Image.Image, "save", fails)
    code, out, err = run("detect", model, photo, "cat", "--out", tmp_path / "boxed.png")
    assert (code, out.count("\n"), err) == (2, 2, "ojito: error: boxed.png: No space left on device\n")


@pytest.mark.parametrize(
    ("side", "ending", "most"), [(16384, ".webp", 16383), (65501, ".jpg", 65500), (65501, ".jpeg", 65500)]
)
def test_out_that_holds_no_such_image_is_one_line_before_the_model_is_loaded(refused, tmp_path, side, ending, most):
    for size in ((side, 1), (1, side)):
        Image.new("RGB", size).save(tmp_path / "long.png")
        out = tmp_path / f"boxed{ending}"
        said = refused("detect", tmp_path / "no model", tmp_path / "long.png", "cat", "--out", out)
        assert f"--out {out}: holds at most {most} pixels on a side, and the image has {size[0]} x {size[1]}" in said
        assert said.endswith("; let it end in .png\n")


def test_longest_image_of_each_kind_is_drawn(run, model, says, tmp_path):
    says("no")
    for side, ending in ((16383, ".webp"), (65500, ".jpg"), (65501, ".png"), (65501, ".bmp")):
        Image.new("RGB", (side, 1)).save(tmp_path / "long.png")
        words = ("detect", model, tmp_path / "long.png", "cat", "--out", tmp_path / f"boxed{ending}")
        assert run(*words)[0] == 0
        assert Image.open(tmp_path / f"boxed{ending}").size == (side, 1)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("boxed", "is not an image file; let it end in .png"),
        ("boxed.gif", "is not an image file"),
        ("folder.png", "is a folder; choose another name"),
        ("gone/boxed.png", "is in a folder that does not exist"),
        ("photo.png", "is the image itself; choose another name"),
    ],
)
def test_out_that_cannot_be_is_one_line_before_the_model_is_loaded(refused, photo, tmp_path, out, message):
    (tmp_path / "folder.png").mkdir()
    said = refused("detect", tmp_path / "no model", photo, "cat", "--out", tmp_path / out)
    assert said.startswith("ojito: error: --out")
    assert message in said


def test_model_without_locations_is_one_line(refused, blind, photo, tmp_path):
    blind.save(tmp_path / "blind")
    assert "has no token <loc0000>" in refused("detect", tmp_path / "blind", photo, "cat")


def test_detect_runs_with_random_weights(run, model, photo):
    assert run("detect", model, photo, "cat", "--max-new-tokens", 20, "--device", "cpu")[0] == 0
