"""What can have a cache in front of it: async functions and methods, and nothing else."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any

from async_backfill._cached.explaining import name_of
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable


def refuse_unfit(function: Any) -> None:
    """Refuse what is not an async function.

    :raises ConfigurationError: that says what ``function`` is, and what was expected.
    """
    if isinstance(function, classmethod):
        problem = "must not be a classmethod; make it a staticmethod or a function"
    elif isinstance(function, staticmethod):
        problem = "must not be a staticmethod yet; put @staticmethod above @cached"
    elif _is_async(function):
        return
    elif inspect.isawaitable(function):
        problem = "was called already; give @cached the function itself, without parentheses"
    elif isinstance(function, type):
        problem = "is a class; put @cached above an async method of it, or above an async function"
    elif inspect.isasyncgenfunction(function):
        problem = (
            "is an async generator, whose items pass by once; make it an async function that returns a list"
        )
    elif inspect.isroutine(function) or callable(function):
        problem = "is not an async function; define it with 'async def'"
    else:
        problem = f"is not a function but a {type(function).__qualname__}; put @cached above an 'async def'"
    called = "()" if inspect.isroutine(function) or isinstance(function, classmethod) else ""
    raise ConfigurationError("cached", f"{name_of(function)}{called} {problem}")


def _is_async(function: Any) -> bool:
    """Return whether a call of ``function`` can be awaited, as far as it says so."""
    if isinstance(function, type) or not callable(function):
        return False
    candidates = (function, inspect.unwrap(function), getattr(function, "__call__", None))  # noqa: B004
    return any(inspect.iscoroutinefunction(one) for one in candidates)


def class_around(function: Callable[..., object], *, depth: int) -> tuple[str, str] | None:
    """Return module and qualified name of the class in whose body ``function`` is defined; else ``None``.

    That is told by its ``__qualname__``, or, when another decorator has lost that, by the code that called
    the decorator, ``depth`` frames up. A bound method does not count: it is called without its instance.
    """
    if inspect.ismethod(function):
        return None
    around = getattr(function, "__qualname__", "").rpartition(".")[0]
    if around and not around.endswith("<locals>"):
        return function.__module__, around
    caller = sys._getframe(depth + 1)  # noqa: SLF001 - `inspect` has no quick way to it
    module, name = caller.f_locals.get("__module__"), caller.f_locals.get("__qualname__")
    if caller.f_locals is not caller.f_globals and isinstance(module, str) and isinstance(name, str):
        return module, name
    return None
