"""Floors: the least that Python needs for the same work."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence


class Echo:
    """A source that answers at once."""

    async def load_many(self, keys: Sequence[int], /) -> Mapping[int, int]:
        """Return each of ``keys`` as its own value."""
        return {key: key for key in keys}


class NaiveCache:
    """A dict and a queue in front of a source: FIFO eviction, and nothing else.

    It counts nothing and shares no load: what it costs is what the dict, the queue and the call cost.
    (Without the queue it would be slower: the first key of a dict that lost many is looked for among
    the holes.)
    """

    def __init__(self, source: Echo, capacity: int) -> None:
        self._source = source
        self._capacity = capacity
        self._entries: dict[int, int] = {}
        self._queue: deque[int] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    async def get(self, key: int) -> int:
        """Return the value of ``key``, from the dict or else from the source."""
        value = self._entries.get(key)
        if value is None:
            value = (await self._source.load_many((key,)))[key]
            self._add(key, value)
        return value

    async def get_many(self, keys: Iterable[int], batch: int) -> dict[int, int]:
        """Return the values of ``keys``, with ``batch`` of them in a source call."""
        found = {key: self._entries.get(key) for key in keys}
        missing = [key for key, value in found.items() if value is None]
        for start in range(0, len(missing), batch):
            loaded = await self._source.load_many(missing[start : start + batch])
            for key, value in loaded.items():
                self._add(key, value)
            found.update(loaded)
        return {key: value for key, value in found.items() if value is not None}

    def fill(self, keys: Iterable[int]) -> None:
        """Store ``keys``, which must be new."""
        for key in keys:
            self._add(key, key)

    def clear(self) -> None:
        """Forget all keys."""
        self._entries.clear()
        self._queue.clear()

    def _add(self, key: int, value: int) -> None:
        if len(self._entries) >= self._capacity:
            del self._entries[self._queue.popleft()]
        self._entries[key] = value
        self._queue.append(key)


def bare(entries: dict[int, int]) -> Callable[[int], Awaitable[int | None]]:
    """Return a coroutine function around ``entries.get``: the least cost of an awaited lookup."""

    async def get(key: int) -> int | None:
        return entries.get(key)

    return get
