import json
import pickle
from dataclasses import replace

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import models

from ojito.config import TokenizerConfig
from ojito.processor import Tokenizer
from ojito.settings import ConfigError

TEXTS = ["a red ball and a blue ball", "what colour is the ball?", "red", "red", "blue", "blue", "\n", "\n", "\n"] * 2
BPE = Tokenizer.train(TokenizerConfig(), TEXTS, 400)
CHARACTERS = Tokenizer.train(TokenizerConfig(kind="characters"), TEXTS, 400)


NAMED = TokenizerConfig(
    bos="<b>", eos=("<end>", "<stop>"), pad="<p>", special=("<x>", "<x><y>"), added=("<loc{08..11}>",)
)


def file_with(folder, *special_tokens):
    made = tokenizers.Tokenizer(models.WordLevel({"red": 0, "?": 1}, unk_token="?"))
    made.add_special_tokens(list(special_tokens))
    made.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=30).map(lambda text: text.lstrip(" ")))
def test_bpe_roundtrips_any_text(text):
    assert BPE.decode(BPE.encode(text)) == text


@pytest.mark.parametrize("tokenizer", [BPE, CHARACTERS], ids=["bpe", "characters"])
def test_tokenizer_roundtrips_what_it_learned_from(tokenizer):
    assert [tokenizer.decode(tokenizer.encode(text)) for text in TEXTS] == TEXTS


def test_bpe_writes_an_answer_the_same_alone_and_in_a_sentence():
    (red,) = BPE.encode("red")
    assert red in BPE.encode("a red ball")


def test_bpe_learns_the_separator_as_one_token():
    assert len(BPE.encode("\n")) == 1


def test_bpe_holds_every_byte():
    assert BPE.size >= 259
    assert BPE.decode(BPE.encode("Ω♥🙂")) == "Ω♥🙂"


def test_characters_are_one_token_each():
    assert len(CHARACTERS.encode("a red ball")) == len("a red ball")


def test_characters_that_were_never_seen_are_unknown_and_write_nothing():
    assert CHARACTERS.decode(CHARACTERS.encode("red Ω")) == "red "


@pytest.mark.parametrize("kind", ["bpe", "characters"])
def test_special_tokens_in_a_text_are_plain_text(kind):
    tokenizer = Tokenizer.train(TokenizerConfig(kind=kind), ["the token <eos> ends <pad>"], 400)
    ids = tokenizer.encode("<eos><pad>")
    assert not {tokenizer.eos, tokenizer.pad, tokenizer.bos} & set(ids)
    assert tokenizer.decode(ids) == "<eos><pad>"


def test_decode_leaves_special_tokens_out():
    assert BPE.decode([BPE.bos, *BPE.encode("red"), BPE.eos, BPE.pad]) == "red"


@pytest.mark.parametrize("kind", ["bpe", "characters"])
def test_training_twice_gives_the_same_file(kind, tmp_path):
    for name in ("a", "b"):
        Tokenizer.train(TokenizerConfig(kind=kind), TEXTS, 300).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("tokenizer", [BPE, CHARACTERS], ids=["bpe", "characters"])
