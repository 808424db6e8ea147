"""An image to ask about."""

import pytest

from tests.noise import noise


@pytest.fixture
def image():
    return noise((20, 30))
