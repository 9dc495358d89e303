"""The ledger in SQL: `Ledger.open`, typed records in and out, ordered exports."""

from g6_core.adapters.ledger.export import export
from g6_core.adapters.ledger.ledger import Ledger
from g6_core.adapters.ledger.rows import AuditEntry, DayLedger

__all__ = ["AuditEntry", "DayLedger", "Ledger", "export"]
