"""Finding things to the pixel: `Pipeline.segment`, and `ojito segment`."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from ojito.checkpoint.files import CheckpointError
from ojito.generate import Greedy, Temperature
from ojito.locate.boxes import Box, fit_mask, parse, write_boxes
from tests.noise import noise

CODES = (tuple(range(16)), tuple(range(100, 116)))
BOXES = [
    Box(0, 0, 20, 40, "cat", CODES[0]),
    Box(5, 5, 9, 9, "ant"),
    Box(10, 20, 40, 80, "dog", CODES[1]),
]
TEXT = write_boxes(BOXES, 80, 40)


@pytest.fixture
def expected(mask_decoder):
    """The masks of the boxes that have codes."""
    with torch.no_grad():
        drawn = dict(zip(CODES, mask_decoder(torch.tensor(CODES)).numpy(), strict=True))
    boxes = parse(TEXT, 80, 40)
    return [fit_mask(drawn[box.codes], box, 80, 40) if box.codes else None for box in boxes]


# ------------------------------------------------------------------------------------------------------------- pipeline


def test_codes_become_masks_of_the_image(pipe, image, says, weights, expected):
    says(TEXT)
    found = pipe.segment(image, "cat ; ant ; dog", weights)
    assert found == parse(TEXT, 80, 40)
    for box, mask in zip(found, expected, strict=True):
        if mask is None:
            assert box.mask is None
        else:
            assert np.array_equal(box.mask, mask)
            assert 0 < mask.sum() < 80 * 40


def test_masks_are_of_the_whole_image_at_whatever_scale_it_is_read(pipe, says, weights, monkeypatch, tmp_path):
    monkeypatch.setattr("ojito.processor.images.EXACT_PIXELS", 1000)
    noise((800, 400), mode="L").save(tmp_path / "large.jpg")
    says(TEXT)
    found = pipe.segment(tmp_path / "large.jpg", "cat ; ant ; dog", weights)
    assert [box.mask is None or box.mask.shape for box in found] == [(400, 800), True, (400, 800)]
    assert found[2].mask.any()
    assert not found[2].mask[:, :199].any()  # its left edge is a quarter from the left


def test_thing_is_asked_for_as_paligemma_knows_it(pipe, image, says, asked, weights):
    says(TEXT)
    pipe.segment(image, "cat", weights, max_new_tokens=30)
    assert asked[0][0] == "segment cat\n"
    assert asked[0][1]["max_new_tokens"] == 30


def test_other_weights_draw_other_masks(pipe, image, says, weights):
    says(TEXT)
    before = pipe.segment(image, "cat", str(weights))[0].mask
    arrays = dict(np.load(weights))
    arrays["decoder.12.bias"] = arrays["decoder.12.bias"] - 1e3
    np.savez(weights, **arrays)
    after = pipe.segment(image, "cat", weights)[0].mask
    assert before.any()
    assert not after.any()


def test_answer_without_masks_has_boxes_alone(pipe, image, says, weights):
    says("<loc0000><loc0000><loc0512><loc0512><seg001> cat")
    (box,) = pipe.segment(image, "cat", weights)
    assert (box.label, box.mask) == ("cat", None)
    says("nothing")
    assert pipe.segment(image, "cat", weights) == []


def test_boxes_are_those_of_the_answer_with_random_weights(pipe, image, weights):
    how = {"sampler": Temperature(1.0), "max_new_tokens": 100, "seed": 4}
    assert pipe.segment(image, "cat", weights, **how) == parse(str(pipe.ask(image, "segment cat", **how)), 80, 40)


def test_model_without_codes_is_an_error_before_anything_is_generated(maskless, blind):
    with pytest.raises(ValueError, match="has no token <seg000>"):
        maskless.segment("no such image", "cat", "no such file")
    with pytest.raises(ValueError, match="has no token <loc0000>"):
        blind.segment("no such image", "cat", "no such file")


def test_weights_are_read_before_anything_is_generated(pipe, image, says, asked, tmp_path):
    says(TEXT)
    with pytest.raises(CheckpointError, match=r"gone\.npz: cannot be read"):
        pipe.segment(image, "cat", tmp_path / "gone.npz")
    assert not asked


# -------------------------------------------------------------------------------------------------------------- command


def test_segment_prints_boxes_and_sizes_of_masks(run, model, photo, says, weights, expected):
    says(TEXT)
    assert run("segment", model, photo, "cat ; dog", "--weights", weights) == (
        0,
        f"cat: left 0, top 0, right 40, bottom 20, {expected[0].sum()} pixels\n"
        "ant: left 5, top 5, right 9, bottom 9\n"
        f"dog: left 20, top 10, right 80, bottom 40, {expected[2].sum()} pixels\n",
        "",
    )


def test_segment_as_json_has_codes_and_sizes(run, model, photo, says, weights, expected, tmp_path):
    says(TEXT)
    out = tmp_path / "masked.png"
    code, said, err = run("segment", model, photo, "cat", "--weights", weights, "--json", "--out", out)
    values = json.loads(said)
    assert (code, err, values["out"]) == (0, "", str(out))
    assert [box.get("codes") for box in values["boxes"]] == [list(CODES[0]), None, list(CODES[1])]
    assert values["boxes"][2]["mask_pixels"] == expected[2].sum()


def test_segment_draws_the_masks_to_out(run, model, photo, says, weights, expected, tmp_path):
    says(TEXT)
    assert run("segment", model, photo, "cat", "--weights", weights, "--out", tmp_path / "masked.png")[0] == 0
    before, after = (np.asarray(Image.open(p).convert("RGB")) for p in (photo, tmp_path / "masked.png"))
    changed = (before != after).any(-1)
    assert changed[expected[2]].mean() > 0.9
    assert not changed[25:, :18].any()


def test_segment_passes_its_flags_on(run, model, photo, says, asked, weights):
    says(TEXT)
    run("segment", model, photo, "cat", "--weights", weights)
    run("segment", model, photo, "cat", "--weights", weights, "--max-new-tokens", 5, "--temperature", 0.5, "--seed", 7)
    assert [options["max_new_tokens"] for _, options in asked] == [256, 5]
    assert [options["sampler"] for _, options in asked] == [Greedy(), Temperature(0.5)]
    assert [options["seed"] for _, options in asked] == [0, 7]


def test_masks_are_written_a_file_a_thing(run, model, photo, says, weights, expected, tmp_path):
    says(TEXT.replace("dog", "a dog/../x"))
    words = ("segment", model, photo, "cat", "--weights", weights, "--json")
    values = json.loads(run(*words, "--masks", tmp_path / "new" / "masks")[1])
    files = [tmp_path / "new" / "masks" / name for name in ("1-cat.png", "3-a-dog-x.png")]
    assert sorted(files[0].parent.iterdir()) == files
    assert [box.get("mask") for box in values["boxes"]] == [str(files[0]), None, str(files[1])]
    for file, mask in zip(files, (expected[0], expected[2]), strict=True):
        written = Image.open(file)
        assert (written.mode, written.size) == ("L", (80, 40))
        assert np.array_equal(np.asarray(written), mask * np.uint8(255))
    assert "mask" not in json.loads(run(*words)[1])["boxes"][0]


def test_mask_without_a_label_has_its_number_alone(run, model, photo, says, weights, tmp_path):
    says(write_boxes([Box(0, 0, 20, 40, "", CODES[0]), Box(0, 0, 20, 40, "tea cup " + 60 * "x", CODES[0])], 80, 40))
    assert run("segment", model, photo, "cat", "--weights", weights, "--masks", tmp_path / "masks")[0] == 0
    assert sorted(p.name for p in (tmp_path / "masks").iterdir()) == ["1.png", "2-tea-cup-" + 32 * "x" + ".png"]


def test_masks_never_stand_beside_other_files(refused, photo, weights, tmp_path):
    words = ("segment", tmp_path / "no model", photo, "cat", "--weights", weights, "--masks")
    assert f"--masks {tmp_path}: holds files already; choose another folder, or empty it" in refused(*words, tmp_path)
    assert f"--masks {photo}: is a file; give a folder" in refused(*words, photo)


def test_mistakes_are_one_line(refused, model, photo, tmp_path):
    for words, message in (
        ([], "the following arguments are required: --weights; see `ojito segment --help`"),
        (["--weights", tmp_path / "gone.npz"], "gone.npz: cannot be read (No such file or directory)"),
        (["--weights", photo], "photo.png: is damaged or no .npz file"),
    ):
        assert message in refused("segment", model, photo, "cat", *words)
