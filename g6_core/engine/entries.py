"""From a closed bar to an approved entry, or to a recorded refusal with every reason."""

from dataclasses import replace

from g6_core.domain.events import Command, FetchQuotes, Persist, PlaceEntry
from g6_core.domain.money import tick_ceil
from g6_core.domain.options import YEAR_MS
from g6_core.domain.orders import OrderRequest, OrderType, Product, Side, Validity
from g6_core.domain.records import DecisionRecord, Direction, Purpose, SignalRecord
from g6_core.domain.risk import Approved, Outcome, Verdict
from g6_core.engine import guards, sizing, strikes
from g6_core.engine.inputs import UnderlyingInputs
from g6_core.engine.state import EngineState, Phase, Trade, UnderlyingState, WorkingOrder
from g6_core.engine.strategies import STRATEGIES
from g6_core.engine.validation import validate


def next_tag(state: EngineState, purpose: Purpose) -> str:
    """A tag that this day has not seen: ``G6250829E00001``, 14 characters."""
    state.tag_number += 1
    return f"G6{state.inputs.trade_date:%y%m%d}{'E' if purpose is Purpose.ENTRY else 'X'}{state.tag_number:05d}"


def _features(state: EngineState, inputs: UnderlyingInputs, memory: UnderlyingState) -> dict[str, float]:
    index = state.board.quote(inputs.index.token)
    return {
        "spot": index.ltp_paise / 100 if index is not None else 0.0,
        "close_1m": memory.primary.close_paise / 100,
        "st_1m": memory.primary.direction,
        "st_line_1m": round(float(memory.primary.supertrend[6]) / 100, 4),
        "adx_1m": round(memory.primary.adx_value, 4),
        "st_5m": memory.confirmation.direction,
        "st_line_5m": round(float(memory.confirmation.supertrend[6]) / 100, 4),
        "adx_5m": round(memory.confirmation.adx_value, 4),
    }


def _track_signal(
    state: EngineState,
    inputs: UnderlyingInputs,
    direction: Direction,
    features: dict[str, float],
    now_ms: int,
    out: list[Command],
) -> None:
    """A signal starts when the direction changes to bullish or bearish, and ends when it changes again."""
    memory = state.per_underlying[inputs.underlying]
    if direction is memory.direction:
        return
    memory.direction = direction
    memory.signal_id = ""
    memory.signal_used = False
    if direction is Direction.AVOID:
        return
    memory.signals += 1
    memory.signal_id = f"{inputs.underlying}-{state.inputs.trade_date:%Y%m%d}-S{memory.signals:03d}"
    signal = SignalRecord(
        memory.signal_id,
        inputs.underlying,
        now_ms,
        direction,
        state.params.signal.strategy,
        features,
        state.params.config_sha256,
    )
    out.append(Persist(signal))


def _choose(
    state: EngineState, inputs: UnderlyingInputs, direction: Direction, forward: float, now_ms: int
) -> tuple[strikes.Judged | None, list[Verdict]]:
    """The best strike, or the verdicts of the nearest ones when none passes."""
    params = state.params.strikes
    of_day = state.inputs.of_day_ms(now_ms)
    found = strikes.candidates(
        state.inputs.book,
        state.board,
        inputs.underlying,
        inputs.expiry,
        direction,
        forward,
        inputs.expiry_close_ms - now_ms,
        params.steps_otm_max,
    )
    judged = [strikes.judge(one, inputs.underlying, params, of_day) for one in found]
    best = strikes.rank(judged, params.keep_top)
    if best:
        return best[0], list(best[0].verdicts)
    refused = [
        replace(verdict, note=f"{one.candidate.instrument.tradingsymbol} {verdict.note}".strip())
        for one in judged
        for verdict in one.verdicts
        if verdict.blocks
    ]
    return None, refused or [Verdict("strike_available", Outcome.UNKNOWN, True, None, None, "no quoted strike")]


def _near_money(state: EngineState, inputs: UnderlyingInputs, forward: float, now_ms: int) -> tuple[float | None, int]:
    """(IV at the money in percent, open interest of the strikes around it) from the board."""
    nearest = sorted(state.inputs.book.strikes(inputs.underlying, inputs.expiry), key=lambda one: abs(one - forward))[
        :3
    ]
    ivs, total = [], 0
    for strike in nearest:
        for side in ("CE", "PE"):
            instrument = state.inputs.book.option(inputs.underlying, inputs.expiry, strike, side)
            quote = state.board.quote(instrument.token) if instrument is not None else None
            if instrument is None or quote is None:
                continue
            total += quote.oi
            if strike == nearest[0]:
                t_years = (inputs.expiry_close_ms - now_ms) / YEAR_MS
                iv_pct, _ = strikes.volatility_of(quote, instrument, forward, t_years)
                ivs += [iv_pct] if iv_pct is not None else []
    return (sum(ivs) / len(ivs) if ivs else None), total


