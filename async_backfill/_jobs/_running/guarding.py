"""The guard of a job's pages: that of its plan, with the policy, and with errors that tell store from row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic

from async_backfill.contracts import GuardedStore, K, Kept, V
from async_backfill.errors import StalePageError, StoreError
from async_backfill.warming._guards import guard_of
from async_backfill.warming._reading_again import read_again

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_backfill._jobs._ends import JobEnds
    from async_backfill._jobs._spec import JobSpec
    from async_backfill.warming._guards import Guard

_AT_ONCE: Final = 1000


class StoreDownError(TimeoutError):
    """The store does not take pages now, whatever is in them; the cause says why."""


class OldPageError(TimeoutError):
    """The page must be read again: it is too old for the guard."""


class PolicyGuard(Generic[K, V]):
    """The guard of a job; implements `Guard` of `async_backfill.warming`.

    ``"missing"`` leaves keys alone that the store has. ``"all"`` reads those once more that were left alone
    as newer: the store has met their copies then, so it replaces them unless they have changed since.

    :raises ConfigurationError: when the store does not have the guard of the plan.
    """

    def __init__(self, ends: JobEnds[K, V], spec: JobSpec) -> None:
        self._store = ends.store
        self._source = ends.source
        self._policy = spec.policy
        self._guard: Guard[K, V] = guard_of(ends.store, spec.guard, ends.source, ends.invalidations)
        store: Any = ends.store
        has_deadline = spec.guard != "recheck" and GuardedStore in type(store).__mro__
        self.deadline: float | None = store.deadline if has_deadline else None

    def now(self) -> float:
        """Return the time that is a page's ``read_at`` when taken before its read."""
        return self._guard.now()

    async def write(self, rows: Mapping[K, V], read_at: float, ttl: float | None) -> Kept[K]:
        """Write ``rows`` as the policy allows, and return what became of each.

        :raises StoreDownError: when the store does not take pages now.
        :raises OldPageError: when the page is too old.
        """
        try:
            return await self._write(rows, read_at, ttl)
        except StalePageError as error:
            raise OldPageError(str(error)) from error
        except Exception as error:
            if is_of_store(error):
                raise StoreDownError(str(error)) from error
            raise

    async def _write(self, rows: Mapping[K, V], read_at: float, ttl: float | None) -> Kept[K]:
        present: list[K] = []
        if self._policy == "missing":
            present = await self._present(tuple(rows))
            known = frozenset(present)
            rows = {key: rows[key] for key in rows if key not in known} if present else rows
        if not rows:
            return Kept(kept=0, newer=present)
        kept = await self._guard.write(rows, read_at, ttl)
        if self._policy == "all" and kept.newer:
            kept = await self._again(kept, ttl)
        return _joined(kept, Kept(kept=0, newer=present)) if present else kept

    async def _present(self, keys: Sequence[K]) -> list[K]:
        found: list[K] = []
        for first in range(0, len(keys), _AT_ONCE):
            part = keys[first : first + _AT_ONCE]
            copies = await self._store.get_many(part)
            found += [key for key in part if key in copies]
        return found

    async def _again(self, kept: Kept[K], ttl: float | None) -> Kept[K]:
        keys = tuple(kept.newer)
        await self._present(keys)
        read_at = self._guard.now()
        again = await read_again(self._source, keys)
        rows = again.rows
        second: Kept[K] = await self._guard.write(rows, read_at, ttl) if rows else Kept(kept=0)
        left = Kept(
            kept=kept.kept, newer=(*again.gone, *again.failed), leased=kept.leased, rejected=kept.rejected
        )
        return _joined(left, second)


def is_of_store(error: BaseException) -> bool:
    """Return whether ``error`` of a write says something of the store, and nothing of its rows."""
    # An error with a code is a reply of a server, such as that it is full or only reads.
    return isinstance(error, (OSError, StoreError)) or isinstance(getattr(error, "code", None), str)


def _joined(one: Kept[K], other: Kept[K]) -> Kept[K]:
    return Kept(
        kept=one.kept + other.kept,
        newer=(*one.newer, *other.newer),
        leased=(*one.leased, *other.leased),
        rejected={**one.rejected, **other.rejected},
    )
