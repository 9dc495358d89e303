"""The closing state: after the close, one last quote of every contract that the lake of the day names.

The last cycle of a session is before its close, so its quotes are not the day's last word. This is, and a bhavcopy is
compared with it. It is no cycle: nobody expects it of a minute, and the lake, its copies and their account do not
change with it. Written once an index and day, when every contract of it has been answered for.
"""

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import polars as pl

from g6_core.adapters.files import claim_schema, write_atomic
from g6_core.adapters.kite.client import KiteConnect
from g6_core.adapters.kite_market import QUOTE_KEYS_MAX, Market, MarketQuote, Turns, fetch_quotes, wait_for_turn
from g6_core.adapters.lake import lake_exists, lake_schema, read_lake
from g6_core.adapters.lake_parquet import frame_bytes
from g6_core.domain.end_of_day import FINAL_AFTER_MS
from g6_core.domain.errors import BrokerError, DataError, TryLater
from g6_core.domain.ist import MINUTE_MS, SECOND_MS, ist_date
from g6_core.ports import Clock
from g6_core.schema.closing import CLOSING_COLUMNS, CLOSING_VERSION
from g6_core.site import Day, Site

RETRY_MS = 5 * SECOND_MS
PATIENCE_MS = 10 * MINUTE_MS
ROUNDS_MAX = 3


@dataclass(slots=True)
class Closing:
    """How it went: contracts of the day, those with a quote, and why the broker did not answer.

    An index of which a contract was not answered for has no file; `unwritten` names it.
    """

    contracts: int = 0
    quoted: int = 0
    calls: int = 0
    unwritten: tuple[str, ...] = ()
    reasons: Counter[str] = field(default_factory=Counter)

    def line(self) -> str:
        """For people."""
        left = f"; not kept: {', '.join(self.unwritten)} ({'; '.join(self.reasons)})" if self.unwritten else ""
        return f"closing state: {self.quoted} of {self.contracts} contracts, {self.calls} calls{left}"


def closing_state(
    market: Market, turns: Turns, site: Site, day: date, underlyings: Sequence[str]
) -> Generator[int, None, Closing]:
    """Ask for what is not kept yet; yields the next time (ms) at which to be resumed.

    It is asked a minute after the last close, at a market that first shows it later then. Nothing is asked
    on a later day: a broker tells the present only. Raises DataError as `write_atomic` and `read_lake` do.
    """
    found, kite, clock = Closing(), market.kite, market.clock
    days = [Day(site, day, name) for name in dict.fromkeys(underlyings)]
    wanted = {one: contracts_of_day(one) for one in days if lake_exists(one.lake) and not one.closing.exists()}
    if not wanted or ist_date(clock.now_ms()) != day:
        return found
    due_ms = max(max(one.session.close_ms for one in wanted) + FINAL_AFTER_MS, market.final_ms)
    if clock.now_ms() < due_ms:
        yield due_ms
    keys = [key for rows in wanted.values() for key in rows["key"]]
    answers: dict[str, tuple[int, MarketQuote | None]] = {}
    give_up_ms = clock.now_ms() + PATIENCE_MS
    for again in range(ROUNDS_MAX):
        # A key that is not in a reply is asked for again: a broker leaves out what it cannot tell just now.
        lacking = [key for key in keys if key in answers and answers[key][1] is None] if again else keys
        if again and lacking:
            yield clock.now_ms() + RETRY_MS
        for start in range(0, len(lacking), QUOTE_KEYS_MAX):
            batch = lacking[start : start + QUOTE_KEYS_MAX]
            quotes = yield from _answer(kite, clock, turns, batch, give_up_ms, found)
            if quotes is not None:
                answers |= {key: (clock.now_ms(), quotes.get(key)) for key in batch}
    for one, rows in wanted.items():
        found.contracts += rows.height
        own = [answers.get(key) for key in rows["key"]]
        if None in own or not any(answer and answer[1] for answer in own):
            found.unwritten += (one.index,)
            if None not in own:
                found.reasons["no contract of it is in the replies"] += 1
            continue
        found.quoted += _write(one, rows, answers)
    return found


def contracts_of_day(day: Day) -> pl.DataFrame:
    """Every contract in the lake of an index: expiry, strike, side, symbol, and its `key` at the broker."""
    rows = read_lake(day.lake, ["expiry", "strike", "call_symbol", "put_symbol"]).unique()
    sides = [
        rows.select("expiry", "strike", pl.lit(side).alias("side"), pl.col(f"{name}_symbol").alias("symbol"))
        for name, side in (("call", "CE"), ("put", "PE"))
    ]
    exchange = day.site.rules.index(day.index).option_exchange
    return (
        pl.concat(sides)
        .filter(pl.col("symbol").is_not_null())
        .unique("symbol")
        .sort("expiry", "strike", "side")
        .with_columns(key=pl.lit(f"{exchange}:") + pl.col("symbol"))
    )


def read_closing(day: Day) -> pl.DataFrame:
    """The closing state (`CLOSING_COLUMNS`); no rows where none was kept. DataError when the file is damaged."""
    path, schema = day.closing, lake_schema(CLOSING_COLUMNS)
    if not path.exists():
        return pl.DataFrame(schema=schema)
    try:
        return pl.read_parquet(path).select(pl.col(name).cast(kind) for name, kind in schema.items())
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        said = str(error).partition("\n")[0]
        raise DataError(f"{path}: not a closing state ({said}); put it back from the archive or remove it") from error


def _answer(
    kite: KiteConnect, clock: Clock, turns: Turns, keys: Sequence[str], give_up_ms: int, found: Closing
) -> Generator[int, None, Mapping[str, MarketQuote] | None]:
    """One call, repeated while the broker asks for patience; None without an answer."""
    while True:
        # Every batch has its call, also when the patience was used up by the one before.
        problem = yield from wait_for_turn(clock, turns, max(give_up_ms, clock.now_ms()) + RETRY_MS)
        if problem:
            found.reasons[problem] += 1
            return None
        turns.spend()
        found.calls += 1
        try:
            return fetch_quotes(kite, keys)
        except BrokerError as error:
            found.reasons[str(error)] += 1
            if not isinstance(error, TryLater) or clock.now_ms() + RETRY_MS > give_up_ms:
                return None
        yield clock.now_ms() + RETRY_MS


def _write(day: Day, contracts: pl.DataFrame, answers: Mapping[str, tuple[int, MarketQuote | None]]) -> int:
    """Write the file of an index; returns how many of its contracts have a quote."""
    rows = [
        (asked_ms, quote.exchange_ms, day.index, expiry, strike, side, symbol, *_figures(quote))
        for expiry, strike, side, symbol, key in contracts.iter_rows()
        for asked_ms, quote in [answers[key]]
        if quote is not None
    ]
    frame = pl.DataFrame(rows, schema=lake_schema(CLOSING_COLUMNS), orient="row")
    columns = {name: kind.value for name, kind in CLOSING_COLUMNS.items()}
    claim_schema(day.closing.parent / "_schema.json", {"version": CLOSING_VERSION, "columns": columns})
    write_atomic(day.closing, frame_bytes(frame))
    return len(rows)


def _figures(quote: MarketQuote) -> tuple[float | int | None, ...]:
    touch = (quote.bid, quote.ask, quote.bid_qty, quote.ask_qty)
    return (quote.ltp, *touch, quote.volume, quote.oi, quote.average_price)
