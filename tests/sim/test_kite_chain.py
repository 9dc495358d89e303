"""The recorded source over Kite snapshots: exact at every one, a modelled touch that says so, dirt left out."""

from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import CalendarError, DataError, UserError
from g6_core.domain.ist import at, ist_text
from g6_core.sim.recorded import GAP_MAX_S, RecordedSource
from tests.sim.server.kit import serving_here

MODELLED = "recorded, touch modelled"
INDICES = ("NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY")
# Days with snapshots in session; on the last two there is no FINNIFTY.
DAYS = [date(2025, 12, 31), *(date(2026, 1, number) for number in (1, 2, 5, 6, 7, 8, 9, 12, 13))]
PART_DAYS = [date(2026, 1, 22), date(2026, 2, 1)]
SUNDAY = date(2026, 2, 1)


@pytest.fixture(scope="module")
def snapshots(shared_data: Path) -> Path:
    return shared_data / "kite-chain-2026q1" / "snapshots.parquet"


@pytest.fixture(scope="module")
def record(snapshots: Path) -> pl.DataFrame:
    """The raw file, one row per stamp and contract, with times in milliseconds; read without any code of ours."""
    stamp = pl.col("row_ts").dt.replace_time_zone("Asia/Kolkata").dt.epoch("ms")
    keys = ["symbol", "row_ts", "expiry", "strike"]
    rows = pl.read_parquet(snapshots).drop_nulls(keys).unique(keys)
    return rows.with_columns(stamp.alias("time_ms"), pl.col("row_ts").dt.date().alias("day"))


def options(source: RecordedSource) -> pl.DataFrame:
    rows = [row for row in source.instruments if row.is_option]
    return pl.DataFrame(
        {
            "token": [row.token for row in rows],
            "expiry": [row.expiry for row in rows],
            "strike": [row.strike_paise / 100 for row in rows],
            "side": [row.instrument_type for row in rows],
            "lot": [row.lot_size for row in rows],
        }
    )


def all_tokens(source: RecordedSource) -> NDArray[np.int64]:
    return options(source)["token"].to_numpy()


def index_at(source: RecordedSource, moment: int) -> Any:
    index = source.instruments.index(source.underlyings[0])
    assert index is not None
    return source.quotes(np.array([index.token]), moment)[0]


@pytest.mark.parametrize(
    ("day", "underlying"),
    [
        *((date(2026, 1, 7), name) for name in INDICES),
        (DAYS[0], "NIFTY"),
        (PART_DAYS[0], "BANKNIFTY"),
        (SUNDAY, "NIFTY"),
    ],
    ids=str,
)
def test_every_recorded_snapshot_is_quoted_exactly(
    snapshots: Path, rules: MarketRules, record: pl.DataFrame, day: date, underlying: str
) -> None:
    source = RecordedSource(snapshots, rules, day, underlying)
    rows = record.filter((pl.col("day") == day) & (pl.col("symbol") == underlying), pl.col("expiry") >= day)
    rows = rows.filter(pl.col("time_ms") >= source.session.open_ms)
    assert source.snapshots_ms.tolist() == sorted(set(rows["time_ms"]))
    compared = 0
    for side, prefix in (("CE", "ce"), ("PE", "pe")):
        listed = options(source).filter(pl.col("side") == side)
        known = rows.join(listed, on=["expiry", "strike"], how="inner").sort("time_ms", "token")
        quotes = np.concatenate(
            [
                source.quotes(part["token"].to_numpy(), moment)
                for (moment,), part in known.group_by("time_ms", maintain_order=True)
            ]
        )
        for field, values in (
            ("token", known["token"]),
            ("exchange_ms", known["time_ms"]),
            ("ltp_paise", known[f"{prefix}_ltp"] * 100),
            ("volume", known[f"{prefix}_volume"].fill_null(0)),
            ("oi", known[f"{prefix}_oi"]),
        ):
            np.testing.assert_array_equal(
                quotes[field], values.cast(pl.Float64).round().to_numpy(), f"{prefix} {field}"
            )
        compared += len(quotes)
    assert compared == 2 * rows.height > 0


