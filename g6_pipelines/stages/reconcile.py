"""The evening's comparison: collected data with itself, the ledger with the broker; kept as one document."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from g6_core.adapters.files import canonical_json, write_atomic
from g6_core.adapters.ledger import AuditEntry, Ledger
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.checks import Check, failed
from g6_core.schema.paths import DataPaths
from g6_pipelines.stages.reconcile_data import reconcile_data
from g6_pipelines.stages.reconcile_orders import OrderBook, reconcile_orders

RECONCILIATION_VERSION = 1


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What is kept in `paths.reconciliation(day)`."""

    version: int
    trade_date: date
    passed: bool
    checks: tuple[Check, ...]


def reconcile(
    kite: OrderBook,
    ledger: Ledger,
    settings: Settings,
    rules: MarketRules,
    paths: DataPaths,
    day: date,
    underlyings: Sequence[str],
) -> tuple[Check, ...]:
    """All checks of the day, data first; also written as JSON and noted in the ledger's audit log.

    A disagreement is a failed check, never an error. Raises DataError when the document cannot be written and
    lets broker errors through.
    """
    checks = (
        *reconcile_data(paths, settings, rules, day, underlyings),
        *reconcile_orders(kite, ledger, rules, day),
    )
    bad = failed(checks)
    document = Reconciliation(RECONCILIATION_VERSION, day, not bad, checks)
    write_atomic(paths.reconciliation(day), canonical_json(document) + b"\n")
    close_ms = max(rules.session(day, rules.index(name).option_exchange).close_ms for name in underlyings)
    said = f"{len(checks) - len(bad)} of {len(checks)} checks passed"
    if bad:
        said += ": failed " + ", ".join(check.name for check in bad)
    ledger.audit(AuditEntry(day, close_ms, "reconcile", "checked", said))
    return checks
