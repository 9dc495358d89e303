"""Shape of `config/market/*.yaml`: every dated entry carries its source and how certain it is."""

from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from g6_core.config_types import ClockTime, Day, Flag, Int, Number, Strictly, Text, refuse

Certainty = Literal["verified", "secondary", "unverified"]
Weekday = Literal["mon", "tue", "wed", "thu", "fri"]
Percent = Annotated[Number, Field(ge=0, le=100)]
Inr = Annotated[Number, Field(gt=0, le=1_000_000)]
Count = Annotated[Int, Field(ge=0, le=60)]
Units = Annotated[Int, Field(ge=1, le=1_000_000_000_000)]
E = TypeVar("E", bound="Entry")


class Sourced(Strictly):
    """A fact with its source."""

    source: Text
    certainty: Certainty


class Entry(Sourced):
    """A fact that holds from a day on, until the next entry of its list."""

    start: Day = Field(alias="from")


def _ascending(entries: list[E]) -> list[E]:
    _strictly_ascending([entry.start for entry in entries], "from")
    return entries


def _strictly_ascending(days: Sequence[date], key: str) -> None:
    if not days:
        refuse("is empty", "add at least one dated entry")
    for earlier, later in pairwise(days):
        if later <= earlier:
            refuse(f"{key} {later} does not come after {earlier}", "order the entries by date, one per day")


Entries = Annotated[list[E], Field(max_length=200), AfterValidator(_ascending)]


class IndexRow(Sourced):
    """One index of indices.yaml."""

    index_symbol: Text
    index_exchange: Literal["NSE", "BSE"]
    option_exchange: Literal["NFO", "BFO"]
    option_segment: Literal["NFO-OPT", "BFO-OPT"]
    index_token: Units


class IndicesFile(Strictly):
    """indices.yaml"""

    indices: dict[Text, IndexRow] = Field(min_length=1)


class LevelRow(Sourced):
    """One index of modelled.yaml."""

    spot_inr: Inr
    atm_iv_pct: Annotated[Number, Field(ge=1, le=100)]
    day_option_volume: Units
    day_option_oi: Units


class ModelledFile(Strictly):
    """modelled.yaml"""

    levels: dict[Text, LevelRow]


class Covers(Strictly):
    """The range of days whose holidays are known."""

    first: Day = Field(alias="from")
    last: Day = Field(alias="to")


class HolidayRow(Strictly):
    """One closed weekday. Without `known_from` it stood in its year's list; `withdrawn`: the day it was taken back.

    A day that was declared or taken back by a notice of its own has its own source.
    """

    name: Text
    known_from: Day | None = None
    withdrawn: Day | None = None
    source: Text | None = None
    certainty: Certainty | None = None

    @model_validator(mode="after")
    def _a_notice_has_a_source(self) -> "HolidayRow":
        if self.known_from is None and self.withdrawn is None:
            return self
        for key, value in (("source", self.source), ("certainty", self.certainty)):
            if value is None:
                refuse("missing beside a date of its own", "add it", key)
        if self.known_from is not None and self.withdrawn is not None and self.withdrawn < self.known_from:
            refuse(f"{self.withdrawn} is before known_from {self.known_from}", "correct the dates", "withdrawn")
        return self


