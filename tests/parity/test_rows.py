"""Rows of tokens against transformers' processors: PaliGemma, LLaVA, Idefics3, SmolVLM and Gemma 3.

Their tokenizers are made here, of all four makes: SentencePiece with spaces replaced (Gemma), with a space put before
every text (LLaMA 2) or before a row only (the same in newer files), and byte-level BPE (SmolLM, Qwen, GPT-2).
"""

import functools
import json

import numpy as np
import pytest
import tokenizers
import torch
from PIL import Image
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from ojito.config import ImageConfig, ProcessorConfig, PromptConfig, TokenizerConfig
from ojito.processor import Processor, Tokenizer
from ojito.records import IGNORE, IMAGE, PADDING, Sample, Turn

transformers = pytest.importorskip("transformers")

TEXTS = [
    "what colour is the ball? it is red, and the other ball is blue.", "describe the image in one word",
    "USER: ASSISTANT: User: Assistant: user model caption en detect", "how many are there? two", "answer 1 2 3 \n\n",
]  # fmt: skip
SPACE = "▁"
PATCHES, SIZE = 4, 32

# ------------------------------------------------------------------------------------------------------- the tokenizers


@functools.cache
def pieces():
    """Vocabulary and merges as of SentencePiece: no piece goes beyond a word, but lines of their own merge."""
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, prepend_scheme="always")
    made.train_from_iterator(TEXTS * 9, trainers.BpeTrainer(vocab_size=400, show_progress=False))
    model = json.loads(made.to_str())["model"]
    letters = [*model["vocab"], SPACE * 2, "\n", "\n\n", "\n\n\n", *(f"<0x{byte:02X}>" for byte in range(256))]
    merges = [tuple(pair) for pair in model["merges"]]
    merges += [(SPACE, SPACE), ("\n", "\n"), ("\n\n", "\n")]
    return list(dict.fromkeys(letters)), merges


def sentencepiece(special, merges=()):
    """What such a model is made of."""
    names, usual = pieces()
    merges = [*usual, *merges]
    names = dict.fromkeys([*special, *names, *map("".join, merges)])
    return {"vocab": {name: i for i, name in enumerate(names)}, "merges": merges}


def gemma(special=(), merges=(), **options):
    usual = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    return with_special(transformers.GemmaTokenizer(**sentencepiece([*usual, *special], merges), **options), special)


