"""The data flow told: what is recorded is what happens, and nothing is left behind."""

import dataclasses
import json

import pytest
import torch

from ojito.config import (
    Config,
    DecoderConfig,
    EfficientNetConfig,
    ImageConfig,
    ModelConfig,
    NoVisionConfig,
    PerceiverConfig,
    PixelShuffleConfig,
    ProcessorConfig,
    ResNetConfig,
    TokenizerConfig,
    ViTConfig,
)
from ojito.errors import OjitoError
from ojito.inference.quantize import quantize
from ojito.memory import parameters
from ojito.model import attention
from ojito.probe.trace import trace
from ojito.records import Sample
from tests.noise import noise
from tests.pipeline.toy import make

VIT = ViTConfig(image_size=16, patch_size=8, width=32, layers=3, heads=2, mlp_dim=64)
LLAMA = DecoderConfig(vocab_size=259, width=32, layers=2, heads=4, kv_heads=2, mlp_dim=64, max_positions=256)
GPT2 = dataclasses.replace(
    LLAMA, kv_heads=4, mlp="plain", activation="gelu_tanh", norm="layer", positions="learned", bias=True, dropout=0.1
)
GEMMA2 = dataclasses.replace(LLAMA, norm="rms_plus_one", mask="prefix", window=8, post_norms=True, final_softcap=30.0)
GEMMA3 = dataclasses.replace(LLAMA, mask="image", window=8, full_every=3, query_key_norm=True, tied_head=False)
TILES = ProcessorConfig(tokenizer=TokenizerConfig(kind="characters"), image=ImageConfig(fit="tiles", longest_side=32))
PLAIN = ProcessorConfig(tokenizer=TokenizerConfig(kind="characters"))

MODELS = {
    "vit and gpt2": ModelConfig(dataclasses.replace(VIT, class_token=True), decoder=GPT2),
    "conv stem": ModelConfig(dataclasses.replace(VIT, layers=0, stem="conv", stem_widths=(8, 8, 8)), decoder=LLAMA),
    "clip for llava": ModelConfig(dataclasses.replace(VIT, pre_norm=True, feature_layer=-2), decoder=LLAMA),
    "resnet": ModelConfig(ResNetConfig(image_size=16, blocks=(1, 3), width=32, stem_width=8), decoder=LLAMA),
    "efficientnet": ModelConfig(EfficientNetConfig(image_size=32, stem_width=8, widths=(8,) * 7), decoder=LLAMA),
    "perceiver": ModelConfig(VIT, PerceiverConfig(queries=3, heads=2), GEMMA2),
    "pixel shuffle": ModelConfig(VIT, PixelShuffleConfig(project="mlp", norm="rms_plus_one"), GEMMA3),
    "text alone": ModelConfig(NoVisionConfig(), decoder=LLAMA),
}


def pipe_of(model, processor=PLAIN):
    return make(Config(name="toy", model=model, processor=processor))


@pytest.fixture(params=MODELS)
def pipe(request):
    return pipe_of(MODELS[request.param])


@pytest.fixture
def toy():
    return pipe_of(MODELS["vit and gpt2"])


@pytest.fixture
def image():
    return noise((40, 30))


def told(pipe, image, prompt="what is it?", **options):
    return trace(pipe, image if pipe.model.config.image_tokens else None, prompt, **options)


def hooks(model):
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def called(pipe, image, prompt):
    """Shapes of what each module returns, by its dotted name."""
    found, handles = {}, []
    for name, module in pipe.model.named_modules():
        if name and not name.endswith(".weights"):
            handles.append(module.register_forward_hook(lambda m, a, out, name=name: found.setdefault(name, out)))
    with torch.no_grad():
        sample = Sample([image] if pipe.model.config.image_tokens else [], prompt)
        pipe.model.head(pipe.model.features(pipe.processor([sample]), last=True))
    for handle in handles:
        handle.remove()
    return {name: tuple(out.shape) for name, out in found.items()}


def names(step):
    """Names of the modules that a step stands for."""
    head, _, last = step.name.rpartition(".")
    first, _, end = last.partition("-")
    return [f"{head}.{number}" for number in range(int(first), int(end) + 1)] if end else [step.name]


