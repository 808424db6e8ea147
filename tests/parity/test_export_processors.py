"""The processors that Ojito writes, used by transformers: the same rows and pixels, the same answers."""

import dataclasses
import json
import shutil
import string

import pytest
import tokenizers
import torch

import ojito
from ojito import Sample, Turn
from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.huggingface.families import FAMILIES
from ojito.checkpoint.huggingface.tokenizer_files import SpecialIds, Vocabulary
from ojito.config import ImageConfig, PromptConfig, TokenizerConfig
from ojito.pipeline import Pipeline
from ojito.processor import Processor, Tokenizer
from tests.parity import reference
from tests.parity.exporting import (
    assert_same_inputs,
    files,
    from_preset,
    load_processor,
    load_theirs,
    read,
    with_processor,
)
from tests.parity.reference import ASK, IMAGES, ONE, transformers

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")

SAY, MORE = "it is red", "in the ball? 12 €"
CHATS = ["llava", "idefics3", "smolvlm", "gemma3"]
AS_TENSORS = {"add_generation_prompt": True, "tokenize": True, "return_dict": True, "return_tensors": "pt"}
"""How to ask for a chat as tensors."""


def turns(*said, image=False):
    """Questions and answers, as chats are handed to transformers."""
    roles = ["user", "assistant"] * len(said)
    made = [
        {"role": role, "content": [{"type": "text", "text": text}]} for role, text in zip(roles, said, strict=False)
    ]
    if image:
        made[0]["content"].insert(0, {"type": "image", "image": IMAGES[0]})
    return made


# ------------------------------------------------------------------------------------------------ rows, pixels, answers


@pytest.mark.parametrize("family", CHATS)
def test_processor_writes_chats_as_ours(exported, family):
    theirs, pipe, folder = exported(family)
    processor = load_processor(folder, family)
    for sample, said in [
        (ONE, turns(ASK, image=True)),
        (Sample((), ASK), turns(ASK)),
        (Sample((), ASK), [{"role": "user", "content": ASK}]),
        (Sample(IMAGES[:1], turns=(Turn(ASK, (SAY,)), Turn(MORE))), turns(ASK, SAY, MORE, image=True)),
    ]:
        assert_same_inputs(processor.apply_chat_template(said, **AS_TENSORS), pipe.processor([sample]), theirs.image_id)
    whole = Sample(IMAGES[:1], turns=(Turn(ASK, (SAY,)), Turn(MORE, (SAY,))))
    made = processor.apply_chat_template(
        turns(ASK, SAY, MORE, SAY, image=True), **{**AS_TENSORS, "add_generation_prompt": False}
    )
    assert_same_inputs(made, pipe.processor([whole], training=True), theirs.image_id)


@pytest.mark.parametrize("said", [turns(ASK, SAY)[::-1], turns(ASK)[:1] * 2, [{"role": "system", "content": ASK}]])
def test_chat_that_no_row_of_ours_is_like_is_refused(exported, said):
    _, _, folder = exported("gemma3")
    with pytest.raises(Exception, match=r"roles must alternate|not trained with a system message"):
        load_processor(folder, "gemma3").apply_chat_template(said, tokenize=False)


