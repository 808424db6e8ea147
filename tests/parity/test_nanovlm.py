"""nanoVLM's numbers: logits, greedy answers and pixels, as its own code makes them."""

import numpy as np
import pytest
import torch

import ojito
from ojito.config import ImageConfig
from ojito.generate import GenerateOptions, generate
from ojito.processor.tiles import whole_tiles
from ojito.records import IGNORE, IMAGE, PADDING, SHARED, Batch, Sample
from tests.parity.nanovlm import GOLDEN, follow, image, released

CASES = [(name, case) for name, golden in GOLDEN.items() for case in golden["cases"]]


def batch_of(name, case, image_tokens):
    """A golden case as ours: its placeholders become places; the 222M's image goes in front."""
    inputs = GOLDEN[name]["cases"][case]["inputs"]
    tokens = torch.tensor(inputs["input_ids"])
    mask = torch.tensor(inputs.get("attention_mask", torch.ones_like(tokens).tolist())).bool()
    if name == "222m":
        tokens = torch.cat([torch.full((len(tokens), image_tokens), IMAGE), tokens], 1)
        mask = torch.ones_like(tokens, dtype=torch.bool)
    else:
        tokens = tokens.masked_fill(tokens == GOLDEN[name]["extra_token_ids"]["<|image|>"], IMAGE)
    images = None
    if "image_seed" in inputs:
        values = np.random.default_rng(inputs["image_seed"]).random(inputs["image_shape"])
        images = torch.from_numpy(values.astype(np.float32))
    return Batch(
        tokens,
        (mask.cumsum(1) - 1).clamp(min=0),
        torch.where(mask, SHARED, PADDING),
        torch.zeros_like(mask),
        torch.full_like(tokens, IGNORE),
        images,
    )


@pytest.mark.parametrize(("name", "case"), CASES)
@torch.no_grad()
def test_matches_reference_logits(pipes, name, case):
    model, golden = pipes[name].model, GOLDEN[name]["cases"][case]
    tolerance = GOLDEN[name]["tolerance"]
    batch = batch_of(name, case, model.config.image_tokens)
    logits = model(batch)
    valid = logits[batch.segments != PADDING]
    expected = golden["logits"]
    assert list(valid.shape) == expected["shape"]
    assert valid.std() > 0.5
    close = {"rtol": 0, "atol": tolerance}
    torch.testing.assert_close(valid.flatten()[expected["at"]], torch.tensor(expected["values"]), **close)
    torch.testing.assert_close(logits[:, -1], torch.tensor(expected["last"]), **close)
    assert valid.double().abs().sum().item() == pytest.approx(expected["abs_sum"], rel=1e-6)
    if "visual" in golden:
        visual = model.encode(batch.images)
        assert list(visual.shape) == golden["visual"]["shape"]
        close["atol"] *= 10  # it is that much larger
        at = golden["visual"]["at"]
        torch.testing.assert_close(visual.flatten()[at], torch.tensor(golden["visual"]["values"]), **close)


@pytest.mark.parametrize(("name", "case"), CASES)
def test_matches_reference_greedy_with_the_cache(pipes, name, case):
    model = pipes[name].model
    rows = generate(model, batch_of(name, case, model.config.image_tokens), GenerateOptions(max_new_tokens=12), eos=())
    assert [row.tokens for row in rows] == GOLDEN[name]["cases"][case]["greedy"]


@pytest.mark.parametrize(("name", "case"), CASES)
@torch.no_grad()
def test_matches_reference_greedy_without_the_cache(pipes, name, case):
    model, expected = pipes[name].model, GOLDEN[name]["cases"][case]["greedy"]
    batch = batch_of(name, case, model.config.image_tokens)
    for step in range(12):
        chosen = model(batch)[:, -1].argmax(-1).tolist()
        assert chosen == [row[step] for row in expected]
        batch = follow(batch, chosen)


def test_matches_reference_greedy_up_to_the_end_token(pipes):
    golden = GOLDEN["460m"]["cases"]["padded_rows"]["greedy_with_eos"]
    end = golden["eos_token_id"]
    rows = generate(
        pipes["460m"].model, batch_of("460m", "padded_rows", 4), GenerateOptions(max_new_tokens=12), eos=end
    )
    assert [row.finish for row in rows] == ["eos", "length", "length"]
    # The reference goes on, and writes the end token over what comes.
    assert [row.tokens + [end] * (12 - len(row.tokens)) for row in rows] == golden["ids"]


def test_row_of_a_batch_equals_the_row_alone(pipes):
    model, whole = pipes["460m"].model, batch_of("460m", "padded_rows", 4)
    start = int((whole.segments[1] == PADDING).sum())
    alone = Batch(*(getattr(whole, n)[1:2, start:] for n in ("tokens", "positions", "segments", "prefix", "targets")))
    alone.images = whole.images[-1:]
    with torch.no_grad():
        torch.testing.assert_close(model(alone)[0], model(whole)[1, start:], rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("name", "number"), [(name, i) for name, g in GOLDEN.items() for i in range(len(g["pixels"]["cases"]))]
)
def test_matches_reference_pixels(pipes, tmp_path, name, number):
    case = GOLDEN[name]["pixels"]["cases"][number]
    pipe = pipes[name]
    if name == "460m":
        count = case["max_img_size"] // case["side"]
        tokens = {"image_token": "<|image|>", "global_image_token": "<|global_image|>"}
        tokens |= {f"r{r}c{c}": f"<row_{r}_col_{c}>" for r in range(1, count + 1) for c in range(1, count + 1)}
        changes = {key: case[key] for key in ("max_img_size", "resize_to_max_side_len")}
        changes |= {"vlm_extra_tokens": tokens, "lm_base_vocab_size": 97 - len(tokens)}
        pipe = ojito.load(released(tmp_path, name, changes), "cpu", "float32")
    row = pipe.processor.row(Sample([image(case)], "what?"))
    made = pipe.processor.batch([row]).images
    if "grid" in case:
        assert [max(row.images[0].rows, 1), max(row.images[0].columns, 1)] == case["grid"]
    assert list(made.shape) == case["shape"]
    torch.testing.assert_close(made.flatten()[case["at"]], torch.tensor(case["values"]), rtol=0, atol=1e-6)
    assert made.double().sum().item() == pytest.approx(case["sum"], rel=1e-7)


@pytest.mark.parametrize("rule", GOLDEN["460m"]["resize"])
def test_matches_reference_resize(rule):
    config = ImageConfig("tiles", rule["max_img_size"], tiling="nanovlm", enlarge=rule["resize_to_max_side_len"])
    for (height, width), (new_height, new_width) in rule["sizes"]:
        assert whole_tiles(width, height, rule["tile"], config) == (new_width, new_height), (width, height)
