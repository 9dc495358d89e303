"""Gathers what the report shows; what is missing is said on the page instead of stopping it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import msgspec
import polars as pl

from g6_core.adapters.lake import lake_exists, lake_schema, read_lake
from g6_core.adapters.ledger import DayLedger, Ledger
from g6_core.domain.calendar import MarketRules, Session
from g6_core.domain.checks import Check
from g6_core.domain.errors import DataError
from g6_core.domain.ist import at
from g6_core.domain.records import Direction
from g6_core.domain.rule_figures import verdict_text
from g6_core.engine.params import ExitParams
from g6_core.schema.options import OPTION_COLUMNS
from g6_core.schema.paths import DataPaths
from g6_core.schema.picks import Picks, Scores
from g6_core.site import Site
from g6_pipelines.collection.accounting import DayAccount

T = TypeVar("T")

CHAIN_COLUMNS = (
    *("timestamp", "index", "expiry_code", "expiry", "offset", "strike", "spot", "spot_kind", "forward"),
    *(f"{side}_{name}" for side in ("call", "put") for name in ("status", "symbol", "ltp", "bid", "ask", "oi", "iv")),
)


class Reconciliation(msgspec.Struct, frozen=True):
    """The part of the reconciliation document that is shown."""

    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class IndexMinutes:
    """How the expected contract-minutes of one index ended: the counts, and a row for each of them."""

    day: DayAccount
    minutes: pl.DataFrame


@dataclass(frozen=True, slots=True)
class DayFacts:
    """Everything the page is made from. `chain` has `CHAIN_COLUMNS` plus `ms`; it is empty when nothing was collected.

    `traded` says whether trading was run at all. `accounts` has every index of which something was collected or
    asked for. `notes` are sentences about what could not be read.
    """

    day: date
    midnight_ms: int
    session: Session
    underlyings: tuple[str, ...]
    summary: Mapping[str, object]
    exits: ExitParams
    ledger: DayLedger
    chain: pl.DataFrame
    checks: tuple[Check, ...]
    scores: Scores | None
    picks: Picks | None
    notes: tuple[str, ...]
    traded: bool
    accounts: Mapping[str, IndexMinutes]

    def hours(self, time_ms: int) -> float:
        """Hours after midnight IST, the x axis of all pictures."""
        return (time_ms - self.midnight_ms) / 3_600_000


def gather(
    site: Site,
    ledger: Ledger,
    day: date,
    summary: Mapping[str, object],
    accounts: Mapping[str, IndexMinutes | DataError] = MappingProxyType({}),
) -> DayFacts:
    """Read the day's ledger, lakes, reconciliation, scores and picks; each of the files may be missing or damaged.

    `accounts` says how each index's minutes ended, or why that is not known.
    """
    rules, paths = site.rules, site.paths
    notes = [text] if (text := rules.provisional(day)) else []
    notes += [str(found) for found in accounts.values() if isinstance(found, DataError)]
    kept = ledger.day(day)
    chain = _chain(paths, rules, day, notes)
    names = {*chain["index"].unique().to_list(), *(one.underlying for one in kept.decisions), *accounts}
    underlyings = tuple(name for name in rules.underlyings if name in names)
    return DayFacts(
        day=day,
        midnight_ms=at(day, time()),
        session=rules.index_session((underlyings or rules.underlyings)[0], day),
        underlyings=underlyings,
        summary=summary,
        exits=site.settings.engine_params().exits,
        ledger=kept,
        chain=chain,
        checks=_checks(paths, rules, day, notes),
        scores=_document(paths.scores(day), Scores, "the scores", notes),
        picks=_document(paths.picks(rules.known_next_trading_day(day)), Picks, "the picks", notes),
        notes=tuple(dict.fromkeys(notes)),
        traded=paths.journal(day).exists() or bool(kept.decisions or kept.orders or kept.trades),
        accounts={name: found for name, found in accounts.items() if isinstance(found, IndexMinutes)},
    )


def blocking_rules(
    ledger: DayLedger, underlyings: Sequence[str], *, with_direction: bool
) -> list[tuple[str, str, int, str]]:
    """(underlying, rule, minutes, last figures) of verdicts that blocked, the most frequent first.

    `with_direction` True: minutes in which a direction stood and the entry was refused; False: minutes in which no
    direction came about. One minute can count under several rules.
    """
    times: Counter[tuple[str, str]] = Counter()
    example: dict[tuple[str, str], str] = {}
    for decision in ledger.decisions:
        if decision.approved or (decision.direction is not Direction.AVOID) != with_direction:
            continue
        for rule, verdict in {verdict.rule: verdict for verdict in decision.verdicts if verdict.blocks}.items():
            key = (decision.underlying, rule)
            times[key] += 1
            example[key] = verdict_text(verdict)
    wanted = {name: place for place, name in enumerate(underlyings)}
    ordered = sorted(times.items(), key=lambda item: (wanted.get(item[0][0], len(wanted)), -item[1], item[0]))
    return [(underlying, rule, count, example[underlying, rule]) for (underlying, rule), count in ordered]


def _checks(paths: DataPaths, rules: MarketRules, day: date, notes: list[str]) -> tuple[Check, ...]:
    """The kept checks of every index and of the orders, in this order."""
    found = [paths.reconciliation(day, part) for part in (*rules.underlyings, "orders")]
    # Without any document the last one stands for all of them, so that the page says it once.
    documents = [
        _document(path, Reconciliation, "the reconciliation", notes)
        for path in [path for path in found if path.exists()] or found[-1:]
    ]
    return tuple(check for one in documents if one is not None for check in one.checks)


def _chain(paths: DataPaths, rules: MarketRules, day: date, notes: list[str]) -> pl.DataFrame:
    known = [paths.lake(day, name) for name in rules.underlyings]
    rows_of = []
    for path in [path for path in known if lake_exists(path)] or known[:1]:
        try:
            rows_of.append(read_lake(path, CHAIN_COLUMNS))
        except DataError as error:
            notes.append(str(error))
    schema = lake_schema({name: OPTION_COLUMNS[name] for name in CHAIN_COLUMNS})
    rows = pl.concat(rows_of) if rows_of else pl.DataFrame(schema=schema)
    return rows.with_columns(ms=pl.col("timestamp").dt.timestamp("ms"))


def _document(path: Path, kind: type[T], what: str, notes: list[str]) -> T | None:
    if not path.exists():
        notes.append(f"{what} of this day were not made")
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, OSError) as error:
        notes.append(f"{what} could not be read: {error}")
        return None
