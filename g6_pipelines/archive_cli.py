"""`g6 data archive`, `restore` and `retain`: a finished day into the archive, back, and what may go since."""

import json
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from g6_core.cli.options import date_option

Day = Annotated[date, date_option("Trading day.")]
ConfigDir = Annotated[
    Path, typer.Option(help="Settings that name the archive, and market rules.", envvar="G6_CONFIG_DIR")
]
DataDir = Annotated[Path, typer.Option(help="Where the day was collected.", envvar="G6_DATA_DIR")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, nothing else.")]


def archive(
    day: Day, data_dir: DataDir = Path("data"), config_dir: ConfigDir = Path("config"), as_json: AsJson = False
) -> None:
    """Archive a finished day at the place that the configuration names; everything is read back and compared.

    The same day again sends nothing that is there. Lakes are compacted on the way.

    \b
    Environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY
    """
    from g6_core.adapters.clock import RealClock
    from g6_core.adapters.site import open_site
    from g6_pipelines.stages.archive import archive_day, configured_store, require_over

    site = open_site(data_dir, config_dir)
    require_over(site, day, RealClock().now_ms())
    found = archive_day(configured_store(site.settings), site, day)
    _say({"where": found.where, "sent": found.sent}, found.manifest, found.line(), as_json)


def restore(
    day: Day,
    into: Annotated[Path, typer.Option(help="Data directory to restore into; made when it is not there.")],
    config_dir: ConfigDir = Path("config"),
    as_json: AsJson = False,
) -> None:
    """Restore an archived day into a data directory, every file checked against the manifest.

    Files that are there and equal stay; where another file lies in the way nothing is written.

    \b
    Environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY
    """
    from g6_core.config import load_settings
    from g6_pipelines.stages.archive import configured_store, restore_day

    manifest, count = restore_day(configured_store(load_settings(config_dir)), day, into)
    line = f"{manifest.day}: {len(manifest.files)} files in {into}, equal to the archive; {count} restored now"
    _say({"into": str(into), "restored": count}, manifest, line, as_json)


def retain(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, remove nothing.")] = False,
    data_dir: DataDir = Path("data"),
    config_dir: ConfigDir = Path("config"),
) -> None:
    """Remove what is older than `retention` of the configuration says: streams of the lake, CSV files.

    Never of today, and where the archive is on, only of days that are complete in it. With --dry-run nothing goes.
    Runs and logs of Dagster are removed by its job `retention`.
    """
    from g6_core.adapters.clock import RealClock
    from g6_core.adapters.site import open_site
    from g6_core.domain.ist import ist_date
    from g6_pipelines.stages.archive import configured_store
    from g6_pipelines.stages.retain import due, remove

    site = open_site(data_dir, config_dir)
    store = configured_store(site.settings) if site.settings.archive is not None else None
    found = due(site, store, ist_date(RealClock().now_ms()))
    for one in found if dry_run else remove(site.paths, store, found):
        typer.echo(one.line(removed=not dry_run))
    if not found:
        typer.echo("nothing is older than the configuration keeps")


def _say(done: dict[str, object], manifest: object, line: str, as_json: bool) -> None:
    from g6_core.adapters.files import plain

    typer.echo(json.dumps({**done, **plain(manifest)}, sort_keys=True) if as_json else line)
