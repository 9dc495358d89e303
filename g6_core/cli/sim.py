"""Serve a simulated exchange behind Kite's HTTP and WebSocket, on this machine only."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from datetime import time as clock_time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from g6_core.cli.command import command_group
from g6_core.cli.options import date_option, speed_of, start_option
from g6_core.domain.errors import UserError
from g6_core.domain.ist import MINUTE_MS, SECOND_MS, at, ist_date, to_ms

if TYPE_CHECKING:
    from g6_core.config import Settings
    from g6_core.domain.calendar import MarketRules
    from g6_core.sim.clock import VirtualClock
    from g6_core.sim.exchange import Exchange
    from g6_core.sim.source import MarketSource

MODELLED = "modelled"
LEAD_S_MAX = 600
BEFORE_OPEN_MS = MINUTE_MS
# In lockstep nobody waits for it: the same half hour as in `g6 day`.
BEFORE_OPEN_LOCKSTEP_MS = 30 * MINUTE_MS

app = command_group(__doc__)


@app.command()
def serve(
    source: Annotated[
        str,
        typer.Option(help="`modelled`, or the path of a recording (Parquet): an NSE option chain or Kite snapshots."),
    ] = MODELLED,
    day: Annotated[
        date | None, date_option("Trading day. Default: the only one in the file; modelled: the last one.")
    ] = None,
    index: Annotated[
        list[str] | None, typer.Option(help="Index to quote; modelled: may be repeated, default every configured one.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the modelled market, of bridges and latencies.")] = 0,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.", min=0, max=65_535)] = 8765,
    lockstep: Annotated[bool, typer.Option("--lockstep", help="Time moves only with the participants.")] = False,
    participants: Annotated[
        str, typer.Option(help="Names, by commas: with --lockstep, time waits until all of these have come.")
    ] = "",
    speed: Annotated[float | None, typer.Option(help="How many times faster than real time. Default: 1.")] = None,
    start: Annotated[
        clock_time | None, start_option("Time of day in India to start at. Default: before the open.")
    ] = None,
    lead: Annotated[float | None, typer.Option(help="Instead of --start: real seconds until the open.")] = None,
    redirect_url: Annotated[
        str, typer.Option(help="Where the login page sends the browser back to.")
    ] = "http://127.0.0.1:8766/",
    state: Annotated[
        Path | None,
        typer.Option(help="File that keeps the day: an exchange that is killed and started again goes on with it."),
    ] = None,
    config_dir: Annotated[Path, typer.Option(help="Settings and market rules.")] = Path("config"),
) -> None:
    """Serve one simulated trading day as Kite would: `KiteConnect(root=...)` and `KiteTicker(root=...)` work unchanged.

    Key, secret and request token are all `g6sim`. Ends clean on Ctrl+C, SIGTERM or `POST /sim/stop`; `GET /sim/status`
    tells the time and who is connected; `POST /sim/faults` orders faults, which are forgotten at the end.

    \b
    Examples:
      g6 sim serve --seed 7 --speed 5
      g6 sim serve --seed 7 --speed 5 --state data/exchange.jsonl
      g6 sim serve --seed 7 --lockstep --participants collector,sidecar
    """
    from g6_core.adapters.market_rules import load_market_rules
    from g6_core.config import check_against_rules, load_settings
    from g6_core.sim.server.serve import Serving
    from g6_core.sim.server.serve import serve as run

    names = tuple(name.strip() for name in participants.split(",") if name.strip())
    chosen_speed = _pace(lockstep, speed, names)
    if urlsplit(redirect_url).scheme not in ("http", "https"):
        raise UserError(f"--redirect-url {redirect_url}: not an address; write it like http://127.0.0.1:8766/")
    settings, rules = load_settings(config_dir), load_market_rules(config_dir)
    market = _source(source, day, tuple(index or ()), seed, rules, tuple(settings.indices))
    check_against_rules(settings, rules, market.trade_date, market.underlyings)
    start_ms = _start_ms(start, lead, chosen_speed, market)
    with _exchange(state, market, rules, settings, seed, start_ms) as (exchange, clock, continued):
        pace = "lockstep" if chosen_speed is None else f"speed {chosen_speed:g}"
        served = f"{', '.join(market.underlyings)} {market.trade_date} ({market.label}, seed {seed}, {pace}{continued})"
        run(
            exchange,
            clock,
            Serving(port, chosen_speed, names, redirect_url, time.monotonic),
            lambda url: typer.echo(f"g6 sim: {served} at {url}"),
        )


@contextmanager
def _exchange(
    state: Path | None,
    market: "MarketSource",
    rules: "MarketRules",
    settings: "Settings",
    seed: int,
    start_ms: int,
) -> Iterator[tuple["Exchange", "VirtualClock", str]]:
    """The exchange, its clock, and what to say about a day that goes on from its log."""
    from g6_core.adapters.exchange_log import ExchangeLog, KeptExchange
    from g6_core.sim.clock import VirtualClock
    from g6_core.sim.exchange import Exchange

    terms = {
        "seed": seed,
        "cash_paise": settings.capital_paise,
        "order_latency_ms": settings.simulation.order_latency_ms,
        "latency_jitter_ms": settings.simulation.latency_jitter_ms,
    }
    if state is None:
        clock = VirtualClock(start_ms)
        yield Exchange(market, rules, clock, **terms), clock, ""
        return
    served = {"date": str(market.trade_date), "source": market.label, "indices": list(market.underlyings)} | terms
    with closing(ExchangeLog.open(state, served, start_ms)) as log:
        clock = VirtualClock(log.start_ms)
        kept = KeptExchange(log, market, rules, clock, **terms)
        # A day that has begun goes on where it was; only a later --start moves it.
        clock.sleep_until(start_ms)
        yield kept, clock, f", {kept.continued}" if log.lines else ""


def _pace(lockstep: bool, speed: float | None, names: tuple[str, ...]) -> float | None:
    """The speed, None for lockstep."""
    if lockstep and speed is not None:
        raise UserError("--lockstep and --speed exclude each other; choose one")
    if names and not lockstep:
        raise UserError("--participants only means something with --lockstep; add it")
    if len(set(names)) != len(names):
        raise UserError("--participants: a name comes twice; name everybody once")
    return None if lockstep else speed_of(1.0 if speed is None else speed, "; --lockstep is faster still")


def _source(
    source: str,
    day: date | None,
    indices: tuple[str, ...],
    seed: int,
    rules: "MarketRules",
    configured: tuple[str, ...],
) -> "MarketSource":
    """The market to serve: what is asked for, else what the collector will ask for."""
    for name in indices:
        rules.index(name)
    if source == MODELLED:
        from g6_core.sim.modelled import ModelledSource

        today = ist_date(to_ms(datetime.now(UTC)))
        last = rules.last_trading_day_up_to(today)
        return ModelledSource(indices or configured, day or last, rules, seed)
    from g6_core.sim.recorded import RecordedSource

    if len(indices) > 1:
        raise UserError(f"--index {' '.join(indices)}: a recorded chain has one index; name one")
    return RecordedSource(Path(source), rules, day, next(iter(indices), None), seed)


def _start_ms(start: clock_time | None, lead: float | None, speed: float | None, market: "MarketSource") -> int:
    """When the served time begins; `speed` None is lockstep."""
    if start is not None and lead is not None:
        raise UserError("--start and --lead exclude each other; choose one")
    if start is not None:
        return at(market.trade_date, start)
    if lead is not None and speed is None:
        raise UserError("--lead means nothing with --lockstep, where no real time passes; use --start")
    if lead is not None and speed is not None:
        if not 0 <= lead <= LEAD_S_MAX:
            raise UserError(f"--lead {lead:g}: choose 0 to {LEAD_S_MAX} seconds")
        return market.session.open_ms - int(lead * speed * SECOND_MS)
    return market.session.open_ms - (BEFORE_OPEN_LOCKSTEP_MS if speed is None else BEFORE_OPEN_MS)
