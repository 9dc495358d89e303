"""Dated market rules: trading days, sessions, expiries, lots, ticks, freeze limits, protections.

The values live in `config/market/*.yaml` (loaded by `g6_core.adapters.market_rules`); nothing here
is a constant of the market. A question about a date that no rule covers is a `CalendarError`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from typing import TypeVar

from g6_core.domain.charges import ChargeRates
from g6_core.domain.contracts import ContractRules
from g6_core.domain.dated import Timeline
from g6_core.domain.errors import CalendarError, UserError
from g6_core.domain.ist import at
from g6_core.domain.suggest import did_you_mean
from g6_core.domain.trading_days import Hours, TradingDays

V = TypeVar("V")
ONE_DAY = timedelta(days=1)
# Next year's list comes out two weeks before the year ends.
CALENDAR_WARN_DAYS = 45


@dataclass(frozen=True, slots=True)
class Session:
    """Continuous trading of a day: first and last moment, milliseconds since the epoch."""

    open_ms: int
    close_ms: int

    @property
    def minutes(self) -> int:
        """Whole minutes of the session (375 for 09:15-15:30)."""
        return (self.close_ms - self.open_ms) // 60_000


@dataclass(frozen=True, slots=True)
class IndexSpec:
    """Names and numbers of an index at the broker and of its options at the exchange."""

    underlying: str
    index_symbol: str
    index_exchange: str
    option_exchange: str
    option_segment: str
    index_token: int
    index_token_verified: bool


@dataclass(frozen=True, slots=True)
class PriceProtection:
    """Limits of the exchange on order prices.

    Limit price protection: `lpp_pct` of the reference price, or `lpp_abs_paise` when the reference is not above
    `lpp_threshold_paise`. Stop-limit width: |limit - trigger| by the same scheme, of the trigger.
    """

    lpp_pct: float
    lpp_threshold_paise: int
    lpp_abs_paise: int
    sl_width_pct: float
    sl_width_threshold_paise: int
    sl_width_abs_paise: int


@dataclass(frozen=True, slots=True)
class ProtectionBand:
    """Automatic market protection of the broker for prices below `below_paise` (None: no upper end)."""

    below_paise: int | None
    pct: float


@dataclass(frozen=True, slots=True)
class UnconfirmedRule:
    """A dated rule that no primary source confirms, from its first day to its last (None: it is the newest)."""

    name: str
    start: date
    last: date | None
    source: str


@dataclass(frozen=True, slots=True)
class ModelledLevel:
    """A typical day of an underlying, to seed the modelled market; volume and OI in units over all options."""

    spot_paise: int
    atm_iv_pct: float
    day_option_volume: int
    day_option_oi: int


@dataclass(frozen=True, slots=True)
class MarketRules:
    """Answers every dated question about the market. Frozen, and safe to share between threads.

    `sha256` is the hash of the effective rules. Methods raise CalendarError for a date that no rule covers
    and UserError for an unknown underlying or exchange.
    """

    days: TradingDays
    hours: Mapping[str, Timeline[Hours]]
    indices: Mapping[str, IndexSpec]
    contracts: Mapping[str, ContractRules]
    charges: Mapping[str, Timeline[ChargeRates]]
    mis_cutoffs: Mapping[str, Timeline[time]]
    protections: Mapping[str, Timeline[PriceProtection]]
    market_protections: Timeline[tuple[ProtectionBand, ...]]
    modelled: Mapping[str, ModelledLevel]
    sha256: str
    unconfirmed: tuple[UnconfirmedRule, ...] = ()
    _expiries: dict[tuple[str, date, date], tuple[date, ...]] = field(default_factory=dict, repr=False, compare=False)
    _monthly: dict[tuple[str, date], bool] = field(default_factory=dict, repr=False, compare=False)

    def __hash__(self) -> int:
        return hash(self.sha256)

    @property
    def underlyings(self) -> tuple[str, ...]:
        """Known underlyings in the order of the configuration."""
        return tuple(self.indices)

    def index(self, underlying: str) -> IndexSpec:
        """The index and its option segment; UserError listing the known ones."""
        return self._of(self.indices, underlying, "index")

    # Trading days

    def is_trading_day(self, day: date) -> bool:
        """True on a day with a session, special ones included."""
        return self.days.contains(day)

    def require_trading_day(self, day: date) -> None:
        """CalendarError naming the nearest trading days when the market is closed on `day`."""
        if self.days.contains(day):
            return
        near = [f"{neighbour}" for neighbour in (self._step(day, -ONE_DAY), self._step(day, ONE_DAY)) if neighbour]
        plural = "trading days are" if len(near) > 1 else "trading day is"
        raise CalendarError(f"{day} is {self.days.reason_closed(day)}; nearest {plural} {' and '.join(near)}")

    def previous_trading_day(self, day: date) -> date:
        """Last trading day before `day`."""
        return self._neighbour(day, -ONE_DAY)

    def next_trading_day(self, day: date) -> date:
        """First trading day after `day`."""
        return self._neighbour(day, ONE_DAY)

    def known_next_trading_day(self, day: date) -> date:
        """First trading day after `day` as far as was known on `day`; beyond the known calendar it is provisional."""
        following = day + ONE_DAY
        while not self.days.contains(following, day):
            following += ONE_DAY
        return following

    def last_trading_day_up_to(self, day: date) -> date:
        """`day` itself or the trading day before it."""
        return day if self.days.contains(day) else self.previous_trading_day(day)

    def provisional(self, day: date) -> str:
        """Return why `day` is an assumption and what to do about it; "" for a day of a published holiday list."""
        if not self.days.is_provisional(day):
            return ""
        return (
            f"{day} is provisional: {day.year}'s holidays are not known, weekends and fixed holidays are assumed; "
            "add the exchange's list with `g6 market refresh FILE`"
        )

    def ends_soon(self, today: date) -> str:
        """Return that the known calendar ends within `CALENDAR_WARN_DAYS` or has ended; "" while it goes on longer."""
        last = self.days.last
        left = (last - today).days
        if left > CALENDAR_WARN_DAYS:
            return ""
        if left < 0:
            return f"the known calendar ended on {last}: every day since is provisional"
        return (
            f"the known calendar ends on {last}, in {left} days; "
            f"the exchange publishes {last.year + 1}'s holidays in mid December"
        )

    def doubts(self, day: date) -> tuple[UnconfirmedRule, ...]:
        """Return the unconfirmed rules that are in force on `day` or will come after it."""
        return tuple(rule for rule in self.unconfirmed if rule.last is None or rule.last >= day)

    def shown(self, day: date) -> str:
        """Return a day as people read it: ``2027-02-01 (provisional)`` where its year's holidays are not known."""
        return f"{day} (provisional)" if self.days.is_provisional(day) else f"{day}"

    def _neighbour(self, day: date, step: timedelta) -> date:
        day += step
        while not self.days.contains(day):
            day += step
        return day

    def _step(self, day: date, step: timedelta) -> date | None:
        try:
            return self._neighbour(day, step)
        except CalendarError:
            return None

    # Sessions

    def session(self, day: date, exchange: str, expiry: date | None = None) -> Session:
        """Continuous trading on `day`; of the contracts with this expiry when it is given.

        `exchange` is NSE, BSE (the index streams, whose values run through the derivatives session), NFO or BFO.
        A special day with two parts is one session from the first open to the last close.
        """
        hours = self._hours(day, exchange)
        close = hours.expiring_close if expiry == day else hours.close
        return Session(at(day, hours.open), at(day, close))

    def index_session(self, underlying: str, day: date, expiry: date | None = None) -> Session:
        """Return the session of an index's options; of those with this expiry when it is given."""
        return self.session(day, self.index(underlying).option_exchange, expiry)

    def joint_session(self, underlyings: Iterable[str], day: date) -> Session:
        """Return the hours from the first open to the last close of the options of these indices."""
        sessions = [self.index_session(name, day) for name in underlyings]
        return Session(min(one.open_ms for one in sessions), max(one.close_ms for one in sessions))

    def stocks_close_ms(self, day: date, exchange: str) -> int:
        """Until when the stocks of an index trade; afterwards it may stand still. `exchange` is as in `session`."""
        return at(day, self._hours(day, exchange).stocks_close)

    def expiry_close_ms(self, day: date, exchange: str, expiry: date) -> int:
        """When the contracts listed on `day` stop trading on their last day, as far as was known on `day`."""
        self.require_trading_day(day)
        regular = self._of(self.hours, exchange, "exchange")
        special = self.days.special_on(expiry, day)
        return at(expiry, (special.hours if special else regular.at(expiry)).expiring_close)

    def mis_cutoff_ms(self, day: date, exchange: str) -> int:
        """From this moment the broker squares off MIS positions and takes no fresh MIS order."""
        cutoffs = self._of(self.mis_cutoffs, exchange, "exchange")
        self.require_trading_day(day)
        special = self.days.special.get(day)
        return at(day, special.mis_cutoff if special else cutoffs.at(day))

    def _hours(self, day: date, exchange: str) -> Hours:
        hours = self._of(self.hours, exchange, "exchange")
        self.require_trading_day(day)
        special = self.days.special.get(day)
        return special.hours if special else hours.at(day)

    # Contracts

    def expiries(self, underlying: str, day: date, known_on: date | None = None) -> tuple[date, ...]:
        """All option expiries listed on `day`, nearest first: weeklies, monthlies, quarterlies, half-yearlies.

        By the holidays as known on `day`, or on an earlier `known_on`: a dump of the morning on which the exchange
        moves an expiry still lists the old one.
        """
        known_on = known_on or day
        key = (underlying, day, known_on)
        found = self._expiries.get(key)
        if found is None:
            found = self._contract(underlying).listed(day, lambda scheduled: self._roll(scheduled, known_on))
            self._expiries[key] = found
        return found

    def is_monthly(self, underlying: str, expiry: date) -> bool:
        """True for the last expiry of its month under any rule and any holiday list it may have been listed by."""
        key = (underlying, expiry)
        known = self._monthly.get(key)
        if known is None:
            known = expiry in self._monthly_variants(self._contract(underlying), expiry.year, expiry.month)
            self._monthly[key] = known
        return known

    def _monthly_variants(self, contract: ContractRules, year: int, month: int) -> set[date]:
        listed_on = [rule.listed_from for rule in contract.expiry_rules]
        scheduled = {contract.scheduled_monthly(year, month, day) for day in listed_on}
        known_on = {date.min, *self.days.changes()}
        return {self._roll(day, known) for day in scheduled if day is not None for known in known_on}

    def lot_size(self, underlying: str, day: date, expiry: date) -> int:
        """Units per lot of the contract with this expiry, as listed on `day`."""
        return self._contract(underlying).lot_size(day, expiry, self.is_monthly(underlying, expiry))

    def tick_paise(self, underlying: str, day: date) -> int:
        """Tick of the options of an underlying."""
        return self._contract(underlying).tick_paise.at(day)

    def strike_step_paise(self, underlying: str, day: date) -> int:
        """Distance between the strikes near the money of the expiries that are collected, as listed on `day`."""
        return self._contract(underlying).strike_step_paise.at(day)

    def freeze_quantity(self, underlying: str, day: date) -> int:
        """Largest quantity of one order in units; an order above it is refused."""
        return self._contract(underlying).freeze_quantity.at(day)

    def _contract(self, underlying: str) -> ContractRules:
        return self._of(self.contracts, underlying, "index")

    def _roll(self, scheduled: date, known_on: date) -> date:
        """The scheduled expiry or, when that is a holiday as far as known, the trading day before it."""
        while not self.days.can_expire(scheduled, known_on):
            scheduled -= ONE_DAY
        return scheduled

    # Money and price limits

    def charge_rates(self, exchange: str, day: date) -> ChargeRates:
        """Rates of the option segment NFO or BFO."""
        return self._of(self.charges, exchange, "option exchange").at(day)

    def price_protection(self, exchange: str, day: date) -> PriceProtection:
        """Price limits of the option segment NFO or BFO."""
        return self._of(self.protections, exchange, "option exchange").at(day)

    def market_protection_pct(self, day: date, ltp_paise: int) -> float:
        """Percentage through the last price at which the broker caps a MARKET order with automatic protection."""
        bands = self.market_protections.at(day)
        return next(band.pct for band in bands if band.below_paise is None or ltp_paise < band.below_paise)

    @staticmethod
    def _of(table: Mapping[str, V], name: str, what: str) -> V:
        try:
            return table[name]
        except KeyError:
            raise UserError(f"unknown {what} {name!r}; {did_you_mean(name, list(table))}") from None
