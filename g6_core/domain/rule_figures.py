"""What a rule looked at, in the words of people: times of day, seconds, rupees and percent, no internal units."""

from enum import StrEnum
from types import MappingProxyType
from typing import Final

from g6_core.domain.money import rupees_text
from g6_core.domain.risk import Outcome, Verdict


class Unit(StrEnum):
    """What the value of a rule is measured in. NOTED: the rule's note says it already, in words."""

    NUMBER = "number"
    PCT = "pct"
    TIME_OF_DAY_MS = "time_of_day_ms"
    AGE_MS = "age_ms"
    PAISE = "paise"
    WOULD_BE = "would_be"
    TRUTH = "truth"
    NOTED = "noted"


UNITS: Final = MappingProxyType(
    {
        "mode_active": Unit.NOTED,
        "circuit_breaker": Unit.NOTED,
        "feed_connected": Unit.NOTED,
        "no_unknown_order": Unit.NOTED,
        "one_entry_per_signal": Unit.NOTED,
        "one_lot_affordable": Unit.NOTED,
        "supertrend_alignment": Unit.NOTED,
        "strike_available": Unit.NOTED,
        "forward_known": Unit.NOTED,
        "cooldown": Unit.NOTED,
        "max_positions": Unit.WOULD_BE,
        "max_trades_per_day": Unit.WOULD_BE,
        "index_age": Unit.AGE_MS,
        "quote_age": Unit.AGE_MS,
        "entry_window": Unit.TIME_OF_DAY_MS,
        "theta_cutoff": Unit.TIME_OF_DAY_MS,
        "funds": Unit.PAISE,
        "strike_spread_paise": Unit.PAISE,
        "portfolio_heat_pct": Unit.PCT,
        "strike_iv": Unit.PCT,
        "strike_spread_pct": Unit.PCT,
        "trend_confirmed": Unit.TRUTH,
        "strike_oi": Unit.NUMBER,
        "strike_delta": Unit.NUMBER,
        "adx_primary": Unit.NUMBER,
        "adx_confirmation": Unit.NUMBER,
        "adx_confirmed": Unit.NUMBER,
        "iv_rank": Unit.NUMBER,
        "iv_zscore": Unit.NUMBER,
        "iv_percentile": Unit.NUMBER,
        "oi_percentile": Unit.NUMBER,
    }
)


def verdict_text(verdict: Verdict) -> str:
    """Return ``10 against 50,000; NIFTY2590224500CE``: what the rule looked at, as far as it said."""
    unknown = "unknown" if verdict.outcome is Outcome.UNKNOWN else ""
    return "; ".join(filter(None, (unknown, _figures(verdict), verdict.note)))


def _figures(verdict: Verdict) -> str:
    unit, value, limit = UNITS.get(verdict.rule, Unit.NUMBER), verdict.value, verdict.limit
    if value is None or unit is Unit.NOTED:
        return ""
    if unit is Unit.TRUTH:
        return "confirmed" if value else "not confirmed"
    if unit is Unit.TIME_OF_DAY_MS:
        # The note has the limit.
        return f"at {_in_words(value, unit)}"
    if limit is None:
        return _in_words(value, unit)
    if unit is Unit.WOULD_BE:
        return f"would be {value:.0f}, at most {limit:.0f}"
    return f"{_in_words(value, unit)} against {_in_words(limit, unit)}"


def _in_words(value: float, unit: Unit) -> str:
    match unit:
        case Unit.TIME_OF_DAY_MS:
            return time_of_day_text(int(value))
        case Unit.AGE_MS:
            return f"{number_text(round(value / 1000, 1))} s"
        case Unit.PAISE:
            return f"Rs {rupees_text(round(value))}"
        case Unit.PCT:
            return f"{number_text(round(value, 2))} %"
        case _:
            return number_text(value)


def time_of_day_text(of_day_ms: int) -> str:
    """Return ``14:30:00`` for milliseconds after midnight."""
    minutes, seconds = divmod(of_day_ms // 1000, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"


def number_text(value: float) -> str:
    """Return ``50,000`` or ``18.36``: whole numbers in full, others with at most four digits behind the point."""
    return f"{value:,.0f}" if value == round(value) else f"{value:,.4f}".rstrip("0")
