"""Pages written under no guard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from anyio import current_time

from async_backfill.contracts import K, Kept, Sealing, V

if TYPE_CHECKING:
    from collections.abc import Mapping

    from async_backfill.contracts import FarStore


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
