"""Recordings of other shapes: small files of other indices and dates, text columns, and everything that is refused."""

from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import CalendarError, DataError, UserError
from g6_core.domain.ist import at
from g6_core.sim.recorded import RecordedSource

DAY = date(2026, 1, 20)
EXPIRY = date(2026, 1, 27)
FIRST = datetime.combine(DAY, time(9, 20))
STRIKES = range(59_000, 61_001, 100)
SPOT = 60_013.5


def chain(
    *, name: str = "BANKNIFTY", first: datetime = FIRST, steps: tuple[int, ...] = (0, 60, 120), expiry: date = EXPIRY
) -> pl.DataFrame:
    """A chain that obeys parity: the forward rises 10 points a snapshot, every option has a market of one point."""
    rows: list[dict[str, Any]] = []
    for place, seconds in enumerate(steps):
        forward = SPOT + 10 * place
        stamp = (first + timedelta(seconds=seconds)).strftime("%Y%m%d_%H%M%S")
        for strike in STRIKES:
            row: dict[str, Any] = {"collection_timestamp": stamp, "index_name": name, "Strike_Price": strike}
            row["Expiry_Date"] = expiry.strftime("%d-%b-%Y")
            for side, sign in (("CALLS", 1), ("PUTS", -1)):
                price = 300 + max(0.0, sign * (forward - strike)) + 0.1 * place
                row |= {f"{side}_Bid_Price": round(price - 0.5, 1), f"{side}_Ask_Price": round(price + 0.5, 1)}
                row |= {f"{side}_LTP": round(price, 1), f"{side}_Bid_Qty": 90, f"{side}_Ask_Qty": 120}
                row |= {f"{side}_OI": 1000.0 + 10 * place, f"{side}_Volume": 50 + 30 * place}
            rows.append(row)
    return pl.DataFrame(rows)


def written(folder: Path, frame: pl.DataFrame) -> Path:
    path = folder / "chain.parquet"
    frame.write_parquet(path)
    return path


def token_of(source: RecordedSource, strike: int, side: str = "CE") -> np.ndarray[Any, np.dtype[np.int64]]:
    contract = source.instruments.option(source.underlyings[0], EXPIRY, strike * 100, side)
    assert contract is not None
    return np.array([contract.token], np.int64)


def test_another_index_on_another_date_has_its_own_lot_symbols_and_index_row(
    tmp_path: Path, rules: MarketRules
) -> None:
    source = RecordedSource(written(tmp_path, chain()), rules)
    lot = rules.lot_size("BANKNIFTY", DAY, EXPIRY)
    call = source.quotes(token_of(source, 60_000), at(DAY, time(9, 21)))[0]
    index = source.instruments.index("BANKNIFTY")

    assert (source.trade_date, source.underlyings) == (DAY, ("BANKNIFTY",))
    assert source.instruments.by_key("NFO:BANKNIFTY26JAN60000CE") is not None
    assert (call["oi"], call["volume"], call["bid_qty"][0]) == (1010 * lot, 80 * lot, 90)
    assert call["close_paise"] == 0, "no change column, no previous close"
    assert index is not None
    value = source.quotes(np.array([index.token]), at(DAY, time(9, 20)))[0]
    assert value["ltp_paise"] == pytest.approx(SPOT * 100, abs=5)


def test_columns_as_text_with_commas_dashes_and_other_dates_read_the_same(tmp_path: Path, rules: MarketRules) -> None:
    plain = chain()
    numbers = [name for name in plain.columns if name.startswith(("CALLS", "PUTS", "Strike"))]
    text = plain.with_columns(pl.col(numbers).cast(pl.String).str.replace(r"^(\d\d)(\d{3})", "$1,$2")).with_columns(
        pl.lit(" Nifty Bank ").alias("Symbol"),
        pl.lit(" 2026-01-27").alias("Expiry_Date"),
        pl.col("collection_timestamp").str.replace(r"(\d{4})(\d\d)(\d\d)_(\d\d)(\d\d)", "${1}-${2}-${3}T${4}:${5}:"),
        pl.when(pl.col("Strike_Price") == "59,000").then(pl.lit("-")).otherwise("CALLS_LTP").alias("CALLS_LTP"),
    )
    one = RecordedSource(written(tmp_path, plain), rules)
    moments = [at(DAY, time(9, 20)), at(DAY, time(9, 20, 30)), at(DAY, time(9, 22))]
    expected = [one.quotes(token_of(one, 60_000), moment).tobytes() for moment in moments]
    other = RecordedSource(written(tmp_path, text.drop("index_name")), rules)

    assert [other.quotes(token_of(other, 60_000), moment).tobytes() for moment in moments] == expected
    assert other.quotes(token_of(other, 59_000), moments[0])["ltp_paise"][0] == 0


