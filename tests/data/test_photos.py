import importlib.util

import pytest

from ojito.data import DataError, photos16
from ojito.processor.images import open_image

needs_photos = pytest.mark.skipif(importlib.util.find_spec("skimage") is None, reason="extra `photos` not installed")


@needs_photos
def test_photos16_are_sixteen_different_images_with_different_captions():
    rows = photos16()
    assert len(rows) == 16
    assert len({row.turns[0].answers for row in rows}) == 16
    small = {open_image(row.images[0]).resize((8, 8)).tobytes() for row in rows}
    assert len(small) == 16


@needs_photos
def test_photos16_have_one_caption_each_and_belong_to_train():
    for row in photos16():
        ((turn,), (caption,)) = row.turns, row.turns[0].answers
        assert (turn.prompt, turn.kind, row.split) == ("", "caption", "train")
        assert caption == caption.strip().lower()


def test_photos16_without_scikit_image_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"scikit-image, which is not installed; .*pip install 'ojito\[photos\]'"):
        photos16()


def test_photos16_of_another_version_names_what_it_lacks(monkeypatch, tmp_path):
    spec = importlib.util.spec_from_file_location("skimage", tmp_path / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(DataError, match=r"astronaut.png, brick.png, .* are not in this version of scikit-image"):
        photos16()
