"""What `train` and `build` say about words that they do not take: the right one, ready to be copied."""

import pytest

from ojito import data
from ojito.commands.hints import _ELSEWHERE, BUILT_IN, FLAGS, meant_by_flag
from ojito.commands.table import COMMANDS
from ojito.config import Config
from ojito.settings import places


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--lr 3e-4", "train does not take '--lr'; write train.lr=3e-4"),
        ("--lr=3e-4", "train does not take '--lr=3e-4'; write train.lr=3e-4"),
        ("--batch-size 8", "write train.batch_size=8"),
        ("--batch_size=8", "write train.batch_size=8"),
        ("--learning-rate", "write train.lr=VALUE"),
        ("--num-workers 2 --steps 3", "write data.workers=2"),
        ("--workers --steps 3", "write data.workers=VALUE"),
        ("--muon-lr 0.1", "write train.muon_lr=0.1"),
        ("--epochs 3", "write --steps 3"),
        ("--output x", "write --out x"),
        ("--model tiny", "write --preset tiny"),
        ("--stepz 3", "train does not take '--stepz'; did you mean --steps?"),
        ("lr=3e-4", "lr=3e-4: is not a setting; write train.lr=3e-4"),
        ("batch_size=8", "write train.batch_size=8"),
        ("learning_rate=1", "write train.lr=1"),
        ("vocab_size=9", "write model.decoder.vocab_size=9 or processor.tokenizer.vocab_size=9"),
        ("decoder.layers=3", "decoder: unknown setting; did you mean model.decoder or pretrained.decoder?"),
        ("data=photos/", "data=photos/: is a flag, not a setting; write --data photos/"),
        ("out=here", "write --out here"),
        ("photos/", "photos/: is not a setting; write --data photos/"),
        ("rows.jsonl", "write --data rows.jsonl"),
        ("photos16", "write --data photos16"),
        ("scenes", "write --data scenes"),
        ("char", "char: is not a setting; write --preset char"),
        ("mine.yaml", "write --config mine.yaml"),
        ("lr", "lr: is not a setting; write key=value, here train.lr=VALUE"),
        ("hello", "hello: is not a setting; write key=value, for example train.lr=3e-4"),
    ],
)
def test_word_that_train_does_not_take_says_what_to_write(refused, words, said):
    assert said in refused("train", *words.split(), "--print-config")


def test_folders_that_are_there_are_told_apart(refused, trained, tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    assert "write --data photos" in refused("train", "photos")
    assert f"write --from {trained}" in refused("train", trained)


def test_build_gives_the_same_hints(refused, tmp_path):
    words = ("build", "--vision", "tiny", "--decoder", "tiny", "--out", tmp_path / "new")
    assert "write train.lr=1" in refused(*words, "lr=1")
    assert "write train.lr=1" in refused(*words, "--lr", "1")


def test_command_without_settings_names_its_own_flags(refused):
    assert "did you mean --limit?" in refused("eval", "tiny", "scenes", "--limits", 3)
    assert "write" not in refused("eval", "tiny", "scenes", "--lr", 3)


def test_hints_name_what_there_is():
    (flags,) = ({name for a in c.arguments for name in a.names} for c in COMMANDS if c.name == "train")
    assert {f"--{name}" for name in FLAGS} - {"--seed", "--device"} <= flags
    assert BUILT_IN == data.BUILT_IN
    for there in _ELSEWHERE.values():
        assert there in FLAGS or places(Config, there)


def test_flag_that_is_like_nothing_has_no_remedy():
    assert meant_by_flag(["--zzz"], "--zzz") == ""
