"""An image to ask about."""

import pytest
from PIL import Image


@pytest.fixture
def image():
    return Image.effect_noise((20, 30), 90).convert("RGB")
