"""What several classes are: something to close at the end of a `with` block."""

from typing import Self


class Closeable:
    """Closes itself when its `with` block ends."""

    def close(self) -> None:
        """Let go of what is held."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
