"""The Influx client against a real influxd: what is written reads back, and each failure says what to do."""

import gzip
from collections.abc import Iterator

import pytest

from g6_core.adapters.influx import BeyondRetention, Influx, InfluxTarget, RefusedByInflux, TooLarge
from g6_core.config_schema import InfluxSettings
from g6_core.domain.errors import ConfigError, StoreDown
from tests.servers import InfluxBox, InfluxProxy, free_port

TIME_MS = 1_756_439_100_000
LINE = f'options,index=NIFTY,offset=-1 call_ltp=12.05,call_oi=75i,call_symbol="NIFTY25" {TIME_MS}'.encode()


def client(influx: InfluxBox, **changed: str) -> Influx:
    target = influx.target
    known = {"url": target.url, "org": target.org, "bucket": target.bucket, "token": target.token}
    return Influx(InfluxTarget(**(known | changed)))


def test_a_point_reads_back_and_is_overwritten_by_the_same_series_and_time(influx: InfluxBox) -> None:
    with client(influx) as one:
        one.write(LINE)
        one.write(LINE.replace(b"12.05", b"12.1"))
        (series,) = one.query("SELECT * FROM options WHERE \"offset\" = '-1'")
    assert [dict(zip(series.columns, row, strict=True)) for row in series.rows] == [
        {
            "time": TIME_MS,
            "call_ltp": 12.1,
            "call_oi": 75,
            "call_symbol": "NIFTY25",
            "index": "NIFTY",
            "offset": "-1",
        }
    ]


def test_a_request_is_compressed(influx: InfluxBox) -> None:
    lines = b"\n".join(LINE.replace(b"offset=-1", f"offset={offset}".encode()) for offset in range(100))
    with client(influx) as one:
        one.write(lines)
    ((path, headers, size),) = influx.proxy.requests
    assert path.startswith("/api/v2/write?")
    assert headers["Content-Encoding"] == "gzip"
    assert size <= len(gzip.compress(lines)) + 32 < len(lines) / 5


def test_a_retention_policy_is_part_of_the_bucket(influx: InfluxBox) -> None:
    bucket = f"{influx.target.bucket}/autogen"
    with client(influx, bucket=bucket) as one:
        one.write(LINE)
        assert len(one.query("SELECT call_ltp FROM options")) == 1
    with client(influx, bucket=f"{influx.target.bucket}/nobody") as other, pytest.raises(ConfigError, match="bucket"):
        other.write(LINE)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"token": "g6:wrong"}, r"^G6_INFLUX_TOKEN: http://127\.0\.0\.1:\d+ refuses it \(.*\); set a token that may"),
        ({"token": ""}, r"^G6_INFLUX_TOKEN: .* refuses it"),
        ({"bucket": "nobody"}, r"^influx\.bucket: .* has no nobody \(.*\); create it or correct the name"),
    ],
    ids=["wrong token", "no token", "unknown bucket"],
)
def test_a_refusal_names_the_setting_in_one_line(influx: InfluxBox, changed: dict[str, str], said: str) -> None:
    with client(influx, **changed) as one:
        for ask in (lambda: one.write(LINE), lambda: one.query("SELECT call_ltp FROM options")):
            with pytest.raises(ConfigError, match=said) as caught:
                ask()
            assert "\n" not in str(caught.value)
            assert not isinstance(caught.value, RefusedByInflux)


@pytest.mark.parametrize("lines", [b"no line at all", LINE.replace(b"call_oi=75i", b"call_oi=75.5")])
def test_points_that_do_not_belong_there_are_refused(influx: InfluxBox, lines: bytes) -> None:
    with client(influx) as one:
        one.write(LINE)
        with pytest.raises(RefusedByInflux, match="refused what it was sent"):
            one.write(lines)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_is_ill_is_down(influx: InfluxBox, status: int) -> None:
    influx.proxy.status = status
    with client(influx) as one:
        for ask in (lambda: one.write(LINE), lambda: one.query("SELECT call_ltp FROM options")):
            with pytest.raises(StoreDown, match=f"answered {status}: made to fail"):
                ask()


def test_a_server_that_is_away_or_hangs_is_down(influx: InfluxBox) -> None:
    with client(influx, url=f"http://127.0.0.1:{free_port()}") as nobody:
        for ask in (lambda: nobody.write(LINE), lambda: nobody.query("SHOW MEASUREMENTS")):
            with pytest.raises(StoreDown, match="does not answer"):
                ask()
    influx.proxy.delay_s = 7
    with client(influx) as slow, pytest.raises(StoreDown, match="does not answer"):
        slow.write(LINE)


def test_an_answer_that_is_no_data_is_a_server_that_is_ill(influx: InfluxBox) -> None:
    influx.proxy.status = 200
    with client(influx) as one, pytest.raises(StoreDown, match="something else than data"):
        one.query("SELECT call_ltp FROM options")


@pytest.fixture
def front() -> Iterator[InfluxProxy]:
    """Something that answers at the address, whatever it is."""
    proxy = InfluxProxy(0)
    proxy.start()
    yield proxy
    proxy.stop()


PAGE = b"<!doctype html><html><head><title>Log in</title></head><body>...</body></html>"
OLD_1 = b'{"error":"partial write: points beyond retention policy dropped=3"}'
OLD_2 = (
    b'{"code":"unprocessable entity","message":"failure writing points to database: partial write: dropped 3 points '
    b'outside retention policy of duration 24h0m0s - oldest point o,offset=1 at 2025-08-29T04:00:00Z"}'
)


@pytest.mark.parametrize(
    ("status", "body", "error", "said"),
    [
        (422, OLD_2, BeyondRetention, "keeps nothing so old"),
        (400, OLD_1, BeyondRetention, "keeps nothing so old"),
        (500, OLD_1, BeyondRetention, "keeps nothing so old"),
        (413, PAGE, TooLarge, "no request of this size (a page: Log in)"),
        (200, PAGE, StoreDown, "answered a write with 200 instead of 204"),
        (202, b"", StoreDown, "202 instead of 204"),
        (502, PAGE, StoreDown, "answered 502: a page: Log in"),
        (400, b'{"error":"field type conflict: input field"}', RefusedByInflux, "nothing of another program"),
    ],
)
def test_each_answer_to_a_write_is_named_for_what_it_is(
    front: InfluxProxy, status: int, body: bytes, error: type[Exception], said: str
) -> None:
    front.status, front.body = status, body
    with Influx(InfluxTarget(front.url, "g6", "g6", "me:x")) as one, pytest.raises(error) as caught:
        one.write(LINE)
    assert type(caught.value) is error and said in str(caught.value) and "\n" not in str(caught.value)


def test_the_token_comes_from_the_environment_and_is_not_shown() -> None:
    settings = InfluxSettings(enabled=True, url="http://127.0.0.1:8086/"[:-1], org="g6", bucket="g6/year")
    target = InfluxTarget.of(settings, {"G6_INFLUX_TOKEN": "me:hidden"})
    assert (target.token, target.database, target.policy) == ("me:hidden", "g6", "year")
    assert "hidden" not in repr(target)
    assert InfluxTarget.of(settings, {}).token == ""
