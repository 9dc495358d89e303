"""The books of the simulated broker as plain values: what another process needs to go on as the same broker."""

from dataclasses import dataclass

from g6_core.sim.account import AccountBooks
from g6_core.sim.order_state import SimOrder, SimTrade
from g6_core.sim.venue import VenueBooks


@dataclass(frozen=True, slots=True)
class Books:
    """Orders in the order of placement, trades, account, what is on its way; `parents` counts sliced orders."""

    orders: tuple[SimOrder, ...]
    trades: tuple[SimTrade, ...]
    account: AccountBooks
    venue: VenueBooks
    parents: int
