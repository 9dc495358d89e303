"""The trading loop of the sidecar: one session in one thread, woken by its timer, the feed, a person or the end."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import assert_never

from g6_core.domain.errors import G6Error
from g6_core.domain.events import Alert
from g6_core.domain.ist import SECOND_MS
from g6_core.ports import Clock
from g6_stream.feed import KiteFeed
from g6_stream.session import AFTER_CLOSE_MS
from g6_stream.status import Status, changes, status_of
from g6_stream.timers import Arrived, Asked, Due, Failed, Inbox, Stopped, Timer
from g6_stream.trading import TradingSession


@dataclass(slots=True)
class StatusBoard:
    """Where the loop leaves its newest status for other threads; replaced as a whole."""

    newest: Status | None = None


@dataclass(slots=True)
class Loop:
    """Runs the session from now to a little after the close.

    `relogin` is tried when the feed's token was refused; `say` gets lines for the log. `lost` is why time could not be
    told any more, if that is what ended the run.
    """

    session: TradingSession
    feed: KiteFeed
    clock: Clock
    timer: Timer
    inbox: Inbox
    open_ms: int
    close_ms: int
    execution: str
    board: StatusBoard
    relogin: Callable[[], None]
    say: Callable[[str], None]
    lockstep: bool = False
    lost: G6Error | None = field(default=None, init=False)
    _last_problem: str = field(default="", init=False)

    def run(self) -> str:
        """Return when the day is over (""), or why it ended before: somebody stopped it, or time is lost."""
        self.feed.watch(self.clock.now_ms())
        self._publish()
        self.timer.wake_at(self._next_ms())
        while True:
            wake = self.inbox.get()
            match wake:
                case Due():
                    if self.clock.now_ms() >= self.close_ms + AFTER_CLOSE_MS:
                        return ""
                    self._second()
                    self.timer.wake_at(self._next_ms())
                case Arrived():
                    if self._is_open():
                        self.session.arrivals(self.clock.now_ms())
                case Asked():
                    self.session.operate(wake.action, wake.reason, self.clock.now_ms())
                    self._publish()
                    wake.done.set()
                case Stopped():
                    return wake.reason
                case Failed():
                    self.lost = wake.error
                    return "no more time"
                case _:
                    assert_never(wake)

    def _is_open(self) -> bool:
        return self.clock.now_ms() >= self.open_ms

    def _next_ms(self) -> int:
        """The next whole second; in lockstep nobody looks at the seconds before the open."""
        now_ms = self.clock.now_ms()
        if self.lockstep and now_ms < self.open_ms:
            return self.open_ms
        return now_ms // SECOND_MS * SECOND_MS + SECOND_MS

    def _second(self) -> None:
        now_ms = self.clock.now_ms()
        self.feed.await_second(now_ms)
        self.feed.watch(now_ms)
        for text in self.feed.problems():
            # A broker that stays away says the same every time.
            if text != self._last_problem:
                self.session.alert(Alert("warning", text))
            self._last_problem = text
        if self.feed.take_refusal():
            self.relogin()
        if self._is_open():
            self.session.arm_when_due(now_ms)
            self.session.second(now_ms)
            self._ask_for_suspects(now_ms)
        self._publish()

    def _ask_for_suspects(self, now_ms: int) -> None:
        """Ask the broker about instruments of which too little comes; last of all, so that no order waits for it."""
        if suspects := self.feed.suspects(now_ms, self.session.held):
            asked, stamps_ms = self.session.quotes.stamps(suspects, now_ms, self.clock.now_ms)
            self.feed.answered(asked, stamps_ms, self.clock.now_ms())

    def _publish(self) -> None:
        status = status_of(self.session, self.feed, self.execution, self.clock.now_ms())
        for line in changes(self.board.newest, status, self.session.kept.trades):
            self.say(line)
        self.board.newest = status
