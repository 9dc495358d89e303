"""`g6 data influx-catch-up`: give InfluxDB what it lacks of a collected day."""

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from g6_core.adapters.lake import lake_exists
from g6_core.adapters.site import open_site
from g6_core.cli.options import date_option
from g6_core.domain.errors import DataError


def influx_catch_up(
    day: Annotated[date, date_option("Trading day.")],
    data_dir: Annotated[Path, typer.Option(help="Where the day was collected.", envvar="G6_DATA_DIR")],
    index: Annotated[list[str] | None, typer.Option(help="One index; again for more. All by default.")] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Remove what is there of the day and send everything.")
    ] = False,
    config_dir: Annotated[Path, typer.Option(help="Settings that name the InfluxDB.")] = Path("config"),
) -> None:
    """Send what InfluxDB lacks of a collected day, from the lakes. What is there already is not sent again."""
    from g6_pipelines.stages.influx import catch_up_influx

    site = open_site(data_dir, config_dir)
    names = [site.rules.index(name).underlying for name in index or site.indices]
    known = [name for name in names if lake_exists(site.paths.lake(day, name))]
    if not known:
        raise DataError(f"{data_dir}: no lake of {', '.join(names)} on {day}; collect the day first")
    for one in catch_up_influx(site, day, known, again=again):
        old = f"; {one.skipped} points are older than what the bucket keeps and were skipped" if one.skipped else ""
        typer.echo(f"{one.underlying} {day}: {one.rows} rows in InfluxDB, {one.sent} of them sent now{old}")
