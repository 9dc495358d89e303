"""From (index, expiry, offset) to contracts: which pairs of the dump a collection cycle asks for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from g6_core.domain.instruments import Instrument, InstrumentBook, OptionType


@dataclass(frozen=True, slots=True)
class Pair:
    """Call and put at one distance from the money; a side is None when it is not listed today."""

    offset: int
    strike_paise: int
    call: Instrument | None
    put: Instrument | None

    def sides(self) -> tuple[Instrument | None, Instrument | None]:
        """Call, put."""
        return self.call, self.put


def pairs_at(
    book: InstrumentBook, underlying: str, expiry: date, atm_paise: int, step_paise: int, offsets: Sequence[int]
) -> tuple[Pair, ...]:
    """One pair per offset, in their order. Offset +1 is one strike step above the money for both sides."""
    return tuple(
        Pair(
            offset=offset,
            strike_paise=strike,
            call=book.option(underlying, expiry, strike, OptionType.CE),
            put=book.option(underlying, expiry, strike, OptionType.PE),
        )
        for offset in offsets
        for strike in (atm_paise + offset * step_paise,)
    )


def contracts_of(pairs: Iterable[Pair]) -> tuple[Instrument, ...]:
    """The listed contracts of the pairs, each once, in order."""
    found: dict[int, Instrument] = {}
    for pair in pairs:
        for side in pair.sides():
            if side is not None:
                found.setdefault(side.token, side)
    return tuple(found.values())
