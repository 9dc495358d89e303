"""The modelled market source: what it lists, when it speaks, and that it is a pure function of its arguments."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import CalendarError, ConfigError, UserError
from g6_core.domain.ist import MINUTE_MS, at, ist_clock, to_ist
from g6_core.domain.market import QUOTE
from g6_core.sim.counter_random import unit_at
from g6_core.sim.keys import key_of
from g6_core.sim.modelled import ModelledSource
from g6_core.sim.source import MarketSource

DAY = date(2025, 8, 29)
MINUTES = 375
SOURCES: dict[tuple[str, date, int], ModelledSource] = {}


def source_of(rules: MarketRules, underlying: str = "NIFTY", day: date = DAY, seed: int = 0) -> ModelledSource:
    key = (underlying, day, seed)
    if key not in SOURCES:
        SOURCES[key] = ModelledSource((underlying,), day, rules, seed)
    return SOURCES[key]


def index_token(source: ModelledSource) -> int:
    row = source.instruments.index(source.underlyings[0])
    assert row is not None
    return row.token


def tokens_near(source: ModelledSource, steps: int, expiry_rank: int = 0) -> np.ndarray:
    """Tokens of the calls and puts within `steps` strikes of the first index value."""
    underlying = source.underlyings[0]
    expiry = source.instruments.expiries(underlying)[expiry_rank]
    spot = source.quotes(np.array([index_token(source)]), source.session.open_ms)["ltp_paise"][0]
    strikes = sorted(
        sorted(source.instruments.strikes(underlying, expiry), key=lambda k: abs(k - spot))[: 2 * steps + 1]
    )
    rows = [source.instruments.option(underlying, expiry, strike, side) for strike in strikes for side in ("CE", "PE")]
    return np.array([row.token for row in rows if row is not None])


def test_it_is_a_market_source_that_says_what_it_is(rules: MarketRules) -> None:
    source: MarketSource = source_of(rules)
    assert (source.label, source.trade_date, source.underlyings) == ("modelled", DAY, ("NIFTY",))
    assert source.session == rules.session(DAY, "NFO")
    assert source_of(rules).dump_label == "synthetic"


@pytest.mark.parametrize("underlying", ["NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "SENSEX"])
def test_every_expiry_of_the_rules_is_listed_around_the_previous_close(rules: MarketRules, underlying: str) -> None:
    source = source_of(rules, underlying)
    spec = rules.index(underlying)
    book = source.instruments
    assert book.expiries(underlying) == rules.expiries(underlying, DAY)
    close = source.quotes(np.array([spec.index_token]), source.session.open_ms)["close_paise"][0]
    for expiry in book.expiries(underlying):
        strikes = book.strikes(underlying, expiry)
        step = rules.strike_step_paise(underlying, DAY) * (2 if (expiry - DAY).days > 100 else 1)
        assert set(np.diff(strikes)) == {step}
        assert strikes[0] <= close - 39 * step and strikes[-1] >= close + 39 * step
    for row in book:
        if row.expiry is not None:
            assert (row.exchange, row.tick_paise) == (spec.option_exchange, rules.tick_paise(underlying, DAY))
            assert row.lot_size == rules.lot_size(underlying, DAY, row.expiry)


def test_nothing_is_known_before_the_open_and_of_unknown_tokens(rules: MarketRules) -> None:
    source = source_of(rules)
    tokens = np.array([index_token(source), tokens_near(source, 1)[0], 7])
    early = source.quotes(tokens, source.session.open_ms - 1)
    assert early["token"].tolist() == tokens.tolist()
    assert not early["exchange_ms"].any() and not early["ltp_paise"].any()
    assert source.quotes(tokens, source.session.open_ms)["exchange_ms"].tolist() == [source.session.open_ms] * 2 + [0]


def test_no_tokens_no_rows_and_a_token_asked_twice_is_answered_twice(rules: MarketRules) -> None:
    source = source_of(rules)
    assert len(source.quotes(np.array([], np.int64), source.session.open_ms)) == 0
    tokens = np.repeat(tokens_near(source, 0)[:1], 2)
    tokens.flags.writeable = False
    twice = source.quotes(tokens, source.session.open_ms + MINUTE_MS)
    assert twice[0] == twice[1]


def test_the_stamp_is_the_whole_second_and_the_index_moves_inside_it(rules: MarketRules) -> None:
    source = source_of(rules)
    start = source.session.open_ms + 10 * MINUTE_MS
    rows = [source.quotes(np.array([index_token(source)]), start + part)[0] for part in (0, 250, 500, 750, 999)]
    assert {int(row["exchange_ms"]) for row in rows} == {start}
    values = [int(row["ltp_paise"]) for row in rows]
    assert values in (sorted(values), sorted(values, reverse=True))
    assert all(value % 5 == 0 for value in values)


def test_after_the_close_the_last_second_stands(rules: MarketRules) -> None:
    source = source_of(rules)
    tokens = np.append(tokens_near(source, 2), index_token(source))
    last = source.quotes(tokens, source.session.close_ms - 1)
    assert set(last["exchange_ms"]) == {source.session.close_ms - 1000}
    for later in (0, 1, 3_600_000):
        assert (source.quotes(tokens, source.session.close_ms + later) == last).all()


@pytest.mark.parametrize(
    ("day", "minutes"), [(date(2026, 7, 31), 375), (date(2026, 8, 3), 385), (date(2024, 1, 20), None)]
)
def test_the_hours_are_those_of_the_date(rules: MarketRules, day: date, minutes: int | None) -> None:
    source = source_of(rules, day=day)
    assert source.session == rules.session(day, "NFO")
    assert minutes is None or source.session.minutes == minutes
    stamp = source.quotes(np.array([index_token(source)]), source.session.close_ms)["exchange_ms"][0]
    assert stamp == source.session.close_ms - 1000


def test_expiring_contracts_stop_when_the_rules_say(rules: MarketRules) -> None:
    day = next(day for day in rules.expiries("NIFTY", date(2026, 12, 7)) if day >= date(2026, 12, 7))
    source = source_of(rules, day=day)
    stop = rules.session(day, "NFO", day).close_ms
    assert stop < source.session.close_ms
    expiring, following = tokens_near(source, 1, 0), tokens_near(source, 1, 1)
    late = source.session.close_ms - 1
    assert set(source.quotes(expiring, late)["exchange_ms"]) == {stop - 1000}
    assert set(source.quotes(following, late)["exchange_ms"]) == {late - 999}


@pytest.mark.parametrize(
    ("underlyings", "day", "error", "words"),
    [
        (("NIFTY",), date(2025, 8, 27), CalendarError, "2025-08-27 is"),
        (("NIFTY",), date(2025, 8, 30), CalendarError, "2025-08-30 is"),
        (("DOWJONES",), DAY, UserError, "DOWJONES"),
        ((), DAY, UserError, "choose one or more of NIFTY"),
    ],
)
def test_wrong_input_is_answered_with_one_line(
    rules: MarketRules, underlyings: tuple[str, ...], day: date, error: type[UserError], words: str
) -> None:
    with pytest.raises(error) as caught:
        ModelledSource(underlyings, day, rules)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_index_without_a_modelled_level_names_the_file_and_the_key(rules: MarketRules) -> None:
    levels = {name: level for name, level in rules.modelled.items() if name != "SENSEX"}
    with pytest.raises(ConfigError, match=r"modelled\.yaml: levels\.SENSEX: missing"):
        ModelledSource(("SENSEX",), DAY, replace(rules, modelled=levels))


@settings(max_examples=8, deadline=None)
@given(
    questions=st.lists(
        st.tuples(st.lists(st.integers(0, 41), min_size=1, max_size=6), st.integers(-1000, MINUTES * MINUTE_MS + 5000)),
        min_size=1,
        max_size=12,
    )
)
def test_the_answer_does_not_depend_on_what_was_asked_before(
    rules: MarketRules, questions: list[tuple[list[int], int]]
) -> None:
    asked_often = source_of(rules)
    tokens = tokens_near(asked_often, 10)
    fresh = ModelledSource(("NIFTY",), DAY, rules)
    open_ms = fresh.session.open_ms
    answers = [asked_often.quotes(tokens[places], open_ms + moment) for places, moment in questions]
    for (places, moment), answer in sorted(zip(questions, answers, strict=True), key=lambda pair: pair[0][1]):
        assert fresh.quotes(tokens[places], open_ms + moment).tobytes() == answer.tobytes()


def test_the_seed_and_the_date_change_the_day(rules: MarketRules) -> None:
    token = np.array([rules.index("NIFTY").index_token])
    noon = [
        source.quotes(token, at(source.trade_date, to_ist(source.session.open_ms).time()) + 165 * MINUTE_MS)
        for source in (source_of(rules), source_of(rules, seed=1), source_of(rules, day=date(2025, 8, 28)))
    ]
    assert len({int(quote["ltp_paise"][0]) for quote in noon}) == 3
    assert [ist_clock(int(quote["exchange_ms"][0])) for quote in noon] == ["12:00:00"] * 3


def test_an_index_is_the_same_alone_and_in_company(rules: MarketRules) -> None:
    together = ModelledSource(("SENSEX", "NIFTY", "SENSEX"), DAY, rules)
    alone = source_of(rules)
    assert together.underlyings == ("SENSEX", "NIFTY")
    tokens = np.append(tokens_near(alone, 3), index_token(alone))
    moment = alone.session.open_ms + 100 * MINUTE_MS
    assert together.quotes(tokens, moment).tobytes() == alone.quotes(tokens, moment).tobytes()


def index_minutes(source: ModelledSource) -> np.ndarray:
    token = np.array([index_token(source)])
    marks = range(source.session.open_ms, source.session.close_ms, MINUTE_MS)
    return np.array([source.quotes(token, moment)["ltp_paise"][0] for moment in marks], float)


def test_days_differ_in_kind_and_stay_within_what_an_index_does(rules: MarketRules) -> None:
    # Trend is the share of the day's range that is left between open and close.
    ranges, trends = [], []
    for seed in range(24):
        values = index_minutes(source_of(rules, "FINNIFTY", seed=seed))
        span = values.max() - values.min()
        ranges.append(100.0 * span / values[0])
        trends.append(abs(values[-1] - values[0]) / span)
    assert min(ranges) > 0.2 and max(ranges) < 5.0
    assert 0.5 < float(np.median(ranges)) < 2.0
    assert min(trends) < 0.25 and max(trends) > 0.75


def test_indices_move_together(rules: MarketRules) -> None:
    pairs = []
    for seed in range(6):
        nifty, bank = (
            np.diff(np.log(index_minutes(source_of(rules, name, seed=seed)))) for name in ("NIFTY", "BANKNIFTY")
        )
        pairs.append(np.corrcoef(nifty, bank)[0, 1])
    assert 0.6 < float(np.mean(pairs)) < 0.98


def test_a_contract_that_has_not_traded_shows_only_its_previous_close(rules: MarketRules) -> None:
    source = source_of(rules, "FINNIFTY")
    rows = source.quotes(np.sort([row.token for row in source.instruments if row.is_option]), source.session.open_ms)
    idle = rows[rows["volume"] == 0]
    assert len(idle) > 100
    assert (idle["ltp_paise"] == idle["close_paise"]).all() and (idle["close_paise"] > 0).all()
    for name in ("last_trade_ms", "last_qty", "average_paise", "open_paise", "high_paise", "low_paise"):
        assert not idle[name].any()


@pytest.mark.parametrize("underlying", ["FINNIFTY", "MIDCPNIFTY"])
def test_the_day_adds_up_to_the_scale_of_the_rules(rules: MarketRules, underlying: str) -> None:
    source = source_of(rules, underlying)
    chain = source.quotes(np.sort([row.token for row in source.instruments if row.is_option]), source.session.close_ms)
    level = rules.modelled[underlying]
    assert 0.5 < chain["volume"].sum() / level.day_option_volume < 2.0
    assert 0.8 < chain["oi"].sum() / level.day_option_oi < 1.5


def test_trading_sits_near_the_money_and_in_the_nearest_expiry(rules: MarketRules) -> None:
    source = source_of(rules)
    moment = source.session.open_ms + 120 * MINUTE_MS
    near, far = (source.quotes(tokens_near(source, 20, rank), moment)["volume"] for rank in (0, 1))
    assert near.sum() > 5 * far.sum()
    assert near[34:48].sum() > 0.3 * near.sum()


def test_counter_random_numbers_are_uniform_and_independent_of_order() -> None:
    key = key_of(3, "a contract")
    draws = np.array([unit_at(key, 1, counter) for counter in range(4000)])
    assert draws.min() > 0.0 and draws.max() < 1.0
    assert abs(draws.mean() - 0.5) < 0.02 and abs(draws.std() - 12**-0.5) < 0.01
    assert abs(np.corrcoef(draws[1:], draws[:-1])[0, 1]) < 0.05
    others = np.array([unit_at(key, 2, counter) for counter in range(4000)])
    assert abs(np.corrcoef(draws, others)[0, 1]) < 0.05
    assert key_of(3, "a contract") == key != key_of(4, "a contract")


def test_quotes_have_the_house_layout(rules: MarketRules) -> None:
    source = source_of(rules)
    assert source.quotes(tokens_near(source, 0), source.session.open_ms).dtype == QUOTE
