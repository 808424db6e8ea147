"""`ojito caption`: a line an image, whatever the batch, and beside images that cannot be read."""

import json

import pytest

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


def test_caption_batch_size_is_how_many_are_read_at_once(run, trained, images, monkeypatch):
    sizes, call = [], Processor.__call__

    def counting(processor, samples, *args, **options):
        sizes.append(len(samples))
        return call(processor, samples, *args, **options)

    monkeypatch.setattr(Processor, "__call__", counting)
    run("caption", trained, *[images] * 5, "--max-new-tokens", 1, "--batch-size", 36)
    assert sizes == [36, 4]


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


def test_folder_without_images_is_named(refused, trained, tmp_path):
    assert f"{tmp_path}: holds no images" in refused("caption", trained, tmp_path)


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
