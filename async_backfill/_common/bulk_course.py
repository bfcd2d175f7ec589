"""The course of a bulk load: how much has come, and a way to end it before all has."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from anyio import CancelScope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class BulkCourse:
    """What one task knows of a bulk load that another one makes.

    ``is_ended``
        whether somebody has ended it early.
    ``arrived``
        returns how many keys of the portion under way have come.
    ``loaded``
        how many keys of the portions before have come.
    ``calls``
        how many source calls were made for what has come, or has failed.
    """

    __slots__ = ("_scope", "arrived", "calls", "is_ended", "loaded")

    def __init__(self) -> None:
        self._scope: CancelScope | None = None
        self.is_ended = False
        self.arrived: Callable[[], int] = _nothing
        self.begin()

    def begin(self) -> None:
        """Take note that a load begins, of which nothing has come."""
        self.loaded = self.calls = 0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """End what is awaited inside ``with`` when `end` is called, and go on after it."""
        with CancelScope() as scope:
            self._scope = scope
            if self.is_ended:
                scope.cancel()
            try:
                yield
            finally:
                self._scope = None

    def end(self) -> None:
        """End the load: what has come stays."""
        self.is_ended = True
        if self._scope is not None:
            self._scope.cancel()

    def portion_ended(self, loaded: int) -> None:
        """Take note that the portion under way has ended, with so many keys loaded in all."""
        self.loaded, self.arrived = loaded, _nothing


def _nothing() -> int:
    return 0
