"""Models written as GGUF: read back to equal logits, and of the structure that the package `gguf` reads."""

import dataclasses

import gguf
import pytest
import torch

import ojito
import ojito.errors
import ojito.processor
from ojito import Sample
from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.gguf.decoders import write_decoder
from ojito.checkpoint.gguf.towers import write_tower
from ojito.config import DecoderConfig, ImageConfig, ModelConfig, RopeScaling, ViTConfig
from ojito.pipeline import Pipeline
from ojito.records import PADDING
from tests.checkpoint.gguf import test_decoders, test_towers
from tests.parity import reference
from tests.parity.reference import NONE, ONE, SEVERAL

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")

FAMILIES = {
    "llava": {}, "idefics3": {}, "smolvlm": {"vision": {"image_size": 50}},
    "gemma3": {"text": {"query_pre_attn_scalar": 10}},
}  # fmt: skip


def reload(folder):
    return ojito.load(folder, device="cpu", dtype="float32")


def logits(pipe, samples):
    batch = pipe.processor(samples)
    with torch.inference_mode():
        return pipe.model(batch)[batch.segments != PADDING]


def assert_same(one, other, samples, exact=True):
    first, second = one.processor(samples), other.processor(samples)
    assert torch.equal(first.tokens, second.tokens)
    assert first.images is None or torch.equal(first.images, second.images)
    torch.testing.assert_close(
        logits(one, samples), logits(other, samples), rtol=0 if exact else 1e-5, atol=0 if exact else 1e-5
    )


@pytest.mark.parametrize("name", test_decoders.MODELS)
def test_roundtrips_a_model_of_text(tmp_path, name):
    pipe = reload(test_decoders.store(tmp_path / "a.gguf", name, *test_decoders.draw(name)))
    written = pipe.export_gguf(tmp_path / "out")
    assert written.architecture == name.partition("-")[0]
    assert written.projector == ""
    again = reload(tmp_path / "out")
    assert_same(pipe, again, test_decoders.ROWS)
    assert again.processor.config.prompt == pipe.processor.config.prompt


@pytest.mark.parametrize("name", ["llama", "gemma2", "qwen2"])
def test_names_and_shapes_are_those_of_the_packages_conversion(tmp_path, name):
    path = test_decoders.store(tmp_path / "a.gguf", name, *test_decoders.draw(name))
    reload(path).export_gguf(tmp_path / "out")
    theirs, ours = gguf.GGUFReader(path), gguf.GGUFReader(tmp_path / "out" / "model.gguf")
    assert {t.name: (t.tensor_type, t.data.tobytes()) for t in ours.tensors} == {
        t.name: (t.tensor_type, t.data.tobytes()) for t in theirs.tensors
    }
    theirs, ours = ({k: f.contents() for k, f in r.fields.items()} for r in (theirs, ours))
    differing = {key for key, value in theirs.items() if ours.get(key) != value}
    told = {"GGUF.kv_count", "tokenizer.ggml.scores"}  # of which only the order says something
    assert differing - told == set()


def seeing(folder, made):
    """A model out of its public folder, with a GGUF file's vocabulary: the merges of the tiny ones follow from none."""
    public = made.ours(folder / "public")
    files = ojito.load(*test_towers.write(folder, made)[:1], device="cpu", mmproj=folder / "mmproj.gguf")
    return Pipeline(public.model, files.processor)


@pytest.mark.parametrize("family", FAMILIES)
def test_roundtrips_a_model_that_sees(tmp_path, family):
    pipe = seeing(tmp_path, reference.make(family, **FAMILIES[family]))
    written = pipe.export_gguf(tmp_path / "out")
    assert written.projector == test_towers.KIND[family]
    # 1 is added to the weights of some norms, and taken away again.
    assert_same(pipe, reload(tmp_path / "out"), [ONE, SEVERAL, NONE], exact=family != "gemma3")


@pytest.mark.parametrize("family", ["llava", "idefics3", "gemma3"])
def test_mmproj_is_that_of_the_packages_conversion(tmp_path, family):
    made = reference.make(family, **FAMILIES[family])
    seeing(tmp_path, made).export_gguf(tmp_path / "out")
    path = tmp_path / "mmproj.gguf"
    theirs, ours = gguf.GGUFReader(path), gguf.GGUFReader(tmp_path / "out" / "mmproj.gguf")
    assert {t.name: t.data.tobytes() for t in ours.tensors} == {t.name: t.data.tobytes() for t in theirs.tensors}
    theirs, ours = ({k: f.contents() for k, f in r.fields.items() if k.startswith("clip.")} for r in (theirs, ours))
    statistics = {"clip.vision.image_mean", "clip.vision.image_std"}
    assert {key for key, value in theirs.items() if ours.get(key, False) != value} <= {*statistics, "clip.use_gelu"}


