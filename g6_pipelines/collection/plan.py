"""What is collected of one index on one day: expiries by code, hours, and which quotes a cycle needs."""

from collections.abc import Set
from dataclasses import dataclass, field
from datetime import date
from functools import partial

from g6_core.adapters.kite_market import QUOTE_KEYS_MAX
from g6_core.domain.calendar import Session
from g6_core.domain.chain import atm_on_step
from g6_core.domain.errors import DataError
from g6_core.domain.expiry_codes import ExpiryCode, resolve_expiry_codes
from g6_core.domain.instruments import Instrument, InstrumentBook
from g6_core.domain.universe import Pair, contracts_of, pairs_at
from g6_core.schema.options import OptionRow, SpotKind
from g6_core.site import Day
from g6_pipelines.collection.rows import ExpiryView, Moment, Quotes, Spot, forward_of, rows_of


@dataclass(slots=True)
class IndexPlan:
    """One index. Changes only in `atm_paise`, the last known money, so that a cycle mostly needs one call."""

    underlying: str
    day: date
    book: InstrumentBook
    index_row: Instrument
    index_kind: str
    step_paise: int
    offsets: tuple[int, ...]
    codes: dict[str, date | None]
    session: Session
    expires_ms: dict[date, int]
    open_until_ms: dict[date, int]
    atm_paise: int | None = None
    _pairs: dict[tuple[date, int], tuple[Pair, ...]] = field(default_factory=dict)

    def expiries(self) -> tuple[date, ...]:
        """Distinct expiries, nearest first."""
        return tuple(sorted({expiry for expiry in self.codes.values() if expiry is not None}))

    def is_open(self, time_ms: int) -> bool:
        """Whether the index trades at that time."""
        return self.session.open_ms <= time_ms < self.session.close_ms

    @property
    def index_key(self) -> str:
        """The key of the index itself."""
        return self.index_row.kite_key

    def contract_keys(self, asked: Set[str], moment: Moment) -> list[str]:
        """Keys of the universe; of the whole nearest chain that still trades when the index alone gave no money."""
        if self.atm_paise is not None:
            pairs = [pair for expiry in self.expiries() for pair in self._pairs_of(expiry, self.atm_paise)]
            return [row.kite_key for row in contracts_of(pairs)]
        if self.index_key in asked:
            chain = [pair for expiry in self._still_open(moment)[:1] for pair in self._listed_pairs(expiry)]
            return [row.kite_key for row in contracts_of(chain)][: QUOTE_KEYS_MAX - 1]
        return []

    def locate(self, quotes: Quotes, moment: Moment) -> Spot | None:
        """Spot from the live index quote, else the live parity forward; moves the money along.

        A stale index quote still says where the money was, but it is not a spot.
        """
        quote = quotes.get(self.index_key)
        spot = None
        if quote is not None and quote.ltp is not None and moment.is_live(quote):
            spot = Spot(quote.ltp, self.index_kind)
        else:
            forward = self._nearest_forward(quotes, moment)
            if forward is not None:
                spot = Spot(forward, SpotKind.FORWARD.value)
        if spot is not None:
            self.atm_paise = atm_on_step(round(spot.rupees * 100), self.step_paise)
        elif self.atm_paise is None and quote is not None and quote.ltp is not None:
            self.atm_paise = atm_on_step(round(quote.ltp * 100), self.step_paise)
        return spot

    def rows(self, spot: Spot | None, quotes: Quotes, moment: Moment) -> list[OptionRow]:
        """The rows of a cycle."""
        views = {expiry: self._view(expiry, quotes, moment) for expiry in self.expiries()}
        by_code = {code: None if expiry is None else views[expiry] for code, expiry in self.codes.items()}
        return rows_of(self.underlying, by_code, self.offsets, self.day, self.atm_paise, spot, quotes, moment)

    def _view(self, expiry: date, quotes: Quotes, moment: Moment) -> ExpiryView:
        pairs = () if self.atm_paise is None else self._pairs_of(expiry, self.atm_paise)
        return ExpiryView(
            expiry=expiry,
            pairs=pairs,
            forward=forward_of(pairs, quotes, moment),
            expires_ms=self.expires_ms[expiry],
            open_until_ms=self.open_until_ms[expiry],
        )

    def _pairs_of(self, expiry: date, atm_paise: int) -> tuple[Pair, ...]:
        key = (expiry, atm_paise)
        if key not in self._pairs:
            self._pairs[key] = pairs_at(self.book, self.underlying, expiry, atm_paise, self.step_paise, self.offsets)
        return self._pairs[key]

    def _still_open(self, moment: Moment) -> list[date]:
        """Expiries that trade at that time, nearest first: one that ends today closes before the index does."""
        return [expiry for expiry in self.expiries() if moment.time_ms < self.open_until_ms[expiry]]

    def _listed_pairs(self, expiry: date) -> tuple[Pair, ...]:
        """Every listed strike of an expiry."""
        return tuple(
            pair
            for strike in self.book.strikes(self.underlying, expiry)
            for pair in pairs_at(self.book, self.underlying, expiry, strike, self.step_paise, (0,))
        )

    def _nearest_forward(self, quotes: Quotes, moment: Moment) -> float | None:
        """The forward of the nearest expiry that has one."""
        if not quotes:
            return None
        found = (forward_of(self._listed_pairs(expiry), quotes, moment) for expiry in self._still_open(moment))
        return next((forward for forward in found if forward is not None), None)


def plan_index(day: Day, book: InstrumentBook, index_kind: str) -> IndexPlan:
    """Resolve the configured codes from the dump. DataError when the dump has no row of the index."""
    rules, index_row = day.site.rules, book.index(day.index)
    if index_row is None:
        raise DataError(f"the instruments dump of {day.date} has no index row of {day.index}; fetch the dump again")
    exchange = rules.index(day.index).option_exchange
    found = resolve_expiry_codes(book.expiries(day.index), day.date, partial(rules.is_monthly, day.index))
    codes: dict[str, date | None] = {code: found.get(ExpiryCode(code)) for code in day.settings.expiry_codes}
    expiries = {expiry for expiry in codes.values() if expiry is not None}
    return IndexPlan(
        underlying=day.index,
        day=day.date,
        book=book,
        index_row=index_row,
        index_kind=index_kind,
        step_paise=day.step_paise,
        offsets=day.settings.offsets,
        codes=codes,
        session=day.session,
        expires_ms={expiry: rules.expiry_close_ms(day.date, exchange, expiry) for expiry in expiries},
        open_until_ms={expiry: day.close_ms(expiry) for expiry in expiries},
    )
