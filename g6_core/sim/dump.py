"""The synthesised instruments dump: what the broker would list for a date of which no dump exists.

Symbols follow Kite's naming. Tokens are made up but stable: they depend only on the underlying and on the listed
contracts, are unique across underlyings, and keep Kite's arithmetic (`token = exchange_token * 256 + segment id`).
The index row carries its real token.
"""

from collections.abc import Mapping, Sequence
from datetime import date

from g6_core.domain.calendar import IndexSpec, MarketRules
from g6_core.domain.errors import DataError
from g6_core.domain.instruments import Instrument, InstrumentBook, OptionType
from g6_core.domain.money import rupees_text

DUMP_LABEL = "synthetic"
CONTRACTS_PER_UNDERLYING = 4096
INDEX_TICK_PAISE = 5
SEGMENT_IDS = {"NFO": 2, "BFO": 5}
WEEKLY_MONTH_CODES = "123456789OND"
MONTH_NAMES = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def synthetic_book(
    rules: MarketRules, day: date, listings: Mapping[str, Mapping[date, Sequence[int]]]
) -> InstrumentBook:
    """The dump of `day`: for each underlying its index row, then a call and a put for each listed strike.

    `listings` is underlying -> expiry -> strikes in paise. Lots, ticks and monthly names come from the dated
    rules; rows are ordered by expiry, strike, side. Raises UserError for an unknown underlying and DataError
    for a chain of more contracts than a made-up token block holds.
    """
    rows: list[Instrument] = []
    for underlying, strikes_of in listings.items():
        spec = rules.index(underlying)
        rows.append(index_row(spec))
        rows.extend(_option_rows(rules, spec, day, strikes_of))
    return InstrumentBook.of(rows)


def index_row(spec: IndexSpec) -> Instrument:
    """The row of the index itself, as Kite lists it: segment INDICES, type EQ, nothing to trade."""
    return Instrument(
        token=spec.index_token,
        exchange_token=spec.index_token // 256,
        tradingsymbol=spec.index_symbol,
        underlying=spec.underlying,
        exchange=spec.index_exchange,
        segment="INDICES",
        instrument_type="EQ",
        expiry=None,
        strike_paise=0,
        tick_paise=INDEX_TICK_PAISE,
        lot_size=0,
    )


def kite_symbol(underlying: str, expiry: date, strike_paise: int, side: OptionType, *, monthly: bool) -> str:
    """``NIFTY2590224500CE`` for a weekly, ``NIFTY25SEP24500CE`` for a monthly expiry."""
    place = expiry.month - 1
    month = MONTH_NAMES[place] if monthly else f"{WEEKLY_MONTH_CODES[place]}{expiry.day:02d}"
    strike = rupees_text(strike_paise).rstrip("0").removesuffix(".")
    return f"{underlying}{expiry.year % 100:02d}{month}{strike}{side}"


def _option_rows(
    rules: MarketRules, spec: IndexSpec, day: date, strikes_of: Mapping[date, Sequence[int]]
) -> list[Instrument]:
    contracts = [
        (expiry, strike, side)
        for expiry in sorted(strikes_of)
        for strike in sorted(set(strikes_of[expiry]))
        for side in OptionType
    ]
    if len(contracts) > CONTRACTS_PER_UNDERLYING:
        raise DataError(
            f"{spec.underlying} lists {len(contracts)} contracts, more than {CONTRACTS_PER_UNDERLYING}; "
            "keep fewer expiries in the file"
        )
    tick = rules.tick_paise(spec.underlying, day)
    lots = {expiry: rules.lot_size(spec.underlying, day, expiry) for expiry in strikes_of}
    monthly = {expiry: rules.is_monthly(spec.underlying, expiry) for expiry in strikes_of}
    first_token = spec.index_token // 256 * CONTRACTS_PER_UNDERLYING
    segment_id = SEGMENT_IDS[spec.option_exchange]
    return [
        Instrument(
            token=(first_token + place) * 256 + segment_id,
            exchange_token=first_token + place,
            tradingsymbol=kite_symbol(spec.underlying, expiry, strike, side, monthly=monthly[expiry]),
            underlying=spec.underlying,
            exchange=spec.option_exchange,
            segment=spec.option_segment,
            instrument_type=side.value,
            expiry=expiry,
            strike_paise=strike,
            tick_paise=tick,
            lot_size=lots[expiry],
        )
        for place, (expiry, strike, side) in enumerate(contracts)
    ]
