"""Every architecture against transformers: logits of a tiny random model, through a file that the package wrote."""

import dataclasses

import gguf
import pytest
import torch

import ojito
from ojito import Sample
from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.folder import describe
from ojito.checkpoint.gguf.decoders import ROPE_FACTORS, rope_factors
from ojito.config import DecoderConfig, RopeScaling
from ojito.errors import OjitoError
from ojito.gguf.header import GgufError
from ojito.model.rope import scale_frequencies
from tests import gguf_files
from tests.parity import reference

transformers = reference.transformers
Q = gguf.GGMLQuantizationType

LLAMA = {**reference.LLAMA, "tie_word_embeddings": False}
QWEN = {**{k: v for k, v in LLAMA.items() if k != "head_dim"}, "tie_word_embeddings": True}
# What scores are divided by is not in the metadata: it is the head's size, but in one model of either family.
USUAL = {"query_pre_attn_scalar": 10}
ROTARY = {
    "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
    "full_attention": {"rope_type": "default", "rope_theta": 700.0},
}
MODELS = {
    "llama": LLAMA,
    "llama-scaled": {**LLAMA, "rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0}},
    "llama-tied": {**LLAMA, "tie_word_embeddings": True},
    "qwen2": {**QWEN, "model_type": "qwen2"},
    "qwen3": {**QWEN, "model_type": "qwen3", "head_dim": 10},
    "gemma": reference.GEMMA,
    "gemma2": {**reference.GEMMA2, **USUAL},
    "gemma3": {**reference.GEMMA3, **USUAL},
    "gemma3-unscaled": {**reference.GEMMA3, **USUAL, "rope_parameters": ROTARY},
}
ROWS = [Sample(prompt="the red dog is in the ball"), Sample(prompt="what?")]


def draw(name, **changes):
    """A model of transformers' with random weights, and a tokenizer."""
    gemma = name.startswith("gemma")
    tokenizer = reference.gemma_tokenizer() if gemma else reference.byte_tokenizer(["<eos>"], eos_token="<eos>")
    values = {**MODELS[name], **changes}
    config = transformers.AutoConfig.for_model(vocab_size=len(tokenizer), **values)
    config._attn_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model, tokenizer


def store(path, name, model, tokenizer, **more):
    """The model as a file."""
    arch = name.partition("-")[0]
    if arch.startswith("gemma"):
        more = {"kind": "llama", "begins": True, **more}
    return gguf_files.write_text(path, arch, model.config, model.state_dict(), tokenizer, **more)


def load(path, dtype="float32"):
    return ojito.load(path, device="cpu", dtype=dtype)


@torch.no_grad()
def difference(pipe, model):
    batch = pipe.processor(ROWS)
    read = batch.segments >= 0
    theirs = model(batch.tokens, attention_mask=read.long(), position_ids=batch.positions).logits
    return (pipe.model(batch) - theirs)[read].abs().max()


@pytest.mark.parametrize("name", MODELS)
def test_matches_reference(tmp_path, name):
    model, tokenizer = draw(name)
    pipe = load(store(tmp_path / "a.gguf", name, model, tokenizer))
    assert difference(pipe, model) < 1e-5
    assert pipe.model.config.vision.kind == "none"


def test_matches_reference_with_llama_3s_scaling(tmp_path):
    rope = {**reference.LLAMA3, "original_max_position_embeddings": 8192, "high_freq_factor": 4.0, "rope_theta": 5e5}
    model, tokenizer = draw("llama", rope_parameters=rope, max_position_embeddings=16384)
    config = DecoderConfig(head_dim=10, rope_theta=5e5, rope_scaling=RopeScaling("llama3", 4.0, 1.0, 4.0, 8192))

    def extra(writer):
        gguf_files.add(writer, ROPE_FACTORS, rope_factors(config).numpy(), None)

    pipe = load(store(tmp_path / "a.gguf", "llama", model, tokenizer, extra=extra))
    assert pipe.model.config.decoder.rope_scaling == config.rope_scaling
    assert difference(pipe, model) < 1e-5


def test_rope_factors_are_what_scaling_divides_frequencies_by():
    config = DecoderConfig(head_dim=64, rope_theta=5e5, rope_scaling=RopeScaling("llama3", 32.0, 1.0, 4.0, 8192))
    plain = 5e5 ** -(torch.arange(0, 64, 2) / 64)
    assert torch.allclose(plain / rope_factors(config), scale_frequencies(plain, config.rope_scaling), rtol=1e-5)


def test_other_rope_factors_are_refused(tmp_path):
    model, tokenizer = draw("llama")

    def extra(writer):
        gguf_files.add(writer, ROPE_FACTORS, torch.tensor([1.0, 3.0, 2.0, 5.0, 8.0]).numpy(), None)

    with pytest.raises(CheckpointError, match=r"has another rope_freqs\.weight than its metadata makes"):
        load(store(tmp_path / "a.gguf", "llama", model, tokenizer, extra=extra))


@pytest.mark.parametrize("kind", [Q.Q8_0, Q.Q4_0, Q.Q4_1, Q.F16], ids=lambda kind: kind.name)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_quantized_weights_are_those_of_the_package_bit_for_bit(tmp_path, kind, dtype):
    model, tokenizer = draw("llama", hidden_size=64, intermediate_size=96, head_dim=16)
    types = {r"blk\..*\.(attn|ffn)_(?!norm).*weight|token_embd\.weight": kind}
    path = store(tmp_path / "a.gguf", "llama", model, tokenizer, types=types)
    pipe = load(path, dtype)
    stored = gguf_files.dequantized(model.state_dict(), types, "llama", model.config)
    # Rows of queries and keys are packed in another order, but a row's blocks are its own.
    assert any(not torch.equal(stored[name], tensor) for name, tensor in model.state_dict().items())
    model.load_state_dict(stored)
    ours = pipe.model.state_dict()
    theirs = {
        "embedding": "embed_tokens",
        "blocks.1.attention.q": "layers.1.self_attn.q_proj",
        "blocks.2.attention.k": "layers.2.self_attn.k_proj",
        "blocks.0.mlp.down": "layers.0.mlp.down_proj",
    }
    for name, their in theirs.items():
        their_weight = stored[f"model.{their}.weight"].to(getattr(torch, dtype))
        assert torch.equal(ours[f"decoder.{name}.weight"], their_weight)
    if dtype == "float32":
        assert difference(pipe, model) < 1e-5


@pytest.mark.parametrize("name", ["blocks.1.attention.q", "blocks.1.attention.k", "blocks.1.attention.v", "embedding"])
@pytest.mark.parametrize("kind", [Q.Q8_0, Q.Q4_0, Q.Q4_1], ids=lambda kind: kind.name)
def test_groups_are_the_models_weights_in_its_order_of_rows(tmp_path, name, kind):
    model, tokenizer = draw("llama", hidden_size=64, intermediate_size=96, head_dim=16)
    path = store(tmp_path / "a.gguf", "llama", model, tokenizer, types={".*(attn_[qkv]|embd).weight": kind})
    described, weights = describe(path), load(path).model.state_dict()
    key = described.keys.resolve(weights, described.header)[f"decoder.{name}.weight"]
    groups = described.folder.tensors.groups(key)
    assert torch.equal(groups.numbers(), weights[f"decoder.{name}.weight"])


def test_plain_and_shifted_weights_have_no_groups(tmp_path):
    model, tokenizer = draw("gemma")
    described = describe(store(tmp_path / "a.gguf", "gemma", model, tokenizer))
    names = described.keys.resolve(load(tmp_path / "a.gguf").model.state_dict(), described.header)
    for name in ("decoder.norm.weight", "decoder.embedding.weight"):
        assert described.folder.tensors.groups(names[name]) is None


def test_gemmas_norms_are_those_of_the_reference_bit_for_bit(tmp_path):
    model, tokenizer = draw("gemma2")
    store(tmp_path / "a.gguf", "gemma2", model, tokenizer)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="a.gguf", dtype=torch.float32)
    ours = load(tmp_path / "a.gguf").model.decoder
    assert torch.equal(ours.norm.weight, theirs.model.norm.weight)
    assert torch.equal(ours.blocks[1].mlp_post_norm.weight, theirs.model.layers[1].post_feedforward_layernorm.weight)


