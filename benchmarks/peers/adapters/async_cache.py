"""Adapters for async-cache."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Any

from cache import AsyncLRU
from cache.async_cache import AsyncCache

from benchmarks.peers.peer import Peer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from benchmarks.peers.sources import Source


class Lru(Peer):
    """``AsyncLRU(maxsize=...)``, as in its README; ``AsyncTTL`` is the same class with a time."""

    title = "async-cache AsyncLRU"
    package = "async-cache"

    def __init__(self, source: Source, capacity: int) -> None:
        self.get = AsyncLRU(maxsize=capacity)(source.load)


class Batching(Peer):
    """``AsyncCache`` with a ``batch_loader``: batches of 500, its default window of 5 ms."""

    title = "async-cache batch_loader"
    package = "async-cache"

    def __init__(self, source: Source, capacity: int) -> None:
        cache: Any = AsyncCache(maxsize=capacity, max_batch_size=500)

        def get(key: int) -> Awaitable[int]:
            found: Awaitable[int] = cache.get(key, batch_loader=load_many)
            return found

        load_many = source.load_many
        self.get = get

    async def fill(self, keys: Iterable[int]) -> None:
        """Ask for many keys at once: one after another, each would wait for the end of the window."""
        pending = iter(keys)
        while part := list(islice(pending, 500)):
            await asyncio.gather(*map(self.get, part))
