"""A trade set by hand on a bench: its entry order is being sent, nothing else is known."""

from g6_core.domain.orders import OrderRequest, OrderType, Product, Side, Validity
from g6_core.domain.records import Purpose
from g6_core.engine.state import EngineState, Phase, Trade, WorkingOrder
from tests.engine.kit import ELEVEN, SPOT, Bench

NOW_MS = ELEVEN
TAG = "G6250829E00001"
QUANTITY = 150
LIMIT_PAISE = 101_00


def entering(bench: Bench) -> tuple[EngineState, Trade]:
    """The bench's engine with one entry of 150 calls at the money on its way."""
    state, instrument = bench.state, bench.option(SPOT)
    request = OrderRequest(
        TAG,
        instrument.exchange,
        instrument.tradingsymbol,
        instrument.token,
        Side.BUY,
        QUANTITY,
        Product.MIS,
        OrderType.LIMIT,
        Validity.IOC,
        LIMIT_PAISE,
        0,
    )
    trade = Trade("NIFTY-20250829-T001", "D1", "S1", "NIFTY", instrument, TAG, NOW_MS)
    state.tag_number = 1
    state.orders[TAG] = WorkingOrder(
        request, "", trade.trade_id, "D1", Purpose.ENTRY, Phase.SENDING, NOW_MS, NOW_MS,
        order_type=OrderType.LIMIT, quantity=QUANTITY, price_paise=LIMIT_PAISE,
    )  # fmt: skip
    state.trades[trade.trade_id] = trade
    return state, trade
