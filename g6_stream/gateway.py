"""The order gateway: writes to the broker through kiteconnect, and says for each what is known afterwards.

                                     place      modify, cancel
answer with an order id              ACKED      ACKED
never connected                      NOT_SENT   NOT_SENT
429 (refused by the rate limit)      NOT_SENT   NOT_SENT
400 or 403 with a reason             REFUSED    REFUSED
400 that speaks of a timeout         UNKNOWN    UNKNOWN
Kite's Network- or DataException     UNKNOWN    UNKNOWN
anything else (5xx, HTML, timeouts)  UNKNOWN    UNKNOWN
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import requests
from numpy.typing import NDArray
from urllib3.exceptions import NewConnectionError

from g6_core.adapters.kite.client import KiteConnect
from g6_core.adapters.kite.client import exceptions as kite_errors
from g6_core.adapters.kite_market import stamp_ms
from g6_core.domain.events import (
    Cancel,
    Modify,
    OrderWrite,
    PlaceEntry,
    PlaceExit,
    WriteAction,
    WriteOutcome,
    WriteResult,
)
from g6_core.domain.instruments import InstrumentBook
from g6_core.domain.ist import to_ms
from g6_core.domain.market import TICK
from g6_core.domain.money import paise, rupees_text
from g6_core.domain.orders import Fill, OrderRequest, OrderView, Side
from g6_core.ports import Clock
from g6_stream.broker_time import BrokerTime

VARIETY = "regular"
# Kite's words for trouble between itself and the order system, whatever the HTTP code.
IN_DOUBT = (kite_errors.NetworkException, kite_errors.DataException)


def _never_connected(error: Exception) -> bool:
    """No connection, so nothing was written. A GET is no write of ours: it followed a redirect of one."""
    if isinstance(error, requests.exceptions.InvalidURL):
        return True
    if not isinstance(error, requests.exceptions.ConnectionError):
        return False
    if error.request is None or error.request.method == "GET":
        return False
    cause = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(error, requests.exceptions.ConnectTimeout) or isinstance(cause, NewConnectionError)


def classify(error: Exception) -> WriteOutcome:
    """What a failed write means for the order (see the table above)."""
    if _never_connected(error):
        return WriteOutcome.NOT_SENT
    if isinstance(error, kite_errors.KiteException):
        if is_out_of_turn(error):
            return WriteOutcome.NOT_SENT
        said = str(error).lower()
        in_doubt = isinstance(error, IN_DOUBT) or "timed out" in said or "timeout" in said
        if error.code in (400, 403) and not in_doubt:
            return WriteOutcome.REFUSED
    return WriteOutcome.UNKNOWN


def is_out_of_turn(error: Exception) -> bool:
    """Whether a call was refused by a rate limit, ours or the broker's: nothing is wrong, it may go later."""
    return isinstance(error, kite_errors.KiteException) and error.code == 429


def _rupees(amount_paise: int) -> float:
    return float(rupees_text(amount_paise))


def order_view(row: dict[str, Any]) -> OrderView:
    """A row of Kite's order book (or a pushed one) in our terms."""
    return OrderView(
        order_id=str(row["order_id"]),
        tag=row.get("tag") or "",
        status=str(row["status"]),
        token=int(row["instrument_token"]),
        side=Side(row["transaction_type"]),
        quantity=int(row["quantity"]),
        filled_quantity=int(row["filled_quantity"]),
        average_paise=paise(row["average_price"] or 0),
        price_paise=paise(row["price"] or 0),
        trigger_paise=paise(row["trigger_price"] or 0),
        message=row.get("status_message") or "",
        order_type=str(row["order_type"]),
    )


def fill_of(row: dict[str, Any]) -> Fill:
    """A row of Kite's trade book."""
    return Fill(
        trade_id=str(row["trade_id"]),
        order_id=str(row["order_id"]),
        token=int(row["instrument_token"]),
        side=Side(row["transaction_type"]),
        quantity=int(row["quantity"]),
        price_paise=paise(row["average_price"]),
        time_ms=stamp_ms(row["fill_timestamp"]),
    )