def llama2(special=()):
    model = models.BPE(**sentencepiece(["<unk>", "<s>", "</s>"]), unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    made = tokenizers.Tokenizer(model)
    made.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    made.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    made.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A <s> $B", [("<s>", 1)])
    return wrapped(made, special, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>")


def llama(special=()):
    model = sentencepiece(["<unk>", "<s>", "</s>"])
    return with_special(transformers.LlamaTokenizer(**model, pad_token="<pad>", add_bos_token=True), special)


def bytelevel(special=()):
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator(TEXTS * 9, trainer)
    return wrapped(made, special, bos_token="<|im_start|>", eos_token="<|endoftext|>", pad_token="<|endoftext|>")


def wrapped(made, special, **options):
    return with_special(transformers.PreTrainedTokenizerFast(tokenizer_object=made, **options), special)


def with_special(tokenizer, special):
    tokenizer.add_tokens(list(special), special_tokens=True)
    tokenizer.padding_side = "left"
    return tokenizer


MAKES = {"gemma": gemma, "llama2": llama2, "llama": llama, "bytelevel": bytelevel}


def ours(theirs, folder, **names):
    """Our tokenizer from the file of theirs."""
    theirs.backend_tokenizer.save(str(folder / "tokenizer.json"))
    return Tokenizer.read(folder / "tokenizer.json", TokenizerConfig(**names))


@pytest.fixture(params=MAKES)
def pair(request, tmp_path):
    """Theirs and ours, with a special token <x>."""
    theirs = MAKES[request.param](["<x>"])
    return theirs, ours(theirs, tmp_path, eos=(theirs.eos_token,))


SNIPPETS = [
    "red",
    " red",
    "  red ",
    "what colour?",
    "\n",
    "\nred",
    " 12 €",
    "\u2581",
    "ASSISTANT:",
    ", the ball\n\n",
    "é",
]


@pytest.mark.parametrize("text", SNIPPETS)
def test_text_is_tokenized_as_it_is_within_a_row(pair, text):
    theirs, tokenizer = pair
    x = theirs.convert_tokens_to_ids("<x>")

    def whole(row):
        return theirs.encode(row, add_special_tokens=False)

    assert list(tokenizer.encode(text)) == whole(text)
    assert [x, *tokenizer.encode(text, "token")] == whole(f"<x>{text}")
    assert [*whole("<x>it is"), *tokenizer.encode(text, "text")] == whole(f"<x>it is{text}")


@pytest.mark.parametrize("bos", [True, False])
@pytest.mark.parametrize("user", ["", "user: ", "<x>user ", "<x>"])
def test_row_is_tokenized_from_its_beginning(pair, user, bos):
    theirs, tokenizer = pair
    made = processor(PromptConfig(bos=bos, joined=True, user=user, separator=" it is"), tokenizer)
    expected = [theirs.bos_token_id] * bos + theirs.encode(user + "red? it is", add_special_tokens=False)
    assert made.row(Sample((), "red?")).tokens == expected


# ------------------------------------------------------------------------------------------------------------ PaliGemma

IMAGES = [
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8))
    for seed, shape in enumerate([(20, 30), (70, 90), (32, 32)])
]


def processor(prompt, tokenizer, image=ImageConfig()):  # noqa: B008
    return Processor(ProcessorConfig(image, prompt=prompt), tokenizer, SIZE, PATCHES)


def assert_same_ids(batch, theirs, image_id):
    """Padded on the left, both."""
    read = batch.segments != PADDING
    assert torch.equal(read.long(), theirs["attention_mask"])
    assert torch.equal(batch.tokens.masked_fill(batch.tokens == IMAGE, image_id)[read], theirs["input_ids"][read])


def paligemma(folder, merges=()):
    """Their processor, which adds the locations to the tokenizer, and ours, which adds them to the same file."""
    tokenizer = gemma(merges=merges)
    mine = ours(tokenizer, folder, special=("<image>",), added=("<loc{0000..1023}>", "<seg{000..127}>"))
    images = transformers.SiglipImageProcessorPil(size={"height": SIZE, "width": SIZE})
    images.image_seq_length = PATCHES
    return transformers.PaliGemmaProcessor(images, tokenizer), processor(PromptConfig(), mine)


ASKED = ["what colour?", "detect ball ; <loc0010>", "caption en", " describe the image", ""]
SAID = ["red", "<loc0001><loc0002><loc0003><loc1023> ball", "it is red <seg012>", " two", "12 €"]


def flat(row, image_id):
    """Our ids in their words."""
    return [image_id if i == IMAGE else i for i in row.tokens]


@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_paligemma_prompts_have_the_ids_of_its_processor(tmp_path):
    theirs, mine = paligemma(tmp_path)
    assert mine.tokenizer.size == len(theirs.tokenizer)
    text = ["<image>" + (prompt or "caption") for prompt in ASKED]  # what an empty prompt asks for is a setting of ours
    made = theirs(images=[IMAGES[:1]] * len(text), text=text, padding=True, return_tensors="pt")
    assert_same_ids(mine([Sample(IMAGES[:1], prompt) for prompt in ASKED]), made, theirs.image_token_id)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_paligemma_takes_several_images(tmp_path, count):
    theirs, mine = paligemma(tmp_path)
    made = theirs(images=[IMAGES[:count]], text=["<image>" * count + "what?"])
    assert flat(mine.row(Sample(IMAGES[:count], "what?")), theirs.image_token_id) == made["input_ids"][0]


