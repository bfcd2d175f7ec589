"""A source whose loads wait until a test releases them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from anyio import Event

from async_backfill.contracts import K, V

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class GatedSource(Generic[K, V]):
    """A source over ``rows`` whose loads wait until a test releases them.

    `release` releases the oldest waiting load, which answers with the rows of that moment or raises an error;
    `open` releases all loads, the later ones too. ``calls`` lists the keys of each load, in order, and
    ``cancelled`` the keys of each load that was cancelled while it waited.
    """

    def __init__(self, rows: Mapping[K, V]) -> None:
        self.rows = rows
        self.calls: list[tuple[K, ...]] = []
        self.cancelled: list[tuple[K, ...]] = []
        self._waiting: list[tuple[Event, list[BaseException]]] = []
        self._is_open = False

    @property
    def waiting(self) -> int:
        """The number of waiting loads."""
        return len(self._waiting)

    async def load_many(self, keys: Sequence[K], /) -> Mapping[K, V]:
        """Wait to be released, then answer or raise."""
        self.calls.append(tuple(keys))
        if not self._is_open:
            await self._wait(tuple(keys))
        return {key: self.rows[key] for key in keys if key in self.rows}

    def release(self, error: BaseException | None = None) -> None:
        """Release the oldest waiting load; it raises ``error`` if there is one."""
        gate, errors = self._waiting.pop(0)
        if error is not None:
            errors.append(error)
        gate.set()

    def open(self) -> None:
        """Release all loads, waiting and later ones."""
        self._is_open = True
        while self._waiting:
            self.release()

    async def _wait(self, keys: tuple[K, ...]) -> None:
        place: tuple[Event, list[BaseException]] = (Event(), [])
        self._waiting.append(place)
        try:
            await place[0].wait()
        except BaseException:
            self.cancelled.append(keys)
            if place in self._waiting:
                self._waiting.remove(place)
            raise
        if place[1]:
            raise place[1][0]
