"""Liveness by data: do the ticks of what is subscribed still come, and do their stamps move on? No I/O, no clock.

A heartbeat proves a connection, not its data: a ticker can accept every subscription and send nothing, forget some of
them, or go on with old stamps. In its hours the stamp of an index moves every second and that of a busy contract nearly
so. A contract that trades little is silent for a good reason, so silence only makes a suspect, and the broker's own
quote decides:

    suspect    an index whose stamp has not moved for `suspect_ms`; a busy contract that is silent for three times the
               longest of its newest gaps (and `suspect_ms`); a contract of which nothing came since it was subscribed
    accused    a suspect whose quote at the broker is newer than what the stream has brought
    dead       accused, and nothing has come `PROOF` of that time later; an index that nobody answers for
    quiet      a suspect whose quote is no newer, or that the broker has no quote of: asked again, less and less often

Only an index dies of silence without an answer: a contract may rest for minutes, and a lost `/quote` proves nothing.

Outside of an instrument's hours nothing is judged: an index may stand still once its stocks have closed.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from g6_core.domain.calendar import MarketRules
from g6_core.domain.ist import ist_clock
from g6_core.domain.packets import INDEX_SEGMENT
from g6_core.engine.inputs import DayInputs

SUSPECT_MS = 5_000
# Parts of `suspect_ms`: the chance of the stream to bring what the broker's quote shows, and the patience with a
# silent index from the first question that nobody answers. A stamp further ahead than `AHEAD` is its sender's fault.
PROOF, UNANSWERED, AHEAD = 0.4, 0.6, 12.0
# Stamps are whole seconds, and a quote may be taken a moment after the newest tick.
NEWER_MS = 2_000
BUSY_MOVES = 10
GAPS = 3
QUIET_MS_MAX = 60_000
# One /quote call, and a short list for people.
SUSPECTS_MAX = 100
NAMES_MAX = 3
REMAKE_MS, REMAKE_MS_MAX = 10_000, 300_000
HEALTHY_MS = 60_000


@dataclass(frozen=True, slots=True)
class Hours:
    """What people call an instrument, and between which moments its data are expected."""

    name: str
    from_ms: int
    until_ms: int


HoursOf = Callable[[int], Hours | None]


def hours_of(inputs: DayInputs, rules: MarketRules) -> HoursOf:
    """Return the hours of each token of the day: of an index while its stocks trade, of a contract until it closes."""
    day, open_ms = inputs.trade_date, inputs.open_ms
    indices = {
        one.index.token: Hours(one.index.tradingsymbol, open_ms, rules.stocks_close_ms(day, one.index.exchange))
        for one in inputs.underlyings
    }

    def hours(token: int) -> Hours | None:
        contract = inputs.book.by_token(token)
        if token in indices or contract is None:
            return indices.get(token)
        return Hours(contract.tradingsymbol, open_ms, rules.session(day, contract.exchange, contract.expiry).close_ms)

    return hours


@dataclass(slots=True)
class _Pulse:
    """One subscribed instrument. Times are the clock's, `stamp_ms` the exchange's; 0 is never."""

    hours: Hours
    is_index: bool
    asked_ms: int
    came_ms: int = 0
    moved_ms: int = 0
    stamp_ms: int = 0
    gap_ms: int = 0
    moves: int = 0
    quiet_until_ms: int = 0
    accused_ms: int = 0
    unanswered_since_ms: int = 0

    def is_telling(self, now_ms: int) -> bool:
        """True where the silence by itself says something: an index, or a contract that otherwise moves often."""
        return self.is_index or (self.moves >= BUSY_MOVES and self.silent_ms(now_ms) >= GAPS * self.gap_ms)

    def silent_ms(self, now_ms: int) -> int:
        """Return for how long its stamp has not moved since it could have."""
        return now_ms - max(self.asked_ms, self.moved_ms, self.hours.from_ms)

    def in_hours(self, now_ms: int) -> bool:
        return self.hours.from_ms <= now_ms < self.hours.until_ms


@dataclass(slots=True)
class Liveness:
    """What is known of each subscribed instrument, and whether the feed as a whole is sick.

    `reason` says in words what does not come, "" while nothing is wrong; `since_ms` is when that was found, `remakes`
    how often the connection was made anew for it. `suspect_ms` grows with the speed of a simulated clock.
    """

    hours_of: HoursOf = lambda _: None
    suspect_ms: int = SUSPECT_MS
    reason: str = ""
    since_ms: int = 0
    remakes: int = 0
    _pulses: dict[int, _Pulse] = field(default_factory=dict)
    # Of what was found dead: the stamp that it has to pass to be alive again.
    _dead: dict[int, int] = field(default_factory=dict)
    _remake_ms: int = 0
    _backoff_ms: int = REMAKE_MS
    _well_ms: int = 0

    # what happens to the connection

    def linked(self, now_ms: int) -> None:
        """Note a new connection, on which everything is subscribed anew."""
        for pulse in self._pulses.values():
            _begin(pulse, now_ms)

    def asked(self, tokens: Iterable[int], now_ms: int) -> None:
        """Note subscriptions."""
        for token in tokens:
            hours = self.hours_of(token)
            if hours is not None and token not in self._pulses:
                self._pulses[token] = _Pulse(hours, token & 0xFF == INDEX_SEGMENT, now_ms)

    def dropped(self, tokens: Iterable[int]) -> None:
        """Note what is no longer subscribed."""
        for token in tokens:
            self._pulses.pop(token, None)

    def took(self, tokens: Sequence[int], stamps_ms: Sequence[int], now_ms: int) -> None:
        """Note a frame: each instrument with the exchange's stamp of it, 0 for a packet without one."""
        for token, stamp_ms in zip(tokens, stamps_ms, strict=True):
            pulse = self._pulses.get(token)
            if pulse is None:
                continue
            pulse.came_ms = now_ms
            if stamp_ms <= pulse.stamp_ms or self._is_ahead(stamp_ms, now_ms):
                continue
            if pulse.moved_ms:
                pulse.gap_ms = max(now_ms - pulse.moved_ms, pulse.gap_ms * 15 // 16)
            pulse.stamp_ms, pulse.moved_ms = stamp_ms, now_ms
            pulse.moves += 1
            pulse.quiet_until_ms = pulse.accused_ms = pulse.unanswered_since_ms = 0

    # what follows from it

    def suspects(self, now_ms: int, held: Collection[int] = ()) -> tuple[int, ...]:
        """Return whose quote the broker should be asked for now, indices first; at most `SUSPECTS_MAX`.

        While something is held only indices and that: the question may take long, and exits wait for it.
        """
        found = [
            token
            for token, pulse in self._late(now_ms)
            if (not held or pulse.is_index or token in held) and self._is_suspect(token, pulse, now_ms)
        ]
        return tuple(sorted(found, key=lambda token: not self._pulses[token].is_index)[:SUSPECTS_MAX])

    def answered(self, tokens: Iterable[int], stamps_ms: Mapping[int, int] | None, now_ms: int) -> None:
        """Judge suspects by the stamps of their quotes at the broker; None when there was no answer."""
        for token in tokens:
            pulse = self._pulses.get(token)
            if pulse is None:
                continue
            if stamps_ms is None:
                pulse.unanswered_since_ms = pulse.unanswered_since_ms or now_ms
                continue
            pulse.unanswered_since_ms = 0
            stamp_ms = stamps_ms.get(token, 0)
            if stamp_ms - pulse.stamp_ms >= NEWER_MS and not self._is_ahead(stamp_ms, now_ms):
                pulse.accused_ms = now_ms
            else:
                self._dead.pop(token, None)
                wait_ms = min(max(pulse.silent_ms(now_ms), self.suspect_ms), max(QUIET_MS_MAX, self.suspect_ms))
                pulse.quiet_until_ms = now_ms + wait_ms

    def judge(self, now_ms: int) -> bool:
        """Decide whether the feed is sick, in `reason`; True when the connection must be made anew for it now.

        The first time at once, then less and less often while it does not help.
        """
        for token in [one for one, stamp_ms in self._dead.items() if self._is_over(one, stamp_ms, now_ms)]:
            del self._dead[token]
        found = {token: pulse for token, pulse in self._late(now_ms) if self._is_dead(pulse, now_ms)}
        new = {token: pulse.stamp_ms for token, pulse in found.items() if token not in self._dead}
        if new and not self._dead:
            self.reason, self.since_ms, self.remakes = self._words(found, now_ms), now_ms, 0
        self._dead |= new
        if not self._dead:
            if self.reason:
                self.reason, self._well_ms = "", now_ms
            elif now_ms - self._well_ms >= HEALTHY_MS:
                self._backoff_ms, self._remake_ms = REMAKE_MS, 0
            return False
        if now_ms < self._remake_ms:
            return False
        self._remake_ms = now_ms + self._backoff_ms
        self._backoff_ms = min(2 * self._backoff_ms, REMAKE_MS_MAX)
        self.remakes += 1
        return True

    def _late(self, now_ms: int) -> list[tuple[int, _Pulse]]:
        """Whatever may be wrong is among these: on a good feed they are few, and this is asked every second."""
        before_ms = now_ms - self.suspect_ms
        return [(token, pulse) for token, pulse in self._pulses.items() if pulse.moved_ms <= before_ms]

    def _is_ahead(self, stamp_ms: int, now_ms: int) -> bool:
        """Whether a stamp is from the future: believed, it would hide the true ones until then."""
        return stamp_ms > now_ms + AHEAD * self.suspect_ms

    def _is_suspect(self, token: int, pulse: _Pulse, now_ms: int) -> bool:
        is_late = pulse.silent_ms(now_ms) >= self.suspect_ms
        if not pulse.in_hours(now_ms) or pulse.accused_ms or now_ms < pulse.quiet_until_ms or not is_late:
            return False
        return token in self._dead or not pulse.came_ms or pulse.is_telling(now_ms)

    def _is_dead(self, pulse: _Pulse, now_ms: int) -> bool:
        if not pulse.in_hours(now_ms):
            return False
        if pulse.accused_ms:
            return now_ms - pulse.accused_ms >= PROOF * self.suspect_ms
        is_unanswered = pulse.is_index and pulse.unanswered_since_ms > 0
        return is_unanswered and now_ms - pulse.unanswered_since_ms >= UNANSWERED * self.suspect_ms

    def _is_over(self, token: int, stamp_ms: int, now_ms: int) -> bool:
        """Whether what was dead moves again, is not subscribed any more, or has its hours behind it."""
        pulse = self._pulses.get(token)
        return pulse is None or not pulse.in_hours(now_ms) or pulse.stamp_ms > stamp_ms

    def _words(self, dead: Mapping[int, _Pulse], now_ms: int) -> str:
        """What does not come, for people: the indices, else the contracts."""
        index = next((pulse for pulse in dead.values() if pulse.is_index), None)
        if index is None:
            names = ", ".join(pulse.hours.name for pulse in list(dead.values())[:NAMES_MAX])
            more = ", ..." if len(dead) > NAMES_MAX else ""
            return f"nothing comes of {len(dead)} of {len(self._pulses)} subscriptions: {names}{more}"
        if index.stamp_ms and now_ms - index.came_ms < self.suspect_ms:
            return f"ticks of {index.hours.name} come, but their time stands still at {ist_clock(index.stamp_ms)}"
        return f"no tick of {index.hours.name} for {index.silent_ms(now_ms) // 1000} s"


def _begin(pulse: _Pulse, now_ms: int) -> None:
    """Forget what belongs to the connection before; what was learned of the instrument stays."""
    pulse.asked_ms, pulse.came_ms, pulse.moved_ms = now_ms, 0, 0
    pulse.quiet_until_ms = pulse.accused_ms = pulse.unanswered_since_ms = 0
