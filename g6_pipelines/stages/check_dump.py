"""Named checks of a dump against the dated rules: is it of the day, whole, and what the exchange lists?

Everything that the expiry codes mean is compared in both directions. A dump says nothing about what expires after its
own last expiry: one that was made from a short recording ends within weeks, the broker's ends in years. What the rules
list up to there must be in it.

The dump has no price of the index. The exchange lists strikes around the money, so the middle of a chain stands for it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from itertools import pairwise

from g6_core.domain.calendar import MarketRules
from g6_core.domain.checks import Check
from g6_core.domain.expiry_codes import resolve_expiry_codes
from g6_core.domain.instruments import Instrument, InstrumentBook, OptionType

EXAMPLES_MAX = 3
# Strikes on each side of the middle that count as near the money.
NEAR_STRIKES = 10
FETCH_AGAIN = "fetch the dump again"
CORRECT_RULES = "correct config/market/contracts.yaml or the dump"


@dataclass(frozen=True, slots=True)
class _Listed:
    """A dump on a day beside the rules; `codes` is what each expiry code means by the dump, by underlying."""

    book: InstrumentBook
    rules: MarketRules
    day: date
    underlyings: tuple[str, ...]
    options: tuple[Instrument, ...]
    codes: Mapping[str, Mapping[str, date]]

    def coded(self, underlying: str) -> list[date]:
        """The expiries that a code means, nearest first."""
        return sorted(set(self.codes[underlying].values()))


def check_dump(book: InstrumentBook, rules: MarketRules, day: date, underlyings: Sequence[str]) -> tuple[Check, ...]:
    """Named checks of the dump of `day`. Raises CalendarError for a day that no rule covers."""
    options = tuple(row for row in book if row.is_option and row.expiry is not None)
    listed = _Listed(
        book=book,
        rules=rules,
        day=day,
        underlyings=tuple(underlyings),
        options=tuple(row for row in options if row.expiry is not None and row.expiry >= day),
        codes={name: _codes(rules, name, book.expiries(name), day) for name in underlyings},
    )
    return (
        _index_rows(listed),
        _index_tokens(listed),
        _unexpired(listed),
        _not_expired(options, day),
        _unique("unique_tokens", "tokens", (row.token for row in book)),
        _unique(
            "unique_contracts",
            "contracts",
            ((row.underlying, row.expiry, row.strike_paise, row.instrument_type) for row in options),
        ),
        _exchanges(listed),
        _expiries(listed),
        _both_sides(listed),
        _strike_steps(listed),
        _against_rules("lot_size", listed.options, _lots_by_rule(listed), lambda row: row.lot_size),
        _against_rules(
            "tick_size",
            listed.options,
            {row.token: rules.tick_paise(row.underlying, day) for row in listed.options},
            lambda row: row.tick_paise,
        ),
    )


def _codes(rules: MarketRules, underlying: str, expiries: Iterable[date], day: date) -> dict[str, date]:
    found = resolve_expiry_codes(expiries, day, partial(rules.is_monthly, underlying))
    return {code.value: expiry for code, expiry in found.items()}


def _examples(texts: Sequence[str]) -> str:
    return ", ".join(texts[:EXAMPLES_MAX]) + (f" and {len(texts) - EXAMPLES_MAX} more" * (len(texts) > EXAMPLES_MAX))


def _named(name: str, good: str, wrong: Sequence[str], fix: str, **figures: int) -> Check:
    """Return a check that names what is wrong, and how it is mended."""
    return Check(name, not wrong, f"{_examples(wrong)}; {fix}" if wrong else good, figures | {"wrong": len(wrong)})


def _index_rows(listed: _Listed) -> Check:
    lacking = [name for name in listed.underlyings if listed.book.index(name) is None]
    said = f"no index row of {', '.join(lacking)}; {FETCH_AGAIN}" if lacking else "all there"
    return Check("index_rows", not lacking, said, {"missing": len(lacking)})


def _index_tokens(listed: _Listed) -> Check:
    """Where the rule is not verified the dump has the last word, and the difference is told only."""
    wrong: list[str] = []
    told: list[str] = []
    for name in listed.underlyings:
        row, spec = listed.book.index(name), listed.rules.index(name)
        if row is not None and row.token != spec.index_token:
            said = f"{name} has {row.token}, the rule says {spec.index_token}"
            (wrong if spec.index_token_verified else told).append(said)
    good, correct = "no token of a verified rule differs", "correct config/market/indices.yaml"
    if told:
        good += f"; {_examples(told)}, unverified: {correct}"
    return _named("index_tokens", good, wrong, f"{FETCH_AGAIN} or {correct}", unverified=len(told))


def _unexpired(listed: _Listed) -> Check:
    lacking = [name for name in listed.underlyings if listed.book.expiries(name)[-1:] < (listed.day,)]
    said = "all there"
    if lacking:
        said = f"no unexpired option of {', '.join(lacking)}; the dump is not of {listed.day}, fetch it again"
    return Check("unexpired_options", not lacking, said, {"missing": len(lacking), "options": len(listed.options)})


def _not_expired(options: Sequence[Instrument], day: date) -> Check:
    """The broker takes expired contracts out of the next day's dump."""
    old = [row for row in options if row.expiry is not None and row.expiry < day]
    said = "none"
    if old:
        said = f"{len(old)} contracts expired before {day} ({old[0].tradingsymbol}); the dump is of an earlier day, "
        said += "fetch it again"
    return Check("expired_options", not old, said, {"expired": len(old)})


