"""Implied volatilities per second and core, on a recorded chain and on random contracts, and how wrong they are."""

from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.exact import error_of
from benchmarks.iv_peers import Contracts, Floats, Peer, all_peers
from benchmarks.nse_chain import stamps, two_sided
from benchmarks.runner import Contender, Peers, pin, race, ratios, table
from g6_core.domain.options import YEAR_MS, black76_price, greeks_of, implied_vols

CHAIN = Path(__file__).resolve().parents[2] / "shared" / "data" / "nse-chain-20250829" / "NIFTY.parquet"
CHAIN_SIZE = 672
RANDOM_SIZE, TIMED_SIZE = 1_000_000, 100_000
SEED = 20_250_829
EPS = float(np.finfo(np.float64).eps)
ERROR_FLOOR = 1e-10
TINY_PRICE = 1e-290
# A peer counts as accurate when it solves everything that is well conditioned, this exactly.
ACCURATE = 1e-8
SPEED_UP_MIN = 2.0


def measure(options: Namespace) -> dict[str, Any]:
    """Time everybody on both sets; `agree` says that we keep our own error bound and leave nothing unsolved."""
    core, found = pin(), Peers()
    peers = all_peers(found)
    sets: dict[str, Any] = {}
    path = options.chain or CHAIN
    if path.is_file():
        sets["chain"] = _measure_set(*chain_contracts(path), peers, options.rounds, repeat=1 if options.small else 20)
    else:
        found.absent["chain"] = f"{path.name} is not there; name a recording with --chain"
    contracts, sigmas = random_contracts(2_000 if options.small else RANDOM_SIZE)
    sets["random"] = _measure_set(contracts, sigmas, peers, options.rounds, repeat=1)
    return {
        "core": core,
        "rounds": options.rounds,
        "sets": sets,
        "absent": found.absent,
        "target": SPEED_UP_MIN,
        "agree": all(
            one["contenders"][0]["over_bound"] + one["contenders"][0]["unsolved"] == 0 for one in sets.values()
        ),
    }


def lines(result: dict[str, Any]) -> Iterable[str]:
    """The figures for people."""
    for name, one in result["sets"].items():
        yield f"{name}: {one['contracts']} contracts, {one['well_conditioned']} of them well conditioned"
        yield from table(one["contenders"])
        best = one["speed_up"]
        yield f"  {best['by_min']}x the best accurate peer ({best['against']}), {best['by_median']}x by median rounds"
    for name, why in result["absent"].items():
        yield f"absent: {name} ({why})"


def solve(contracts: Contracts) -> Callable[[], Floats]:
    """Our own solver, in the form of a peer's."""
    found = np.empty(len(contracts))
    one = contracts

    def work() -> Floats:
        implied_vols(one.prices, one.forwards, one.strikes, one.t_years, one.discounts, one.is_call, found)
        return found

    return work


def random_contracts(size: int) -> tuple[Contracts, Floats]:
    """Contracts with a solution, from a fixed seed, and the volatilities they were priced with.

    Strikes within a factor of 1.65, volatility 3 to 150 %, one minute to two years, discounted. A price that is lost
    in the last digit of its intrinsic value, or too small to have sixteen digits, is not one of that volatility any
    more and is drawn again.
    """
    dice = np.random.Generator(np.random.Philox(SEED))
    kept: list[Floats] = []
    while sum(len(part) for part in kept) < size:
        count = max(size, 1_000)
        columns = np.empty((count, 7))
        columns[:, 1] = np.round(dice.uniform(5_000, 90_000, count), 2)
        columns[:, 2] = np.round(columns[:, 1] * np.exp(dice.uniform(-0.5, 0.5, count)), 0)
        columns[:, 3] = np.exp(dice.uniform(np.log(60_000 / YEAR_MS), np.log(2.0), count))
        columns[:, 4] = np.exp(-columns[:, 3] * dice.uniform(0.0, 0.08, count))
        columns[:, 5] = dice.random(count) < 0.5
        columns[:, 6] = dice.uniform(0.03, 1.5, count)
        columns[:, 0] = [
            black76_price(forward, strike, sigma, years, discount, bool(call))
            for _, forward, strike, years, discount, call, sigma in columns.tolist()
        ]
        one = Contracts.of(columns.T)
        time_value = columns[:, 0] - one.discounts * np.maximum(
            np.where(one.is_call, one.forwards - one.strikes, one.strikes - one.forwards), 0.0
        )
        kept.append(columns[(time_value > 4 * EPS * columns[:, 0]) & (columns[:, 0] > TINY_PRICE)])
    columns = np.concatenate(kept)[:size]
    return Contracts.of(columns.T), np.ascontiguousarray(columns[:, 6])


