"""This project's decorator."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

from benchmarks.peers.peer import Peer

if TYPE_CHECKING:
    from types import TracebackType

    from benchmarks.peers.sources import Source

_cached: Any = import_module("async_backfill.decorator").cached


class Decorated(Peer):
    """The decorator form with the default order, FIFO."""

    title = "async_backfill decorator"
    package = "async-backfill"
    is_ours = True

    def __init__(self, source: Source, capacity: int) -> None:
        @_cached(capacity=capacity)  # type: ignore[untyped-decorator]
        async def load(key: int) -> int:
            return await source.load(key)

        self._cache: Any = load.cache
        self.get = load

    async def __aenter__(self) -> Self:
        await self._cache.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._cache.__aexit__(exc_type, exc, traceback)
