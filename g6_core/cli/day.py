"""`g6 day`: a whole trading day in one process, from the instruments before the open to the picks after the close."""

import json
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from g6_core.cli.errors import ExitCode
from g6_core.cli.options import date_option
from g6_core.domain.ist import ist_clock, ist_date, to_ms
from g6_core.domain.money import rupees_text


def day(
    source: Annotated[
        str,
        typer.Option(help="`modelled`, or the path of a recording (Parquet): an NSE option chain or Kite snapshots."),
    ],
    data_dir: Annotated[Path, typer.Option(help="Where everything is written; made when it is not there.")],
    trade_date: Annotated[
        date | None, date_option("Trading day. Default: the only one in the file; modelled: the last one.")
    ] = None,
    index: Annotated[str, typer.Option(help="Index to trade. Default: the one in the file; modelled: NIFTY.")] = "",
    seed: Annotated[int, typer.Option(help="Seed of the modelled market, of bridges and latencies.")] = 0,
    config_dir: Annotated[Path, typer.Option(help="Settings, strategies and market rules.")] = Path("config"),
    day_pack: Annotated[
        Path | None, typer.Option(help="Arm with this day pack instead of the one that is prepared.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON, nothing else.")] = False,
) -> None:
    """Run a whole trading day on recorded or modelled quotes, as fast as this machine goes.

    Prepares the instruments and the day pack, collects the option chain minute by minute, trades it with paper money
    on a simulated exchange behind the real Kite client, fills gaps from that exchange's candles, reconciles, scores,
    picks for the next day and draws a report. The same source and seed always give the same day. Running a simulated
    day again replaces it.

    \b
    Examples:
      g6 day --source modelled --index BANKNIFTY --seed 7 --data-dir data/bank
      g6 day --source NIFTY.parquet --data-dir data/real --json

    Ends with 5 when a check of the evening failed; day_summary.json and day_report.html are in the data directory.
    """
    from g6_core.cli.day_run import DayRequest, draw_report, run_day
    from g6_core.cli.progress import Progress

    started = time.perf_counter()
    request = DayRequest(source, trade_date, index or None, seed, data_dir, config_dir, day_pack)
    today = ist_date(to_ms(datetime.now(UTC)))
    with Progress(shown=not as_json, command="g6 day") as progress:
        result = run_day(request, today, progress.show)
        if as_json:
            typer.echo(json.dumps(result.summary, sort_keys=True))
        progress.show("report")
        page = draw_report(request)
    if not as_json:
        print_summary(result.summary, page, time.perf_counter() - started)
    if not result.checks_passed:
        raise typer.Exit(ExitCode.CHECK_FAILED)


def print_summary(summary: dict[str, Any], page: Path, seconds: float) -> None:
    """The day for people: what was collected, judged, refused, traded and picked."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False, soft_wrap=True)
    indices = ", ".join(summary["indices"])
    console.print(f"[bold]{indices} {summary['date']}[/] ({summary['source']}, seed {summary['seed']})")
    for trade in summary["open_trades"]:
        console.print(f"[bold red]OPEN       {trade['text']}[/]")
    if provisional := summary.get("provisional"):
        console.print(f"[yellow]{provisional}[/]")
    missing = len(summary["coverage"]["minutes_missing"])
    console.print(
        f"collected  {summary['cycles']} cycles, {summary['rows']} rows, {summary['coverage_pct']} % of them live"
    )
    console.print(f"           {missing} minutes without a live quote")
    for one in summary["account"].values():
        console.print(escape(f"minutes    {one['answer']}"))
    console.print(f"signals    {summary['signals']} in {summary['decisions']} judged bars")
    for rule, count in summary["no_signal"].items():
        console.print(f"no signal  {count} x {rule}")
    for rule, count in summary["refusals"].items():
        console.print(f"refused    {count} x {rule}")
    console.print(f"trades     {len(summary['trades'])}")
    for trade in summary["trades"]:
        console.print(_trade_line(trade))
    console.print(f"charges    Rs {rupees_text(summary['charges_paise'])}")
    console.print(f"net P&L    [bold]Rs {rupees_text(summary['net_pnl_paise'])}[/]")
    for pick in summary["picks"]:
        reasons = escape("; ".join(pick["reasons"]))
        console.print(f"pick       {pick['tradingsymbol']}, score {pick['score']:.0f}: {reasons}")
    if summary["no_picks"]:
        console.print(f"no picks   {summary['no_picks']}")
    for event in summary["risk_events"]:
        console.print(escape(f"event      {event}"))
    failed = [check for check in summary["checks"] if not check["passed"]]
    console.print(f"checks     {len(summary['checks']) - len(failed)} of {len(summary['checks'])} passed")
    for check in failed:
        console.print(f"[red]failed     {escape(check['name'] + ': ' + check['detail'])}[/]")
    console.print(f"journal    sha256 {summary['journal_sha256']}")
    console.print(escape(f"report     {page} ({seconds:.1f} s)"))


def _trade_line(trade: dict[str, Any]) -> str:
    bought = f"{trade['quantity']} at {rupees_text(trade['entry_paise'])} {ist_clock(trade['entry_ms'])}"
    sold = f"{rupees_text(trade['exit_paise'])} {ist_clock(trade['exit_ms'])} {trade['exit_reason']}"
    return f"  {trade['tradingsymbol']}  {bought} -> {sold}, net Rs {rupees_text(trade['net_pnl_paise'])}"
