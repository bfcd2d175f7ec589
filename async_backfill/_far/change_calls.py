"""Send changes to the far tier (L2), and tell the other caches of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

from async_backfill._far.changes import Change, of_one_time, values_of
from async_backfill.contracts import K, V
from async_backfill.errors import KeyRefusedError, StalePageError, StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

    from async_backfill._far.changes import PendingChanges
    from async_backfill._far.guarded_calls import GuardedCalls
    from async_backfill._far.releases import Releases
    from async_backfill.contracts import Leases
    from async_backfill.far_tier import FarTier


class ChangeCalls(Generic[K, V]):
    """The calls that a change needs; each returns the failure in place of raising it.

    :param ttl: seconds that the far tier keeps a value.
    :param releases: releases the leases that could not be ended.
    :param now: the clock by which the begin of a load is told.
    """

    def __init__(
        self,
        tier: FarTier[K, V],
        calls: GuardedCalls,
        *,
        ttl: float | None,
        releases: Releases[K, V],
        now: Callable[[], float],
    ) -> None:
        self._now = now
        self._releases = releases
        self._tier = tier
        self._calls = calls
        self._ttl = ttl

    async def write(self, pending: PendingChanges[K, V]) -> dict[K, StoreError]:
        """Write ``pending``; return the failures of those that failed."""
        store, leases = self._tier.store, self._tier.leases
        failures: dict[K, StoreError] = {}
        deleted = [key for key, item in pending.items() if item.removes]
        if deleted:
            failure = await self._call("delete", lambda: store.delete_many(deleted))
            failures.update(_failed(deleted, failure))
        if values := values_of(pending, Change.PUT):
            failures.update(await self._set(values, self._ttl))
        if loaded := values_of(pending, Change.LOADED):
            for some in of_one_time(pending, loaded, self._ttl):
                failures.update(await self._set_loaded(some, min(pending[key].since for key in some)))
        if leases is not None:
            failures.update(await self._end_leases(pending))
        return failures

    async def _set(self, values: Mapping[K, V], ttl: float | None) -> dict[K, StoreError]:
        failure = await self._call("set", lambda: self._tier.store.set_many(values, ttl=ttl))
        failed = _failed(values, failure)
        self._calls.unwritten += len(failed)
        self._calls.written += len(values) - len(failed)
        return failed

    async def _set_loaded(self, values: Mapping[K, V], since: float) -> dict[K, StoreError]:
        """Write ``values``, whose loads began at ``since`` or later, for as long as they are young."""
        guarded, left = self._tier.guarded, self._left(since)
        if left is not None and left <= 0.0:
            self._calls.unwritten += len(values)
            return {}
        if guarded is None:
            return await self._set(values, left)
        kept = 0

        async def write() -> None:
            nonlocal kept
            try:
                kept = (await guarded.set_page(values, read_at=since, ttl=self._ttl)).kept
            except StalePageError as error:  # the store is well
                self._calls.report("set", error)

        failed = _failed(values, await self._call("set", write))
        self._calls.written += kept
        self._calls.unwritten += len(values) - kept
        return failed

    def _left(self, since: float) -> float | None:
        """Return the seconds left of the ttl for what was loaded at ``since``."""
        return None if self._ttl is None else self._ttl - max(0.0, self._now() - since)

    async def _end_leases(self, pending: PendingChanges[K, V]) -> dict[K, StoreError]:
        """End the leases of ``pending``; return the failures of those whose old value may still be there."""
        leases = self._tier.leases
        tokens = {key: item.token for key, item in pending.items() if item.change is Change.LEASED}
        if leases is None or not tokens:
            return {}
        values = values_of(pending, Change.LEASED)
        empty = {key: token for key, token in tokens.items() if key not in values}
        for some in of_one_time(pending, values, self._ttl):
            left = self._left(min(pending[key].since for key in some))
            if left is None or left > 0.0:
                await self._set_leased(leases, some, tokens, left)
            else:  # it took so long that it is over
                self._calls.unwritten += len(some)
                empty.update((key, tokens[key]) for key in some)
        if empty:
            outcomes = {key: pending[key].outcome for key in empty}
            told = {key: outcome for key, outcome in outcomes.items() if outcome is not None}
            unkept = [key for key in empty if pending[key].is_refused]
            failure = await self._call(
                "release", lambda: leases.release_many(empty, told=told, unkept=unkept)
            )
            if failure is not None:
                self._releases.add(empty)
                return {key: failure for key in empty if pending[key].ends_copy}
        return {}

    async def _set_leased(
        self, leases: Leases[K, V], values: Mapping[K, V], tokens: Mapping[K, bytes], ttl: float | None
    ) -> None:
        kept: list[Collection[K]] = []

        async def write() -> None:
            kept.append(await leases.set_many(values, {key: tokens[key] for key in values}, ttl=ttl))

        if await self._call("set under lease", write):
            self._releases.add({key: tokens[key] for key in values})
        written = len(kept[0]) if kept else 0
        self._calls.written += written
        self._calls.unwritten += len(values) - written

    async def clear(self, within: float) -> StoreError | None:
        """Remove every key, within so many seconds; the other caches are not told."""
        return await self._call("clear", self._tier.store.clear, within=within)

    async def reach(self, key: K) -> StoreError | None:
        """Find out whether the store answers, by a call that changes nothing."""
        return await self._call("get", lambda: self._tier.store.get_many((key,)))

    async def remove(self, keys: Sequence[K]) -> StoreError | None:
        """Remove ``keys``; the other caches are not told."""
        return await self._call("delete", lambda: self._tier.store.delete_many(keys))

    async def announce(self, keys: Sequence[K]) -> dict[K, StoreError]:
        """Tell the other caches to forget ``keys``; return the failure of those that were not told of."""
        return _failed(keys, await self.publish(keys))

    async def publish(self, keys: Sequence[K] | None) -> StoreError | None:
        """Tell the other caches to forget ``keys``; ``None`` means every key."""
        invalidations = self._tier.invalidations
        if invalidations is None:
            return None
        return await self._call("publish", lambda: invalidations.publish(keys))

    async def _call(
        self, what: str, call: Callable[[], Awaitable[Any]], *, within: float | None = None
    ) -> StoreError | None:
        try:
            await self._calls.call(what, call, within=within)
        except StoreError as error:
            return error
        return None


def _failed(keys: Iterable[K], failure: StoreError | None) -> dict[K, StoreError]:
    """Return ``failure`` of each of ``keys``; a refusal that names some of them is of these alone."""
    if failure is None:
        return {}
    refusal = failure.__cause__
    if isinstance(refusal, KeyRefusedError) and refusal.keys:
        refused = frozenset(refusal.keys)
        return {key: failure for key in keys if key in refused}
    return dict.fromkeys(keys, failure)
