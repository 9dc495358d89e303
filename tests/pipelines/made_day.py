"""A small made-up day for the evening's stages: a priced chain in the lake and its day pack."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from g6_core.adapters.kite.transport import connect
from g6_core.adapters.lake import Lake
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules, Session
from g6_core.domain.instruments import Instrument, InstrumentBook
from g6_core.domain.ist import MINUTE_MS
from g6_core.domain.iv_reason import IvReason
from g6_core.domain.options import YEAR_MS, black76_price, greeks
from g6_core.schema.options import OPTION_COLUMNS, OptionRow, RowStatus, SideCells, SpotKind
from g6_core.schema.paths import DataPaths
from g6_core.sim.clock import VirtualClock
from g6_core.sim.exchange import Exchange
from g6_core.sim.scripted import ScriptedSource
from g6_core.site import Day, Site
from g6_pipelines.stages.prepare import prepare

DAY = date(2025, 8, 29)
NEXT_DAY = date(2025, 9, 1)
EXPIRY = date(2025, 9, 2)
OFFSETS = range(-5, 6)
SPOT = 24_512.35
OI = 900_000

Status = Callable[[int, int], RowStatus]
"""State of both sides by (minute of the session, offset)."""


def all_live(_minute: int, _offset: int) -> RowStatus:
    return RowStatus.LIVE


@dataclass(frozen=True)
class MadeDay:
    """Where the day lives and what it was made from. `codes` are the collected expiries."""

    paths: DataPaths
    rules: MarketRules
    settings: Settings
    day: date
    underlying: str
    session: Session
    codes: dict[str, date]
    book: InstrumentBook

    @property
    def site(self) -> Site:
        return Site(self.settings, self.rules, self.paths)

    @property
    def index_day(self) -> Day:
        return Day(self.site, self.day, self.underlying)

    def option(self, strike: int, side: str) -> Instrument:
        found = self.book.option(self.underlying, EXPIRY, strike * 100, side)
        assert found is not None
        return found

    def at(self, minute: int) -> int:
        return self.session.open_ms + minute * MINUTE_MS

    def collect(
        self,
        minutes: Iterable[int] = range(375),
        *,
        status: Status = all_live,
        spot: Callable[[int], float] = lambda minute: SPOT + minute / 10,
        vol_pct: float = 9.0,
        oi: int = OI,
        spread: float = 0.2,
    ) -> None:
        """Write cycles into the lake: Black-76 prices around one spot path, all strikes at one volatility."""
        exchange = self.rules.index(self.underlying).option_exchange
        closes = {code: self.rules.expiry_close_ms(self.day, exchange, expiry) for code, expiry in self.codes.items()}
        rows = [
            self._row(minute, code, offset, spot(minute), status(minute, offset), closes[code], vol_pct, oi, spread)
            for minute in minutes
            for code in self.codes
            for offset in OFFSETS
        ]
        with Lake.open(self.paths.lake(self.day, self.underlying), OPTION_COLUMNS) as lake:
            lake.append([row.cells() for row in rows])

    def _row(
        self,
        minute: int,
        code: str,
        offset: int,
        money: float,
        state: RowStatus,
        close_ms: int,
        vol_pct: float,
        oi: int,
        spread: float,
    ) -> OptionRow:
        expiry = self.codes[code]
        atm = round(money / 50) * 50
        strike = atm + 50 * offset
        time_ms = self.at(minute)
        t_years = (close_ms - time_ms) / YEAR_MS

        def side(kind: str) -> SideCells:
            contract = self.book.option(self.underlying, expiry, strike * 100, kind)
            assert contract is not None, strike
            if state is RowStatus.MISSING:
                return SideCells(state, contract.tradingsymbol, iv_reason=IvReason.NO_QUOTE)
            price = max(round(black76_price(money, strike, vol_pct / 100, t_years, 1.0, kind == "CE") * 20) / 20, 0.05)
            delta, gamma, theta, vega, rho = greeks(money, strike, vol_pct / 100, t_years, 1.0, kind == "CE")
            bid, ask = round(price - spread / 2, 2), round(price + spread / 2, 2)
            figures = (price, bid, ask, 300, 300, minute * 75, oi, price, vol_pct, delta, gamma, theta, vega, rho)
            return SideCells(state, contract.tradingsymbol, *figures)

        return OptionRow(
            time_ms=time_ms,
            exchange_ms=time_ms,
            index=self.underlying,
            expiry_code=code,
            expiry=expiry,
            offset=offset,
            atm_strike=float(atm),
            strike=float(strike),
            dte=(expiry - self.day).days,
            minutes_to_expiry=(close_ms - time_ms) / MINUTE_MS,
            spot=None if state is RowStatus.MISSING else money,
            spot_kind=None if state is RowStatus.MISSING else SpotKind.FORWARD,
            forward=None if state is RowStatus.MISSING else money,
            call=side("CE"),
            put=side("PE"),
        )


def make_day(root: Path, rules: MarketRules, settings: Settings, *, day: date = DAY) -> MadeDay:
    """A NIFTY day prepared from the simulated exchange, with nothing collected yet."""
    underlying = "NIFTY"
    session = rules.index_session(underlying, day)
    source = ScriptedSource.of(underlying, day, rules, spot_path=[(session.open_ms, round(SPOT * 100))])
    clock = VirtualClock(session.open_ms)
    exchange = Exchange(
        source, rules, clock, seed=0, cash_paise=settings.capital_paise, order_latency_ms=80, latency_jitter_ms=40
    )
    paths = DataPaths(root)
    site = Site(settings, rules, paths)
    pack = prepare(connect(exchange), site, day, (underlying,), source_label=source.label, seed=0)
    book = pack.book()
    codes = dict(zip(("this_week", "next_week"), book.expiries(underlying), strict=False))
    return MadeDay(paths, rules, settings, day, underlying, session, codes, book)
