"""One collector cycle, quotes in memory to the durable lake and 336 CSV files, beside pandas and a lock per file."""

import csv
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from benchmarks.runner import Contender, Timing, named, pin, race, ratios, table
from g6_core.adapters.csv_sink import CsvSink, option_line
from g6_core.adapters.kite_market import MarketQuote
from g6_core.adapters.lake import Lake, read_lake
from g6_core.domain.instruments import Instrument
from g6_core.domain.ist import MINUTE_MS, SECOND_MS, utc_text
from g6_core.domain.options import YEAR_MS, black76_price
from g6_core.domain.universe import Pair
from g6_core.schema.options import OPTION_COLUMNS, Kind, OptionRow, SpotKind
from g6_core.schema.paths import DataPaths
from g6_pipelines.collection.overview import overviews_of
from g6_pipelines.collection.rows import ExpiryView, Moment, Spot, forward_of, rows_of

DAY = date(2026, 9, 1)
FIRST_MS = 1_788_234_300_000
INDICES = {"NIFTY": 24_500, "BANKNIFTY": 54_000, "FINNIFTY": 26_000, "SENSEX": 80_000}
CODES = ("this_week", "next_week", "this_month", "next_month")
OFFSETS = tuple(range(-10, 11))
STEP = 50
DAY_MS = 1_440 * MINUTE_MS
SPEED_UP_MIN = 20.0


def measure(options: Namespace) -> dict[str, Any]:
    """Time the cycle; `agree` says that everybody wrote the same values."""
    core = pin()
    markets = [_Market.of(name, level, OFFSETS[9:12] if options.small else OFFSETS) for name, level in INDICES.items()]
    root = options.dir or Path.cwd()
    with tempfile.TemporaryDirectory(prefix="g6-benchmark-", dir=root) as folder, ExitStack() as opened:
        product = _Product(Path(folder) / "g6", markets, options.rounds + 1, opened)
        rows = product.rows(FIRST_MS)
        by_pandas = _Files(Path(folder) / "pandas", rows, _append_pandas)
        by_writer = _Files(Path(folder) / "writer", rows, _append_writer)
        contenders = [
            Contender("G6: IV, lake, CSV, overviews", product.cycle, len(rows), True),
            Contender(f"{named('pandas')} to_csv(mode='a') + FileLock", by_pandas.cycle, len(rows)),
            Contender("csv.writer + FileLock", by_writer.cycle, len(rows)),
        ]
        timings = race(contenders, options.rounds)
        agree = product.same_as(by_pandas) and product.same_as(by_writer)
    return {
        "core": core,
        "rounds": options.rounds,
        "files": len(rows),
        "contracts": 2 * len(rows),
        "contenders": [one.as_json() for one in timings],
        "speed_up": _against_pandas(timings),
        "absent": {},
        "target": SPEED_UP_MIN,
        "agree": agree,
    }


def lines(result: dict[str, Any]) -> Iterable[str]:
    """The figures for people."""
    yield f"one cycle of {result['contracts']} contracts into the lake and {result['files']} CSV files"
    yield from table(result["contenders"])
    best = result["speed_up"]
    yield f"  {best['by_min']}x {best['against']} ({best['by_median']}x by median); same values: {result['agree']}"


def _against_pandas(timings: Sequence[Timing]) -> dict[str, object]:
    return ratios(timings, [timings[1].name])


@dataclass(frozen=True, slots=True)
class _Market:
    """One index: its expiries by code, and the quotes of all of their contracts."""

    name: str
    spot: Spot
    pairs: Mapping[str, tuple[Pair, ...]]
    expiries: Mapping[str, date]
    prices: Mapping[str, float]

    @classmethod
    def of(cls, name: str, level: int, offsets: Sequence[int]) -> "_Market":
        expiries = {code: DAY + timedelta(days=7 * place) for place, code in enumerate(CODES)}
        pairs: dict[str, tuple[Pair, ...]] = {}
        prices: dict[str, float] = {}
        for code, expiry in expiries.items():
            found: list[Pair] = []
            for offset in offsets:
                strike = level + STEP * offset
                sides = [_contract(name, expiry, strike, kind) for kind in ("CE", "PE")]
                for side in sides:
                    years = ((expiry - DAY).days + 0.3) * DAY_MS / YEAR_MS
                    fair = black76_price(level + 3.0, strike, 0.11, years, 1.0, side.instrument_type == "CE")
                    prices[side.kite_key] = max(round(20 * fair) / 20, 0.1)
                found.append(Pair(offset, strike * 100, sides[0], sides[1]))
            pairs[code] = tuple(found)
        return cls(name, Spot(level + 3.0, SpotKind.INDEX.value), pairs, expiries, prices)

    def quotes(self, time_ms: int) -> dict[str, MarketQuote]:
        """Every contract, quoted within the last half minute."""
        return {
            key: MarketQuote(
                time_ms - place % 30 * SECOND_MS, price, price - 0.05, price + 0.05, 225, 450, 2_001_675, 514_350, price
            )
            for place, (key, price) in enumerate(self.prices.items())
        }

    def rows(self, quotes: Mapping[str, MarketQuote], moment: Moment) -> list[OptionRow]:
        """The product's rows of one cycle."""
        views: dict[str, ExpiryView | None] = {}
        for code, pairs in self.pairs.items():
            ends = FIRST_MS + (self.expiries[code] - DAY).days * DAY_MS + 375 * MINUTE_MS
            views[code] = ExpiryView(self.expiries[code], pairs, forward_of(pairs, quotes, moment), ends, ends)
        offsets = [pair.offset for pair in self.pairs[CODES[0]]]
        atm = round(self.spot.rupees / STEP) * STEP * 100
        return rows_of(self.name, views, offsets, DAY, atm, self.spot, quotes, moment)


