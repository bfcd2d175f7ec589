"""Adapters for aiocache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiocache import Cache, cached, cached_stampede

from benchmarks.peers.peer import Peer

if TYPE_CHECKING:
    from benchmarks.peers.sources import Source


class Cached(Peer):
    """``cached`` with the cache in memory, the default.

    It has no bound, and each concurrent miss of a key loads it again. ``multi_cached`` is not compared:
    it hands all missing keys to the function in one call, so splitting them is left to the user.
    """

    title = "aiocache cached"
    package = "aiocache"
    is_bounded = False

    def __init__(self, source: Source, capacity: int) -> None:  # noqa: ARG002 - it has no bound
        self.get = cached(cache=Cache.MEMORY)(source.load)


class CachedStampede(Peer):
    """``cached_stampede`` with the cache in memory and its default lease of 2 seconds."""

    title = "aiocache cached_stampede"
    package = "aiocache"
    is_bounded = False

    def __init__(self, source: Source, capacity: int) -> None:  # noqa: ARG002 - it has no bound
        self.get = cached_stampede(cache=Cache.MEMORY)(source.load)
