"""What historical candles are read off: the series of every source says what its quotes say."""

from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from g6_core.adapters.market_rules import load_market_rules
from g6_core.domain.calendar import MarketRules
from g6_core.domain.ist import MINUTE_MS, SECOND_MS, at, ist_text, to_ms
from g6_core.sim.clock import VirtualClock
from g6_core.sim.exchange import Exchange
from g6_core.sim.historical import Window, recorded_minutes, told_spans
from g6_core.sim.modelled import ModelledSource
from g6_core.sim.recorded import RecordedSource
from g6_core.sim.scripted import ScriptedSource
from g6_core.sim.source import MarketSource, asked_one_by_one
from tests.conftest import PROJECT

DAY = date(2025, 8, 29)
FIELDS = ["token", "exchange_ms", "ltp_paise", "volume", "oi"]


@pytest.fixture(params=["recorded", "modelled", "scripted"])
def source(request: pytest.FixtureRequest, rules: MarketRules) -> MarketSource:
    if request.param == "recorded":
        shared: Path = request.getfixturevalue("shared_data")
        return RecordedSource(shared / "nse-chain-20250829" / "NIFTY.parquet", rules)
    if request.param == "modelled":
        return ModelledSource(("NIFTY",), DAY, rules, seed=3)
    open_ms = rules.session(DAY, "NFO").open_ms
    return ScriptedSource.of("NIFTY", DAY, rules, spot_path=((open_ms, 24_512_35),))


