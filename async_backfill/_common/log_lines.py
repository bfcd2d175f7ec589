"""Lines in the log about events: for each kind its logger, its level, its text and its fields."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from async_backfill._common.line_a_second import LineASecond, log_safely

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

E = TypeVar("E")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line(Generic[E]):
    """One kind of line.

    ``text``
        has ``%(name)s`` for those of the fields that it shows.
    ``fields``
        returns the fields of an event; they become attributes of the record, so no name may be one of those
        that a record has already.
    ``between``
        the seconds from one such line to the next.
    """

    logger: logging.Logger
    level: int
    text: str
    fields: Callable[[E], Mapping[str, object]]
    between: float = 1.0


class Lines:
    """Logs lines, of each kind at most one in its time.

    :param prefix: the begin of each text; as in a text, ``%(name)s`` is a field.
    :param fields: those that each line has besides its own.
    """

    def __init__(self, clock: Callable[[], float], prefix: str = "", **fields: object) -> None:
        self._clock = clock
        self._fields = fields
        self._prefix = prefix
        self._kinds: dict[Line[Any], LineASecond] = {}

    def say(self, line: Line[E], event: E) -> None:
        """Log a line about ``event``; nothing of it is made into text before that is known to be due."""
        self._kind(line).line(
            line.level, self._prefix + line.text, lambda: {**self._fields, **line.fields(event)}
        )

    def is_to_be_said(self, line: Line[Any]) -> bool:
        """Return whether `say` would log now; if not, that counts as a line that was left out."""
        return self._kind(line).is_to_be_logged(line.level)

    def _kind(self, line: Line[Any]) -> LineASecond:
        kind = self._kinds.get(line)
        if kind is None:
            kind = self._kinds[line] = LineASecond(line.logger, self._clock, between=line.between)
        return kind


class CacheLog(logging.LoggerAdapter[logging.Logger]):
    """Logs lines that begin with the name of a cache, which is a field of each as well.

    A logger, also for a `LineASecond`.

    :param cache: ``None`` for a cache without a name.
    """

    def __init__(self, logger: logging.Logger, cache: str | None) -> None:
        super().__init__(logger)
        self._fields = {"cache": cache}
        self._prefix = "" if cache is None else f"{cache}: "

    def log(
        self, level: int, msg: object, *args: object, extra: Mapping[str, object] | None = None, **named: Any
    ) -> None:
        """Log ``msg``."""
        prefix = self._prefix.replace("%", "%%") if args else self._prefix
        fields = {**self._fields, **(extra or {})}
        log_safely(self.logger, level, f"{prefix}{msg}", *args, **named, extra=fields)
