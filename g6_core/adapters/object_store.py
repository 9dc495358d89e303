"""Stores of whole objects by key: a folder, or a bucket of an S3-compatible service.

S3 is spoken by pyarrow, which is imported when a bucket is opened: it weighs 25 MB, and nothing else of a day needs it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from g6_core.adapters.files import write_atomic
from g6_core.domain.errors import ConfigError, DataError, StoreDown

if TYPE_CHECKING:
    from g6_core.config_schema import ArchiveSettings

KEY_VARIABLE, SECRET_VARIABLE, SESSION_VARIABLE = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"
CONNECT_TIMEOUT_S, REQUEST_TIMEOUT_S = 5.0, 60.0
ATTEMPTS_MAX = 4


class ObjectStore(Protocol):
    """Objects by key. An object is there as a whole or not at all."""

    @property
    def label(self) -> str:
        """Where it is, for people."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Create or replace an object. Raises StoreDown, ConfigError or DataError."""
        ...

    def get(self, key: str) -> bytes | None:
        """The object; None when there is none. Errors as `put`."""
        ...


class FolderStore:
    """Objects as files below a folder of this machine, or of one that is mounted."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def label(self) -> str:
        """The folder."""
        return str(self._root)

    def put(self, key: str, data: bytes) -> None:
        """Write a file as a whole. DataError when it cannot be written."""
        write_atomic(self._root / key, data)

    def get(self, key: str) -> bytes | None:
        """Read a file. DataError when it cannot be read."""
        try:
            return (self._root / key).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DataError(f"cannot read {self._root / key}: {error.strerror}; make the archive readable") from error


class BucketStore:
    """Objects in a bucket, below a prefix."""

    def __init__(self, settings: "ArchiveSettings") -> None:
        """Raises ConfigError for missing keys or a missing bucket, StoreDown when nobody answers."""
        self._settings = settings
        self._base = "/".join(part for part in (settings.bucket, settings.prefix) if part)
        self._files = self._opened()

    @property
    def label(self) -> str:
        """Address, bucket and prefix."""
        return f"{self._settings.url}/{self._base}"

    def put(self, key: str, data: bytes) -> None:
        """Upload; what is cut off on the way does not exist."""
        with self._failing(), self._files.open_output_stream(f"{self._base}/{key}") as stream:
            stream.write(data)

    def get(self, key: str) -> bytes | None:
        """Download."""
        try:
            with self._failing(), self._files.open_input_stream(f"{self._base}/{key}") as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None

    def _opened(self) -> Any:
        from pyarrow import fs

        key, secret = os.environ.get(KEY_VARIABLE), os.environ.get(SECRET_VARIABLE)
        if not (key and secret):
            raise ConfigError(f"the archive at {self.label} needs {KEY_VARIABLE} and {SECRET_VARIABLE}; set both")
        address = urlsplit(self._settings.url)
        with self._failing():
            files = fs.S3FileSystem(
                access_key=key,
                secret_key=secret,
                session_token=os.environ.get(SESSION_VARIABLE),
                region=self._settings.region,
                scheme=address.scheme,
                endpoint_override=address.netloc,
                connect_timeout=CONNECT_TIMEOUT_S,
                request_timeout=REQUEST_TIMEOUT_S,
                retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS_MAX),
            )
            there = files.get_file_info(self._settings.bucket).type != fs.FileType.NotFound
        if not there:
            raise ConfigError(
                f"{self._settings.url}: no bucket {self._settings.bucket}; create it or correct archive.bucket"
            )
        return files

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """What the service says, as an error that somebody can act on."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            said = " ".join(str(error).split())
            if any(word in said for word in ("ACCESS_DENIED", "INVALID_ACCESS_KEY", "SIGNATURE", "HTTP status 403")):
                raise ConfigError(
                    f"the archive at {self.label} refuses us: check {KEY_VARIABLE}, {SECRET_VARIABLE} and their rights"
                ) from error
            raise StoreDown(f"the archive at {self.label} does not work: {said[:200]}; try again later") from error


def open_store(settings: "ArchiveSettings") -> ObjectStore:
    """The configured store. Errors as the constructors'."""
    if settings.url.startswith("file:"):
        folder = Path(unquote(urlsplit(settings.url).path))
        return FolderStore(folder / settings.bucket / settings.prefix)
    return BucketStore(settings)
