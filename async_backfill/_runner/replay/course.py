"""The course of a replay: how its figures grew, why lookups missed, and what became of backfilled keys."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import anyio

from async_backfill._runner.replay.lookups import LookupFailure
from async_backfill.events import BackfillAudited, KeysEvicted, LoadFinished
from async_backfill.outcomes import ABSENT, LoadCause
from async_backfill.records import Status

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from async_backfill._cache import BackfillCache
    from async_backfill.events import Event

MOST_POINTS: Final = 200
"""The largest number of stretches into which a replay is divided."""

COLD: Final = "cold"
EVICTED: Final = "evicted"
EXPIRED: Final = "expired"
UNKEPT: Final = "not kept"
MISSING: Final = "absent"
FAILED: Final = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The counters of the cache after so many lookups; ``seconds`` is the time since the first began."""

    seconds: float
    lookups: int
    hits: int
    source_calls: int
    source_keys: int
    backfills: int


@dataclass(slots=True, kw_only=True)
class Receipt:
    """What a backfill loaded, how many of its keys were read, and how many left the cache unread.

    ``lookup``
        the number of lookups before it.
    """

    lookup: int
    loaded: int = 0
    read: int = 0
    left: int = 0


@dataclass(slots=True, kw_only=True)
class Calls:
    """The source calls of one cause, the keys they asked for, and those that were delivered."""

    calls: int = 0
    failed: int = 0
    asked: int = 0
    delivered: int = 0


class Course:
    """Follows a replay of ``total`` lookups; only looks, so that the summary is the same without it.

    It is an observer of the cache, and implements `Watch`.

    :param expires: whether values expire, so that a key that was loaded and is gone has expired.
    """

    def __init__(self, total: int, *, expires: bool) -> None:
        self._every = max(1, -(-total // MOST_POINTS))
        self._gone = EXPIRED if expires else UNKEPT
        self._ended = 0
        self._began = 0.0
        self._loaded: set[Any] = set()
        self._evicted: set[Any] = set()
        self._unread: dict[Any, Receipt] = {}
        self.points: list[Point] = []
        self.causes: Counter[str] = Counter()
        self.missed: Counter[Hashable] = Counter()
        """How often each key missed."""
        self.calls = {cause: Calls() for cause in LoadCause}
        self.receipts: dict[int, Receipt] = {}
        """What each backfill was good for, by its number."""
        self.successors = Receipt(lookup=0)
        self._backfill = 0

    def __call__(self, event: Event) -> None:
        """Hear an event of the cache."""
        if isinstance(event, LoadFinished):
            self._loads(event)
        elif isinstance(event, KeysEvicted):
            self._evicts(event.keys)
        elif isinstance(event, BackfillAudited) and event.record.status is Status.STARTED:
            record = event.record
            self._backfill = record.backfill or 0
            self.receipts[self._backfill] = Receipt(lookup=record.lookup)

    def starts(self, cache: BackfillCache[Any, Any]) -> None:
        """Begin to follow ``cache``, which is open."""
        self._cache = cache
        self._began = anyio.current_time()
        self._note()

    def begins(self, key: Any) -> str:
        """Return why a lookup of ``key`` that begins now will miss, or an empty string when it will hit."""
        if self._is_served(key):
            if (receipt := self._unread.pop(key, None)) is not None:
                receipt.read += 1
            return ""
        self._leaves(key)  # it has expired, or was not kept
        if key in self._evicted:
            return EVICTED
        return self._gone if key in self._loaded else COLD

    def ends(self, key: Any, cause: str, outcome: object) -> None:
        """Count a lookup that has ended; ``cause`` is what `begins` returned."""
        if cause:
            if outcome is ABSENT:
                cause = MISSING
            elif isinstance(outcome, LookupFailure):
                cause = FAILED
            self.causes[cause] += 1
            self.missed[key] += 1
        self._ended += 1
        if not self._ended % self._every:
            self._note()

    def flushed(self) -> None:
        """Hear that the cache was cleared."""
        for receipt in self._unread.values():
            receipt.left += 1
        for keys in (self._unread, self._loaded, self._evicted):
            keys.clear()

    def finishes(self) -> None:
        """Hear that all loads and backfills have ended."""
        self._note()
        for key in [key for key in self._unread if not self._is_served(key)]:
            self._leaves(key)

    def _is_served(self, key: Any) -> bool:
        """Return whether a lookup of ``key`` would be a hit, of a value that is fresh or served stale."""
        return key in self._cache or self._cache.freshness_of(key) is not None

    def _note(self) -> None:
        stats = self._cache.stats
        point = Point(
            seconds=anyio.current_time() - self._began,
            lookups=stats.lookups,
            hits=stats.hits,
            source_calls=stats.source_calls,
            source_keys=stats.source_keys,
            backfills=stats.backfills,
        )
        if self.points and self.points[-1].lookups == point.lookups:
            self.points.pop()
        self.points.append(point)

    def _loads(self, event: LoadFinished) -> None:
        calls = self.calls[event.cause]
        calls.calls += 1
        calls.failed += event.error is not None
        calls.asked += len(event.keys)
        calls.delivered += len(event.found)
        self._loaded.update(event.found)
        # A load is heard of once it is stored, and may have pushed out its own keys.
        self._evicted.difference_update(key for key in event.found if key in self._cache)
        self._follow(event.along, self.successors)
        if event.cause is LoadCause.BACKFILL and self._backfill in self.receipts:
            self._follow(event.found, self.receipts[self._backfill])

    def _follow(self, keys: Iterable[Any], receipt: Receipt) -> None:
        for key in keys:
            receipt.loaded += 1
            self._leaves(key)  # of an earlier backfill: it has expired
            if key in self._cache:
                self._unread[key] = receipt
            else:
                receipt.left += 1

    def _evicts(self, keys: Iterable[Any]) -> None:
        self._evicted.update(keys)
        for key in keys:
            self._leaves(key)

    def _leaves(self, key: Any) -> None:
        if (receipt := self._unread.pop(key, None)) is not None:
            receipt.left += 1
