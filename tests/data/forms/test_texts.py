def test_images_in_folders_below_are_read(folder, learned):
    folder.images("red.jpg", "more/green.jpg", "more/deep/blue.jpg")
    for name in ("red", "more/green", "more/deep/blue"):
        folder.write(f"{name}.txt", name[-4:])
    assert learned() == [
        ("red.jpg", "", ("red",)),
        ("more/green.jpg", "", ("reen",)),
        ("more/deep/blue.jpg", "", ("blue",)),
    ]


def test_folders_called_as_splits_are_splits(folder):
    folder.images("train/a.jpg", "validation/b.jpg")
    folder.write("train/a.txt", "x")
    folder.write("validation/b.txt", "y")
    assert folder.read().splits == {"train": 1, "dev": 1}


def test_images_of_one_name_are_all_read(folder, learned):
    folder.images("a.jpg", "a.png", "b.JPG", "b.jpg").write("a.txt", "x")
    folder.write("b.TXT", "y")
    assert [image for image, *_ in learned()] == ["a.jpg", "a.png", "b.JPG", "b.jpg"]


def test_folder_below_without_texts_is_passed_over_and_named(folder, learned):
    folder.images("a.jpg", "raw/1.jpg", "raw/2.jpg").write("a.txt", "x")
    assert len(learned()) == 1
    assert folder.read().notes == ["raw/ was passed over: none of its 2 images has a text"]


def test_texts_of_no_image_and_hidden_files_are_no_rows(folder, learned):
    folder.images("a.jpg").write("a.txt", "x")
    folder.write("README.txt", "about")
    for name in ("._a.jpg", "._a.txt", ".hidden/b.jpg"):
        folder.write(name, "\0")
    assert learned() == [("a.jpg", "", ("x",))]
    assert folder.read().notes == ["text files that belong to no image: README.txt"]


def test_image_without_a_text_among_others_is_bad(folder):
    folder.images("a.jpg", "b.jpg").write("a.txt", "x")
    source = folder.read(max_bad=0.5)
    assert source.problems == ["b.jpg: has no caption; write b.txt, one caption a line"]


def test_images_of_a_kind_that_is_not_read_are_not_passed_over(folder, learned):
    folder.images("a.jpg").write("a.txt", "x")
    folder.write("b.TIFF", "II*")
    folder.write("b.txt", "y")
    assert [image for image, *_ in learned()] == ["a.jpg", "b.TIFF"]


def test_text_in_another_encoding_is_a_bad_row(folder):
    folder.images("a.jpg", "b.jpg").write("a.txt", "x")
    (folder.path / "b.txt").write_bytes(b"caf\xe9")
    assert folder.read(max_bad=0.5).problems == ["b.txt: is not UTF-8 text; save it as UTF-8"]
