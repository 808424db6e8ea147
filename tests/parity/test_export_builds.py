"""What was built of public parts leaves again: in transformers it has the same rows, logits and answers."""

import dataclasses
import json

import pytest
import torch

import ojito
from ojito import Sample, Turn
from ojito.checkpoint.files import CheckpointError
from ojito.config import DecoderConfig
from tests.parity import reference
from tests.parity.exporting import assert_same_inputs, load_processor, load_theirs
from tests.parity.reference import ASK, IMAGES, transformers
from tests.parity.test_export_processors import AS_TENSORS, MORE, SAY, turns
from tests.public_parts import GPT2, SMOLLM, TOWER, save_decoder, save_tower

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")

CLIP = dataclasses.replace(
    TOWER, class_token=True, pre_norm=True, stem_bias=False, feature_layer=-2, activation="quick_gelu"
)
TOWERS = {"siglip": (TOWER, "siglip_vision_model"), "clip": (CLIP, "clip_vision_model")}
GEMMA = dataclasses.replace(
    SMOLLM, kv_heads=1, head_dim=10, activation="gelu_tanh", norm="rms_plus_one", scale_embeddings=True
)
DECODERS: dict[str, tuple[DecoderConfig, str]] = {
    "smollm": (SMOLLM, "llama"),
    "llama": (dataclasses.replace(SMOLLM, tied_head=False), "llama"),
    "qwen2": (dataclasses.replace(SMOLLM, query_bias=True), "qwen2"),
    "qwen3": (dataclasses.replace(SMOLLM, query_key_norm=True, head_dim=10), "qwen3"),
    "gpt2": (GPT2, "gpt2"),
    "gemma": (GEMMA, "gemma"),
    "gemma2": (dataclasses.replace(GEMMA, post_norms=True, window=8, attention_softcap=2.0), "gemma2"),
}


@pytest.fixture
def join(tmp_path):
    """A model of these parts, and the folder for its export."""

    def build(tower="siglip", decoder="smollm", begins=False, **options):
        config, kind = DECODERS[decoder]
        made = reference.byte_tokenizer(["<s>", "</s>"], bos_token="<s>", eos_token="</s>", pad_token="</s>")
        if begins:
            number = made.convert_tokens_to_ids("<s>")
            made.backend_tokenizer.post_processor = reference.processors.TemplateProcessing(
                "<s> $A", "<s> $A <s> $B", [("<s>", number)]
            )
        # As full as the vocabulary of SmolLM2 is.
        full = dataclasses.replace(config, vocab_size=len(made), max_positions=128)
        vision, words = tmp_path / "vision", tmp_path / "decoder"
        if not vision.exists():
            save_tower(vision, *TOWERS[tower])
            save_decoder(words, dataclasses.replace(full, vocab_size=max(len(made), 260)), kind)
            made.save_pretrained(words)
        return ojito.build(vision=vision, decoder=words, device="cpu", dtype="float32", **options), tmp_path / "out"

    return build


def assert_answers_as(pipe, model, made):
    """The same logits and the same answer."""
    size, batch = pipe.model.config.decoder.vocab_size, pipe.processor([Sample(IMAGES[:1], ASK)])
    with torch.no_grad():
        theirs, ours = model(**made).logits[..., :size], pipe.model(batch)
    assert theirs.std() > 0.1
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=2e-5)
    ids = model.generate(**made, max_new_tokens=6, do_sample=False)[0, made["input_ids"].shape[1] :].tolist()
    ends = pipe.processor.tokenizer.ends
    assert tuple(i for i in ids if i not in ends) == pipe.ask(IMAGES[0], ASK, max_new_tokens=6).tokens


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("tower", TOWERS)
def test_mlp_leaves_as_llava(join, tower, decoder):
    pipe, out = join(tower, decoder)
    assert pipe.export_family() == pipe.export(out).family == "llava"
    model, processor = load_theirs(out), load_processor(out, "llava")
    made = processor.apply_chat_template(turns(ASK, image=True), **AS_TENSORS)
    assert_same_inputs(made, pipe.processor([Sample(IMAGES[:1], ASK)]), processor.image_token_id)
    assert_answers_as(pipe, model, made)


@pytest.mark.parametrize("begins", [False, True], ids=["", "a first token"])
def test_rows_of_llava_are_those_of_the_build(join, begins):
    pipe, out = join(begins=begins)
    assert pipe.processor.config.prompt.bos == begins
    pipe.export(out)
    processor = load_processor(out, "llava")
    for sample, said in [
        (Sample((), ASK), turns(ASK)),
        (Sample(IMAGES[:1], turns=(Turn(ASK, (SAY,)), Turn(MORE))), turns(ASK, SAY, MORE, image=True)),
    ]:
        made = processor.apply_chat_template(said, **AS_TENSORS)
        assert_same_inputs(made, pipe.processor([sample]), processor.image_token_id)
    back = ojito.load(out, device="cpu", dtype="float32")
    prompt = dataclasses.replace(back.processor.config.prompt, max_tokens=pipe.processor.config.prompt.max_tokens)
    assert prompt == pipe.processor.config.prompt
    assert back.caption(IMAGES[0], max_new_tokens=6) == pipe.caption(IMAGES[0], max_new_tokens=6)


