"""`g6 collect`: the session run without Dagster, or one cycle of it."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from g6_core.cli.errors import ExitCode
from g6_core.domain.errors import UserError

if TYPE_CHECKING:
    from g6_core.config import Settings

RUN = "run"


def collect(
    what: Annotated[str, typer.Argument(help="`run`: until the close. There is nothing else.")] = RUN,
    once: Annotated[bool, typer.Option("--once", help="Collect the cycle of now and end.")] = False,
    interval: Annotated[
        int | None, typer.Option(help="Seconds between cycles: 15, 20, 30 or whole minutes up to 300. Default: as set.")
    ] = None,
    market_hours_only: Annotated[
        bool, typer.Option("--market-hours-only", help="Sleep while the market is closed, and go on the next day.")
    ] = False,
    validate_auth: Annotated[
        bool, typer.Option("--validate-auth", help="First ask for one index level; end if there is none.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON at the end.")] = False,
    data_dir: Annotated[Path, typer.Option(help="Where everything is written.", envvar="G6_DATA_DIR")] = Path("data"),
    config_dir: Annotated[Path, typer.Option(help="Settings and market rules.", envvar="G6_CONFIG_DIR")] = Path(
        "config"
    ),
) -> None:
    """Collect the option chain of every configured index, from the broker that G6_BROKER names (sim by default).

    A day that is under way is continued; what passed meanwhile is written as missing. Ends after the close with 0, on
    Ctrl+C and SIGTERM too. Where another process collects the day already, it says so and ends with 0.

    \b
    Environment: G6_BROKER, G6_SIM_URL, KITE_API_KEY, KITE_ACCESS_TOKEN,
                 G6_LIMITS_DIR, G6_METRICS_PORT, G6_REDIS_URL
    """
    if what != RUN:
        raise UserError(f"collect {what}: unknown; write `g6 collect run`, or `g6 collect --once`")
    # Heard from here on: loading the rest takes seconds on a small machine.
    with _ended_by_signals() as ending:
        from g6_core.adapters.clock import SleepInterrupted
        from g6_core.adapters.site import open_site
        from g6_pipelines.session.solo import Solo

        site = open_site(data_dir, config_dir)
        if interval is not None:
            site = replace(site, settings=_with_interval(site.settings, interval))
        solo = Solo(site, lambda text: typer.echo(f"g6 collect: {text}", err=True), once, validate_auth)
        ending.tell(solo.stop)
        try:
            solo.run(forever=market_hours_only)
        except SleepInterrupted:
            solo.say("stopped; what was collected is safe, and the next start continues it")
    if as_json:
        typer.echo(json.dumps(asdict(solo.figures), sort_keys=True))
    if once and solo.figures.unasked:
        raise typer.Exit(ExitCode.CHECK_FAILED)


def _with_interval(settings: "Settings", interval_s: int) -> "Settings":
    """The settings with another interval. Raises UserError for one that the configuration would refuse."""
    from pydantic import ValidationError

    try:
        collection = type(settings.collection).model_validate({"interval_s": interval_s})
    except ValidationError as error:
        raise UserError(f"--interval {interval_s}: use 15, 20, 30, 60 or whole minutes up to 300") from error
    return replace(settings, file=settings.file.model_copy(update={"collection": collection}))


@dataclass(slots=True)
class _Ending:
    """Passes a signal on to who can end the run, also one that came before anybody could."""

    _heard: bool = False
    _stop: Callable[[], None] | None = None

    def hear(self, _number: int, _frame: FrameType | None) -> None:
        self._heard = True
        if self._stop is not None:
            self._stop()

    def tell(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        if self._heard:
            stop()


@contextmanager
def _ended_by_signals() -> Iterator[_Ending]:
    """Ctrl+C and SIGTERM ask for an end instead of cutting a cycle in two."""
    ending = _Ending()
    before = {number: signal.signal(number, ending.hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
