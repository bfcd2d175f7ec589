"""Adapter for this project's decorator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from async_backfill._cached.decorator import cached
from benchmarks.peers.peer import Peer

if TYPE_CHECKING:
    from types import TracebackType

    from benchmarks.peers.sources import Source


class Decorated(Peer):
    """``cached(capacity=...)`` around a function that loads one key, with the default order, FIFO."""

    title = "async_backfill decorator"
    package = "async-backfill"
    is_ours = True

    def __init__(self, source: Source, capacity: int) -> None:
        self._cached = cached(capacity=capacity)(source.load)
        self.get = self._cached

    async def __aenter__(self) -> Self:
        await self._cached.cache.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._cached.cache.__aexit__(exc_type, exc, traceback)
