"""Points of an option chain to InfluxDB's line protocol: 672 points of 14 fields, against influxdb-client's ways."""

from argparse import Namespace
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from influxdb_client.client.write.dataframe_serializer import data_frame_to_list_of_points
from influxdb_client.client.write.point import Point
from influxdb_client.client.write_api import PointSettings
from influxdb_client.domain.write_precision import WritePrecision

from benchmarks.runner import Contender, named, pin, race, ratios, table
from g6_core.adapters.line_protocol import encode_lines

POINTS = 672
SEED = 20_250_829
TIME_MS = 1_756_439_100_000
TAGS = ("index", "expiry_code", "offset", "side")
PRICES = ("ltp", "bid", "ask", "average_price", "iv", "delta", "gamma", "theta", "vega")
COUNTS = ("bid_qty", "ask_qty", "volume", "oi")
FIELDS = (*PRICES, *COUNTS, "status")
SPEED_UP_MIN = 10.0

# Its methods have no types of their own.
_new_point: Callable[[str], Any] = Point
Parsed = dict[tuple[str, str], dict[str, object]]


def measure(options: Namespace) -> dict[str, Any]:
    """Time everybody; `agree` says that all make the same points, parsed."""
    core = pin()
    contenders = _contenders(42 if options.small else POINTS)
    made = {one.name: parsed(str(one.work())) for one in contenders}
    ours = next(made[one.name] for one in contenders if one.ours)
    timings = race(contenders, options.rounds)
    point, frame = (one.name for one in contenders if not one.ours)
    return {
        "core": core,
        "rounds": options.rounds,
        "points": len(ours),
        "fields": len(FIELDS),
        "contenders": [one.as_json() for one in timings],
        "speed_up": ratios(timings, [point]),
        "speed_up_dataframe": ratios(timings, [frame]),
        "target": SPEED_UP_MIN,
        "agree": len(ours) == contenders[0].items and all(one == ours for one in made.values()),
    }


def lines(result: dict[str, Any]) -> Iterable[str]:
    """The figures for people."""
    yield f"{result['points']} points of {result['fields']} fields and {len(TAGS)} tags"
    yield from table(result["contenders"])
    for name in ("speed_up", "speed_up_dataframe"):
        best = result[name]
        yield f"  {best['by_min']}x {best['against']}, {best['by_median']}x by median rounds"
    yield f"  all make the same points: {'yes' if result['agree'] else 'NO'}"


def chain(points: int) -> pl.DataFrame:
    """Made-up quotes of one cycle: both sides of some expiries of some indices, prices of two digits, greeks of six."""
    dice = np.random.Generator(np.random.Philox(SEED))
    place = np.arange(points)
    digits = dict.fromkeys(PRICES[:4], 2) | dict.fromkeys(PRICES[4:], 6)
    return pl.DataFrame(
        {
            "timestamp": pl.Series([TIME_MS] * points).cast(pl.Datetime("ms", "UTC")),
            "index": [("NIFTY", "BANKNIFTY", "FINNIFTY", "SENSEX")[one] for one in place // 168],
            "expiry_code": [("this_week", "next_week", "this_month", "next_month")[one % 4] for one in place // 42],
            "offset": [str(one) for one in place // 2 % 21 - 10],
            "side": [("call", "put")[one % 2] for one in place],
            **{name: np.round(dice.uniform(0, 1_000, points), digits[name]) for name in PRICES},
            **{name: dice.integers(0, 10_000_000, points) for name in COUNTS},
            "status": ["live"] * points,
        }
    )


def _contenders(points: int) -> list[Contender]:
    """Each begins with the rows in the form that suits it best and ends with one text of all lines."""
    frame = chain(points)
    # Its functions have no types of their own.
    to_lines: Callable[..., list[str]] = data_frame_to_list_of_points
    rows = frame.to_dicts()
    table_of = pd.DataFrame(frame.to_dict(as_series=False)).set_index("timestamp")
    settings = PointSettings()

    def ours() -> str:
        return encode_lines(frame, "options", TAGS, "timestamp")

    def by_point() -> str:
        return "\n".join(_point(row) for row in rows)

    def by_frame() -> str:
        made = to_lines(
            table_of,
            settings,
            precision=WritePrecision.MS,
            data_frame_measurement_name="options",
            data_frame_tag_columns=list(TAGS),
        )
        return "\n".join(made)

    client = named("influxdb-client")
    works: list[tuple[str, Callable[[], str], bool]] = [
        ("G6", ours, True),
        (f"{client} Point", by_point, False),
        (f"{client} DataFrame", by_frame, False),
    ]
    return [Contender(name, work, points, mine) for name, work, mine in works]


def _point(row: dict[str, Any]) -> str:
    point: Any = _new_point("options")
    for name in TAGS:
        point.tag(name, row[name])
    for name in FIELDS:
        point.field(name, row[name])
    return str(point.time(row["timestamp"], WritePrecision.MS).to_line_protocol())


def parsed(text: str) -> Parsed:
    """Lines as points: (sorted key, stamp) -> fields; nothing in this set needs escaping."""
    points: Parsed = {}
    for line in text.split("\n"):
        key, fields, stamp = line.split(" ")
        assert datetime.fromtimestamp(int(stamp) / 1000, UTC).year == 2025, stamp
        measurement, *tags = key.split(",")
        values: dict[str, object] = {}
        for one in fields.split(","):
            name, _, value = one.partition("=")
            values[name] = value if value[0] == '"' else int(value[:-1]) if value[-1] == "i" else float(value)
        points[",".join([measurement, *sorted(tags)]), stamp] = values
    return points
