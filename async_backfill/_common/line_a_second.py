"""A logger for what may happen thousands of times a second: at most one line a second."""

from __future__ import annotations

import logging
import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    AnyLogger = logging.Logger | logging.LoggerAdapter[logging.Logger]

_BETWEEN_LINES: Final = 1.0


def log_safely(
    logger: AnyLogger, level: int, text: str, *args: object, extra: Mapping[str, object], **named: Any
) -> None:
    """Log ``text``, without ``extra`` if need be; it never raises, or it would end what it tells of."""
    try:
        logger.log(level, text, *args, extra=extra, **named)
    except Exception:  # noqa: BLE001 - of a filter, or a factory of records that has such a field already
        with suppress(Exception):
            logger.log(level, text, *args, **named)


class LineASecond:
    """Logs one kind of line, at most one a second; the next one says how many were left out.

    That number is also ``left_out``, a field of each record beside those of the line itself. A line whose
    level is off costs nothing but asking for that.

    :param clock: a monotonic clock, in seconds.
    :param between: the seconds from one line to the next.
    """

    __slots__ = ("_between", "_clock", "_left_out", "_logger", "_next_line")

    def __init__(
        self, logger: AnyLogger, clock: Callable[[], float], *, between: float = _BETWEEN_LINES
    ) -> None:
        self._logger = logger
        self._clock = clock
        self._between = between
        self._next_line = -math.inf
        self._left_out = 0

    @property
    def is_due(self) -> bool:
        """Whether a line would be logged now."""
        return self._clock() >= self._next_line

    def warning(self, text: str, *args: object, error: BaseException | None = None, **fields: object) -> None:
        """Log ``text`` as a logger does, unless a line was logged less than a second ago.

        :param args: what ``text`` has ``%s`` for; it is not made into text for a line that is left out.
        :param error: is logged with its traceback.
        :param fields: become attributes of the record.
        """
        if self.is_to_be_logged(logging.WARNING):
            self._log(logging.WARNING, text, args, fields, error)

    def line(self, level: int, text: str, fields: Callable[[], Mapping[str, object]]) -> None:
        """Log ``text``, which has ``%(name)s`` for each of ``fields``; they become attributes of the record.

        :param fields: is not called for a line that is left out.
        """
        if self.is_to_be_logged(level):
            facts = fields()
            self._log(level, text, (facts,), facts, None)

    def is_to_be_logged(self, level: int) -> bool:
        """Return whether a line of ``level`` would be logged now; one that would not counts as left out."""
        if not self._logger.isEnabledFor(level):
            return False
        if self._clock() >= self._next_line:
            return True
        self._left_out += 1
        return False

    def _log(
        self,
        level: int,
        text: str,
        args: tuple[object, ...],
        fields: Mapping[str, object],
        error: BaseException | None,
    ) -> None:
        left_out, self._left_out = self._left_out, 0
        self._next_line = self._clock() + self._between
        if left_out:
            text = f"{text} ({left_out} more since the last line)"
        log_safely(self._logger, level, text, *args, exc_info=error, extra={**fields, "left_out": left_out})
