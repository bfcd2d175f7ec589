"""Observers: functions that are called with each event, and whose failures disturb nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from async_backfill._common.line_a_second import LineASecond

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill._common.line_a_second import AnyLogger

E = TypeVar("E")


class Observers(Generic[E]):
    """Calls each of ``observers`` with an event; what one raises is logged and goes no further."""

    def __init__(
        self,
        observers: tuple[Callable[[E], object], ...],
        logger: AnyLogger,
        clock: Callable[[], float],
    ) -> None:
        self._observers = [(observer, LineASecond(logger, clock)) for observer in observers]

    def tell(self, event: E) -> None:
        """Call them all, in their order."""
        for observer, log in self._observers:
            try:
                observer(event)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # noqa: BLE001 - whatever it is, it must not end who tells
                log.warning("observer %r failed on %s", observer, type(event).__name__, error=error)
