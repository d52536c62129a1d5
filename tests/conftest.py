"""What many tests build from."""

from __future__ import annotations

from pathlib import Path

import pytest
from album import small_album


@pytest.fixture(scope="session")
def album(tmp_path_factory) -> Path:
    """Read it, do not write into it."""
    return small_album(tmp_path_factory.mktemp("album") / "photos")
