"""Adapters for this project's cache, as its README shows it, with each eviction order."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from async_backfill import BackfillCache, BackfillPolicy, FreshnessPolicy
from benchmarks.peers.peer import Peer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from async_backfill.events import Observer
    from async_backfill.stores._eviction.orders import Eviction
    from benchmarks.peers.sources import Source


class Fifo(Peer):
    """The default: FIFO, values without a ttl, source calls in batches."""

    title = "async_backfill FIFO"
    package = "async-backfill"
    is_ours = True
    has_get_many = True
    has_peek = True
    has_put_many = True
    eviction: ClassVar[Eviction] = "fifo"
    ttl: ClassVar[float | None] = None
    backfill: ClassVar[BackfillPolicy] = BackfillPolicy()

    def __init__(self, source: Source, capacity: int) -> None:
        self.cache: BackfillCache[int, int] = BackfillCache(
            source,
            capacity=capacity,
            eviction=self.eviction,
            freshness=FreshnessPolicy(ttl=self.ttl),
            backfill=self.backfill,
            observers=self.observers(),
            name=self.title,
        )

    def observers(self) -> Sequence[Observer]:
        """Return who is told of events: usually nobody."""
        return ()

    async def __aenter__(self) -> Self:
        cache = await self.cache.__aenter__()
        # Taken when it is open, as a user's code does with each call.
        self.get = cache.get  # type: ignore[assignment] # every key has a value here
        self.get_many = cache.get_many
        self.peek = cache.peek
        self.put_many = cache.put_many
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.cache.__aexit__(exc_type, exc, traceback)


class FifoTtl(Fifo):
    """FIFO with a ttl of an hour."""

    title = "async_backfill FIFO, ttl"
    ttl = 3600.0


class FifoHistory(Fifo):
    """FIFO that records the hot keys, as a cache with a journal does."""

    title = "async_backfill FIFO, history"
    backfill = BackfillPolicy(selection="history")


class Lru(Fifo):
    """LRU: the least recently used key leaves first."""

    title = "async_backfill LRU"
    eviction = "lru"


class Sieve(Fifo):
    """SIEVE: an unvisited key leaves first."""

    title = "async_backfill SIEVE"
    eviction = "sieve"


class S3Fifo(Fifo):
    """S3-FIFO: a key asked for only once leaves quickly."""

    title = "async_backfill S3-FIFO"
    eviction = "s3-fifo"
