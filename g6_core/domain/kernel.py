"""One typed door to the compiler: explicit signature, shared on-disk cache, no fast-math."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(*signatures: object) -> Callable[[Function], Function]:
    """Compile a function for the given signatures when its module is imported, or take it from the cache.

    Fast-math stays off: results must be the same on every machine and in every run.
    """
    return cast(Callable[[Function], Function], njit(list(signatures), cache=True, error_model="numpy"))
