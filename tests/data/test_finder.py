import os
import unicodedata

import pytest

from ojito.data.finder import Finder, Listing
from ojito.processor.images import ImageError


@pytest.fixture
def place(tmp_path):
    def place(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(b"x")
        return tmp_path

    return place


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("a.jpg", "a.jpg"),
        ("sub/a.jpg", "sub/a.jpg"),
        ("./sub/../sub/a.jpg", "sub/a.jpg"),
        ("a.jpg", "images/a.jpg"),
        ("a.jpg", "train2014/a.jpg"),
        ("sub/a.jpg", "images/sub/a.jpg"),
        ("images\\a.jpg", "images/a.jpg"),
        ("sub\\a.jpg", "Images/sub/a.jpg"),
        ("caf\u00e9.jpg", "cafe\u0301.jpg"),
        ("cafe\u0301.jpg", "caf\u00e9.jpg"),
        ("caf\u00e9/a.jpg", "images/cafe\u0301/a.jpg"),
    ],
)
def test_image_is_found(place, name, there):
    folder = place(there)
    assert os.path.samefile(Finder(folder).find(name), folder / there)


@pytest.mark.parametrize("there", ["val2014/a.jpg", "images/a.jpg", "a.jpg"])
def test_images_of_a_list_among_annotations_lie_beside_its_folder(place, there):
    folder = place(there, "annotations/rows.json")
    assert Finder(folder / "annotations").find("a.jpg") == folder / there


def test_absolute_path_is_found(place):
    folder = place("sub/cafe\u0301.jpg")
    assert Finder(folder).find(str(folder / "sub" / "caf\u00e9.jpg")).name == "cafe\u0301.jpg"


def test_image_beside_the_list_wins(place):
    folder = place("a.jpg", "images/a.jpg")
    assert Finder(folder).find("a.jpg") == folder / "a.jpg"


def test_image_in_two_folders_is_not_guessed(place):
    with pytest.raises(ImageError, match=r"a.jpg: is in .*train2014 and in .*val2014; write the folder"):
        Finder(place("train2014/a.jpg", "val2014/a.jpg")).find("a.jpg")


def test_other_capitals_are_named(place):
    with pytest.raises(ImageError, match=r"A.JPG: does not exist, but a.jpg does; write its capitals"):
        Finder(place("a.jpg")).find("A.JPG")


def test_broken_link_is_called_one(place):
    folder = place("a.jpg")
    (folder / "link.jpg").symlink_to("gone.jpg")
    (folder / "good.jpg").symlink_to("a.jpg")
    assert Finder(folder).find("good.jpg") == folder / "good.jpg"
    with pytest.raises(ImageError, match=r"link.jpg: is a link to gone.jpg, which does not exist"):
        Finder(folder).find("link.jpg")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("b.jpg", r"does not exist; did you mean a.jpg\?"),
        ("sub", "is a folder"),
        ("gone/a.jpg", "its folder does not exist either"),
        ("C:\\images\\a.jpg", "does not exist"),
        ("https://example.org/a.jpg", "is an address, and Ojito never goes online"),
        ("a\0b.jpg", "does not exist"),
    ],
)
def test_image_that_is_not_there_is_told_as_such(place, name, problem):
    with pytest.raises(ImageError, match=problem):
        Finder(place("a.jpg", "sub/c.jpg")).find(name)


def test_hint_changes_output(place):
    with pytest.raises(ImageError, match="does not exist; check the path"):
        Finder(place("a.jpg")).find("b.jpg", hint=False)


def test_every_folder_is_listed_once(place, monkeypatch):
    folder = place(*(f"images/{n}.jpg" for n in range(20)))
    listed = []
    real = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(os.fspath(path)) or real(path))
    finder = Finder(folder)
    for n in range(20):
        finder.find(f"{n}.jpg")
        finder.find(f"images/{n}.jpg")
    assert sorted(listed) == sorted([str(folder), str(folder / "images")])


def test_listing_of_no_folder_is_empty(tmp_path):
    listing = Listing(str(tmp_path / "gone"))
    assert (listing.files, listing.folders, listing.composed, listing.folded) == (set(), set(), {}, {})


def test_listing_finds_names_without_accents_and_capitals(place):
    listing = Listing(str(place("CAFE\u0301.JPG")))
    assert listing.folded == {"caf\u00e9.jpg": "CAFE\u0301.JPG"}
    assert listing.composed == {unicodedata.normalize("NFC", "CAFE\u0301.JPG"): "CAFE\u0301.JPG"}
