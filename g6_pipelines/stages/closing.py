"""The closing state: after the close, one last quote of every contract that the lake of the day names.

The last cycle of a session is before its close, so its quotes are not the day's last word. This is, and a bhavcopy is
compared with it. It is no cycle: nobody expects it of a minute, and the lake, its copies and their account do not
change with it. Written once an index and day, when every contract of it has been answered for.
"""

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from io import BytesIO

import polars as pl
from kiteconnect import KiteConnect

from g6_core.adapters.files import claim_schema, write_atomic
from g6_core.adapters.kite_market import QUOTE_KEYS_MAX, MarketQuote, Turns, fetch_quotes, wait_for_turn
from g6_core.adapters.lake import lake_exists, lake_schema, read_lake
from g6_core.domain.calendar import MarketRules
from g6_core.domain.end_of_day import FINAL_AFTER_MS
from g6_core.domain.errors import BrokerError, DataError, TryLater
from g6_core.domain.ist import MINUTE_MS, SECOND_MS, ist_date
from g6_core.ports import Clock
from g6_core.schema.closing import CLOSING_COLUMNS, CLOSING_VERSION
from g6_core.schema.paths import DataPaths

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
    kite: KiteConnect,
    clock: Clock,
    turns: Turns,
    rules: MarketRules,
    paths: DataPaths,
    day: date,
    underlyings: Sequence[str],
    final_ms: int = 0,
) -> Generator[int, None, Closing]:
    """Ask for what is not kept yet; yields the next time (ms) at which to be resumed.

    It is asked a minute after the last close, at a market that first shows it later (`final_ms`) then. Nothing is asked
    on a later day: a broker tells the present only. Raises DataError as `write_atomic` and `read_lake` do.
    """
    found = Closing()
    wanted = {
        name: contracts_of_day(paths, day, name, rules)
        for name in dict.fromkeys(underlyings)
        if lake_exists(paths.lake(day, name)) and not paths.closing(day, name).exists()
    }
    closes = [rules.session(day, rules.index(name).option_exchange).close_ms for name in wanted]
    if not closes or ist_date(clock.now_ms()) != day:
        return found
    due_ms = max(max(closes) + FINAL_AFTER_MS, final_ms)
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
    for name, rows in wanted.items():
        found.contracts += rows.height
        own = [answers.get(key) for key in rows["key"]]
        if None in own or not any(one and one[1] for one in own):
            found.unwritten += (name,)
            if None not in own:
                found.reasons["no contract of it is in the replies"] += 1
            continue
        found.quoted += _write(paths, day, name, rows, answers)
    return found


def contracts_of_day(paths: DataPaths, day: date, underlying: str, rules: MarketRules) -> pl.DataFrame:
    """Every contract in the lake of an index: expiry, strike, side, symbol, and its `key` at the broker."""
    rows = read_lake(paths.lake(day, underlying), ["expiry", "strike", "call_symbol", "put_symbol"]).unique()
    sides = [
        rows.select("expiry", "strike", pl.lit(side).alias("side"), pl.col(f"{name}_symbol").alias("symbol"))
        for name, side in (("call", "CE"), ("put", "PE"))
    ]
    exchange = rules.index(underlying).option_exchange
    return (
        pl.concat(sides)
        .filter(pl.col("symbol").is_not_null())
        .unique("symbol")
        .sort("expiry", "strike", "side")
        .with_columns(key=pl.lit(f"{exchange}:") + pl.col("symbol"))
    )


def read_closing(paths: DataPaths, day: date, underlying: str) -> pl.DataFrame:
    """The closing state (`CLOSING_COLUMNS`); no rows where none was kept. DataError when the file is damaged."""
    path, schema = paths.closing(day, underlying), lake_schema(CLOSING_COLUMNS)
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


def _write(
    paths: DataPaths,
    day: date,
    underlying: str,
    contracts: pl.DataFrame,
    answers: Mapping[str, tuple[int, MarketQuote | None]],
) -> int:
    """Write the file of an index; returns how many of its contracts have a quote."""
    rows = [
        (asked_ms, quote.exchange_ms, underlying, expiry, strike, side, symbol, *_figures(quote))
        for expiry, strike, side, symbol, key in contracts.iter_rows()
        for asked_ms, quote in [answers[key]]
        if quote is not None
    ]
    buffer = BytesIO()
    frame = pl.DataFrame(rows, schema=lake_schema(CLOSING_COLUMNS), orient="row")
    frame.write_parquet(buffer, compression="zstd", statistics=False)
    path = paths.closing(day, underlying)
    columns = {name: kind.value for name, kind in CLOSING_COLUMNS.items()}
    claim_schema(path.parent / "_schema.json", {"version": CLOSING_VERSION, "columns": columns})
    write_atomic(path, buffer.getvalue())
    return len(rows)


def _figures(quote: MarketQuote) -> tuple[float | int | None, ...]:
    touch = (quote.bid, quote.ask, quote.bid_qty, quote.ask_qty)
    return (quote.ltp, *touch, quote.volume, quote.oi, quote.average_price)
