"""A model as lmms-eval drives it: its registry and its base class are stood in for, with the published interface."""

import dataclasses
import importlib
import sys
from importlib.metadata import entry_points
from types import ModuleType, SimpleNamespace

import pytest
from PIL import Image

from ojito import lmms_eval as plugin
from ojito.errors import OjitoError
from ojito.evaluate.likelihood import answer_losses
from ojito.records import Sample, Turn

RED, BLUE = Image.new("RGB", (16, 16), (255, 0, 0)), Image.new("RGB", (16, 16), (0, 0, 255))
DOCS = [{"image": RED, "target": "aa"}, {"image": BLUE, "target": "b"}, {"image": None, "target": "c"}]


def visual(doc):
    return [doc["image"]] if doc["image"] else []


@pytest.fixture
def pipe(babbler):
    return babbler


@pytest.fixture
def model(pipe, monkeypatch):
    class Base:
        def __init__(self):
            self.task_dict = {}

    @dataclasses.dataclass(frozen=True)
    class ModelManifest:
        model_id: str
        simple_class_path: str | None = None

    names = ["lmms_eval", "lmms_eval.api", "lmms_eval.api.model", "lmms_eval.models", "lmms_eval.models.registry_v2"]
    modules = {name: ModuleType(name) for name in names}
    modules["lmms_eval.api.model"].lmms = Base
    modules["lmms_eval.models.registry_v2"].ModelManifest = ModelManifest
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    loaded = importlib.reload(plugin)
    given = []
    monkeypatch.setattr(loaded, "load", lambda *words, **options: given.append((words, options)) or pipe)
    made = loaded.OjitoModel(pretrained="runs/mine", batch_size="2", device="cpu", quantize="int8", max_length=3)
    made.task_dict = {"task": {"test": DOCS}}
    made.given = given
    assert isinstance(made, Base)
    yield made
    for name in names:
        monkeypatch.delitem(sys.modules, name)
    importlib.reload(plugin)


def requests(second, count=3):
    return [SimpleNamespace(args=(f"<image>\nq{n}", second, visual, n, "task", "test")) for n in range(count)]


def test_entry_point_names_the_class(model):
    (found,) = [one for one in entry_points(group="lmms_eval.models") if one.name == "ojito"]
    assert found.value == "ojito.lmms_eval:manifest"
    manifest = plugin.manifest()
    assert manifest.model_id == "ojito"
    module, _, name = manifest.simple_class_path.rpartition(".")
    assert getattr(importlib.import_module(module), name).is_simple


def test_arguments_reach_the_loader(model):
    assert model.given == [(("runs/mine", "cpu", "auto"), {"quantize": "int8"})]
    assert model.batch_size == 2
    with pytest.raises(OjitoError, match="'x' is not a number"):
        plugin.OjitoModel("runs/mine", batch_size="x")


def test_answers_are_those_of_the_pipeline_in_order(model, pipe):
    settings = {"max_new_tokens": 5, "until": ["\n\n"], "temperature": 0, "do_sample": False, "num_beams": 1}
    found = model.generate_until(requests(settings))
    samples = [Sample(visual(doc), turns=(Turn(f"q{n}"),)) for n, doc in enumerate(DOCS)]
    assert found == [str(answer) for answer in pipe.generate(samples, max_new_tokens=5)]
    assert len(set(found)) > 1


def test_likelihood_is_that_of_the_continuation(model, pipe):
    found = model.loglikelihood(requests(lambda doc: doc["target"]))
    samples = [Sample(visual(doc), turns=(Turn(f"q{n}", (doc["target"],)),)) for n, doc in enumerate(DOCS)]
    assert [value for value, _ in found] == pytest.approx([-loss for loss, _ in answer_losses(pipe, samples)], rel=1e-4)
    assert model.loglikelihood(requests("aa"))[0] == found[0]
    assert all(isinstance(greedy, bool) for _, greedy in found)


def test_likeliest_continuation_is_known(model, pipe, monkeypatch):
    """The likeliest token is planted at each place of the answer, and then another one at the last."""
    exact = plugin.answer_logits

    def planted(right):
        def answer_logits(pipe, rows):
            logits, targets, counts = exact(pipe, rows)
            logits.scatter_(1, targets[:, None], 1e4)
            logits[-1] *= 1 if right else -1
            return logits, targets, counts

        return answer_logits

    for right in (True, False):
        monkeypatch.setattr(plugin, "answer_logits", planted(right))
        assert [greedy for _, greedy in model.loglikelihood(requests("ab"))] == [right] * 3


def test_rounds_are_refused(model):
    with pytest.raises(NotImplementedError, match="one round"):
        model.generate_until_multi_round([])


def test_settings_of_a_task_become_options():
    options = plugin.answer_options({"max_new_tokens": 7, "until": "\n", "num_beams": 3})
    assert (options.max_new_tokens, options.stop, options.beams) == (7, ("\n",), 3)
    assert plugin.answer_options({}).max_new_tokens == 128
    greedy, warm = (
        plugin.answer_options({"temperature": 0.7, "do_sample": False}),
        plugin.answer_options({"temperature": 0.7}),
    )
    assert greedy.sampler == plugin.answer_options({}).sampler != warm.sampler
    assert plugin.answer_options({"temperature": 0.7, "top_p": 0.5}).sampler != warm.sampler
