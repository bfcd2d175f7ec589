"""Show warnings of the library on standard error while a command runs: one line each."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from async_backfill._runner.wording import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_IN_THE_RESULT: Final = frozenset(
    {
        "async_backfill.backfill",
        "async_backfill.circuit",
        "async_backfill.jobs.status",
        "async_backfill.load.refresh",
    }
)
"""Loggers of what the answer of a command tells anyway."""


@contextmanager
def log_lines(hidden: Callable[[str], str]) -> Iterator[None]:
    """Show each warning as one line inside ``with``, unless the program has logging of its own.

    Without a handler Python would print whole tracebacks, with all that the texts of errors hold.

    :param hidden: returns a text as it may be shown.
    """
    root = logging.getLogger()
    if root.handlers:
        yield
        return
    handler = _Lines(hidden)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


class _Lines(logging.Handler):
    def __init__(self, hidden: Callable[[str], str]) -> None:
        super().__init__(logging.WARNING)
        self._hidden = hidden
        self.addFilter(lambda record: record.name not in _IN_THE_RESULT)

    def emit(self, record: logging.LogRecord) -> None:
        """Print the message of ``record``, and its error without the traceback."""
        if sys.stderr is None:
            return
        line = record.getMessage()
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            line += f": {type(error).__name__}: {error}"
        with suppress(OSError):  # nobody reads it, or the disk behind it is full
            sys.stderr.write(f"{record.levelname.lower()}: {one_line(self._hidden(line))}\n")