def _unique(name: str, what: str, keys: Iterable[object]) -> Check:
    doubled = sum(count - 1 for count in Counter(keys).values())
    said = f"{doubled} {what} come more than once; {FETCH_AGAIN}" if doubled else "all unique"
    return Check(name, not doubled, said, {"doubled": doubled})


def _exchanges(listed: _Listed) -> Check:
    by_rule = {name: listed.rules.index(name).option_exchange for name in {row.underlying for row in listed.options}}
    wrong = [row for row in listed.options if row.exchange != by_rule[row.underlying]]
    said = "every option is on its exchange"
    if wrong:
        first = wrong[0]
        said = f"{len(wrong)} options are on another exchange ({first.kite_key}, the rule says "
        said += f"{by_rule[first.underlying]}); {FETCH_AGAIN} or correct config/market/indices.yaml"
    return Check("exchanges", not wrong, said, {"compared": len(listed.options), "wrong": len(wrong)})


def _expiries(listed: _Listed) -> Check:
    """What each code means by the dump and by the rules; what the rules list up to the dump's last expiry is there."""
    wrong = [text for name in listed.underlyings for text in _wrong_expiries(listed, name)]
    compared = sum(len(listed.codes[name]) for name in listed.underlyings)
    good = f"{compared} codes mean what the dated rules say"
    fix = "correct config/market/contracts.yaml, holidays.yaml or the dump"
    return _named("expiries", good, wrong, fix, compared=compared)


def _wrong_expiries(listed: _Listed, name: str) -> list[str]:
    """How the dump differs from the rules. On the day of a notice the dump of the morning does not know of it yet."""
    by_notice, by_morning = (
        _expiries_unlike(listed, name, known_on) for known_on in (listed.day, listed.day - timedelta(days=1))
    )
    return by_notice if by_morning else []


def _expiries_unlike(listed: _Listed, name: str, known_on: date) -> list[str]:
    found, there = listed.codes[name], listed.book.expiries(name)
    by_rule = _codes(listed.rules, name, listed.rules.expiries(name, listed.day, known_on), listed.day)
    differing = [
        f"{name} {code} is {expiry}, by the rules {by_rule.get(code, 'not listed')}"
        for code, expiry in found.items()
        if by_rule.get(code) != expiry
    ]
    lacking = [
        f"{name} {expiry} ({code}) is not in the dump"
        for code, expiry in by_rule.items()
        if found.get(code) is None and expiry not in there and expiry <= max(there, default=date.min)
    ]
    return differing + lacking


