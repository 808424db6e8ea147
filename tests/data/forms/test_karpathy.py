import pytest

KITE = {"filename": "a.jpg", "split": "restval", "sentences": [{"raw": "A kite.", "tokens": ["a"]}, {"raw": "Two."}]}


def test_sentences_are_captions_and_restval_is_train(folder, learned):
    images = [KITE, {**KITE, "filename": "b.jpg", "filepath": "val2014", "split": "val"}]
    folder.images("a.jpg", "val2014/b.jpg").write("dataset_coco.json", {"dataset": "coco", "images": images})
    assert learned("dataset_coco.json") == [
        ("a.jpg", "", ("A kite.", "Two.")),
        ("val2014/b.jpg", "", ("A kite.", "Two.")),
    ]
    assert folder.read("dataset_coco.json").splits == {"train": 1, "dev": 1}


@pytest.mark.parametrize("image", ["Images/a.jpg", "Flicker8k_Dataset/a.jpg", "flickr30k-images/a.jpg"])
def test_images_lie_in_a_folder_beside_the_list(folder, learned, image):
    folder.images(image).write("dataset_flickr8k.json", {"images": [KITE]})
    assert [found for found, *_ in learned("dataset_flickr8k.json")] == [image]


def test_image_without_sentences_is_bad(folder):
    folder.images("a.jpg").write("d.json", {"images": [KITE, {**KITE, "sentences": ["x"]}, 7]})
    assert [p.split(";")[0] for p in folder.read("d.json", max_bad=0.9).problems] == [
        "d.json image 2: has no sentences with raw text",
        "d.json image 3: is not an object",
    ]
