"""A day pack becomes the engine's inputs: the same for the live session, for paper and for a replay."""

from datetime import time

from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError
from g6_core.domain.ist import at
from g6_core.engine.inputs import DayInputs, UnderlyingInputs
from g6_core.engine.params import EngineParams
from g6_core.schema.day_pack import DayPack


def day_inputs(pack: DayPack, rules: MarketRules, params: EngineParams) -> DayInputs:
    """What the engine is told before the open; a pack without a tradable expiry is a DataError."""
    underlyings = []
    for name in pack.underlyings:
        index = pack.indices[name]
        spec = rules.index(name)
        minimum = params.strikes.min_days_to_expiry[name]
        later = sorted(one.expiry for one in index.packed if (one.expiry - pack.trade_date).days >= minimum)
        if not later:
            raise DataError(
                f"day pack of {pack.trade_date}: no {name} expiry {minimum} or more days away; prepare it again"
            )
        expiry = later[0]
        underlyings.append(
            UnderlyingInputs(
                underlying=name,
                index=index.index_row,
                expiry=expiry,
                expiry_close_ms=rules.expiry_close_ms(pack.trade_date, spec.option_exchange, expiry),
                close_ms=rules.session(pack.trade_date, spec.option_exchange, expiry).close_ms,
                days_to_expiry=(expiry - pack.trade_date).days,
                freeze_quantity=index.freeze_quantity,
                charge_rates=rules.charge_rates(spec.option_exchange, pack.trade_date),
                iv_history_pct=tuple(point.atm_iv_pct for point in index.iv_history),
                oi_history=tuple(point.oi for point in index.oi_history),
            )
        )
    packs = [pack.indices[name] for name in pack.underlyings]
    return DayInputs(
        trade_date=pack.trade_date,
        day_start_ms=at(pack.trade_date, time(0, 0)),
        open_ms=min(one.session_open_ms for one in packs),
        close_ms=max(one.session_close_ms for one in packs),
        book=pack.book(),
        underlyings=tuple(underlyings),
        provisional=rules.provisional(pack.trade_date),
    )
