"""Vocabularies in metadata, against those that transformers makes of the same files, and against the originals."""

import json
import random
import time

import gguf
import pytest
from tokenizers import pre_tokenizers

from ojito.gguf import tokenizer as vocabulary
from ojito.gguf.container import GgufFile
from ojito.gguf.header import GgufError
from ojito.gguf.tokenizer import begins_with_bos, implied_merges, read_tokenizer, read_tokens, token_name
from ojito.processor import Tokenizer
from tests import gguf_files
from tests.parity import reference

SECONDS = 3  # a reading that takes longer is not linear; a usual one takes a fiftieth

TEXTS = [
    "what is it?", " the red  dog", "is the cat in the ball?\n\nit is", "1234 5,678.90", "", " ", "\n", "Zoë — 猫 🐈",
    "\tWHAT'S it’s don't", "<eos> is text", "cat<bos>dog", "▁the", "the\u00a0cat", "  ", "   is", "\r\n cat",
]  # fmt: skip


def noise(seed, count=200):
    rng = random.Random(seed)
    letters = [*"abcdefgh isthedogcat ", *"AZ09.,?!'-\n\t ", "é", "ß", "Ж", "猫", "😀", "\u0301", " ", "  "]
    return ["".join(rng.choices(letters, k=rng.randint(1, 30))) for _ in range(count)]


def written(path, tokenizer, arch="llama", model="llama", **more):
    writer = gguf.GGUFWriter(path, arch)
    gguf_files.add_tokenizer(writer, tokenizer, model, **more)
    gguf_files.finish(writer)
    return GgufFile(path)


def ids(made, text):
    return made.encode(text, add_special_tokens=False).ids


def their_reading(path):
    """The tokenizer that transformers makes of a file."""
    return reference.transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name).backend_tokenizer


@pytest.mark.parametrize("pre", ["gpt-2", "llama-bpe"])
def test_byte_level_vocabulary_matches_reference(tmp_path, pre):
    names = {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"}
    original = reference.byte_tokenizer(["<|begin_of_text|>", "<|end_of_text|>"], **names)
    ours = read_tokenizer(written(tmp_path / "a.gguf", original, model="gpt2", pre=pre))
    theirs = their_reading(tmp_path / "a.gguf")
    theirs.model.ignore_merges = pre == "llama-bpe"  # as in Llama 3's own tokenizer; the reference does not read it
    for text in [*TEXTS, *noise(0)]:
        assert ids(ours, text) == ids(theirs, text)
        assert ours.decode(ids(ours, text)) == text


def test_digits_stand_alone_in_smollms_vocabulary(tmp_path):
    original = reference.byte_tokenizer(["<|im_end|>"], eos_token="<|im_end|>")
    ours = read_tokenizer(written(tmp_path / "a.gguf", original, model="gpt2", pre="smollm"))
    theirs = original.backend_tokenizer
    theirs.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    for text in [*TEXTS, *noise(1)]:
        assert ids(ours, text) == ids(theirs, text)
    pieces = [piece for piece, _ in ours.pre_tokenizer.pre_tokenize_str("a 123")]
    assert pieces == ["a", "Ġ", "1", "2", "3"]


def test_pre_changes_how_texts_are_split(tmp_path):
    original = reference.byte_tokenizer(["<eos>"], eos_token="<eos>")
    split = {}
    for pre in ("gpt-2", "smollm", "llama-bpe", "qwen2"):
        made = read_tokenizer(written(tmp_path / f"{pre}.gguf", original, model="gpt2", pre=pre))
        split[pre] = [piece for piece, _ in made.pre_tokenizer.pre_tokenize_str("it's 12345?\n b")]
    assert len({tuple(pieces) for pieces in split.values()}) == 4
    assert "123" in split["llama-bpe"]
    assert "1" in split["qwen2"]


def test_gemmas_vocabulary_matches_reference(tmp_path):
    ours = read_tokenizer(written(tmp_path / "a.gguf", reference.gemma_tokenizer(), arch="gemma2"))
    theirs = their_reading(tmp_path / "a.gguf")
    for text in [*TEXTS, *noise(2)]:
        assert ids(ours, text) == ids(theirs, text)


@pytest.mark.parametrize("space", [True, False])
def test_llamas_vocabulary_matches_reference(tmp_path, space):
    original = reference.llama_tokenizer()
    ours = read_tokenizer(written(tmp_path / "a.gguf", original, space=space))
    theirs = their_reading(tmp_path / "a.gguf")
    if not space:  # which the reference does not read
        theirs.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="never", split=False)
    for text in [*TEXTS, *noise(3)]:
        assert ids(ours, text) == ids(theirs, text)
    assert ours.decode(ids(ours, "what is it?")) == "what is it?"