def _named(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


Holidays = dict[Day, Annotated[HolidayRow, BeforeValidator(_named)]]


class SpecialRow(Sourced):
    """One day of overrides.yaml. Without `known_from` it was announced with its year's holiday list."""

    name: Text
    open: ClockTime
    close: ClockTime
    mis_cutoff: ClockTime
    expiry_day: Flag
    known_from: Day | None = None

    @model_validator(mode="after")
    def _times_ascend(self) -> "SpecialRow":
        if not self.open < self.mis_cutoff <= self.close:
            refuse("open, mis_cutoff, close are not in this order", "correct the times")
        return self


class OverridesFile(Strictly):
    """overrides.yaml"""

    special_days: dict[Day, SpecialRow]


class HolidaysFile(Sourced):
    """holidays.yaml"""

    covers: Covers
    fixed: list[Annotated[str, Field(pattern=r"^(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$")]]
    published: dict[int, Day]
    holidays: Holidays


class YearFile(Sourced):
    """holidays_<year>.yaml: a later year's list, with the day it became public, or what changed in a known year."""

    published: Day | None = None
    holidays: Holidays
    special_days: dict[Day, SpecialRow] = Field(default_factory=dict)


class HoursEntry(Entry):
    """Hours of an exchange."""

    open: ClockTime
    close: ClockTime
    expiring_close: ClockTime | None = None
    stocks_close: ClockTime | None = None

    @model_validator(mode="after")
    def _open_comes_first(self) -> "HoursEntry":
        closes = {"close": self.close, "expiring_close": self.expiring_close, "stocks_close": self.stocks_close}
        for key, close in closes.items():
            if close is not None and close <= self.open:
                refuse(f"{close:%H:%M} is not after open {self.open:%H:%M}", "correct the times", key)
        return self


class CutoffEntry(Entry):
    """The broker's MIS cut-off."""

    at: ClockTime


class SessionsFile(Strictly):
    """sessions.yaml"""

    hours: dict[Literal["NSE", "BSE"], Entries[HoursEntry]]
    mis_cutoff: Entries[CutoffEntry]

    @model_validator(mode="after")
    def _cutoffs_follow_the_open(self) -> "SessionsFile":
        for place, cutoff in enumerate(self.mis_cutoff):
            until = self.mis_cutoff[place + 1].start if place + 1 < len(self.mis_cutoff) else date.max
            for exchange, entries in self.hours.items():
                ends = [*(entry.start for entry in entries[1:]), date.max]
                for entry, end in zip(entries, ends, strict=True):
                    together = entry.start < until and cutoff.start < end
                    if together and cutoff.at < entry.open:
                        refuse(
                            f"{cutoff.at:%H:%M} is before open {entry.open:%H:%M} of {exchange} from {entry.start}",
                            "correct the times",
                            f"mis_cutoff[{place}].at",
                        )
        return self


class ExpiryRow(Sourced):
    """Expiry weekdays."""

    expiry_from: Day
    listed_from: Day | None = None
    weekly: Weekday | None
    monthly: Weekday


class ListingEntry(Entry):
    """How many contracts are listed."""

    weeklies: Count
    monthlies: Annotated[Int, Field(ge=1, le=60)]
    quarterlies: Count
    half_yearlies: Count


class LotRow(Sourced):
    """A lot size."""

    lot: Annotated[Int, Field(ge=1, le=100_000)]
    expiry_from: Day
    trade_date_from: Day
    kind: Literal["any", "weekly", "monthly"] = "any"


class TickEntry(Entry):
    """Tick of the options."""

    tick_inr: Inr


class StrikeStepEntry(Entry):
    """Distance between the strikes near the money."""

    step_inr: Inr


class FreezeEntry(Entry):
    """Largest quantity of an order, units."""

    quantity: Units


def _expiries_ascend(rows: list[ExpiryRow]) -> list[ExpiryRow]:
    _strictly_ascending([row.expiry_from for row in rows], "expiry_from")
    return rows


def _lots_ascend(rows: list[LotRow]) -> list[LotRow]:
    for earlier, later in pairwise(rows):
        if (later.trade_date_from, later.expiry_from) < (earlier.trade_date_from, earlier.expiry_from):
            refuse(
                f"trade_date_from {later.trade_date_from}, expiry_from {later.expiry_from} comes after a later entry",
                "order by trade_date_from, then by expiry_from: the last entry that applies wins",
            )
    return rows


class ContractsRow(Strictly):
    """One underlying of contracts.yaml."""

    expiries: Annotated[list[ExpiryRow], AfterValidator(_expiries_ascend)]
    listing: Entries[ListingEntry]
    lots: Annotated[list[LotRow], Field(min_length=1), AfterValidator(_lots_ascend)]
    tick: Entries[TickEntry]
    strike_step: Entries[StrikeStepEntry]
    freeze: Entries[FreezeEntry]


class ContractsFile(Strictly):
    """contracts.yaml"""

    underlyings: dict[Text, ContractsRow]


class ChargesEntry(Entry):
    """Charges of an option segment."""

    brokerage_inr: Annotated[Number, Field(ge=0, le=1000)]
    stt_sell_pct: Percent
    exchange_pct: Percent
    investor_protection_pct: Percent
    sebi_pct: Percent
    stamp_buy_pct: Percent
    gst_pct: Percent


class ChargesFile(Strictly):
    """charges.yaml"""

    charges: dict[Literal["NFO", "BFO"], Entries[ChargesEntry]]


class LimitsEntry(Entry):
    """Price limits of an option segment."""

    lpp_pct: Percent
    lpp_threshold_inr: Inr
    lpp_abs_inr: Inr
    sl_width_pct: Percent
    sl_width_threshold_inr: Inr
    sl_width_abs_inr: Inr


class BandRow(Strictly):
    """One price band of the automatic market protection."""

    below_inr: Inr | None
    pct: Annotated[Number, Field(gt=0, le=100)]


def _bands_ascend(bands: list[BandRow]) -> list[BandRow]:
    ends = [band.below_inr for band in bands]
    if not ends or ends[-1] is not None or None in ends[:-1]:
        refuse("needs exactly one open end, on the last band", "set below_inr to null there and only there")
    limits = [end for end in ends if end is not None]
    if limits != sorted(set(limits)):
        refuse("below_inr does not ascend", "order the bands by price")
    return bands


class BandsEntry(Entry):
    """The broker's automatic market protection."""

    bands: Annotated[list[BandRow], AfterValidator(_bands_ascend)]


class ProtectionFile(Strictly):
    """protection.yaml"""

    limits: dict[Literal["NFO", "BFO"], Entries[LimitsEntry]]
    market_protection: Entries[BandsEntry]
