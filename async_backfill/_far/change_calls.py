"""Send changes to the far tier (L2), and tell the other caches of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic

from async_backfill._far.changes import Change, values_of
from async_backfill.contracts import K, V
from async_backfill.errors import KeyRefusedError, StoreError
from async_backfill.outcomes import ABSENT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

    from async_backfill._far.changes import PendingChanges
    from async_backfill._far.guarded_calls import GuardedCalls
    from async_backfill._far.releases import Releases
    from async_backfill.far_tier import FarTier

_CLEARING: Final = 10.0


class ChangeCalls(Generic[K, V]):
    """The calls that a change needs; each returns the failure in place of raising it.

    :param ttl: seconds that the far tier keeps a value.
    :param releases: releases the leases that could not be ended.
    """

    def __init__(
        self, tier: FarTier[K, V], calls: GuardedCalls, *, ttl: float | None, releases: Releases[K, V]
    ) -> None:
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
        values = values_of(pending, Change.PUT, Change.LOADED)
        if values:
            failure = await self._call("set", lambda: store.set_many(values, ttl=self._ttl))
            failed = _failed(values, failure)
            self._calls.unwritten += len(failed)
            self._calls.written += len(values) - len(failed)
            failures.update(failed)
        if leases is not None:
            failures.update(await self._end_leases(pending))
        return failures

    async def _end_leases(self, pending: PendingChanges[K, V]) -> dict[K, StoreError]:
        """End the leases of ``pending``; return the failures of those whose old value may still be there."""
        leases = self._tier.leases
        tokens = {key: item.token for key, item in pending.items() if item.change is Change.LEASED}
        if leases is None or not tokens:
            return {}
        values = values_of(pending, Change.LEASED)
        empty = {key: token for key, token in tokens.items() if key not in values}
        if values:
            kept: list[Collection[K]] = []

            async def write() -> None:
                kept.append(await leases.set_many(values, tokens, ttl=self._ttl))

            if await self._call("set under lease", write):
                self._releases.add({key: tokens[key] for key in values})
            written = len(kept[0]) if kept else 0
            self._calls.written += written
            self._calls.unwritten += len(values) - written
        if empty:
            outcomes = {key: pending[key].outcome for key in empty}
            told = {key: outcome for key, outcome in outcomes.items() if outcome is not None}
            failure = await self._call("release", lambda: leases.release_many(empty, told=told))
            if failure is not None:
                self._releases.add(empty)
                return {key: failure for key, outcome in told.items() if outcome is ABSENT}
        return {}

    async def clear(self) -> StoreError | None:
        """Remove every key, and tell the other caches."""
        failure = await self._call("clear", self._tier.store.clear, within=_CLEARING)
        return failure or await self.publish(None)

    async def remove(self, keys: Sequence[K]) -> StoreError | None:
        """Remove ``keys``, and tell the other caches."""
        failure = await self._call("delete", lambda: self._tier.store.delete_many(keys))
        return failure or await self.publish(keys)

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