def test_typed_dates_read_the_same_as_text(tmp_path: Path, rules: MarketRules) -> None:
    typed = chain().with_columns(
        pl.col("collection_timestamp").str.strptime(pl.Datetime("us"), "%Y%m%d_%H%M%S"),
        pl.lit(EXPIRY).alias("expiry"),
    )
    source = RecordedSource(written(tmp_path, typed.drop("Expiry_Date")), rules)
    assert source.snapshots_ms.tolist() == [at(DAY, time(9, 20)), at(DAY, time(9, 21)), at(DAY, time(9, 22))]
    assert source.instruments.expiries("BANKNIFTY") == (EXPIRY,)


@pytest.mark.parametrize(
    ("form", "zone"),
    [
        ("%Y-%m-%dT%H:%M:%S", "Z"),
        ("%Y-%m-%d %H:%M:%S.250", " UTC"),
        ("%Y%m%d_%H%M%S", "+00:00"),
        ("%Y-%m-%d %H:%M:%S", "+00"),
        ("%Y-%m-%dT%H:%M:%S.123456", "+0530"),
        ("%Y-%m-%dT%H:%M:%S", "-04:00"),
        ("%Y-%m-%d_%H-%M-%S", ""),
        ("%Y-%m-%d %H:%M:%S", " IST"),
    ],
)
def test_a_stamp_with_a_zone_is_that_moment_and_one_without_is_indian_time(
    tmp_path: Path, rules: MarketRules, form: str, zone: str
) -> None:
    away = {"Z": 0, " UTC": 0, "+00:00": 0, "+00": 0, "-04:00": -240}.get(zone, 330)
    there = pl.col("collection_timestamp").str.strptime(pl.Datetime, "%Y%m%d_%H%M%S") - timedelta(minutes=330 - away)
    frame = chain().with_columns((there.dt.strftime(form) + zone).alias("collection_timestamp"))
    source = RecordedSource(written(tmp_path, frame), rules)
    assert source.trade_date == DAY
    assert source.snapshots_ms.tolist() == [at(DAY, time(9, 20)), at(DAY, time(9, 21)), at(DAY, time(9, 22))]


def test_a_contract_absent_from_one_snapshot_is_bridged_when_its_own_gap_is_short(
    tmp_path: Path, rules: MarketRules
) -> None:
    for steps, bridged in (((0, 60, 120), True), ((0, 60, 240), False)):
        gone = (pl.col("Strike_Price") == 60_100) & pl.col("collection_timestamp").str.ends_with("092100")
        source = RecordedSource(written(tmp_path, chain(steps=steps).filter(~gone)), rules)
        moment = at(DAY, time(9, 21))
        expected = moment if bridged else at(DAY, time(9, 20))
        assert source.quotes(token_of(source, 60_100), moment)["exchange_ms"][0] == expected


def test_a_contract_listed_later_is_unknown_until_it_appears(tmp_path: Path, rules: MarketRules) -> None:
    early = (pl.col("Strike_Price") == 60_100) & ~pl.col("collection_timestamp").str.ends_with("092200")
    source = RecordedSource(written(tmp_path, chain().filter(~early)), rules)
    assert source.quotes(token_of(source, 60_100), at(DAY, time(9, 21, 59)))["exchange_ms"][0] == 0
    assert source.quotes(token_of(source, 60_100), at(DAY, time(9, 22)))["exchange_ms"][0] == at(DAY, time(9, 22))


