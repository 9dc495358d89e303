"""What the tests of commands share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def chain(shared_data: Path) -> Path:
    """The recorded NIFTY session."""
    return shared_data / "nse-chain-20250829" / "NIFTY.parquet"
