"""Where a command finds its configuration when nobody says."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def config_dir_or_default(given: Path | None) -> Path:
    """`given`, else `config` in the current directory, else the configuration of the checkout that is installed."""
    if given is not None:
        return given
    here = Path("config")
    return here if here.is_dir() else PROJECT / "config"