@pytest.mark.parametrize(("asked", "said"), list(zip(ASKED, SAID, strict=True)))
def test_paligemma_answers_have_the_labels_of_its_processor(tmp_path, asked, said):
    theirs, mine = paligemma(tmp_path)
    made = theirs(images=[IMAGES[:1]], text=["<image>" + (asked or "caption")], suffix=[said])
    row = mine.row(Sample(IMAGES[:1], turns=(Turn(asked, (said,)),)), training=True)
    assert flat(row, theirs.image_token_id) == made["input_ids"][0]
    assert [IGNORE, *row.targets[:-1]] == made["labels"][0].tolist()  # ours say what comes next
    assert row.targets[-1] == IGNORE
    assert [not read for read in row.prefix] == made["token_type_ids"][0]
    assert mine.decode(row.tokens[row.prefix.index(False) :]) == said


def test_paligemma_separator_stays_apart_from_the_question(tmp_path):
    theirs, mine = paligemma(tmp_path, merges=[("?", "\n")])
    for asked, apart in [("what", False), ("what?", True), ("what\n", True), ("what\n\n", True)]:
        ids = flat(mine.row(Sample(IMAGES[:1], asked)), theirs.image_token_id)
        line = mine.tokenizer.encode("\n")
        assert len(line) == 1
        assert ids[PATCHES:] == [mine.tokenizer.bos, *theirs.tokenizer.encode(asked), *line]
        made = theirs(images=[IMAGES[:1]], text=["<image>" + asked])["input_ids"][0]
        assert (ids != made) == apart


def test_what_a_user_types_is_plain_text_where_the_reference_reads_special_tokens(tmp_path):
    theirs, mine = paligemma(tmp_path)
    ids = mine.row(Sample((), "the <eos> of <bos>")).tokens
    assert ids.count(mine.tokenizer.bos) == 1
    assert mine.tokenizer.eos not in ids
    assert mine.decode(ids) == "the <eos> of <bos>\n"
    assert theirs.tokenizer.eos_token_id in theirs.tokenizer.encode("the <eos> of <bos>")


# ---------------------------------------------------------------------------------------------------------------- chats

LLAVA = PromptConfig(
    image="inline", joined=True, user="USER: ", separator=" ASSISTANT:", before_answer=" ", image_text="<image>\n"
)
AROUND = "<fake_token_around_image>"
SMOLVLM = PromptConfig(
    image="inline", joined=True, user="User:", before_text=" ", separator="<end_of_utterance>\nAssistant:",
    before_answer=" ", after_answer="\n", image_text=f"{AROUND}<global-img><image>{AROUND}",
    tile=f"{AROUND}<row_{{row}}_col_{{column}}><image>", tile_row_end="\n", tiles_end="\n",
)  # fmt: skip
GEMMA3 = PromptConfig(
    image="inline", joined=True, user="<start_of_turn>user\n", separator="<end_of_turn>\n<start_of_turn>model\n",
    after_answer="\n", image_text="\n\n<start_of_image><image><end_of_image>\n\n",
)  # fmt: skip
TILED = ImageConfig(fit="tiles", longest_side=3 * SIZE, resample="lanczos")
PLACES = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
SMOLVLM_TOKENS = ["<global-img>", *PLACES, AROUND, "<image>", "<end_of_utterance>"]


def llava(folder, make):
    """CLIP's tower has a class token, which is left out."""
    tokenizer = make(["<image>"])
    images = transformers.CLIPImageProcessorPil(size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE})
    theirs = transformers.LlavaProcessor(
        images, tokenizer, patch_size=16, vision_feature_select_strategy="default", num_additional_image_tokens=1
    )
    mine = ours(tokenizer, folder)
    return theirs, processor(LLAVA, mine)


