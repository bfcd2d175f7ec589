"""Adapters for async-lru."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_lru import alru_cache

from benchmarks.peers.peer import Peer

if TYPE_CHECKING:
    from types import TracebackType

    from benchmarks.peers.sources import Source


class Alru(Peer):
    """``alru_cache(maxsize=...)``, as in its README."""

    title = "async-lru"
    package = "async-lru"

    def __init__(self, source: Source, capacity: int) -> None:
        self._cached = alru_cache(maxsize=capacity)(source.load)
        self.get = self._cached

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._cached.cache_close()
