"""Show, export or upgrade the ledger: signals, decisions, orders, fills and trades in SQL."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from g6_core.cli.command import command_group
from g6_core.cli.options import date_option
from g6_core.domain.errors import DataError
from g6_core.domain.ist import ist_clock
from g6_core.domain.money import rupees_text
from g6_core.schema.paths import DataPaths

if TYPE_CHECKING:
    from g6_core.adapters.ledger import Ledger

app = command_group(__doc__)

DataDir = Annotated[Path, typer.Option("--data-dir", help="Data directory that holds ledger.sqlite.")]
Url = Annotated[str, typer.Option("--url", help="Another ledger: a path or an SQLAlchemy URL.", envvar="G6_LEDGER_URL")]
Day = Annotated[date | None, date_option("Only this day.")]


def _open(data_dir: Path, url: str) -> "Ledger":
    from g6_core.adapters.ledger import Ledger

    if url:
        return Ledger.open(url)
    path = DataPaths(data_dir).ledger
    if not path.exists():
        raise DataError(f"no ledger at {path}; run a day first (g6 day) or give --data-dir")
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
def show(data_dir: DataDir = Path("data"), url: Url = "", day: Day = None) -> None:
    """Show the counts of a day and its trades, times in IST; the newest day unless --date is given."""
    with _open(data_dir, url) as ledger:
        days = ledger.days()
        wanted = day or (days[-1] if days else None)
        if wanted is None or wanted not in days:
            raise DataError(_nothing(wanted, days))
        _print_day(ledger, wanted)


def _nothing(wanted: date | None, days: tuple[date, ...]) -> str:
    if wanted is None:
        return "the ledger holds no day yet; run one (g6 day)"
    held = f"{days[0]} to {days[-1]} ({len(days)} days)" if days else "no day"
    return f"the ledger holds nothing of {wanted}; it holds {held}"


def _print_day(ledger: "Ledger", day: date) -> None:
    from rich.console import Console
    from rich.table import Table

    held = ledger.day(day)
    console = Console()
    console.print(
        f"{day}: {len(held.signals)} signals, {len(held.decisions)} decisions, {len(held.orders)} orders,"
        f" {len(held.fills)} fills, {len(held.trades)} trades, {len(held.risk_events)} risk events"
    )
    if not held.trades:
        return
    table = Table("trade", "contract", "units", "entry", "at", "exit", "at", "reason", "charges", "net")
    for trade in held.trades:
        table.add_row(
            trade.trade_id,
            trade.tradingsymbol,
            str(trade.quantity),
            ist_clock(trade.entry_ms),
            rupees_text(trade.entry_paise),
            ist_clock(trade.exit_ms) if trade.exit_ms else "open",
            rupees_text(trade.exit_paise) if trade.exit_ms else "",
            trade.exit_reason,
            rupees_text(trade.charges_paise),
            rupees_text(trade.net_pnl_paise),
        )
    console.print(table)
    net = sum(trade.net_pnl_paise for trade in held.trades)
    console.print(f"net P&L {rupees_text(net)} rupees after charges")
