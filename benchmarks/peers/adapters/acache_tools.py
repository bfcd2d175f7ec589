"""Adapters for acachetools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acachetools import cached
from cachetools import LRUCache

from benchmarks.peers.peer import Peer

if TYPE_CHECKING:
    from benchmarks.peers.sources import Source


class CachedLru(Peer):
    """``cached`` around the ``LRUCache`` of cachetools, as in its README."""

    title = "acachetools LRU"
    package = "acachetools"

    def __init__(self, source: Source, capacity: int) -> None:
        self.get = cached(LRUCache(maxsize=capacity))(source.load)
