"""The key figures on top of the page: a tile for everything that happened on the day, none for what did not."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from g6_pipelines.report.facts import DayFacts, IndexMinutes


class Tile(NamedTuple):
    """One figure; `kind` is good, bad or "" for neither; `more` stands in small letters below it."""

    name: str
    value: str
    kind: str = ""
    more: str = ""


def tiles(facts: DayFacts) -> list[Tile]:
    """Return the tiles of a day, in their order."""
    return [*_trading(facts), *_collection(facts), *_checks(facts)]


def _trading(facts: DayFacts) -> Iterator[Tile]:
    if not facts.traded:
        yield Tile("Trading", "not run")
        return
    # What is open has no profit yet; the page begins with it.
    trades = [trade for trade in facts.ledger.trades if trade.exit_ms]
    net = sum(trade.net_pnl_paise for trade in trades)
    yield Tile("Net P&L", money(net), "good" if net > 0 else "bad" if net < 0 else "")
    yield Tile("Charges", money(sum(trade.charges_paise for trade in trades)))
    won = sum(trade.net_pnl_paise > 0 for trade in trades)
    yield Tile("Trades", f"{won} of {len(trades)} won" if trades else "none")
    yield Tile("Signals", str(len(facts.ledger.signals)))


def _collection(facts: DayFacts) -> Iterator[Tile]:
    if any(found.day.expected for found in facts.accounts.values()):
        yield completeness(facts.accounts)
    cycles = facts.summary.get("cycles")
    if isinstance(cycles, int) and cycles:
        yield Tile("Cycles", f"{cycles:,}")
    if len(facts.chain):
        yield Tile("Rows", f"{len(facts.chain):,}")


def _checks(facts: DayFacts) -> Iterator[Tile]:
    bad = sum(not check.passed for check in facts.checks)
    if facts.checks:
        yield Tile("Checks", f"{len(facts.checks) - bad} of {len(facts.checks)} passed", "bad" if bad else "")


def completeness(accounts: Mapping[str, IndexMinutes]) -> Tile:
    """Return the one verdict on what was collected: complete, or how many contract-minutes are unverified."""
    days = [found.day for found in accounts.values()]
    expected = sum(day.expected for day in days)
    ended = {name: sum(getattr(day, name) for day in days) for name in ("live", "repaired", "no_trade")}
    left = expected - sum(ended.values())
    shares = [f"{_share(count, expected)} {name.replace('_', ' ')}" for name, count in ended.items() if count]
    empty = [day.index for day in days if not day.expected]
    if not left and not empty:
        return Tile("Completeness", "complete", "good", ", ".join(shares))
    value = f"{left:,} unverified" if left else f"nothing of {', '.join(empty)}"
    return Tile("Completeness", value, "bad", ", ".join(shares))


def _share(count: int, of: int) -> str:
    """In percent, with as many digits as it takes not to say 0 or 100 of what is neither."""
    pct = 100 * count / of
    for digits in (1, 2, 3):
        text = f"{pct:.{digits}f}"
        if float(text) not in (0.0, 100.0) or count in (0, of):
            return f"{text} %"
    return "under 0.001 %" if pct < 50 else "over 99.999 %"


def money(amount_paise: int) -> str:
    """Return ``-1,234.50`` with a real minus sign."""
    return f"{abs(amount_paise) / 100:,.2f}" if amount_paise >= 0 else f"\N{MINUS SIGN}{-amount_paise / 100:,.2f}"
