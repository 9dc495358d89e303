"""One typed door to the compiler: explicit signature, shared on-disk cache, no fast-math, loaded at the first use."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit
from numba.core.compiler_lock import global_compiler_lock

Function = TypeVar("Function", bound=Callable[..., Any])
# What takes the place of two methods of numba's dispatcher until its signatures are there.
_HOOKS = ("_compile_for_args", "get_call_template")
_unloaded: "list[Callable[[], None]]" = []


def kernel(*signatures: object) -> Callable[[Function], Function]:
    """Compile a function for the given signatures, or take it from the cache, when it is first called.

    Not when its module is imported: most kernels are called by other kernels only, whose code contains theirs, and a
    process uses a third of what it imports. Fast-math stays off: results must be the same on every machine and in
    every run.
    """

    def decorate(function: Function) -> Function:
        dispatcher: Any = njit(cache=True, error_model="numpy")(function)

        def load() -> None:
            with global_compiler_lock:  # reentrant: a kernel is compiled into another
                if load not in _unloaded:
                    return
                _unloaded.remove(load)
                for signature in signatures:
                    dispatcher.compile(signature)
                dispatcher.disable_compile()
                for hook in _HOOKS:
                    delattr(dispatcher, hook)

        def called(*_: Any, **__: Any) -> Any:
            load()
            return dispatcher  # which numba then calls with these arguments

        def compiled_into(args: Any, kwargs: Any) -> Any:
            load()
            return type(dispatcher).get_call_template(dispatcher, args, kwargs)

        dispatcher._compile_for_args, dispatcher.get_call_template = called, compiled_into
        _unloaded.append(load)
        return cast(Function, dispatcher)

    return decorate


def load_kernels(backwards: bool = False) -> None:
    """Load every kernel of the modules imported so far, the last one first if `backwards`: for who must not wait for
    one in the middle of a day."""
    for load in _unloaded[::-1] if backwards else _unloaded.copy():
        load()