# ----------------------------------------------------------------------------------------------------- what is recorded


def test_shapes_are_those_of_the_real_pass(pipe, image):
    real = called(pipe, image, "what is it?")
    checked = set()
    for _, step in told(pipe, image).rows(depth=9):
        for name in names(step):
            if step.kind not in ("merge", "Parameter") and "-" not in name:
                assert step.outputs == ((real[name],) if name in real else ()), name
                checked.add(name)
    own = {name for name, module in pipe.model.named_modules() if type(module).__name__ not in ("Identity", "Dropout")}
    inside = {name for name in real if name in own and not any(f"{name}.".startswith(f"{one}.") for one in checked)}
    # What lies inside folded blocks is told of all of them together.
    assert all(".blocks." in name or ".stages." in name for name in inside)


def test_parameters_of_steps_sum_to_the_models(pipe, image):
    found = told(pipe, image)
    assert sum(step.parameters for step in found.steps) == found.parameters == parameters(pipe.model)
    leaves = [step for _, step in found.rows(depth=9) if not step.children]
    assert sum(step.parameters for step in leaves) == found.parameters


def test_image_and_words_are_told(toy, image):
    found = told(toy, image, "a b")
    batch = toy.processor([Sample([image], "a b")])
    assert found.image_size == (40, 30)
    assert found.pixels == tuple(batch.images.shape) == (1, 3, 16, 16)
    assert [token.id for token in found.tokens] == batch.tokens[0].tolist()
    assert found.image_tokens == toy.model.config.image_tokens
    assert [token.text for token in found.tokens if token.text in "ab"] == ["a", "b"]
    (merge,) = [step for step in found.steps if step.kind == "merge"]
    assert merge.inputs == ((1, len(found.tokens)), (1, 4, 32))
    assert merge.outputs == ((1, len(found.tokens), 32),)


def test_tiles_of_an_image_are_told():
    found = trace(pipe_of(MODELS["conv stem"], TILES), noise((64, 32)), "what?")
    assert found.tiles == (1, 2)
    assert found.pixels == (3, 3, 16, 16)
    assert found.image_tokens == 3 * 4


def test_likeliest_tokens_are_those_of_the_model(toy, image):
    found = told(toy, image, likeliest=3)
    with torch.no_grad():
        logits = toy.model(toy.processor([Sample([image], "what is it?")]))[0, -1]
    best = logits[: toy.processor.tokenizer.size].softmax(-1).topk(3)
    assert [token.id for token in found.likeliest] == best.indices.tolist()
    assert [token.probability for token in found.likeliest] == pytest.approx(best.values.tolist(), rel=1e-4)
    assert found.likeliest[0].text == toy.processor.tokenizer.shown(found.likeliest[0].id)


def test_blocks_that_are_alike_are_folded_and_others_are_not(image):
    found = {step.name: step for _, step in told(pipe_of(MODELS["resnet"]), image).rows(depth=9)}
    assert found["vision.stages.1.1-2"].count == 2
    assert found["vision.stages.1.0"].count == 1  # which halves the map
    assert found["vision.stages.1.1-2.look"].count == 2
    assert found["decoder.blocks.0-1.attention"].parameters == 2 * (2 * 32 * 32 + 2 * 32 * 16)


def test_a_layer_that_is_not_run_stands_apart(image):
    found = {step.name: step for _, step in told(pipe_of(MODELS["clip for llava"]), image).rows()}
    assert found["vision.blocks.0-1"].outputs == ((1, 4, 32),)
    assert (found["vision.blocks.2"].outputs, found["vision.blocks.2"].dtype) == ((), "")


def test_steps_stand_in_the_order_of_their_calls(image):
    (decoder,) = [step for step in told(pipe_of(MODELS["perceiver"]), image).steps if step.name == "decoder"]
    assert [child.name for child in decoder.children] == [
        "decoder.embedding", "decoder.blocks.0-1", "decoder.norm", "decoder.head"
    ]  # fmt: skip
    assert [child.name.rpartition(".")[2] for child in decoder.children[1].children] == [
        "attention_norm", "attention", "attention_post_norm", "mlp_norm", "mlp", "mlp_post_norm"
    ]  # fmt: skip


