"""The ways to write a page that was read some time ago: under a guard, or under none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, Protocol

from async_backfill.contracts import GuardedStore, K, Kept, V, V_contra, VersionedStore
from async_backfill.errors import ConfigurationError
from async_backfill.warming._rechecked import Rechecked
from async_backfill.warming._unguarded import Unguarded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from async_backfill.contracts import FarStore, Invalidations, Source

_LOST: Final = 'with "none" a page replaces values, removals and leases that are later than its read'


class Guard(Protocol[K, V_contra]):
    """A way to write pages."""

    def now(self) -> float:
        """Return the time that is a page's ``read_at`` when taken before its read."""
        ...

    async def write(self, rows: Mapping[K, V_contra], read_at: float, ttl: float | None) -> Kept[K]:
        """Write ``rows``, and return what became of each."""
        ...


class ByStore(Generic[K, V]):
    """The guard of the store: it keeps what is later than the page, by its time or by versions."""

    def __init__(self, store: GuardedStore[K, V]) -> None:
        self._store = store

    def now(self) -> float:
        """Return the time of the store's clock."""
        return self._store.now()

    async def write(self, rows: Mapping[K, V], read_at: float, ttl: float | None) -> Kept[K]:
        """Write ``rows``, and return what the store says of each.

        :raises ValueError: when that is not the number of the rows.
        """
        kept = await self._store.set_page(rows, read_at=read_at, ttl=ttl)
        told = kept.kept + len(kept.newer) + len(kept.leased) + len(kept.rejected)
        if told != len(rows):
            raise ValueError(f"{type(self._store).__name__}.set_page told of {told} of {len(rows)} rows")
        return kept


def guard_of(
    store: FarStore[K, V],
    guard: object,
    source: Source[K, V] | None,
    invalidations: Invalidations[K] | None,
) -> Guard[K, V]:
    """Return the ``guard`` of that name for ``store``.

    :raises ConfigurationError: for another name, and for a guard that the store does not have.
    """
    if guard == "none":
        return Unguarded(store)
    if guard == "recheck":
        if source is None:
            raise ConfigurationError("source", 'guard="recheck" reads each row again from a source; give one')
        return Rechecked(store, source, invalidations)
    if guard == "version":
        if VersionedStore not in type(store).__mro__ or store.version_of is None:  # type: ignore[attr-defined] # declared
            problem = '"version" needs a store with version_of=...; "stamp" compares times'
            raise ConfigurationError("guard", problem)
    elif guard != "stamp":
        names = '"stamp", "version", "recheck" nor "none"'
        raise ConfigurationError("guard", f"{guard!r} is neither {names}")
    if GuardedStore not in type(store).__mro__:
        kind = type(store).__name__
        raise ConfigurationError(
            "guard", f'"stamp" needs a store that inherits from GuardedStore, which {kind} does not; {_LOST}'
        )
    return ByStore(store)  # type: ignore[arg-type] # declared
