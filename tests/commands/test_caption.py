"""`ojito caption`: a line an image, whatever the batch, and beside images that cannot be read."""

import csv
import json
import re
import shutil

import pytest

from ojito.cli import main
from ojito.commands.caption_list import CaptionList
from ojito.data import read_source
from ojito.generate import Scheduler
from ojito.processor import Processor


def test_caption_of_one_image_is_its_text(run, trained, images):
    code, said, _ = run("caption", trained, images / "0.png")
    assert code == 0
    assert said.count("\n") == 1
    assert "\t" not in said


def test_captions_of_several_images_are_a_line_each_in_their_order(run, trained, images):
    code, said, _ = run("caption", trained, images / "3.png", images, "--max-new-tokens", 3, "--batch-size", 2)
    assert code == 0
    expected = [images / "3.png", *(images / f"{i}.png" for i in range(8))]
    assert [line.split("\t")[0] for line in said.splitlines()] == [str(path) for path in expected]


def test_caption_does_not_depend_on_the_batch(run, trained, images):
    assert run("caption", trained, images, "--batch-size", 1)[1] == run("caption", trained, images)[1]


def test_captions_are_drawn_alike_in_any_batch_and_beside_broken_images(run, trained, images, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not an image")
    drawn = ("--temperature", 5, "--seed", 3, "--max-new-tokens", 4)
    every = run("caption", trained, images, *drawn)[1]
    assert len({line.split("\t")[1] for line in every.splitlines()}) > 1
    for batch_size in (1, 3):
        words = ("caption", trained, broken, images, *drawn, "--batch-size", batch_size)
        assert run(*words)[1] == every


def test_caption_batch_size_is_how_many_are_captioned_at_once(run, trained, images, monkeypatch):
    running, step = [], Scheduler.step

    def counting(scheduler):
        step(scheduler)
        running.append(scheduler.running)

    monkeypatch.setattr(Scheduler, "step", counting)
    for batch_size in (5, 16):
        running.clear()
        run("caption", trained, *[images] * 3, "--max-new-tokens", 3, "--batch-size", batch_size)
        assert max(running) == batch_size


def test_captions_are_said_as_they_come(trained, images, monkeypatch, capsys):
    lines, read_image = [], Processor.read_image

    def reading(processor, image):
        lines.append(capsys.readouterr().out.count("\n"))  # since the image before
        return read_image(processor, image)

    monkeypatch.setattr(Processor, "read_image", reading)
    assert main(["caption", str(trained), str(images), "--max-new-tokens", "1", "--batch-size", "2"]) == 0
    assert lines == [0, 0, 2, 0, 2, 0, 2, 0]


def test_caption_as_json(run, trained, images):
    one = json.loads(run("caption", trained, images / "0.png", "--json", "--max-new-tokens", 2)[1])
    assert one["image"] == str(images / "0.png")
    assert one["tokens"] <= 2
    every = json.loads(run("caption", trained, images, "--json", "--max-new-tokens", 2)[1])
    assert every[0] == one
    assert len(every) == 8


def test_broken_image_is_named_and_the_others_go_on(run, trained, images, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"not an image")
    paths = (images / "0.png", tmp_path / "broken.png", images / "1.png")
    code, said, err = run("caption", trained, *paths)
    assert code == 2
    assert len(said.splitlines()) == 2
    assert err.startswith(f"ojito: error: {tmp_path / 'broken.png'}: ")
    code, said, _ = run("caption", trained, *paths, "--json")
    assert code == 2
    assert ["error" in result for result in json.loads(said)] == [False, True, False]
    assert run("caption", trained, tmp_path / "broken.png", "--json")[0] == 2


def test_model_of_text_alone_is_refused_once(run, images, tmp_path):
    recipe = tmp_path / "text.yaml"
    decoder = "{vocab_size: 300, width: 16, layers: 1, heads: 2, mlp_dim: 16, max_positions: 96}"
    recipe.write_text(f"name: text\nmodel: {{vision: {{kind: none}}, decoder: {decoder}}}\n")
    code, said, err = run("caption", recipe, images)
    assert (code, said) == (2, "")
    assert err.count("reads text alone; ask it without one") == 1


def test_folder_without_images_is_named(refused, trained, tmp_path):
    assert f"{tmp_path}: holds no images" in refused("caption", trained, tmp_path)


# --------------------------------------------------------------------------------------------------- a list of captions


@pytest.fixture
def folder(images, tmp_path):
    """Four images, and one in a folder below."""
    (tmp_path / "photos" / "below").mkdir(parents=True)
    for name, number in (("a.png", 0), ("b, c.png", 1), ("d.png", 2), ("e.png", 3), ("below/f.png", 4)):
        shutil.copy(images / f"{number}.png", tmp_path / "photos" / name)
    return tmp_path / "photos"


def rows_of(path):
    if path.suffix == ".csv":
        return [*csv.DictReader(path.open(encoding="utf-8", newline=""))]
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", ["captions.csv", "captions.jsonl"])
def test_captions_are_written_to_a_list_that_training_reads(run, trained, folder, name):
    code, said, err = run("caption", trained, folder, "--out", folder / name, "--batch-size", 3)
    assert (code, said) == (0, f"4 captions written to {folder / name}\n")
    assert "1 images in folders below" in err
    expected = dict(line.split("\t") for line in run("caption", trained, folder)[1].splitlines())
    rows = rows_of(folder / name)
    assert {str(folder / row["image"]): row["caption"] for row in rows} == expected
    source = read_source(folder / name, max_bad=1) if any(expected.values()) else None
    assert source is None or len(source.rows) == sum(map(bool, expected.values()))


@pytest.mark.parametrize("name", ["captions.csv", "captions.jsonl"])
def test_list_is_gone_on_with(run, trained, folder, name, monkeypatch):
    out = folder.parent / name
    words = ("caption", trained, folder, "--out", out, "--recursive", "--temperature", 5, "--seed", 3)
    run(*words, "--batch-size", 2)
    whole = out.read_bytes()
    lines = whole.splitlines(keepends=True)
    out.write_bytes(b"".join(lines[:-3]) + lines[-3][:7].split(b",")[0])  # killed within a row
    _, said, err = run(*words, "--json")
    assert json.loads(said) == {"out": str(out), "written": 3, "there": 2, "failed": 0}
    assert f"2 of 5 images are in {out} already" in err
    assert out.read_bytes() == whole

    monkeypatch.setattr("ojito.commands.caption.load_model", None)  # not needed where nothing is left to do
    assert run(*words)[:2] == (0, f"0 captions written to {out}\n")
    assert out.read_bytes() == whole


@pytest.mark.parametrize(
    ("name", "row"), [("c.csv", "image,caption\na.png,mine"), ("c.jsonl", '{"image": "a.png", "caption": "mine"}')]
)
def test_last_row_without_an_end_of_line_is_kept(run, trained, folder, name, row):
    (folder / name).write_text(row)
    assert run("caption", trained, folder, "--out", folder / name)[1].startswith("3 captions")
    rows = rows_of(folder / name)
    assert rows[0] == {"image": "a.png", "caption": "mine"}
    assert len(rows) == 4


def test_write_that_fails_leaves_no_half_row(tmp_path, monkeypatch):
    monkeypatch.setattr("ojito.commands.caption_list._SYNC_EVERY", 0)
    captions = CaptionList(tmp_path / "c.csv")
    captions.add([(tmp_path / "a.png", "whole")])
    before = (tmp_path / "c.csv").read_bytes()

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        captions.add([(tmp_path / "b.png", "half")])
    assert (tmp_path / "c.csv").read_bytes() == before


def test_broken_image_is_left_out_of_the_list_and_tried_again(run, trained, folder):
    (folder / "broken.png").write_bytes(b"not an image")
    words = ("caption", trained, folder, "--out", folder / "captions.csv")
    for written in (4, 0):
        code, said, err = run(*words)
        assert code == 2
        assert said.startswith(f"{written} captions written to")
        assert said.endswith("; 1 images could not be read\n")
        assert "broken.png: " in err
    assert len(rows_of(folder / "captions.csv")) == 4


def test_captions_are_in_the_list_as_they_come_and_stay_when_interrupted(run, trained, folder, monkeypatch):
    out, counts, read_image = folder / "captions.csv", [], Processor.read_image
    words = ("caption", trained, folder, "--out", out, "--max-new-tokens", 1, "--batch-size", 1)

    def reading(processor, image):
        counts.append(len(rows_of(out)))
        if len(counts) == 4:
            raise KeyboardInterrupt
        return read_image(processor, image)

    with monkeypatch.context() as patch:
        patch.setattr(Processor, "read_image", reading)
        code, _, err = run(*words)
    assert code == 130
    assert f"stopped; 3 of 4 captions are in {out}, and the same command goes on" in err
    assert counts == [0, 1, 2, 3]
    assert len(rows_of(out)) == 3
    assert run(*words)[1].startswith("1 captions written")


def test_array_of_captions_is_whole_when_interrupted(run, trained, folder, monkeypatch):
    read, read_image = [], Processor.read_image

    def reading(processor, image):
        read.append(image)
        if len(read) == 3:
            raise KeyboardInterrupt
        return read_image(processor, image)

    monkeypatch.setattr(Processor, "read_image", reading)
    code, said, _ = run("caption", trained, folder, "--json", "--max-new-tokens", 1, "--batch-size", 1)
    assert code == 130
    assert len(json.loads(said)) == 2


def test_captions_are_on_the_disk_once_a_second_and_at_the_end(tmp_path, monkeypatch):
    synced, clock = [], [0.0]
    monkeypatch.setattr("os.fsync", lambda number: synced.append(clock[0]))
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    captions = CaptionList(tmp_path / "c.csv")
    for clock[0] in (0.0, 0.4, 0.9, 1.0, 1.9, 2.5):
        captions.add([(tmp_path / f"{clock[0]}.png", "text")])
    clock[0] = 2.6
    captions.sync()
    assert synced == [0.0, 1.0, 2.5, 2.6]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("captions.txt", None, "is neither .csv nor .jsonl"),
        ("captions.csv", "file;text\n", "is there, and is no list of captions (its columns are not image,caption)"),
        ("captions.csv", "image,caption\na.png,x,y\n", "(line 2 has 3 cells)"),
        ("captions.jsonl", '{"image": "a.png"}\n[]\n', "(line 2 names no image)"),
        ("captions.jsonl", "{\n", "(line 1 names no image)"),
        (
            "questions.jsonl",
            '{"image": "a.png", "caption": "a"}\n{"image": "a.png", "question": "b?", "answer": "c"}\n',
            "(line 2 has question, answer, too)",
        ),
        ("a.png/captions.csv", None, "cannot be written"),
    ],
)
def test_file_that_is_no_list_of_captions_stays_as_it_is(refused, trained, images, folder, name, content, said):
    if content is not None:
        (folder / name).write_text(content)
    assert said in refused("caption", trained, images, "--out", folder / name)
    if content is not None:
        assert (folder / name).read_text() == content