@pytest.mark.parametrize("family", ["paligemma", "paligemma2"])
@pytest.mark.parametrize("images", [1, 2])
def test_processor_writes_paligemmas_rows_as_ours(exported, family, images):
    theirs, pipe, folder = exported(family)
    assert not (folder / "chat_template.jinja").exists()
    processor = load_processor(folder, family)
    for question in (ASK, "detect <loc0010> cat", " the ▁ball"):
        text = ["<image>" * images + question]
        made = processor(images=[IMAGES[:images]], text=text, return_tensors="pt")
        assert_same_inputs(made, pipe.processor([Sample(IMAGES[:images], question)]), theirs.image_id)


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("paligemma", {"resample": "nearest", "mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}),
        ("gemma3", {"resample": "bicubic", "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}),
        ("llava", {"resample": "lanczos", "std": (0.2, 0.3, 0.4)}),
        ("idefics3", {"longest_side": 150, "resample": "bilinear"}),
        ("smolvlm", {"split": False}),
    ],
)
def test_processor_reads_images_as_ours(exported, tmp_path, family, settings):
    _, pipe, _ = exported(family)
    changed = with_processor(pipe, image=dataclasses.replace(pipe.processor.config.image, **settings))
    changed.export(tmp_path / "out")
    images = load_processor(tmp_path / "out", family).image_processor
    for image in IMAGES:
        made = images([image.convert("RGB")], return_tensors="pt")["pixel_values"]
        mine = changed.processor([Sample([image])]).images
        assert torch.equal(mine, made.reshape(mine.shape))
    back = ojito.load(tmp_path / "out", device="cpu").processor.config.image
    assert back == changed.processor.config.image


@pytest.mark.parametrize("family", reference.FAMILIES)
def test_answers_are_the_same(exported, family):
    _, pipe, folder = exported(family)
    model, processor = load_theirs(folder), load_processor(folder, family)
    if family in CHATS:
        inputs = processor.apply_chat_template(turns(ASK, image=True), **AS_TENSORS)
    else:
        inputs = processor(images=IMAGES[0], text=f"<image>{ASK}", return_tensors="pt")
        inputs.pop("labels", None)
    assert model.generation_config.eos_token_id in (
        list(pipe.processor.tokenizer.ends),
        pipe.processor.tokenizer.ends[0],
    )
    ids = model.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs["input_ids"].shape[1] :].tolist()
    answer = pipe.ask(IMAGES[0], ASK, max_new_tokens=12)
    assert len(set(answer.tokens)) > 2
    assert [i for i in ids if i not in pipe.processor.tokenizer.ends] == list(answer.tokens)
    text = processor.decode(ids, skip_special_tokens=True)
    assert text.strip() == answer.text.strip()


# ----------------------------------------------------------------------------------------------------------- tokenizers


@pytest.mark.parametrize("family", reference.FAMILIES)
def test_tokenizer_is_the_one_that_it_was(exported, family):
    theirs, _, folder = exported(family)
    before = json.loads(theirs.processor.tokenizer.backend_tokenizer.to_str())
    after = read(folder, "tokenizer.json")
    for values in (before, after):
        values.pop("padding"), values.pop("truncation")
    assert after == before
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert tokenizer.model_input_names == ["input_ids", "attention_mask"]
    for name in ("bos_token", "pad_token", "unk_token", "padding_side"):
        assert getattr(tokenizer, name) == getattr(theirs.processor.tokenizer, name)
    assert len(tokenizer) == len(theirs.processor.tokenizer)
    for text in (ASK, MORE, " the  cat\n"):
        assert tokenizer(text)["input_ids"] == theirs.processor.tokenizer(text)["input_ids"]


@pytest.mark.parametrize("family", reference.FAMILIES)
def test_config_says_in_both_its_groups_which_tokens_begin_end_and_fill_a_row(exported, family):
    _, pipe, folder = exported(family)
    tokenizer, config = pipe.processor.tokenizer, transformers.AutoConfig.from_pretrained(folder)
    ends = list(tokenizer.ends) if len(tokenizer.ends) > 1 else tokenizer.ends[0]
    for group in (config, config.text_config):
        assert (group.bos_token_id, group.eos_token_id, group.pad_token_id) == (tokenizer.bos, ends, tokenizer.pad)


def test_tokenizer_says_how_long_a_row_may_be(tmp_path):
    for longest in (64, 80):
        pipe = from_preset("paligemma-3b-224", f"model.decoder.max_positions={longest}")
        pipe.export(tmp_path / str(longest))
        assert transformers.AutoTokenizer.from_pretrained(tmp_path / str(longest)).model_max_length == longest


SPACES = tokenizers.normalizers.Replace(" ", "▁")
MERGED = tokenizers.pre_tokenizers.Split(" ", "merged_with_previous")
APART = tokenizers.pre_tokenizers.Split(" ", "isolated")


@pytest.mark.parametrize(
    ("normalizer", "splitter", "gemmas"),
    [
        (SPACES, MERGED, True),
        (SPACES, None, True),
        (SPACES, APART, False),
        (SPACES, tokenizers.pre_tokenizers.Whitespace(), False),
        (tokenizers.normalizers.Lowercase(), MERGED, False),
        (None, MERGED, False),
    ],
)
def test_class_that_makes_itself_anew_is_named_only_for_a_tokenizer_that_it_makes_the_same(
    exported, tmp_path, normalizer, splitter, gemmas
):
    _, pipe, _ = exported("paligemma")
    pipe.processor.tokenizer.save(tmp_path / "tokenizer.json")
    tokenizer = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for name, part in (("normalizer", normalizer), ("pre_tokenizer", splitter)):
        setattr(tokenizer, name, part)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    marks = SpecialIds(pipe.processor.tokenizer.bos, pipe.processor.tokenizer.ends, pipe.processor.tokenizer.pad)
    made = Vocabulary(tmp_path / "tokenizer.json", FAMILIES["paligemma"], marks, 10**6).fields(64)
    assert made["tokenizer_class"] == ("GemmaTokenizer" if gemmas else "PreTrainedTokenizerFast")


@pytest.mark.parametrize("family", ["paligemma", "llava", "gemma3"])
def test_first_token_is_written_once_by_a_tokenizer_that_writes_it_itself(exported, tmp_path, family):
    """As those of the released models do. LLaVA's rows depend on it, the others' have it from elsewhere."""
    theirs, _, folder = exported(family)
    shutil.copytree(folder, tmp_path / "in")
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    bos = theirs.processor.tokenizer.bos_token
    number = tokenizer.token_to_id(bos)
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        f"{bos} $A", f"{bos} $A {bos} $B", [(bos, number)]
    )
    tokenizer.save(str(tmp_path / "in" / "tokenizer.json"))
    pipe = ojito.load(tmp_path / "in", device="cpu", dtype="float32")
    pipe.export(tmp_path / "out")
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "out")(ASK)["input_ids"].count(number) == 1
    processor = load_processor(tmp_path / "out", family)
    if family in CHATS:
        made = processor.apply_chat_template(turns(ASK, image=True), **AS_TENSORS)
        text = processor.apply_chat_template(turns(ASK, image=True), add_generation_prompt=True)
        assert text.startswith(bos) == (family != "llava")
    else:
        made = processor(images=IMAGES[0], text=f"<image>{ASK}", return_tensors="pt")
    assert_same_inputs(made, pipe.processor([ONE]), theirs.image_id)
    assert made["input_ids"][0].tolist().count(number) == 1


