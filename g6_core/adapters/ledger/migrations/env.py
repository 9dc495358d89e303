"""Alembic's entry: runs the steps on the connection that `migrate` hands over."""

from alembic import context

from g6_core.adapters.ledger.tables import METADATA

# The caller owns the transaction, so a step that fails leaves the ledger as it was.
context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True)
context.run_migrations()
