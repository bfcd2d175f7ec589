"""Adapters for oneflight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oneflight import async_singleflight

from benchmarks.peers.peer import Peer

if TYPE_CHECKING:
    from benchmarks.peers.sources import Source


class Single(Peer):
    """``async_singleflight`` as in its README: concurrent calls share one load, and nothing is kept."""

    title = "oneflight"
    package = "oneflight"
    holds = False

    def __init__(self, source: Source, capacity: int) -> None:  # noqa: ARG002 - it keeps nothing
        self.get = async_singleflight(source.load)
