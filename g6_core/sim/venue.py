"""The exchange's side of an order: arrival after the latency, price range checks, matching, triggers, the close.

Requests arrive in virtual time; resting orders are matched on every whole second. `advance` handles everything that
is due, so time can jump without changing what happens in between.
"""

import heapq
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from g6_core.domain.calendar import MarketRules, PriceProtection
from g6_core.domain.instruments import Instrument
from g6_core.domain.ist import SECOND_MS
from g6_core.domain.orders import OrderType, Status, Validity
from g6_core.sim.checks import price_range_problem, stop_width_problem
from g6_core.sim.keys import key_of
from g6_core.sim.matching import (
    Book,
    Taken,
    TakenRow,
    aggressive_fills,
    book_of,
    circuit_limits,
    passive_fill,
    trigger_reached,
)
from g6_core.sim.order_log import OrderLog
from g6_core.sim.order_state import Change, SimOrder
from g6_core.sim.refusals import rejection
from g6_core.sim.source import MarketSource

REFERENCE_WINDOW_MS = 30_000
REFERENCE_STEP_MS = 5_000
EXCHANGE_ORDER_PREFIX = 1_300_000_000_000_000
NEVER_MS = 1 << 62


class Request(IntEnum):
    """What is on its way to the exchange."""

    NEW = 0
    CHANGE = 1
    CANCEL = 2


@dataclass(frozen=True, slots=True)
class Latency:
    """Way to the exchange: `base_ms` plus 0..`jitter_ms`, drawn by a counter from the seed."""

    base_ms: int
    jitter_ms: int
    seed: int

    def of(self, number: int) -> int:
        """Latency of the n-th request of the day."""
        return self.base_ms + key_of(self.seed, "latency", number) % (self.jitter_ms + 1)


@dataclass(frozen=True, slots=True)
class VenueBooks:
    """What the venue has in hand, as plain values; `queue` holds (due_ms, number, request, order id)."""

    now_ms: int
    sent: int
    accepted: int
    queue: tuple[tuple[int, int, Request, str], ...]
    taken: tuple[TakenRow, ...]


