"""Adapters for aiodataloader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiodataloader import DataLoader

from benchmarks.peers.peer import Peer

if TYPE_CHECKING:
    from benchmarks.peers.sources import Source


class _Loader(DataLoader[int, int]):
    max_batch_size = 500

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source

    async def batch_load_fn(self, keys: list[int]) -> list[int]:
        values = await self._source.load_many(keys)
        return [values[key] for key in keys]


class Loader(Peer):
    """A subclass of ``DataLoader`` with batches of 500; its memo of futures has no bound."""

    title = "aiodataloader"
    package = "aiodataloader"
    is_bounded = False
    has_get_many = True

    def __init__(self, source: Source, capacity: int) -> None:  # noqa: ARG002 - it has no bound
        loader = _Loader(source)
        self.get = loader.load
        self.get_many = loader.load_many
