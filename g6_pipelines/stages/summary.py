"""The summary stage: what happened on a day, from what the day left behind; the same for one process and for many."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

import msgspec
import polars as pl

from g6_core.adapters.day_pack_store import load_picks
from g6_core.adapters.files import plain, write_atomic
from g6_core.adapters.journal import file_sha256, read_journal
from g6_core.adapters.lake import lake_exists, read_lake
from g6_core.adapters.ledger import DayLedger, Ledger
from g6_core.domain.checks import Check
from g6_core.domain.ist import utc_text
from g6_core.domain.records import TradeRecord
from g6_core.schema.journal import Kind
from g6_core.schema.paths import DataPaths
from g6_core.schema.picks import Picks
from g6_core.site import Day, Site
from g6_pipelines.collection.coverage import COVERAGE_COLUMNS, Coverage, coverage_of
from g6_pipelines.stages.accounting import account_day
from g6_pipelines.stages.reconcile import ORDERS, kept_checks

OPEN_FIELDS = ("open_quantity", "mark_paise", "mark_ms")


def summarise(
    site: Site, ledger: Ledger, day: date, underlyings: Sequence[str], *, source_label: str, seed: int
) -> dict[str, Any]:
    """Return the summary of a day, written to `paths.summary` unless a newer day stands there.

    Nothing in it depends on this machine or on when it ran.

    `account` says of each index how its expected contract-minutes ended; `answer` is that in words. `refusals` counts,
    for minutes in which a signal stood and no entry came, each rule that blocked; `no_signal` the rules that kept a
    signal from standing in the others. `open_trades` are still held: charges and profit are of the closed ones.
    What was not made on that day (a lake, a journal, picks) is left out of the counts or null. Raises DataError when
    lake, ledger or journal are unusable.
    """
    paths, rules, kept = site.paths, site.rules, ledger.day(day)
    days = [one for name in underlyings if lake_exists((one := Day(site, day, name)).lake)]
    closed = [trade for trade in kept.trades if trade.exit_ms]
    cycles, rows, coverage = _collected(days)
    next_day = rules.known_next_trading_day(day)
    picks = load_picks(paths.picks(next_day), next_day)
    journal = paths.journal(day)
    summary = plain(
        {
            "date": day,
            **({"provisional": text} if (text := rules.provisional(day)) else {}),
            "indices": list(underlyings),
            "source": source_label,
            "seed": seed,
            "cycles": cycles,
            "rows": rows,
            "coverage_pct": coverage.pct,
            "coverage": _coverage(coverage),
            "account": {one.index: _account(one) for one in days},
            "signals": len(kept.signals),
            "decisions": len(kept.decisions),
            "refusals": _blocked(kept, with_signal=True),
            "no_signal": _blocked(kept, with_signal=False),
            "open_trades": [_open(trade) for trade in kept.trades if not trade.exit_ms],
            "trades": [_closed(trade) for trade in closed],
            "charges_paise": sum(trade.charges_paise for trade in closed),
            "net_pnl_paise": sum(trade.net_pnl_paise for trade in closed),
            "picks": [
                {"underlying": name, **asdict(pick)}
                for name, found in (picks.indices.items() if picks is not None else ())
                for pick in found.picks
            ],
            "no_picks": reasons_for_no_picks(picks),
            "checks": [
                {"name": check.name, "passed": check.passed, "detail": check.detail} for check in _checks(site, day)
            ],
            "risk_events": [event.detail for event in kept.risk_events],
            "state_sha256": _last_state(paths, day),
            "journal_sha256": file_sha256(journal) if journal.exists() else None,
        }
    )
    if not _newer_stands(paths, day):
        write_atomic(paths.summary, msgspec.json.format(msgspec.json.encode(summary, order="sorted"), indent=2) + b"\n")
    return dict(summary)


def _open(trade: TradeRecord) -> dict[str, Any]:
    """What is still held, with its mark, in figures and in words."""
    return asdict(trade) | {"unrealised_paise": trade.unrealised_paise, "text": trade.open_text()}


def _closed(trade: TradeRecord) -> dict[str, Any]:
    """A round trip; what is only of an open one stays away."""
    return {name: value for name, value in asdict(trade).items() if name not in OPEN_FIELDS}


def reasons_for_no_picks(picks: Picks | None) -> str:
    """Return why there are none, of each index without one; empty where each has some or none were made."""
    found = picks.indices.values() if picks is not None else ()
    return "; ".join(f"{one.underlying}: {one.reason}" for one in found if not one.picks)


def _coverage(found: Coverage) -> dict[str, Any]:
    counts = {name: getattr(found, name) for name in ("expected", "live", "stale", "missing", "no_contract", "closed")}
    return {**counts, "minutes_missing": [utc_text(time_ms) for time_ms in found.minutes_missing]}


def _account(day: Day) -> dict[str, Any]:
    found = account_day(day).day
    return {**found.counts(), "complete": found.complete, "answer": found.line()}


def _newer_stands(paths: DataPaths, day: date) -> bool:
    """Whether the summary on disk is of a later day: an old day made again must not take its place."""
    try:
        return date.fromisoformat(msgspec.json.decode(paths.summary.read_bytes())["date"]) > day
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False


def _checks(site: Site, day: date) -> list[Check]:
    """The evening's checks as they were kept: every index's, then the orders'."""
    kept = [kept_checks(site.paths, day, part) for part in (*site.rules.underlyings, ORDERS)]
    return [check for part in kept if part is not None for check in part]


def _blocked(kept: DayLedger, *, with_signal: bool) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for decision in kept.decisions:
        if not decision.approved and bool(decision.signal_id) == with_signal:
            counted.update({verdict.rule for verdict in decision.verdicts if verdict.blocks})
    return dict(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0])))


def _collected(days: Sequence[Day]) -> tuple[int, int, Coverage]:
    """(cycles, rows, coverage) of the lakes of these indices."""
    if not days:
        return 0, 0, Coverage()
    rows = pl.concat([read_lake(day.lake, COVERAGE_COLUMNS) for day in days])
    return rows["timestamp"].n_unique(), len(rows), coverage_of(rows)[0]


def _last_state(paths: DataPaths, day: date) -> str | None:
    """Fingerprint of the engine at the last checkpoint of the journal; None when nobody traded."""
    if not paths.journal(day).exists():
        return None
    last = b""
    for record in read_journal(paths.journal(day)):
        if record.kind is Kind.CHECKPOINT:
            last = record.payload
    return last.decode()
