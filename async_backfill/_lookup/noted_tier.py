"""A near tier of a cache with a snapshot: it notes what was loaded, put and removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from async_backfill._lookup.near_tier import NearTier
from async_backfill.contracts import K, V
from async_backfill.outcomes import ABSENT

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Mapping, Sequence

    from async_backfill._loading.batch import Batch

K_contra = TypeVar("K_contra", bound="Hashable", contravariant=True)


class ChangeNotes(Protocol[K_contra]):
    """Takes note of changes."""

    def loaded(self, keys: Collection[K_contra], /) -> None:
        """Take note that the values of ``keys`` were loaded."""
        ...

    def changed(self, keys: Collection[K_contra], /) -> None:
        """Take note that what ``keys`` had is no longer true, and that it is not known what is."""
        ...

    def evicted(self, keys: Sequence[K_contra], /) -> None:
        """Take note that ``keys`` were evicted."""
        ...

    def cleared(self) -> None:
        """Take note that no key has a value any more."""
        ...


class NotedTier(NearTier[K, V]):
    """A `NearTier` that tells ``notes`` what changes, before anything can be awaited."""

    # A class of its own, so that a cache without a snapshot pays nothing.
    notes: ChangeNotes[K]

    def put_many(self, items: Mapping[K, V], ttl: float | None = None) -> None:
        """Hold ``items``, as `NearTier.put_many` does."""
        self.notes.changed(items.keys())
        self.notes.loaded(items.keys())
        super().put_many(items, ttl)

    def delete_many(self, keys: Collection[K]) -> None:
        """Forget ``keys``."""
        self.notes.changed(keys)
        super().delete_many(keys)

    def clear(self) -> None:
        """Forget everything."""
        self.notes.cleared()
        super().clear()

    def keep(self, batch: Batch[K, V], keys: Sequence[K]) -> None:
        """Keep the outcomes of ``keys`` from ``batch``."""
        if batch.error is None and not self.is_off:
            values = batch.values(keys)
            self.notes.loaded(values.keys())  # before those are noted that they evict, maybe each other
            if len(values) < len(keys):
                gone = [key for key in keys if key not in values and batch.outcome(key) is ABSENT]
                self.notes.changed(gone)
        super().keep(batch, keys)

    def _evicted(self, keys: Sequence[K]) -> None:
        super()._evicted(keys)
        if keys:
            self.notes.evicted(keys)
