"""What makes the facts readable alone: the instruments of the day (tokens are reused) and who did what."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _text(name: str, key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String, primary_key=key, nullable=False)


def _whole(name: str, key: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, primary_key=key, nullable=False, autoincrement=False)


def upgrade() -> None:
    """Create `instruments` and `audit_log`."""
    op.create_table(
        "instruments",
        *(_text("day", key=True), _whole("token", key=True), _whole("exchange_token"), _text("tradingsymbol")),
        *(_text("underlying"), _text("exchange"), _text("segment"), _text("instrument_type"), _text("expiry")),
        *(_whole("strike_paise"), _whole("tick_paise"), _whole("lot_size")),
    )
    op.create_table(
        "audit_log",
        *(_text("day", key=True), _whole("time_ms", key=True), _text("actor", key=True), _text("action", key=True)),
        sa.Column("detail", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Drop both, with their rows."""
    op.drop_table("audit_log")
    op.drop_table("instruments")
