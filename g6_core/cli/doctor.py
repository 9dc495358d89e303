"""`g6 doctor`: is this machine ready for a day, and if not, what to do about it."""

import json as json_format
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from g6_core.cli.errors import ExitCode
from g6_core.cli.findings import Finding, examine


def doctor(
    config_dir: Annotated[Path, typer.Option(help="Settings, strategies and market rules to check.")] = Path("config"),
    data_dir: Annotated[Path, typer.Option(help="Where the days would be written; made if it is missing.")] = Path(
        "data"
    ),
    json: Annotated[
        bool, typer.Option("--json", help="Machine-readable: {ok, checks: [{name, ok, detail, fix}]}.")
    ] = False,
) -> None:
    """Check Python, packages, configuration, market rules, data directory and clock; name each fix.

    Ends with 0 when everything is in order and with 5 when something needs a hand. A warning is no problem yet: the
    known trading days end within 45 days (`g6 market refresh` reads the next list), or a rule rests on one source.
    """
    findings = examine(config_dir, data_dir, now_ms=time.time_ns() // 1_000_000)
    healthy = all(finding.ok for finding in findings)
    if json:
        report = {"ok": healthy, "checks": [asdict(finding) for finding in findings]}
        typer.echo(json_format.dumps(report, indent=2, ensure_ascii=False))
    else:
        _print(findings)
    if not healthy:
        raise typer.Exit(ExitCode.CHECK_FAILED)


def _print(findings: tuple[Finding, ...]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True, highlight=False)
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        mark = Text(" ok      ", style="green")
        if not finding.ok:
            mark = Text(" PROBLEM ", style="bold red")
        elif finding.fix:
            mark = Text(" warning ", style="bold yellow")
        console.print(mark + Text(f"{finding.name:<{width}}  {finding.detail}"))
        if finding.fix:
            console.print(Text(f"{'':9}{'':<{width}}  fix: {finding.fix}", style="yellow"))
    problems = sum(not finding.ok for finding in findings)
    warned = any(finding.ok and finding.fix for finding in findings)
    ready = "\nReady; see the warning." if warned else "\nReady."
    console.print(ready if problems == 0 else f"\n{problems} to fix.")
