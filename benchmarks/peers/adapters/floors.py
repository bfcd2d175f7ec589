"""Floors, the least possible cost of each kind of work; all other figures are multiples of these."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from benchmarks.peers.peer import Peer
from benchmarks.peers.sources import value_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.peers.sources import Source


class BareDict(Peer):
    """An ``async def`` around ``dict.get``: the cost of a hit that only finds the value."""

    title = "bare dict.get"
    package = "async-backfill"
    is_bounded = False

    def __init__(self, source: Source, capacity: int) -> None:  # noqa: ARG002 - it never loads
        self._values: dict[int, int] = {}
        find = self._values.__getitem__

        async def get(key: int) -> int:
            return find(key)

        self.get = get

    async def fill(self, keys: Iterable[int]) -> None:
        """Store the values of ``keys``."""
        self._values.update((key, value_of(key)) for key in keys)


class NaiveDict(Peer):
    """A dict and a load, without a limit; each concurrent miss of a key loads it again."""

    title = "naive dict"
    package = "async-backfill"
    is_bounded = False

    def __init__(self, source: Source, capacity: int) -> None:  # noqa: ARG002 - it has no bound
        values: dict[int, int] = {}
        load = source.load

        async def get(key: int) -> int:
            try:
                return values[key]
            except KeyError:
                value = values[key] = await load(key)
                return value

        self.get = get


class SharedFutures(Peer):
    """One load for all concurrent callers of a key, and nothing is kept."""

    title = "shared futures"
    package = "async-backfill"
    holds = False

    def __init__(self, source: Source, capacity: int) -> None:  # noqa: ARG002 - it keeps nothing
        futures: dict[int, asyncio.Future[int]] = {}
        load = source.load
        loop = asyncio.get_running_loop()

        async def get(key: int) -> int:
            future = futures.get(key)
            if future is not None:
                return await future
            future = futures[key] = loop.create_future()
            try:
                value = await load(key)
            except BaseException:
                future.cancel()
                raise
            finally:
                del futures[key]
            future.set_result(value)
            return value

        self.get = get