def on_bar(state: EngineState, inputs: UnderlyingInputs, now_ms: int, out: list[Command]) -> None:
    """Judge one underlying at the close of a one-minute bar; record the decision whatever it is."""
    memory = state.per_underlying[inputs.underlying]
    direction, found = STRATEGIES[state.params.signal.strategy](memory, state.params.signal)
    features = _features(state, inputs, memory)
    _track_signal(state, inputs, direction, features, now_ms, out)
    verdicts = list(found)
    request: OrderRequest | None = None
    if direction is not Direction.AVOID:
        request = _consider(state, inputs, direction, features, verdicts, now_ms, out)
    memory.decisions += 1
    decision_id = f"{inputs.underlying}-{state.inputs.trade_date:%Y%m%d}-D{memory.decisions:04d}"
    record = DecisionRecord(
        decision_id,
        memory.signal_id,
        inputs.underlying,
        now_ms,
        direction,
        request is not None,
        tuple(verdicts),
        request.tradingsymbol if request is not None else "",
        request.quantity if request is not None else 0,
        request.price_paise if request is not None else 0,
        request.tag if request is not None else "",
        features,
        state.params.config_sha256,
    )
    out.append(Persist(record))
    if request is not None:
        _send(state, inputs, request, record, out)


def _consider(
    state: EngineState,
    inputs: UnderlyingInputs,
    direction: Direction,
    features: dict[str, float],
    verdicts: list[Verdict],
    now_ms: int,
    out: list[Command],
) -> OrderRequest | None:
    """Every layer and guard on a standing signal; the order to send when none of them blocks."""
    memory = state.per_underlying[inputs.underlying]
    book, params = state.inputs.book, state.params
    guarded = guards.portfolio_guards(state, inputs, now_ms)
    if any(verdict.rule == "index_age" and verdict.blocks for verdict in guarded):
        out.append(FetchQuotes((inputs.index.token,)))
    forward = strikes.forward_of(book, state.board, inputs.underlying, inputs.expiry, memory.primary.close_paise)
    iv_pct, oi = _near_money(state, inputs, forward, now_ms) if forward is not None else (None, 0)
    features |= {
        "forward": round((forward or 0.0) / 100, 2),
        "atm_iv_pct": round(iv_pct or 0.0, 4),
        "near_oi": float(oi),
    }
    verdicts += validate(
        memory,
        direction,
        state.inputs.of_day_ms(now_ms),
        iv_pct,
        inputs.iv_history_pct,
        oi if forward is not None else None,
        inputs.oi_history,
        params.signal,
        params.validation,
    )
    verdicts += guarded
    if forward is None:
        verdicts.append(Verdict("forward_known", Outcome.UNKNOWN, True, None, None, "no two-sided pair at the money"))
        return None
    chosen, strike_verdicts = _choose(state, inputs, direction, forward, now_ms)
    verdicts += strike_verdicts
    if chosen is None:
        return None
    best = chosen.candidate
    features |= {"score": chosen.score, "iv_pct": best.iv_pct or 0.0, "delta": best.delta or 0.0}
    return _size_up(state, inputs, best, verdicts, now_ms)


def _size_up(
    state: EngineState, inputs: UnderlyingInputs, candidate: strikes.Candidate, verdicts: list[Verdict], now_ms: int
) -> OrderRequest | None:
    params, instrument = state.params, candidate.instrument
    price = tick_ceil(
        int(candidate.quote.ask_paise * (1 + params.execution.entry_through_pct / 100)), instrument.tick_paise
    )
    capital = state.starting_balance_paise + state.realised_net_paise
    sized = sizing.size(
        capital,
        state.cash_paise,
        price,
        params.exits.stop_loss_pct,
        instrument.lot_size,
        inputs.freeze_quantity,
        params.sizing,
    )
    risk = sized.quantity * price * params.exits.stop_loss_pct / 100
    verdicts += guards.order_guards(
        state, candidate.quote, sized.lots, sized.reason, sized.quantity * price, risk, now_ms
    )
    if any(verdict.blocks for verdict in verdicts):
        return None
    return OrderRequest(
        next_tag(state, Purpose.ENTRY),
        instrument.exchange,
        instrument.tradingsymbol,
        instrument.token,
        Side.BUY,
        sized.quantity,
        Product(params.execution.product),
        OrderType.LIMIT,
        Validity.IOC,
        price,
        0,
    )


def _send(
    state: EngineState, inputs: UnderlyingInputs, request: OrderRequest, decision: DecisionRecord, out: list[Command]
) -> None:
    instrument = state.inputs.book.by_token(request.token)
    assert instrument is not None
    trade_id = f"{inputs.underlying}-{state.inputs.trade_date:%Y%m%d}-T{len(state.trades) + 1:03d}"
    now_ms = decision.time_ms
    state.orders[request.tag] = WorkingOrder(
        request, "", trade_id, decision.decision_id, Purpose.ENTRY, Phase.SENDING, now_ms, now_ms,
        order_type=request.order_type, quantity=request.quantity, price_paise=request.price_paise,
    )  # fmt: skip
    state.trades[trade_id] = Trade(
        trade_id, decision.decision_id, decision.signal_id, inputs.underlying, instrument, request.tag, now_ms
    )
    state.day_trades += 1
    state.per_underlying[inputs.underlying].signal_used = True
    out.append(PlaceEntry(Approved(request, decision.verdicts, state.params.config_sha256)))
