"""What a trading session keeps of its day: records on their way to the ledger, and the report in figures."""

from collections import Counter
from dataclasses import dataclass, field

from g6_core.domain.records import DecisionRecord, FillRecord, OrderRecord, Record, SignalRecord, TradeRecord


@dataclass(frozen=True, slots=True)
class TradeReport:
    """What the trading side did.

    `refusals` counts, for bars with a standing signal, each rule that blocked; `no_signal` the rules that kept one
    from standing in the other bars.
    """

    signals: int
    decisions: int
    refusals: dict[str, int]
    no_signal: dict[str, int]
    trades: tuple[TradeRecord, ...]
    alerts: tuple[str, ...]
    events: int
    state_sha256: str
    healing: str
    armed: bool


@dataclass(slots=True)
class Kept:
    """Records on their way to the ledger, and what the report needs of them."""

    waiting: list[Record] = field(default_factory=list)
    signals: int = 0
    decisions: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    no_signal: Counter[str] = field(default_factory=Counter)
    trades: dict[str, TradeRecord] = field(default_factory=dict)
    # The newest decision of each underlying.
    latest: dict[str, DecisionRecord] = field(default_factory=dict)

    @property
    def urgent(self) -> bool:
        """True when something about money waits."""
        return any(isinstance(record, OrderRecord | FillRecord | TradeRecord) for record in self.waiting)

    def add(self, record: Record) -> None:
        """Take a record: to be written, and counted."""
        self.waiting.append(record)
        match record:
            case SignalRecord():
                self.signals += 1
            case TradeRecord():
                self.trades[record.trade_id] = record
            case DecisionRecord():
                self.decisions += 1
                self.latest[record.underlying] = record
                if not record.approved:
                    counter = self.refusals if record.signal_id else self.no_signal
                    counter.update({verdict.rule for verdict in record.verdicts if verdict.blocks})
            case _:
                pass


def most_first(counted: Counter[str]) -> dict[str, int]:
    """The counts as a plain dict, the largest first."""
    return dict(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0])))