def test_other_prompts_leave_as_well(join):
    words = {"user": "Q: ", "separator": " A:", "before_answer": " ", "after_answer": "\n", "image_text": "[<image>]"}
    settings = [f"processor.prompt.{name}={json.dumps(text)}" for name, text in words.items()]
    settings += ["processor.prompt.image=inline"]
    pipe, out = join(settings=settings)
    pipe.export(out)
    processor = load_processor(out, "llava")
    sample = Sample(IMAGES[:1], turns=(Turn(ASK, (SAY,)), Turn(MORE)))
    made = processor.apply_chat_template(turns(ASK, SAY, MORE, image=True), **AS_TENSORS)
    assert_same_inputs(made, pipe.processor([sample]), processor.image_token_id)
    back = ojito.load(out, device="cpu", dtype="float32")
    assert torch.equal(back.processor([sample]).tokens, pipe.processor([sample]).tokens)


@pytest.mark.parametrize("decoder", ["smollm", "qwen2", "gemma", "gemma2"])
def test_linear_with_a_prefix_leaves_as_paligemma(join, decoder):
    pipe, out = join(decoder=decoder, connector="linear", settings=["model.decoder.mask=prefix"])
    assert pipe.export_family() == pipe.export(out).family == "paligemma"
    model, processor = load_theirs(out), load_processor(out, "paligemma")
    made = processor(images=IMAGES[0], text=f"<image>{ASK}", return_tensors="pt")
    made.pop("labels", None)
    assert_same_inputs(made, pipe.processor([Sample(IMAGES[:1], ASK)]), processor.image_token_id)
    assert_answers_as(pipe, model, made)
    back = ojito.load(out, device="cpu", dtype="float32")
    assert back.ask(IMAGES[0], ASK, max_new_tokens=6) == pipe.ask(IMAGES[0], ASK, max_new_tokens=6)


@pytest.mark.parametrize("decoder", ["smollm", "qwen2", "llama"])
def test_pixel_shuffle_leaves_as_idefics3(join, decoder):
    pipe, out = join(decoder=decoder, like="idefics3")
    assert pipe.model.config.image_tokens == 4
    assert pipe.export_family() == pipe.export(out).family == "idefics3"
    model, processor = load_theirs(out), load_processor(out, "idefics3")
    made = processor.apply_chat_template(turns(ASK, image=True), **AS_TENSORS)
    assert_same_inputs(made, pipe.processor([Sample(IMAGES[:1], ASK)]), processor.image_token_id)
    assert_answers_as(pipe, model, made)
    back = ojito.load(out, device="cpu", dtype="float32")
    assert back.ask(IMAGES[0], ASK, max_new_tokens=6) == pipe.ask(IMAGES[0], ASK, max_new_tokens=6)


def test_build_like_paligemma_is_one(join):
    pipe, _ = join(like="paligemma")
    assert pipe.export_family() == "paligemma"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"connector": "linear"}, "nearest is paligemma with llama, but model.decoder.mask is 'causal', not 'prefix'"),
        (
            {"settings": ["model.vision.feature_layer=-1"]},
            "llava with llama, but model.vision.feature_layer is -1, not",
        ),
        ({"settings": ["model.connector.norm=layer"]}, "llava with llama, but model.connector.norm is 'layer', not"),
        ({"connector": "perceiver:4"}, "model.connector.reduce is 'perceiver', not 'none'"),
    ],
    ids=str,
)
def test_build_that_no_public_class_holds_says_what_keeps_it(join, options, said):
    pipe, _ = join(**options)
    with pytest.raises(CheckpointError, match=said):
        pipe.export_family()


def test_head_of_gpt2_is_written_apart_because_llavas_class_cannot_tie_it(join):
    pipe, out = join(decoder="gpt2")
    assert pipe.model.config.decoder.tied_head
    pipe.export(out)
    back = ojito.load(out, device="cpu", dtype="float32")
    assert not back.model.config.decoder.tied_head
    assert back.ask(IMAGES[0], ASK, max_new_tokens=6) == pipe.ask(IMAGES[0], ASK, max_new_tokens=6)
    values = transformers.AutoConfig.from_pretrained(out)
    assert not values.tie_word_embeddings
