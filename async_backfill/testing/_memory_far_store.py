"""A far store in this process, for tests of a fleet: several caches, one shared tier, no server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

import anyio

from async_backfill._common.validation import positive_seconds, positive_seconds_or_none
from async_backfill.contracts import FarCopy, K, V
from async_backfill.testing._memory_invalidations import MemoryInvalidations
from async_backfill.testing._memory_leases import MemoryLeases
from async_backfill.testing._memory_server import MemoryServer
from async_backfill.testing._network_link import NetworkLink

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_backfill.contracts import Clock


class MemoryFarStore(Generic[K, V]):
    """Meets `FarStore`; its ``leases`` meet `Leases` and its ``invalidations`` meet `Invalidations`.

    Each process of a fleet has a store of its own in front of the same values: the first makes the
    place, `peer` gives the others. It keeps the values themselves, not copies of them. Time is that of
    the event loop, virtual where that is. ``link`` makes it slow or has it fail::

        first = MemoryFarStore()
        second = first.peer()
        second.link.latency = 0.2
        second.link.fail()
        second.link.recover()

    ``calls`` has the name and keys of each call made here.

    :param lease: seconds that a lease stands which is acquired here.
    :param clock: seconds that never go back; of another clock than the event loop's, waiting for the end
        of a lease knows nothing.
    :raises ConfigurationError: when ``lease`` is not above 0.
    """

    def __init__(self, *, lease: float = 10.0, clock: Clock = anyio.current_time) -> None:
        self._connect(MemoryServer(clock), NetworkLink(), lease)

    def __len__(self) -> int:
        """Return the number of values that are there now."""
        return len(self._server)

    def peer(self, link: NetworkLink | None = None, *, lease: float | None = None) -> MemoryFarStore[K, V]:
        """Return the store of another process at the same place.

        :param link: the way there; ``None`` for one of its own.
        :param lease: seconds that its leases stand; ``None`` for as many as the leases of this one.
        """
        peer: MemoryFarStore[K, V] = object.__new__(type(self))
        peer._connect(
            self._server, NetworkLink() if link is None else link, self._lease if lease is None else lease
        )
        return peer

    async def get_many(self, keys: Sequence[K], /) -> Mapping[K, FarCopy[V]]:
        """Return copies of those of ``keys``, distinct and at least one, that are there."""
        self._take_note("get_many", keys)
        await self.link.there()
        found = self._server.find(keys)
        await self.link.back()
        return found

    async def set_many(self, items: Mapping[K, V], /, *, ttl: float | None = None) -> None:
        """Keep ``items``, at least one, for ``ttl`` seconds; ``None`` for ever."""
        positive_seconds_or_none("ttl", ttl)
        self._take_note("set_many", tuple(items))
        await self.link.there()
        self._server.keep(items, ttl)
        await self.link.back()

    async def delete_many(self, keys: Sequence[K], /) -> None:
        """Remove ``keys`` and their leases; those that are not there are ignored."""
        self._take_note("delete_many", keys)
        await self.link.there()
        self._server.forget(keys)
        await self.link.back()

    async def clear(self) -> None:
        """Remove every key and every lease."""
        self.calls.append(("clear", ()))
        await self.link.there()
        self._server.forget(None)
        await self.link.back()

    def _connect(self, server: MemoryServer[K, V], link: NetworkLink, lease: float) -> None:
        self._server = server
        self._lease = positive_seconds("lease", lease)
        self.link = link
        self.leases = MemoryLeases(server, link, lease=self._lease)
        self.invalidations = MemoryInvalidations(server, link)
        self.calls: list[tuple[str, tuple[K, ...]]] = []

    def _take_note(self, call: str, keys: Sequence[K]) -> None:
        if not keys or len(set(keys)) < len(keys):
            raise ValueError(f"{call} of {keys!r}: expected distinct keys, one or more")
        self.calls.append((call, tuple(keys)))