@pytest.mark.parametrize(("dtype", "stored"), [("float32", "F32"), ("float16", "F16"), ("bfloat16", "BF16")])
def test_dtype_is_that_of_the_matrices(tmp_path, dtype, stored):
    pipe = reference.make("idefics3").ours(tmp_path / "public")
    assert pipe.export_gguf(tmp_path / "out", dtype=dtype).dtype == dtype
    types = {}
    for file in ("model", "mmproj"):
        reader = gguf.GGUFReader(tmp_path / "out" / f"{file}.gguf")
        types |= {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    assert types["blk.0.attn_q.weight"] == types["v.blk.0.ffn_up.weight"] == stored
    assert types["blk.0.attn_norm.weight"] == types["v.blk.0.ffn_up.bias"] == "F32"
    assert types["v.patch_embd.weight"] == ("F32" if dtype == "bfloat16" else stored)
    weight = reload(tmp_path / "out").model.decoder.blocks[0].attention.q.weight
    assert torch.equal(weight, pipe.model.decoder.blocks[0].attention.q.weight.to(getattr(torch, dtype)).float())


CHATML = (
    "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}"
    "{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def chatting(path):
    """A model of text that knows ChatML."""
    model, _ = test_decoders.draw("llama")
    tokenizer = reference.byte_tokenizer(
        ["<|im_start|>", "<|im_end|>"], bos_token="<|im_start|>", eos_token="<|im_end|>"
    )
    config = reference.transformers.LlamaConfig(**{**model.config.to_dict(), "vocab_size": len(tokenizer)})
    model = reference.transformers.LlamaForCausalLM(config).eval()
    return reload(test_decoders.store(path, "llama", model, tokenizer, template=CHATML, pre="smollm"))


def test_chat_form_and_system_message_are_read_and_written(tmp_path):
    pipe = chatting(tmp_path / "a.gguf")
    prompt = pipe.processor.config.prompt
    assert (prompt.system, prompt.user, prompt.bos) == ("Be kind.", "<|im_start|>user\n", False)
    pipe.export_gguf(tmp_path / "out")
    again = reload(tmp_path / "out")
    assert again.processor.config.prompt == prompt
    sample = Sample(prompt="what is it?", system="the red dog")
    assert_same(pipe, again, [sample, Sample(prompt="cat")])
    template = gguf.GGUFReader(tmp_path / "out" / "model.gguf").get_field("tokenizer.chat_template").contents()
    messages = [{"role": "system", "content": "the red dog"}, {"role": "user", "content": "what is it?"}]
    rendered = jinja(template, messages)
    assert rendered == jinja(CHATML, messages)


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "gemma3"])
def test_real_numbers_are_written_as_such(architecture):
    scaling = RopeScaling("linear", factor=4)
    decoder = DecoderConfig(rope_theta=10000, window_theta=100, norm_eps=1, attention_softcap=50, final_softcap=30)
    values = write_decoder(architecture, dataclasses.replace(decoder, rope_scaling=scaling))
    model = ModelConfig(vision=ViTConfig(norm_eps=1))
    values |= write_tower("gemma3", model, ImageConfig(mean=(0, 0.5, 1), std=(1, 1, 1)))
    kinds = ("epsilon", "freq_base", "freq_base_swa", "factor", "softcapping", "image_mean", "image_std")
    found = {key: value for key, value in values.items() if key.endswith(kinds) and "scale_factor" not in key}
    assert len(found) > 5
    for value in found.values():
        assert {type(one) for one in (value if isinstance(value, list) else [value])} == {float}


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_tokens_that_end_an_answer_are_kept_or_the_model_is_refused(tmp_path, count):
    pipe = chatting(tmp_path / "a.gguf")
    (end,) = pipe.processor.tokenizer.ends
    pipe.processor.tokenizer.ends = (end, 5, 6, 7)[:count]
    if count > 3:
        with pytest.raises(CheckpointError, match="has 4 tokens that end an answer, and a GGUF file names 3"):
            pipe.export_gguf(tmp_path / "out")
        return
    pipe.export_gguf(tmp_path / "out")
    assert reload(tmp_path / "out").processor.tokenizer.ends == pipe.processor.tokenizer.ends


def jinja(template, messages):
    """What transformers' own Jinja makes of a template."""
    compiled = reference.transformers.utils.chat_template_utils._compile_jinja_template(template)
    return compiled.render(messages=messages, add_generation_prompt=True)