def near_the_money(strikes: Sequence[int]) -> Sequence[int]:
    """The strikes around the middle of a chain."""
    middle = len(strikes) // 2
    return strikes[max(middle - NEAR_STRIKES, 0) : middle + NEAR_STRIKES + 1]


def _both_sides(listed: _Listed) -> Check:
    wrong, compared = [], 0
    for name in listed.underlyings:
        for expiry in listed.coded(name):
            near = near_the_money(listed.book.strikes(name, expiry))
            compared += len(near)
            wrong += [
                f"{name} {expiry} {strike / 100:g} has no {side}"
                for strike in near
                for side in OptionType
                if listed.book.option(name, expiry, strike, side) is None
            ]
    good = f"{compared} strikes near the money have call and put"
    return _named("both_sides", good, wrong, FETCH_AGAIN, compared=compared)


def _strike_steps(listed: _Listed) -> Check:
    """The nearest expiry must be listed in the steps of the rule: offsets from the money are counted in them.

    A later one may be listed in wider steps until it comes near: told, because its offsets between are absent.
    """
    wrong: list[str] = []
    told: list[str] = []
    compared = 0
    for name in listed.underlyings:
        step = listed.rules.strike_step_paise(name, listed.day)
        for place, expiry in enumerate(listed.coded(name)):
            compared += 1
            said = _step_fault(listed.book.strikes(name, expiry), step)
            if said:
                (told if place else wrong).append(f"{name} {expiry} {said}")
    good = f"{compared} expiries compared, the nearest of each index has the step of the dated rules"
    if told:
        good += f"; {_examples(told)}: strikes between are absent"
    return _named("strike_step", good, wrong, CORRECT_RULES, compared=compared, told=len(told))


def _step_fault(strikes: Sequence[int], step_paise: int) -> str:
    """How the strikes near the money differ from the step of the rule; "" where they do not."""
    near = near_the_money(strikes)
    gaps = Counter(after - before for before, after in pairwise(near))
    if not gaps:
        return f"lists {len(strikes)} strikes, too few to see a step"
    usual = min(gaps, key=lambda gap: (-gaps[gap], gap))
    if usual != step_paise:
        return f"is listed every {usual / 100:g}, the rule says {step_paise / 100:g}"
    off = [strike for strike in near if strike % step_paise]
    return f"lists {off[0] / 100:g}, which is no multiple of {step_paise / 100:g}" if off else ""


def _lots_by_rule(listed: _Listed) -> dict[int, int]:
    chains = {(row.underlying, row.expiry): row.expiry for row in listed.options if row.expiry is not None}
    lots = {chain: listed.rules.lot_size(chain[0], listed.day, expiry) for chain, expiry in chains.items()}
    return {row.token: lots[row.underlying, row.expiry] for row in listed.options if row.expiry is not None}


def _against_rules(
    name: str, options: Sequence[Instrument], by_rule: Mapping[int, int], listed: Callable[[Instrument], int]
) -> Check:
    """The dump's figure of every option against the dated rule's."""
    wrong = [row for row in options if listed(row) != by_rule[row.token]]
    detail = f"{len(options)} options agree with the dated rules"
    if wrong:
        examples = [
            f"{row.tradingsymbol} has {listed(row)}, the rule says {by_rule[row.token]}" for row in wrong[:EXAMPLES_MAX]
        ]
        detail = (
            f"{len(wrong)} of {len(options)} options disagree with the dated rules ({', '.join(examples)}); "
            f"{CORRECT_RULES}"
        )
    return Check(name, not wrong, detail, {"compared": len(options), "wrong": len(wrong)})