# --------------------------------------------------------------------------------------------------- what they took


FIGURES = {"images", "images_per_second", "tokens", "tokens_per_second", "load_seconds", "encode_seconds", "seconds"}


def test_stats_tell_what_the_captions_took(run, trained, images, tmp_path):
    words = ("caption", trained, images, "--max-new-tokens", 3)
    (tmp_path / "broken.png").write_bytes(b"not an image")
    _, plain, none = run(*words)
    code, said, err = run(*words, tmp_path / "broken.png", "--stats")
    assert (code, said) == (2, plain)
    assert none == ""
    line = err.splitlines()[-1]
    assert re.fullmatch(
        r"ojito: loaded in [\d.]+ s, 8 images in [\d.]+ s, of which encoding took [\d.]+ s: [\d.]+ images/s, "
        r"[\d.]+ tokens/s; peak memory [\d.]+ .iB",
        line,
    )


def test_stats_stand_beside_the_caption_of_one_image_in_json(run, trained, images):
    words = ("caption", trained, images / "0.png", "--json")
    plain, told = json.loads(run(*words)[1]), json.loads(run(*words, "--stats")[1])
    stats = told.pop("stats")
    assert told == plain
    assert set(stats) == FIGURES | {"peak_gb"}
    assert (stats["images"], stats["tokens"]) == (1, told["tokens"])
    assert 0 < stats["encode_seconds"] <= stats["seconds"]
    assert min(stats["load_seconds"], stats["peak_gb"]) > 0
    assert stats["images_per_second"] == pytest.approx(1 / stats["seconds"], abs=0.01)
    assert stats["tokens_per_second"] == pytest.approx(told["tokens"] / stats["seconds"], abs=0.01)


