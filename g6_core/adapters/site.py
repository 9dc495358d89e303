"""Reads an installation: its settings and market rules beside its data directory."""

from pathlib import Path

from g6_core.adapters.market_rules import load_market_rules
from g6_core.config import load_settings
from g6_core.schema.paths import DataPaths
from g6_core.site import Site


def open_site(data_dir: Path, config_dir: Path) -> Site:
    """Return the installation of these folders. ConfigError, naming file, key and fix, when one is wrong."""
    return Site(load_settings(config_dir), load_market_rules(config_dir), DataPaths(data_dir))
