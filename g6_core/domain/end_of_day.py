"""A day's last state as it was collected, against what the exchange publishes about the day; every difference named.

What the exchange publishes (the bhavcopy) is the state after the close. A quote stamped a minute after the close or
later holds that state: price and volume must be equal. An earlier one is only a bound: its volume may not be above, and
where it is equal nothing traded after it, so the price must be equal as well. Open interest is seldom equal: the
exchange settles it in the evening, so its differences are told and do not count as wrong.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import NamedTuple

# The last trades are stamped up to seconds after the close, and the sides of a collected pair differ by as much.
FINAL_AFTER_MS = 60_000


class ContractKey(NamedTuple):
    """An option; ordered by underlying, expiry, strike (paise) and side (CE, PE)."""

    underlying: str
    expiry: date
    strike_paise: int
    side: str

    def __str__(self) -> str:
        return f"{self.underlying} {self.expiry} {self.strike_paise / 100:g} {self.side}"


@dataclass(frozen=True, slots=True)
class Published:
    """A contract in the bhavcopy: last price (0: never traded) and settlement in paise, volume and OI in units."""

    last_paise: int
    settlement_paise: int
    volume: int
    oi: int
    lot_size: int


@dataclass(frozen=True, slots=True)
class Collected:
    """A contract's last quote: stamp, last price in paise (0: none), volume (None: not recorded) and OI in units."""

    stamp_ms: int
    last_paise: int
    volume: int | None
    oi: int


class DifferenceKind(StrEnum):
    """What differs."""

    PRICE = "last_price"
    VOLUME = "volume"
    OPEN_INTEREST = "open_interest"
    NOT_PUBLISHED = "not_published"


@dataclass(frozen=True, slots=True)
class Difference:
    """One contract that differs: our figure and the exchange's, paise or units."""

    kind: DifferenceKind
    contract: ContractKey
    ours: int
    theirs: int

    def __str__(self) -> str:
        if self.kind is DifferenceKind.NOT_PUBLISHED:
            return f"{self.contract} is not in the bhavcopy"
        ours, theirs = (
            f"{figure / 100:.2f}" if self.kind is DifferenceKind.PRICE else f"{figure:,}"
            for figure in (self.ours, self.theirs)
        )
        return f"{self.contract} {ours}, bhavcopy {theirs}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """`final` of `contracts` held the state after the close; `prices` and `volumes` say how many could be compared.

    `bounds` counts earlier volumes, which may not be above; `without_volume` contracts without a recorded volume.
    `own_oi` and `published_oi` are sums in units over the final contracts; `differences` are ordered by kind, contract.
    """

    contracts: int
    final: int
    prices: int
    volumes: int
    bounds: int
    without_volume: int
    own_oi: int
    published_oi: int
    differences: tuple[Difference, ...]

    def of(self, kind: DifferenceKind) -> tuple[Difference, ...]:
        """The differences of one kind."""
        return tuple(one for one in self.differences if one.kind is kind)


def compare_with_published(
    collected: Mapping[ContractKey, Collected], published: Mapping[ContractKey, Published], close_ms: Mapping[str, int]
) -> Comparison:
    """Every collected contract against the exchange's; `close_ms` is the close of each underlying's options."""
    differences: list[Difference] = []
    final = prices = volumes = bounds = without_volume = own_oi = published_oi = 0
    for contract, ours in collected.items():
        theirs = published.get(contract)
        if theirs is None:
            differences.append(Difference(DifferenceKind.NOT_PUBLISHED, contract, ours.last_paise, 0))
            continue
        is_final = ours.stamp_ms >= close_ms[contract.underlying] + FINAL_AFTER_MS
        final += is_final
        settled = is_final or (ours.volume is not None and ours.volume == theirs.volume)
        without_volume += ours.volume is None
        volumes += is_final and ours.volume is not None
        bounds += not is_final and ours.volume is not None
        if ours.volume is not None and (is_final or ours.volume > theirs.volume):
            differences += _differing(DifferenceKind.VOLUME, contract, ours.volume, theirs.volume)
        # A contract without a trade has no last price of that day.
        if settled and theirs.volume > 0:
            prices += 1
            differences += _differing(DifferenceKind.PRICE, contract, ours.last_paise, theirs.last_paise)
        if is_final:
            own_oi += ours.oi
            published_oi += theirs.oi
            differences += _differing(DifferenceKind.OPEN_INTEREST, contract, ours.oi, theirs.oi)
    order = list(DifferenceKind)
    differences.sort(key=lambda one: (order.index(one.kind), one.contract))
    return Comparison(
        contracts=len(collected),
        final=final,
        prices=prices,
        volumes=volumes,
        bounds=bounds,
        without_volume=without_volume,
        own_oi=own_oi,
        published_oi=published_oi,
        differences=tuple(differences),
    )


def _differing(kind: DifferenceKind, contract: ContractKey, ours: int, theirs: int) -> Iterable[Difference]:
    return () if ours == theirs else (Difference(kind, contract, ours, theirs),)
