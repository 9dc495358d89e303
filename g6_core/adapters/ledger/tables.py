"""The ledger's tables as the code sees them; `migrations/` is what builds them.

Money is integer paise, times are integer milliseconds since the epoch (`*_ms`), `day` is the ISO date in India.
Nothing counts up and nothing asks for the time: every key comes from the record, so two runs write the same rows.
"""

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text

HEAD = "0003"
METADATA = MetaData()


def _text(name: str, key: bool = False) -> Column[str]:
    return Column(name, String, primary_key=key, nullable=False)


def _whole(name: str, key: bool = False) -> Column[int]:
    return Column(name, BigInteger, primary_key=key, nullable=False, autoincrement=False)


SIGNALS = Table(
    "signals",
    METADATA,
    _text("signal_id", key=True),
    _text("day"),
    _whole("time_ms"),
    _text("underlying"),
    _text("direction"),
    _text("strategy"),
    Column("features", Text, nullable=False),
    _text("config_sha256"),
    Index("signals_by_day", "day", "time_ms"),
)

DECISIONS = Table(
    "decisions",
    METADATA,
    _text("decision_id", key=True),
    _text("day"),
    _whole("time_ms"),
    _text("underlying"),
    _text("signal_id"),
    _text("direction"),
    Column("approved", Boolean, nullable=False),
    _text("tradingsymbol"),
    _whole("quantity"),
    _whole("limit_paise"),
    _text("tag"),
    Column("features", Text, nullable=False),
    _text("config_sha256"),
    Index("decisions_by_day", "day", "time_ms"),
)

VERDICTS = Table(
    "verdicts",
    METADATA,
    _text("decision_id", key=True),
    Column("place", Integer, primary_key=True, nullable=False, autoincrement=False),
    _text("day"),
    _text("rule"),
    _text("outcome"),
    Column("blocks", Boolean, nullable=False),
    Column("value", Float),
    Column("limit_value", Float),
    Column("note", Text, nullable=False),
    Index("verdicts_by_day", "day", "rule"),
)

ORDERS = Table(
    "orders",
    METADATA,
    _text("tag", key=True),
    _text("day"),
    _whole("sent_ms"),
    _whole("updated_ms"),
    _text("parent_tag"),
    _text("trade_id"),
    _text("decision_id"),
    _text("purpose"),
    _text("order_id"),
    _text("tradingsymbol"),
    _whole("token"),
    _text("side"),
    _text("order_type"),
    _whole("quantity"),
    _whole("filled_quantity"),
    _whole("price_paise"),
    _whole("trigger_paise"),
    _whole("average_paise"),
    _text("status"),
    Column("message", Text, nullable=False),
    Index("orders_by_day", "day", "sent_ms"),
)

FILLS = Table(
    "fills",
    METADATA,
    _text("order_id", key=True),
    _text("broker_trade_id", key=True),
    _text("day"),
    _whole("time_ms"),
    _text("tag"),
    _whole("token"),
    _text("side"),
    _whole("quantity"),
    _whole("price_paise"),
    Index("fills_by_day", "day", "time_ms"),
)

TRADES = Table(
    "trades",
    METADATA,
    _text("trade_id", key=True),
    _text("day"),
    _text("decision_id"),
    _text("underlying"),
    _text("tradingsymbol"),
    _whole("token"),
    _whole("quantity"),
    _whole("entry_ms"),
    _whole("entry_paise"),
    _whole("exit_ms"),
    _whole("exit_paise"),
    _text("exit_reason"),
    _whole("gross_pnl_paise"),
    _whole("charges_paise"),
    _whole("net_pnl_paise"),
    _whole("high_water_mark_paise"),
    _whole("low_water_mark_paise"),
    _whole("open_quantity"),
    _whole("mark_paise"),
    _whole("mark_ms"),
    Index("trades_by_day", "day", "entry_ms"),
)

RISK_EVENTS = Table(
    "risk_events",
    METADATA,
    _text("event_id", key=True),
    _text("day"),
    _whole("time_ms"),
    _text("kind"),
    _text("underlying"),
    Column("value", Float),
    Column("limit_value", Float),
    Column("detail", Text, nullable=False),
    Index("risk_events_by_day", "day", "time_ms"),
)

INSTRUMENTS = Table(
    "instruments",
    METADATA,
    _text("day", key=True),
    _whole("token", key=True),
    _whole("exchange_token"),
    _text("tradingsymbol"),
    _text("underlying"),
    _text("exchange"),
    _text("segment"),
    _text("instrument_type"),
    _text("expiry"),
    _whole("strike_paise"),
    _whole("tick_paise"),
    _whole("lot_size"),
)

AUDIT_LOG = Table(
    "audit_log",
    METADATA,
    _text("day", key=True),
    _whole("time_ms", key=True),
    _text("actor", key=True),
    _text("action", key=True),
    Column("detail", Text, nullable=False),
)

# Reading and exporting order: never the order in which a database happens to keep rows.
ORDER_BY: dict[str, tuple[str, ...]] = {
    "signals": ("time_ms", "signal_id"),
    "decisions": ("time_ms", "decision_id"),
    "verdicts": ("decision_id", "place"),
    "orders": ("sent_ms", "tag"),
    "fills": ("time_ms", "order_id", "broker_trade_id"),
    "trades": ("entry_ms", "trade_id"),
    "risk_events": ("time_ms", "event_id"),
    "instruments": ("token",),
    "audit_log": ("time_ms", "actor", "action"),
}