@pytest.mark.parametrize("kind", ["bpe", "characters"])
def test_chat_with_a_tokenizer_of_our_own_is_written(exported, tmp_path, kind):
    """It has no token for images, and does not write the first token by itself."""
    _, pipe, _ = exported("llava")
    tokenizer = Tokenizer.train(TokenizerConfig(kind=kind), [string.printable, ASK], 300)
    assert tokenizer.bos is not None
    mine = Pipeline(pipe.model, Processor(pipe.processor.config, tokenizer, 32, 16))
    mine.export(tmp_path / "out")
    processor = load_processor(tmp_path / "out", "llava")
    sample = Sample(IMAGES[:1], turns=(Turn(ASK, (SAY,)), Turn(MORE)))
    made = processor.apply_chat_template(turns(ASK, SAY, MORE, image=True), **AS_TENSORS)
    assert_same_inputs(made, mine.processor([sample]), tokenizer.size)
    assert ojito.load(tmp_path / "out", device="cpu").processor.tokenizer.size == tokenizer.size + 1


# ------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("family", "settings", "said"),
    [
        ("paligemma", {"prompt": PromptConfig(separator=" ")}, r"processor.prompt.separator is ' ', not '\\n'"),
        ("paligemma", {"prompt": PromptConfig(bos=False)}, "processor.prompt.bos is False, not True"),
        ("paligemma", {"image": ImageConfig(fit="pad")}, "processor.image.fit: is 'pad', and the processor of"),
        ("llava", {"prompt": PromptConfig(after_images="\n")}, r"after_images: is '\\n', and the processor of llava"),
        ("llava", {"prompt": PromptConfig()}, r"makes other tokens of 'a\\n' than in training; train with"),
        (
            "idefics3", {"image": ImageConfig(fit="tiles", tiling="nanovlm", longest_side=100)},
            "processor.image.tiling: is 'nanovlm'",
        ),
    ],
)  # fmt: skip
def test_way_to_be_spoken_to_that_the_familys_processor_has_not_is_refused(exported, tmp_path, family, settings, said):
    _, pipe, _ = exported(family)
    with pytest.raises(CheckpointError, match=said):
        with_processor(pipe, **settings).export(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_settings_that_are_about_training_are_no_other_prompt(exported, tmp_path):
    _, pipe, folder = exported("paligemma")
    prompt = PromptConfig(turns="blind", answers="all", loss="all", caption="describe", max_tokens=99)
    with_processor(pipe, prompt=prompt).export(tmp_path / "out")
    assert files(tmp_path / "out", but=["README.md"]) == files(folder, but=["README.md"])


def test_tokenizer_without_what_the_processor_writes_is_refused(exported, tmp_path):
    _, pipe, _ = exported("gemma3")
    other = Tokenizer.train(TokenizerConfig(special=("<start_of_image>",)), [ASK], 300)
    with pytest.raises(CheckpointError, match="has no <end_of_image>, which the processor of gemma3 writes"):
        Pipeline(pipe.model, Processor(pipe.processor.config, other, 32, 16)).export(tmp_path / "out")


def test_tokenizer_that_reads_a_separator_in_another_way_beside_its_question_is_refused(tmp_path):
    pipe = from_preset("paligemma-3b-224", "processor.tokenizer.kind=bpe")
    with pytest.raises(
        CheckpointError, match=r"tokenizes '\\n' with the question before it.*no space before every text"
    ):
        pipe.export(tmp_path / "out")


def test_tokenizer_without_the_token_that_begins_a_row_is_refused(tmp_path):
    pipe = from_preset("paligemma-3b-224")
    pipe.processor.tokenizer.save(tmp_path / "tokenizer.json")
    text = (tmp_path / "tokenizer.json").read_text().replace("<bos>", "<none>")
    (tmp_path / "tokenizer.json").write_text(text)
    tokenizer = Tokenizer.read(tmp_path / "tokenizer.json")
    without = Pipeline(pipe.model, Processor(pipe.processor.config, tokenizer, 28, 4))
    with pytest.raises(
        CheckpointError, match="has no token that begins a row, and the processor of paligemma writes one"
    ):
        without.export(tmp_path / "out")


def test_vocabulary_without_room_for_the_image_token_gets_a_row_more(tmp_path):
    size = from_preset("paligemma-3b-224").processor.tokenizer.size
    pipe = from_preset("paligemma-3b-224", f"model.decoder.vocab_size={size}")
    assert pipe.export_family() == pipe.export(tmp_path / "out").family == "paligemma"
    model, processor = load_theirs(tmp_path / "out"), load_processor(tmp_path / "out", "paligemma")
    assert processor.image_token_id == size == model.config.text_config.vocab_size - 1
    made = processor(images=IMAGES[0], text=f"<image>{ASK}", return_tensors="pt")
    made.pop("labels", None)
    batch = pipe.processor([ONE])
    assert_same_inputs(made, batch, size)
    with torch.no_grad():
        torch.testing.assert_close(pipe.model(batch), model(**made).logits[..., :size], rtol=1e-5, atol=1e-5)
    assert model.generation_config.suppress_tokens == [size]
    back = ojito.load(tmp_path / "out", device="cpu", dtype="float32")
    assert back.ask(IMAGES[0], ASK, max_new_tokens=8) == pipe.ask(IMAGES[0], ASK, max_new_tokens=8)
