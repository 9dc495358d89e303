"""The account: cash, positions, charges and what open orders and written options block. Integer paise.

Two identities hold to the paisa at all times:
    cash = opening + sales - purchases - charges
    cash + cost of what is open = opening + realised - charges        (for an account that is long)
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from g6_core.domain.charges import ChargeRates, order_charges
from g6_core.domain.instruments import Instrument
from g6_core.domain.orders import Product, Side
from g6_core.sim.order_state import SimOrder


@dataclass(slots=True)
class Position:
    """What was traded in one contract and product today; `quantity` is signed, values are sums of price x quantity."""

    instrument: Instrument
    product: Product
    buy_quantity: int = 0
    buy_value_paise: int = 0
    sell_quantity: int = 0
    sell_value_paise: int = 0
    open_value_paise: int = 0
    realised_paise: int = 0

    @property
    def quantity(self) -> int:
        """Net units; negative when more was sold than bought."""
        return self.buy_quantity - self.sell_quantity

    def add(self, side: Side, quantity: int, price_paise: int) -> None:
        """Book one execution; the part that closes realises P&L at average cost."""
        held = self.quantity
        is_closing = (held > 0) if side is Side.SELL else (held < 0)
        closing = min(quantity, abs(held)) if is_closing else 0
        if closing:
            cost = self.open_value_paise * closing // abs(held)
            proceeds = closing * price_paise
            self.realised_paise += proceeds - cost if side is Side.SELL else cost - proceeds
            self.open_value_paise -= cost
        self.open_value_paise += (quantity - closing) * price_paise
        if side is Side.BUY:
            self.buy_quantity += quantity
            self.buy_value_paise += quantity * price_paise
        else:
            self.sell_quantity += quantity
            self.sell_value_paise += quantity * price_paise


@dataclass(frozen=True, slots=True)
class AccountBooks:
    """An account as plain values; `charged_paise` is what each order has been debited so far."""

    cash_paise: int
    charges_paise: int
    charged_paise: dict[str, int]
    positions: tuple[Position, ...]


@dataclass(slots=True)
class Account:
    """Cash and positions of the one client of the simulated broker."""

    opening_paise: int
    cash_paise: int = field(init=False)
    charges_paise: int = field(default=0, init=False)
    positions: dict[tuple[int, Product], Position] = field(default_factory=dict, init=False)
    _charged_paise: dict[str, int] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.cash_paise = self.opening_paise

    def apply_fill(self, order: SimOrder, quantity: int, price_paise: int, rates: ChargeRates) -> None:
        """Book an execution of `order`, whose filled figures already include it, and debit its charges.

        Charges are those of the whole order so far (brokerage is per order), less what was debited before.
        """
        key = (order.instrument.token, order.product)
        position = self.positions.setdefault(key, Position(order.instrument, order.product))
        position.add(order.side, quantity, price_paise)
        value = quantity * price_paise
        self.cash_paise += value if order.side is Side.SELL else -value
        charged = order_charges(rates, order.side, order.filled_value_paise).total_paise
        due = charged - self._charged_paise.get(order.order_id, 0)
        self._charged_paise[order.order_id] = charged
        self.charges_paise += due
        self.cash_paise -= due

    def books(self) -> AccountBooks:
        """What has to be kept of it. The positions are the account's own."""
        return AccountBooks(self.cash_paise, self.charges_paise, self._charged_paise, tuple(self.positions.values()))

    def restore(self, kept: AccountBooks) -> None:
        """Go on from kept books."""
        self.cash_paise, self.charges_paise = kept.cash_paise, kept.charges_paise
        self._charged_paise = dict(kept.charged_paise)
        self.positions = {(one.instrument.token, one.product): one for one in kept.positions}

    @property
    def realised_paise(self) -> int:
        """Booked P&L before charges."""
        return sum(position.realised_paise for position in self.positions.values())

    @property
    def held_value_paise(self) -> int:
        """Premium paid for what is held, less premium received for what is written."""
        return sum(
            position.open_value_paise if position.quantity > 0 else -position.open_value_paise
            for position in self.positions.values()
        )

    def blocked_paise(self, orders: Iterable[SimOrder]) -> int:
        """Cash that live orders and written options tie up.

        A buy ties up the premium of its rest. Options are sold to close: units sold beyond what is held must be
        covered in cash by the whole strike, a stricter demand than SPAN, so that a buyer's account cannot write.
        """
        blocked = 0
        selling: dict[tuple[int, Product], int] = {}
        strikes = {key: position.instrument.strike_paise for key, position in self.positions.items()}
        for order in orders:
            if order.side is Side.BUY:
                blocked += order.rest * order.price_paise
            else:
                key = (order.instrument.token, order.product)
                strikes[key] = order.instrument.strike_paise
                selling[key] = selling.get(key, 0) + order.rest
        for key, strike_paise in strikes.items():
            held = self.positions[key].quantity if key in self.positions else 0
            blocked += max(0, selling.get(key, 0) - held) * strike_paise
        return blocked
