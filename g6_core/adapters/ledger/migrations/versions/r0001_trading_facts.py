"""Signals, decisions with their verdicts, orders, fills, trades, risk events."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _text(name: str, key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String, primary_key=key, nullable=False)


def _whole(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def upgrade() -> None:
    """Create the tables and their look-up by day."""
    _create_judgements()
    _create_executions()
    for table, second in (
        ("signals", "time_ms"),
        ("decisions", "time_ms"),
        ("verdicts", "rule"),
        ("orders", "sent_ms"),
        ("fills", "time_ms"),
        ("trades", "entry_ms"),
        ("risk_events", "time_ms"),
    ):
        op.create_index(f"{table}_by_day", table, ["day", second])


def _create_judgements() -> None:
    op.create_table(
        "signals",
        *(_text("signal_id", key=True), _text("day"), _whole("time_ms"), _text("underlying")),
        *(_text("direction"), _text("strategy")),
        *(sa.Column("features", sa.Text, nullable=False), _text("config_sha256")),
    )
    op.create_table(
        "decisions",
        *(_text("decision_id", key=True), _text("day"), _whole("time_ms"), _text("underlying")),
        *(_text("signal_id"), _text("direction"), sa.Column("approved", sa.Boolean, nullable=False)),
        *(_text("tradingsymbol"), _whole("quantity"), _whole("limit_paise"), _text("tag")),
        *(sa.Column("features", sa.Text, nullable=False), _text("config_sha256")),
    )
    op.create_table(
        "verdicts",
        _text("decision_id", key=True),
        sa.Column("place", sa.Integer, primary_key=True, nullable=False, autoincrement=False),
        *(_text("day"), _text("rule"), _text("outcome"), sa.Column("blocks", sa.Boolean, nullable=False)),
        *(sa.Column("value", sa.Float), sa.Column("limit_value", sa.Float)),
        sa.Column("note", sa.Text, nullable=False),
    )
    op.create_table(
        "risk_events",
        *(_text("event_id", key=True), _text("day"), _whole("time_ms"), _text("kind"), _text("underlying")),
        *(sa.Column("value", sa.Float), sa.Column("limit_value", sa.Float)),
        sa.Column("detail", sa.Text, nullable=False),
    )


def _create_executions() -> None:
    op.create_table(
        "orders",
        *(_text("tag", key=True), _text("day"), _whole("sent_ms"), _whole("updated_ms"), _text("parent_tag")),
        *(_text("trade_id"), _text("decision_id"), _text("purpose"), _text("order_id"), _text("tradingsymbol")),
        *(_whole("token"), _text("side"), _text("order_type"), _whole("quantity"), _whole("filled_quantity")),
        *(_whole("price_paise"), _whole("trigger_paise"), _whole("average_paise"), _text("status")),
        sa.Column("message", sa.Text, nullable=False),
    )
    op.create_table(
        "fills",
        *(_text("order_id", key=True), _text("broker_trade_id", key=True), _text("day"), _whole("time_ms")),
        *(_text("tag"), _whole("token"), _text("side"), _whole("quantity"), _whole("price_paise")),
    )
    op.create_table(
        "trades",
        *(_text("trade_id", key=True), _text("day"), _text("decision_id"), _text("underlying")),
        *(_text("tradingsymbol"), _whole("token"), _whole("quantity"), _whole("entry_ms"), _whole("entry_paise")),
        *(_whole("exit_ms"), _whole("exit_paise"), _text("exit_reason"), _whole("gross_pnl_paise")),
        *(_whole("charges_paise"), _whole("net_pnl_paise")),
        *(_whole("high_water_mark_paise"), _whole("low_water_mark_paise")),
    )


def downgrade() -> None:
    """Drop everything this step made, with its rows."""
    for table in ("trades", "fills", "orders", "risk_events", "verdicts", "decisions", "signals"):
        op.drop_table(table)
