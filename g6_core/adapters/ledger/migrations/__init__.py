"""Alembic's environment and the ledger's schema, one step a file."""
