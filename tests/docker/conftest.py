"""The image, made once."""

from __future__ import annotations

import pytest

from tests.docker.image import Image


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """What the Dockerfile makes."""
    return Image(tmp_path_factory.mktemp("image")).build()
