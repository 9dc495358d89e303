"""`g6 up`: the whole stack until Ctrl+C: exchange, Dagster's web UI and daemon, collector and trading sidecar."""

import os
import sys
import time
from datetime import UTC, date, datetime
from datetime import time as clock_time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from g6_core.cli.demo import DEMO_DATE, DEMO_SEED, INDEX
from g6_core.cli.options import date_option, speed_of, start_option
from g6_core.cli.plan import DEFAULT_CONTROL_PORT, Ports, Simulation, Wanted, require_past
from g6_core.domain.errors import CalendarError, UserError
from g6_core.domain.ist import ist_clock, ist_date, to_ms
from g6_core.schema.paths import DataPaths

if TYPE_CHECKING:
    from g6_core.domain.calendar import MarketRules

# A day in twenty minutes. Signals come from the seventh on: the ADX of five-minute bars needs 140 minutes of the day.
# Much faster, and a hiccup of the machine looks like a silent feed.
DEFAULT_SPEED = 20.0
MODELLED = "modelled"


def up(
    data_dir: Annotated[Path, typer.Option(help="Everything is written below this folder.")] = Path("data/up"),
    source: Annotated[
        str,
        typer.Option(help="`modelled` (default), or the path of a recording (Parquet): NSE chain or Kite snapshots."),
    ] = "",
    day: Annotated[
        date | None, date_option(f"Simulated trading day. Default: {DEMO_DATE}; recorded: the only one in the file.")
    ] = None,
    index: Annotated[
        str, typer.Option(help=f"Index to collect and trade. Default: {INDEX}; recorded: the one in the file.")
    ] = "",
    seed: Annotated[int | None, typer.Option(help=f"Seed of the simulated market. Default: {DEMO_SEED}.")] = None,
    speed: Annotated[
        float | None, typer.Option(help=f"How many times faster than real time. Default: {DEFAULT_SPEED:g}.")
    ] = None,
    start: Annotated[
        clock_time | None,
        start_option("Time of day in India to start at. Default: half a real minute before the open."),
    ] = None,
    ui_port: Annotated[int, typer.Option(help="Port of the web UI on 127.0.0.1.", min=1, max=65_535)] = 3000,
    sim_port: Annotated[int, typer.Option(help="Port of the simulated exchange.", min=1, max=65_535)] = 8765,
    control_port: Annotated[
        int, typer.Option(help="Control port of the sidecar.", min=1, max=65_535, envvar="G6_CONTROL_PORT")
    ] = DEFAULT_CONTROL_PORT,
    config_dir: Annotated[
        Path, typer.Option(help="Settings, strategies and market rules.", envvar="G6_CONFIG_DIR")
    ] = Path("config"),
) -> None:
    """Run the whole stack until Ctrl+C: simulated exchange, Dagster web UI and daemon, collector, trading sidecar.

    Prepares the day, opens it half a minute later and trades it faster than real time; after the close runs the
    evening job and stays up, so that you can look around. A process that dies is started again; one that cannot
    start ends the stack with its last words. Ctrl+C, SIGTERM or closing the terminal ends everything in order, with
    exit code 0; a second Ctrl+C does not wait. A simulated day is made anew each time, other days in the folder stay.

    With G6_BROKER=kite (and KITE_API_KEY, KITE_ACCESS_TOKEN) no exchange is started: today's market, paper money.

    \b
    Examples:
      g6 up                                the day of the demo, 20 times as fast
      g6 up --speed 1 --start 10:30        in real time, from half past ten
      g6 up --source NIFTY.parquet --data-dir data/real
      g6 stream status --data-dir data/up  the sidecar; what it does now
    """
    from g6_core.adapters.broker import Broker, BrokerSettings
    from g6_core.adapters.market_rules import load_market_rules
    from g6_core.cli.stack import run_stack
    from g6_core.config import load_settings

    settings, rules = load_settings(config_dir), load_market_rules(config_dir)
    live = BrokerSettings.from_env().broker is Broker.KITE
    modelled = source in ("", MODELLED)
    name = index or (INDEX if live or modelled else "")
    if name:
        rules.index(name)
        settings.index(name)
    now_ms = machine_ms()
    if live:
        given = {"source": source, "date": day, "seed": seed, "speed": speed, "start": start}
        _require_live([option for option, value in given.items() if value not in ("", None)], rules, name, now_ms)
        simulation, day = None, ist_date(now_ms)
    else:
        day = day or (DEMO_DATE if modelled else None)
        require_past(day, rules, ist_date(now_ms))
        simulation = _simulation(source or MODELLED, seed, speed, start)
    ports = Ports(ui_port, sim_port, control_port)
    run_stack(Wanted(DataPaths(data_dir), config_dir, day, name, ports, simulation), settings, rules, _say)


def _simulation(source: str, seed: int | None, speed: float | None, start: clock_time | None) -> Simulation:
    """The simulated exchange with its defaults. Raises UserError."""
    chosen_speed = speed_of(DEFAULT_SPEED if speed is None else speed)
    return Simulation(source, DEMO_SEED if seed is None else seed, chosen_speed, str(start or ""))


def machine_ms() -> int:
    """The machine's time."""
    return to_ms(datetime.now(UTC))


def _say(line: str) -> None:
    """One event with the machine's time. A terminal that was closed must not keep the stack from ending."""
    try:
        typer.echo(f"{time.strftime('%H:%M:%S')} {line}")
    except OSError:
        # What could not be written would be tried again at exit, and spoil the exit code.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _require_live(given: list[str], rules: "MarketRules", index: str, now_ms: int) -> None:
    """Kite has one market: today's, while it is open or will be."""
    if given:
        raise UserError(f"--{given[0]} is about the simulated exchange; leave it away, or unset G6_BROKER=kite")
    today = ist_date(now_ms)
    rules.require_trading_day(today)
    close_ms = rules.index_session(index, today).close_ms
    if now_ms >= close_ms:
        raise CalendarError(f"the session of {today} ended at {ist_clock(close_ms)[:5]}; start before the next one")