def test_saved_tokenizer_roundtrips(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.json")
    again = Tokenizer.read(tmp_path / "tokenizer.json")
    assert again.encode("a red <eos> ball?") == tokenizer.encode("a red <eos> ball?")
    assert (again.size, again.pad, again.bos, again.eos) == (
        tokenizer.size,
        tokenizer.pad,
        tokenizer.bos,
        tokenizer.eos,
    )


@pytest.mark.parametrize(("kind", "small", "large"), [("bpe", 260, 265), ("characters", 6, 9)])
def test_vocab_size_limits_what_is_learned(kind, small, large):
    sizes = [Tokenizer.train(TokenizerConfig(kind=kind), TEXTS, size).size for size in (small, large)]
    assert sizes == [small, large]
    added = TokenizerConfig(kind=kind, special=("<x>",), added=("<y>",))
    assert Tokenizer.train(added, TEXTS, large).size == large
    assert Tokenizer.train(TokenizerConfig(kind=kind, vocab_size=small), TEXTS, large).size == small


@pytest.mark.parametrize(("kind", "size"), [("bpe", 258), ("characters", 4)])
def test_vocab_size_too_small_is_refused(kind, size):
    with pytest.raises(ConfigError, match=f"vocab_size: {size} .*; use"):
        Tokenizer.train(TokenizerConfig(kind=kind), TEXTS, size)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["<pad>", "<eos>", "<bos>"], ("<pad>", "<bos>", "<eos>")),
        (["<s>", "</s>"], ("</s>", "<s>", "</s>")),
        (["<|endoftext|>"], ("<|endoftext|>", None, "<|endoftext|>")),
        (["<|endoftext|>", "<|im_start|>", "<|im_end|>"], ("<|im_end|>", "<|im_start|>", "<|im_end|>")),
    ],
)
def test_file_names_its_pad_bos_and_eos(names, expected, tmp_path):
    path = file_with(tmp_path, *names)
    ids = json.loads(path.read_text())
    ids = {token["content"]: token["id"] for token in ids["added_tokens"]}
    found = Tokenizer.train(TokenizerConfig(kind="file", path=str(path)), [], 100)
    assert (found.pad, found.bos, found.eos) == tuple(ids.get(name) for name in expected)
    assert found.size == 2 + len(names)


def test_file_without_an_end_of_text_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"tokenizer.json: has none of the tokens <eos>, .* could not end"):
        Tokenizer.read(file_with(tmp_path, "<pad>"))


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[1, 2]", b"\xff\xfe"])
def test_file_that_is_no_tokenizer_is_refused(content, tmp_path):
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="give"):
        Tokenizer.read(path)


def test_file_cannot_switch_on_padding_or_truncation(tmp_path):
    path = file_with(tmp_path, "<eos>")
    hostile = tokenizers.Tokenizer.from_file(str(path))
    hostile.enable_padding(length=9)
    hostile.enable_truncation(1)
    hostile.save(str(path))
    assert Tokenizer.read(path).encode("red") == (0,)


def test_copy_in_another_process_tokenizes_alike():
    copy = pickle.loads(pickle.dumps(BPE))
    assert copy.encode("the token <eos> ends") == BPE.encode("the token <eos> ends")
    assert (copy.size, copy.eos, copy.pad, copy.bos) == (BPE.size, BPE.eos, BPE.pad, BPE.bos)
    named = Tokenizer.train(NAMED, TEXTS, 400)
    assert pickle.loads(pickle.dumps(named)).ends == named.ends


@pytest.mark.parametrize("kind", ["bpe", "characters"])
def test_learned_tokenizer_has_the_tokens_that_the_recipe_names(kind, tmp_path):
    made = Tokenizer.train(replace(NAMED, kind=kind), TEXTS, 300)
    assert made.size <= 300
    made.save(tmp_path / "tokenizer.json")
    tokens = {t["content"]: t["id"] for t in json.loads((tmp_path / "tokenizer.json").read_text())["added_tokens"]}
    assert (made.bos, made.pad, made.eos, made.ends) == (
        tokens["<b>"],
        tokens["<p>"],
        tokens["<end>"],
        (tokens["<end>"], tokens["<stop>"]),
    )
    assert made.whole == set(tokens.values())
    again = Tokenizer.read(tmp_path / "tokenizer.json", NAMED)
    for text in ("a red <end><x> ball", "<loc09> <loc7>"):
        assert again.encode(text) == made.encode(text)
        assert again.parse(text) == made.parse(text)
    assert (again.ends, again.size, again.whole) == (made.ends, made.size, made.whole)


