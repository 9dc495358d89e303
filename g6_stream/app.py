"""The sidecar put together: one day's session on the broker that the environment names, its feed and its control port.

The only module of G6 that may give a live broker's client to the order gateway.
"""

import logging
import os
import signal
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from urllib.parse import urlencode

from g6_core.adapters.broker import Broker, BrokerSettings, open_line, renew_login, sim_status
from g6_core.adapters.clock import RealClock, SimClock
from g6_core.adapters.day_pack_store import load_day_pack
from g6_core.adapters.files import canonical_json, write_atomic
from g6_core.adapters.kite.client import KiteConnect
from g6_core.adapters.kite.transport import connect
from g6_core.adapters.ledger.ledger import Ledger
from g6_core.adapters.market_rules import load_market_rules
from g6_core.adapters.paper_account import PaperAccountFile
from g6_core.config import Settings, check_against_rules, load_settings
from g6_core.domain.calendar import MarketRules, Session
from g6_core.domain.errors import CalendarError, ConfigError, DataError
from g6_core.domain.events import Alert
from g6_core.domain.ist import SECOND_MS, ist_date
from g6_core.domain.kernel import load_kernels
from g6_core.engine.inputs import DayInputs
from g6_core.ports import Feed
from g6_core.research.inputs import day_inputs
from g6_core.schema.day_pack import DayPack
from g6_core.schema.paths import DataPaths
from g6_stream.control import ControlServer, control_app, control_port, control_token, listen
from g6_stream.feed import KiteFeed
from g6_stream.gateway import KiteGateway
from g6_stream.kept import TradeReport
from g6_stream.lease import sidecar_lease
from g6_stream.liveness import SUSPECT_MS, Liveness, hours_of
from g6_stream.lockstep_feed import LockstepFeed
from g6_stream.loop import Loop, StatusBoard
from g6_stream.paper import BoardSource, PaperBroker, PaperFeed
from g6_stream.session import header_of, open_session
from g6_stream.status import farewell
from g6_stream.telemetry import Telemetry
from g6_stream.timers import Arrived, Inbox, Stopped, Timer

PARTICIPANT = "sidecar"
# The loop that waits for a quote's turn is the loop that sends exits.
QUOTE_PATIENCE_MS = 250
LIVE_CONFIRMATION = "yes-with-real-money"
ALERT_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.CRITICAL}
log = logging.getLogger("g6.stream")


class Execution(StrEnum):
    """Where orders go: to the broker, or to paper money matched against the live prices."""

    BROKER = "broker"
    PAPER = "paper"


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asked for. Without `day` the clock's; without `execution` broker only on the simulation."""

    data_dir: Path
    config_dir: Path
    day: date | None
    execution: Execution | None


