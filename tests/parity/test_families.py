"""Every family of vision-language models against transformers: folders of tiny random models, loaded as ours."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from ojito import Sample, Turn
from ojito.model.vit import fractional_rows
from ojito.records import IGNORE, IMAGE, PADDING, SHARED, Batch
from tests.parity import reference
from tests.parity.reference import FULL, IMAGES, LLAMA3, NONE, ONE, SEVERAL, SLIDING, transformers

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")

ROWS = {"one image": [ONE], "several": [SEVERAL], "none": [NONE], "unequal": [ONE, SEVERAL, NONE]}
ANSWERED = [
    dataclasses.replace(sample, prompt="", turns=(Turn(sample.prompt, (answer,)),))
    for sample, answer in zip(ROWS["unequal"], ["it is red", "in the ball, 2 dogs", "a"], strict=True)
]
SPEAKING = 5  # a seed with which no family says the same token again and again


def our_logits(pipe, batch):
    """Those of the exact model; the prepared one, which answers, has the same."""
    with torch.inference_mode():
        exact, read = pipe.model(batch), batch.segments != PADDING
        if pipe.model.dtype == torch.float32:
            torch.testing.assert_close(pipe.prepared()(batch)[read], exact[read], rtol=1e-4, atol=5e-5)
        return exact


def assert_same_logits(theirs, pipe, batch):
    read = batch.segments != PADDING
    expected = theirs.logits(batch)[read]
    assert expected.std() > 0.1  # or nothing is compared
    torch.testing.assert_close(our_logits(pipe, batch)[read], expected, rtol=1e-5, atol=1e-5)


# --------------------------------------------------------------------------------------------------------------- logits


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("family", reference.FAMILIES)
def test_matches_reference_logits(usual, family, rows):
    theirs, ours = usual(family)
    batch = ours.processor(ROWS[rows])
    assert bool((batch.segments == PADDING)[:, 0].any()) == (rows == "unequal")
    assert_same_logits(theirs, ours, batch)


@pytest.mark.parametrize("family", reference.FAMILIES)
def test_matches_reference_training_rows(usual, family):
    theirs, ours = usual(family)
    batch = ours.processor(ANSWERED, training=True)
    assert (batch.segments == PADDING)[:, -1].any()
    # Its labels stand where the token is, and our targets at the place before.
    labels = torch.cat((torch.full_like(batch.targets[:, :1], IGNORE), batch.targets[:, :-1]), dim=1)
    expected, logits = theirs.run(batch, labels=labels), our_logits(ours, batch)
    read = batch.segments != PADDING
    torch.testing.assert_close(logits[read], expected.logits[read], rtol=1e-5, atol=1e-5)
    loss = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())
    torch.testing.assert_close(loss, expected.loss, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["paligemma", "paligemma2"])
def test_prefix_with_suffix_is_read_as_the_references_own(usual, family):
    """Token types and labels of its processor's making."""
    theirs, ours = usual(family)
    samples = ANSWERED[:1] * 2 + [dataclasses.replace(ANSWERED[1], images=IMAGES[1:2])]
    made = theirs.processor(
        images=[list(sample.images) for sample in samples],
        text=[f"<image>{sample.turns[0].prompt}" for sample in samples],
        suffix=[sample.turns[0].answers[0] for sample in samples],
        padding=True, padding_side="right", return_tensors="pt",
    )  # fmt: skip
    batch = ours.processor(samples, training=True)
    read = batch.segments != PADDING
    assert torch.equal(made["attention_mask"].bool(), read)
    assert torch.equal(batch.tokens.masked_fill(batch.tokens == IMAGE, theirs.image_id)[read], made["input_ids"][read])
    labels = made.pop("labels")
    assert torch.equal(labels[:, 1:][read[:, 1:]], batch.targets[:, :-1][read[:, 1:]])
    with torch.no_grad():
        expected = theirs.model(**made).logits
    torch.testing.assert_close(our_logits(ours, batch)[read], expected[read], rtol=1e-5, atol=1e-5)


