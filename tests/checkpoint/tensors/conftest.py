"""Folders of a few tensors, in one file and in shards."""

import pytest

from ojito.checkpoint.tensors.writing import write_weights
from tests.checkpoint.tensors.small import state


@pytest.fixture
def folder(tmp_path):
    write_weights(tmp_path, state())
    return tmp_path


@pytest.fixture
def shards(tmp_path):
    write_weights(tmp_path, state(), max_shard=25)
    return tmp_path
