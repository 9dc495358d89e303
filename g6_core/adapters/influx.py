"""InfluxDB by the one pair of interfaces that 1.8, 2.x and 3.x share: `/api/v2/write` and InfluxQL's `/query`."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec
import requests
from urllib3.exceptions import HTTPError

from g6_core.config_schema import InfluxSettings
from g6_core.domain.errors import ConfigError, StoreDown

if TYPE_CHECKING:
    from influxdb_client.client.write_api import WriteApi

TOKEN_VARIABLE: Final = "G6_INFLUX_TOKEN"
WRITE_TIMEOUT_S: Final = 2.0
QUERY_TIMEOUT_S: Final = 60.0
_SAID_CHARACTERS: Final = 200
_UNKNOWN = re.compile(r"(?i)(database|bucket|retention policy|dbrp)\b.* not found")


class RefusedByInflux(ConfigError):
    """The server is there and lets us in, but does not do what it was asked."""


@dataclass(frozen=True, slots=True)
class InfluxTarget:
    """One bucket of one server. `database` and `policy` are the bucket's names in InfluxQL."""

    url: str
    org: str
    bucket: str
    token: str = field(default="", repr=False)

    @classmethod
    def of(cls, settings: InfluxSettings, environment: Mapping[str, str] | None = None) -> Self:
        """What the configuration names, with the token of the environment (of this process by default)."""
        known = os.environ if environment is None else environment
        return cls(settings.url.rstrip("/"), settings.org, settings.bucket, known.get(TOKEN_VARIABLE, ""))

    @property
    def database(self) -> str:
        """The bucket without its retention policy."""
        return self.bucket.partition("/")[0]

    @property
    def policy(self) -> str:
        """The retention policy; empty for the default one."""
        return self.bucket.partition("/")[2]

    @property
    def label(self) -> str:
        """``bucket at url``."""
        return f"{self.bucket} at {self.url}"


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an InfluxQL answer; times are integer milliseconds, `rows` are in the order of `columns`."""

    name: str
    tags: dict[str, str]
    columns: tuple[str, ...]
    rows: list[list[Any]]


class Influx:
    """A client of one bucket. Connects when used; use as a context manager. Not for several threads at once.

    Every method raises StoreDown when the server is away, slow or ill (no answer, 408, 429, 5xx), and ConfigError, in
    one line that names the setting, when it refuses: RefusedByInflux when that is neither for token nor for bucket.
    Nothing is repeated here.
    """

    def __init__(self, target: InfluxTarget, *, query_timeout_s: float = QUERY_TIMEOUT_S) -> None:
        from influxdb_client.client.influxdb_client import InfluxDBClient
        from influxdb_client.client.write_api import SYNCHRONOUS

        self.target = target
        self._client = InfluxDBClient(
            target.url, target.token, org=target.org, timeout=round(WRITE_TIMEOUT_S * 1000), enable_gzip=True
        )
        self._writer: WriteApi = self._client.write_api(write_options=SYNCHRONOUS)
        self._query_timeout_s = query_timeout_s
        self._session = requests.Session()
        # A proxy of the machine is for the world outside of it.
        self._session.trust_env = False
        if target.token:
            self._session.headers["Authorization"] = f"Token {target.token}"

    def write(self, lines: bytes) -> None:
        """Send lines with stamps in milliseconds, as one request. A point that is there already is overwritten."""
        from influxdb_client.rest import ApiException

        try:
            self._writer.write(self.target.bucket, record=lines, write_precision="ms")  # type: ignore[arg-type]
        except ApiException as error:
            raise self._answered(error.status or 0, error.body or error.reason) from error
        except (HTTPError, OSError) as error:
            raise self._silent(error) from error

    def query(self, text: str) -> list[Series]:
        """The series of one InfluxQL SELECT or SHOW statement."""
        return self._ask("GET", text)

    def execute(self, text: str) -> None:
        """Run one InfluxQL statement that changes something."""
        self._ask("POST", text)

    def close(self) -> None:
        """Drop the connections."""
        self._session.close()
        self._client.close()  # type: ignore[no-untyped-call]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, method: str, text: str) -> list[Series]:
        asked = {"db": self.target.database, "epoch": "ms", "q": text}
        if self.target.policy:
            asked["rp"] = self.target.policy
        try:
            answer = self._session.request(
                method, f"{self.target.url}/query", params=asked, timeout=self._query_timeout_s
            )
        except requests.RequestException as error:
            raise self._silent(error) from error
        if not answer.ok:
            raise self._answered(answer.status_code, answer.content)
        try:
            (result,) = msgspec.json.decode(answer.content)["results"]
            if "error" in result:
                raise self._answered(400, result["error"])
            return [
                Series(one["name"], one.get("tags", {}), tuple(one["columns"]), one.get("values", []))
                for one in result.get("series", ())
            ]
        except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
            raise StoreDown(f"influx: {self.target.label} answered a query with something else than data") from error

    def _silent(self, error: Exception) -> StoreDown:
        return StoreDown(f"influx: {self.target.url} does not answer ({type(error).__name__})")

    def _answered(self, status: int, body: object) -> StoreDown | ConfigError:
        """The error for an answer that is not success."""
        said = _message(body)
        unknown = status == 404 or _UNKNOWN.search(said)
        if not unknown and (status in (408, 429) or not 400 <= status < 500):
            return StoreDown(f"influx: {self.target.url} answered {status}: {said}")
        if status in (401, 403):
            return ConfigError(
                f"{TOKEN_VARIABLE}: {self.target.url} refuses it ({said}); "
                f"set a token that may read and write {self.target.bucket}"
            )
        if unknown:
            return ConfigError(
                f"influx.bucket: {self.target.url} has no {self.target.bucket} ({said}); create it or correct the name"
            )
        return RefusedByInflux(
            f"influx.bucket: {self.target.label} refused what it was sent ({said}); "
            "choose a bucket that holds nothing of another program"
        )


def _message(body: object) -> str:
    """What a server says, in one short line; it says it as JSON or as text."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
    try:
        known = msgspec.json.decode(text)
    except msgspec.DecodeError:
        known = None
    if isinstance(known, dict):
        text = str(known.get("error") or known.get("message") or text)
    return " ".join(text.split())[:_SAID_CHARACTERS]