def rewritten(path, change):
    """The same file with other metadata, as `change` leaves them."""
    reader, out = gguf.GGUFReader(path), path.with_name("b.gguf")
    writer = gguf.GGUFWriter(out, "llama")
    fields = {name: (field.types, field.contents()) for name, field in reader.fields.items() if "GGUF" not in name}
    del fields["general.architecture"]
    change(fields)
    for name, (types, value) in fields.items():
        if types[0] == gguf.GGUFValueType.ARRAY:
            writer.add_array(name, value)
        else:
            writer.add_key_value(name, value, types[0])
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    gguf_files.finish(writer)
    return out


U32, F32, TEXT = gguf.GGUFValueType.UINT32, gguf.GGUFValueType.FLOAT32, gguf.GGUFValueType.STRING


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("llama.block_count", None, "has no llama.block_count in its metadata"),
        ("llama.embedding_length", None, "has no llama.embedding_length"),
        ("llama.attention.layer_norm_rms_epsilon", None, "has no llama.attention.layer_norm_rms_epsilon"),
        ("llama.block_count", ([U32], 10**6), "its metadata asks for 1000000 layers"),
        ("llama.block_count", ([U32], 4), "missing"),
        ("llama.block_count", ([U32], 2), "unexpected"),
        ("llama.embedding_length", ([U32], 32), "differing|divisible"),
        ("llama.attention.head_count", ([U32], 0), "has no llama.attention.head_count"),
        ("llama.attention.head_count", ([U32], 3), "divisible|differing"),
        ("llama.attention.head_count_kv", ([U32], 3), "divisible"),
        ("llama.attention.head_count", ([TEXT], "many"), "a whole number is needed"),
        ("llama.attention.value_length", ([U32], 12), "Ojito has only 10"),
        ("llama.rope.dimension_count", ([U32], 4), "Ojito has only 10"),
        ("llama.expert_count", ([U32], 8), "Ojito has only 0"),
        ("llama.rope.scaling.type", ([TEXT], "yarn"), "Ojito has none and linear"),
        ("llama.rope.freq_base", ([F32], -1.0), "rope_theta"),
        ("llama.context_length", ([U32], 2**32 - 1), ""),
        ("split.count", ([U32], 3), "is one piece of a model in several; merge them"),
    ],
)
def test_metadata_that_cannot_be_followed_are_refused(tmp_path, name, value, said):
    path = store(tmp_path / "a.gguf", "llama", *draw("llama"))

    def change(fields):
        fields.pop(name, None)
        if value:
            fields[name] = value

    changed = rewritten(path, change)
    if not said:
        load(changed)
        return
    with pytest.raises(OjitoError, match=said) as caught:
        load(changed)
    assert str(changed) in str(caught.value)
    assert "; " in str(caught.value)


