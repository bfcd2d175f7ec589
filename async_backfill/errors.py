"""The exceptions of the package, as one tree.

::

    AsyncBackfillError
    ├─ ConfigurationError (ValueError)   a setting is outside what is allowed
    │  └─ KeyRefusedError                a key cannot be told apart outside of this process
    ├─ ScenarioError                     a file given to the runner cannot be used
    ├─ JournalError                      a journal of hot keys is damaged, or of a newer version
    ├─ SnapshotError                     a snapshot that was asked for could not be saved
    ├─ MissingExtraError (ImportError)   an optional library is not installed
    ├─ CacheClosedError (RuntimeError)   the cache is not open, or closed while a caller waited
    ├─ KeyNotFoundError (LookupError)    the source answered: no such key
    ├─ StoreError                        the far tier (L2) did not take a put, an invalidation or a clear
    ├─ StalePageError                    a page was read too long ago to be written
    └─ LoadError                         the source failed; the cause is chained
       ├─ LoadTimeoutError (TimeoutError)
       ├─ LoadCycleError                 the load waits for itself; shows the cycle of keys
       └─ CircuitOpenError               the source failed too often and is not called for a while
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = [
    "AsyncBackfillError",
    "CacheClosedError",
    "CircuitOpenError",
    "ConfigurationError",
    "JournalError",
    "KeyNotFoundError",
    "KeyRefusedError",
    "LoadCycleError",
    "LoadError",
    "LoadTimeoutError",
    "MissingExtraError",
    "ScenarioError",
    "SnapshotError",
    "StalePageError",
    "StoreError",
]


class AsyncBackfillError(Exception):
    """The base of every error that this package raises on purpose.

    It can be copied and pickled with all that it says, for example to leave a process pool. As with any
    exception of Python, its ``__cause__`` stays behind.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        # Not by calling the class again: some of them need more than `args`.
        made: Any = super().__reduce__()
        return (_made_again, made[:2], *made[2:])


def _made_again(kind: type[AsyncBackfillError], args: tuple[Any, ...]) -> AsyncBackfillError:
    error = kind.__new__(kind, *args)
    error.args = args
    return error


class ConfigurationError(AsyncBackfillError, ValueError):
    """A setting is not allowed; ``setting`` names it, and ``problem`` says why and what is allowed."""

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(setting, problem)
        self.setting = setting
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.setting}: {self.problem}"


class KeyRefusedError(ConfigurationError):
    """Some keys cannot leave this process: nobody else could tell them apart, or make them again.

    ``keys`` are those that were refused; what was asked for other keys was done.
    """

    def __init__(self, setting: str, problem: str, *, keys: tuple[Hashable, ...] = ()) -> None:
        super().__init__(setting, problem)
        self.keys = keys


class ScenarioError(AsyncBackfillError):
    """A scenario or a file of rows cannot be used; the text is one line with the file and the place in it."""


class JournalError(AsyncBackfillError):
    """A hot-key journal cannot be read; the text is one line with its name and what is wrong."""


class SnapshotError(AsyncBackfillError):
    """A snapshot was not saved; the text is one line that says why. The older one is still there."""


class MissingExtraError(AsyncBackfillError, ModuleNotFoundError):
    """An optional library is not installed; ``name`` is the library, the text ends with how to install it."""


class CacheClosedError(AsyncBackfillError, RuntimeError):
    """The cache is not open here: not yet, no longer, or in another event loop or process; its text says."""


class KeyNotFoundError(AsyncBackfillError, LookupError):
    """The source does not have the key that was asked for; ``key`` is that key."""

    def __init__(self, message: str, *, key: Hashable = None) -> None:
        super().__init__(message)
        self.key = key


class StoreError(AsyncBackfillError):
    """A call of the far tier (L2) failed; the store's own exception is the ``__cause__``.

    Raised only by an explicit put, invalidation or clear: it took effect in this process, but other
    processes may still serve the old values. A reading that fails is no error: the source is asked instead.
    """


class StalePageError(AsyncBackfillError):
    """A far store refused a page because its read began too long ago; nothing of it was kept."""


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
    """The source was not called because it failed too often lately; see ``LoadPolicy.circuit``."""