def test_a_series_says_what_the_quotes_say_at_each_moment(source: MarketSource) -> None:
    session, rows = source.session, source.instruments.rows
    # Before the open, the first minutes, a middle, and over the close; the index, the money, the edge, a foreigner.
    spans = (
        range(session.open_ms - 5 * SECOND_MS, session.open_ms + 5 * MINUTE_MS, SECOND_MS),
        range(session.open_ms + 180 * MINUTE_MS + 500, session.open_ms + 183 * MINUTE_MS, 7 * SECOND_MS),
        range(session.close_ms - MINUTE_MS, session.close_ms + MINUTE_MS, SECOND_MS),
    )
    traded = False
    for token in (rows[0].token, rows[len(rows) // 8].token, rows[len(rows) // 2].token, rows[-1].token, 1):
        for moments in spans:
            series, asked = source.series(token, moments)[FIELDS], asked_one_by_one(source, token, moments)[FIELDS]
            assert np.array_equal(series, asked), (token, moments)
            traded |= bool(series["volume"].any())
    assert traded


# A made recording of Kite snapshots

MADE_DAY, EXPIRY = date(2026, 3, 10), date(2026, 3, 30)
SESSION = at(MADE_DAY, time(9, 15)), at(MADE_DAY, time(15, 30))


def recording(folder: Path, rules: MarketRules, seconds: list[int], without: tuple[int, ...] = ()) -> RecordedSource:
    """Snapshots so many seconds after the open, in each of which 100 lots more have traded; the strike at 24,500 is
    missing `without`."""
    rows = [
        {"symbol": "NIFTY", "expiry": str(EXPIRY), "strike": float(strike), "spot": 24_480.5}
        | {f"{side}_{name}": value for side in ("ce", "pe") for name, value in figures.items()}
        | {"timestamp": ist_text(SESSION[0] + 1_000 * second)}
        for place, second in enumerate(seconds)
        for figures in ({"ltp": 200.0 + place, "oi": 6_500, "volume": 65 * 100 * (place + 1)},)
        for strike in range(24_400, 24_650, 50)
        if strike != 24_500 or second not in without
    ]
    path = folder / "made.parquet"
    pl.DataFrame(rows).write_parquet(path)
    return RecordedSource(path, rules)


def asked(source: RecordedSource, strike: int = 24_500, interval: str = "minute") -> tuple[dict[int, list[Any]], int]:
    """The candles of a call by minute of the day, and how many minutes the answer says were recorded."""
    token = next(row.token for row in source.instruments if row.strike_paise == 100 * strike)
    clock = VirtualClock(SESSION[1] + 60 * MINUTE_MS)
    exchange = Exchange(source, RULES, clock, seed=1, cash_paise=1_000_00, order_latency_ms=0, latency_jitter_ms=0)
    answer = exchange.candles(token, Window(interval, at(MADE_DAY, time()), SESSION[1], with_oi=True))
    minute = {(to_ms(datetime.fromisoformat(one[0])) - SESSION[0]) // MINUTE_MS: one for one in answer["candles"]}
    spans = [[to_ms(datetime.fromisoformat(stamp)) for stamp in span] for span in answer["recorded"]]
    return minute, sum((last - first) // MINUTE_MS + 1 for first, last in spans)


ONCE_A_MINUTE = range(5, 22_500, 60)
RULES = load_market_rules(PROJECT / "config")


@pytest.mark.parametrize(
    ("seconds", "known"),
    [
        # Once a minute, five seconds past: of the last minute the end was not seen.
        (ONCE_A_MINUTE, range(374)),
        ([*ONCE_A_MINUTE, 22_505], range(375)),
        # A silence from 10:00:05 to 10:20:05, a stop at 13:30, a late start: what is beside it is not known either.
        ([n for n in ONCE_A_MINUTE if not 2_705 < n < 3_905], [*range(45), *range(66, 374)]),
        ([n for n in ONCE_A_MINUTE if n < 15_300], range(254)),
        ([n for n in ONCE_A_MINUTE if n > 600], range(11, 374)),
        # Every five minutes nothing is known; nor every two, though the quotes move between such snapshots.
        (range(0, 22_500, 300), []),
        (range(0, 22_500, 120), []),
        (range(0, 22_600, 65), range(375)),
        (range(0, 22_600, 90), range(375)),
    ],
    ids=["minutes", "to the end", "silence", "stops", "starts late", "5 min", "2 min", "65 s", "90 s"],
)
def test_a_recording_has_candles_of_the_minutes_that_it_knows_and_says_which(
    tmp_path: Path, rules: MarketRules, seconds, known
) -> None:
    candles, recorded = asked(recording(tmp_path, rules, [*seconds]))
    assert recorded == len(known) and sorted(candles) == [*known], "something was traded in each"
    # No growth of a silence in the candle of its last minute.
    assert all(candle[5] <= 65 * 100 * 3 for candle in candles.values())


def test_a_contract_that_vanishes_is_not_known_while_the_others_are(tmp_path: Path, rules: MarketRules) -> None:
    away = tuple(n for n in ONCE_A_MINUTE if 3_600 <= n < 4_800)
    source = recording(tmp_path, rules, [*ONCE_A_MINUTE], away)
    assert asked(source, 24_550)[1] == 374
    candles, recorded = asked(source)
    assert recorded == len(candles) == 374 - 22 and not set(range(59, 81)) & set(candles)


def test_longer_candles_need_all_their_minutes_and_that_of_the_day_none(tmp_path: Path, rules: MarketRules) -> None:
    source = recording(tmp_path, rules, [n for n in ONCE_A_MINUTE if not 2_705 < n < 3_905])
    assert sorted(asked(source, interval="5minute")[0])[:12] == [*range(0, 45, 5), *range(70, 85, 5)]
    (whole,) = asked(source, interval="day")[0].values()
    assert whole[5] == 65 * 100 * 356


def test_what_is_to_come_is_not_told(tmp_path: Path, rules: MarketRules) -> None:
    source = recording(tmp_path, rules, [*ONCE_A_MINUTE])
    assert told_spans(recorded_minutes(source, source.instruments.rows[0].token) or (), SESSION[0] + 90_000) == [
        ["2026-03-10T09:15:00+0530", "2026-03-10T09:16:00+0530"]
    ]


def test_a_market_without_silences_does_not_speak_of_any(rules: MarketRules) -> None:
    source = ModelledSource(("NIFTY",), DAY, rules, seed=3)
    assert recorded_minutes(source, source.instruments.rows[1].token) is None


def changed(source: RecordedSource, folder: Path, rules: MarketRules, *columns: pl.Expr) -> RecordedSource:
    """The made recording with other columns."""
    path = folder / "made.parquet"
    pl.read_parquet(path).with_columns(*columns).write_parquet(path)
    return RecordedSource(path, rules)


NONE = pl.lit(None, pl.Int64)


@pytest.mark.parametrize(
    ("columns", "calls_minutes", "puts_minutes"),
    [
        ([NONE.alias("ce_volume"), NONE.alias("pe_volume")], 0, 0),
        ([NONE.alias("pe_volume")], 374, 0),
        # One contract that never trades is silent, not unknown.
        ([pl.when(pl.col("strike") == 24_500).then(0).otherwise("ce_volume").alias("ce_volume")], 374, 374),
    ],
    ids=["no volume", "none of the puts", "one contract zero"],
)
def test_a_recording_without_volume_knows_no_silence(
    tmp_path: Path, rules: MarketRules, columns, calls_minutes, puts_minutes
) -> None:
    source = changed(recording(tmp_path, rules, [*ONCE_A_MINUTE]), tmp_path, rules, *columns)
    for side, minutes in (("CE", calls_minutes), ("PE", puts_minutes)):
        (row,) = (one for one in source.instruments if one.strike_paise == 24_500_00 and one.instrument_type == side)
        spans = source.recorded_minutes(row.token)
        assert sum((last - first) // MINUTE_MS + 1 for first, last in spans) == minutes
    assert source.recorded_minutes(source.instruments.rows[0].token), "the index has none and needs none"


def test_volume_that_is_away_for_a_while_leaves_these_minutes_unknown(tmp_path: Path, rules: MarketRules) -> None:
    away = pl.col("timestamp").is_between(pl.lit("2026-03-10 09:15"), pl.lit("2026-03-10 09:25"))
    source = recording(tmp_path, rules, [*ONCE_A_MINUTE])
    first = pl.when(away).then(None).otherwise("ce_volume").alias("ce_volume")
    candles, recorded = asked(changed(source, tmp_path, rules, first))
    assert recorded == len(candles) == 374 - 11 and min(candles) == 11


@pytest.mark.parametrize(("hangs", "lost"), [(None, 15), (24_500, 0)], ids=["the chain", "one contract"])
def test_a_source_that_hangs_is_no_silence(tmp_path: Path, rules: MarketRules, hangs: int | None, lost: int) -> None:
    """From 09:20:05 to 09:33:05 every snapshot is the same; at 09:34:05 comes what was traded meanwhile."""
    source = recording(tmp_path, rules, [*ONCE_A_MINUTE])
    place = (pl.col("timestamp").rank("dense") - 1).cast(pl.Int64)
    still = place.is_between(5, 18) & (True if hangs is None else pl.col("strike") == hangs)
    figures = [
        pl.when(still).then(value).otherwise(f"{side}_{name}").alias(f"{side}_{name}")
        for side in ("ce", "pe")
        for name, value in (("ltp", 205.0), ("volume", 65 * 100 * 6))
    ]
    source = changed(source, tmp_path, rules, *figures)
    candles, recorded = asked(source)
    assert recorded == 374 - lost
    if lost:
        assert not {*range(5, 20)} & {*candles} and all(one[5] <= 65 * 100 * 3 for one in candles.values())


def test_the_chain_stands_still_until_the_open_and_that_is_no_silence(tmp_path: Path, rules: MarketRules) -> None:
    source = recording(tmp_path, rules, [-120, -60, 0, *range(60, 22_500, 60)])
    early = [pl.when(pl.col("timestamp") <= "2026-03-10 09:15").then(0).otherwise(f"{side}_volume")
             .alias(f"{side}_volume") for side in ("ce", "pe")]  # fmt: skip
    prices = [pl.when(pl.col("timestamp") <= "2026-03-10 09:15").then(200.0).otherwise(f"{side}_ltp")
              .alias(f"{side}_ltp") for side in ("ce", "pe")]  # fmt: skip
    candles, _ = asked(changed(source, tmp_path, rules, *early, *prices))
    assert min(candles) == 0


@pytest.mark.parametrize("emptied", [("CALLS", "PUTS"), ("PUTS",)])
def test_a_side_whose_volume_is_0_all_day_was_not_recorded(
    shared_data: Path, tmp_path: Path, rules: MarketRules, emptied: tuple[str, ...]
) -> None:
    path = tmp_path / "NIFTY.parquet"
    rows = pl.scan_parquet(shared_data / "nse-chain-20250829" / "NIFTY.parquet").filter(
        pl.col("coll_ts").dt.date() == DAY, pl.col("coll_ts").dt.time().is_between(time(10), time(10, 20))
    )
    rows.with_columns(pl.lit(0).alias(f"{side}_Volume") for side in emptied).collect().write_parquet(path)
    source = RecordedSource(path, rules)
    known = {row.instrument_type for row in source.instruments if source.recorded_minutes(row.token)}
    assert known == {"EQ", "CE", "PE"} - {{"CALLS": "CE", "PUTS": "PE"}[side] for side in emptied}
