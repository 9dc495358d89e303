"""The session run as a process of its own, without Dagster: one day, one cycle, or day after day."""

from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, field

from g6_core.adapters.clock import RealClock, SimClock, SleepInterrupted
from g6_core.adapters.hints import command
from g6_core.adapters.kite_market import Market
from g6_core.domain.calendar import Session
from g6_core.domain.errors import CalendarError, UserError
from g6_core.domain.ist import SECOND_MS, ist_clock
from g6_core.site import Site
from g6_pipelines.places import Now, Where, find_place, market_now
from g6_pipelines.session.known import session_hours
from g6_pipelines.session.run import run_session, session_lease
from g6_pipelines.session.supervise import BEFORE_OPEN_MS, over_ms
from g6_pipelines.stages.collect import CycleReport, CycleTotals


@dataclass(slots=True)
class Figures(CycleTotals):
    """What this process has collected. How late cycles began leaves out the one in which the process was started.

    `unasked`: of the newest cycle nothing could be asked for.
    """

    day: str = ""
    late_ms_p99: int = 0
    late_ms_max: int = 0
    skipped: str = ""
    unasked: bool = False


@dataclass(slots=True)
class Solo:
    """Collects, and hears `stop` from any thread or signal handler at any time."""

    site: Site
    say: Callable[[str], None]
    once: bool = False
    validate_auth: bool = False
    figures: Figures = field(default_factory=Figures)
    _late_ms: list[int] | None = None
    _clock: RealClock | SimClock | None = None
    _stopped: bool = False

    def stop(self) -> None:
        """End after the call that is being made. A cycle that has been written is safe."""
        self._stopped = True
        if self._clock is not None:
            self._clock.interrupt()

    def run(self, *, forever: bool = False) -> None:
        """Collect today; `forever` sleeps while the market is closed and goes on the next day, where there is one.

        Raises SleepInterrupted when stopped, CalendarError when the market is closed, and other UserError kinds.
        """
        while True:
            self._unless_stopped()
            now = market_now()
            if now is None:
                start = command("sim", "serve")
                raise UserError(f"no simulated exchange answers; start one (`{start}`), or set G6_BROKER=kite")
            hours = session_hours(self.site, now.day)
            closed = self._closed(now, hours)
            if closed and not forever:
                raise CalendarError(f"{closed}; --market-hours-only waits for the next session")
            if not closed:
                self._collect(now)
            if not forever or self.once or not self._wait(now):
                return

    def _closed(self, now: Now, hours: Session | None) -> str:
        """Why there is nothing to collect, or ""."""
        if hours is None:
            return f"{now.day} is {self.site.rules.days.reason_closed(now.day)}"
        # A day that was cut off at the close still has its last cycles to account for.
        end_ms = hours.close_ms if self.once else over_ms(hours, now.final_ms)
        if now.time_ms >= end_ms:
            return f"the session of {now.day} ended at {ist_clock(hours.close_ms)[:5]}"
        if self.once and now.time_ms < hours.open_ms:
            return f"the session of {now.day} begins at {ist_clock(hours.open_ms)[:5]}"
        return ""

    def _collect(self, now: Now) -> None:
        self.figures.day = str(now.day)
        with session_lease(self.site.paths, now.day) as taken:
            self.figures.skipped = taken
            if taken:
                self.say(f"skipped: {taken}")
                return
            place = find_place(self.site, now.day)
            assert place.where is not Where.IN_PROCESS, "the market was just asked for its time"
            names = self.site.indices
            report = run_session(self.site, place, names, self._heard, self.say, on_market=self._opened, once=self.once)
            if report.closing is not None and report.closing.contracts:
                self.say(report.closing.line())

    def _opened(self, market: Market) -> None:
        assert isinstance(market.clock, RealClock | SimClock)
        self._clock = market.clock
        self._unless_stopped()
        if self.validate_auth:
            self._confirm(market)

    def _unless_stopped(self) -> None:
        """Raises SleepInterrupted when a stop was heard before there was a clock to interrupt."""
        if self._stopped:
            raise SleepInterrupted("interrupted")

    def _confirm(self, market: Market) -> None:
        """Raises UserError when the broker gives no index level."""
        from g6_core.adapters.kite_market import fetch_quotes
        from g6_core.domain.errors import BrokerError

        name = self.site.indices[0]
        spec = self.site.rules.index(name)
        key = f"{spec.index_exchange}:{spec.index_symbol}"
        try:
            quote = fetch_quotes(market.kite, [key]).get(key)
        except BrokerError as error:
            raise UserError(f"the broker gives no level of {name}: {error}") from error
        if quote is None or quote.ltp is None:
            raise UserError(f"the broker gives no level of {name}; is the market open, and is the token of today?")
        self.say(f"the broker answers: {name} {quote.ltp:.2f}")

    def _heard(self, cycle: CycleReport) -> None:
        figures = self.figures
        figures.add(cycle)
        for line in cycle.said:
            self.say(line)
        figures.unasked = not cycle.calls
        if not cycle.calls:
            if not cycle.passed:
                self.say(f"{ist_clock(cycle.time_ms)}: nothing was asked for: {'; '.join(cycle.reasons)}")
            return
        if self._late_ms is None:
            self._late_ms = []
        else:
            insort(self._late_ms, cycle.started_ms - cycle.time_ms)
            figures.late_ms_max = self._late_ms[-1]
            figures.late_ms_p99 = self._late_ms[len(self._late_ms) * 99 // 100]
        took_s = (cycle.ended_ms - cycle.started_ms) / SECOND_MS
        why = f"; {'; '.join(cycle.reasons)}" if cycle.reasons else ""
        self.say(
            f"{ist_clock(cycle.time_ms)}: {cycle.live} of {cycle.expected} contracts live, "
            f"{cycle.calls} calls in {took_s:.1f} s{why}"
        )

    def _wait(self, now: Now) -> bool:
        """Sleep until shortly before the next session; False at once at an exchange that serves one day."""
        if not now.has_tomorrow:
            return False
        clock, rules = RealClock(), self.site.rules
        day = rules.next_trading_day(now.day)
        hours = rules.joint_session(self.site.indices, day)
        self._clock = clock
        if self._stopped:
            clock.interrupt()
        self.say(f"asleep until {day} {ist_clock(hours.open_ms - BEFORE_OPEN_MS)[:5]}")
        clock.sleep_until(hours.open_ms - BEFORE_OPEN_MS)
        return True
