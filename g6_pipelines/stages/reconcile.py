"""The evening's comparison: collected data with itself and its copies, the ledger with the broker; each kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import msgspec

from g6_core.adapters.files import canonical_json, write_atomic
from g6_core.adapters.ledger import AuditEntry, Ledger
from g6_core.adapters.paper_account import paper_books
from g6_core.domain.checks import Check, failed
from g6_core.domain.errors import DataError
from g6_core.schema.paths import DataPaths
from g6_core.site import Day, Site
from g6_pipelines.stages.chain import sound_checks
from g6_pipelines.stages.reconcile_candles import priced_by_candles
from g6_pipelines.stages.reconcile_data import reconcile_data
from g6_pipelines.stages.reconcile_influx import reconcile_influx
from g6_pipelines.stages.reconcile_orders import OrderBook, reconcile_orders
from g6_pipelines.stages.sanity import spot_checks

RECONCILIATION_VERSION = 1
ORDERS = "orders"


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What is kept in `paths.reconciliation(day, part)`."""

    version: int
    trade_date: date
    passed: bool
    checks: tuple[Check, ...]


def reconcile(kite: OrderBook, ledger: Ledger, site: Site, day: date, underlyings: Sequence[str]) -> tuple[Check, ...]:
    """All checks of a day in one process, data first; also written as JSON and noted in the ledger's audit log.

    Without `reconcile_chain`: a day in one process has no memory left for its judges.

    A disagreement is a failed check, never an error. Raises DataError when a document cannot be written and
    lets broker errors through.
    """
    days = [Day(site, day, name) for name in underlyings]
    checks = (
        *(check for one in days for check in reconcile_index(one)),
        *(check for one in days for check in reconcile_copy(one)),
        *reconcile_broker(kite, ledger, site, day),
    )
    bad = failed(checks)
    close_ms = site.rules.joint_session(underlyings, day).close_ms
    said = f"{len(checks) - len(bad)} of {len(checks)} checks passed"
    if bad:
        said += ": failed " + ", ".join(check.name for check in bad)
    ledger.audit(AuditEntry(day, close_ms, "reconcile", "checked", said))
    return checks


def reconcile_index(day: Day) -> tuple[Check, ...]:
    """The collected data of one index with itself; kept in its own document."""
    return keep_checks(day.site.paths, day.date, day.index, reconcile_data(day))


def reconcile_chain(day: Day) -> tuple[Check, ...]:
    """Whether the collected chain of one index can be believed, judged on the whole day; kept in its own document."""
    checks = sound_checks(day)
    if not failed(checks):
        # Rows of another schema, say, cannot be held against anything.
        checks += (*spot_checks(day.lake), priced_by_candles(day))
    return keep_checks(day.site.paths, day.date, chain_part(day.index), checks)


def chain_part(underlying: str) -> str:
    """The part of a day under which the judgement of its chain is kept."""
    return f"{underlying}-chain"


def reconcile_copy(day: Day) -> tuple[Check, ...]:
    """The copy of one index in InfluxDB with its lake; kept in its own document, for no trade depends on it.

    No checks, and nothing kept, when Influx is off.
    """
    checks = reconcile_influx(day)
    return keep_checks(day.site.paths, day.date, copy_part(day.index), checks) if checks else ()


def copy_part(underlying: str) -> str:
    """The part of a day under which the comparison with InfluxDB is kept."""
    return f"{underlying}-influx"


def reconcile_broker(kite: OrderBook, ledger: Ledger, site: Site, day: date) -> tuple[Check, ...]:
    """The ledger with the broker's books, those of the paper account for a day on paper; kept in its own document."""
    books = paper_books(site.paths, day) or kite
    return keep_checks(site.paths, day, ORDERS, reconcile_orders(books, ledger, site.rules, day))


def keep_checks(paths: DataPaths, day: date, part: str, checks: tuple[Check, ...]) -> tuple[Check, ...]:
    """Write the checks of a part of the day and return them."""
    document = Reconciliation(RECONCILIATION_VERSION, day, not failed(checks), checks)
    write_atomic(paths.reconciliation(day, part), canonical_json(document) + b"\n")
    return checks


def kept_checks(paths: DataPaths, day: date, part: str) -> tuple[Check, ...] | None:
    """What was kept of a part of the day; None when nothing was. DataError when the document is damaged."""
    path = paths.reconciliation(day, part)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Reconciliation).checks
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path}: not a reconciliation ({error}); run the reconcile stage again") from error
