"""`g6 demo`: a whole modelled day on the wire, in Dagster and in the sidecar, as separate processes in lockstep."""

import json
import os
import shlex
import shutil
import signal
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Event
from typing import Annotated

import typer

from g6_core.adapters.confirmation import confirm_simulated
from g6_core.adapters.files import write_atomic
from g6_core.adapters.folders import nothing_left_if_refused
from g6_core.adapters.market_rules import load_market_rules
from g6_core.cli.day import print_summary
from g6_core.cli.errors import ExitCode
from g6_core.cli.options import date_option
from g6_core.cli.parts import OWN_STORES, exchange_status, g6, jobs, make_dagster_home
from g6_core.cli.plan import require_past
from g6_core.cli.processes import Child, Processes, die_with_parent, free_port
from g6_core.cli.progress import JobLog, Progress
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError
from g6_core.domain.ist import ist_clock, ist_date, to_ms, utc_text
from g6_core.schema.paths import DataPaths

DEMO_DATE = date(2026, 11, 19)
DEMO_SEED = 7
DEMO_DIR = Path("data/demo")
INDEX = "NIFTY"
SESSION = "session"
UI_ENVIRONMENT = "ui.env"
SERVER_PATIENCE_S = 60.0
POLL_S = 0.25
REMAKE = (
    *("csv", "journal", "lake", "ledger.sqlite", "logs", "state", "reports", "simulated.json", "dagster"),
    *("day_summary.json", "day_report.html"),
)


def demo(
    data_dir: Annotated[Path, typer.Option(help="Everything is made anew below this folder.")] = DEMO_DIR,
    seed: Annotated[int, typer.Option(help="Seed of the modelled market.")] = DEMO_SEED,
    day: Annotated[date, date_option("Trading day.")] = DEMO_DATE,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON, nothing else.")] = False,
) -> None:
    """Run a whole day as separate processes over real sockets: exchange, Dagster jobs, trading sidecar.

    The simulated exchange serves Kite's protocol in lockstep: time moves as fast as the collector and the sidecar can
    follow. Nothing of it keeps running afterwards; killed half way, it can simply be started again.
    """
    die_with_parent()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ExitCode.INTERRUPTED))
    started = time.perf_counter()
    require_past(day, _rules(), ist_date(to_ms(datetime.now(UTC))))
    paths = DataPaths(data_dir)
    with nothing_left_if_refused(data_dir) as begun, Progress(shown=not as_json, command="g6 demo") as progress:
        _clear(data_dir)
        _run(paths, day, seed, progress, begun)
    summary = json.loads(paths.summary.read_text())
    if as_json:
        typer.echo(json.dumps(summary, sort_keys=True))
    else:
        print_summary(summary, paths.report, time.perf_counter() - started)
        typer.echo(f"logs       {data_dir / 'logs'}")
        look = "make ui" if data_dir == DEMO_DIR else f"make ui DEMO_DIR={shlex.quote(str(data_dir))}"
        typer.echo(f"look       open the report, then `{look}` for assets, checks and pictures in Dagster")
    if not all(check["passed"] for check in summary["checks"]):
        raise typer.Exit(ExitCode.CHECK_FAILED)


def _clear(data_dir: Path) -> None:
    """Remove what an earlier demo left, and only that."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        for name in REMAKE:
            path = data_dir / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{data_dir}: {error.strerror or error}; choose a --data-dir you can write to") from error


def _run(paths: DataPaths, day: date, seed: int, progress: Progress, begun: Event) -> None:
    port, control = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        "G6_BROKER": "sim",
        "G6_SIM_URL": url,
        "G6_DATA_DIR": str(paths.root.resolve()),
        "G6_CONTROL_PORT": str(control),
        "DAGSTER_HOME": str(make_dagster_home(paths)),
        **OWN_STORES,
    }
    # What the web UI is to show as collected by choice; `make ui` reads it.
    shown = f"G6_FIRST_DAY={day}\nG6_LAST_DAY={day}\nG6_INDICES={INDEX}\n"
    write_atomic(paths.root / "dagster" / UI_ENVIRONMENT, shown.encode())
    serve = ["sim", "serve", "--source", "modelled", "--date", str(day), "--index", INDEX, "--seed", str(seed)]
    with Processes(paths.root / "logs", environment) as group:
        progress.show("exchange")
        command = g6(*serve, "--port", str(port), "--lockstep", "--participants", "collector,sidecar")
        server = group.start("exchange", command, in_turns=True)
        dagster = group.start("dagster", jobs(day, INDEX), listens=True)
        _await_server(group, server, url)
        begun.set()
        _run_job(group, progress, dagster, "pre_open")
        confirm_simulated(paths, _rules(), day, utc_text(time.time_ns() // 1_000_000))
        command = g6("stream", "run", "--data-dir", str(paths.root), "--date", str(day))
        sidecar = group.start("sidecar", command, in_turns=True)
        _follow(group, server, sidecar, dagster, url, progress)
        _run_job(group, progress, dagster, "evening")


def _run_job(group: Processes, progress: Progress, dagster: Child, name: str) -> None:
    """Run a job to its good end and name each of its steps."""
    title = name.replace("_", "-")
    progress.show(title)
    log = JobLog(dagster.log, dagster.log.stat().st_size)
    dagster.tell(name)
    while dagster.answer(POLL_S) != name:
        group.watch(dagster)
        for step in log.begun():
            progress.show(f"{title}: {step}")


def _rules() -> MarketRules:
    return load_market_rules(Path(os.environ.get("G6_CONFIG_DIR") or "config"))


def _await_server(group: Processes, server: Child, url: str) -> None:
    deadline = time.monotonic() + SERVER_PATIENCE_S
    while exchange_status(url) is None:
        group.watch(server)
        if time.monotonic() > deadline:
            raise DataError(f"the exchange did not answer in {SERVER_PATIENCE_S:.0f} s: {server.last_words()}")
        time.sleep(POLL_S)


def _follow(group: Processes, server: Child, sidecar: Child, dagster: Child, url: str, progress: Progress) -> None:
    """Run the session and show its time until collector and sidecar have both ended well."""
    first, collecting = None, True
    dagster.tell(SESSION)
    while sidecar.running or collecting:
        group.watch(server, dagster)
        if not sidecar.running:
            group.expect(sidecar, sidecar.process.returncode)
        collecting = collecting and dagster.answer(POLL_S) != SESSION
        known = exchange_status(url)
        if known is not None:
            first = first or int(known["now_ms"])
            share = (int(known["now_ms"]) - first) / (6.5 * 3_600_000)
            progress.show(f"session {ist_clock(int(known['now_ms']))}", min(share, 1.0))
        if not collecting:
            time.sleep(POLL_S)
    group.expect(sidecar, sidecar.process.returncode)