def test_times_of_parts_are_within_the_time_of_the_pass(pipe, image):
    found = told(pipe, image)
    assert 0 < sum(step.milliseconds for step in found.steps) <= found.milliseconds
    for _, step in found.rows(depth=9):
        assert sum(child.milliseconds for child in step.children) <= step.milliseconds + 1e-6


def test_dtype_is_that_of_the_output(toy, image):
    toy.model.to(torch.bfloat16)
    found = {step.name: step.dtype for _, step in told(toy, image).rows()}
    assert (found["vision"], found["decoder.head"]) == ("bfloat16", "float32")


# ------------------------------------------------------------------------------------------------------------ arguments


def test_each_argument_changes_the_trace(toy, image):
    base = told(toy, image)
    assert trace(toy, None, "what is it?").steps[0].outputs == ()
    assert trace(toy, None, "what is it?").image_size is None
    assert told(toy, noise((40, 30), seed=1)).likeliest != base.likeliest
    assert told(toy, image, "why").tokens != base.tokens
    assert len(told(toy, image, likeliest=2).likeliest) == 2


def test_depth_opens_levels(toy, image):
    found = told(toy, image)
    depths = [[step.name for _, step in found.rows(depth)] for depth in (1, 2, 3)]
    assert depths[0] == ["vision", "connector", "merge", "decoder"]
    assert "vision.blocks.0-2" in {*depths[1]} - {*depths[0]}
    assert "vision.blocks.0-2.attention" in {*depths[2]} - {*depths[1]}
    assert max(level for level, _ in found.rows(3)) == 2
    assert all(not step["children"] for step in json.loads(json.dumps(found.to_dict(1)))["steps"])
    assert any(step["children"] for step in found.to_dict(2)["steps"])


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda pipe, image: [*told(pipe, image).rows(0)], "depth: 0 shows nothing"),
        (lambda pipe, image: told(pipe, image, likeliest=0), "likeliest: 0 names no token"),
        (lambda pipe, image: trace(pipe, image, "x" * 999), "tokens"),
    ],
    ids=["depth", "likeliest", "a long prompt"],
)
def test_mistakes_are_named(toy, image, ask, says):
    with pytest.raises(OjitoError, match=says):
        ask(toy, image)


# -------------------------------------------------------------------------------------------------- nothing left behind


def test_no_hook_stays_and_those_of_others_do(pipe, image):
    seen = []
    pipe.model.decoder.norm.register_forward_hook(lambda *_: seen.append(1))
    told(pipe, image)
    assert hooks(pipe.model) == 1
    assert seen


def test_no_hook_stays_when_the_pass_fails(toy, image, monkeypatch):
    def fail(*_):
        raise RuntimeError("broken")

    toy.model.train()
    monkeypatch.setattr(toy.model.decoder.blocks[1].mlp, "forward", fail)
    with pytest.raises(RuntimeError, match="broken"):
        told(toy, image)
    monkeypatch.undo()
    assert hooks(toy.model) == 0
    assert toy.model.training
    assert all(module.training for module in toy.model.modules())
    assert told(toy, image).likeliest  # and the next one works


def test_attention_stays_fused(toy, image, monkeypatch):
    def fail(*_):
        raise AssertionError("eager")

    monkeypatch.setattr(attention, "attend_eager", fail)
    assert not [step for _, step in told(toy, image).rows(9) if step.name.endswith("weights")]


def test_results_and_weights_are_the_same_afterwards(toy, image):
    batch = toy.processor([Sample([image], "what is it?")])
    toy.model.train()
    before = {name: tensor.clone() for name, tensor in toy.model.state_dict().items()}
    state = torch.get_rng_state()
    told(toy, image)
    assert torch.equal(state, torch.get_rng_state())
    assert toy.model.training  # dropout and batch norm took no part
    after = toy.model.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert all(parameter.grad is None for parameter in toy.model.parameters())
    toy.model.eval()
    first = toy.model(batch)
    told(toy, image)
    assert torch.equal(first, toy.model(batch))


def test_quantized_matrices_count_as_what_they_stand_for(toy, image):
    total = parameters(toy.model)
    quantize(toy.model, "int8")
    found = told(toy, image)
    assert found.parameters == total == sum(step.parameters for step in found.steps)
