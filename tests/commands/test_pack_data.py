"""`ojito pack-data`: data as shards, from the command line."""

import json

from ojito.data import read_source


def test_shards_are_written_and_can_be_trained_on(run, images, tmp_path):
    code, said, noted = run("pack-data", images, "--out", tmp_path / "out")
    assert code == 0
    assert said.splitlines()[0].split()[:3] == ["train-000000.tar", "6", "rows"]
    assert noted.endswith(f"ojito: 8 rows are in {tmp_path / 'out'}\n")
    assert read_source(tmp_path / "out").splits == read_source(images).splits
    code, said, _ = run(
        "train", "--preset", "tiny", "--data", tmp_path / "out", "--steps", 1, "--out", tmp_path / "model"
    )
    assert code == 0


def test_json_lists_the_shards(run, images, tmp_path):
    code, said, _ = run("pack-data", images, "--out", tmp_path / "out", "--json")
    values = json.loads(said)
    assert (code, values["rows"], values["problems"]) == (0, 8, [])
    assert [(shard["file"], shard["split"], shard["rows"]) for shard in values["shards"]] == [
        ("train-000000.tar", "train", 6), ("dev-000000.tar", "dev", 2)
    ]  # fmt: skip
    assert all(len(shard["sha256"]) == 64 for shard in values["shards"])


def test_shard_mb_and_force_change_output(run, images, refused, tmp_path):
    rows = [{"question": f"{n}?", "answer": "x" * 300_000} for n in range(7)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run("pack-data", tmp_path / "rows.jsonl", "--out", tmp_path / "out", "--shard-mb", 1)
    assert len([*(tmp_path / "out").glob("*.tar")]) == 3
    assert "holds shards already" in refused("pack-data", images, "--out", tmp_path / "out")
    assert run("pack-data", images, "--out", tmp_path / "out", "--force")[0] == 0
    assert {path.name for path in (tmp_path / "out").glob("*.tar")} == {"train-000000.tar", "dev-000000.tar"}


def test_settings_of_data_change_output(run, images, tmp_path):
    row = json.dumps({"image": str(images / "0.png"), "caption": "x"})
    (tmp_path / "rows.jsonl").write_text("\n".join([row, "{", row]))
    code, _, noted = run("pack-data", tmp_path / "rows.jsonl", "--out", tmp_path / "out")
    assert code == 2
    assert "1 of 3 rows are bad" in noted
    code, _, noted = run("pack-data", tmp_path / "rows.jsonl", "--out", tmp_path / "out", "data.max_bad=0.5")
    assert code == 0
    assert "1 rows are in" in noted
    assert "1 were left out" in noted