def _contract(name: str, expiry: date, strike: int, kind: str) -> Instrument:
    symbol = f"{name}{expiry:%y%m%d}{strike}{kind}"
    return Instrument(
        token=abs(hash(symbol)) % 2**31, exchange_token=1, exchange="NFO", segment="NFO-OPT", tradingsymbol=symbol,
        underlying=name, instrument_type=kind, expiry=expiry, strike_paise=strike * 100, lot_size=75, tick_paise=5,
    )  # fmt: skip


class _Product:
    """The collector's own path, from quotes in memory."""

    def __init__(self, root: Path, markets: Sequence[_Market], cycles: int, opened: ExitStack) -> None:
        self._markets, self._times = markets, range(FIRST_MS, FIRST_MS + cycles * MINUTE_MS, MINUTE_MS)
        self._paths = DataPaths(root)
        self._lakes = {
            market.name: opened.enter_context(Lake.open(self._paths.lake(DAY, market.name), OPTION_COLUMNS))
            for market in markets
        }
        self._sink = CsvSink(self._paths, DAY)
        self._waiting = iter([(time_ms, [market.quotes(time_ms) for market in markets]) for time_ms in self._times])

    def rows(self, time_ms: int) -> list[OptionRow]:
        """All rows of a cycle."""
        moment = Moment(time_ms, MINUTE_MS)
        return [row for market in self._markets for row in market.rows(market.quotes(time_ms), moment)]

    def cycle(self) -> None:
        """Quotes in memory to lake and files, as the collect stage does it."""
        time_ms, quotes = next(self._waiting)
        rows: list[OptionRow] = []
        for market, quoted in zip(self._markets, quotes, strict=True):
            own = market.rows(quoted, Moment(time_ms, MINUTE_MS))
            self._lakes[market.name].append([row.cells() for row in own])
            rows += own
        self._sink.append(rows, overviews_of(rows))

    def same_as(self, others: "_Files") -> bool:
        """The first line of every file has the values of the other's, and the lake has all rows."""
        first = self.rows(FIRST_MS)
        for row in first:
            own = self._paths.csv_options(row.index, row.expiry_code, row.offset, DAY).read_text().splitlines()
            if own[1] != option_line(row) or not _equal(own[1].split(","), others.first_line(row)):
                return False
        lakes = (read_lake(self._paths.lake(DAY, market.name)) for market in self._markets)
        return sum(len(lake) for lake in lakes) == len(first) * len(self._times)


def _equal(own: Sequence[str], other: Sequence[str]) -> bool:
    """Numbers by value, to the decimals that ours have; the rest by text."""
    numbers = (Kind.RUPEES, Kind.NUMBER, Kind.COUNT)
    return len(own) == len(other) and all(
        (abs(float(one) - float(two)) < 1e-9 if one and two and kind in numbers else one == two)
        for one, two, kind in zip(own, other, OPTION_COLUMNS.values(), strict=True)
    )


def _append_pandas(path: Path, row: dict[str, object]) -> None:
    with FileLock(f"{path}.lock"):
        pd.DataFrame([row]).to_csv(path, mode="a", header=not path.exists(), index=False)


def _append_writer(path: Path, row: dict[str, object]) -> None:
    with FileLock(f"{path}.lock"):
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            if new:
                writer.writerow(row)
            writer.writerow(row.values())


@dataclass(slots=True)
class _Files:
    """The usual way: one row into each file under the file's own lock. The rows are ready: no IV, no lake, no fsync."""

    root: Path
    rows: Sequence[OptionRow]
    append: Callable[[Path, dict[str, object]], None]
    _times: "count[int]" = field(default_factory=lambda: count(FIRST_MS, MINUTE_MS))
    _ready: list[tuple[Path, dict[str, object]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        paths = DataPaths(self.root)
        for row in self.rows:
            path = paths.csv_options(row.index, row.expiry_code, row.offset, DAY)
            path.parent.mkdir(parents=True)
            cells = dict(zip(OPTION_COLUMNS, row.cells(), strict=True))
            cells["exchange_time"] = utc_text(row.exchange_ms or 0)
            self._ready.append((path, cells))

    def cycle(self) -> None:
        """One row more in every file."""
        stamp = utc_text(next(self._times))
        for path, cells in self._ready:
            cells["timestamp"] = stamp
            self.append(path, cells)

    def first_line(self, row: OptionRow) -> list[str]:
        """The cells of the first row of its file."""
        path = DataPaths(self.root).csv_options(row.index, row.expiry_code, row.offset, DAY)
        with path.open(newline="") as file:
            return list(csv.reader(file))[1]
