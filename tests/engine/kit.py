"""A bench for the engine alone: day inputs from a market source, frames and indicators set by hand, no broker."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, time

import numpy as np
from numpy.typing import NDArray

from g6_core.domain.calendar import MarketRules
from g6_core.domain.events import Command, Frame, Mode, Second
from g6_core.domain.instruments import Instrument
from g6_core.domain.ist import at
from g6_core.domain.market import TICK, Quote, ticks_of
from g6_core.domain.records import DecisionRecord, Direction
from g6_core.domain.risk import Outcome, Verdict
from g6_core.engine import entries
from g6_core.engine.inputs import DayInputs, UnderlyingInputs
from g6_core.engine.params import EngineParams
from g6_core.engine.state import EngineState, FrameState, UnderlyingState
from g6_core.engine.step import step
from g6_core.sim.scripted import ScriptedSource
from g6_core.sim.source import MarketSource

DAY = date(2025, 8, 29)
EXPIRY = date(2025, 9, 2)
OPEN = at(DAY, time(9, 15))
SPOT = 24_500_00
HOUR_MS = 3_600_000
LOT = 75
# Two seconds after the end of a minute: when its bar closes.
ELEVEN = at(DAY, time(11, 0)) + 2_000


def tick_rows(*rows: tuple[int, ...]) -> NDArray[np.void]:
    """TICK rows from (token, exchange_ms, ltp_paise[, bid, ask, bid_qty, ask_qty, volume, oi])."""
    return np.array([(*row, *[0] * (len(TICK.names or ()) - len(row))) for row in rows], TICK)


def day_inputs_of(source: MarketSource, rules: MarketRules) -> DayInputs:
    """What the engine is told about a source's day; the nearest expiry is the one to trade."""
    day = source.trade_date
    underlyings = []
    for name in source.underlyings:
        spec = rules.index(name)
        expiry = source.instruments.expiries(name)[0]
        index = source.instruments.index(name)
        assert index is not None
        underlyings.append(
            UnderlyingInputs(
                underlying=name,
                index=index,
                expiry=expiry,
                expiry_close_ms=rules.session(expiry, spec.option_exchange, expiry).close_ms,
                close_ms=rules.session(day, spec.option_exchange, expiry).close_ms,
                days_to_expiry=(expiry - day).days,
                freeze_quantity=rules.freeze_quantity(name, day),
                charge_rates=rules.charge_rates(spec.option_exchange, day),
                iv_history_pct=(),
                oi_history=(),
            )
        )
    session = source.session
    return DayInputs(
        day, at(day, time(0, 0)), session.open_ms, session.close_ms, source.instruments, tuple(underlyings)
    )


def frame_of(
    direction: float, adx: float, plus: float = 0.0, minus: float = 0.0, close_paise: int = SPOT
) -> FrameState:
    """Indicators of a frame as if that many bars had led there."""
    frame = FrameState(direction=direction, adx_value=adx, close_paise=close_paise)
    frame.adx[9], frame.adx[10] = plus, minus
    return frame


def trending(direction: Direction) -> UnderlyingState:
    """Both frames say `direction`, strongly."""
    sign, plus, minus = (1.0, 30.0, 10.0) if direction is Direction.BULLISH else (-1.0, 10.0, 30.0)
    return UnderlyingState(frame_of(sign, 35.0, plus, minus), frame_of(sign, 35.0, plus, minus))


def failed(verdicts: Sequence[Verdict]) -> set[str]:
    """Rules that block."""
    return {verdict.rule for verdict in verdicts if verdict.blocks}


def verdict_of(verdicts: Sequence[Verdict], rule: str) -> Verdict:
    """The one verdict of a rule."""
    (found,) = [verdict for verdict in verdicts if verdict.rule == rule]
    return found


def answer_of(verdicts: Sequence[Verdict], rule: str) -> tuple[Outcome, bool]:
    """(outcome, blocks) of the one verdict of a rule."""
    found = verdict_of(verdicts, rule)
    return found.outcome, found.blocks


