"""Take the exchange's holiday lists into the dated market rules."""

import json
import time
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from g6_core.cli.command import command_group
from g6_core.cli.options import date_option
from g6_core.domain.errors import UserError

if TYPE_CHECKING:
    from g6_core.cli.refreshing import YearPlan

app = command_group(__doc__)

SIGNS = {"added": "+", "withdrawn": "-"}


@app.command()
def refresh(
    files: Annotated[list[Path], typer.Argument(help="The list: .json, .csv or .yaml. Several are compared.")],
    known_from: Annotated[
        date | None, date_option("The day the exchange published it. Default: today.", "--known-from")
    ] = None,
    notice: Annotated[
        bool, typer.Option("--notice", help="The file is a notice about single days; every other day stays as it is.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change and write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable: {known_until, years, written}.")] = False,
    config_dir: Annotated[
        Path, typer.Option(help="Configuration whose market rules change.", envvar="G6_CONFIG_DIR")
    ] = Path("config"),
    data_dir: Annotated[
        Path, typer.Option(help="Data directory: a day that was collected is no holiday.", envvar="G6_DATA_DIR")
    ] = Path("data"),
) -> None:
    """Take in the exchange's holiday list: compare, show the difference, write it with its source and date.

    NSE publishes next year's list in mid December, and single changes (elections, a moved festival) days before.
    Save what https://www.nseindia.com/api/holiday-master?type=trading answers in a browser as a .json file; its rows
    under "FO" count. A .csv needs the columns date and holiday; our .yaml may also hold `special_days`.

    What is written: config/market/holidays_<year>.yaml, as a whole or not at all. Each day has a known-from date: rules
    asked about an earlier day do not know of it, so that past days stay as they were. Refused in one line: a list that
    was read by half, a wrong year, a date that is none or not on its weekday, a day that was traded already, lists that
    differ. Where exchange_calendars (XBOM) reaches, it is the second source.

    \b
    Examples:
      g6 market refresh holiday-master.json --dry-run
      g6 market refresh holiday-master.json --known-from 2026-12-14
      g6 market refresh nse.json bse.csv       both must say the same
      g6 market refresh election.csv --notice  one more holiday, by today's notice
    """
    from g6_core.adapters.holiday_files import read_holiday_list
    from g6_core.adapters.market_rules import load_market_rules
    from g6_core.cli.refreshing import Refresh, plan_years
    from g6_core.domain.ist import ist_date

    now_ms = time.time_ns() // 1_000_000
    asked = Refresh(config_dir, data_dir, notice, known_from, ist_date(now_ms), now_ms)
    if known_from is not None and known_from > asked.today:
        raise UserError(
            f"--known-from {known_from}: has not come yet, today is {asked.today}; give the day it was published"
        )
    rules = load_market_rules(config_dir)
    lists = [read_holiday_list(path) for path in files]
    plans = plan_years(asked, rules, lists)
    after = list(plans.values())[-1].rules if plans else rules
    report = {
        "known_until": str(rules.days.last),
        "known_until_after": str(after.days.last),
        "years": {str(year): plan.shown for year, plan in plans.items()},
        "written": [] if dry_run else _write(config_dir, plans),
    }
    typer.echo(json.dumps(report | {"dry_run": dry_run}, indent=2) if as_json else _text(report, dry_run))


def _write(config_dir: Path, plans: "dict[int, YearPlan]") -> list[str]:
    from g6_core.adapters.holiday_store import write_year

    return [str(write_year(config_dir, year, plan.file)) for year, plan in plans.items() if plan.file is not None]


def _dated(day: str) -> str:
    return f"{date.fromisoformat(day):%Y-%m-%d %a}"


def _change(one: dict[str, str], known_from: str) -> str:
    own = "" if one["known_from"] == known_from else f", known from {one['known_from']}"
    return f"  {SIGNS[one['kind']]} {_dated(one['day'])}  {one['name']}{own}"


def _text(report: dict[str, Any], dry_run: bool) -> str:
    lines = []
    for year, shown in report["years"].items():
        kind = "new list" if shown["new_list"] else "known list"
        lines.append(f"{year}: {kind}, {shown['holidays']} closed weekdays ({', '.join(shown['sources'])})")
        lines += [_change(one, shown["known_from"]) for one in shown["changes"]]
        lines += [f"  + {day} special session" for day in shown["special_days"]]
        if not shown["changes"] and not shown["special_days"]:
            lines.append("  nothing changes")
        else:
            lines.append(f"  known from {shown['known_from']}; earlier days do not know of it")
        for day, name in shown["kept"].items():
            lines.append(f"  stays as a later notice has it: {_dated(day)}  {name}; only --notice changes that")
        if shown["weekend"]:
            lines.append(f"  on a weekend: {', '.join(f'{day} {name}' for day, name in shown['weekend'].items())}")
        if shown["muhurat"]:
            lines.append(f"  evening session (Muhurat) to be expected on {shown['muhurat']}: give it as `special_days`")
        lines += [f"  {name}: expiry {', '.join(moves)}" for name, moves in shown["moved_expiries"].items()]
        lines.append(f"  second source (exchange_calendars XBOM): {shown['second_source']}")
    lines.append(f"known until {report['known_until']}, then {report['known_until_after']}")
    written = report["written"]
    lines.append("nothing is written (--dry-run)" if dry_run else f"written: {', '.join(written) or 'nothing'}")
    if written:
        lines.append("what runs already (Dagster's code server, sidecar, collector) reads it when it is started again")
    return "\n".join(lines)
