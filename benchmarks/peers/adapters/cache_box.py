"""Adapters for cachebox."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cachebox

from benchmarks.peers.peer import Peer

if TYPE_CHECKING:
    from benchmarks.peers.sources import Source


class CachedFifo(Peer):
    """``cached`` around a ``FIFOCache`` with its defaults: one lock for each key that misses."""

    title = "cachebox FIFO"
    package = "cachebox"

    def __init__(self, source: Source, capacity: int) -> None:
        self.get = cachebox.cached(cachebox.FIFOCache(capacity))(source.load)


class CachedLru(Peer):
    """``cached`` around an ``LRUCache`` with its defaults."""

    title = "cachebox LRU"
    package = "cachebox"

    def __init__(self, source: Source, capacity: int) -> None:
        self.get = cachebox.cached(cachebox.LRUCache(capacity))(source.load)


class CachedTtl(Peer):
    """``cached`` around a ``TTLCache`` of an hour with its defaults."""

    title = "cachebox TTL"
    package = "cachebox"

    def __init__(self, source: Source, capacity: int) -> None:
        self.get = cachebox.cached(cachebox.TTLCache(capacity, 3600.0))(source.load)


def _only_key(key: int) -> int:
    return key


class CachedLruTuned(Peer):
    """``cached`` around an ``LRUCache`` with the parameters that make it fastest.

    The key is the argument itself, and values are returned as they are: by default each goes through a
    function that copies lists, dicts and sets.
    """

    title = "cachebox LRU, tuned"
    package = "cachebox"

    def __init__(self, source: Source, capacity: int) -> None:
        decorate = cachebox.cached(cachebox.LRUCache(capacity), key_maker=_only_key, postprocess=None)
        self.get = decorate(source.load)