@pytest.mark.parametrize(
    "day",
    [DAYS[3], *(pytest.param(day, marks=pytest.mark.slow) for day in (*DAYS, *PART_DAYS) if day != DAYS[3])],
    ids=str,
)
def test_every_index_of_every_trading_day_can_be_traded_on(
    snapshots: Path, rules: MarketRules, record: pl.DataFrame, day: date
) -> None:
    held = set(record.filter(pl.col("day") == day)["symbol"])
    assert held == set(INDICES) - ({"FINNIFTY"} if day in PART_DAYS else set())
    for underlying in held:
        source = RecordedSource(snapshots, rules, day, underlying)
        assert (source.trade_date, source.underlyings) == (day, (underlying,))
        assert (source.label, source.touch_kind) == (MODELLED, "modelled")
        assert source.snapshots_ms[0] >= source.session.open_ms
        inside = source.snapshots_ms[source.snapshots_ms < source.session.close_ms]
        quotes = source.quotes(all_tokens(source), int(inside[-1]))
        bids, asks = quotes["bid_paise"][:, 0], quotes["ask_paise"][:, 0]
        shown = bids > 0
        assert (asks > 0).tolist() == shown.tolist()
        assert shown.mean() > 0.2
        assert (bids[shown] <= quotes["ltp_paise"][shown]).all()
        assert (asks[shown] >= quotes["ltp_paise"][shown]).all()
        assert (asks > bids)[shown].all()
        assert not (bids % 5).any()
        lots = options(source)["lot"].to_numpy()
        assert not (quotes["bid_qty"][:, 0] % lots).any()
        assert (quotes["bid_qty"][shown, 0] > 0).all()


def test_a_contract_known_not_to_have_traded_today_has_no_touch(snapshots: Path, rules: MarketRules) -> None:
    for day, known in ((date(2026, 1, 7), True), (DAYS[0], False)):
        source = RecordedSource(snapshots, rules, day, "BANKNIFTY")
        quotes = source.quotes(all_tokens(source), int(source.snapshots_ms[10]))
        idle = (quotes["volume"] == 0) & (quotes["ltp_paise"] > 0)
        assert idle.any()
        assert bool(quotes["bid_paise"][idle, 0].any()) is not known
        assert bool(quotes["ask_qty"][idle, 0].any()) is not known


def test_the_sunday_of_the_budget_is_a_session_with_the_recorded_index(
    snapshots: Path, rules: MarketRules, record: pl.DataFrame
) -> None:
    source = RecordedSource(snapshots, rules, SUNDAY, "NIFTY")
    assert source.spot_kind == "index"
    rows = record.filter((pl.col("day") == SUNDAY) & (pl.col("symbol") == "NIFTY"), pl.col("spot") > 0)
    seen = rows.group_by("time_ms").agg(pl.col("spot").first()).sort("time_ms")
    assert seen.height == len(source.snapshots_ms)
    for moment, spot in seen.rows():
        assert index_at(source, moment)["ltp_paise"] == round(spot * 100)
    assert index_at(source, int(source.snapshots_ms[0]))["close_paise"] == pytest.approx(25_320.65 * 100, abs=25)


@pytest.mark.parametrize(("day", "underlying"), [(date(2026, 1, 7), "NIFTY"), (SUNDAY, "MIDCPNIFTY")], ids=str)
def test_without_a_recorded_index_its_row_is_the_parity_forward(
    snapshots: Path, rules: MarketRules, record: pl.DataFrame, day: date, underlying: str
) -> None:
    source = RecordedSource(snapshots, rules, day, underlying)
    assert source.spot_kind == "forward"
    moment = int(source.snapshots_ms[20])
    rows = record.filter((pl.col("time_ms") == moment) & (pl.col("symbol") == underlying))
    traded = rows.filter(pl.min_horizontal("ce_volume", "pe_volume") > 1_000)
    near = traded.sort((pl.col("ce_ltp") - pl.col("pe_ltp")).abs()).head(7)
    implied = (near["strike"] + near["ce_ltp"] - near["pe_ltp"]).median()
    assert isinstance(implied, float)
    assert abs(index_at(source, moment)["ltp_paise"] / 100 - implied) < 0.002 * implied