def idefics3(folder, special=SMOLVLM_TOKENS):
    tokenizer = bytelevel(special)
    images = transformers.Idefics3ImageProcessorPil(
        size={"longest_edge": 3 * SIZE}, max_image_size={"longest_edge": SIZE}
    )
    mine = ours(tokenizer, folder, eos=("<end_of_utterance>",))
    theirs = transformers.Idefics3Processor(images, tokenizer, image_seq_len=PATCHES)
    return theirs, processor(SMOLVLM, mine, TILED)


def gemma3(folder):
    names = {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
    tokenizer = gemma(["<start_of_turn>", "<end_of_turn>"], extra_special_tokens=names)
    images = transformers.Gemma3ImageProcessorPil(size={"height": SIZE, "width": SIZE})
    mine = ours(tokenizer, folder, eos=("<end_of_turn>", "<eos>"))
    theirs = transformers.Gemma3Processor(images, tokenizer, image_seq_length=PATCHES)
    return theirs, processor(GEMMA3, mine)


def chat(*said, images=0):
    """Questions and answers in turns, about so many images."""
    turns = tuple(Turn(q, (a,), tagged=True) for q, a in zip(said[::2], [*said[1::2], ""], strict=False))
    return Sample(IMAGES[:images], turns=turns)


# Our samples, and what the released templates make of the same chat. LLaVA's processor writes the <s> itself; its
# answers end as in its own training code (conversation.py, v1): the template of transformers leaves the </s> out.
ASK, MORE, SAY = "what colour?", "how many\nare there?", "it is red."
CHATS = {
    "llava": [
        (chat(ASK), f"USER: {ASK} ASSISTANT:"),
        (chat(ASK, images=1), f"USER: <image>\n{ASK} ASSISTANT:"),
        (chat(f"<image>\n{ASK}", images=1), f"USER: <image>\n{ASK} ASSISTANT:"),
        (chat(ASK, images=2), f"USER: <image>\n<image>\n{ASK} ASSISTANT:"),
        (chat(ASK, SAY, MORE, images=1), f"USER: <image>\n{ASK} ASSISTANT: {SAY}</s>USER: {MORE} ASSISTANT:"),
        (chat(ASK, SAY, MORE, "2"), f"USER: {ASK} ASSISTANT: {SAY}</s>USER: {MORE} ASSISTANT: 2</s>"),
    ],
    "smolvlm": [
        (chat(ASK), f"<|im_start|>User: {ASK}<end_of_utterance>\nAssistant:"),
        (chat(ASK, images=1), f"<|im_start|>User:<image>{ASK}<end_of_utterance>\nAssistant:"),
        (chat(ASK, images=3), f"<|im_start|>User:<image><image><image>{ASK}<end_of_utterance>\nAssistant:"),
        (
            chat("here <image> and <image>", images=2),
            "<|im_start|>User: here <image> and <image><end_of_utterance>\nAssistant:",
        ),
        (
            chat(ASK, SAY, MORE, images=2),
            f"<|im_start|>User:<image><image>{ASK}<end_of_utterance>\nAssistant: {SAY}<end_of_utterance>\n"
            f"User: {MORE}<end_of_utterance>\nAssistant:",
        ),
        (
            chat("", SAY, "<image>" + MORE, "2", images=1),
            f"<|im_start|>User: caption<end_of_utterance>\nAssistant: {SAY}<end_of_utterance>\n"
            f"User:<image>{MORE}<end_of_utterance>\nAssistant: 2<end_of_utterance>\n",
        ),
    ],
    "gemma3": [
        (chat(ASK), f"<bos><start_of_turn>user\n{ASK}<end_of_turn>\n<start_of_turn>model\n"),
        (chat(ASK, images=1), f"<bos><start_of_turn>user\n<start_of_image>{ASK}<end_of_turn>\n<start_of_turn>model\n"),
        (
            chat("one <image> two<image>", images=2),
            "<bos><start_of_turn>user\none <start_of_image> two<start_of_image><end_of_turn>\n<start_of_turn>model\n",
        ),
        (
            chat(ASK, SAY, MORE, images=2),
            f"<bos><start_of_turn>user\n<start_of_image><start_of_image>{ASK}<end_of_turn>\n<start_of_turn>model\n"
            f"{SAY}<end_of_turn>\n<start_of_turn>user\n{MORE}<end_of_turn>\n<start_of_turn>model\n",
        ),
        (
            chat(ASK, SAY, MORE, "2"),
            f"<bos><start_of_turn>user\n{ASK}<end_of_turn>\n<start_of_turn>model\n{SAY}<end_of_turn>\n"
            f"<start_of_turn>user\n{MORE}<end_of_turn>\n<start_of_turn>model\n2<end_of_turn>\n",
        ),
    ],
}  # fmt: skip
FAMILIES = {
    "llava of llama 2": ("llava", functools.partial(llava, make=llama2)),
    "llava of newer llama": ("llava", functools.partial(llava, make=llama)),
    "idefics3": ("smolvlm", idefics3),
    # The first releases have no tokens for the places of tiles: they are so many characters.
    "older idefics3": ("smolvlm", functools.partial(idefics3, special=(AROUND, "<image>", "<end_of_utterance>"))),
    "gemma3": ("gemma3", gemma3),
}


@pytest.fixture(params=FAMILIES)
def family(request, tmp_path):
    """The family's chats, its processor and ours."""
    name, make = FAMILIES[request.param]
    theirs, mine = make(tmp_path)
    # Whether the processor writes <s> itself.
    options = {"add_special_tokens": name == "llava"}
    image_id = getattr(theirs.tokenizer, "image_token_id", None) or theirs.tokenizer.convert_tokens_to_ids("<image>")
    return CHATS[name], functools.partial(theirs, **options), mine, image_id


def test_chats_have_the_ids_of_the_familys_processor(family):
    chats, theirs, mine, image_id = family
    for sample, text in chats:
        images = {"images": [sample.images]} if sample.images else {}
        made = theirs(text=[text], **images)
        row = mine.row(sample, training=bool(sample.turns[-1].answers[0]))
        assert flat(row, image_id) == list(made["input_ids"][0]), text


@pytest.mark.parametrize("odd", ["what ", "  what", "\nwhat?\n\n", " ", "é 12 €", "ASSISTANT:", SPACE, "'s it? <red"])
def test_odd_questions_are_tokenized_together_with_the_template(family, odd):
    chats, theirs, mine, image_id = family
    for sample, text in chats[:2]:
        images = {"images": [sample.images]} if sample.images else {}
        made = theirs(text=[text.replace(ASK, odd)], **images)
        assert flat(mine.row(Sample(sample.images, odd)), image_id) == list(made["input_ids"][0])


def test_batches_of_chats_are_padded_as_the_familys_processor_does(family):
    chats, theirs, mine, image_id = family
    asked = [(sample, text) for sample, text in chats if sample.images and not sample.turns[-1].answers[0]]
    texts = [text for _, text in asked]
    made = theirs(images=[s.images for s, _ in asked], text=texts, padding=True, return_tensors="pt")
    assert_same_ids(mine([sample for sample, _ in asked]), made, image_id)
    assert (made["attention_mask"] == 0).any()


def test_chats_learn_their_answers_and_what_ends_them(family):
    chats, _, mine, _ = family
    for sample, _ in chats:
        if not sample.turns[-1].answers[0]:
            continue
        row = mine.row(sample, training=True)
        learned = [target for target in row.targets if target != IGNORE]
        end, before = mine.tokenizer.eos, mine.config.prompt.before_answer
        answers = [mine.tokenizer.encode(before + turn.answers[0], "text") for turn in sample.turns]
        assert learned == [i for answer in answers for i in (*answer, end)]
        assert all(row.tokens[at + 1] == target for at, target in enumerate(row.targets) if target != IGNORE)
        for turn, answer in zip(sample.turns, answers, strict=True):
            assert mine.decode([*answer, end]) == turn.answers[0]


def test_gemma3_images_are_where_its_token_types_say(tmp_path):
    theirs, mine = gemma3(tmp_path)
    sample, text = CHATS["gemma3"][3]
    made = theirs(images=[sample.images], text=[text], add_special_tokens=False)
    assert [int(i == IMAGE) for i in mine.row(sample).tokens] == made["token_type_ids"][0]


def test_smolvlm_writes_tiles_as_its_processor(tmp_path):
    """The class itself asks for packages for videos."""
    smolvlm = pytest.importorskip("transformers.models.smolvlm.processing_smolvlm")
    theirs, mine = idefics3(tmp_path)
    images = transformers.SmolVLMImageProcessorPil(
        size={"longest_edge": 3 * SIZE}, max_image_size={"longest_edge": SIZE}
    )
    for image in IMAGES:
        made = images([[image]], return_row_col_info=True)
        (rows,), (columns,) = made["rows"][0], made["cols"][0]
        tiles = smolvlm.get_image_prompt_string(rows, columns, PATCHES, AROUND, "<image>", "<global-img>")
        text = f"<|im_start|>User:{tiles}{ASK}<end_of_utterance>\nAssistant:"
        row = mine.row(Sample([image], ASK))
        assert flat(row, theirs.image_token_id) == theirs.tokenizer.encode(text, add_special_tokens=False)
        assert mine.batch([row]).images.shape[0] == rows * columns + 1


def test_nanovlm_writes_the_whole_image_before_its_tiles(tmp_path):
    """Source: nanoVLM, `data/processors.py:get_image_string` and `VLMConfig.lm_chat_template`."""
    special = ["<|image|>", "<|global_image|>"]
    special += [f"<row_{row}_col_{column}>" for row in range(1, 9) for column in range(1, 9)]
    tokenizer = bytelevel(["<|im_end|>"])
    names = {"eos": ("<|im_end|>",), "special": ("<|image|>", "<|global_image|>", "<row_{1..8}_col_{1..8}>")}
    mine = ours(tokenizer, tmp_path, **names)  # adds the tokens
    with_special(tokenizer, special)
    assert mine.size == len(tokenizer)
    prompt = PromptConfig(
        image="inline", bos=False, joined=True, user="<|im_start|>user\n", after_answer="\n",
        separator="<|im_end|>\n<|im_start|>assistant\n", image_text="<|global_image|><image>",
        image_number="<image: {number}>", tile="<row_{row}_col_{column}><image>", whole="first",
    )  # fmt: skip
    whole, two = "<|global_image|>" + "<|image|>" * PATCHES, ""
    for row in (1, 2):
        two += "".join(f"<row_{row}_col_{column}>" + "<|image|>" * PATCHES for column in (1, 2, 3))
    made = processor(prompt, mine, TILED)
    wide = Image.new("RGB", (90, 60))
    assert (made.read_image(wide).rows, made.read_image(wide).columns) == (2, 3)
    for images, written in [([wide], whole + two), ([wide, wide], f"<image: 0>{whole}{two}<image: 1>{whole}{two}")]:
        text = f"<|im_start|>user\n{written}{ASK}<|im_end|>\n<|im_start|>assistant\n{SAY}<|im_end|>\n"
        row = made.row(Sample(images, turns=(Turn(ASK, (SAY,)),)), training=True)
        assert flat(row, mine.parse("<|image|>")[0]) == tokenizer.encode(text, add_special_tokens=False)


@pytest.mark.parametrize("text", ["red", " red", "it is 12 €", "<x> red\n", "  two  "])
def test_text_is_decoded_as_the_file_says(pair, text):
    theirs, tokenizer = pair
    for ids in (tokenizer.encode(text), tokenizer.encode(text, "text"), [*tokenizer.encode(text), tokenizer.eos]):
        assert tokenizer.decode(ids) == theirs.decode(list(ids), skip_special_tokens=True)