def test_implied_merges_come_best_token_first():
    vocabulary = {"a": 0, "b": 1, "c": 2, "ab": 3, "bc": 4, "abc": 5}
    assert implied_merges(vocabulary, [0, 0, 0, -2.0, -1.0, -3.0]) == [
        ("b", "c"), ("a", "b"), ("ab", "c"), ("a", "bc"),
    ]  # fmt: skip


def test_special_tokens_are_those_that_control(tmp_path):
    original = reference.byte_tokenizer(["<|im_end|>", "<x>"], eos_token="<|im_end|>")
    made = read_tokenizer(written(tmp_path / "a.gguf", original, model="gpt2"))
    assert {token.content for token in made.get_added_tokens_decoder().values() if token.special} == {
        "<|im_end|>",
        "<x>",
    }
    assert made.get_vocab_size() == len(original)


def test_a_processor_takes_a_gguf_file_as_its_tokenizer(tmp_path):
    original = reference.byte_tokenizer(["<eos>"], eos_token="<eos>")
    written(tmp_path / "a.gguf", original, model="gpt2")
    tokenizer = Tokenizer.read(tmp_path / "a.gguf")
    assert tokenizer.eos == original.eos_token_id
    assert list(tokenizer.encode("the cat")) == ids(original.backend_tokenizer, "the cat")
    assert tokenizer.encode("<eos>") != (tokenizer.eos,)  # typed, it is so many characters
    tokenizer.save(tmp_path / "tokenizer.json")
    assert Tokenizer.read(tmp_path / "tokenizer.json").encode("the cat") == tokenizer.encode("the cat")


def broken(path, **lists):
    """A vocabulary of our own, with these lists in place of good ones."""
    good = {"tokens": ["a", "b", "ab"], "token_type": [1, 1, 1], "merges": ["a b"]}
    writer = gguf.GGUFWriter(path, "llama")
    lists = {"model": "gpt2", "pre": "gpt-2", **good, **lists}
    for key, value in lists.items():
        if isinstance(value, str):
            writer.add_string(f"tokenizer.ggml.{key}", value)
        elif isinstance(value, list):
            writer.add_array(f"tokenizer.ggml.{key}", value)
        elif value is not None:
            writer.add_uint32(f"tokenizer.ggml.{key}", value)
    gguf_files.finish(writer)
    return GgufFile(path)


@pytest.mark.parametrize(
    ("lists", "said"),
    [
        ({"model": None}, "has no tokenizer"),
        ({"model": "bert"}, "of the kind 'bert'; Ojito knows gpt2 and llama"),
        ({"tokens": None}, "no list of texts"),
        ({"tokens": [1, 2, 3]}, "no list of texts"),
        ({"tokens": "abc"}, "a list is needed"),
        ({"tokens": ["a", "a", "ab"]}, "a token twice"),
        ({"token_type": [1]}, "3 tokens, and types of 1"),
        ({"merges": ["a"]}, "'a' among its merges, which is no pair"),
        ({"merges": ["a b c"]}, "no pair"),
        ({"merges": ["a z"]}, "damaged vocabulary"),
        ({"merges": [1]}, "no pair"),
        ({"pre": "llama-pbe"}, r"does not know \(tokenizer.ggml.pre: llama-pbe\); did you mean llama-bpe\?"),
        ({"model": "llama", "merges": None}, "3 tokens, and scores of 0"),
        ({"model": "llama", "merges": None, "scores": ["x", "y", "z"]}, "scores"),
        ({"model": "llama", "merges": None, "scores": [0.0, float("nan"), 0.0]}, "a score that is not finite"),
        ({"model": "llama", "merges": None, "scores": [0.0, 0.0, float("inf")]}, "a score that is not finite"),
        ({"model": "llama", "merges": None, "scores": [0.0] * 4}, "3 tokens, and scores of 4"),
    ],
)
def test_broken_vocabulary_is_refused(tmp_path, lists, said):
    with pytest.raises(GgufError, match=said) as caught:
        read_tokenizer(broken(tmp_path / "a.gguf", **lists))
    assert str(caught.value).isprintable()


