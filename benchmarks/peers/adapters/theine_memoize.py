"""Adapters for theine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from theine import Memoize

from benchmarks.peers.peer import Peer

if TYPE_CHECKING:
    from types import TracebackType

    from benchmarks.peers.sources import Source


class Memoized(Peer):
    """``Memoize`` with a key function, as it recommends, and ``nolock``, as there is one thread."""

    title = "theine"
    package = "theine"

    def __init__(self, source: Source, capacity: int) -> None:
        cached: Any = Memoize(capacity, None, nolock=True)(source.load)
        cached.key(_only_key)
        self._cached = cached
        self.get = cached

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Its maintenance task, in a thread of its own, would keep it alive for ever.
        self._cached._cache.close()  # noqa: SLF001 - the only way to it


def _only_key(key: int) -> int:
    return key
