"""`g6 report`: draw the page of a day again from what the day left behind."""

import json
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from g6_core.adapters.hints import command
from g6_core.adapters.journal import file_sha256
from g6_core.adapters.ledger import Ledger
from g6_core.adapters.site import open_site
from g6_core.cli.ledger import Url
from g6_core.cli.stages import stage
from g6_core.domain.errors import DataError
from g6_core.schema.paths import DataPaths


def report(
    data_dir: Annotated[Path, typer.Option(help="Data directory of a day that has run.")],
    config_dir: Annotated[Path, typer.Option(help="Settings the day was traded under.")] = Path("config"),
    url: Url = "",
) -> None:
    """Draw day_report.html of the newest day in a data directory: one self-contained page with pictures.

    Needs day_summary.json and the ledger; whatever else is missing or damaged is named on the page.
    """
    paths = DataPaths(data_dir)
    typer.echo(draw(paths, url or paths.ledger, config_dir))


def draw(paths: DataPaths, ledger_at: Path | str, config_dir: Path) -> Path:
    """Draw the page of the newest day and return it. Raises DataError where there is no day, or half of one."""
    try:
        summary = json.loads(paths.summary.read_bytes())
        day = date.fromisoformat(summary["date"])
    except FileNotFoundError:
        first = command("day", "--source", "modelled", "--data-dir", paths.root)
        fix = f"the evening of a day writes it: run one (`{first}`) or name another --data-dir"
        raise DataError(f"{paths.summary}: not there; {fix}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{paths.summary}: not a summary of `g6 day` ({error}); run the day again") from error
    journal = paths.journal(day)
    if summary.get("journal_sha256") != (file_sha256(journal) if journal.exists() else None):
        raise DataError(f"{paths.summary}: is of another run than the journal beside it; run the day again")
    with Ledger.open(ledger_at) as ledger:
        page: Path = stage("report")(open_site(paths.root, config_dir), ledger, day, summary)
    return page