def test_prices_move_between_near_snapshots_and_stand_still_in_silences(snapshots: Path, rules: MarketRules) -> None:
    source = RecordedSource(snapshots, rules, date(2026, 1, 12), "NIFTY")
    tokens = all_tokens(source)
    inside = [int(moment) for moment in source.snapshots_ms if moment < source.session.close_ms]
    gaps = np.diff(inside)
    near, far = np.flatnonzero(gaps <= GAP_MAX_S * 1000), np.flatnonzero(gaps > GAP_MAX_S * 1000)
    assert len(near) and len(far)
    for place in near:
        moment = inside[place] + int(gaps[place]) // 2000 * 1000
        between = source.quotes(tokens, moment)
        assert set(between["exchange_ms"]) == {moment}
        assert (between["bid_paise"][:, 0] != source.quotes(tokens, inside[place])["bid_paise"][:, 0]).any()
    for place in far:
        before = source.quotes(tokens, inside[place])
        assert source.quotes(tokens, inside[place + 1] - 1).tobytes() == before.tobytes()


def test_the_same_seed_repeats_and_another_one_only_changes_what_is_modelled(
    snapshots: Path, rules: MarketRules
) -> None:
    one, same, other = (RecordedSource(snapshots, rules, date(2026, 1, 12), "NIFTY", seed) for seed in (1, 1, 2))
    tokens, stamp = all_tokens(one), int(one.snapshots_ms[5])
    gaps = np.diff(one.snapshots_ms)
    between = int(one.snapshots_ms[np.flatnonzero(gaps <= 120_000)[0]]) + 30_000
    assert one.quotes(tokens, between).tobytes() == same.quotes(tokens, between).tobytes()
    assert one.quotes(tokens, between).tobytes() != other.quotes(tokens, between).tobytes()
    for field in ("ltp_paise", "volume", "oi"):
        np.testing.assert_array_equal(one.quotes(tokens, stamp)[field], other.quotes(tokens, stamp)[field])


def test_what_repeats_the_day_before_after_the_open_is_left_out(snapshots: Path, rules: MarketRules) -> None:
    source = RecordedSource(snapshots, rules, date(2026, 1, 5), "NIFTY")
    assert ist_text(int(source.snapshots_ms[0])) > "2026-01-05 09:15:00"
    other = RecordedSource(snapshots, rules, date(2026, 1, 5), "BANKNIFTY")
    assert ist_text(int(other.snapshots_ms[0])) == "2026-01-05 09:15:00", "this one had moved"


@pytest.mark.parametrize(
    ("day", "underlying", "error", "message"),
    [
        ("2026-01-14", "NIFTY", DataError, "NIFTY holds no snapshot within the session 09:15-15:30 of 2026-01-14"),
        ("2026-01-03", "NIFTY", CalendarError, "2026-01-03 is a Saturday"),
        (
            "2026-01-22",
            "FINNIFTY",
            DataError,
            "no rows of FINNIFTY on 2026-01-22; the file holds BANKNIFTY, MIDCPNIFTY, ",
        ),
        ("2026-01-23", "NIFTY", DataError, "no rows of 2026-01-23; the file holds 2025-12-31, 2026-01-01, "),
        (
            "2026-01-07",
            None,
            DataError,
            "several indices on 2026-01-07, BANKNIFTY, FINNIFTY, MIDCPNIFTY, NIFTY; choose",
        ),
        (None, "NIFTY", DataError, "several trading days, 2025-12-31, 2026-01-01, "),
    ],
)
def test_a_day_that_cannot_be_traded_on_is_one_line(
    snapshots: Path, rules: MarketRules, day: str | None, underlying: str | None, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        RecordedSource(snapshots, rules, date.fromisoformat(day) if day else None, underlying)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["index_OC_2026-02-01_10-00.csv", "index_OC_2026-02-01_14-57.csv"])
def test_a_single_csv_of_the_recorder_is_a_day_of_one_snapshot(
    shared_data: Path, snapshots: Path, rules: MarketRules, name: str
) -> None:
    alone = RecordedSource(shared_data / "kite-chain-2026q1" / "originals" / name, rules, None, "BANKNIFTY")
    whole = RecordedSource(snapshots, rules, SUNDAY, "BANKNIFTY")
    assert (alone.trade_date, len(alone.snapshots_ms)) == (SUNDAY, 1)
    moment, tokens = int(alone.snapshots_ms[0]), all_tokens(whole)
    assert tokens.tolist() == all_tokens(alone).tolist()
    ours, theirs = alone.quotes(tokens, moment), whole.quotes(tokens, moment)
    for field in ("exchange_ms", "ltp_paise", "volume", "oi"):
        np.testing.assert_array_equal(ours[field], theirs[field], field)
    for field in ("bid_paise", "ask_paise", "bid_qty", "ask_qty"):
        np.testing.assert_array_equal(ours[field][:, 0], theirs[field][:, 0], field)


