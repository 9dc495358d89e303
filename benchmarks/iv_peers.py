"""Implied volatility by others, each as a function from contracts to volatilities (nan: not solved)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.runner import Peers, named

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Contracts:
    """Columns of one length; `t_years` calendar years, `discount` the price today of one unit paid at expiry."""

    prices: Floats
    forwards: Floats
    strikes: Floats
    t_years: Floats
    discounts: Floats
    is_call: NDArray[np.bool_]

    @classmethod
    def of(cls, columns: Floats) -> Self:
        """From the first six rows of an array: the fields in their order, a call is not 0."""
        prices, forwards, strikes, t_years, discounts, is_call = np.array(columns[:6], np.float64, order="C")
        return cls(prices, forwards, strikes, t_years, discounts, is_call != 0)

    def __len__(self) -> int:
        return len(self.prices)

    def part(self, chosen: "NDArray[np.intp] | NDArray[np.bool_] | slice") -> "Contracts":
        """The chosen contracts."""
        columns = (self.prices, self.forwards, self.strikes, self.t_years, self.discounts, self.is_call)
        return Contracts.of(np.array([column[chosen] for column in columns]))

    def rows(self) -> list[tuple[float, float, float, float, float, bool]]:
        """One tuple per contract, in the order of the columns."""
        columns = (self.prices, self.forwards, self.strikes, self.t_years, self.discounts, self.is_call)
        return list(zip(*(column.tolist() for column in columns), strict=True))

    @property
    def rates(self) -> Floats:
        """Continuously compounded interest that the discount factors mean; +0 where there is none."""
        return np.asarray(np.log(1.0 / self.discounts) / self.t_years, np.float64)


@dataclass(frozen=True, slots=True)
class Peer:
    """A solver. `prepare` takes the contracts into the peer's own form; what it returns is what is timed."""

    name: str
    prepare: Callable[[Contracts], Callable[[], Floats]]
    checked_max: int = 1_000_000_000


def all_peers(found: Peers) -> list[Peer]:
    """Those that are installed; the others are in `found.absent`."""
    made = (
        ("pyvolr", "pyvolr.black76", _pyvolr, None),
        ("QuantLib", "QuantLib", _quantlib, None),
        ("py_vollib_vectorized", "py_vollib_vectorized", _vollib_vectorized, None),
        ("py_lets_be_rational", "py_lets_be_rational", _lets_be_rational, 20_000),
    )
    peers: list[Peer] = []
    for distribution, module, prepare, checked_max in made:
        loaded = found.load(distribution, module)
        if loaded is not None:
            limit = {} if checked_max is None else {"checked_max": checked_max}
            peers.append(Peer(named(distribution), _bound(prepare, loaded), **limit))
    return peers


def _bound(
    prepare: Callable[[Any, Contracts], Callable[[], Floats]], module: Any
) -> Callable[[Contracts], Callable[[], Floats]]:
    return lambda contracts: prepare(module, contracts)


def _pyvolr(black76: Any, one: Contracts) -> Callable[[], Floats]:
    flags, rates = np.where(one.is_call, 1, -1), one.rates
    return lambda: np.asarray(
        black76.implied_vol(one.prices, flags, one.forwards, one.strikes, one.t_years, rates, on_error="ignore")
    )


def _vollib_vectorized(module: Any, one: Contracts) -> Callable[[], Floats]:
    flags, rates = np.where(one.is_call, "c", "p"), one.rates
    solve = module.vectorized_implied_volatility_black
    return lambda: np.asarray(
        solve(
            one.prices, one.forwards, one.strikes, rates, one.t_years, flags, on_error="ignore", return_as="numpy"
        ),
        np.float64,
    )  # fmt: skip


def _quantlib(ql: Any, one: Contracts) -> Callable[[], Floats]:
    solve, roots = ql.blackFormulaImpliedStdDev, np.sqrt(one.t_years)
    sides = [ql.Option.Call if call else ql.Option.Put for call in one.is_call.tolist()]
    rows = list(
        zip(
            sides, one.strikes.tolist(), one.forwards.tolist(), one.prices.tolist(), one.discounts.tolist(), strict=True
        )
    )

    def volatility(row: tuple[Any, ...]) -> float:
        try:
            return float(solve(*row, 0.0, 0.1, 1e-14, 1000))
        except RuntimeError:
            return float("nan")

    return lambda: np.array([volatility(row) for row in rows]) / roots


def _lets_be_rational(module: Any, one: Contracts) -> Callable[[], Floats]:
    solve = module.implied_volatility_from_a_transformed_rational_guess
    undiscounted = (one.prices / one.discounts).tolist()
    rows = list(
        zip(
            undiscounted,
            one.forwards.tolist(),
            one.strikes.tolist(),
            one.t_years.tolist(),
            np.where(one.is_call, 1.0, -1.0).tolist(),
            strict=True,
        )
    )

    def volatility(row: tuple[float, ...]) -> float:
        try:
            found = float(solve(*row))
        except Exception:  # noqa: BLE001 - several kinds, all of them mean unsolved
            return float("nan")
        return found if 0.0 < found < 1e10 else float("nan")

    return lambda: np.array([volatility(row) for row in rows])