def test_twenty_thousand_added_tokens_are_too_many(tmp_path):
    tokens = [f"t{i}" for i in range(20_001)]
    with pytest.raises(GgufError, match="damaged vocabulary"):
        read_tokenizer(broken(tmp_path / "a.gguf", tokens=tokens, token_type=[3] * len(tokens), merges=None))


def test_unused_tokens_at_the_end_are_left_out_at_once(tmp_path):
    count = 60_000
    lists = {"tokens": ["a", "b", "ab", *(f"[PAD{i}]" for i in range(count))], "token_type": [1] * 3 + [5] * count}
    begin = time.perf_counter()
    assert read_tokens(broken(tmp_path / "a.gguf", **lists)) == ["a", "b", "ab"]
    assert time.perf_counter() - begin < SECONDS


def test_scores_of_unused_tokens_are_left_out_with_them(tmp_path):
    lists = {"tokens": ["a", "b", "ab", "[PAD3]"], "token_type": [1, 1, 1, 5], "scores": [0.0, 0.0, -1.0, 0.0]}
    made = read_tokenizer(broken(tmp_path / "a.gguf", model="llama", merges=None, **lists))
    assert made.get_vocab_size() == 3


def test_merges_that_follow_from_scores_are_bounded(monkeypatch, tmp_path):
    tokens = ["a" * n for n in range(1, 30)]
    file = broken(tmp_path / "a.gguf", model="llama", tokens=tokens, token_type=None, merges=None, scores=[0.0] * 29)
    assert read_tokenizer(file).get_vocab_size() == 29
    monkeypatch.setattr(vocabulary, "_MOST_MERGES", 28 * 29 // 2 - 1)
    with pytest.raises(GgufError, match="damaged vocabulary"):
        read_tokenizer(file)


def test_an_endless_token_takes_no_time(tmp_path):
    tokens = ["a", "a" * 1_000_000, "aa"]
    made = read_tokenizer(
        broken(tmp_path / "a.gguf", model="llama", tokens=tokens, merges=None, scores=[0.0, 0.0, 0.0])
    )
    assert made.get_vocab_size() == 3


def test_token_names_follow_ids(tmp_path):
    file = broken(tmp_path / "a.gguf", bos_token_id=1, eos_token_id=9)
    tokens = ["a", "b", "ab"]
    assert token_name(file, "bos", tokens) == "b"
    assert token_name(file, "padding", tokens) == ""
    with pytest.raises(GgufError, match=r"has 9 as tokenizer\.ggml\.eos_token_id, and 3 tokens"):
        token_name(file, "eos", tokens)


@pytest.mark.parametrize(
    ("lists", "begins"),
    [({}, False), ({"pre": "llama-bpe"}, True), ({"model": "llama"}, True)],
)
def test_bos_is_written_where_llama_cpp_takes_it_for_granted(tmp_path, lists, begins):
    assert begins_with_bos(broken(tmp_path / "a.gguf", **lists)) is begins
    writer = gguf.GGUFWriter(tmp_path / "b.gguf", "llama")
    writer.add_add_bos_token(not begins)
    for key, value in lists.items():
        writer.add_string(f"tokenizer.ggml.{key}", value)
    gguf_files.finish(writer)
    assert begins_with_bos(GgufFile(tmp_path / "b.gguf")) is not begins


def test_runs_of_spaces_in_gemmas_vocabulary_are_its_own_signs(tmp_path):
    tokens = ["<eos>", "▁", "  ", "a", "▁a"]
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "gemma3")
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * 5)
    writer.add_token_types([3, 1, 4, 1, 1])
    gguf_files.finish(writer)
    made = read_tokenizer(GgufFile(tmp_path / "a.gguf"))
    assert ids(made, "  a") == [2, 3]
    assert json.loads(made.to_str())["model"]["vocab"]["▁▁"] == 2