def test_added_tokens_are_whole_in_every_text_and_special_ones_only_in_the_recipes():
    made = Tokenizer.train(NAMED, TEXTS, 400)
    (location,) = made.encode("<loc10>")
    assert location == made.size - 2  # 8, 9, 10, 11, and nothing after them
    assert made.decode([*made.encode("red"), location]) == "red<loc10>"
    assert len(made.encode("<loc7>")) > 1
    assert all(len(made.encode("<x>", after)) > 1 for after in ("start", "token", "text"))
    assert all(location in made.encode("a<loc10>", after) for after in ("start", "token", "text"))
    x, end = made.parse("<x>")[0], made.eos
    assert made.parse("a<x><x><y> <end>") == ["a", x, made.parse("<x><y>")[0], " ", end]
    assert made.parse("") == []
    assert made.decode([x, *made.encode("red"), end]) == "red"


def test_tokens_that_a_file_has_keep_their_ids(tmp_path):
    vocabulary = {"red": 0, "<loc1>": 1, "<x>": 2, "?": 3}
    made = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    made.add_special_tokens(["<eos>"])
    made.save(str(tmp_path / "tokenizer.json"))
    read = Tokenizer.read(tmp_path / "tokenizer.json", TokenizerConfig(special=("<x>",), added=("<loc{0..2}>",)))
    assert [*read.encode("<loc0>"), *read.encode("<loc1>"), *read.encode("<loc2>")] == [5, 1, 6]
    assert read.parse("<x>") == [2]
    assert (read.size, read.whole) == (7, {1, 2, 4, 5, 6})


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"bos": "<bo>"}, r"^processor.tokenizer.bos: '<bo>' is not a token of .*json; did you mean <bos>\?"),
        ({"pad": "nothing"}, r"^processor.tokenizer.pad: 'nothing' is not a token of .*json; name one that it has"),
        ({"eos": ("<eos>", "<end>")}, r"^processor.tokenizer.eos: '<end>' is not a token"),
        ({"added": ("<loc{9..1}>",)}, r"^processor.tokenizer: '<loc\{9..1\}>' stands for 0 tokens; write 1 to 10000"),
        ({"special": ("{0..999}{0..999}",)}, r"stands for 1000000 tokens"),
    ],
)
def test_names_that_cannot_be_used_are_refused(names, message, tmp_path):
    path = file_with(tmp_path, "<eos>", "<bos>")
    with pytest.raises(ConfigError, match=message):
        Tokenizer.read(path, TokenizerConfig(**names))


@pytest.mark.parametrize("names", [{"eos": ("",)}, {"special": ("<x>", "")}, {"added": ("",)}])
def test_token_without_a_name_is_refused(names):
    with pytest.raises(ConfigError, match=r"^(eos|special|added)\[\d\]: '' is no token; leave it out"):
        TokenizerConfig(**names)


def test_named_token_of_a_files_vocabulary_is_a_special_one_from_then_on(tmp_path):
    path = file_with(tmp_path, "<eos>")
    assert Tokenizer.read(path).parse("red") == ["red"]
    read = Tokenizer.read(path, TokenizerConfig(eos=("red", "<eos>")))
    assert (read.eos, read.ends, read.parse("red")) == (0, (0, 2), [0])


def test_spaces_before_words_are_put_where_a_text_begins():
    red = BPE.encode("red")
    assert BPE.encode(" red", "text") == BPE.encode("red", "token") == red
    assert BPE.encode("red", "text") != red
    assert BPE.decode(BPE.encode("red", "text")) == "red"


def test_encode_remembers_texts_and_forgets_when_full(monkeypatch):
    monkeypatch.setattr("ojito.processor.tokenizers._MEMORY", 2)
    tokenizer = Tokenizer.train(TokenizerConfig(), TEXTS, 300)
    red = tokenizer.encode("red")
    assert tokenizer.encode("red") is red
    assert [tokenizer.encode(text) for text in ("blue", "ball", "red")][2] == red