LINEAR = {"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0}
VARIANTS = {
    "paligemma at 48 pixels": ("paligemma", {"vision": {"image_size": 48}}),
    "paligemma at 37 pixels, which are no whole patches": ("paligemma", {"vision": {"image_size": 37}}),
    "paligemma with another activation": ("paligemma", {"vision": {"hidden_act": "gelu"}}),
    "paligemma with Gemma's first word for tanh": ("paligemma", {"text": {"hidden_act": "gelu"}}),
    "paligemma with other eps": ("paligemma", {"vision": {"layer_norm_eps": 0.1}, "text": {"rms_norm_eps": 0.1}}),
    "paligemma of many key heads": ("paligemma", {"text": {"num_key_value_heads": 4}}),
    "paligemma2 without softcaps": (
        "paligemma2", {"text": {"attn_logit_softcapping": None, "final_logit_softcapping": None}},
    ),
    "paligemma2 of another scale": ("paligemma2", {"text": {"query_pre_attn_scalar": 144}}),
    "paligemma2 with a window longer than the row": ("paligemma2", {"text": {"sliding_window": 400}}),
    "paligemma2 with full layers first": ("paligemma2", {"text": {"layer_types": [FULL] * 4}}),
    "llava with an earlier layer": ("llava", {"whole": {"vision_feature_layer": -3}}),
    "llava with a layer counted from the first": ("llava", {"whole": {"vision_feature_layer": 1}}),
    "llava without biases": ("llava", {"whole": {"multimodal_projector_bias": False}}),
    "llava with a tied head": ("llava", {"whole": {"tie_word_embeddings": True}}),
    "llava whose decoder ties its head": ("llava", {"text": {"tie_word_embeddings": True}}),
    "llava with SigLIP": (
        "llava", {"vision": {"model_type": "siglip_vision_model", "vision_use_head": False},
                  "whole": {"vision_feature_select_strategy": "full"}},
    ),
    "llava with biases in the decoder": ("llava", {"text": {"attention_bias": True, "mlp_bias": True}}),
    "llava with LLaMA 3's frequencies": ("llava", {"text": {"rope_parameters": LLAMA3}}),
    "llava with slower frequencies": ("llava", {"text": {"rope_parameters": LINEAR}}),
    "llava with Qwen 2": ("llava", {"text": {"model_type": "qwen2"}}),
    "llava with Qwen 3": ("llava", {"text": {"model_type": "qwen3"}}),
    # Its decoder alone would cap the final logits; these classes have a head of their own, which does not.
    "llava with Gemma 2": ("llava", {"text": reference.GEMMA2}),
    "idefics3 with Gemma 2": ("idefics3", {"vision": {"patch_size": 5}, "text": reference.GEMMA2}),
    "idefics3 without folding": ("idefics3", {"vision": {"patch_size": 10}, "whole": {"scale_factor": 1}}),
    "smolvlm with a tied head": ("smolvlm", {"vision": {"patch_size": 5}, "whole": {"tie_word_embeddings": True}}),
    "gemma3 of every second layer": (
        "gemma3", {"text": {"layer_types": [SLIDING, FULL, SLIDING, FULL], "num_hidden_layers": 4}},
    ),
    "gemma3 of windows only": ("gemma3", {"text": {"num_hidden_layers": 2, "layer_types": [SLIDING] * 2}}),
    "gemma3 with other eps": ("gemma3", {"vision": {"layer_norm_eps": 0.1}, "text": {"rms_norm_eps": 0.1}}),
    "gemma3 without pooling": ("gemma3", {"vision": {"patch_size": 8}}),
    "gemma3 with a longer window": ("gemma3", {"text": {"sliding_window": 20}}),
}  # fmt: skip
FOLDS = {"idefics3 without folding": 1, "smolvlm with a tied head": 5, "gemma3 without pooling": 1}


@pytest.mark.parametrize("variant", VARIANTS)
def test_matches_reference_variant(pair, monkeypatch, variant):
    family, changes = VARIANTS[variant]
    if variant in FOLDS:
        changed = dataclasses.replace(reference.FAMILIES[family], fold=FOLDS[variant])
        monkeypatch.setitem(reference.FAMILIES, family, changed)
    theirs, ours = pair(family, **changes)
    assert_same_logits(theirs, ours, ours.processor(ROWS["unequal"]))


def test_position_ids_are_the_references_at_every_grid():
    embeddings = pytest.importorskip("transformers.models.idefics3.modeling_idefics3").Idefics3VisionEmbeddings
    skipping = []
    for grid in range(5, 41):
        config = transformers.models.idefics3.Idefics3VisionConfig(hidden_size=1, image_size=grid, patch_size=1)
        module = embeddings(config)
        with torch.no_grad():
            module.patch_embedding.weight.zero_()
            module.patch_embedding.bias.zero_()
            module.position_embedding.weight.copy_(torch.arange(grid**2)[:, None])
            ids = module(torch.zeros(1, 3, grid, grid), torch.ones(1, grid, grid, dtype=torch.bool)).flatten().long()
        assert torch.equal(fractional_rows(grid), ids)
        skipping += [grid] * (not torch.equal(ids, torch.arange(grid**2)))
    assert reference.FRACTIONAL["image_size"] // reference.FRACTIONAL["patch_size"] in skipping


@pytest.mark.parametrize("family", reference.FAMILIES)
def test_bfloat16_is_the_references_bit_for_bit(tmp_path, family):
    """With its form of attention, and positions counted from where it counts them: so it loses as much, no more.

    Without PaliGemma 2's cap on logits, which it rounds three times on the way and we never.
    """
    coarse = {"patch_size": 10} if reference.FAMILIES[family].tiles else {}
    uncapped = {"final_logit_softcapping": None} if family == "paligemma2" else {}
    for seed in range(3):
        theirs = reference.make(family, text=uncapped, vision=coarse, seed=seed)
        ours = theirs.ours(tmp_path, "bfloat16")
        frequencies = {name: kept for name, kept in theirs.model.named_buffers() if "inv_freq" in name}
        theirs.model.bfloat16()
        for name, kept in frequencies.items():  # from_pretrained leaves them in float32
            theirs.model.get_buffer(name).data = kept
        text = "eager" if ours.model.config.decoder.attention_softcap else "sdpa"
        theirs.model.set_attn_implementation({"vision_config": "sdpa", "text_config": text})
        batch = ours.processor(ROWS["unequal"])
        expected = theirs.logits(batch)
        first = int(family.startswith("paligemma"))
        logits = our_logits(ours, dataclasses.replace(batch, positions=batch.positions + first))
        read = batch.segments != PADDING
        assert torch.equal(logits[read], expected[read].float())


# ----------------------------------------------------------------------------------------------------------- generation


@pytest.mark.parametrize("family", reference.FAMILIES)
def test_generates_the_references_tokens(usual, family):
    theirs, ours = usual(family, scale=reference.FAMILIES[family].lively, seed=SPEAKING)
    count = 16  # more than twice the window
    expected = theirs.generate(ours.processor(ROWS["unequal"]), count, ours.processor.tokenizer.ends)
    assert len(expected[1]) == count
    assert all(len(set(row)) > 2 for row in expected)  # or anything would equal it
    answers = ours.generate(ROWS["unequal"], max_new_tokens=count)
    assert [list(answer.tokens) for answer in answers] == expected

    # And without the cache, the row read anew for every token.
    samples, count = [ONE, NONE], 4 if reference.FAMILIES[family].tiles else count
    batch, said = ours.processor(samples), []
    for _ in range(count):
        said.append(our_logits(ours, batch)[:, -1].argmax(-1, keepdim=True))
        batch = longer(batch, said[-1])
    for row, its in zip(torch.cat(said, dim=1).tolist(), expected[::2], strict=True):
        assert row[: len(its)] == its[:count]


def longer(batch, tokens):
    """The rows with a token more."""
    return Batch(
        tokens=torch.cat((batch.tokens, tokens), dim=1),
        positions=torch.cat((batch.positions, batch.positions[:, -1:] + 1), dim=1),
        segments=F.pad(batch.segments, (0, 1), value=SHARED),
        prefix=F.pad(batch.prefix, (0, 1), value=False),
        targets=F.pad(batch.targets, (0, 1), value=IGNORE),
        images=batch.images,
    )


# ------------------------------------------------------------------------------------------------------------ processor


CHATS = {
    "paligemma": ["<image>what is it?"],
    "llava": [
        "USER: <image>\nwhat is it? ASSISTANT:",
        "USER: <image>\nwhat is it? ASSISTANT: red</s>USER: the cat ASSISTANT:",
    ],
    "idefics3": [
        "<|begin_of_text|>User:<image>what is it?<end_of_utterance>\nAssistant:",
        "<|begin_of_text|>User:<image>what is it?<end_of_utterance>\nAssistant: red<end_of_utterance>\n"
        "User: the cat<end_of_utterance>\nAssistant:",
    ],
    "smolvlm": [
        "<|im_start|>User:<image>what is it?<end_of_utterance>\nAssistant:",
        "<|im_start|>User:<image>what is it?<end_of_utterance>\nAssistant: red<end_of_utterance>\n"
        "User: the cat<end_of_utterance>\nAssistant:",
    ],
    "gemma3": [
        "<bos><start_of_turn>user\n<start_of_image>what is it?<end_of_turn>\n<start_of_turn>model\n",
        "<bos><start_of_turn>user\n<start_of_image>what is it?<end_of_turn>\n<start_of_turn>model\nred<end_of_turn>\n"
        "<start_of_turn>user\nthe cat<end_of_turn>\n<start_of_turn>model\n",
    ],
}
TURNS = Sample(IMAGES[:1], turns=(Turn(ONE.prompt, ("red",)), Turn("the cat")))


@pytest.mark.parametrize("family", CHATS)
def test_reads_a_image_and_a_question_as_the_references_processor(usual, family):
    theirs, ours = usual(family)
    options = {"add_special_tokens": family == "llava"}  # where the template does not write the first token
    for sample, text in zip([ONE, TURNS], CHATS[family], strict=False):
        made = theirs.processor(images=[list(sample.images)], text=[text], return_tensors="pt", **options)
        batch = ours.processor([sample])
        assert torch.equal(batch.tokens.masked_fill(batch.tokens == IMAGE, theirs.image_id), made["input_ids"])
        assert torch.equal(batch.images, made["pixel_values"].reshape(batch.images.shape))
        assert len(batch.images) == (3 if reference.FAMILIES[family].tiles else 1)
