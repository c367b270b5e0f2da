"""Where real and golden files are, for tests that need them."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real files and of RELION's own output; the test is skipped without it."""
    if not SHARED.is_dir():
        pytest.skip("the folder ../shared with real and golden files is not there")
    return SHARED


@pytest.fixture
def golden(shared: Path) -> Path:
    """What RELION 4.0.1 made of small IMOD projects."""
    return shared / "golden" / "imod_import"
