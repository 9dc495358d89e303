"""What is still held of an open trade, and its last price with the time of it."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ADDED = ("open_quantity", "mark_paise", "mark_ms")


def upgrade() -> None:
    """Add the columns to `trades`; a trade of before was written when it was closed, so nothing of it is held."""
    for name in ADDED:
        op.add_column("trades", sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    """Take the columns away."""
    with op.batch_alter_table("trades") as trades:
        for name in ADDED:
            trades.drop_column(name)
