import pytest

from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.learned_file import LEARNED_FILE, read_learned, write_learned
from ojito.learned import Learned
from ojito.records import Sample


def test_learned_reads_back_from_a_folder(tmp_path):
    learned = Learned.of([Sample([b"a"])])
    assert read_learned(tmp_path) is None
    write_learned(tmp_path, learned)
    assert read_learned(tmp_path) == learned


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b"\xff"])
def test_damaged_file_is_named(tmp_path, content):
    (tmp_path / LEARNED_FILE).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"learned\.json: "):
        read_learned(tmp_path)
