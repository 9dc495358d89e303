"""How a day's session is opened, and the session as a stage of the day.

The stage is a generator that yields the next time it wants to be woken: it runs under virtual time in one process;
`g6_stream.loop` runs the same session in a process of its own.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path

from g6_core.adapters.acceptance import held_back
from g6_core.adapters.confirmation import unconfirmed
from g6_core.adapters.day_pack_store import load_day_pack
from g6_core.adapters.journal import Healing, Journal, read_header, read_journal
from g6_core.adapters.kite.client import KiteConnect
from g6_core.adapters.ledger.ledger import Ledger
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError
from g6_core.domain.events import Alert
from g6_core.engine.inputs import DayInputs
from g6_core.engine.params import EngineParams
from g6_core.engine.state import EngineState
from g6_core.engine.step import step
from g6_core.ports import Clock, Feed
from g6_core.research.inputs import day_inputs
from g6_core.research.replay import replay
from g6_core.schema.day_pack import DayPack
from g6_core.schema.journal import Header
from g6_core.schema.paths import DataPaths
from g6_stream.gateway import KiteGateway
from g6_stream.kept import TradeReport
from g6_stream.trading import Decide, TradingSession

AFTER_CLOSE_MS = 10_000
# Whose orders a journal holds; the others are named by the composition root.
BROKER_SIM = "broker sim"


def header_of(pack: DayPack, params: EngineParams, money: str) -> Header:
    """What a journal of this day says of itself; `money` says whose orders it holds."""
    return Header(str(pack.trade_date), params.config_sha256, pack.sha256, money)


@contextmanager
def open_session(
    gateway: KiteGateway,
    feed: Feed,
    pack: DayPack,
    inputs: DayInputs,
    params: EngineParams,
    paths: DataPaths,
    ledger: Ledger,
    now_ms: int,
    on_alert: Callable[[Alert], None] | None = None,
    decide: Decide = step,
    *,
    money: str = BROKER_SIM,
    paper_tags: Mapping[str, str] | None = None,
) -> Iterator[tuple[TradingSession, Healing]]:
    """A session of the pack's day; its journal is closed at the end, whatever happens in between.

    An existing journal of the day is healed, replayed and continued: positions, counters and a tripped
    circuit breaker are as they were. `money` says whose orders they are; `paper_tags` are the tags by order id of a
    paper account. Raises DataError for a foreign journal, and for one that the paper account does not belong to.
    """
    state = EngineState.fresh(params, inputs)
    path = paths.journal(pack.trade_date)
    journal, healing = Journal.open(path, header_of(pack, params, money))
    try:
        hold = partial(_held_back, paths, pack, inputs.provisional, typed=money.endswith("kite"))
        session = TradingSession(state, journal, gateway, feed, ledger, on_alert, hold, decide)
        if healing.dropped_bytes:
            session.alert(Alert("warning", str(healing)))
        found = replay(state, read_journal(path)) if healing.records else None
        if paper_tags is not None:
            _check_account(paper_tags, state, path, paths.paper_account(pack.trade_date))
        if found is not None:
            session.resume(found, now_ms, read_header(path).engine)
        yield session, healing
    except BaseException:
        journal.abandon()
        raise
    journal.close()


def _held_back(paths: DataPaths, pack: DayPack, provisional: str, *, typed: bool) -> Sequence[str]:
    """Why the day of a pack waits for a person; at the real exchange their word must be `typed`."""
    return (*held_back(paths, pack), *unconfirmed(paths, pack.trade_date, provisional, typed=typed))


def _check_account(tags: Mapping[str, str], state: EngineState, journal: Path, account: Path) -> None:
    """The intent of an order is on disk before the account takes it, and the account before its id is journaled.

    So each order of the one is in the other, whenever the process died. DataError when not: a file was moved or put
    back, and the numbers of orders would come a second time.
    """
    gone = next((order.order_id for order in state.orders.values() if order.order_id not in {"", *tags}), "")
    strange = next((order_id for order_id, tag in tags.items() if tag not in state.orders), "")
    if gone or strange:
        text = f"order {gone} is only in the journal" if gone else f"order {strange} is only in the account"
        raise DataError(
            f"{account}: not the paper account of {journal}, {text}; bring back the missing one, or move both away to "
            "begin the paper day anew"
        )


def trade(
    kite: KiteConnect,
    feed: Feed,
    clock: Clock,
    params: EngineParams,
    rules: MarketRules,
    paths: DataPaths,
    ledger: Ledger,
    day: date,
    on_alert: Callable[[Alert], None] | None = None,
) -> Generator[int, None, TradeReport]:
    """Trade one session from the day pack of `day`; yields wake times (ms) and returns the report.

    Raises DataError for a bad day pack or a foreign journal.
    """
    pack = load_day_pack(paths.day_pack(day), day=day, config_sha256=params.config_sha256, data_dir=paths.root)
    inputs = day_inputs(pack, rules, params)
    gateway = KiteGateway(kite, clock, inputs.book)
    now_ms = clock.now_ms()
    with open_session(gateway, feed, pack, inputs, params, paths, ledger, now_ms, on_alert) as (session, healing):
        yield inputs.open_ms
        while clock.now_ms() < inputs.close_ms + AFTER_CLOSE_MS:
            session.arm_when_due(clock.now_ms())
            session.second(clock.now_ms())
            yield clock.now_ms() // 1000 * 1000 + 1000
        session.finish(clock.now_ms())
    return session.report(healing)
