"""What a machine without a GPU cannot show: the same answers there, recorded steps, and training in bfloat16."""

import copy
import dataclasses
import itertools

import pytest
import torch
import torch.nn.functional as F

from ojito.bench.case import Case
from ojito.bench.run import bench
from ojito.data import Batches, Scenes
from ojito.evaluate import evaluate
from ojito.generate import GenerateOptions, Scheduler, generate
from ojito.inference import gpu_choice, prepare, quantize
from ojito.inference.gpu_choice import ROWS, choose_on_gpu, is_right
from ojito.inference.graphs import CudaRecorder
from ojito.inference.weights import WEIGHTS, rotate
from ojito.meter.memory import baseline_memory, peak_memory, reset_peak
from ojito.model import KVCache
from ojito.pipeline import Pipeline
from ojito.presets import preset
from ojito.records import Sample
from ojito.trainer import TrainState, fit
from ojito.training import prepare as prepared_for_training
from tests.model.conftest import STYLES, build, columns, join, pad, row

__all__ = ["build", "columns", "join", "pad", "row"]
pytestmark = pytest.mark.gpu
SETTINGS = ["train.minutes=0", "train.steps=60", "train.log_every=10"]


@pytest.fixture
def config():
    return preset("tiny", SETTINGS)


def made(config, device):
    source = Scenes(config.data.scenes)
    model, processor = prepared_for_training(config, source, device)
    return Pipeline(model, processor, config), source


def test_logits_are_those_of_the_cpu(config):
    (here, source), (there, _) = made(config, "cpu"), made(config, "cuda")
    there.model.load_state_dict(here.model.state_dict())
    batch = next(Batches(source, here.processor, config.data, config.train))
    with torch.no_grad():
        expected, found = here.model.eval()(batch), there.model.eval()(batch)  # the batch is on the CPU both times
    assert found.device.type == "cuda"
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_learns_and_keeps_float32_weights(config, precision):
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, precision=precision))
    pipe, source = made(config, "cuda")
    history = fit(
        TrainState(pipe.model, config.train), Batches(source, pipe.processor, config.data, config.train), quiet=True
    )
    assert history.log[-1]["loss"] < 0.5 * history.log[0]["loss"]
    assert not history.skipped
    assert {p.dtype for p in pipe.model.parameters()} == {torch.float32}
    assert evaluate(pipe, source.samples("dev", 20)).scores.n == 20


def test_answers_are_those_of_the_cpu_token_for_token(config):
    (here, source), (there, _) = made(config, "cpu"), made(config, "cuda")
    fit(TrainState(here.model, config.train), Batches(source, here.processor, config.data, config.train), quiet=True)
    there.model.load_state_dict(here.model.state_dict())
    questions = [Sample(sample.images, "what colour is the ball?") for sample in source.samples("dev", 8)]
    assert here.generate(questions, max_new_tokens=4) == there.generate(questions, max_new_tokens=4)
    beams = [pipe.generate(questions, max_new_tokens=4, beams=3) for pipe in (here, there)]
    assert beams[0] == beams[1]


def test_batches_from_workers_reach_the_gpu(config):
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, workers=2))
    pipe, source = made(config, "cuda")
    batches = Batches(source, pipe.processor, config.data, config.train)
    for batch in itertools.islice(batches, 2):
        assert pipe.model(batch).isfinite().all()


# ------------------------------------------------------------------------------------------------------ recorded steps


def recordings(model):
    return [known.recording for known in model._replay._known.values() if known.recording is not None]


def answers(model, batch, **options):
    options = GenerateOptions(**{"max_new_tokens": 12, "drafts": 0} | options)
    return [answer.tokens for answer in generate(model, batch, options, eos=())]


def without_recording(model):
    made = prepare(model)
    made._replay = None
    return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("style", STYLES)
@torch.inference_mode()
def test_recorded_steps_have_the_logits_of_others(build, row, columns, style, dtype):
    model = build(style).to("cuda", dtype)
    batch = row(model, prompt=5, answer=16)
    length = batch.tokens.shape[1]
    found = []
    for one in (without_recording(model), prepare(model)):
        cache = KVCache(model.config.decoder, 1, length, dtype, "cuda")
        made = [one(columns(batch, 0, length - 12, images=True), cache)]
        made += [one(columns(batch, at, at + 1), cache) for at in range(length - 12, length)]
        found.append(torch.cat(made, dim=1))
    assert len(recordings(one)) == 1
    if dtype == torch.float32:
        torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-4)
    assert F.cosine_similarity(found[1].flatten(), found[0].flatten(), 0) > 0.999


@pytest.mark.parametrize("style", STYLES)
@torch.inference_mode()
def test_recorded_steps_answer_as_others(build, row, join, style):
    model = build(style).cuda()
    batch = join([row(model, prompt=length, answer=0, seed=length) for length in (3, 9, 5)], "left")
    recorded = prepare(model)
    assert answers(recorded, batch) == answers(without_recording(model), batch)
    assert recordings(recorded)