class KiteGateway:
    """Sends order writes and reads books. One instance a process; holds no state but the client.

    Quotes and the broker's time come from `market` where that is another client than the one that takes the orders.
    `on_write` hears of every write. `speed` is the clock's, 0 where time stands during a call.
    """

    def __init__(
        self,
        kite: KiteConnect,
        clock: Clock,
        book: InstrumentBook,
        *,
        market: KiteConnect | None = None,
        on_write: Callable[[WriteResult], None] = lambda _: None,
        speed: float = 0.0,
    ) -> None:
        self._kite = kite
        self._clock = clock
        self._book = book
        self._market = market or kite
        self.speed = speed
        self._time = BrokerTime(self._market, clock, speed)
        self._on_write = on_write

    def write(self, command: OrderWrite) -> WriteResult:
        """Send one command once; never raises for what the broker or the network does."""
        result = self._written(command)
        self._on_write(result)
        return result

    def _written(self, command: OrderWrite) -> WriteResult:
        match command:
            case PlaceEntry():
                tag, action, known = command.approved.request.tag, WriteAction.PLACE, ""
            case PlaceExit():
                tag, action, known = command.request.tag, WriteAction.PLACE, ""
            case Modify():
                tag, action, known = command.tag, WriteAction.MODIFY, command.order_id
            case Cancel():
                tag, action, known = command.tag, WriteAction.CANCEL, command.order_id
        try:
            order_id = self._send(command)
        except Exception as error:  # noqa: BLE001 - whatever happened, the engine must learn what is known of the order
            return WriteResult(self._clock.now_ms(), tag, action, classify(error), known, str(error))
        return WriteResult(self._clock.now_ms(), tag, action, WriteOutcome.ACKED, str(order_id), "")

    def _send(self, command: OrderWrite) -> str:
        match command:
            case PlaceEntry():
                return self._place(command.approved.request)
            case PlaceExit():
                return self._place(command.request)
            case Modify():
                trigger = {"trigger_price": _rupees(command.trigger_paise)} if command.trigger_paise else {}
                return str(
                    self._kite.modify_order(
                        VARIETY,
                        command.order_id,
                        quantity=command.quantity,
                        price=_rupees(command.price_paise),
                        order_type=command.order_type,
                        **trigger,
                    )
                )
            case Cancel():
                return str(self._kite.cancel_order(VARIETY, command.order_id))

    def _place(self, request: OrderRequest) -> str:
        trigger = {"trigger_price": _rupees(request.trigger_paise)} if request.trigger_paise else {}
        return str(
            self._kite.place_order(
                VARIETY,
                request.exchange,
                request.tradingsymbol,
                request.side.value,
                request.quantity,
                request.product.value,
                request.order_type.value,
                price=_rupees(request.price_paise),
                validity=request.validity.value,
                tag=request.tag,
                **trigger,
            )
        )

    def orders(self) -> tuple[OrderView, ...]:
        """Return the order book. Kite's errors pass through, here and below."""
        # As kiteconnect's orders() and trades(), whose reading of dates takes most of the time of a poll.
        return tuple(order_view(row) for row in self._kite._get("orders"))

    def fills(self) -> tuple[Fill, ...]:
        """Return the trade book."""
        return tuple(fill_of(row) for row in self._kite._get("trades"))

    def positions(self) -> tuple[tuple[int, int, str], ...]:
        """Return (token, quantity, product) of every net position."""
        net = self._kite.positions()["net"]
        return tuple((int(row["instrument_token"]), int(row["quantity"]), str(row["product"])) for row in net)

    def cash_paise(self) -> int:
        """Return the free cash of the equity segment."""
        return paise(self._kite.margins("equity")["available"]["live_balance"])

    def clock_problem(self) -> str:
        """Why the clock cannot be traded by, as the broker says now; "" if it is right. Kite's errors pass through."""
        self._time.forget()
        self._market.profile()
        return self._time.problem()

    def quotes(self, tokens: tuple[int, ...]) -> NDArray[np.void]:
        """TICK rows from REST for these tokens; those without data are left out. Kite's errors pass through."""
        keys = {one.kite_key: one for token in tokens if (one := self._book.by_token(token)) is not None}
        ticks = []
        for key, row in self._market.quote(*keys).items():
            depth = row.get("depth", {"buy": [], "sell": []})
            bid = depth["buy"][0] if depth["buy"] else {"price": 0, "quantity": 0}
            ask = depth["sell"][0] if depth["sell"] else {"price": 0, "quantity": 0}
            ticks.append(
                (
                    keys[key].token,
                    to_ms(row["timestamp"]),
                    paise(row["last_price"]),
                    paise(bid["price"]),
                    paise(ask["price"]),
                    bid["quantity"],
                    ask["quantity"],
                    row.get("volume", 0),
                    int(row.get("oi", 0)),
                )
            )
        return np.array(ticks, TICK)