def test_an_empty_side_stays_empty_until_the_next_snapshot(tmp_path: Path, rules: MarketRules) -> None:
    without_bid = (pl.col("Strike_Price") == 60_500) & pl.col("collection_timestamp").str.ends_with("092100")
    frame = chain().with_columns(
        pl.when(without_bid).then(0).otherwise(pl.col(name)).alias(name) for name in ("PUTS_Bid_Price", "PUTS_Bid_Qty")
    )
    source = RecordedSource(written(tmp_path, frame), rules)
    token = token_of(source, 60_500, "PE")
    for second in range(60):
        assert source.quotes(token, at(DAY, time(9, 20, second)))["bid_paise"][0].all()
        quote = source.quotes(token, at(DAY, time(9, 21, second)))[0]
        assert not quote["bid_paise"].any()
        assert quote["buy_qty"] == 0
        assert quote["ask_paise"].all()
    assert source.quotes(token, at(DAY, time(9, 22)))["bid_paise"][0].all()


def test_a_volume_that_falls_holds_until_the_next_snapshot(tmp_path: Path, rules: MarketRules) -> None:
    late = pl.col("collection_timestamp").str.ends_with("092200")
    source = RecordedSource(
        written(tmp_path, chain().with_columns(pl.when(late).then(40).otherwise("CALLS_Volume").alias("CALLS_Volume"))),
        rules,
    )
    lot = rules.lot_size("BANKNIFTY", DAY, EXPIRY)
    volumes = [source.quotes(token_of(source, 60_000), at(DAY, when))["volume"][0] // lot for when in TIMES]
    assert volumes == [50, 65, 80, 80, 40]


TIMES = (time(9, 20), time(9, 20, 30), time(9, 21), time(9, 21, 59), time(9, 22))


def test_prices_rest_before_the_open(tmp_path: Path, rules: MarketRules) -> None:
    source = RecordedSource(written(tmp_path, chain(first=datetime.combine(DAY, time(9, 14, 30)))), rules)
    early = source.quotes(token_of(source, 60_000), at(DAY, time(9, 15, 20)))
    assert early["exchange_ms"][0] == at(DAY, time(9, 14, 30))
    assert source.quotes(token_of(source, 60_000), at(DAY, time(9, 15, 50)))["exchange_ms"][0] == at(
        DAY, time(9, 15, 50)
    )


def test_the_index_and_day_are_chosen_when_the_file_holds_several(tmp_path: Path, rules: MarketRules) -> None:
    both = pl.concat([chain(), chain(name="FINNIFTY"), chain(first=FIRST + timedelta(days=1))])
    path = written(tmp_path, both)
    assert RecordedSource(path, rules, DAY, "FINNIFTY").underlyings == ("FINNIFTY",)
    assert RecordedSource(path, rules, date(2026, 1, 21)).trade_date == date(2026, 1, 21)
    with pytest.raises(DataError, match="several trading days, 2026-01-20, 2026-01-21; choose one with --date"):
        RecordedSource(path, rules)
    with pytest.raises(DataError, match="several indices on 2026-01-20, BANKNIFTY, FINNIFTY; choose one with --index"):
        RecordedSource(path, rules, DAY)
    with pytest.raises(DataError, match="no rows of SENSEX on 2026-01-20; the file holds BANKNIFTY, FINNIFTY"):
        RecordedSource(path, rules, DAY, "SENSEX")
    with pytest.raises(DataError, match="no rows of 2026-01-22; the file holds 2026-01-20, 2026-01-21"):
        RecordedSource(path, rules, date(2026, 1, 22))
    with pytest.raises(UserError, match="GOLD"):
        RecordedSource(path, rules, DAY, "GOLD")


def with_value(column: str, value: object) -> pl.DataFrame:
    frame = chain()
    text = [str(value), *frame[column].cast(pl.String).to_list()[1:]]
    return frame.with_columns(pl.Series(column, text if isinstance(value, str) else [value, *frame[column][1:]]))


@pytest.mark.parametrize(
    ("frame", "line"),
    [
        (
            chain().drop("PUTS_LTP", "Strike_Price"),
            "not an NSE chain recording: missing columns Strike_Price, PUTS_LTP",
        ),
        (chain().drop("index_name", "Expiry_Date"), "missing columns index_name or Symbol, Expiry_Date or expiry"),
        (pl.DataFrame({"open": [1.0]}), "not an NSE chain recording: missing columns collection_timestamp"),
        (chain().clear(), "the file has no rows"),
        (pl.concat([chain(), chain().head(1)]), "1 duplicate rows, among them expiry 2026-01-27 strike 59000"),
        *(
            (with_value("collection_timestamp", stamp), f"column collection_timestamp has {stamp!r}, not a time stamp")
            for stamp in ("yesterday", "20260120_09203", "2026-01-20T09:20:00+99:00", "2026-01-20 09:20:00 EST")
        ),
        (with_value("Expiry_Date", "soon"), "column Expiry_Date has 'soon', not a date"),
        (with_value("CALLS_LTP", "n/a"), "column CALLS_LTP holds something that is not a number"),
        (with_value("PUTS_Bid_Price", -1.0), "column PUTS_Bid_Price has impossible values, -1 to"),
        (with_value("CALLS_Volume", 2**40), "column CALLS_Volume has impossible values"),
        (with_value("Strike_Price", 0), "column Strike_Price has impossible values, 0 to 61000"),
        (with_value("index_name", None), "column index_name is empty in 1 rows"),
        (chain(expiry=date(2026, 1, 13)), "all contracts of 2026-01-20 had expired before that day"),
    ],
)
def test_a_broken_recording_is_refused_in_one_line(
    tmp_path: Path, rules: MarketRules, frame: pl.DataFrame, line: str
) -> None:
    with pytest.raises(DataError) as refused:
        RecordedSource(written(tmp_path, frame), rules)
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "chain.parquet" in str(refused.value)


def test_an_unknown_index_in_the_file_is_refused(tmp_path: Path, rules: MarketRules) -> None:
    with pytest.raises(UserError, match="GOLD"):
        RecordedSource(written(tmp_path, chain(name="gold")), rules)


def test_days_without_trading_do_not_count_and_are_refused_when_asked_for(tmp_path: Path, rules: MarketRules) -> None:
    sunday = chain(first=FIRST - timedelta(days=2))
    mixed = written(tmp_path, pl.concat([sunday, chain()]))
    assert RecordedSource(mixed, rules).trade_date == DAY
    with pytest.raises(CalendarError, match="2026-01-18"):
        RecordedSource(mixed, rules, date(2026, 1, 18))
    with pytest.raises(CalendarError, match="no trading day in the file; it holds only 2026-01-18"):
        RecordedSource(written(tmp_path, sunday), rules)


def test_the_holiday_of_the_real_file_is_named(shared_data: Path, rules: MarketRules) -> None:
    with pytest.raises(CalendarError, match=r"2025-08-27 is a holiday \(Ganesh Chaturthi\)"):
        RecordedSource(shared_data / "nse-chain-20250829" / "NIFTY.parquet", rules, date(2025, 8, 27))


def broken_files(folder: Path) -> dict[str, Path]:
    whole = written(folder, chain()).read_bytes()
    contents = {
        "empty": b"",
        "random": np.random.default_rng(3).bytes(4096),
        "text": b"a,b\n1,2\n",
        "cut": whole[: len(whole) // 2],
        "damaged": whole[:200] + bytes(byte ^ 0xFF for byte in whole[200:1200]) + whole[1200:],
        "bad_footer": whole[:-40] + bytes(32) + whole[-8:],
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in contents}


def test_a_file_that_is_not_parquet_or_damaged_is_refused_in_one_line(tmp_path: Path, rules: MarketRules) -> None:
    for path in broken_files(tmp_path).values():
        with pytest.raises(DataError) as refused:
            RecordedSource(path, rules)
        assert f"{path}: not a readable Parquet file" in str(refused.value)
        assert "\n" not in str(refused.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path, rules: MarketRules) -> None:
    for path in (tmp_path / "nowhere.parquet", tmp_path):
        with pytest.raises(DataError, match="no such file; give the path of an NSE chain recording"):
            RecordedSource(path, rules)