def qwen(special):
    """A vocabulary of Qwen's make: `<s>` and `</s>` are ordinary entries, the special tokens are added."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    entries = {name: i for i, name in enumerate([*alphabet, "<s>", "</s>"])}
    made = tokenizers.Tokenizer(tokenizers.models.BPE(entries, []))
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    made.add_special_tokens(special)
    return made


def test_ordinary_words_are_no_special_tokens_whatever_they_are_called():
    made = Tokenizer(qwen(["<|endoftext|>", "<|im_end|>"]))
    assert made.bos is None
    assert made.eos == made.parse("<|im_end|>")[0]
    assert made.parse("<s></s>") == ["<s></s>"]


def test_has_bos_and_eos_ids_change_the_tokens():
    special = ["<|im_start|>", "<|im_end|>"]
    assert Tokenizer(qwen(special)).bos is not None
    assert Tokenizer(qwen(special), TokenizerConfig(has_bos=False)).bos is None
    word = qwen(special).token_to_id("</s>")
    made = Tokenizer(qwen(special), TokenizerConfig(eos_ids=(word, 10_000)))
    assert made.ends == (made.eos, word)
    assert made.parse("</s>") == ["</s>"]  # it ends an answer, and is still a word
    assert Tokenizer(qwen(["<x>"]), TokenizerConfig(eos_ids=(word,))).eos == word


def models_of_files():
    """One of each kind of the library, which knows a, b and c."""
    from tokenizers import Tokenizer as Library
    from tokenizers import decoders, models, pre_tokenizers

    vocabulary = {"<unk>": 0, "<eos>": 1, "a": 2, "b": 3, "c": 4, "▁": 5}
    fallback = vocabulary | {f"<0x{byte:02X}>": 6 + byte for byte in range(256)}
    return (
        {
            "words": (Library(models.WordLevel({**vocabulary}, unk_token="<unk>")), "語ü"),
            "pieces": (Library(models.WordPiece({**vocabulary}, unk_token="<unk>")), "語ü"),
            "unigram": (Library(models.Unigram([(name, -1.0) for name in vocabulary], 0)), "語ü"),
            "bpe": (Library(models.BPE({**vocabulary}, [], unk_token="<unk>")), "語ü"),
            "bpe without": (Library(models.BPE({**vocabulary}, [])), "語ü"),
            "bytes": (Library(models.BPE(fallback, [], unk_token="<unk>", byte_fallback=True)), ""),
            "byte level": (
                Library(models.BPE({c: i for i, c in enumerate(["<eos>", *pre_tokenizers.ByteLevel.alphabet()])}, [])),
                "",
            ),
        },
        pre_tokenizers.ByteLevel(),
        decoders.ByteLevel(),
    )


@pytest.mark.parametrize("kind", ["words", "pieces", "unigram", "bpe", "bpe without", "bytes", "byte level"])
def test_characters_without_an_entry_are_found_in_every_kind_of_file(kind):
    models, pre_tokenizer, decoder = models_of_files()
    made, missing = models[kind]
    if kind == "byte level":
        made.pre_tokenizer, made.decoder = pre_tokenizer, decoder
    made.add_special_tokens(["<eos>"])
    found = Tokenizer(made).missing(iter(["abc 語", "語 ü\n", "c"]))
    assert [*found] == [*missing]
    assert found.get("語", 2) == 2


def test_characters_of_a_vocabulary_of_bytes_are_not_looked_for():
    learned = Tokenizer.train(TokenizerConfig(), ["a b"], 300)
    assert learned.missing(pytest.fail(text) for text in ["looked at"]) == {}


def test_token_is_shown_as_its_text_or_by_its_name():
    assert [CHARACTERS.shown(i) for i in CHARACTERS.encode("ab")] == ["a", "b"]
    assert CHARACTERS.shown(CHARACTERS.eos) == "<eos>"
    first, *_ = BPE.encode("😀")
    assert BPE.shown(first)
    assert "\ufffd" not in BPE.shown(first)