@torch.inference_mode()
def test_rows_that_leave_and_join_and_guesses_change_no_answer(build, row):
    model = build("gemma3").cuda()
    prompts = [row(model, prompt=3 + number % 4, answer=0, seed=number) for number in range(7)]

    def run(model):
        scheduler = Scheduler(model, eos=(), rows=4)
        options = [GenerateOptions(max_new_tokens=limit) for limit in (3, 12, 5, 9, 4, 14, 7)]
        requests = [scheduler.submit(one, option) for one, option in zip(prompts, options, strict=True)]
        scheduler.run()
        return [request.answer.tokens for request in requests]

    assert run(prepare(model)) == run(without_recording(model))


@torch.inference_mode()
def test_next_answer_is_replayed_without_being_recorded(build, row):
    """Its cache gets the memory of the one before."""
    model, batch = build("llama").cuda(), None
    recorded, counts = prepare(model), []
    for seed in range(6):
        batch = row(model, answer=0, seed=seed)
        assert answers(recorded, batch) == answers(without_recording(model), batch)
        counts.append(len(recordings(recorded)))
    assert counts[-1] == counts[2]


@torch.inference_mode()
def test_graph_reads_its_inputs_anew_and_leaves_the_stream(build):
    values = torch.ones(4, device="cuda")
    replay = CudaRecorder(torch.device("cuda")).record(lambda: values * 2)
    values.fill_(5)
    assert replay().tolist() == [10.0] * 4
    assert torch.cuda.current_stream() == torch.cuda.default_stream()


def test_function_that_waits_cannot_be_recorded_and_does_no_harm():
    recorder, values = CudaRecorder(torch.device("cuda")), torch.ones(4, device="cuda")
    with pytest.raises(RuntimeError):
        recorder.record(lambda: values * values.sum().item())
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    assert recorder.record(lambda: values + 1)().tolist() == [2.0] * 4


# ------------------------------------------------------------------------------------------------ quantized on the GPU


def weights(form, rows, columns_):
    weight = torch.randn(rows, columns_, generator=torch.Generator().manual_seed(0)) * 0.1
    return WEIGHTS[form].quantize(weight.cuda())


@pytest.mark.parametrize("counts", ROWS)
@pytest.mark.parametrize(("form", "kernel"), [(form, one) for form, all_ in gpu_choice.KERNELS.items() for one in all_])
@torch.inference_mode()
def test_every_kernel_is_right_here(form, kernel, counts):
    """If not, nothing is wrong, because it is not used; but somebody should know."""
    for shape in ((2048, 2048), (640, 1152), (264, 64)):
        assert is_right(kernel, weights(form, *shape), torch.bfloat16, counts)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("form", ["int8", "int4"])
@torch.inference_mode()
def test_chosen_kernels_equal_the_dequantized_product(form, dtype):
    matrix = weights(form, 1000, 512)
    for count, kernel in zip((1, 40, 300), choose_on_gpu(matrix, dtype).kernels, strict=True):
        hidden = torch.randn(count, 512, device="cuda").to(dtype)
        product = kernel(matrix)(rotate(hidden) if form == "int8" else hidden)
        expected = hidden.float() @ matrix.dequantize().t()
        assert (product.float() - expected).norm() / expected.norm() < 0.03


@pytest.mark.parametrize("form", ["int8", "int4"])
@pytest.mark.parametrize("style", ["llama", "gemma2", "qwen3"])
@torch.inference_mode()
def test_quantized_models_answer_as_on_the_cpu(build, row, style, form):
    model = quantize(build(style), form)
    batch, there = row(model, answer=8), copy.deepcopy(model).cuda()
    expected, logits = prepare(model)(batch), prepare(there)(batch).cpu()
    assert F.cosine_similarity(logits.flatten(), expected.flatten(), 0) > 0.995
    assert answers(prepare(there), batch) == answers(without_recording(there), batch)


# ------------------------------------------------------------------------------------------------------------- figures


@pytest.mark.parametrize("form", ["none", "int8", "int4"])
def test_bench_measures(form):
    found = bench("tiny", [Case(1, 8, 8), Case(4, 8, 8)], device="cuda", quantize=form, rounds=2, measuring=0.05)
    for case in found.cases:
        assert case.seconds > case.first_token_seconds > 0
        assert case.ms_per_token > 0
        assert 0 < case.peak < 2**30
        assert 0 < case.decode_share < 1.2
    assert found.machine["gpu"]


def test_memory_is_that_of_tensors_on_the_gpu():
    device = torch.device("cuda")
    baseline = baseline_memory(device)
    reset_peak(device)
    held = torch.ones(2**20, device=device)
    assert baseline <= peak_memory(device) - held.nbytes < baseline + 2**20
