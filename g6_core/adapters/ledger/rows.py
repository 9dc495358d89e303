"""Between typed records and rows of the ledger, both ways."""

import json
import math
from dataclasses import dataclass
from datetime import date
from typing import Any, assert_never

from sqlalchemy import Table

from g6_core.adapters.ledger import tables
from g6_core.domain.instruments import Instrument
from g6_core.domain.ist import ist_date
from g6_core.domain.orders import Fill, Side
from g6_core.domain.records import (
    DecisionRecord,
    Direction,
    FillRecord,
    OrderRecord,
    Purpose,
    Record,
    RiskEventRecord,
    SignalRecord,
    TradeRecord,
)
from g6_core.domain.risk import Outcome, Verdict

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Somebody (a stage, an operator) did something at a virtual time; `detail` is one sentence."""

    day: date
    time_ms: int
    actor: str
    action: str
    detail: str


@dataclass(frozen=True, slots=True)
class DayLedger:
    """All of one day, each kind in the order of its time, then its key."""

    day: date
    signals: tuple[SignalRecord, ...]
    decisions: tuple[DecisionRecord, ...]
    orders: tuple[OrderRecord, ...]
    fills: tuple[FillRecord, ...]
    trades: tuple[TradeRecord, ...]
    risk_events: tuple[RiskEventRecord, ...]
    instruments: tuple[Instrument, ...]
    audit: tuple[AuditEntry, ...]


def _number(value: float | None) -> float | None:
    """Databases disagree about NaN, so what is not a finite number is stored as unknown."""
    return float(value) if value is not None and math.isfinite(value) else None


def _features_text(features: dict[str, float]) -> str:
    return json.dumps({key: _number(value) for key, value in features.items()}, sort_keys=True, separators=(",", ":"))


def _features(text: str) -> dict[str, float]:
    return {key: math.nan if value is None else value for key, value in json.loads(text).items()}


def rows_of(record: Record) -> list[tuple[Table, Row]]:
    """The rows that keep a record: one, and for a decision one more per verdict."""
    match record:
        case SignalRecord():
            return [(tables.SIGNALS, _signal_row(record))]
        case DecisionRecord():
            verdicts = [(tables.VERDICTS, row) for row in _verdict_rows(record)]
            return [(tables.DECISIONS, _decision_row(record)), *verdicts]
        case OrderRecord():
            return [(tables.ORDERS, _order_row(record))]
        case FillRecord():
            return [(tables.FILLS, _fill_row(record))]
        case TradeRecord():
            return [(tables.TRADES, _trade_row(record))]
        case RiskEventRecord():
            return [(tables.RISK_EVENTS, _risk_event_row(record))]
        case _:
            assert_never(record)


def _day(time_ms: int) -> str:
    return ist_date(int(time_ms)).isoformat()


def _signal_row(record: SignalRecord) -> Row:
    return {
        "signal_id": record.signal_id,
        "day": _day(record.time_ms),
        "time_ms": int(record.time_ms),
        "underlying": record.underlying,
        "direction": str(record.direction),
        "strategy": record.strategy,
        "features": _features_text(record.features),
        "config_sha256": record.config_sha256,
    }


def _decision_row(record: DecisionRecord) -> Row:
    return {
        "decision_id": record.decision_id,
        "day": _day(record.time_ms),
        "time_ms": int(record.time_ms),
        "underlying": record.underlying,
        "signal_id": record.signal_id,
        "direction": str(record.direction),
        "approved": bool(record.approved),
        "tradingsymbol": record.tradingsymbol,
        "quantity": int(record.quantity),
        "limit_paise": int(record.limit_paise),
        "tag": record.tag,
        "features": _features_text(record.features),
        "config_sha256": record.config_sha256,
    }


def _verdict_rows(record: DecisionRecord) -> list[Row]:
    day = _day(record.time_ms)
    return [
        {
            "decision_id": record.decision_id,
            "place": place,
            "day": day,
            "rule": verdict.rule,
            "outcome": str(verdict.outcome),
            "blocks": bool(verdict.blocks),
            "value": _number(verdict.value),
            "limit_value": _number(verdict.limit),
            "note": verdict.note,
        }
        for place, verdict in enumerate(record.verdicts)
    ]


def _order_row(record: OrderRecord) -> Row:
    return {
        "tag": record.tag,
        "day": _day(record.sent_ms or record.updated_ms),
        "sent_ms": int(record.sent_ms),
        "updated_ms": int(record.updated_ms),
        "parent_tag": record.parent_tag,
        "trade_id": record.trade_id,
        "decision_id": record.decision_id,
        "purpose": str(record.purpose),
        "order_id": record.order_id,
        "tradingsymbol": record.tradingsymbol,
        "token": int(record.token),
        "side": str(record.side),
        "order_type": str(record.order_type),
        "quantity": int(record.quantity),
        "filled_quantity": int(record.filled_quantity),
        "price_paise": int(record.price_paise),
        "trigger_paise": int(record.trigger_paise),
        "average_paise": int(record.average_paise),
        "status": str(record.status),
        "message": record.message,
    }


def _fill_row(record: FillRecord) -> Row:
    fill = record.fill
    return {
        "order_id": fill.order_id,
        "broker_trade_id": fill.trade_id,
        "day": _day(fill.time_ms),
        "time_ms": int(fill.time_ms),
        "tag": record.tag,
        "token": int(fill.token),
        "side": str(fill.side),
        "quantity": int(fill.quantity),
        "price_paise": int(fill.price_paise),
    }


def _trade_row(record: TradeRecord) -> Row:
    return {
        "trade_id": record.trade_id,
        "day": _day(record.entry_ms),
        "decision_id": record.decision_id,
        "underlying": record.underlying,
        "tradingsymbol": record.tradingsymbol,
        "token": int(record.token),
        "quantity": int(record.quantity),
        "entry_ms": int(record.entry_ms),
        "entry_paise": int(record.entry_paise),
        "exit_ms": int(record.exit_ms),
        "exit_paise": int(record.exit_paise),
        "exit_reason": str(record.exit_reason),
        "gross_pnl_paise": int(record.gross_pnl_paise),
        "charges_paise": int(record.charges_paise),
        "net_pnl_paise": int(record.net_pnl_paise),
        "high_water_mark_paise": int(record.high_water_mark_paise),
        "low_water_mark_paise": int(record.low_water_mark_paise),
        "open_quantity": int(record.open_quantity),
        "mark_paise": int(record.mark_paise),
        "mark_ms": int(record.mark_ms),
    }


def _risk_event_row(record: RiskEventRecord) -> Row:
    return {
        "event_id": record.event_id,
        "day": _day(record.time_ms),
        "time_ms": int(record.time_ms),
        "kind": record.kind,
        "underlying": record.underlying,
        "value": _number(record.value),
        "limit_value": _number(record.limit),
        "detail": record.detail,
    }


def instrument_row(day: date, row: Instrument) -> Row:
    """An instrument as it was on a day."""
    return {
        "day": day.isoformat(),
        "token": int(row.token),
        "exchange_token": int(row.exchange_token),
        "tradingsymbol": row.tradingsymbol,
        "underlying": row.underlying,
        "exchange": row.exchange,
        "segment": row.segment,
        "instrument_type": row.instrument_type,
        "expiry": row.expiry.isoformat() if row.expiry else "",
        "strike_paise": int(row.strike_paise),
        "tick_paise": int(row.tick_paise),
        "lot_size": int(row.lot_size),
    }


def audit_row(entry: AuditEntry) -> Row:
    """An audit entry, keyed by day, time, actor and action."""
    return {
        "day": entry.day.isoformat(),
        "time_ms": int(entry.time_ms),
        "actor": entry.actor,
        "action": entry.action,
        "detail": entry.detail,
    }


def signal_of(row: Row) -> SignalRecord:
    """Row of `signals` to its record."""
    return SignalRecord(
        signal_id=row["signal_id"],
        underlying=row["underlying"],
        time_ms=row["time_ms"],
        direction=Direction(row["direction"]),
        strategy=row["strategy"],
        features=_features(row["features"]),
        config_sha256=row["config_sha256"],
    )


def verdict_of(row: Row) -> Verdict:
    """Row of `verdicts` to the verdict."""
    return Verdict(row["rule"], Outcome(row["outcome"]), row["blocks"], row["value"], row["limit_value"], row["note"])


def decision_of(row: Row, verdicts: tuple[Verdict, ...]) -> DecisionRecord:
    """Row of `decisions`, with its verdicts in their order, to its record."""
    return DecisionRecord(
        decision_id=row["decision_id"],
        signal_id=row["signal_id"],
        underlying=row["underlying"],
        time_ms=row["time_ms"],
        direction=Direction(row["direction"]),
        approved=row["approved"],
        verdicts=verdicts,
        tradingsymbol=row["tradingsymbol"],
        quantity=row["quantity"],
        limit_paise=row["limit_paise"],
        tag=row["tag"],
        features=_features(row["features"]),
        config_sha256=row["config_sha256"],
    )


def order_of(row: Row) -> OrderRecord:
    """Row of `orders` to its record."""
    rest = {key: value for key, value in row.items() if key not in ("day", "purpose")}
    return OrderRecord(purpose=Purpose(row["purpose"]), **rest)


def fill_of(row: Row) -> FillRecord:
    """Row of `fills` to its record."""
    return FillRecord(
        tag=row["tag"],
        fill=Fill(
            trade_id=row["broker_trade_id"],
            order_id=row["order_id"],
            token=row["token"],
            side=Side(row["side"]),
            quantity=row["quantity"],
            price_paise=row["price_paise"],
            time_ms=row["time_ms"],
        ),
    )


def trade_of(row: Row) -> TradeRecord:
    """Row of `trades` to its record."""
    return TradeRecord(**{key: value for key, value in row.items() if key != "day"})


def risk_event_of(row: Row) -> RiskEventRecord:
    """Row of `risk_events` to its record; unknown figures come back as NaN."""
    return RiskEventRecord(
        event_id=row["event_id"],
        time_ms=row["time_ms"],
        kind=row["kind"],
        underlying=row["underlying"],
        value=math.nan if row["value"] is None else row["value"],
        limit=math.nan if row["limit_value"] is None else row["limit_value"],
        detail=row["detail"],
    )


def instrument_of(row: Row) -> Instrument:
    """Row of `instruments` to the instrument of that day."""
    rest = {key: value for key, value in row.items() if key not in ("day", "expiry")}
    return Instrument(expiry=date.fromisoformat(row["expiry"]) if row["expiry"] else None, **rest)


def audit_of(row: Row) -> AuditEntry:
    """Row of `audit_log` to its entry."""
    return AuditEntry(date.fromisoformat(row["day"]), row["time_ms"], row["actor"], row["action"], row["detail"])
