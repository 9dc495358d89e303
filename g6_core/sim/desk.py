"""The broker's order desk: placing, changing and cancelling orders, with the risk checks before the exchange."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from g6_core.domain.calendar import MarketRules, Session
from g6_core.domain.instruments import Instrument
from g6_core.domain.money import rupees_text
from g6_core.domain.orders import OrderType, Side, Status
from g6_core.sim.checks import MODIFICATIONS_MAX, check_product, trigger_side_problem
from g6_core.sim.kite_shapes import Json
from g6_core.sim.matching import protected_limit
from g6_core.sim.order_form import AUTOMATIC_PROTECTION, parse_change, parse_order, parse_slices
from g6_core.sim.order_log import OrderLog
from g6_core.sim.order_state import Change, SimOrder
from g6_core.sim.refusals import KiteError, error_json, kite_error, rejection
from g6_core.sim.source import MarketSource
from g6_core.sim.venue import Request, Venue


class OrderDesk:
    """Takes the forms of the order API. All methods raise KiteError for what Kite answers at once."""

    def __init__(self, source: MarketSource, rules: MarketRules, log: OrderLog, venue: Venue) -> None:
        self._source = source
        self._rules = rules
        self._log = log
        self._venue = venue
        # Sliced orders of the day: a parent is in no order book, only its number must not come again.
        self.parents = 0
        self._sessions: dict[tuple[str, object], Session] = {}

    def place(self, variety: str, params: Mapping[str, str], parent_id: str = "") -> str:
        """Order id of an accepted form. Risk checks may have REJECTED the order by the time this returns."""
        now_ms = self._venue.now_ms
        ticket = parse_order(variety, params, self._source.instruments, self._rules, now_ms)
        instrument, day = ticket.instrument, self._source.trade_date
        check_product(ticket.product, self._rules.mis_cutoff_ms(day, instrument.exchange), now_ms)
        price_paise, protection_pct = ticket.price_paise, 0.0
        if ticket.protection_pct is not None:
            price_paise, protection_pct = self._protected(instrument, ticket.side, ticket.protection_pct)
        session = self._session(instrument)
        order = SimOrder(
            order_id=f"{day:%y%m%d}{len(self._log.orders) + 1:09d}",
            instrument=instrument,
            side=ticket.side,
            product=ticket.product,
            order_type=_shown_type(ticket.order_type),
            validity=ticket.validity,
            quantity=ticket.quantity,
            price_paise=price_paise,
            trigger_paise=ticket.trigger_paise,
            tag=ticket.tag,
            placed_ms=now_ms,
            open_ms=session.open_ms,
            close_ms=session.close_ms,
            protection_pct=protection_pct,
            parent_id=parent_id,
        )
        problem, raw_problem = self._risk_problem(order)
        self._log.add(order)
        if problem:
            self._log.finish(order, Status.REJECTED, problem, raw_problem)
            return order.order_id
        self._log.step(order, Status.VALIDATION_PENDING)
        self._log.step(order, Status.OPEN_PENDING)
        self._venue.send(Request.NEW, order)
        return order.order_id

    def place_sliced(self, variety: str, params: Mapping[str, str]) -> Json:
        """Place an order in slices of at most the freeze quantity: the parent's id and what became of each child.

        An order that needs no slicing is placed as it is. What is wrong with the first slice is wrong with the order.
        """
        form = {**params, "autoslice": "false"}
        quantities = parse_slices(form, self._source.instruments, self._rules, self._venue.now_ms)
        if len(quantities) == 1:
            return {"order_id": self.place(variety, form)}
        self.parents += 1
        parent_id = f"{self._source.trade_date:%y%m%d}9{self.parents:08d}"
        children: list[Json] = []
        for quantity in quantities:
            try:
                order_id = self.place(variety, form | {"quantity": str(quantity)}, parent_id)
            except KiteError as error:
                if not children:
                    raise
                children.append({"error": error_json(error)})
                continue
            child = self._log.orders[order_id]
            if child.status is Status.REJECTED:
                refused = KiteError(400, "MarginException", child.message)
                children.append({"error": error_json(refused)})
            else:
                children.append({"order_id": order_id})
        return {"order_id": parent_id, "children": children}

    def modify(self, order_id: str, params: Mapping[str, str]) -> str:
        """Send a modification on its way; `quantity` is the new total. The outcome shows in the order book."""
        order = self._addressed(order_id, "modified", "modify_in_transit")
        change, protection = parse_change(params, order, self._rules, self._venue.now_ms)
        if order.modifications >= MODIFICATIONS_MAX:
            raise kite_error("modifications")
        if protection is not None:
            price_paise, pct = self._protected(order.instrument, order.side, protection)
            change = replace(change, order_type=OrderType.LIMIT, price_paise=price_paise, protection_pct=pct)
        order.modifications += 1
        resting = order.status
        self._log.step(order, Status.MODIFY_VALIDATION_PENDING)
        problem, raw_problem = self._change_problem(order, change)
        if problem:
            self._log.step(order, Status.NOT_MODIFIED, problem, raw_problem)
            self._log.step(order, resting, problem, raw_problem)
            self._log.push(order)
            return order_id
        order.change = change
        self._log.step(order, Status.MODIFY_PENDING)
        self._venue.send(Request.CHANGE, order)
        return order_id

    def cancel(self, order_id: str) -> str:
        """Send a cancellation on its way; a fill before its arrival wins."""
        order = self._addressed(order_id, "cancelled", "cancel_in_transit")
        self._log.step(order, Status.CANCEL_PENDING)
        self._venue.send(Request.CANCEL, order)
        return order_id

    def _addressed(self, order_id: str, what: str, in_transit: str) -> SimOrder:
        order = self._log.orders.get(order_id)
        if order is None:
            raise kite_error("unknown_order")
        if order.is_terminal:
            raise kite_error("finished", what=what, status=order.status.lower())
        if order.in_transit:
            raise kite_error(in_transit)
        return order

    def _session(self, instrument: Instrument) -> Session:
        key = (instrument.exchange, instrument.expiry)
        if key not in self._sessions:
            self._sessions[key] = self._rules.session(self._source.trade_date, instrument.exchange, instrument.expiry)
        return self._sessions[key]

    def _ltp_paise(self, instrument: Instrument) -> int:
        return int(self._venue.row(instrument, self._venue.now_ms)["ltp_paise"])

    def _protected(self, instrument: Instrument, side: Side, asked_pct: float) -> tuple[int, float]:
        """(limit, percent) that a MARKET order becomes now."""
        ltp_paise = self._ltp_paise(instrument)
        if ltp_paise <= 0:
            raise kite_error("no_last_price", symbol=instrument.tradingsymbol)
        pct = asked_pct
        if asked_pct == AUTOMATIC_PROTECTION:
            pct = self._rules.market_protection_pct(self._source.trade_date, ltp_paise)
        return protected_limit(side, ltp_paise, pct, instrument.tick_paise), pct

    def _risk_problem(self, order: SimOrder) -> tuple[str, str]:
        """(message, raw message) of the first risk check that fails, or two empty texts."""
        if not order.open_ms <= order.placed_ms < order.close_ms:
            return rejection("closed"), ""
        if order.order_type is OrderType.SL:
            problem = trigger_side_problem(order.side, order.trigger_paise, self._ltp_paise(order.instrument))
            if problem:
                return problem, ""
        return self._margin_problem(self._log.live.values(), order)

    def _change_problem(self, order: SimOrder, change: Change) -> tuple[str, str]:
        if change.order_type is OrderType.SL and not order.triggered:
            problem = trigger_side_problem(order.side, change.trigger_paise, self._ltp_paise(order.instrument))
            if problem:
                return problem, ""
        changed = replace(order, quantity=change.quantity, price_paise=change.price_paise)
        others = [other for other in self._log.live.values() if other is not order]
        return self._margin_problem(others, changed)

    def _margin_problem(self, others: Iterable[SimOrder], order: SimOrder) -> tuple[str, str]:
        account = self._log.account
        kept = list(others)
        blocked_paise = account.blocked_paise(kept)
        required_paise = account.blocked_paise([*kept, order]) - blocked_paise
        available_paise = account.cash_paise - blocked_paise
        if required_paise <= max(available_paise, 0):
            return "", ""
        figures = {"required": rupees_text(required_paise), "available": rupees_text(available_paise)}
        raw = (
            f"RMS:Margin Exceeds,Required:{figures['required']}, Available:{figures['available']} for entity "
            "account-G6SIM1 across exchange across segment across product "
        )
        return rejection("margin", **figures), raw


def _shown_type(order_type: OrderType) -> OrderType:
    return OrderType.LIMIT if order_type is OrderType.MARKET else order_type
