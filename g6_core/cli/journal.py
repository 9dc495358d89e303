"""Verify, replay or show the journal of a trading day."""

import json
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from g6_core.adapters.day_pack_store import load_day_pack
from g6_core.adapters.hints import command
from g6_core.adapters.journal import file_sha256, inspect, read_header, read_journal
from g6_core.adapters.market_rules import load_market_rules
from g6_core.cli.command import command_group
from g6_core.cli.errors import ExitCode
from g6_core.cli.options import date_option
from g6_core.config import load_settings
from g6_core.domain.errors import DataError, UserError
from g6_core.domain.ist import ist_clock
from g6_core.domain.suggest import did_you_mean
from g6_core.engine.state import EngineState
from g6_core.research.inputs import day_inputs
from g6_core.research.replay import replay
from g6_core.schema.journal import ENGINE, Kind
from g6_core.schema.paths import DataPaths

app = command_group(__doc__)

DataDir = Annotated[Path, typer.Option(help="Data directory of the day.")]
Day = Annotated[date | None, date_option("Trading day. Default: the only one there is.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, nothing else.")]
KINDS = tuple(kind.name.lower() for kind in Kind)


def journal_of(data_dir: Path, day: date | None) -> tuple[date, Path]:
    """Return the day and the file of its journal; without a day the only one there is.

    Raises DataError when there is none, UserError when several could be meant; each names the fix.
    """
    days = sorted(file.stem for file in data_dir.glob("journal/*.g6j"))
    if not days:
        first = command("day", "--source", "modelled", "--data-dir", data_dir)
        raise DataError(f"{data_dir}: no journal there; trade a day first (`{first}`) or name another --data-dir")
    held = days[0] if len(days) == 1 else f"{len(days)} journals, {days[0]} to {days[-1]}"
    if day is None and len(days) > 1:
        raise UserError(f"{data_dir} has {held}; say which one, for instance --date {days[-1]}")
    chosen = day or date.fromisoformat(days[0])
    if str(chosen) not in days:
        raise DataError(f"{data_dir}: no journal of {chosen}; there is {held}")
    return chosen, DataPaths(data_dir).journal(chosen)


@app.command()
def verify(data_dir: DataDir, day: Day = None, as_json: AsJson = False) -> None:
    """Check the hash chain of a journal from the first byte to the last; a torn tail is named, nothing is changed.

    Ends with 5 when the tail is torn, with 4 when a record was changed.
    """
    day, path = journal_of(data_dir, day)
    kinds = Counter(record.kind.name.lower() for record in read_journal(path))
    healing = inspect(path)
    found = {
        "date": str(day),
        "records": healing.records,
        "torn_bytes": healing.dropped_bytes,
        "kinds": dict(sorted(kinds.items())),
        "config_sha256": read_header(path).config_sha256,
        "sha256": file_sha256(path),
    }
    if as_json:
        typer.echo(json.dumps(found))
    else:
        typer.echo(f"{day}: {healing.records} records, hash chain verifies, sha256 {found['sha256']}")
        typer.echo("  " + ", ".join(f"{count} {name}" for name, count in sorted(kinds.items())))
        if healing.dropped_bytes:
            typer.echo(f"  torn tail: {healing.dropped_bytes} bytes after the last whole record")
    if healing.dropped_bytes:
        raise typer.Exit(ExitCode.CHECK_FAILED)


@app.command("replay")
def replay_command(
    data_dir: DataDir,
    day: Day = None,
    config_dir: Annotated[Path, typer.Option(help="Settings the day was traded under.")] = Path("config"),
    as_json: AsJson = False,
) -> None:
    """Give the journal's events to a fresh engine: every command and every checkpoint must come out the same.

    Ends with 5 when anything differs, and names the first difference.
    """
    day, path = journal_of(data_dir, day)
    began_by = read_header(path).engine
    if began_by != ENGINE:
        raise DataError(f"{path}: made by engine {began_by}, this is {ENGINE}; replay it with the release that made it")
    settings, rules = load_settings(config_dir), load_market_rules(config_dir)
    params = settings.engine_params()
    pack = load_day_pack(DataPaths(data_dir).day_pack(day), day=day, config_sha256=params.config_sha256)
    state = EngineState.fresh(params, day_inputs(pack, rules, params))
    found = replay(state, read_journal(path))
    if as_json:
        body = {name: getattr(found, name) for name in ("events", "commands", "checkpoints", "detail", "state_sha256")}
        typer.echo(json.dumps({"date": str(day), "agrees": found.agrees, **body}))
    else:
        typer.echo(f"{day}: {found.events} events, {found.commands} commands, {found.checkpoints} checkpoints")
        typer.echo(f"state after the last event: sha256 {found.state_sha256}")
        typer.echo("replay agrees" if found.agrees else f"DIFFERS at record {found.first_difference}: {found.detail}")
    if not found.agrees:
        raise typer.Exit(ExitCode.CHECK_FAILED)


@app.command()
def show(
    data_dir: DataDir,
    day: Day = None,
    kind: Annotated[str, typer.Option(metavar="KIND", help=f"Only this kind: {', '.join(KINDS)}.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most this many records.")] = 50,
) -> None:
    """Print records of a journal, one a line: sequence, time (IST), kind, size and content where it is small."""
    if kind and kind not in KINDS:
        raise UserError(f"--kind {kind}: no such kind; {did_you_mean(kind, KINDS)}")
    _, path = journal_of(data_dir, day)
    import msgspec

    shown = 0
    for record in read_journal(path):
        name = record.kind.name.lower()
        if kind and name != kind:
            continue
        content = "" if name in ("frame", "checkpoint") else msgspec.msgpack.decode(record.payload)
        typer.echo(f"{record.sequence:8d} {ist_clock(record.time_ms)} {name:16s} {len(record.payload):7d} B  {content}")
        shown += 1
        if shown >= limit:
            return
