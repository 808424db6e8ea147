"""`ojito demo`: its flags, its scores, and what to try next."""

import json

import pytest

from ojito import demo


@pytest.mark.parametrize(
    ("words", "handed"),
    [
        ((), {}),
        (("--preset", "scenes"), {"recipe": "scenes"}),
        (("--short", "--seed", 4), {"short": True, "seed": 4}),
        (("--minutes", 3, "--device", "cpu"), {"minutes": 3.0, "device": "cpu"}),
    ],
)
def test_demo_shows_its_scores_and_three_commands_to_try(run, monkeypatch, tmp_path, words, handed):
    keys = ("exact_match", "exact_match_unseen_combinations", "exact_match_blank_image", "exact_match_exchanged_image")
    scores = {"train_seconds": 120.4, **{key: 0.1 * number for number, key in enumerate(keys, 1)}}
    got = {}

    def trained(out, *, say, **options):
        got.update(options, out=out)
        say("training")
        return scores

    monkeypatch.setattr(demo, "run", trained)
    code, said, err = run("demo", "--out", tmp_path / "d", *words)
    assert code == 0
    usual = {"recipe": "tiny", "minutes": 0.0, "short": False, "device": "auto", "seed": 0}
    assert got == {**usual, **handed, "out": tmp_path / "d"}
    assert err == "training\n"
    assert all(f"{share:.1%}" in said for share in (0.1, 0.2, 0.3, 0.4))
    assert str(tmp_path / "d" / "report.html") in said
    assert sum(line.startswith("  ojito ") for line in said.splitlines()) == 3
    assert json.loads(run("demo", "--json", *words)[1]) == scores


def test_demo_that_was_interrupted_before_the_first_step_exits_with_130(run, monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "run", lambda *args, **options: None)
    code, out, err = run("demo", "--out", tmp_path / "d")
    assert (code, out) == (130, "")
    assert err == "interrupted before the first step; nothing was saved\n"
