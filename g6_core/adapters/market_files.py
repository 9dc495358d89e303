"""The files of `config/market`, read once, with the hash of what they say (not of how they are written)."""

import json
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from g6_core.config_yaml import read_yaml, validate

M = TypeVar("M", bound=BaseModel)


class MarketFiles:
    """Reads the market files of a folder, and remembers what they said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seen: dict[str, object] = {}

    def read(self, name: str, model: type[M]) -> M:
        """Return a file as `model`; ConfigError with one line per problem."""
        file = self.folder / name
        parsed = validate(model, read_yaml(file), file)
        self._seen[name] = parsed.model_dump(mode="json", by_alias=True)
        return parsed

    def path(self, name: str) -> str:
        """Return where a file lies, for messages."""
        return str(self.folder / name)

    def sha256(self) -> str:
        """Return the hash of everything that was read."""
        return sha256(json.dumps(self._seen, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
