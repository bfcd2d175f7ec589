"""The ways to write a page that was read some time ago: under the store's guard, or under none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, Protocol

from anyio import current_time

from async_backfill.contracts import GuardedStore, K, Kept, Sealing, V, V_contra
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from async_backfill.contracts import FarStore

_LOST: Final = 'with "none" a page replaces values, removals and leases that are later than its read'


class Guard(Protocol[K, V_contra]):
    """A way to write pages."""

    def now(self) -> float:
        """Return the time that is a page's ``read_at`` when taken before its read."""
        ...

    async def write(self, rows: Mapping[K, V_contra], read_at: float, ttl: float | None) -> Kept[K]:
        """Write ``rows``, and return what became of each."""
        ...


class Stamped(Generic[K, V]):
    """The guard of the store: it keeps what is later than the begin of the page's read."""

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


class Unguarded(Generic[K, V]):
    """No guard: the page overrules what is there, for a store that nobody else writes to."""

    def __init__(self, store: FarStore[K, V]) -> None:
        self._store = store
        self._sealing = store if Sealing in type(store).__mro__ else None

    def now(self) -> float:
        """Return the time of the event loop."""
        return current_time()

    async def write(self, rows: Mapping[K, V], read_at: float, ttl: float | None) -> Kept[K]:  # noqa: ARG002
        """Write ``rows``; those that the store cannot encode are rejected, and their older copies removed."""
        if self._sealing is None:
            await self._store.set_many(rows, ttl=ttl)
            return Kept(kept=len(rows))
        sealed: Mapping[K, V] = self._sealing.seal(rows)  # type: ignore[attr-defined] # declared
        refused = [key for key in rows if key not in sealed] if len(sealed) < len(rows) else []
        if refused:
            await self._store.delete_many(refused)
        if sealed:
            await self._store.set_many(sealed, ttl=ttl)
        return Kept(kept=len(sealed), rejected=dict.fromkeys(refused, "the store cannot keep it"))


def guard_of(store: FarStore[K, V], guard: object) -> Guard[K, V]:
    """Return the ``guard`` of that name for ``store``.

    :raises ConfigurationError: for another name, and for a guard that the store does not have.
    """
    if guard == "none":
        return Unguarded(store)
    if guard != "stamp":
        raise ConfigurationError("guard", f'{guard!r} is neither "stamp" nor "none"')
    if GuardedStore not in type(store).__mro__:
        kind = type(store).__name__
        raise ConfigurationError(
            "guard", f'"stamp" needs a store that inherits from GuardedStore, which {kind} does not; {_LOST}'
        )
    return Stamped(store)  # type: ignore[arg-type] # declared
