"""Show, export or upgrade the ledger: signals, decisions, orders, fills and trades in SQL."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from g6_core.adapters.hints import command
from g6_core.cli.command import command_group
from g6_core.cli.options import date_option
from g6_core.cli.tables import lines_of, terminal_width
from g6_core.domain.errors import DataError
from g6_core.domain.ist import ist_clock
from g6_core.domain.money import rupees_text
from g6_core.schema.paths import DataPaths

if TYPE_CHECKING:
    from g6_core.adapters.ledger import DayLedger, Ledger

app = command_group(__doc__)
SQLITE = "sqlite:///"

DataDir = Annotated[Path, typer.Option("--data-dir", help="Data directory that holds ledger.sqlite.")]
Url = Annotated[str, typer.Option("--url", help="Another ledger: a path or an SQLAlchemy URL.", envvar="G6_LEDGER_URL")]
Day = Annotated[date | None, date_option("Only this day.")]


def _open(data_dir: Path, url: str) -> "Ledger":
    from g6_core.adapters.ledger import Ledger

    is_file = not url or "://" not in url or url.startswith(SQLITE)
    if not is_file:
        return Ledger.open(url)
    path = Path(url.removeprefix(SQLITE)) if url else DataPaths(data_dir).ledger
    # Opening one that is not there would make it.
    if not path.exists():
        first = command("day", "--source", "modelled", "--data-dir", data_dir)
        raise DataError(
            f"no ledger at {path}; run a day first (`{first}`) or name another {'--url' if url else '--data-dir'}"
        )
    return Ledger.open(path)


@app.command("export")
def export(
    out: Annotated[Path, typer.Option("--out", help="Folder for the CSV files, one per table.")],
    data_dir: DataDir = Path("data"),
    url: Url = "",
    day: Day = None,
) -> None:
    """Write every table as CSV in a fixed order: equal days give equal bytes. Times also as UTC text."""
    from g6_core.adapters.ledger import export as export_tables

    with _open(data_dir, url) as ledger:
        for path in export_tables(ledger, out, day):
            typer.echo(path)


@app.command("upgrade")
def upgrade(data_dir: DataDir = Path("data"), url: Url = "") -> None:
    """Bring a ledger to this version's schema (opening one does the same)."""
    with _open(data_dir, url) as ledger:
        typer.echo(f"ledger is at schema {ledger.revision()}")


@app.command("show")
def show(
    data_dir: DataDir = Path("data"),
    url: Url = "",
    day: Day = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, nothing else.")] = False,
) -> None:
    """Show the counts of a day and its trades, times in IST; the newest day unless --date is given."""
    with _open(data_dir, url) as ledger:
        days = ledger.days()
        wanted = day or (days[-1] if days else None)
        if wanted is None or wanted not in days:
            raise DataError(_nothing(wanted, days))
        held = ledger.day(wanted)
    if as_json:
        typer.echo(json.dumps(_plain(held, wanted), sort_keys=True))
    else:
        for line in day_lines(held, wanted, terminal_width()):
            typer.echo(line)


def _nothing(wanted: date | None, days: tuple[date, ...]) -> str:
    if wanted is None:
        return f"the ledger holds no day yet; run one: {command('day', '--source', 'modelled', '--data-dir', 'DIR')}"
    held = f"{days[0]} to {days[-1]} ({len(days)} days)" if days else "no day"
    return f"the ledger holds nothing of {wanted}; it holds {held}"


def day_lines(held: "DayLedger", day: date, width: int | None) -> Iterator[str]:
    """Yield what people read of a day, on a terminal of this width (None: a pipe)."""
    still_open = [trade for trade in held.trades if not trade.exit_ms]
    for trade in still_open:
        yield f"OPEN  {trade.open_text()}"
    trades = f"{len(held.trades)} trades" + (f" ({len(still_open)} open)" if still_open else "")
    yield (
        f"{day}: {len(held.signals)} signals, {len(held.decisions)} decisions, {len(held.orders)} orders,"
        f" {len(held.fills)} fills, {trades}, {len(held.risk_events)} risk events"
    )
    if not held.trades:
        return
    heads = ("trade", "contract", "units", "entry", "at", "exit", "at", "reason", "charges", "net")
    rows = [
        (
            trade.trade_id,
            trade.tradingsymbol,
            str(trade.quantity),
            ist_clock(trade.entry_ms),
            rupees_text(trade.entry_paise),
            ist_clock(trade.exit_ms) if trade.exit_ms else "open",
            rupees_text(trade.exit_paise) if trade.exit_ms else "",
            trade.exit_reason,
            rupees_text(trade.charges_paise),
            rupees_text(trade.net_pnl_paise) if trade.exit_ms else "",
        )
        for trade in held.trades
    ]
    yield from lines_of(heads, rows, width, right=(2, 4, 6, 8, 9))
    yield f"net P&L {rupees_text(_net_paise(held))} rupees after charges" + (
        ", without what is open" if still_open else ""
    )


def _net_paise(held: "DayLedger") -> int:
    """Profit of the closed trades: an open one has none yet."""
    return sum(trade.net_pnl_paise for trade in held.trades if trade.exit_ms)


def _plain(held: "DayLedger", day: date) -> dict[str, object]:
    """The day for machines: how many rows of each kind, and the trades in full; money in paise, times in ms."""
    kinds = ("signals", "decisions", "orders", "fills", "risk_events")
    return {
        "date": str(day),
        **{kind: len(getattr(held, kind)) for kind in kinds},
        "open_trades": [trade.trade_id for trade in held.trades if not trade.exit_ms],
        "trades": [asdict(trade) for trade in held.trades],
        "net_pnl_paise": _net_paise(held),
    }
