"""Line protocol of frames: by hand where it is odd, equal to influxdb-client's own, and read back by a real influxd."""

import math
from datetime import date

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from influxdb_client import Point

from g6_core.adapters.influx import Influx
from g6_core.adapters.line_protocol import encode_lines
from tests.servers import InfluxBox

TIMES = pl.Datetime("ms", "UTC")
TIME_MS = 1_756_439_100_000


def lines(columns: dict[str, object], tags: tuple[str, ...] = ("index",), **kinds: pl.DataType) -> list[str]:
    frame = pl.DataFrame({"t": [TIME_MS], "index": ["NIFTY"]} | columns, schema_overrides={"t": TIMES, **kinds})
    return encode_lines(frame, "options", tags, "t").split("\n")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"ltp": [12.05]}, "ltp=12.05"),
        ({"ltp": [100.0]}, "ltp=100.0"),
        ({"ltp": [0.1 + 0.2]}, "ltp=0.30000000000000004"),
        ({"oi": [75]}, "oi=75i"),
        ({"oi": [-1]}, "oi=-1i"),
        ({"live": [True]}, "live=true"),
        ({"expiry": [date(2025, 9, 2)]}, 'expiry="2025-09-02"'),
        ({"symbol": ["NIFTY 25"]}, 'symbol="NIFTY 25"'),
        ({"symbol": ['say "so", a\\b=c']}, r'symbol="say \"so\", a\\b=c"'),
        ({"symbol": [""]}, 'symbol=""'),
        ({"symbol": ["क₹"]}, 'symbol="क₹"'),
        ({"a": [1.5], "b": pl.Series([None], dtype=pl.Int64), "c": ["x"]}, 'a=1.5,c="x"'),
        ({"a": [math.nan], "b": [math.inf], "c": [-math.inf], "d": [2.5]}, "d=2.5"),
    ],
)
def test_a_field_is_written_as_its_type(columns: dict[str, object], said: str) -> None:
    assert lines(columns) == [f"options,index=NIFTY {said} {TIME_MS}"]


def test_another_time_is_milliseconds() -> None:
    assert lines({"at": [TIME_MS - 1]}, at=TIMES) == [f"options,index=NIFTY at={TIME_MS - 1}i {TIME_MS}"]


def test_a_row_without_any_field_is_no_point() -> None:
    frame = pl.DataFrame({"t": [1, 2], "index": ["A", "B"], "v": [None, 3.5]}, schema_overrides={"t": TIMES})
    assert encode_lines(frame, "m", ("index",), "t") == "m,index=B v=3.5 2"


@pytest.mark.parametrize(
    ("tag", "written"),
    [("a b", r",tag=a\ b"), ("a,b=c", r",tag=a\,b\=c"), ("", ""), (None, ""), ('"q"', ',tag="q"')],
)
def test_a_tag_value_is_escaped_and_an_empty_one_left_out(tag: str | None, written: str) -> None:
    columns = {"tag": pl.Series([tag], dtype=pl.String), "v": [1]}
    assert lines(columns, ("index", "tag")) == [f"options,index=NIFTY{written} v=1i {TIME_MS}"]
    assert lines({**columns, "index": [2.5]}, ("tag",)) == [f"options{written} index=2.5,v=1i {TIME_MS}"]


def test_a_number_can_be_a_tag_and_there_may_be_none() -> None:
    assert lines({"offset": [-3], "v": [1]}, ("offset", "index")) == [f"options,offset=-3,index=NIFTY v=1i {TIME_MS}"]
    assert lines({"v": [1]}, ()) == [f'options index="NIFTY",v=1i {TIME_MS}']


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\n", exclude_categories=("Cs",)), max_size=8)
TAGS = st.text(st.sampled_from('ab ,="é'), max_size=6)
ROWS = st.lists(
    st.tuples(
        st.none() | TAGS,
        st.none() | TEXTS,
        st.none() | st.floats(allow_nan=False, allow_infinity=False),
        st.none() | st.integers(-(2**62), 2**62),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


def row_frame(rows: list[tuple[object, ...]]) -> pl.DataFrame:
    schema = {"tag": pl.String, "text": pl.String, "number": pl.Float64, "count": pl.Int64, "flag": pl.Boolean}
    times = pl.Series("t", range(1, len(rows) + 1)).cast(TIMES)
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(times)


@settings(max_examples=30)
@given(ROWS)
def test_every_row_is_the_point_that_the_client_library_makes_of_it(rows: list[tuple[object, ...]]) -> None:
    ours = encode_lines(row_frame(rows), "m", ("tag",), "t").split("\n")
    for number, ((tag, *values), line) in enumerate(zip(rows, ours, strict=True), start=1):
        point = Point("m").tag("tag", tag or None)
        for name, value in zip(("text", "number", "count", "flag"), values, strict=True):
            point.field(name, value)
        assert parsed(line) == parsed(point.time(number, "ms").to_line_protocol())


def parsed(line: str) -> tuple[str, dict[str, object], str]:
    """(key, fields, stamp) of a line; floats as floats, so that 1e+16 and 10000000000000000 are the same."""
    key, rest = split(line, " ")
    stamp = rest.rpartition(" ")[2]
    fields: dict[str, object] = {}
    left = rest.removesuffix(f" {stamp}")
    while left:
        one, left = split(left, ",")
        name, _, value = one.partition("=")
        fields[name] = value if value[0] in '"tf' or value.endswith("i") else float(value)
    return key, fields, stamp


def split(text: str, at: str) -> tuple[str, str]:
    """At the first `at` that is neither quoted nor escaped."""
    quoted = skip = False
    in_fields = at == ","
    for place, letter in enumerate(text):
        if skip:
            skip = False
        elif letter == "\\":
            skip = True
        elif letter == '"' and in_fields:
            quoted = not quoted
        elif letter == at and not quoted:
            return text[:place], text[place + 1 :]
    return text, ""


def test_a_real_influxd_reads_back_every_value(influx: InfluxBox) -> None:
    rows = [
        ("plain", "text", 0.1, 1, True),
        ("a b", 'q"u\\o', 1e-7, 2**62, False),
        ("c,d=e", "क ₹,=", 1e16, -(2**62), True),
        ("", "", -0.05, 0, False),
        ("nulls", None, None, None, True),
        ("x", "long" * 500, 123456789.123456789, 7, False),
        ("y", "t", 5e-324, 7, False),
        ("z", "t", 1.7976931348623157e308, 7, False),
    ]
    with Influx(influx.target) as one:
        one.write(encode_lines(row_frame(rows), "m", ("tag",), "t").encode())
        (series,) = one.query('SELECT "tag", "text", "number", "count", "flag" FROM m')
    assert [tuple(row[1:]) for row in series.rows] == [(row[0] or None, *row[1:]) for row in rows]
