"""A healthy model gives no alarm: of any style, untrained, trained, with any prompt."""

import copy
import json

import pytest
import torch

from ojito.cli import main
from ojito.config import AveragePoolConfig, ImageConfig, PerceiverConfig, PixelShuffleConfig, PromptConfig
from ojito.doctor import examine
from ojito.doctor.run import EXAMINATIONS
from ojito.errors import OjitoError
from ojito.inference.quantize import quantize
from ojito.loading import load
from ojito.pipeline import Pipeline
from ojito.records import Sample
from tests.doctor.conftest import make_pipe, train
from tests.model.conftest import STYLES


def alarms(report):
    return [(one.examination, one.says, one.evidence) for one in report.findings if one.severity == "alarm"]


@pytest.mark.parametrize("random_norms", [False, True], ids=["initialized", "randomized"])
@pytest.mark.parametrize("tower", ["vit", "resnet"])
@pytest.mark.parametrize("style", STYLES)
def test_untrained_model_is_healthy(style, tower, random_norms):
    pipe = make_pipe(style, tower, random_norms=random_norms)
    report = examine(pipe, limit=8)
    assert alarms(report) == []
    assert not [one for one in report.findings if one.severity == "skipped" and one.says.startswith("not before")]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("own", [False, True])
def test_untrained_model_on_data_has_at_most_not_learned_to_look(cards, style, own):
    report = examine(make_pipe(style), cards, own=own)
    assert alarms(report) == []
    assert [one.examination for one in report.findings if one.severity == "note"] in ([], ["image"])


def test_trained_model_looks(learned, cards):
    report = examine(learned, cards)
    assert alarms(report) == []
    assert report.of("image").says.startswith("it looks")
    assert report.of("alignment").says.endswith("no lower when shifted")


PROMPTS = {
    "inline": PromptConfig(image="inline", user="User: ", separator="\nAssistant: "),
    "blind": PromptConfig(turns="blind", bos=False, separator=""),
    "prompt learned, too": PromptConfig(loss="all"),
    "numbered": PromptConfig(image="inline", image_number="image {number}: ", before_answer=" "),
}


@pytest.mark.parametrize("name", PROMPTS)
def test_prompt_of_another_kind_is_healthy(name):
    report = examine(make_pipe(prompt=PROMPTS[name]), limit=8)
    assert alarms(report) == []
    assert (report.of("prompt loss").severity == "note") == (name == "prompt learned, too")


@pytest.mark.parametrize("whole", ["first", "last", "none"])
def test_tiles_are_healthy(whole):
    image = ImageConfig(fit="tiles", longest_side=32)
    report = examine(make_pipe(prompt=PromptConfig(whole=whole), image=image), limit=8)
    assert alarms(report) == []


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_fits_are_healthy(fit):
    assert alarms(examine(make_pipe(image=ImageConfig(fit=fit)), limit=4)) == []


@pytest.mark.parametrize(
    "connector",
    [PixelShuffleConfig(factor=2), AveragePoolConfig(factor=2), PerceiverConfig(queries=3, layers=1, heads=2)],
    ids=lambda connector: connector.reduce,
)
def test_connectors_are_healthy(connector):
    assert alarms(examine(make_pipe(connector=connector), limit=4)) == []


def test_model_of_text_alone_is_healthy(cards):
    report = examine(make_pipe(tower="none"), cards)
    assert alarms(report) == []
    assert report.of("image").says == "the model reads text alone"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("form", ["int8", "int4"])
@pytest.mark.parametrize("style", ["llama", "qwen2"], ids=["a head of its own", "a tied head"])
def test_quantized_model_is_healthy(cards, style, form, dtype):
    pipe = make_pipe(style)
    pipe = Pipeline(quantize(pipe.model.to(dtype), form), pipe.processor)
    assert alarms(examine(pipe, cards)) == []


def test_bfloat16_is_healthy(learned, cards):
    pipe = Pipeline(copy.deepcopy(learned.model).to(torch.bfloat16), learned.processor)
    assert alarms(examine(pipe, cards)) == []


@pytest.mark.parametrize("name", ["tiny", "char"])
def test_preset_is_healthy(name):
    assert alarms(examine(load(name, "cpu", "float32"), limit=8)) == []


def test_training_does_not_make_a_healthy_model_ill(cards):
    for steps in (1, 3, 10, 30):
        assert alarms(examine(train(cards, steps=steps), cards)) == []


def test_fine_tuned_paligemma_is_healthy(tmp_path, cards):
    rows = []
    for number, card in enumerate(cards):
        card.images[0].save(tmp_path / f"{number}.png")
        (turn,) = card.turns
        rows.append({"image": f"{number}.png", "question": turn.prompt, "answer": turn.answers[0]})
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    settings = [
        "model.vision.image_size=28", "model.vision.width=24", "model.vision.heads=2", "model.vision.layers=1",
        "model.vision.mlp_dim=32", "model.decoder.width=32", "model.decoder.layers=2", "model.decoder.heads=2",
        "model.decoder.head_dim=16", "model.decoder.mlp_dim=48", "model.decoder.vocab_size=1600", "train.lr=3e-3",
        "model.decoder.max_positions=128", "processor.prompt.max_tokens=128", "train.batch_size=16",
    ]  # fmt: skip
    words = ["train", "--preset", "paligemma-3b-224", "--data", tmp_path / "rows.jsonl", "--out", tmp_path / "out"]
    assert main([str(w) for w in (*words, "--steps", 40, "--device", "cpu", *settings)]) == 0
    pipe = load(tmp_path / "out", "cpu", "float32")
    assert pipe.model.config.decoder.mask == "prefix"
    assert alarms(examine(pipe, cards)) == []


def test_report_can_be_written_as_json(pipe):
    report = examine(pipe, limit=4)
    values = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert values["healthy"]
    assert [one["examination"] for one in values["findings"]] == [one.name for one in EXAMINATIONS]


def test_rows_without_answers_are_refused(pipe):
    with pytest.raises(OjitoError, match="no row has a turn with an answer"):
        examine(pipe, [Sample(prompt="what?")])