def run_sidecar(request: Request) -> TradeReport:
    """Trade until a little after the close, or until SIGTERM or Ctrl+C.

    Raises UserError kinds for wrong inputs, and, after everything was kept, when the exchange has gone for good.
    """
    broker = BrokerSettings.from_env()
    execution = _allowed(request.execution, broker)
    paths = DataPaths(request.data_dir)
    settings, rules = load_settings(request.config_dir), load_market_rules(request.config_dir)
    with ExitStack() as stack:
        stack.enter_context(sidecar_lease(paths.sidecar_lock))
        listener = stack.enter_context(listen(control_port()))
        line = open_line(broker, PARTICIPANT, quote_patience_ms=QUOTE_PATIENCE_MS)
        kite, clock = line.kite, line.clock
        stack.callback(clock.close)
        day = _day(request.day, clock, rules)
        check_against_rules(settings, rules, day, settings.indices)
        params = settings.engine_params()
        pack = load_day_pack(paths.day_pack(day), day=day, config_sha256=params.config_sha256, data_dir=paths.root)
        inputs = day_inputs(pack, rules, params)
        inbox: Inbox = SimpleQueue()
        lockstep = broker.broker is Broker.SIM and sim_status(broker)["mode"] == "lockstep"
        arrivals = (lambda: None) if lockstep else (lambda: inbox.put(Arrived()))
        # Where time is faster than the machine, a second of it is soon over.
        suspect_ms = max(SUSPECT_MS, round(SECOND_MS * clock.speed))
        liveness = Liveness(hours_of(inputs, rules), suspect_ms)
        made = LockstepFeed if lockstep else KiteFeed
        feed = made(lambda: _feed_url(broker, kite), clock, on_arrival=arrivals, liveness=liveness)
        stack.callback(feed.close)
        relogin = renew_login(kite, broker, log.warning)
        board = StatusBoard()
        telemetry = Telemetry(lambda: board.newest)
        gateway = KiteGateway(kite, clock, inputs.book, on_write=telemetry.wrote, speed=clock.speed)
        session_feed: Feed = feed
        money, paper_tags = f"{execution} {broker.broker}", None
        if execution is Execution.PAPER:
            account = PaperAccountFile(paths.paper_account(day), header_of(pack, params, money))
            exchange, session_feed = _paper(account, feed, pack, inputs, settings, rules, clock)
            gateway = KiteGateway(
                connect(exchange), clock, inputs.book, market=kite, on_write=telemetry.wrote, speed=clock.speed
            )
            paper_tags = exchange.tags
        ledger = stack.enter_context(Ledger.of(paths))
        opening = open_session(
            gateway, session_feed, pack, inputs, params, paths, ledger, clock.now_ms(), _tell, telemetry.timed_step,
            money=money, paper_tags=paper_tags,
        )  # fmt: skip
        session, healing = stack.enter_context(opening)
        app = control_app(board, telemetry, inbox, control_token(paths.control_token))
        stack.callback(ControlServer(app, listener).close)
        timer = Timer(clock, inbox, inline=lockstep)
        stack.callback(timer.close)
        _end_on_signals(inbox, timer)
        log.info(
            "%s, %s money, day pack %s, control port %d", rules.shown(day), execution, pack.sha256[:12], control_port()
        )
        load_kernels()  # no tick waits for one
        loop = Loop(
            session, feed, clock, timer, inbox, inputs.open_ms, inputs.close_ms, execution, board, relogin, log.info,
            lockstep,
        )  # fmt: skip
        stopped = loop.run()
        session.finish(clock.now_ms())
        report = session.report(healing)
        write_atomic(paths.trade_report(day), canonical_json(report) + b"\n")
        if board.newest is not None:
            log.info("%s%s", f"{stopped}: " if stopped else "", farewell(board.newest))
        if loop.lost is not None:
            raise loop.lost
    return report


def _allowed(asked: Execution | None, broker: BrokerSettings) -> Execution:
    """Where orders may go. Raises ConfigError for real money without the typed confirmation."""
    if broker.broker is Broker.SIM:
        return asked or Execution.BROKER
    if asked is Execution.BROKER and os.environ.get("G6_LIVE") != LIVE_CONFIRMATION:
        raise ConfigError(
            f"G6_LIVE: orders would go to Kite with real money; set it to {LIVE_CONFIRMATION} or use --mode paper"
        )
    return asked or Execution.PAPER


def _day(asked: date | None, clock: SimClock | RealClock, rules: MarketRules) -> date:
    today = ist_date(clock.now_ms())
    if asked is not None and asked != today:
        raise DataError(f"--date {asked}: the clock says {today}; leave --date away, or serve that day")
    if not rules.is_trading_day(today):
        raise CalendarError(f"{today} is no trading day; start again on the next one")
    return today


def _feed_url(broker: BrokerSettings, kite: KiteConnect) -> str:
    return f"{broker.feed_url}?{urlencode({'api_key': kite.api_key, 'access_token': kite.access_token})}"


def _paper(
    account: PaperAccountFile,
    feed: KiteFeed,
    pack: DayPack,
    inputs: DayInputs,
    settings: Settings,
    rules: MarketRules,
    clock: SimClock | RealClock,
) -> tuple[PaperBroker, Feed]:
    """The paper broker of this account over the live board, and the feed that keeps both informed."""
    hours = Session(inputs.open_ms, inputs.close_ms)
    source = BoardSource(inputs.trade_date, pack.underlyings, inputs.book, hours)
    exchange = PaperBroker(
        account,
        source,
        rules,
        clock,
        seed=pack.seed,
        cash_paise=settings.capital_paise,
        order_latency_ms=settings.simulation.order_latency_ms,
        latency_jitter_ms=settings.simulation.latency_jitter_ms,
    )
    return exchange, PaperFeed(feed, source, exchange)


def _tell(alert: Alert) -> None:
    log.log(ALERT_LEVELS.get(alert.level, logging.WARNING), "%s", alert.text)


def _end_on_signals(inbox: Inbox, timer: Timer) -> None:
    def end(number: int, _: FrameType | None) -> None:
        inbox.put(Stopped(signal.Signals(number).name))
        timer.interrupt()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