# Made files

DAY = date(2026, 3, 10)
EXPIRY = date(2026, 3, 30)


def made(*clocks: str, **changes: Any) -> pl.DataFrame:
    """Snapshots of a NIFTY chain at these times, obeying parity; LTP rises by one rupee a snapshot."""
    rows: list[dict[str, Any]] = []
    for place, clock in enumerate(clocks):
        for strike in range(24_000, 25_050, 50):
            row: dict[str, Any] = {"Symbol": "NIFTY", "Expiry": str(EXPIRY), "Strike": float(strike)}
            for side, sign in (("CE", 1), ("PE", -1)):
                row[f"{side}_LTP"] = 200.0 + place + max(0, sign * (24_500 - strike))
                row |= {f"{side}_OI": 6_500, f"{side}_Volume": 65 * 500 * (place + 1)}
            rows.append(
                row | {"Spot": 24_480.5, "%Change": 0.5, "timestamp": f"{DAY} {clock}", "Max_Pain": 1} | changes
            )
    return pl.DataFrame(rows)


def opened(folder: Path, frame: pl.DataFrame, rules: MarketRules) -> RecordedSource:
    path = folder / "snapshots.parquet"
    frame.write_parquet(path)
    return RecordedSource(path, rules)


FORMS = ["%Y-%m-%d %H:%M:%S", "%d-%m-%Y %H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%d/%m/%Y %H:%M:%S"]


@pytest.mark.parametrize("form", FORMS)
def test_stamps_and_headers_of_other_recorders_read_the_same(tmp_path: Path, rules: MarketRules, form: str) -> None:
    plain = opened(tmp_path, made("09:20:00", "09:22:00"), rules)
    names = {
        "Symbol": "Stock",
        "Spot": "Stock_LTP",
        "%Change": "Stock_%_Change",
        "CE_LTP": "ce ltp",
        "Expiry": "EXPIRY",
    }
    text = pl.col("timestamp").str.to_datetime("%Y-%m-%d %H:%M:%S").dt.strftime(form)
    frame = made("09:20:00", "09:22:00").with_columns(
        text, pl.col("Strike").cast(pl.String), pl.lit("30-03-2026").alias("Expiry")
    )
    other = opened(tmp_path, frame.rename(names), rules)
    tokens, moment = all_tokens(plain), at(DAY, time(9, 21))
    assert other.quotes(tokens, moment).tobytes() == plain.quotes(tokens, moment).tobytes()
    assert (plain.spot_kind, index_at(plain, moment)["ltp_paise"] > 0) == ("index", True)


def test_typed_stamps_and_missing_optional_columns_are_enough(tmp_path: Path, rules: MarketRules) -> None:
    frame = made("09:20:00", "09:22:00").with_columns(pl.col("timestamp").str.to_datetime("%Y-%m-%d %H:%M:%S"))
    source = opened(tmp_path, frame.drop("CE_Volume", "PE_Volume", "Spot", "%Change", "Max_Pain"), rules)
    quotes = source.quotes(all_tokens(source), at(DAY, time(9, 22)))
    assert source.spot_kind == "forward"
    assert not quotes["volume"].any()
    assert (quotes["bid_paise"][:, 0] > 0).all()


def test_copies_damaged_rows_and_expired_contracts_are_left_out(tmp_path: Path, rules: MarketRules) -> None:
    clean = made("09:20:00", "09:25:00")
    torn = clean.head(1).with_columns(
        pl.lit(99_999.0).alias("CE_LTP"), pl.lit(7, pl.Int64).alias("CE_Volume"), pl.lit(27_000.0).alias("Strike")
    )
    expired = clean.head(3).with_columns(pl.lit("2026-03-09").alias("Expiry"))
    empty = clean.head(2).with_columns(pl.lit(None, pl.Float64).alias("Strike"))
    dirty = opened(tmp_path, pl.concat([clean, clean.head(5), torn, expired, empty]), rules)
    plain = opened(tmp_path, clean, rules)
    moment = at(DAY, time(9, 25))
    assert dirty.instruments.rows == plain.instruments.rows
    assert dirty.quotes(all_tokens(plain), moment).tobytes() == plain.quotes(all_tokens(plain), moment).tobytes()


