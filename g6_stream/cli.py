"""Run the trading sidecar; look at a running one, pause, resume or flatten it; confirm a provisional day."""

import json
import logging
import os
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from g6_core.adapters.hints import command
from g6_core.cli.command import command_group
from g6_core.cli.options import date_option
from g6_core.domain.errors import ConfigError, DataError, UserError
from g6_core.schema.paths import DataPaths

if TYPE_CHECKING:
    from requests import Response

app = command_group(__doc__)

DataDir = Annotated[
    Path,
    typer.Option("--data-dir", help="Data directory with the day pack; the journal goes there.", envvar="G6_DATA_DIR"),
]
ControlPort = Annotated[
    int | None,
    typer.Option(help="Where the sidecar answers. Default: G6_CONTROL_PORT, else 9103.", min=1, max=65_535),
]
ANSWER_S = 10


@app.command("run")
def run(
    data_dir: DataDir = Path("data"),
    day: Annotated[date | None, date_option("Trading day. Default: the clock's.")] = None,
    config_dir: Annotated[
        Path, typer.Option(help="Settings, strategies and market rules.", envvar="G6_CONFIG_DIR")
    ] = Path("config"),
    mode: Annotated[
        str, typer.Option(help="`broker` or `paper`. Default: broker on the simulated exchange, paper on Kite.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the day's figures as JSON at the end.")] = False,
) -> None:
    """Trade the day: signals, orders and exits on the broker that G6_BROKER names (sim by default).

    Needs the day pack of the day and refuses to trade without a good one. Ends a little after the close, or on
    SIGTERM and Ctrl+C; a position keeps its resting stop at the broker, and a new start adopts it.

    \b
    Environment: G6_BROKER, G6_SIM_URL, G6_SIM_PATIENCE_S, G6_LIVE,
                 KITE_API_KEY, KITE_ACCESS_TOKEN,
                 G6_CONTROL_PORT, G6_CONTROL_TOKEN, G6_DATA_DIR, G6_CONFIG_DIR
    """
    from g6_core.adapters.files import plain
    from g6_stream.app import Execution, Request, run_sidecar

    if mode and mode not in set(Execution):
        raise UserError(f"--mode {mode}: unknown; write broker or paper")
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="g6 stream: %(message)s")
    logging.getLogger("g6").setLevel(logging.INFO)
    report = run_sidecar(Request(data_dir, config_dir, day, Execution(mode) if mode else None))
    if as_json:
        typer.echo(json.dumps(plain(report), sort_keys=True))


@app.command("status")
def status(
    data_dir: DataDir = Path("data"),
    control_port: ControlPort = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON: paise, UTC, ids.")] = False,
) -> None:
    """Show what the running sidecar does: why nothing is entered, positions, orders, result and feed."""
    from g6_stream.status_text import status_lines

    body = _call("GET", "/status", data_dir, control_port)
    typer.echo(json.dumps(body, indent=2) if as_json else "\n".join(status_lines(body)))


@app.command("pause")
def pause(data_dir: DataDir = Path("data"), control_port: ControlPort = None) -> None:
    """Stop new entries; exits go on."""
    _order("pause", data_dir, control_port)


@app.command("resume")
def resume(data_dir: DataDir = Path("data"), control_port: ControlPort = None) -> None:
    """Arm again, if broker and journal agree."""
    _order("resume", data_dir, control_port)


@app.command("flatten")
def flatten(data_dir: DataDir = Path("data"), control_port: ControlPort = None) -> None:
    """Sell everything that is held now, and enter nothing until resumed."""
    _order("flatten", data_dir, control_port)


@app.command("confirm")
def confirm(
    day: Annotated[str, typer.Argument(help="The provisional day, typed in full: YYYY-MM-DD.")],
    data_dir: DataDir = Path("data"),
    config_dir: Annotated[Path, typer.Option(help="Settings and market rules.", envvar="G6_CONFIG_DIR")] = Path(
        "config"
    ),
) -> None:
    """Confirm that the exchange trades on a provisional day, so that the sidecar may arm on it.

    A day is provisional while its year's holiday list is not known (`g6 market refresh` reads it). Look at the
    exchange's site first. One day at a time; the word is kept with the data, and a sidecar that waits arms with it.

    \b
    Example:
      g6 stream confirm 2027-02-01
    """
    from g6_core.adapters.clock import RealClock
    from g6_core.adapters.confirmation import TYPED, Confirmation, confirm_day
    from g6_core.adapters.market_rules import load_market_rules
    from g6_core.cli.options import read_date
    from g6_core.domain.ist import utc_text

    try:
        wanted = read_date(day)
    except ValueError as error:
        raise UserError(f"{day}: {error}") from None
    rules = load_market_rules(config_dir)
    rules.require_trading_day(wanted)
    if not rules.provisional(wanted):
        raise UserError(f"{wanted} is a known trading day, there is nothing to confirm")
    confirm_day(DataPaths(data_dir), Confirmation(wanted, TYPED, utc_text(RealClock().now_ms())))
    typer.echo(f"{wanted} is confirmed as a trading day; a sidecar that waits for it arms within seconds")


def _order(action: str, data_dir: Path, port: int | None) -> None:
    answer = _call("POST", f"/{action}", data_dir, port)
    when = "" if answer["in_force"] else " (asked for, not in force yet)"
    typer.echo(f"{action}: mode is {answer['mode']}{when}")


def _call(method: str, path: str, data_dir: Path, port: int | None) -> dict[str, Any]:
    """The JSON of the control port. UserError when nobody answers there."""
    import requests

    from g6_stream.control import HOST, control_port

    url = f"http://{HOST}:{port or control_port()}{path}"
    headers = {"Authorization": f"Bearer {_token(data_dir)}"} if method == "POST" else {}
    with requests.Session() as session:
        # A proxy of the machine is for the world outside of it.
        session.trust_env = False
        try:
            response = session.request(method, url, headers=headers, timeout=ANSWER_S)
        except requests.RequestException as error:
            fix = f"start one (`{command('stream', 'run', '--data-dir', data_dir)}`) or name its --control-port"
            raise UserError(f"no sidecar answers at {url} ({type(error).__name__}); {fix}") from error
    return _body(response)


def _body(response: "Response") -> dict[str, Any]:
    if response.status_code == 401:
        raise ConfigError("the sidecar refused the token; set G6_CONTROL_TOKEN to its own, or name its --data-dir")
    if not response.ok:
        raise UserError(f"the sidecar answered {response.status_code}: {response.text[:200]}")
    body: dict[str, Any] = response.json()
    return body


def _token(data_dir: Path) -> str:
    given = os.environ.get("G6_CONTROL_TOKEN", "")
    if given:
        return given
    path = DataPaths(data_dir).control_token
    try:
        return path.read_text()
    except OSError as error:
        raise DataError(
            f"{path}: {error.strerror}; set G6_CONTROL_TOKEN or name the --data-dir of the running sidecar"
        ) from error
