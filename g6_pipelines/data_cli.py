"""Inspect, compare, complete, archive and restore what was recorded or collected."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from g6_core.cli.command import command_group
from g6_core.cli.errors import ExitCode
from g6_core.cli.options import date_option
from g6_core.cli.tables import lines_of, terminal_width
from g6_core.domain.errors import DataError
from g6_core.domain.ist import ist_date, utc_text
from g6_pipelines.archive_cli import archive, restore, retain
from g6_pipelines.influx_cli import influx_catch_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from g6_core.domain.checks import Check
    from g6_core.site import Site
    from g6_pipelines.collection.accounting import DayAccount
    from g6_pipelines.collection.defects import Inspection

app = command_group(__doc__)
app.command()(influx_catch_up)
app.command()(archive)
app.command()(restore)
app.command()(retain)

ConfigDir = Annotated[Path, typer.Option(help="Settings and market rules.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, nothing else.")]


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(help="Recording: Parquet, CSV, a folder of CSV snapshots, or a lake file.")],
    config_dir: ConfigDir = Path("config"),
    as_json: AsJson = False,
) -> None:
    """Find and name every known defect of a recording: counted, with its first example, by day and index.

    Reads an NSE option chain, Kite snapshots, or the lake of G6. Nothing is mended. Times are Indian.
    """
    from g6_core.adapters.market_rules import load_market_rules
    from g6_pipelines.collection.defects import inspect as judge
    from g6_pipelines.stages.snapshots import read_snapshots

    rules = load_market_rules(config_dir)
    found = judge(read_snapshots(path, rules), rules)
    if as_json:
        typer.echo(json.dumps(_plain(found), sort_keys=True))
    else:
        for line in inspection_lines(path, found, terminal_width()):
            typer.echo(line)


def _plain(found: "Inspection") -> dict[str, Any]:
    days = [asdict(one) | {"day": str(one.day)} for one in found.days]
    defects = [asdict(one) | {"day": str(one.day) if one.day else None} for one in found.defects]
    return {"kind": found.kind, "days": days, "defects": defects, "totals": _totals(found)}


def _totals(found: "Inspection") -> dict[str, int]:
    return {kind.value: found.total(kind) for kind in dict.fromkeys(one.kind for one in found.defects)}


def inspection_lines(path: Path, found: "Inspection", width: int | None) -> Iterator[str]:
    """Yield what people read of an inspection, on a terminal of this width (None: a pipe)."""
    rows, snapshots = sum(day.rows for day in found.days), sum(day.snapshots for day in found.days)
    inside = sum(day.in_session for day in found.days)
    yield (
        f"{path}: {found.kind}, {rows} rows, {snapshots} snapshots, {inside} of them in session, "
        f"{len({day.day for day in found.days})} days, {len({day.index for day in found.days})} indices"
    )
    if found.defects:
        heads = ("defect", "count", "share", "of", "days", "first example (days: of each index)")
        yield ""
        yield from lines_of(heads, list(_defect_rows(found, rows, snapshots)), width, right=(1, 2, 4))
        yield ""
    elif found.days:
        yield "no known defect"
    if not found.days:
        yield "no day: not one row has a time, an index, an expiry and a strike that can be read"
    for day in found.days:
        own = [one for one in found.defects if (one.day, one.index) == (day.day, day.index)]
        said = ", ".join(f"{one.kind} {one.count}" for one in own) or "nothing wrong"
        yield f"{day.day} {day.index}: {day.snapshots} snapshots, {day.in_session} in session; {said}"


def _defect_rows(found: "Inspection", rows: int, snapshots: int) -> Iterator[tuple[str, ...]]:
    whole = {"rows": rows, "snapshots": snapshots}
    for kind, count in _totals(found).items():
        ones = [one for one in found.defects if one.kind.value == kind]
        first = ones[0]
        of = whole.get(first.unit) or sum(one.of for one in ones)
        example = f"{first.index} {first.example}".strip()
        yield kind, str(count), f"{100 * count / of:.2f} %", first.unit, str(len(ones)), example


@app.command()
def bhavcopy(
    path: Annotated[
        Path, typer.Argument(help="Bhavcopy of the day in UDiFF form: zip or csv as published, or Parquet.")
    ],
    day: Annotated[date, date_option("Trading day.")],
    data_dir: Annotated[Path, typer.Option(help="Data directory with the day's lake.")] = Path("data"),
    index: Annotated[list[str] | None, typer.Option(help="Only this index; may be repeated.")] = None,
    config_dir: ConfigDir = Path("config"),
    as_json: AsJson = False,
) -> None:
    """Compare a day's collected rows with the exchange's bhavcopy; every difference is named by its contract.

    Ends with 5 when a price or a volume differs; open interest is reported, the exchange settles it after the close.
    """
    from g6_core.adapters.site import open_site
    from g6_pipelines.stages.bhavcopy import reconcile_bhavcopy

    _say(reconcile_bhavcopy(open_site(data_dir, config_dir), day, tuple(index or ()), path), as_json)


@app.command()
def candles(
    day: Annotated[date, date_option("Trading day.")],
    index: Annotated[str, typer.Option(help="Index.")],
    data_dir: Annotated[Path, typer.Option(help="Data directory with the day's lake.")] = Path("data"),
    config_dir: ConfigDir = Path("config"),
    as_json: AsJson = False,
) -> None:
    """Compare a day's live quotes with the broker's candles that were archived; differences by contract and minute.

    Ends with 5 when a price or a volume differs; open interest is reported, the broker refreshes it at its own times.
    """
    from g6_core.adapters.site import open_site
    from g6_core.site import Day
    from g6_pipelines.stages.reconcile_candles import reconcile_candles

    site = open_site(data_dir, config_dir)
    site.rules.require_trading_day(day)
    site.settings.index(index)
    _say(reconcile_candles(Day(site, day, index)), as_json)


@app.command()
def accept(
    day: Annotated[date, date_option("Trading day with failed checks.")],
    why: Annotated[str, typer.Option(help="Why the next day may be traded all the same; it is kept.")],
    data_dir: Annotated[Path, typer.Option(help="Data directory.")] = Path("data"),
    config_dir: ConfigDir = Path("config"),
) -> None:
    """Let the next day be armed although the evening of this one found something wrong, or was not run.

    Only what is found now is accepted; a problem that comes later holds the next day back again. A sidecar that is
    running and was not armed tries again on `g6 stream resume`.
    """
    from g6_core.adapters.acceptance import Acceptance, accept
    from g6_core.adapters.clock import RealClock
    from g6_core.adapters.site import open_site
    from g6_core.adapters.world import simulated_days
    from g6_core.domain.errors import UserError
    from g6_pipelines.stages.verdict import packed_problems, problems

    if not why.strip():
        raise UserError("--why: say in a few words why the next day may be traded")
    site = open_site(data_dir, config_dir)
    paths, settings = site.paths, site.settings
    site.rules.require_trading_day(day)
    next_day = site.rules.known_next_trading_day(day)
    now = problems(paths, settings, day, must_be_compared=day not in simulated_days(paths))
    found = tuple(dict.fromkeys((*now, *packed_problems(paths, settings, next_day))))
    if not found:
        raise UserError(f"{paths.root}: nothing holds the day after {day} back, so there is nothing to accept")
    accept(paths, Acceptance(day, found, why.strip(), utc_text(RealClock().now_ms())))
    for problem in found:
        typer.echo(f"accepted  {problem}")


def _say(checks: "Sequence[Check]", as_json: bool) -> None:
    """Print checks; ends the command with 5 when one failed."""
    from g6_core.domain.checks import failed

    if as_json:
        typer.echo(json.dumps([asdict(check) for check in checks], sort_keys=True))
    else:
        for check in checks:
            typer.echo(f"{'passed' if check.passed else 'failed'}  {check.name}: {check.detail}")
    if failed(checks):
        raise typer.Exit(ExitCode.CHECK_FAILED)


@app.command()
def coverage(
    day: Annotated[date | None, date_option("Trading day. Default: the last one that is over.")] = None,
    index: Annotated[str | None, typer.Option(help="Only this index; all configured ones otherwise.")] = None,
    data_dir: Annotated[Path, typer.Option(help="Data directory with the day's lake.")] = Path("data"),
    config_dir: ConfigDir = Path("config"),
    as_json: AsJson = False,
) -> None:
    """Say whether a day is complete, by index: minutes of contracts live, repaired, without trade, or unverified.

    Ends with 5 when a minute is unverified, or nothing was collected of a configured index; with 4 when a file of
    one is damaged, after the answers of the others. Of a simulated day only the indices that were ever collected count,
    and the others are named: a record may have one index.
    """
    from g6_core.adapters.clock import RealClock
    from g6_core.adapters.site import open_site
    from g6_core.adapters.world import simulated_days
    from g6_core.site import Day
    from g6_pipelines.stages.accounting import account_day

    site = open_site(data_dir, config_dir)
    wanted = day or last_day_over(site, RealClock().now_ms())
    site.rules.require_trading_day(wanted)
    names = (index,) if index else site.indices
    for name in names:
        site.settings.index(name)
    never: set[str] = set()
    if not index and wanted in simulated_days(site.paths):
        lake, kinds = site.paths.root / "lake", ("options", "answers", "repaired")
        kept = {name for name in names if any((lake / kind / name).is_dir() for kind in kinds)}
        never = set(names) - kept if kept else never
    accounts: dict[str, DayAccount | DataError] = {}
    for name in (one for one in names if one not in never):
        try:
            accounts[name] = account_day(Day(site, wanted, name)).day
        except DataError as error:
            accounts[name] = error
    if as_json:
        typer.echo(json.dumps([_accounted(name, wanted, one) for name, one in accounts.items()], sort_keys=True))
    else:
        if provisional := site.rules.provisional(wanted):
            typer.echo(provisional)
        for name, one in accounts.items():
            typer.echo(f"{name} {wanted}: INCOMPLETE: {one}" if isinstance(one, DataError) else one.line())
    if never:
        typer.echo(f"never collected here: {', '.join(name for name in names if name in never)}", err=True)
    whole = True
    for one in accounts.values():
        if isinstance(one, DataError):
            raise one
        whole = whole and one.complete
    if not whole:
        raise typer.Exit(ExitCode.CHECK_FAILED)


def last_day_over(site: "Site", now_ms: int) -> date:
    """The newest trading day on which every configured index has closed."""
    day = site.rules.last_trading_day_up_to(ist_date(now_ms))
    is_over = now_ms >= site.rules.joint_session(site.indices, day).close_ms
    return day if is_over else site.rules.previous_trading_day(day)


def _accounted(name: str, day: date, found: "DayAccount | DataError") -> dict[str, object]:
    """The account as JSON has it, or why there is none; minutes as UTC text.

    `open`, `first_open` and `denied` are older names: the unverified minutes, the first of them, and those of
    contracts whose candles hold less than was traded.
    """
    if isinstance(found, DataError):
        return {"index": name, "day": str(day), "complete": False, "error": str(found)}
    return found.counts() | {
        "index": found.index,
        "day": str(found.day),
        "complete": found.complete,
        "first_unverified": found.first_unverified,
        "first_open": found.first_unverified,
        "denied": found.short,
        "silent_minutes": [utc_text(one) for one in found.silent_minutes],
    }
