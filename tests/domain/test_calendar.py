"""The dated market rules against real calendars, dumps, bhavcopies and chains."""

from datetime import date, timedelta
from pathlib import Path

import exchange_calendars
import polars as pl
import pytest

from g6_core.domain.calendar import MarketRules, PriceProtection
from g6_core.domain.dated import Timeline
from g6_core.domain.errors import CalendarError, UserError
from g6_core.domain.ist import ist_text

FIVE = ("NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "SENSEX")
# Missing in the observed list although there was trading: NIFTY closed at 17,525.10 on Monday 2022-08-08 (newspapers of
# 2022-08-09); 2019-09-30 is before the list becomes continuous; 2021-11-04 was a Muhurat session.
NOT_OBSERVED = {date(2019, 9, 30), date(2021, 11, 4), date(2022, 8, 8)}


def days_between(first: date, last: date) -> list[date]:
    return [first + timedelta(days=count) for count in range((last - first).days + 1)]


def day(text: str) -> date:
    return date.fromisoformat(text)


# Trading days


@pytest.mark.filterwarnings("ignore:Series.values returning")  # inside exchange_calendars, about the next pandas
def test_weekday_holidays_are_those_of_exchange_calendars_on_every_day_covered(rules: MarketRules) -> None:
    known = exchange_calendars.get_calendar("XBOM")
    sessions = {stamp.date() for stamp in known.sessions}
    # It ends with a year whose list it has; ours may reach further.
    for today in days_between(rules.days.first, min(rules.days.last, known.last_session.date())):
        if today not in rules.days.special:
            assert rules.is_trading_day(today) == (today in sessions), today


def test_every_observed_trading_day_is_one_and_no_other(rules: MarketRules, shared_data: Path) -> None:
    table = pl.read_csv(
        shared_data / "nse-calendar" / "nse_trading_days_observed_201908_202608.csv", try_parse_dates=True
    )
    observed = set(table["trade_date"])
    assert len(observed) == table.height == 1_710
    assert all(rules.is_trading_day(today) for today in observed)
    expected = {today for today in days_between(date(2019, 9, 30), max(observed)) if rules.is_trading_day(today)}
    assert expected - observed == NOT_OBSERVED


def test_holidays_of_2026_are_the_published_ones(rules: MarketRules, shared_data: Path) -> None:
    published = pl.read_csv(shared_data / "nse-calendar" / "nse_holidays_2026.csv", try_parse_dates=True)["date"]
    assert sorted(today for today in rules.days.holidays if today.year == 2026) == sorted(published)


@pytest.mark.parametrize(
    ("closed", "message"),
    [
        (
            "2025-08-27",
            "2025-08-27 is a holiday (Ganesh Chaturthi); nearest trading days are 2025-08-26 and 2025-08-28",
        ),
        ("2025-08-30", "2025-08-30 is a Saturday; nearest trading days are 2025-08-29 and 2025-09-01"),
    ],
)
def test_a_closed_day_is_answered_with_the_nearest_open_ones(rules: MarketRules, closed: str, message: str) -> None:
    with pytest.raises(CalendarError) as caught:
        rules.require_trading_day(day(closed))
    assert str(caught.value) == message


def test_a_day_outside_every_calendar_is_answered_with_the_file_to_extend(rules: MarketRules) -> None:
    with pytest.raises(
        CalendarError, match=r"2018-12-31 is outside the known trading days.*2019-01-01.*holidays\.yaml"
    ):
        rules.require_trading_day(date(2018, 12, 31))
    with pytest.raises(CalendarError, match="9999-12-31 is too far away"):
        rules.require_trading_day(date.max)


def test_neighbours_skip_closed_days_and_include_special_ones(rules: MarketRules) -> None:
    assert rules.previous_trading_day(date(2025, 9, 1)) == date(2025, 8, 29)
    assert rules.next_trading_day(date(2025, 8, 29)) == date(2025, 9, 1)
    assert rules.next_trading_day(date(2025, 10, 20)) == date(2025, 10, 21)  # Muhurat
    assert rules.next_trading_day(date(2026, 1, 30)) == date(2026, 2, 1)  # Union Budget on a Sunday
    assert rules.next_trading_day(date(2026, 12, 31)) == date(2027, 1, 1)  # provisional
    with pytest.raises(CalendarError, match="2018-12-31 is outside"):
        rules.previous_trading_day(date(2019, 1, 1))


# Sessions


@pytest.mark.parametrize(
    ("today", "exchange", "expiry", "hours"),
    [
        ("2025-08-29", "NFO", None, "09:15-15:30"),
        ("2026-07-31", "BFO", None, "09:15-15:30"),
        ("2026-08-03", "NFO", None, "09:15-15:40"),
        ("2026-08-03", "BSE", None, "09:15-15:40"),
        ("2026-08-04", "NFO", "2026-08-04", "09:15-15:40"),
        ("2026-12-07", "NFO", None, "09:15-15:45"),
        ("2026-12-08", "NFO", "2026-12-08", "09:15-15:30"),
        ("2026-12-08", "NFO", "2026-12-15", "09:15-15:45"),
        ("2026-12-10", "BFO", "2026-12-10", "09:15-15:30"),
        ("2025-10-21", "NFO", None, "13:45-14:45"),
        ("2024-03-02", "NSE", None, "09:15-12:30"),
    ],
)
def test_hours_are_those_of_the_day_and_of_the_contract(
    rules: MarketRules, today: str, exchange: str, expiry: str | None, hours: str
) -> None:
    session = rules.session(day(today), exchange, day(expiry) if expiry else None)
    opening, closing = hours.split("-")
    assert ist_text(session.open_ms) == f"{today} {opening}:00"
    assert ist_text(session.close_ms) == f"{today} {closing}:00"


def test_the_usual_session_has_375_minutes(rules: MarketRules) -> None:
    assert rules.session(date(2025, 8, 29), "NFO").minutes == 375


@pytest.mark.parametrize("today", ["2024-03-02", "2024-05-18"])
def test_every_index_candle_of_a_special_saturday_lies_in_its_session(
    rules: MarketRules, shared_data: Path, today: str
) -> None:
    candles = pl.read_parquet(shared_data / "index-1min-2024" / "NIFTY.parquet", columns=["ts"])
    stamps = candles.filter(pl.col("ts").dt.date() == day(today))["ts"].dt.to_string("%Y-%m-%d %H:%M:%S").to_list()
    session = rules.session(day(today), "NSE")
    assert stamps[0] == ist_text(session.open_ms)
    assert stamps[-1] == ist_text(session.close_ms - 60_000)


def test_no_session_on_a_closed_day(rules: MarketRules) -> None:
    with pytest.raises(CalendarError, match="Ganesh Chaturthi"):
        rules.session(date(2025, 8, 27), "NFO")
    with pytest.raises(CalendarError, match="Ganesh Chaturthi"):
        rules.mis_cutoff_ms(date(2025, 8, 27), "NFO")


def test_mis_cutoff_lies_inside_every_session(rules: MarketRules) -> None:
    for today in [*rules.days.special, *days_between(date(2026, 7, 1), rules.days.last)]:
        if rules.is_trading_day(today):
            for exchange in ("NFO", "BFO"):
                session = rules.session(today, exchange)
                assert session.open_ms < rules.mis_cutoff_ms(today, exchange) <= session.close_ms, today
    assert ist_text(rules.mis_cutoff_ms(date(2025, 8, 29), "NFO")) == "2025-08-29 15:25:00"


# Expiries


def test_every_real_nifty_expiry_from_2021_to_2026_follows_from_the_rules(
    rules: MarketRules, shared_data: Path
) -> None:
    table = pl.read_parquet(shared_data / "nse-calendar" / "nse_actual_expiry_calendar.parquet")
    real = table.select(pl.col("actual_expiry_date").str.to_date(), "expiry_type", "contract_lot_size").rows()
    assert len(real) == 296
    everyday = days_between(date(2021, 1, 1), date(2026, 8, 25))
    assert {today for today in everyday if rules.expiries("NIFTY", today)[0] == today} == {
        expiry for expiry, _, _ in real if expiry <= date(2026, 8, 25)
    }
    for expiry, kind, lot in real:
        assert rules.is_monthly("NIFTY", expiry) == (kind == "monthly"), expiry
        assert rules.lot_size("NIFTY", expiry, expiry) == lot, expiry


def test_every_lot_of_the_published_history_follows_from_the_rules(rules: MarketRules, shared_data: Path) -> None:
    history = pl.read_parquet(shared_data / "nse-calendar" / "nse_contract_rule_dimension.parquet")
    spans = history.select(
        "underlying", "expiry_type", pl.col("contract_expiry_from", "contract_expiry_to").cast(pl.String).str.to_date(),
        "contract_lot_size",
    ).rows()  # fmt: skip
    compared = 0
    for underlying, kind, first, last, lot in spans:
        for today in days_between(first, last or rules.days.last):
            if not rules.is_trading_day(today) or rules.expiries(underlying, today)[0] != today:
                continue
            if rules.is_monthly(underlying, today) == (kind == "monthly"):
                assert rules.lot_size(underlying, today, today) == lot, today
                compared += 1
    assert len(spans) == 10
    assert compared >= 296, "as many as there are real expiries to 2026"


def test_expiries_lots_ticks_and_steps_are_those_of_the_dump_of_18_august_2026(
    rules: MarketRules, shared_data: Path
) -> None:
    today = date(2026, 8, 18)
    dump = pl.read_csv(shared_data / "kite-instruments-20260818" / "instruments.csv.gz", try_parse_dates=True)
    options = dump.filter(pl.col("instrument_type").is_in(["CE", "PE"]))
    for underlying in FIVE:
        rows = options.filter(pl.col("name") == underlying)
        spec = rules.index(underlying)
        assert rules.expiries(underlying, today) == tuple(rows["expiry"].unique().sort())
        for expiry, lot in rows.select("expiry", "lot_size").unique().rows():
            assert rules.lot_size(underlying, today, expiry) == lot
        assert {round(tick * 100) for tick in rows["tick_size"].unique()} == {rules.tick_paise(underlying, today)}
        assert set(rows["exchange"]) == {spec.option_exchange}
        assert set(rows["segment"]) == {spec.option_segment}
        nearest = rows.filter(pl.col("expiry") == rows["expiry"].min())["strike"].unique().sort()
        assert round(nearest.diff().median() * 100) == rules.strike_step_paise(underlying, today)


def test_expiries_on_29_august_2025_are_those_of_the_recorded_chain_and_all_have_lot_75(
    rules: MarketRules, shared_data: Path
) -> None:
    chain = pl.read_parquet(
        shared_data / "nse-chain-20250829" / "NIFTY.parquet", columns=["expiry", "collection_timestamp"]
    )
    for stamp, today in (("20250827", date(2025, 8, 27)), ("20250829", date(2025, 8, 29))):
        seen = chain.filter(pl.col("collection_timestamp").str.starts_with(stamp))["expiry"].unique().sort()
        assert rules.expiries("NIFTY", today) == tuple(seen)
        assert {rules.lot_size("NIFTY", today, expiry) for expiry in seen} == {75}


def test_expiries_and_lots_are_those_of_the_bhavcopies_of_january_and_february_2026(
    rules: MarketRules, shared_data: Path
) -> None:
    table = pl.read_parquet(
        shared_data / "nse-fo-bhavcopy" / "index_2026_01_02.parquet",
        columns=["TradDt", "TckrSymb", "OptnTp", "XpryDt", "NewBrdLotQty"],
    ).filter(pl.col("OptnTp").is_in(["CE", "PE"]) & pl.col("TckrSymb").is_in(FIVE))
    rows = table.select(pl.col("TradDt", "XpryDt").cast(pl.Date), "TckrSymb", "NewBrdLotQty").unique().rows()
    listed: dict[tuple[str, date], set[date]] = {}
    for today, expiry, underlying, lot in rows:
        listed.setdefault((underlying, today), set()).add(expiry)
        assert rules.lot_size(underlying, today, expiry) == lot
    assert len(listed) == 4 * 40
    for (underlying, today), expiries in listed.items():
        assert set(rules.expiries(underlying, today)) == expiries, (underlying, today)


@pytest.mark.parametrize(
    ("underlying", "today", "expiries"),
    [
        # A broker's notice of March 2025 lists what was tradable; contracts were moved to Tuesdays later.
        (
            "NIFTY",
            "2025-03-04",
            """2025-03-06 2025-03-13 2025-03-20 2025-03-27 2025-04-03 2025-04-24 2025-05-29 2025-06-26 2025-09-25
            2025-12-24 2026-06-25 2026-12-31 2027-06-24 2027-12-30 2028-06-29 2028-12-28 2029-06-28 2029-12-27""",
        ),
        # Wednesday weeklies beside Thursday monthlies; none in the week of a monthly.
        (
            "BANKNIFTY",
            "2023-09-05",
            """2023-09-06 2023-09-13 2023-09-20 2023-09-28 2023-10-04 2023-10-26 2023-11-30 2023-12-28 2024-03-28
            2024-06-27""",
        ),
        ("FINNIFTY", "2025-08-29", "2025-09-30 2025-10-28 2025-11-25"),
        ("MIDCPNIFTY", "2024-12-31", "2025-01-30 2025-02-27 2025-03-27"),
    ],
)
def test_listed_expiries_of_a_day(rules: MarketRules, underlying: str, today: str, expiries: str) -> None:
    assert [str(expiry) for expiry in rules.expiries(underlying, day(today))] == expiries.split()


@pytest.mark.parametrize(
    ("today", "holiday_expiry", "moved_to"),
    [
        ("2025-10-20", "2025-10-21", "2025-10-20"),  # Muhurat session: traded, but nothing expires
        ("2026-11-20", "2026-11-24", "2026-11-23"),  # Guru Nanak Jayanti
        ("2026-01-02", "2026-03-31", "2026-03-30"),  # the list of 2026 was public
    ],
)
def test_an_expiry_on_a_holiday_moves_to_the_trading_day_before(
    rules: MarketRules, today: str, holiday_expiry: str, moved_to: str
) -> None:
    listed = rules.expiries("NIFTY", day(today))
    assert day(moved_to) in listed
    assert day(holiday_expiry) not in listed


def test_a_far_expiry_is_listed_on_a_holiday_until_the_holiday_list_is_public(rules: MarketRules) -> None:
    assert date(2026, 3, 31) in rules.expiries("NIFTY", date(2025, 12, 11))
    assert date(2026, 3, 30) in rules.expiries("NIFTY", date(2025, 12, 12))
    assert rules.is_monthly("NIFTY", date(2026, 3, 31))
    assert rules.is_monthly("NIFTY", date(2026, 3, 30))


def test_every_trading_day_lists_ascending_expiries_that_are_not_past(rules: MarketRules) -> None:
    for today in days_between(date(2025, 1, 1), rules.days.last):
        for underlying in FIVE:
            listed = rules.expiries(underlying, today)
            assert listed == tuple(sorted(set(listed)))
            assert listed[0] >= today
            assert sum(rules.is_monthly(underlying, expiry) for expiry in listed) >= 3
            assert all(rules.lot_size(underlying, today, expiry) > 0 for expiry in listed[:8])


def test_a_date_before_the_first_rule_is_a_clear_error(rules: MarketRules) -> None:
    with pytest.raises(
        CalendarError, match="SENSEX: no expiry rule covers 2020-01-01, the first starts 2023-05-15; use a"
    ):
        rules.expiries("SENSEX", date(2020, 1, 1))
    with pytest.raises(CalendarError, match="charges of NFO: no rule covers 2020-12-31, the first starts 2021-01-01"):
        rules.charge_rates("NFO", date(2020, 12, 31))
    with pytest.raises(CalendarError, match="SENSEX: no lot size is known for expiry 2020-01-02 on 2020-01-01"):
        rules.lot_size("SENSEX", date(2020, 1, 1), date(2020, 1, 2))


# Lots in transition, freeze limits, prices


@pytest.mark.parametrize(
    ("underlying", "today", "expiry", "lot"),
    [
        ("NIFTY", "2024-12-02", "2024-12-05", 25),
        ("NIFTY", "2024-12-02", "2025-01-02", 75),  # a new weekly
        ("NIFTY", "2024-12-02", "2025-01-30", 25),  # an old monthly
        ("NIFTY", "2024-12-02", "2025-02-27", 75),  # a new monthly
        ("NIFTY", "2024-12-26", "2025-03-27", 25),  # a quarterly on its last day with the old lot
        ("NIFTY", "2024-12-27", "2025-03-27", 75),
        ("NIFTY", "2025-10-27", "2026-03-31", 75),
        ("NIFTY", "2025-12-30", "2026-01-27", 65),
        ("NIFTY", "2025-12-30", "2026-03-30", 75),
        ("NIFTY", "2025-12-31", "2026-03-30", 65),
        ("BANKNIFTY", "2024-11-12", "2024-11-13", 15),
        ("BANKNIFTY", "2025-06-20", "2025-06-26", 30),
        ("BANKNIFTY", "2025-06-20", "2025-07-31", 35),
        ("BANKNIFTY", "2025-08-29", "2025-09-30", 35),
        ("FINNIFTY", "2024-08-01", "2024-08-06", 25),
        ("FINNIFTY", "2024-07-22", "2024-07-23", 40),
        ("MIDCPNIFTY", "2025-08-29", "2025-09-30", 140),
        ("SENSEX", "2024-12-02", "2024-12-06", 10),
        ("SENSEX", "2025-08-29", "2025-09-04", 20),
    ],
)
def test_lot_sizes_in_transition(rules: MarketRules, underlying: str, today: str, expiry: str, lot: int) -> None:
    assert rules.lot_size(underlying, day(today), day(expiry)) == lot


@pytest.mark.parametrize(
    ("underlying", "today", "quantity"),
    [
        ("NIFTY", "2025-08-29", 1800),
        ("BANKNIFTY", "2025-08-29", 600),
        ("BANKNIFTY", "2025-09-01", 900),
        ("BANKNIFTY", "2025-11-03", 600),
        ("FINNIFTY", "2025-12-15", 1200),
        ("FINNIFTY", "2026-01-02", 1800),
        ("MIDCPNIFTY", "2025-03-03", 4200),
        ("MIDCPNIFTY", "2026-08-18", 2800),
        ("SENSEX", "2026-08-18", 1000),
    ],
)
def test_freeze_limits(rules: MarketRules, underlying: str, today: str, quantity: int) -> None:
    assert rules.freeze_quantity(underlying, day(today)) == quantity


@pytest.mark.parametrize(
    ("ltp_paise", "pct"), [(5, 5), (995, 5), (1000, 3), (9995, 3), (10_000, 2), (50_000, 2), (50_005, 1), (90_000, 1)]
)
def test_automatic_market_protection_narrows_with_the_price(rules: MarketRules, ltp_paise: int, pct: float) -> None:
    assert rules.market_protection_pct(date(2025, 8, 29), ltp_paise) == pct


def test_price_limits_of_the_exchanges(rules: MarketRules) -> None:
    for exchange in ("NFO", "BFO"):
        assert rules.price_protection(exchange, date(2026, 8, 18)) == PriceProtection(40, 5000, 2000, 20, 5000, 1000)


# Names


def test_the_five_indices_are_known_by_name_and_token(rules: MarketRules) -> None:
    assert rules.underlyings == FIVE
    assert rules.index("NIFTY").index_symbol == "NIFTY 50"
    assert rules.index("SENSEX").option_exchange == "BFO"
    assert len({rules.index(name).index_token for name in FIVE}) == 5
    assert all(rules.index(name).index_token % 256 == 9 for name in FIVE)


def test_unknown_names_are_answered_with_the_known_ones(rules: MarketRules) -> None:
    with pytest.raises(UserError, match="unknown index 'NIFTI'; did you mean NIFTY"):
        rules.index("NIFTI")
    with pytest.raises(UserError, match="unknown exchange 'MCX'; choose one of NSE, BSE, NFO, BFO"):
        rules.session(date(2025, 8, 29), "MCX")


def test_a_timeline_holds_each_value_until_the_next_one_starts() -> None:
    line = Timeline("rate", "rates.yaml", (date(2020, 1, 1), date(2021, 1, 1)), ("old", "new"))
    assert [line.at(today) for today in (date(2020, 1, 1), date(2020, 12, 31), date(2021, 1, 1))] == [
        "old",
        "old",
        "new",
    ]
    with pytest.raises(CalendarError, match=r"rate: no rule covers 2019-12-31.*rates\.yaml"):
        line.at(date(2019, 12, 31))
