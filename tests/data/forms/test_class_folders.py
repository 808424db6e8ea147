import pytest


def test_name_of_the_folder_is_the_answer(folder, learned):
    folder.images("cat/1.jpg", "golden_retriever/1.jpg", "golden_retriever/old/2.jpg")
    asked = "what is it?"
    assert learned() == [
        ("cat/1.jpg", asked, ("cat",)),
        ("golden_retriever/1.jpg", asked, ("golden retriever",)),
        ("golden_retriever/old/2.jpg", asked, ("golden retriever",)),
    ]
    assert {turn.kind for row in folder.read().rows for turn in row.turns} == {"class"}


@pytest.mark.parametrize(("name", "split"), [("val", "dev"), ("Validation", "dev"), ("test", "test")])
def test_folders_above_the_classes_are_splits(folder, name, split):
    folder.images("train/cat/1.jpg", "train/dog/1.jpg", f"{name}/cat/2.jpg")
    assert folder.read().splits == {"train": 2, split: 1}


def test_class_may_be_called_train(folder):
    folder.images("bus/1.jpg", "train/1.jpg")
    assert folder.read().splits == {"train": 2}


@pytest.mark.parametrize("names", [["images/1.jpg"], ["train2014/1.jpg", "val2014/2.jpg"], ["1.jpg"]])
def test_images_without_classes_say_nothing(folder, names):
    folder.images(*names)
    with pytest.raises(ValueError, match=r"images?, .*and nothing that says what they show"):
        folder.read()


def test_images_beside_the_classes_are_counted(folder):
    folder.images("all.jpg", "cat/1.jpg", "dog/1.jpg")
    assert folder.read().notes == ["1 images beside the folders of the classes were passed over"]
