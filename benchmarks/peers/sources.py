"""Where the values come from: each source counts how often and for how many keys it is asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def value_of(key: int) -> int:
    """Return the value that belongs to ``key``."""
    return key + 1


class Source:
    """Answers at once, without giving way to other tasks."""

    def __init__(self) -> None:
        self.calls = 0
        self.keys = 0

    async def load(self, key: int) -> int:
        """Return the value of one key: what a cache without batches calls."""
        self.calls += 1
        self.keys += 1
        return key + 1

    async def load_many(self, keys: Sequence[int]) -> dict[int, int]:
        """Return the value of each key: what a cache with batches calls."""
        self.calls += 1
        self.keys += len(keys)
        return {key: key + 1 for key in keys}


class SleepingSource(Source):
    """Takes ``seconds`` a call, however many keys and calls; with 0 seconds it only gives way once."""

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
    """Takes ``seconds`` a call, answers ``at_once`` calls at once, and refuses more than ``at_most`` keys."""

    def __init__(self, seconds: float, *, at_once: int, at_most: int) -> None:
        super().__init__()
        self._seconds = seconds
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
            await asyncio.sleep(self._seconds)
        return {key: key + 1 for key in keys}
