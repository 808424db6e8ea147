"""The measuring: that it asks what it says, and counts it right; never how fast."""

import json

import pytest
import torch

import ojito
from ojito.bench import run as running
from ojito.bench.case import Case
from ojito.bench.run import bench
from ojito.errors import ConfigError, OjitoError
from tests.bench.conftest import MICRO

SMALL = Case(batch=1, prompt_tokens=4, tokens=3)


def measured(micro, *cases, **changes):
    return bench(micro, cases or [SMALL], **{"device": "cpu", "dtype": "float32", "rounds": 1, **changes})


def test_bench_measures_every_case_of_a_preset(micro, limits):
    done = []
    cases = [Case(2, 4, 3), Case(1, 8, 5)]
    found = measured(micro, *cases, progress=lambda n, total: done.append((n, total)))
    assert [(case.batch, case.prompt, case.tokens, case.images) for case in found.cases] == [
        (2, 8, 3, 2),
        (1, 12, 5, 1),
    ]
    assert (found.dtype, found.quantize, done) == ("float32", "none", [(1, 2), (2, 2)])
    for case in found.cases:
        assert case.encode_seconds > 0
        assert 0 < case.first_token_seconds < case.seconds
        assert case.prepare_seconds >= 0
        assert case.peak <= found.peak


@pytest.mark.parametrize("prompt", ["", "what is it?"])
def test_a_model_of_text_alone_is_asked_without_an_image(tmp_path, limits, prompt):
    recipe = {"model": {"vision": {"kind": "none"}, "decoder": MICRO["model"]["decoder"]}}
    (tmp_path / "text.yaml").write_text(json.dumps(recipe))
    (case,) = measured(tmp_path / "text.yaml", prompt=prompt).cases
    assert case.images == 0
    assert case.tokens == 3
    assert prompt or case.prompt == 4


def test_foretold_peak_is_within_a_tenth_of_the_measured_one(micro, limits):
    (case,) = measured(micro).cases
    assert case.foretold.peak == pytest.approx(case.peak, rel=0.1)


def test_form_is_that_of_the_folder_where_no_other_is_asked_for(micro, limits, tmp_path):
    ojito.load(micro, device="cpu", quantize="int8").save(tmp_path / "int8")
    assert measured(tmp_path / "int8").quantize == "int8"
    assert measured(micro, quantize="int4").quantize == "int4"


def test_figures_have_the_names_that_scripts_read(micro, limits):
    values = measured(micro).to_dict()
    keys = {"seconds", "first_token_seconds", "ms_per_token", "peak_gb", "load_seconds", "cold_seconds", "machine"}
    assert keys <= set(values)
    assert values["cases"][0]["tokens"] == 3
    assert set(values["foretold_gb"]) == {"weights", "kernels", "cache", "activations", "baseline", "peak"}


def test_shares_are_of_what_the_machine_does(micro, monkeypatch):
    from ojito.bench.roofline import Limits

    shares = []
    for factor in (1.0, 2.0):
        monkeypatch.setattr(running, "measure_limits", lambda *_, factor=factor: Limits(1e9 * factor, 1e9))
        (case,) = measured(micro).cases
        shares.append((case.decode_share * case.ms_per_token, case.prompt_share * case.first_token_seconds))
    assert shares[0][0] == pytest.approx(2 * shares[1][0])
    assert shares[0][1] == pytest.approx(shares[1][1])


def test_bench_of_a_folder_measures_that_model(micro, limits, tmp_path):
    ojito.load(micro, dtype="float32").save(tmp_path / "model")
    found = measured(tmp_path / "model")
    assert found.name == "micro"
    assert found.load_seconds > 0


def test_prompt_is_asked_as_the_processor_writes_it(micro, limits):
    pipe = ojito.load(micro, dtype="float32")
    (case,) = measured(micro, prompt="what is it?").cases
    from ojito.records import Sample

    expected = pipe.processor([Sample([running._file(0)], "what is it?")]).tokens.shape[1]
    assert case.prompt == expected


def test_image_size_of_a_preset_changes_its_tokens(micro, limits):
    (case,) = measured(micro, image_size=32).cases
    assert case.prompt == 16 + 4


def test_seed_decides_on_the_weights(micro, limits, monkeypatch):
    seen = []

    def note(pipe, *rest):
        seen.append(pipe.model.decoder.embedding.weight.detach().clone())
        return measure(pipe, *rest)

    measure = running._measure
    monkeypatch.setattr(running, "_measure", note)
    for seed in (1, 1, 2):
        measured(micro, seed=seed)
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])


def test_rounds_are_answers_beside_the_first(micro, limits, monkeypatch):
    answers = []
    answer = running._answer
    monkeypatch.setattr(running, "_answer", lambda *args: answers.append(args) or answer(*args))
    measured(micro, rounds=2)
    assert len(answers) == 3


def test_dtype_is_that_of_the_model(micro, limits):
    found = measured(micro, dtype="bfloat16")
    assert found.dtype == "bfloat16"
    assert found.cases[0].foretold.weights < measured(micro).cases[0].foretold.weights


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rounds": 0}, "rounds: 0 measure nothing; use 1 or more"),
        ({"device": "tpu"}, "device: 'tpu' is not one of"),
        ({"dtype": "int3"}, "dtype: 'int3' is not one of"),
    ],
)
def test_what_cannot_be_measured_is_refused(micro, changes, said):
    with pytest.raises(OjitoError, match=f"^{said}"):
        measured(micro, **changes)


def test_answer_that_is_too_long_for_the_model_is_refused(micro):
    with pytest.raises(OjitoError, match=r"8 tokens and 100 of answer are more than 96 positions; ask for fewer"):
        measured(micro, Case(1, 4, 100))


def test_image_size_of_a_folder_is_its_own(micro, tmp_path):
    ojito.load(micro, dtype="float32").save(tmp_path / "model")
    with pytest.raises(OjitoError, match=r"^image_size: is 32, and .* has a size of its own"):
        measured(tmp_path / "model", image_size=32)


def test_image_size_that_the_tower_cannot_read_is_refused(micro):
    with pytest.raises(ConfigError, match="image_size"):
        measured(micro, image_size=17)