@dataclass
class Bench:
    """An engine over a source, armed, with nothing seen yet."""

    source: MarketSource
    state: EngineState
    commands: list[Command] = field(default_factory=list)

    @classmethod
    def over(
        cls, source: MarketSource, rules: MarketRules, params: EngineParams, **history: Sequence[float]
    ) -> "Bench":
        """A bench on any source."""
        state = EngineState.fresh(params, day_inputs_of(source, rules, **history))  # type: ignore[arg-type]
        state.mode = Mode.ACTIVE
        return cls(source, state)

    @classmethod
    def scripted(cls, rules: MarketRules, params: EngineParams) -> "Bench":
        """NIFTY at rest at 24,500, all strikes of the window quoted at `ELEVEN`."""
        bench = cls.over(ScriptedSource.of("NIFTY", DAY, rules, spot_path=[(OPEN, SPOT)]), rules, params)
        bench.see(ELEVEN)
        return bench

    @property
    def inputs(self) -> UnderlyingInputs:
        """The first underlying."""
        return self.state.inputs.underlyings[0]

    @property
    def memory(self) -> UnderlyingState:
        """What the engine remembers about it."""
        return self.state.per_underlying[self.inputs.underlying]

    def option(self, strike_paise: int, side: str = "CE") -> Instrument:
        """A contract of the traded expiry."""
        found = self.state.inputs.book.option(self.inputs.underlying, self.inputs.expiry, strike_paise, side)
        assert found is not None
        return found

    def quote(self, instrument: Instrument) -> Quote:
        """What the board knows about it."""
        found = self.state.board.quote(instrument.token)
        assert found is not None
        return found

    def see(self, now_ms: int, reach: int = 6) -> None:
        """Put the source's quotes of this moment on the board: the index and the strikes around the money."""
        strikes = self.state.inputs.book.strikes(self.inputs.underlying, self.inputs.expiry)
        index = self.source.quotes(np.array([self.inputs.index.token], np.int64), now_ms)
        place = int(np.searchsorted(strikes, index["ltp_paise"][0]))
        tokens = [self.inputs.index.token]
        for strike in strikes[max(place - reach, 0) : place + reach + 1]:
            for side in ("CE", "PE"):
                one = self.state.inputs.book.option(self.inputs.underlying, self.inputs.expiry, strike, side)
                tokens += [one.token] if one is not None else []
        self.state.board.watch(tuple(tokens))
        self.state.board.apply(ticks_of(self.source.quotes(np.array(tokens, np.int64), now_ms)), now_ms)

    def put(self, instrument: Instrument, **values: int) -> None:
        """Overwrite columns of one row of the board."""
        row = self.state.board.rows[self.state.board.slot_of[instrument.token]]
        for name, value in values.items():
            row[name] = value

    def judge(
        self, direction: Direction = Direction.BULLISH, now_ms: int = ELEVEN
    ) -> tuple[DecisionRecord, list[Command]]:
        """Close a bar with strong indicators in this direction; the decision, and all commands."""
        if direction is Direction.AVOID:
            self.memory.primary.direction = 0.0
        else:
            fresh = trending(direction)
            self.memory.primary, self.memory.confirmation = fresh.primary, fresh.confirmation
        out: list[Command] = []
        entries.on_bar(self.state, self.inputs, now_ms, out)
        (record,) = [one.record for one in out if hasattr(one, "record") and isinstance(one.record, DecisionRecord)]
        return record, out

    def second(self, now_ms: int) -> tuple[Command, ...]:
        """One second of `step`: the frame of what is subscribed, then the timer."""
        tokens = np.array(sorted(self.state.subscribed), np.int64)
        out: tuple[Command, ...] = ()
        if len(tokens):
            out += step(self.state, Frame(now_ms, ticks_of(self.source.quotes(tokens, now_ms))))
        out += step(self.state, Second(now_ms))
        self.commands += out
        return out
