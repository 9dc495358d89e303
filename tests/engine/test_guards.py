"""Guards: every one of them can block, none is skipped, and pending entries count as risk."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.events import Mode
from g6_core.domain.orders import Fill, OrderRequest, OrderType, Product, Side, Validity
from g6_core.domain.records import Purpose
from g6_core.domain.risk import Outcome, Verdict
from g6_core.engine import guards
from g6_core.engine.params import EngineParams
from g6_core.engine.state import Phase, Trade, WorkingOrder
from tests.engine.kit import ELEVEN, LOT, SPOT, Bench, answer_of, failed, verdict_of

PORTFOLIO = [
    "mode_active",
    "circuit_breaker",
    "feed_connected",
    "no_unknown_order",
    "one_entry_per_signal",
    "max_positions",
    "max_trades_per_day",
    "cooldown",
    "index_age",
]
ORDER = ["quote_age", "one_lot_affordable", "funds", "portfolio_heat_pct"]
PRICE = 100_00


@pytest.fixture
def params(settings: Settings) -> EngineParams:
    """3,00,000 rupees, 3 positions, 6 trades, 5 minutes of cooldown, heat of 10 %, a stop of 30 %."""
    params = settings.engine_params()
    caps = replace(
        params.guards,
        max_positions_per_underlying=3,
        max_trades_per_day=6,
        cooldown_ms=300_000,
        quote_age_max_ms=3_000,
        index_age_max_ms=5_000,
    )
    return replace(
        params,
        capital_paise=300_000_00,
        guards=caps,
        sizing=replace(params.sizing, heat_max_pct=10.0),
        exits=replace(params.exits, stop_loss_pct=30.0),
    )


@pytest.fixture
def bench(rules: MarketRules, params: EngineParams) -> Bench:
    return Bench.scripted(rules, params)


def _order(bench: Bench, tag: str, side: Side, quantity: int, filled: int, phase: Phase, price: int) -> WorkingOrder:
    option = bench.option(SPOT)
    request = OrderRequest(
        tag,
        option.exchange,
        option.tradingsymbol,
        option.token,
        side,
        quantity,
        Product.MIS,
        OrderType.LIMIT,
        Validity.IOC,
        price,
        0,
    )
    purpose = Purpose.ENTRY if side is Side.BUY else Purpose.EXIT
    order = WorkingOrder(request, "", "T1", "D1", purpose, phase, ELEVEN, ELEVEN)
    order.filled_quantity, order.average_paise = filled, price
    if filled:
        order.fills["F" + tag] = Fill("F" + tag, "1", option.token, side, filled, price, ELEVEN)
    return order


def _hold(
    bench: Bench,
    tag: str = "E1",
    *,
    wanted: int = LOT,
    filled: int = LOT,
    phase: Phase = Phase.DONE,
    price: int = PRICE,
) -> Trade:
    """A trade whose entry asked for `wanted` units at `price` and got `filled` of them."""
    bench.state.orders[tag] = _order(bench, tag, Side.BUY, wanted, filled, phase, price)
    trade = Trade("T" + tag, "D" + tag, "", "NIFTY", bench.option(SPOT), tag, ELEVEN)
    bench.state.trades[trade.trade_id] = trade
    return trade


def _sell(bench: Bench, trade: Trade, tag: str, filled: int, price: int, phase: Phase = Phase.DONE) -> None:
    bench.state.orders[tag] = _order(bench, tag, Side.SELL, LOT, filled, phase, price)
    trade.exit_tags.append(tag)


def _unknown_exit(bench: Bench) -> None:
    _sell(bench, _hold(bench), "X1", 0, PRICE, Phase.UNKNOWN)


def _three_positions(bench: Bench) -> None:
    for tag in ("E1", "E2", "E3"):
        _hold(bench, tag)


def _set(name: str, value: object) -> Callable[[Bench], None]:
    return lambda bench: setattr(bench.state, name, value)


def _remember(name: str, value: object) -> Callable[[Bench], None]:
    return lambda bench: setattr(bench.memory, name, value)


def _age_index(age_ms: int) -> Callable[[Bench], None]:
    return lambda bench: bench.put(bench.inputs.index, exchange_ms=ELEVEN - age_ms)


@pytest.mark.parametrize(
    ("change", "blocked"),
    [
        pytest.param(lambda bench: None, None, id="nothing wrong"),
        pytest.param(_set("mode", Mode.PAUSED), "mode_active", id="paused"),
        pytest.param(_set("mode", Mode.REDUCING), "mode_active", id="reducing"),
        pytest.param(_set("mode", Mode.HALTED), "mode_active", id="halted"),
        pytest.param(_set("circuit_tripped_ms", ELEVEN - 1), "circuit_breaker", id="circuit"),
        pytest.param(_set("feed_connected", False), "feed_connected", id="feed down"),
        pytest.param(_unknown_exit, "no_unknown_order", id="an exit of unknown outcome"),
        pytest.param(lambda b: _hold(b, phase=Phase.UNKNOWN), "no_unknown_order", id="an entry of unknown outcome"),
        pytest.param(lambda b: _hold(b, phase=Phase.CANCELLING), None, id="an order being cancelled is known"),
        pytest.param(_remember("signal_used", True), "one_entry_per_signal", id="signal used"),
        pytest.param(lambda b: [_hold(b, tag) for tag in ("E1", "E2")], None, id="a third position"),
        pytest.param(_three_positions, "max_positions", id="a fourth position"),
        pytest.param(_set("day_trades", 5), None, id="the sixth trade of the day"),
        pytest.param(_set("day_trades", 6), "max_trades_per_day", id="the seventh"),
        pytest.param(_remember("last_exit_ms", ELEVEN - 299_999), "cooldown", id="a moment after an exit"),
        pytest.param(_remember("last_exit_ms", ELEVEN - 300_000), None, id="five minutes after an exit"),
        pytest.param(_age_index(5_000), None, id="index five seconds old"),
        pytest.param(_age_index(5_001), "index_age", id="index older than that"),
        pytest.param(_age_index(-2_000), None, id="index stamped two seconds ahead"),
        pytest.param(_age_index(-2_001), "index_age", id="index from the future: the clock is wrong"),
    ],
)
def test_each_portfolio_guard_blocks_for_its_own_reason_only(
    bench: Bench, change: Callable[[Bench], object], blocked: str | None
) -> None:
    change(bench)
    found = guards.portfolio_guards(bench.state, bench.inputs, ELEVEN)
    assert [verdict.rule for verdict in found] == PORTFOLIO
    assert failed(found) == ({blocked} if blocked else set())


def test_everything_wrong_at_once_is_everything_named(bench: Bench) -> None:
    _three_positions(bench)
    _unknown_exit(bench)
    bench.state.mode, bench.state.feed_connected = Mode.HALTED, False
    bench.state.circuit_tripped_ms, bench.state.day_trades = 1, 6
    bench.memory.signal_used, bench.memory.last_exit_ms = True, ELEVEN
    bench.put(bench.inputs.index, exchange_ms=1)
    assert failed(guards.portfolio_guards(bench.state, bench.inputs, ELEVEN)) == set(PORTFOLIO)


def test_an_index_without_any_price_is_unknown_and_blocks(bench: Bench) -> None:
    bench.put(bench.inputs.index, exchange_ms=0)
    found = guards.portfolio_guards(bench.state, bench.inputs, ELEVEN)
    assert answer_of(found, "index_age") == (Outcome.UNKNOWN, True)


def test_trades_of_another_underlying_and_closed_ones_take_no_place(bench: Bench) -> None:
    _three_positions(bench)
    bench.state.trades["TE1"].underlying = "BANKNIFTY"
    bench.state.trades["TE2"].closed_ms = ELEVEN
    bench.state.orders["E1"].phase = Phase.UNKNOWN
    found = guards.portfolio_guards(bench.state, bench.inputs, ELEVEN)
    assert failed(found) == set()
    assert verdict_of(found, "max_positions").value == 2


def _order_guards(bench: Bench, *, lots: int = 1, cost: int = 7_500_00, risk: float = 2_250_00) -> list[Verdict]:
    quote = bench.quote(bench.option(SPOT))
    return guards.order_guards(bench.state, quote, lots, "risk", cost, risk, ELEVEN)


@pytest.mark.parametrize(
    ("figures", "blocked"),
    [
        pytest.param({}, set(), id="nothing wrong"),
        pytest.param({"lots": 0, "cost": 0, "risk": 0.0}, {"one_lot_affordable"}, id="no lot"),
        pytest.param({"cost": 300_000_00}, set(), id="all of the cash"),
        pytest.param({"cost": 300_000_01}, {"funds"}, id="a paisa more"),
        pytest.param({"risk": 30_000_00.0}, set(), id="all of the heat"),
        pytest.param({"risk": 30_001_00.0}, {"portfolio_heat_pct"}, id="a rupee more"),
        pytest.param({"lots": 0, "cost": 10**9, "risk": 1e9}, set(ORDER[1:]), id="all at once"),
    ],
)
def test_each_order_guard_blocks_on_its_own_side_of_the_edge(
    bench: Bench, figures: dict[str, int], blocked: set[str]
) -> None:
    found = _order_guards(bench, **figures)
    assert [verdict.rule for verdict in found] == ORDER
    assert failed(found) == blocked


@pytest.mark.parametrize(
    ("age_ms", "blocked"), [(3_000, set()), (3_001, {"quote_age"}), (-2_000, set()), (-60_000, {"quote_age"})]
)
def test_a_quote_may_be_three_seconds_old(bench: Bench, age_ms: int, blocked: set[str]) -> None:
    bench.put(bench.option(SPOT), exchange_ms=ELEVEN - age_ms)
    assert failed(_order_guards(bench)) == blocked


@pytest.mark.parametrize("phase", [Phase.SENDING, Phase.LIVE, Phase.UNKNOWN, Phase.CANCELLING])
def test_an_entry_on_its_way_already_takes_funds_and_heat(bench: Bench, phase: Phase) -> None:
    """Two indices that signal at the same bar must not both spend the same money and the same risk."""
    _hold(bench, wanted=10 * LOT, filled=0, phase=phase)
    found = _order_guards(bench)
    assert verdict_of(found, "funds").limit == 300_000_00 - 75_000_00
    assert verdict_of(found, "portfolio_heat_pct").value == pytest.approx(7.5 + 0.75)
    assert failed(_order_guards(bench, risk=9_000_00.0)) == {"portfolio_heat_pct"}


@pytest.mark.parametrize(
    ("wanted", "filled", "phase", "stop_paise", "risk_rupees"),
    [
        pytest.param(LOT, LOT, Phase.DONE, 0, 30 * LOT, id="held, no stop rests yet"),
        pytest.param(LOT, LOT, Phase.DONE, 80_00, 20 * LOT, id="held with a stop"),
        pytest.param(LOT, LOT, Phase.DONE, 105_00, 0, id="stop above the entry"),
        pytest.param(2 * LOT, 0, Phase.SENDING, 0, 60 * LOT, id="nothing filled yet"),
        pytest.param(2 * LOT, LOT, Phase.LIVE, 0, 60 * LOT, id="half filled"),
        pytest.param(2 * LOT, LOT, Phase.DONE, 0, 30 * LOT, id="half filled, rest cancelled"),
        pytest.param(LOT, 0, Phase.DONE, 0, 0, id="rejected"),
    ],
)
def test_open_risk_is_what_is_held_and_what_may_still_come(
    bench: Bench, wanted: int, filled: int, phase: Phase, stop_paise: int, risk_rupees: int
) -> None:
    trade = _hold(bench, wanted=wanted, filled=filled, phase=phase)
    trade.stop_paise = stop_paise
    assert guards.open_risk_paise(bench.state, trade) == pytest.approx(100 * risk_rupees)


def test_the_marked_result_adds_realised_sold_and_held_at_the_bid(bench: Bench) -> None:
    state, option = bench.state, bench.option(SPOT)
    state.realised_net_paise = -1_000_00
    trade = _hold(bench, wanted=2 * LOT, filled=2 * LOT)
    _sell(bench, trade, "X1", LOT, 110_00)
    _hold(bench, "E2", wanted=LOT, filled=0, phase=Phase.SENDING)
    bench.put(option, bid_paise=90_00, ltp_paise=95_00)
    assert guards.marked_pnl_paise(state) == -1_000_00 + LOT * 10_00 - LOT * 10_00
    bench.put(option, bid_paise=0)
    assert guards.marked_pnl_paise(state) == -1_000_00 + LOT * 10_00 - LOT * 5_00
    bench.put(option, exchange_ms=0)
    assert guards.marked_pnl_paise(state) == -1_000_00 + LOT * 10_00
    trade.closed_ms = ELEVEN
    assert guards.marked_pnl_paise(state) == -1_000_00