class Venue:
    """The exchange for the orders of one client; `now_ms` is how far it has been advanced."""

    def __init__(
        self, source: MarketSource, rules: MarketRules, log: OrderLog, latency: Latency, *, start_ms: int
    ) -> None:
        self.now_ms = start_ms
        self._source = source
        self._rules = rules
        self._log = log
        self._latency = latency
        self._queue: list[tuple[int, int, Request, str]] = []
        self._sent = 0
        self._accepted = 0
        self._taken = Taken()

    def books(self) -> VenueBooks:
        """What has to be kept of it."""
        return VenueBooks(self.now_ms, self._sent, self._accepted, tuple(self._queue), self._taken.rows())

    def restore(self, kept: VenueBooks) -> None:
        """Go on from kept books at their time."""
        self.now_ms, self._sent, self._accepted = kept.now_ms, kept.sent, kept.accepted
        self._queue = list(kept.queue)
        self._taken = Taken.of(kept.taken)

    def row(self, instrument: Instrument, time_ms: int) -> np.void:
        """The QUOTE row of one contract at a time."""
        row: np.void = self._source.quotes(np.array([instrument.token], np.int64), time_ms)[0]
        return row

    def send(self, request: Request, order: SimOrder) -> None:
        """Put a request about an order on its way."""
        self._sent += 1
        due_ms = self.now_ms + self._latency.of(self._sent)
        heapq.heappush(self._queue, (due_ms, self._sent, request, order.order_id))

    def advance(self, to_ms: int) -> None:
        """Do all that is due up to and including `to_ms`; an earlier time is no move.

        At one moment the close comes first, then resting orders, then requests that arrive: a fill that was
        possible before a cancellation arrived has happened.
        """
        while (due_ms := self._next_due()) <= to_ms:
            self.now_ms = due_ms
            self._close_due()
            if due_ms % SECOND_MS == 0:
                self._match_resting()
            while self._queue and self._queue[0][0] <= due_ms:
                _, _, request, order_id = heapq.heappop(self._queue)
                self._arrive(request, self._log.orders[order_id])
        self.now_ms = max(self.now_ms, to_ms)

    def _next_due(self) -> int:
        due = [self._queue[0][0]] if self._queue else []
        if self._log.live:
            due.append((self.now_ms // SECOND_MS + 1) * SECOND_MS)
            due.append(min(order.close_ms for order in self._log.live.values()))
        return min(due, default=NEVER_MS)

    def _close_due(self) -> None:
        for order in [order for order in self._log.live.values() if order.close_ms <= self.now_ms]:
            order.updated_ms = self.now_ms
            if order.status is Status.OPEN_PENDING:
                self._log.finish(order, Status.REJECTED, rejection("closed_on_arrival"))
                continue
            if order.status is Status.MODIFY_PENDING:
                self._refuse_change(order, rejection("closed_on_arrival"))
            self._log.finish(order, Status.CANCELLED)

    def _match_resting(self) -> None:
        resting = [order for order in self._log.live.values() if order.at_exchange]
        if not resting:
            return
        tokens = sorted({order.instrument.token for order in resting})
        rows = self._source.quotes(np.array(tokens, np.int64), self.now_ms)
        books = {token: book_of(row) for token, row in zip(tokens, rows, strict=True)}
        for order in resting:
            book = books[order.instrument.token]
            if not book.is_live(self.now_ms):
                continue
            if order.waits_for_trigger:
                self._try_release(order, book)
            else:
                taken = self._taken.at(book, order.side)
                self._book_fills(order, passive_fill(book, order.side, order.price_paise, order.rest, taken))

    def _arrive(self, request: Request, order: SimOrder) -> None:
        if order.is_terminal:
            return
        order.updated_ms = self.now_ms
        if request is Request.CANCEL:
            self._log.finish(order, Status.CANCELLED)
        elif request is Request.CHANGE:
            self._arrive_change(order)
        else:
            self._arrive_new(order)

    def _arrive_new(self, order: SimOrder) -> None:
        book = book_of(self.row(order.instrument, self.now_ms))
        problem = self._price_problem(order, order)
        if problem:
            self._log.finish(order, Status.REJECTED, problem)
            return
        self._accepted += 1
        order.exchange_order_id = str(EXCHANGE_ORDER_PREFIX + self._accepted)
        order.exchange_ms = self.now_ms
        self._log.step(order, order.resting_status)
        self._meet(order, book)

    def _arrive_change(self, order: SimOrder) -> None:
        change, order.change = order.change, None
        assert change is not None, order.order_id
        book = book_of(self.row(order.instrument, self.now_ms))
        moves_trigger = change.order_type is OrderType.SL and change.trigger_paise != order.trigger_paise
        if order.triggered and moves_trigger:
            problem = rejection("released")
        elif change.quantity <= order.filled_quantity:
            problem = rejection("overtaken")
        else:
            problem = self._price_problem(order, change)
        if problem:
            self._refuse_change(order, problem)
            return
        order.order_type, order.validity = change.order_type, change.validity
        order.quantity, order.price_paise = change.quantity, change.price_paise
        order.trigger_paise, order.protection_pct = change.trigger_paise, change.protection_pct
        order.modified = True
        self._log.step(order, Status.MODIFIED)
        self._log.step(order, order.resting_status)
        self._log.push(order)
        self._meet(order, book)

    def _refuse_change(self, order: SimOrder, problem: str) -> None:
        self._log.step(order, Status.NOT_MODIFIED, problem)
        self._log.step(order, order.resting_status, problem)
        self._log.push(order)

    def _meet(self, order: SimOrder, book: Book) -> None:
        """An order that arrives, or was changed, meets the book of this moment."""
        if book.is_live(self.now_ms):
            if order.waits_for_trigger:
                self._try_release(order, book)
            else:
                self._cross(order, book)
        if order.validity is Validity.IOC and not order.is_terminal:
            self._log.finish(order, Status.CANCELLED)

    def _try_release(self, order: SimOrder, book: Book) -> None:
        """Turn a stop whose trigger was reached into the limit order it carries; it may rest when the price jumped.

        The released limit is subject to the price range. While a request about the order is in transit, an order
        outside the range stays a stop: Kite has no way from such a status to REJECTED.
        """
        if not trigger_reached(order.side, order.trigger_paise, book.ltp_paise):
            return
        problem = self._range_problem(order, order.price_paise)
        if problem and order.in_transit:
            return
        order.updated_ms = self.now_ms
        if problem:
            self._log.finish(order, Status.REJECTED, problem)
            return
        self._log.release(order)
        if not order.in_transit:
            self._log.step(order, Status.OPEN)
            self._log.push(order)
        self._cross(order, book)

    def _cross(self, order: SimOrder, book: Book) -> None:
        taken = self._taken.at(book, order.side)
        self._book_fills(order, aggressive_fills(book, order.side, order.price_paise, order.rest, taken))

    def _book_fills(self, order: SimOrder, fills: list[tuple[int, int]]) -> None:
        for price_paise, quantity in fills:
            self._log.fill(order, price_paise, quantity, self.now_ms)

    def _price_problem(self, order: SimOrder, terms: SimOrder | Change) -> str:
        """Why the exchange refuses these prices, or "". A stop's limit is judged when it is released."""
        if terms.order_type is OrderType.SL and not order.triggered:
            return stop_width_problem(self._protection(order.instrument), terms.price_paise, terms.trigger_paise)
        return self._range_problem(order, terms.price_paise)

    def _range_problem(self, order: SimOrder, price_paise: int) -> str:
        instrument = order.instrument
        row = self.row(instrument, self.now_ms)
        known = (int(row["close_paise"]), int(row["open_paise"]), int(row["ltp_paise"]))
        return price_range_problem(
            self._protection(instrument),
            order.side,
            price_paise,
            self._reference_paise(instrument),
            circuit_limits(instrument, *known),
        )

    def _protection(self, instrument: Instrument) -> PriceProtection:
        return self._rules.price_protection(instrument.exchange, self._source.trade_date)

    def _reference_paise(self, instrument: Instrument) -> int:
        """Average of the last prices, every 5 s, of the 30 s window before the last recalculation; 0 when unknown."""
        end_ms = self.now_ms // REFERENCE_WINDOW_MS * REFERENCE_WINDOW_MS
        moments = range(end_ms - REFERENCE_WINDOW_MS + REFERENCE_STEP_MS, end_ms + 1, REFERENCE_STEP_MS)
        prices = [int(self.row(instrument, moment)["ltp_paise"]) for moment in moments]
        known = [price for price in prices if price > 0] or [int(self.row(instrument, self.now_ms)["ltp_paise"])]
        return sum(known) // len(known)
