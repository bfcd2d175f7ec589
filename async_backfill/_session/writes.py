"""How keys are put and invalidated, here and in the far tier (L2)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic

from async_backfill._common.first_failure import raise_first
from async_backfill._lookup.copies import copies
from async_backfill._session.long_changes import GROUP, LongChange, LongChanges
from async_backfill.contracts import K, V

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from async_backfill._far.changes import Confirmation
    from async_backfill._far.writes import FarWrites
    from async_backfill._loading.loader import Loader
    from async_backfill._session.parts import Parts


class Writes(Generic[K, V]):
    """The changes of keys that callers make while a cache is open; they win over loads under way.

    :param far: writes to the far tier; ``None`` without one.
    """

    def __init__(
        self,
        parts: Parts[K, V],
        loader: Loader[K, V],
        far: FarWrites[K, V] | None,
    ) -> None:
        self._near, self._copy, self._snapshots = parts.near, parts.settings.copy, parts.snapshots
        self._reports = parts.reports
        self._loader = loader
        self._far = far
        self._long: LongChanges[K] = LongChanges()
        self._under_way = self._long.under_way

    async def put_many(self, items: Mapping[K, V], ttl: float | None) -> None:
        """Keep ``items`` here and in the far tier (L2).

        What cannot be kept here is written there all the same, or its old value would come back from it.
        With a ``ttl`` of their own they are removed there, because other readers would not know it.
        """
        await self._put_many(items, ttl)
        if self._snapshots is not None:
            await self._snapshots.logged()

    async def invalidate_many(self, keys: Collection[K]) -> None:
        """Remove ``keys`` here and from the far tier (L2); loads under way are not kept."""
        await self._invalidate_many(keys)
        if self._snapshots is not None:
            await self._snapshots.logged()

    def invalidate_now(self, keys: Collection[K]) -> Confirmation | None:
        """Remove ``keys`` here in one step, and have the far tier (L2) told, which nobody need wait for."""
        keys = tuple(dict.fromkeys(keys))
        if self._under_way:
            self._long.changed(keys)
        self._loader.locks.revoke(keys)
        self._near.delete_many(keys)
        self._reports.invalidated(keys)
        return None if self._far is None else self._far.delete(keys)

    def cleared(self) -> None:
        """Take note that everything is removed now."""
        self._long.cleared()

    def heard(self, keys: Sequence[K] | None) -> None:
        """Take note that another process has changed ``keys``; ``None`` means all."""
        self._long.heard(keys)

    async def _put_many(self, items: Mapping[K, V], ttl: float | None) -> None:
        if len(items) > GROUP:
            ends = _Ends()
            await self._long.make(
                items.items(), lambda some, change: self._put_group(dict(some), ttl, change, ends)
            )
            await self._confirmed(ends)
            return
        if self._copy is not None:
            items = copies(items, self._copy)
        if self._under_way:
            self._long.changed(items)
        self._loader.locks.revoke(items)
        try:
            self._keep(items, ttl)
        finally:
            self._reports.put(items)
            if self._far is not None:
                await self._far.confirmed(self._told(self._far, items, ttl))

    def _keep(self, items: Mapping[K, V], ttl: float | None) -> None:
        if not self._near.is_off:
            self._near.put_many(items, ttl)

    def _told(self, far: FarWrites[K, V], items: Mapping[K, V], ttl: float | None) -> Confirmation:
        return far.put(items) if ttl is None and not self._near.is_off else far.delete(items.keys())

    async def _invalidate_many(self, keys: Collection[K]) -> None:
        if len(keys) > GROUP:
            ends = _Ends()
            await self._long.make(keys, lambda some, change: self._delete_group(some, change, ends))
            await self._confirmed(ends)
            return
        told = self.invalidate_now(keys)
        if self._far is not None and told is not None:
            await self._far.confirmed(told)

    def _put_group(self, items: dict[K, V], ttl: float | None, change: LongChange[K], ends: _Ends) -> None:
        self._loader.batch_queue.require_open()
        with ends.kept():
            if change.later:
                items = {key: items[key] for key in change.left(items)}
            if self._copy is not None:
                items = copies(items, self._copy)
            self._long.changed(items, change)
            self._loader.locks.revoke(items)
            elsewhere = [key for key in items if change.is_elsewhere(key)]
            here = items
            if elsewhere:
                here = {key: items[key] for key in items if not change.is_elsewhere(key)}
                self._near.delete_many(elsewhere)
            with ends.kept():
                self._keep(here, ttl)
            self._reports.put(items)
            if self._far is not None:
                ends.told.append(self._told(self._far, items, ttl))

    def _delete_group(self, keys: Sequence[K], change: LongChange[K], ends: _Ends) -> None:
        self._loader.batch_queue.require_open()
        with ends.kept():
            left = change.left(keys)
            self._long.changed(left, change)
            self._loader.locks.revoke(left)
            self._near.delete_many(left)
            self._reports.invalidated(left)
            if self._far is not None:
                ends.told.append(self._far.delete(left))

    async def _confirmed(self, ends: _Ends) -> None:
        """Wait until the far tier has what it was ``told``; raise the first failure of all."""
        for confirmation in ends.told:
            if self._far is not None:
                with ends.kept():
                    await self._far.confirmed(confirmation)
        if ends.failures:
            raise_first(ends.failures)


class _Ends:
    """How the groups of a long change have ended: what the far tier was told, and what failed."""

    def __init__(self) -> None:
        self.told: list[Confirmation] = []
        self.failures: dict[int, Exception] = {}

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep a failure for the end: it must not cost other groups."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised at the end
            self.failures.setdefault(0, error)
