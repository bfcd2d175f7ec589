"""A logger for what may happen thousands of times a second: at most one line a second."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

_BETWEEN_LINES: Final = 1.0


class LineASecond:
    """Logs warnings, at most one a second; the next line says how many were left out.

    :param clock: a monotonic clock, in seconds.
    """

    __slots__ = ("_clock", "_left_out", "_logger", "_next_line")

    def __init__(self, logger: logging.Logger, clock: Callable[[], float]) -> None:
        self._logger = logger
        self._clock = clock
        self._next_line = -math.inf
        self._left_out = 0

    @property
    def is_due(self) -> bool:
        """Whether a warning would be logged now."""
        return self._clock() >= self._next_line

    def warning(self, text: str, *args: object, error: BaseException | None = None) -> None:
        """Log ``text`` as a logger does, unless a line was logged less than a second ago.

        :param args: what ``text`` has ``%s`` for; it is not made into text for a line that is left out.
        :param error: is logged with its traceback.
        """
        now = self._clock()
        if now < self._next_line:
            self._left_out += 1
            return
        more = f" ({self._left_out} more since the last line)" if self._left_out else ""
        self._logger.warning(f"{text}%s", *args, more, exc_info=error)  # noqa: G004 - text is a format
        self._next_line, self._left_out = now + _BETWEEN_LINES, 0
