"""A far tier's store (L2) in memory, for tests with several caches and no server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

import anyio

from async_backfill._common.mark_names import mark_name
from async_backfill._common.validation import positive_seconds, positive_seconds_or_none
from async_backfill.contracts import (
    FarCopy,
    K,
    Kept,
    KeyListing,
    Page,
    StoreFacts,
    StoreState,
    V,
    VersionedStore,
)
from async_backfill.testing._memory_invalidations import MemoryInvalidations
from async_backfill.testing._memory_leases import MemoryLeases
from async_backfill.testing._memory_server import MemoryServer
from async_backfill.testing._network_link import NetworkLink

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from async_backfill.contracts import Clock, Seconds


class MemoryFarStore(VersionedStore[K, V], KeyListing[K], StoreFacts, Generic[K, V]):
    """A store of a far tier (L2) in memory; implements `FarStore` and `VersionedStore`.

    Its ``leases`` implement `Leases`, its ``invalidations`` implement `Invalidations`. Each cache of a test
    has a store of its own in front of the same values: make the first, and `peer` makes the others. It keeps
    the values themselves, not copies of them. It uses the time of the event loop, also when that is virtual.
    ``link``, a `NetworkLink`, makes it slow or broken::

        first = MemoryFarStore()
        second = first.peer()
        second.link.latency = 0.2
        second.link.fail()
        second.link.recover()

    ``calls`` lists the name and keys of each call of this store.

    :param lease: the duration in seconds of the leases of this store.
    :param deadline: the seconds after the begin of its read for which `set_page` takes a page.
    :param version_of: returns the version of a value, a whole number that only grows for a key.
    :param clock: a function that returns seconds that never go back. Waiting for the end of a lease only
        works with the clock of the event loop.
    :raises ConfigurationError: when ``lease`` or ``deadline`` is not above 0.
    """

    def __init__(
        self,
        *,
        lease: Seconds = 10.0,
        deadline: Seconds = 10.0,
        version_of: Callable[[V], int] | None = None,
        clock: Clock = anyio.current_time,
    ) -> None:
        self._version_of = version_of
        self._connect(MemoryServer(clock, positive_seconds("deadline", deadline)), NetworkLink(), lease)

    def __len__(self) -> int:
        """Return the number of values that have not expired."""
        return len(self._server)

    def peer(self, link: NetworkLink | None = None, *, lease: Seconds | None = None) -> MemoryFarStore[K, V]:
        """Return the store of another process, with the same values.

        :param link: its network link; ``None`` makes a new one.
        :param lease: the duration in seconds of its leases; ``None`` is that of this store.
        """
        peer: MemoryFarStore[K, V] = object.__new__(type(self))
        peer._version_of = self._version_of
        peer._connect(
            self._server, NetworkLink() if link is None else link, self._lease if lease is None else lease
        )
        return peer

    async def get_many(self, keys: Sequence[K], /) -> Mapping[K, FarCopy[V]]:
        """Return copies of those ``keys``, distinct and at least one, that are stored."""
        self._take_note("get_many", keys)
        await self.link.there()
        found = self._server.find(keys)
        await self.link.back()
        return found

    async def set_many(self, items: Mapping[K, V], /, *, ttl: float | None = None) -> None:
        """Store ``items``, at least one, for ``ttl`` seconds; ``None`` is without a limit."""
        seconds = positive_seconds_or_none("ttl", ttl)
        self._take_note("set_many", tuple(items))
        await self.link.there()
        self._server.keep(items, seconds)
        await self.link.back()

    @property
    def deadline(self) -> float:
        """The seconds after the begin of its read for which `set_page` takes a page, or the ttl if less."""
        return self._server.deadline

    @property
    def version_of(self) -> Callable[[V], int] | None:
        """What returns the version of a value; ``None`` if pages are compared by time."""
        return self._version_of

    def now(self) -> float:
        """Return the time of the store's clock; taken before a read begins, it is the page's ``read_at``."""
        return self._server.moment()

    async def set_page(self, items: Mapping[K, V], /, *, read_at: float, ttl: float | None = None) -> Kept[K]:
        """Keep those ``items``, at least one, that nothing later contradicts, until ``read_at + ttl``."""
        seconds = positive_seconds_or_none("ttl", ttl)
        self._take_note("set_page", tuple(items))
        await self.link.there()
        kept = self._server.keep_page(items, read_at, seconds, self._version_of)
        await self.link.back()
        return kept

    async def delete_many(self, keys: Sequence[K], /) -> None:
        """Remove ``keys`` and their leases; unknown keys are ignored."""
        self._take_note("delete_many", keys)
        await self.link.there()
        self._server.forget(keys)
        await self.link.back()

    async def list_keys(self, cursor: object | None, limit: int, /) -> Page[K]:
        """Return up to ``limit`` of the keys that the first call found; see `KeyListing`."""
        await self.link.there()
        keys = cursor if isinstance(cursor, tuple) else self._server.keys()
        await self.link.back()
        return Page(keys[:limit], keys[limit:] or None)

    async def clear(self) -> None:
        """Remove every key, every lease, and every mark of a job."""
        self.calls.append(("clear", ()))
        await self.link.there()
        self._server.forget(None)
        self._server.job_marks.clear()
        await self.link.back()

    async def mark(self, name: str, value: str, /) -> None:
        """Keep ``value`` as the mark of that name; see `StoreFacts`."""
        checked = mark_name(name)
        await self.link.there()
        self._server.job_marks[checked] = value
        await self.link.back()

    async def marked(self, name: str, /) -> str | None:
        """Return the mark of that name; ``None`` if there is none."""
        checked = mark_name(name)
        await self.link.there()
        found = self._server.job_marks.get(checked)
        await self.link.back()
        return found

    async def unmark(self, name: str, /) -> None:
        """Forget the mark of that name, if there is one."""
        checked = mark_name(name)
        await self.link.there()
        self._server.job_marks.pop(checked, None)
        await self.link.back()

    async def state(self) -> StoreState:
        """Return that nothing was ever evicted: it has no limit."""
        await self.link.there()
        await self.link.back()
        return StoreState(evicted=0)

    def _connect(self, server: MemoryServer[K, V], link: NetworkLink, lease: Seconds) -> None:
        self._server = server
        self._lease = positive_seconds("lease", lease)
        self.link = link
        self.leases = MemoryLeases(server, link, lease=self._lease, version_of=self._version_of)
        self.invalidations = MemoryInvalidations(server, link)
        self.calls: list[tuple[str, tuple[K, ...]]] = []

    def _take_note(self, call: str, keys: Sequence[K]) -> None:
        if not keys or len(set(keys)) < len(keys):
            raise ValueError(f"{call}: must get distinct keys, one or more, not {keys!r}")
        self.calls.append((call, tuple(keys)))
