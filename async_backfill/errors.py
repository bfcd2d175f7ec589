"""What can go wrong, as one tree of exceptions.

::

    AsyncBackfillError
    ├─ ConfigurationError (ValueError)   a setting is outside what is allowed
    ├─ ScenarioError                     a file given to the runner cannot be used
    ├─ JournalError                      a journal of hot keys is damaged, or of a newer version
    ├─ MissingExtraError (ImportError)   an optional library is not installed
    ├─ CacheClosedError (RuntimeError)   the cache is not open, or closed while a caller waited
    ├─ KeyNotFoundError (LookupError)    the source answered: no such key
    ├─ StoreError                        the store that processes share did not take a put or an invalidation
    └─ LoadError                         the source failed; the cause is chained
       ├─ LoadTimeoutError (TimeoutError)
       ├─ LoadCycleError                 the load waits for itself; shows the cycle of keys
       └─ CircuitOpenError               the source failed too often and is left alone for a while
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable


class AsyncBackfillError(Exception):
    """The base of every error that this package raises on purpose."""


class ConfigurationError(AsyncBackfillError, ValueError):
    """A setting is refused; ``setting`` names it and ``problem`` says why and what is allowed."""

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(setting, problem)
        self.setting = setting
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.setting}: {self.problem}"


class ScenarioError(AsyncBackfillError):
    """A scenario, or a file of rows, cannot be used; the text is one line with file and place."""


class JournalError(AsyncBackfillError):
    """A journal of hot keys cannot be understood; the text is one line with its name and what is wrong."""


class MissingExtraError(AsyncBackfillError, ModuleNotFoundError):
    """An optional library is not installed; ``name`` is the library, the text ends with how to install it."""


class CacheClosedError(AsyncBackfillError, RuntimeError):
    """The cache was used before ``async with`` opened it, or after it closed."""


class KeyNotFoundError(AsyncBackfillError, LookupError):
    """The source was asked and has no such key; ``key`` is the one that was asked for."""

    def __init__(self, message: str, *, key: Hashable = None) -> None:
        super().__init__(message)
        self.key = key


class StoreError(AsyncBackfillError):
    """The store that processes share failed; the store's own exception is the ``__cause__``.

    Raised only by an explicit put, invalidation or clear: this process holds what was asked for, others
    may go on with what they have.
    """


class LoadError(AsyncBackfillError):
    """The source failed to load ``key``; the source's own exception is the ``__cause__``."""

    def __init__(self, message: str, *, key: Hashable = None) -> None:
        super().__init__(message)
        self.key = key


class LoadTimeoutError(LoadError, TimeoutError):
    """The source took longer than ``LoadPolicy.timeout``; the load was cancelled."""


class LoadCycleError(LoadError):
    """A load waits, directly or through other loads, for its own key; ``cycle`` lists the keys in order."""

    def __init__(self, message: str, *, key: Hashable = None, cycle: tuple[Hashable, ...] = ()) -> None:
        super().__init__(message, key=key)
        self.cycle = cycle


class CircuitOpenError(LoadError):
    """The source was not asked: it failed too often lately; see ``LoadPolicy.circuit``."""
