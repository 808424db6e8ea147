import pytest

from ojito.data.splits import split_in, split_name


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("val", "dev"), ("Valid", "dev"), (" validation ", "dev"), ("dev", "dev"), ("TEST", "test"),
        ("restval", "train"), ("training", "train"), ("test_pairs", "test_pairs"), ("val2014", "dev"),
        ("test_1", "test_1"), ("", ""),
    ],
)  # fmt: skip
def test_names_of_splits(name, split):
    assert split_name(name) == split


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("captions_val2014", "dev"), ("train", "train"), ("train-00000-of-00002", "train"), ("my.test.set", "test"),
        ("rows", ""), ("trains", ""), ("train_val", ""), ("captions", ""),
    ],
)  # fmt: skip
def test_split_in_the_name_of_a_file(name, split):
    assert split_in(name) == split
