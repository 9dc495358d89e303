"""Compile every numba kernel once, when the environment is made, so that neither tests nor a trading day wait for it.

Kernels have explicit signatures and `cache=True`: loading them compiles them and leaves the result on disk. All of the
modules that are imported here are loaded, so that nothing has to be listed.
"""

import importlib
import multiprocessing
import pkgutil
import sys
from collections.abc import Iterator
from types import ModuleType

from g6_core.domain.kernel import load_kernels

PACKAGES = ("g6_core.domain", "g6_core.engine", "g6_core.sim")
# Imported late or by some commands only; importing them here leaves their bytecode, for all later processes. The first
# import of matplotlib on a machine also looks for its fonts.
LIBRARIES = ("alembic.command", "dagster", "fastapi", "matplotlib.font_manager", "polars", "uvicorn")


def import_all(packages: tuple[str, ...] = PACKAGES) -> Iterator[ModuleType]:
    """Import `packages` and all modules below them, in name order; an import error is not caught."""
    for name in packages:
        package = importlib.import_module(name)
        yield package
        for found in pkgutil.walk_packages(package.__path__, prefix=f"{name}."):
            yield importlib.import_module(found.name)


def kernels(modules: Iterator[ModuleType]) -> dict[str, int]:
    """Compiled functions defined in `modules`: qualified name -> number of compiled signatures.

    A zero is a kernel that would compile at its first call, in the middle of a day.
    """
    from numba.core.registry import CPUDispatcher

    found: dict[str, int] = {}
    imported = list(modules)
    load_kernels()
    for module in imported:
        for value in vars(module).values():
            if isinstance(value, CPUDispatcher):
                found[f"{value.py_func.__module__}.{value.py_func.__name__}"] = len(value.signatures)
    return found


def compile_backwards() -> None:
    """Compile the kernels, the last one first."""
    for _ in import_all():
        pass
    load_kernels(backwards=True)


def main() -> int:
    """Warm everything and say how much that was.

    Two processes compile from both ends, and each takes from the disk what the other has left there.
    """
    second = multiprocessing.get_context("spawn").Process(target=compile_backwards)
    second.start()
    found = kernels(import_all())
    for name in LIBRARIES:
        importlib.import_module(name)
    second.join()
    sys.stdout.write(f"{len(found)} compiled kernels ready\n")
    return second.exitcode or 0


if __name__ == "__main__":
    sys.exit(main())