def test_vocabulary_is_filled_up_to_the_embedding_and_read_without_that(tmp_path):
    model, tokenizer = test_decoders.draw("llama")
    config = reference.transformers.LlamaConfig(**{**model.config.to_dict(), "vocab_size": len(tokenizer) + 7})
    wider = reference.transformers.LlamaForCausalLM(config).eval()
    pipe = reload(test_decoders.store(tmp_path / "a.gguf", "llama", wider, tokenizer))
    pipe.export_gguf(tmp_path / "out")
    tokens = gguf.GGUFReader(tmp_path / "out" / "model.gguf").get_field("tokenizer.ggml.tokens").contents()
    assert len(tokens) == len(tokenizer) + 7
    assert reload(tmp_path / "out").processor.tokenizer.size == len(tokenizer)


def test_a_model_there_is_kept_unless_force_is_given(tmp_path):
    pipe = chatting(tmp_path / "a.gguf")
    pipe.save(tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(CheckpointError, match="holds a model already"):
        pipe.export_gguf(tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    pipe.export_gguf(tmp_path / "out", force=True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model.gguf"]
    pipe.save(tmp_path / "out")
    assert not (tmp_path / "out" / "model.gguf").exists()
    assert reload(tmp_path / "out").model.config == pipe.model.config


def test_progress_counts_the_bytes(tmp_path):
    heard = []
    chatting(tmp_path / "a.gguf").export_gguf(
        tmp_path / "out", progress=lambda done, total: heard.append((done, total))
    )
    assert heard[-1][0] == heard[-1][1]
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)


def with_config(pipe, **changes):
    """The same pipeline with another model of these settings of the decoder."""
    config = pipe.model.config
    config = dataclasses.replace(config, decoder=dataclasses.replace(config.decoder, **changes))
    return Pipeline(ojito.VLM(config).eval(), pipe.processor)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"activation": "relu2"},
            r"a decoder that llama\.cpp does not know; .*decoder\.activation is 'relu2', not 'silu'",
        ),
        ({"query_scalar": 7.0}, r"decoder\.query_scalar is 7\.0"),
        ({"positions": "learned"}, r"decoder\.positions is 'learned'"),
    ],
)
def test_decoder_that_llama_cpp_cannot_compute_is_refused(tmp_path, changes, said):
    pipe = with_config(chatting(tmp_path / "a.gguf"), **changes)
    with pytest.raises(CheckpointError, match=said):
        pipe.export_gguf(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_gemmas_scale_that_the_metadata_cannot_say_is_refused(tmp_path):
    pipe = reload(test_decoders.store(tmp_path / "a.gguf", "gemma2", *test_decoders.draw("gemma2")))
    with pytest.raises(CheckpointError, match=r"query_scalar is 7\.0, and would be read as 10\.0"):
        with_config(pipe, query_scalar=7.0).export_gguf(tmp_path / "out")


def test_families_that_llama_cpp_lacks_are_refused(tmp_path):
    pipe = reference.make("paligemma").ours(tmp_path / "public")
    with pytest.raises(CheckpointError, match=r"family paligemma, and llama\.cpp has .* llava, gemma3, idefics3"):
        pipe.export_gguf(tmp_path / "out")


def test_tokenizer_that_llama_cpp_lacks_is_refused(tmp_path, tiny_pipe):
    with pytest.raises(CheckpointError, match=r"llama\.cpp"):
        tiny_pipe.export_gguf(tmp_path / "out")


@pytest.fixture
def tiny_pipe(tmp_path):
    """A model of text with a tokenizer of our own make."""
    pipe = chatting(tmp_path / "a.gguf")
    config = dataclasses.replace(pipe.processor.config.tokenizer, kind="bpe", path="", bos="", eos=(), pad="")
    prompt = dataclasses.replace(pipe.processor.config.prompt, user="", user_with_system="", system="", separator="\n")
    tokenizer = ojito.processor.Tokenizer.train(config, ["a red ball", "the cat"], 270)
    processor = dataclasses.replace(pipe.processor.config, tokenizer=config, prompt=prompt)
    return Pipeline(pipe.model, ojito.Processor.for_model(processor, tokenizer, pipe.model.config))


@pytest.mark.parametrize("dtype", ["float8", "int4"])
def test_dtype_that_there_is_not_is_refused(tmp_path, dtype):
    with pytest.raises(ojito.errors.OjitoError, match=repr(dtype)):
        chatting(tmp_path / "a.gguf").export_gguf(tmp_path / "out", dtype=dtype)
