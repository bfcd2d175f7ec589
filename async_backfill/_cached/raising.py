"""What the callers of a cached function get to see when a call fails: what the function raised, as itself.

One exception for a thousand callers would collect a thousand tracebacks, and show each caller the frames of
the others. So each gets a copy, made without a call of anybody's code. What cannot be copied like that is
handed to all of them, each time with the traceback that it came with. See decision 61 in notes.md.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from async_backfill._loading.failures import GivenUpError
from async_backfill.errors import CircuitOpenError, LoadCycleError, LoadError, LoadTimeoutError

if TYPE_CHECKING:
    from types import TracebackType

_OURS: Final = frozenset({LoadError, LoadTimeoutError, LoadCycleError, CircuitOpenError, GivenUpError})
_PACKAGE: Final = "async_backfill."
_WEAK_REFERENCES: Final = struct.calcsize("P")  # a list of them, where a class of Python's own has one


def raised_by_function(failure: LoadError) -> Exception | None:
    """Return the exception of the function that made a load fail, for one caller to raise.

    ``None`` when there is none: the failure is one of ours, such as a timeout, or ends the process.
    """
    cause = failure.__cause__
    if not isinstance(cause, Exception) or type(cause) in _OURS:
        return None
    traceback = _of_the_function(cause.__traceback__)
    return (_copy(cause) if _is_plain(type(cause)) else cause).with_traceback(traceback)


def _of_the_function(traceback: TracebackType | None) -> TracebackType | None:
    """Return ``traceback`` without the frames above the function: ours, and of whom it reached before."""
    entry = traceback
    while entry is not None and not _is_ours(entry):
        entry = entry.tb_next
    while entry is not None and _is_ours(entry):
        entry = entry.tb_next
    return entry


def _is_ours(entry: TracebackType) -> bool:
    return str(entry.tb_frame.f_globals.get("__name__")).startswith(_PACKAGE)


def _is_plain(kind: type[Exception]) -> bool:
    """Return whether all that an exception of ``kind`` holds is its ``args`` and its ``__dict__``."""
    size = kind.__basicsize__ - (_WEAK_REFERENCES if kind.__weakrefoffset__ > 0 else 0)
    return (
        size <= Exception.__basicsize__  # a NameError, too, has a field beside its arguments
        and getattr(kind, "args", None) is vars(BaseException)["args"]
        and not any(vars(base).get("__slots__") for base in kind.__mro__)
    )


def _copy(error: Exception) -> Exception:
    try:
        # Neither ``__init__`` nor ``__reduce__``: they are made for other arguments more often than not.
        new = BaseException.__new__(type(error), *error.args)
    except TypeError:  # a type of an extension module
        return error
    new.__dict__.update(error.__dict__)
    if "__notes__" in new.__dict__:
        new.__notes__ = list(new.__notes__)
    new.__cause__, new.__context__ = error.__cause__, error.__context__
    new.__suppress_context__ = error.__suppress_context__
    return new
