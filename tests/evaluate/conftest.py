import pytest


@pytest.fixture
def pipe(babbler):
    return babbler
