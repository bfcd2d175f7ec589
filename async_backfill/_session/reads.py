"""The half of a cache that reads keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar, cast, overload

from anyio.lowlevel import checkpoint

from async_backfill._common.first_failure import raise_first
from async_backfill._loading.failures import failure_of
from async_backfill._lookup.entry_freshness import freshness_of
from async_backfill._lookup.hit_path import HitPath, WholeGet
from async_backfill._session.operations import Operations
from async_backfill.contracts import Answers, K, V
from async_backfill.errors import KeyNotFoundError, LoadError
from async_backfill.outcomes import ABSENT, Failed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from async_backfill._lookup.counters import Counters
    from async_backfill.outcomes import Absent
    from async_backfill.stats import EntryFreshness

D = TypeVar("D")
_CALLS: Final = 10
_COPIES: Final = 200
"""Values copied in one step: how long one takes is the user's."""
_GROUP: Final = 5000
"""Keys that `get_many` looks up in one step at the least: about two milliseconds for hits."""


class Reads(Operations[K, V]):
    """What reads keys, above what an operator does."""

    @overload
    async def get(self, key: K) -> V | None: ...
    @overload
    async def get(self, key: K, default: D) -> V | D: ...
    async def get(self, key: K, default: object = None) -> object:
        """Return the value of ``key``, from the cache or else from the source; ``default`` if it is absent.

        A hit does not yield to the event loop.

        :raises LoadError: when the source failed; the next call tries again.
        :raises CacheClosedError: when the cache is not open, or closes first.
        """
        return await self._parts.hit_path.get(key, default)

    async def fetch(self, key: K) -> V:
        """Return the value of ``key`` as `get` does, but raise `KeyNotFoundError` if it is absent."""
        value = await self.get(key, ABSENT)
        if value is ABSENT:
            raise KeyNotFoundError(f"the source has no key {key!r}", key=key)
        return value

    async def get_many(self, keys: Iterable[K]) -> dict[K, V]:
        """Return the values of those ``keys`` that exist, in their order, with few source calls.

        Each distinct key counts as one lookup. After each 5,000 keys, or more where ``LoadPolicy`` lets more
        be loaded at once, other tasks get a turn; what they change meanwhile shows in the keys after that.

        :raises LoadError: for the first key that failed, once all have ended; the others are cached.
        """
        wanted = tuple(keys)
        found, missing = self._found(wanted[:_GROUP])
        if missing or len(wanted) > _GROUP:
            values, _, failures = await self._completed(wanted, found, missing)
            if failures:
                raise_first(failures)
        else:
            values = cast("dict[K, V]", found)
        return await self._copies(values)

    async def try_many(self, keys: Iterable[K]) -> Answers[K, V]:
        """Look ``keys`` up as `get_many` does, but return what is there although some of them failed.

        :raises LoadCycleError: when this is a load that waits for itself.
        :raises CacheClosedError: when the cache is not open, or closes first.
        """
        wanted = tuple(keys)
        values, without, failed = await self._completed(wanted, *self._found(wanted[:_GROUP]))
        failures = {key: it for key, it in failed.items() if isinstance(it, LoadError)}
        if len(failures) < len(failed):  # the cache was closed
            raise_first({key: failed[key] for key in failed if key not in failures})
        return Answers(
            values=await self._copies(values),
            absent=tuple(key for key in without if key not in failures),
            failed=failures,
        )

    def _pieces_of_get(self) -> tuple[HitPath[K, V] | WholeGet, Counters]:
        """Return what `get` is made of, for who looks up with a coroutine less, and counts the hits."""
        parts = self._parts
        is_whole = parts.settings.copy is not None or parts.heat is not None
        return WholeGet(self.get) if is_whole else parts.hit_path, parts.counters

    @overload
    def peek(self, key: K) -> V | None: ...
    @overload
    def peek(self, key: K, default: D) -> V | D: ...
    def peek(self, key: K, default: object = None) -> object:
        """Return the value of ``key`` if it is cached and fresh, else ``default``.

        Nothing is counted or loaded, and the key does not count as used.
        """
        value = self._peek(key, ABSENT)
        return default if value is ABSENT else value

    def freshness_of(self, key: K) -> EntryFreshness | None:
        """Return how fresh the value of ``key`` is; ``None`` when none is here that may be served.

        Nothing is counted or loaded, and the key does not count as used. Ask right after a read, before
        anything else is awaited: else it may be of a later value.

        :raises CacheClosedError: when the cache is not open.
        """
        self._open()
        return freshness_of(self._near, self._parts.settings.freshness, key)

    def __contains__(self, key: K) -> bool:
        """Return whether ``key`` is cached and fresh, as `peek` does: nothing is counted."""
        return self._peek(key, ABSENT) is not ABSENT

    def __len__(self) -> int:
        """Return how many keys are held, fresh or stale; also after the cache was closed."""
        return len(self._near.store)

    def __bool__(self) -> bool:
        """Return ``True``: an empty cache is a cache, also for ``cache or default``."""
        return True

    def __repr__(self) -> str:
        stats, capacity = self.stats, self._near.store.capacity
        size = f"{stats.size} keys" if capacity is None else f"{stats.size} of {capacity} keys"
        state = "open" if self._opening is not None and self._opening.is_open else "closed"
        return f"<{type(self).__name__}: {size}, {state}, hit rate {stats.hit_rate:.4f}>"

    @overload
    async def refresh(self, key: K) -> V | None: ...
    @overload
    async def refresh(self, key: K, default: D) -> V | D: ...
    async def refresh(self, key: K, default: object = None) -> object:
        """Load ``key`` from the source now, keep and return its value; ``default`` if it is absent.

        It is no lookup, so no hit or miss is counted. The old value is served meanwhile, and stays if the
        load fails. The far tier (L2) gets the new value, and the other caches of a fleet drop their copies.

        :raises LoadError: when the source failed.
        :raises CacheClosedError: when the cache is not open, or closes first.
        """
        outcome = await self._open().refresh(key)
        if isinstance(outcome, Failed):
            raise failure_of(key, outcome.error) from outcome.error
        return default if outcome is ABSENT else (await self._copies({key: outcome}))[key]

    async def _completed(
        self, wanted: Sequence[K], found: dict[K, V | Absent], missing: Sequence[K]
    ) -> tuple[dict[K, V], dict[K, None], dict[K, Exception]]:
        """Return the values of ``wanted``, in their order, those without a value, and the failures of these.

        :param found: what `_found` returned for the first group of them, and ``missing`` as well.
        """
        policy = self._parts.settings.load
        group = max(_GROUP, policy.max_batch * (policy.concurrency or _CALLS))
        values, without, failures = await self._answered(found, missing)
        for start in range(_GROUP, len(wanted), group):
            await checkpoint()
            rest = (key for key in wanted[start : start + group] if key not in values and key not in without)
            some, others, failed = await self._answered(*self._found(rest))
            values.update(some)
            without.update(others)
            failures.update(failed)
        return values, without, failures

    async def _answered(
        self, found: dict[K, V | Absent], missing: Sequence[K]
    ) -> tuple[dict[K, V], dict[K, None], dict[K, Exception]]:
        failures: dict[K, Exception] = {}
        if missing:
            loaded, failures = await self._open().answer_many(missing)
            found.update(loaded)
        values = {key: value for key, value in found.items() if value is not ABSENT}
        return values, {key: None for key, value in found.items() if value is ABSENT}, failures

    def _found(self, keys: Iterable[K]) -> tuple[dict[K, V | Absent], list[K]]:
        """Return what is cached and fresh of ``keys``, counted, and those of them that are not."""
        self._open()
        read, heat = self._near.read, self._parts.heat
        found = {key: read(key, ABSENT) for key in keys}
        missing = [key for key, value in found.items() if value is ABSENT]
        self._parts.counters.hits += len(found) - len(missing)
        if heat is not None:
            heat.hit([key for key, value in found.items() if value is not ABSENT])
        return found, missing

    async def _copies(self, values: dict[K, V]) -> dict[K, V]:
        """Return ``values``, with the setting ``copy`` a copy of each, made in steps."""
        copy = self._parts.settings.copy
        if copy is not None:
            for place, key in enumerate(values, 1):
                values[key] = copy(values[key])
                if place % _COPIES == 0:
                    await checkpoint()
        return values