def chain_contracts(path: Path, size: int = CHAIN_SIZE) -> tuple[Contracts, Floats]:
    """The nearest expiries at the middle of a recorded day, those that have a volatility, with the exact one."""
    moments = stamps(path)
    quoted = two_sided(path, [moments[len(moments) // 2]])
    found = solve(quoted)()
    contracts = quoted.part(np.flatnonzero(np.isfinite(found))[:size])
    sigmas = solve(contracts)().tolist()
    return contracts, np.array([one - error_of(one, *row) for one, row in zip(sigmas, contracts.rows(), strict=True)])


def _measure_set(
    contracts: Contracts, sigmas: Floats, peers: Sequence[Peer], rounds: int, *, repeat: int
) -> dict[str, Any]:
    """Errors of everybody first, then the race."""
    bound = error_bound(contracts, sigmas)
    timed = contracts.part(slice(0, TIMED_SIZE))
    contenders, accurate = [], []
    for peer in (Peer("G6", solve), *peers):
        part = slice(0, min(len(contracts), peer.checked_max))
        errors = errors_of(peer.prepare(contracts.part(part))(), sigmas[part], bound[part])
        small = timed.part(slice(0, min(len(timed), peer.checked_max)))
        work = peer.prepare(small)
        contenders.append(
            Contender(peer.name, _repeated(work, repeat), len(small) * repeat, peer.name == "G6", asdict(errors))
        )
        if peer.name != "G6" and errors.unsolved == 0 and errors.max_error <= ACCURATE:
            accurate.append(peer.name)
    timings = race(contenders, rounds)
    return {
        "contracts": len(contracts),
        "well_conditioned": int((bound <= ERROR_FLOOR).sum()),
        "contenders": [one.as_json() for one in timings],
        "accurate": accurate,
        "speed_up": ratios(timings, accurate or [peer.name for peer in peers]),
    }


def _repeated(work: Callable[[], Floats], times: int) -> Callable[[], None]:
    def rounds() -> None:
        for _ in range(times):
            work()

    return rounds


def error_bound(contracts: Contracts, sigmas: Floats) -> Floats:
    """max(1e-10, 8 eps price / vega): what the last digits of the price leave open, or what nobody needs."""
    one, table_of = contracts, np.empty((len(contracts), 5))
    greeks_of(one.forwards, one.strikes, sigmas, one.t_years, one.discounts, one.is_call, table_of)
    vega = 100 * table_of[:, 3]
    with np.errstate(divide="ignore"):
        return np.maximum(ERROR_FLOOR, 8 * EPS * one.prices / vega)


@dataclass(frozen=True, slots=True)
class Errors:
    """Over `checked` contracts: how many unsolved, how many beyond their bound; the largest error of the solved ones
    that are well conditioned."""

    checked: int
    unsolved: int
    over_bound: int
    max_error: float


def errors_of(found: Floats, sigmas: Floats, bound: Floats) -> Errors:
    """Judge volatilities (nan: unsolved) against the true ones."""
    solved = np.isfinite(found) & (found > 0)
    error = np.abs(np.where(solved, found, sigmas) - sigmas)
    sharp = solved & (bound <= ERROR_FLOOR)
    return Errors(
        len(found), int((~solved).sum()), int((error > bound).sum()), float(f"{error[sharp].max(initial=0.0):.2e}")
    )
