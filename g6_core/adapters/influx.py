"""InfluxDB by the one pair of interfaces that 1.8, 2.x and 3.x share: `/api/v2/write` and InfluxQL's `/query`."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

import msgspec
import requests
from urllib3.exceptions import HTTPError

from g6_core.adapters.closeable import Closeable
from g6_core.config_schema import InfluxSettings
from g6_core.domain.errors import ConfigError, StoreDown

TOKEN_VARIABLE: Final = "G6_INFLUX_TOKEN"
WRITE_TIMEOUT_S: Final = 2.0
QUERY_TIMEOUT_S: Final = 60.0
_SAID_CHARACTERS: Final = 200
_UNKNOWN = re.compile(r"(?i)(database|bucket|retention policy|dbrp)\b.* not found")
# 1.x says "points beyond retention policy", 2.x "points outside retention policy of duration 24h0m0s".
_TOO_OLD = re.compile(r"(?i)\b(beyond|outside)\b.{0,20}\bretention")
_CONFLICT = re.compile(r"(?i)\bconflict")
_TITLE = re.compile(r"(?is)<title[^>]*>(.*?)</title>")
_WRITTEN: Final = 204


class RefusedByInflux(ConfigError):
    """The server is there and lets us in, but does not do what it was asked."""


class BeyondRetention(RefusedByInflux):
    """Some of the points are older than what the bucket keeps; the others are written or not."""


class TooLarge(RefusedByInflux):
    """The request has more bytes than the server takes at once."""


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


class Influx(Closeable):
    """A client of one bucket. Connects when used; use as a context manager. Not for several threads at once.

    Every method raises StoreDown when the server is away, slow or ill (no answer, 408, 429, 5xx) or answers something
    else than InfluxDB does, and ConfigError, in one line that names the setting, when it refuses: RefusedByInflux when
    that is neither for token nor for bucket. Nothing is repeated here.
    """

    def __init__(self, target: InfluxTarget, *, query_timeout_s: float = QUERY_TIMEOUT_S) -> None:
        from influxdb_client.client.influxdb_client import InfluxDBClient
        from influxdb_client.service.write_service import WriteService

        self.target = target
        self._client = InfluxDBClient(
            target.url, target.token, org=target.org, timeout=round(WRITE_TIMEOUT_S * 1000), enable_gzip=True
        )
        # The write API above it does not tell the status, and a page of a proxy is no write.
        self._writer = WriteService(self._client.api_client)  # type: ignore[no-untyped-call]
        self._query_timeout_s = query_timeout_s
        self._session = requests.Session()
        # A proxy of the machine is for the world outside of it.
        self._session.trust_env = False
        if target.token:
            self._session.headers["Authorization"] = f"Token {target.token}"

    def write(self, lines: bytes) -> None:
        """Send lines with stamps in milliseconds, as one request. A point that is there already is overwritten.

        Also raises BeyondRetention and TooLarge.
        """
        from influxdb_client.rest import ApiException

        try:
            _, status, _ = self._writer.post_write_with_http_info(  # type: ignore[no-untyped-call]
                self.target.org,
                self.target.bucket,
                lines,
                precision="ms",
                content_type="text/plain; charset=utf-8",
            )
        except ApiException as error:
            raise self._answered(error.status or 0, error.body or error.reason) from error
        except (HTTPError, OSError) as error:
            raise self._silent(error) from error
        if status != _WRITTEN:
            raise StoreDown(
                f"influx: {self.target.url} answered a write with {status} instead of {_WRITTEN}, so nothing counts as "
                "written; is influx.url the address of InfluxDB itself?"
            )

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
        if _TOO_OLD.search(said):
            return BeyondRetention(f"influx.bucket: {self.target.label} keeps nothing so old ({said})")
        if status == 413:
            return TooLarge(
                f"influx: {self.target.url} takes no request of this size ({said}); raise max-body-size there"
            )
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
        advice = "; choose a bucket that holds nothing of another program" if _CONFLICT.search(said) else ""
        return RefusedByInflux(f"influx.bucket: {self.target.label} refused what it was sent ({said}){advice}")


def _message(body: object) -> str:
    """What a server says, in one short line; it says it as JSON or as text, and a proxy before it as a page."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
    if title := _TITLE.search(text):
        return f"a page: {' '.join(title[1].split())}"[:_SAID_CHARACTERS]
    try:
        known = msgspec.json.decode(text)
    except msgspec.DecodeError:
        known = None
    if isinstance(known, dict):
        text = str(known.get("error") or known.get("message") or text)
    return " ".join(text.split())[:_SAID_CHARACTERS]
