"""The simulated exchange and broker as one object: market data, orders and the account of one client on one day.

It knows nothing of HTTP; `routes` puts Kite's API in front of it. Times come from the clock that is passed in.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from g6_core.domain.calendar import MarketRules
from g6_core.domain.instruments import Instrument
from g6_core.ports import Clock
from g6_core.sim import kite_quotes
from g6_core.sim import kite_shapes as shapes
from g6_core.sim.account import Account
from g6_core.sim.books import Books
from g6_core.sim.desk import OrderDesk
from g6_core.sim.historical import Window, candles, recorded_minutes, told_spans
from g6_core.sim.kite_shapes import Json
from g6_core.sim.limits import RateLimiter
from g6_core.sim.margins import Calculator
from g6_core.sim.order_log import OrderLog
from g6_core.sim.order_state import SimTrade
from g6_core.sim.refusals import kite_error
from g6_core.sim.source import MarketSource
from g6_core.sim.venue import Latency, Venue

QUOTE_KEYS_MAX = 500
SHORT_KEYS_MAX = 1_000
SEGMENTS = ("equity", "commodity")


class Exchange:
    """One simulated day behind Kite's vocabulary.

    Every call first brings the market to the clock's time. Methods raise KiteError where Kite answers with an error.
    """

    def __init__(
        self,
        source: MarketSource,
        rules: MarketRules,
        clock: Clock,
        *,
        seed: int,
        cash_paise: int,
        order_latency_ms: int,
        latency_jitter_ms: int,
    ) -> None:
        day = source.trade_date
        self.source = source
        self.seed = seed
        self.clock = clock
        self.limits = RateLimiter()
        self._log = OrderLog(Account(cash_paise), lambda exchange: rules.charge_rates(exchange, day))
        latency = Latency(order_latency_ms, latency_jitter_ms, seed)
        self._venue = Venue(source, rules, self._log, latency, start_ms=clock.now_ms())
        self._desk = OrderDesk(source, rules, self._log, self._venue)
        self._access_token = sha256(f"{shapes.API_KEY}|{day}|{seed}".encode()).hexdigest()[:32]
        self._logged_in = False
        self._dumps: dict[str | None, bytes] = {}

    def books(self) -> Books:
        """Everything that another process needs to go on as this broker; valid until the next call of any method."""
        log = self._log
        orders, trades = tuple(log.orders.values()), tuple(log.trades)
        return Books(orders, trades, log.account.books(), self._venue.books(), self._desk.parents)

    def restore(self, kept: Books) -> None:
        """Go on from kept books, at the time when they were kept. Only before anything else was asked."""
        self._log.restore(kept.orders, kept.trades)
        self._log.account.restore(kept.account)
        self._venue.restore(kept.venue)
        self._desk.parents = kept.parents

    def advance(self, to_ms: int) -> None:
        """Process all arrivals, matching and the close up to a time."""
        self._venue.advance(to_ms)

    def _now(self) -> int:
        now_ms = self.clock.now_ms()
        self._venue.advance(now_ms)
        return now_ms

    # session

    def login(self, api_key: str, request_token: str, checksum: str) -> Json:
        """Exchange the request token for the day's access token; all three secrets are `g6sim`."""
        secrets = shapes.API_KEY + shapes.REQUEST_TOKEN + shapes.API_SECRET
        if api_key != shapes.API_KEY or request_token != shapes.REQUEST_TOKEN:
            raise kite_error("login")
        if checksum != sha256(secrets.encode()).hexdigest():
            raise kite_error("checksum")
        self._logged_in = True
        return shapes.session(self._access_token, self._now())

    def logout(self, api_key: str, access_token: str) -> bool:
        """End the session; the next login revives the same token."""
        self.authorise(f"token {api_key}:{access_token}")
        self._logged_in = False
        return True

    def expire_session(self) -> None:
        """Let the access token end now, as at 06:00 or after a login elsewhere; the next login revives it."""
        self._logged_in = False

    def authorise(self, header: str) -> None:
        """Check an Authorization header."""
        if not self._logged_in or header != f"token {shapes.API_KEY}:{self._access_token}":
            raise kite_error("token")

    # market data

    def instruments(self, exchange: str | None = None) -> bytes:
        """The dump as CSV, of one exchange or of all."""
        if exchange not in self._dumps:
            rows = [row for row in self.source.instruments if exchange in (None, row.exchange)]
            self._dumps[exchange] = shapes.instruments_csv(rows)
        return self._dumps[exchange]

    def quote(self, keys: Sequence[str]) -> dict[str, Json]:
        """Full quotes by key; keys that are unknown or have no data are left out."""
        return kite_quotes.quote_bodies(*self._quoted(keys, QUOTE_KEYS_MAX))

    def ohlc(self, keys: Sequence[str]) -> dict[str, Json]:
        """Day's open, high, low, previous close and last price by key."""
        return kite_quotes.ohlc_bodies(*self._quoted(keys, SHORT_KEYS_MAX))

    def ltp(self, keys: Sequence[str]) -> dict[str, Json]:
        """Last prices by key."""
        return kite_quotes.ltp_bodies(*self._quoted(keys, SHORT_KEYS_MAX))

    def _quoted(self, keys: Sequence[str], most: int) -> tuple[list[Instrument], NDArray[np.void]]:
        if len(keys) > most:
            raise kite_error("too_many_instruments", count=len(keys), most=most)
        book = self.source.instruments
        known = [instrument for key in dict.fromkeys(keys) if (instrument := book.by_key(key))]
        tokens = np.array([instrument.token for instrument in known], np.int64)
        return known, self.source.quotes(tokens, self._now())

    def candles(self, token: int, window: Window) -> Json:
        """Historical candles of today; other days are not simulated and have none.

        Beside Kite's `candles`, a replayed recording names the minutes it holds (`recorded`, spans of first and last).
        """
        instrument = self.source.instruments.by_token(token)
        if instrument is None:
            raise kite_error("bad_field", field="instrument_token")
        now_ms = self._now()
        found: Json = {"candles": candles(self.source, instrument, window, now_ms)}
        recorded = recorded_minutes(self.source, token)
        return found if recorded is None else found | {"recorded": told_spans(recorded, now_ms)}

    def ticks(self, tokens: NDArray[np.int64]) -> NDArray[np.void]:
        """TICK rows of the tokens that have data now: stands in for the streaming feed."""
        return self.source.ticks(tokens, self._now())

    # orders and account

    def place(self, params: Mapping[str, str], variety: str = "regular") -> str:
        """Order id; the outcome shows in the order book."""
        self._now()
        return self._desk.place(variety, params)

    def place_sliced(self, params: Mapping[str, str], variety: str = "regular") -> Json:
        """Parent order id and children of an order that is sliced at the freeze quantity."""
        self._now()
        return self._desk.place_sliced(variety, params)

    def modify(self, order_id: str, params: Mapping[str, str]) -> str:
        """Order id; the outcome shows in the order book."""
        self._now()
        return self._desk.modify(order_id, params)

    def cancel(self, order_id: str) -> str:
        """Order id; the outcome shows in the order book."""
        self._now()
        return self._desk.cancel(order_id)

    def orders(self) -> list[Json]:
        """The order book of the day, oldest first."""
        self._now()
        return [shapes.order_row(order) for order in self._log.orders.values()]

    def order_history(self, order_id: str) -> list[Json]:
        """One row per status that the order went through, oldest first."""
        self._now()
        order = self._log.orders.get(order_id)
        if order is None:
            raise kite_error("unknown_order")
        return list(order.history)

    def trades(self) -> list[Json]:
        """All executions of the day."""
        self._now()
        return [shapes.trade_row(trade) for trade in self._log.trades]

    def order_trades(self, order_id: str) -> list[Json]:
        """Executions of one order."""
        self._now()
        if order_id not in self._log.orders:
            raise kite_error("unknown_order")
        return [shapes.trade_row(trade) for trade in self._log.trades if trade.order_id == order_id]

    def executions(self) -> tuple[SimTrade, ...]:
        """All executions with their times in milliseconds, which Kite's replies do not show: for checks."""
        self._now()
        return tuple(self._log.trades)

    def take_order_updates(self) -> list[Json]:
        """Order updates pushed since the last call, shaped like Kite's postbacks."""
        self._now()
        return self._log.take_updates()

    def positions(self) -> Json:
        """Positions of the day; `net` and `day` are the same, nothing is carried over night."""
        now_ms = self._now()
        rows = []
        for position in self._log.account.positions.values():
            quote = self._venue.row(position.instrument, now_ms)
            rows.append(shapes.position_row(position, int(quote["ltp_paise"]), int(quote["close_paise"])))
        return {"net": rows, "day": [dict(row) for row in rows]}

    def margins(self, segment: str | None = None) -> Json:
        """Funds of one segment, or of both; options are paid from `equity`, `commodity` is empty."""
        self._now()
        if segment is not None and segment not in SEGMENTS:
            raise kite_error("bad_field", field="segment")
        blocked_paise = self._log.account.blocked_paise(self._log.live.values())
        funds = {
            "equity": shapes.margins(self._log.account, blocked_paise),
            "commodity": shapes.margins(Account(0), 0, enabled=False),
        }
        return funds if segment is None else funds[segment]

    def calculator(self) -> Calculator:
        """Margins and charges as things stand now."""
        now_ms = self._now()
        held = {token: position.quantity for (token, _), position in self._log.account.positions.items()}
        return Calculator(
            self.source.instruments,
            held,
            lambda instrument: int(self._venue.row(instrument, now_ms)["ltp_paise"]),
            self._log.rates_of,
        )

    def profile(self) -> Json:
        """The client."""
        return shapes.profile()
