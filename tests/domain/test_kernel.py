"""Kernels load at their first use, whoever that is: Python, several threads at once, another kernel."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import numpy as np

from g6_core.domain.kernel import kernel, load_kernels


@kernel("int64(int64)")
def _twice(value: int) -> int:
    return 2 * value


@kernel("int64(int64[::1])")
def _sum_of_twice(values: Any) -> int:
    total = 0
    for value in values:
        total += _twice(value)
    return total


@kernel("float64(float64)")
def _half(value: float) -> float:
    return value / 2


@kernel("int64(int64)", "float64(float64)")
def _next(value: float) -> float:
    return value + 1


def _signatures(function: Any) -> int:
    return len(function.signatures)


def test_a_kernel_is_loaded_by_its_first_call_and_another_is_compiled_into_it() -> None:
    made = kernel("float64(float64)")(lambda value: value * 3)
    assert _signatures(made) == 0
    assert made(1.5) == 4.5
    assert _signatures(made) == 1
    assert _sum_of_twice(np.arange(4)) == 12
    assert (_twice(21), _signatures(_twice), _signatures(_sum_of_twice)) == (42, 1, 1), "no signature but its own"


def test_threads_that_call_it_first_together_all_get_the_answer() -> None:
    ready = Barrier(8)

    def ask(value: int) -> float:
        ready.wait()
        return _half(float(value))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [value / 2 for value in range(8)]
    assert _signatures(_half) == 1


def test_who_must_not_wait_loads_everything_with_every_signature() -> None:
    load_kernels()
    assert _signatures(_next) == 2
    assert (_next(1), _next(1.5)) == (2, 2.5)
