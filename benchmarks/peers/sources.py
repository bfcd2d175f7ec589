"""Sources for the workloads; each counts its calls and keys."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def value_of(key: int) -> int:
    """Return the value of ``key``."""
    return key + 1


class Source:
    """A source that answers at once, without yielding to other tasks."""

    def __init__(self) -> None:
        self.calls = 0
        self.keys = 0

    async def load(self, key: int) -> int:
        """Return the value of one key, for a cache without batches."""
        self.calls += 1
        self.keys += 1
        return key + 1

    async def load_many(self, keys: Sequence[int]) -> dict[int, int]:
        """Return the value of each key, for a cache with batches."""
        self.calls += 1
        self.keys += len(keys)
        return {key: key + 1 for key in keys}


class SleepingSource(Source):
    """A source whose calls take ``seconds`` each, at any load; with 0 seconds each call only yields once."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    async def load(self, key: int) -> int:
        """Return the value of one key, later."""
        self.calls += 1
        self.keys += 1
        await asyncio.sleep(self._seconds)
        return key + 1

    async def load_many(self, keys: Sequence[int]) -> dict[int, int]:
        """Return the value of each key, later."""
        self.calls += 1
        self.keys += len(keys)
        await asyncio.sleep(self._seconds)
        return {key: key + 1 for key in keys}


class LimitedSource(Source):
    """A source with calls of ``seconds``, ``at_once`` of them at a time, of at most ``at_most`` keys each.

    Each key of a call takes ``a_key`` seconds more.
    """

    def __init__(self, seconds: float, *, at_once: int, at_most: int, a_key: float = 0.0) -> None:
        super().__init__()
        self._seconds = seconds
        self._a_key = a_key
        self._places = asyncio.Semaphore(at_once)
        self._at_most = at_most

    async def load(self, key: int) -> int:
        """Return the value of one key, when there is a place and the time is over."""
        return (await self.load_many((key,)))[key]

    async def load_many(self, keys: Sequence[int]) -> dict[int, int]:
        """Return the value of each key, when there is a place and the time is over.

        :raises ValueError: for more than ``at_most`` keys.
        """
        if len(keys) > self._at_most:
            raise ValueError(f"{len(keys)} keys in one call, {self._at_most} are allowed")
        async with self._places:
            self.calls += 1
            self.keys += len(keys)
            await asyncio.sleep(self._seconds + self._a_key * len(keys))
        return {key: key + 1 for key in keys}
