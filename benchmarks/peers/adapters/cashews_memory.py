"""Adapters for cashews."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from cashews import Cache

from benchmarks.peers.peer import Peer

if TYPE_CHECKING:
    from types import TracebackType

    from benchmarks.peers.sources import Source


class Simple(Peer):
    """The decorator of a cache in memory, with a time to live, which is required, of an hour.

    ``protected``, its guard against stampedes, is on by default.
    """

    title = "cashews"
    package = "cashews"
    lock: ClassVar[bool] = False

    def __init__(self, source: Source, capacity: int) -> None:
        self._cache: Any = Cache()
        self._cache.setup("mem://", size=capacity)
        self.get = self._cache(ttl="1h", key="{key}", lock=self.lock)(source.load)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._cache.close()


class Locked(Simple):
    """The same with ``lock=True``."""

    title = "cashews lock"
    lock = True