def test_a_volume_in_lots_is_refused_instead_of_left_out(tmp_path: Path, rules: MarketRules) -> None:
    with pytest.raises(
        DataError, match=r"21 of 21 rows of NIFTY on 2026-03-10 have a volume that is not whole lots \(2026-"
    ):
        opened(tmp_path, made("09:20:00", CE_Volume=7), rules)


def test_a_mostly_missing_index_is_not_shown_as_the_index(tmp_path: Path, rules: MarketRules) -> None:
    spot = pl.when(pl.col("timestamp").str.ends_with("09:20:00")).then("Spot").otherwise(0.0)
    source = opened(tmp_path, made("09:20:00", "09:25:00", "09:30:00").with_columns(spot.alias("Spot")), rules)
    assert source.spot_kind == "forward"
    assert index_at(source, at(DAY, time(9, 30)))["ltp_paise"] == pytest.approx(2_450_000, abs=500)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"CE_LTP": -1.0}, "column ce_ltp has impossible values"),
        ({"PE_LTP": "much"}, "column pe_ltp holds something that is not a number"),
        ({"PE_OI": 3e10}, "column pe_oi has impossible values"),
        ({"timestamp": "soon"}, "column timestamp has 'soon', not a time stamp like 2026-01-07 09:19:00"),
        ({"Expiry": "one day"}, "column Expiry has 'one day', not a date like 2026-01-27"),
        ({"Symbol": "DAX"}, "unknown index 'DAX'"),
    ],
)
def test_what_cannot_be_is_one_line(tmp_path: Path, rules: MarketRules, change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        opened(tmp_path, made("09:20:00", **change), rules)
    assert "\n" not in str(caught.value)


def test_rows_of_one_place_that_differ_are_refused(tmp_path: Path, rules: MarketRules) -> None:
    clean = made("09:20:00")
    other = clean.head(1).with_columns(pl.lit(1.0).alias("CE_LTP"))
    with pytest.raises(
        DataError, match="1 duplicate rows, among them expiry 2026-03-30 strike 24000 at 2026-03-10 09:20"
    ):
        opened(tmp_path, pl.concat([clean, other]), rules)


def test_a_foreign_file_is_told_what_it_lacks(tmp_path: Path, rules: MarketRules) -> None:
    with pytest.raises(DataError, match=r"not a recording of Kite snapshots: missing columns pe_ltp, pe_oi$"):
        opened(tmp_path, made("09:20:00").drop("PE_LTP", "PE_OI"), rules)
    with pytest.raises(
        DataError, match=r"not an NSE chain recording: missing .*; nor Kite snapshots: missing symbol, "
    ):
        opened(tmp_path, pl.DataFrame({"open": [1.0]}), rules)
    text = tmp_path / "notes.csv"
    text.write_text("")
    with pytest.raises(DataError, match="not a readable CSV file"):
        RecordedSource(text, rules)


def test_the_longest_bridged_gap_is_180_seconds(tmp_path: Path, rules: MarketRules) -> None:
    for seconds, moves in ((180, True), (181, False)):
        last = (datetime.combine(DAY, time(9, 20)) + timedelta(seconds=seconds)).strftime("%H:%M:%S")
        source = opened(tmp_path, made("09:20:00", last), rules)
        stamps = set(source.quotes(all_tokens(source), at(DAY, time(9, 21)))["exchange_ms"])
        assert stamps == {at(DAY, time(9, 21)) if moves else at(DAY, time(9, 20))}


def test_the_served_exchange_says_that_the_touch_is_modelled(snapshots: Path, rules: MarketRules) -> None:
    with serving_here(RecordedSource(snapshots, rules, SUNDAY, "BANKNIFTY")) as server:
        status = server.status()
    assert (status["source"], status["touch"], status["spot_kind"]) == (MODELLED, "modelled", "index")
    assert (status["date"], status["indices"]) == ("2026-02-01", ["BANKNIFTY"])