def test_architecture_that_ojito_does_not_have_is_refused(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "mamba")
    gguf_files.finish(writer)
    with pytest.raises(CheckpointError, match=r"'mamba'; Ojito knows llama, qwen2, qwen3, gemma, gemma2, gemma3"):
        describe(tmp_path / "a.gguf")


def test_vocabulary_larger_than_the_embedding_is_refused(tmp_path):
    model, tokenizer = draw("llama")
    state = {k: v[:-4] if k in ("model.embed_tokens.weight", "lm_head.weight") else v
             for k, v in model.state_dict().items()}  # fmt: skip
    path = gguf_files.write_text(tmp_path / "a.gguf", "llama", model.config, state, tokenizer)
    with pytest.raises(CheckpointError, match=r"the tokenizer has .* entries, and the model"):
        load(path)


def test_no_memory_is_taken_for_a_file_that_does_not_fit(tmp_path):
    path = store(tmp_path / "a.gguf", "llama", *draw("llama"))
    huge = rewritten(path, lambda fields: fields.update({"llama.feed_forward_length": ([U32], 2**31)}))
    with pytest.raises(ValueError, match=r"GiB for its weights|does not fit its metadata"):
        load(huge)


def test_read_config_has_no_switch_of_another_family(tmp_path):
    path = store(tmp_path / "a.gguf", "gemma3", *draw("gemma3"))
    config = describe(path).model.decoder
    expected = {"window": 6, "full_every": 6, "window_theta": 50.0, "rope_theta": 700.0, "post_norms": True,
                "query_key_norm": True, "norm": "rms_plus_one", "query_scalar": 10.0, "mask": "causal"}  # fmt: skip
    assert {name: value for name, value in dataclasses.asdict(config).items() if name in expected} == expected


def test_damaged_file_is_an_error_of_ours(tmp_path):
    path = store(tmp_path / "a.gguf", "llama", *draw("llama"))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(GgufError, match="is truncated"):
        load(path)
