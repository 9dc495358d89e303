"""A bench for the simulated exchange: one scripted contract, a virtual clock and the real client."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, time
from typing import Any

from kiteconnect import KiteConnect

from g6_core.adapters.kite.transport import connect
from g6_core.domain.calendar import MarketRules
from g6_core.domain.instruments import Instrument
from g6_core.domain.ist import at
from g6_core.sim.clock import VirtualClock
from g6_core.sim.exchange import Exchange
from g6_core.sim.scripted import Point, ScriptedSource

DAY = date(2025, 8, 29)
EXPIRY = date(2025, 9, 2)
STRIKE = 24_500_00
LOT = 75
OPEN = at(DAY, time(9, 15))
NOON = at(DAY, time(12, 0))
FIFTH_OF_SECOND = 200


@dataclass(slots=True)
class Bench:
    """`contract` is the scripted one."""

    clock: VirtualClock
    source: ScriptedSource
    exchange: Exchange
    kite: KiteConnect
    contract: Instrument

    def wait(self, duration_ms: int = FIFTH_OF_SECOND) -> None:
        """Let virtual time pass; longer than the latency by default."""
        self.clock.sleep_until(self.clock.now_ms() + duration_ms)

    def until(self, time_ms: int) -> None:
        """Let virtual time pass until a moment."""
        self.clock.sleep_until(time_ms)

    def place(self, side: str = "BUY", quantity: int = LOT, order_type: str = "LIMIT", **more: Any) -> str:
        """Place an order in the scripted contract."""
        fields = {"product": "MIS", "exchange": "NFO", "tradingsymbol": self.contract.tradingsymbol} | more
        order_id = self.kite.place_order(
            "regular", transaction_type=side, quantity=quantity, order_type=order_type, **fields
        )
        return str(order_id)

    def bought(self, quantity: int = LOT, price: float = 110) -> str:
        """Buy through the touch and wait for the fill."""
        order_id = self.place(quantity=quantity, price=price)
        self.wait()
        assert self.last(order_id)["status"] == "COMPLETE"
        return order_id

    def last(self, order_id: str) -> dict[str, Any]:
        """The order as the order book has it now."""
        return dict(next(row for row in self.exchange.orders() if row["order_id"] == order_id))

    def statuses(self, order_id: str) -> list[str]:
        """Statuses of an order's history."""
        return [row["status"] for row in self.exchange.order_history(order_id)]

    def fills(self, order_id: str) -> list[tuple[int, float]]:
        """(quantity, price) of an order's executions."""
        return [(row["quantity"], row["average_price"]) for row in self.exchange.order_trades(order_id)]

    def pushed(self) -> list[tuple[str, int]]:
        """(status, filled quantity) of the order updates since the last look."""
        return [(row["status"], row["filled_quantity"]) for row in self.exchange.take_order_updates()]


def bench(
    rules: MarketRules,
    path: Sequence[Point | tuple[int, ...]] = ((OPEN, 99_00, 100_00),),
    *,
    start_ms: int = NOON,
    cash_paise: int = 3_00_000_00,
    latency_ms: int = 80,
    jitter_ms: int = 0,
    seed: int = 1,
    linear: bool = False,
    silences: Sequence[tuple[int, int]] = (),
) -> Bench:
    """A market at 99.00 / 100.00 unless scripted otherwise, ten lots on each of five levels."""
    source = ScriptedSource.of(
        "NIFTY",
        DAY,
        rules,
        spot_path=[(OPEN, STRIKE)],
        options={(EXPIRY, STRIKE, "CE"): path},
        linear=linear,
        silences=silences,
    )
    clock = VirtualClock(start_ms)
    exchange = Exchange(
        source,
        rules,
        clock,
        seed=seed,
        cash_paise=cash_paise,
        order_latency_ms=latency_ms,
        latency_jitter_ms=jitter_ms,
    )
    contract = source.instruments.option("NIFTY", EXPIRY, STRIKE, "CE")
    assert contract is not None
    return Bench(clock, source, exchange, connect(exchange), contract)