def test_stats_of_several_images_stand_beside_the_array(run, trained, images):
    _, said, err = run("caption", trained, images, "--json", "--stats", "--max-new-tokens", 2)
    assert len(json.loads(said)) == 8
    assert "8 images in " in err


def test_stats_of_a_list_count_what_was_written(run, trained, folder):
    words = ("caption", trained, folder, "--out", folder / "c.csv", "--max-new-tokens", 2, "--stats")
    told = json.loads(run(*words, "--json")[1])
    assert told["written"] == told["stats"]["images"] == 4
    (folder / "d.png").rename(folder / "g.png")
    _, said, err = run(*words)
    assert said.startswith("1 captions written")
    assert "1 images in " in err
    assert "images/s" not in run(*words)[2]  # nothing was left to do


def test_folders_below_are_said_or_taken(run, refused, trained, folder):
    paths = [line.split("\t")[0] for line in run("caption", trained, folder, "--recursive")[1].splitlines()]
    assert str(folder / "below" / "f.png") in paths
    assert len(paths) == 5
    assert "holds no images itself, but 5 in folders below; use --recursive" in refused(
        "caption", trained, folder.parent
    )


def test_untrained_preset_says_so(run, images):
    code, said, err = run("caption", "tiny", images / "0.png", "--max-new-tokens", 1)
    assert code == 0
    assert "its weights are random" in err
    assert "random" not in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("caption {model}", "the following arguments are required: IMAGE"),
        ("caption missing a.png", "'missing': is neither a folder nor a preset"),
        ("caption {tmp} a.png", "has no config.json"),
        ("caption {model} missing.png", "missing.png: does not exist"),
        ("caption {model} {tmp}", "holds no images"),
        ("caption {model} a.png --batch-size 0", "--batch-size 0"),
    ],
)
def test_mistake_is_one_line_on_stderr_and_exit_code_2(refused, trained, tmp_path, words, said):
    assert said in refused(*words.format(model=trained, tmp=tmp_path).split())
