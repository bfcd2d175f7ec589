"""The hit rate of a cache over time: its counters, noted every ten seconds of the last hour."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from anyio import current_time, sleep
from anyio.lowlevel import checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from async_backfill._cache import BackfillCache
    from async_backfill._common.line_a_second import LineASecond
    from async_backfill.stats import Stats

APART: Final = 10.0
"""Seconds between two samples."""

_JITTER: Final = 1.0
_MOST_SAMPLES: Final = 361
_AT_ONCE: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Some seconds of a cache: how many lookups there were, and what share of them were hits."""

    seconds: float
    lookups: int
    hit_rate: float


class Courses:
    """Keeps counters of caches, of an hour each, for as long as there is such a cache.

    :param lines: logs what a cache raises that cannot say how it is.
    """

    def __init__(self, lines: LineASecond) -> None:
        self._lines = lines
        self._samples: WeakKeyDictionary[BackfillCache[Any, Any], _Samples] = WeakKeyDictionary()

    async def note_all(self, caches: Callable[[], Iterable[BackfillCache[Any, Any]]]) -> None:
        """Take note of all ``caches``, every ten seconds, until it is cancelled; fifty in one turn."""
        while True:
            due = current_time() + APART
            found = tuple(caches())
            for begin in range(0, len(found), _AT_ONCE):
                for cache in found[begin : begin + _AT_ONCE]:
                    try:
                        self.note(cache, cache.stats)
                    except Exception as error:  # noqa: BLE001 - its store is the user's
                        self._lines.warning("a cache cannot say how it is", error=error)
                await checkpoint()
            await sleep(max(0.0, due - current_time()))

    def note(self, cache: BackfillCache[Any, Any], stats: Stats) -> None:
        """Take note of the counters of ``cache`` now, unless that was done less than ten seconds ago."""
        samples = self._samples.get(cache)
        if samples is None:
            samples = self._samples[cache] = _Samples()
        now = current_time()
        if now - samples.latest >= APART - _JITTER:
            samples.add(now, stats.lookups, stats.hits)

    def stretches(self, cache: BackfillCache[Any, Any]) -> Sequence[Stretch]:
        """Return the stretches of ``cache`` in which something was looked up, the first one first."""
        samples = self._samples.get(cache)
        found: list[Stretch] = []
        for (begin, before, hit), (end, after, hits) in pairwise(samples.in_order() if samples else ()):
            if lookups := int(after - before):
                found.append(Stretch(seconds=end - begin, lookups=lookups, hit_rate=(hits - hit) / lookups))
        return found


class _Samples:
    """Time, lookups and hits, over and over; in an array, as a thousand caches have 361 of each."""

    __slots__ = ("_next", "_numbers", "latest")

    def __init__(self) -> None:
        self._numbers = array("d")
        self._next = 0
        self.latest = float("-inf")

    def add(self, time: float, lookups: int, hits: int) -> None:
        self._numbers[self._next : self._next + 3] = array("d", (time, lookups, hits))
        self._next = (self._next + 3) % (3 * _MOST_SAMPLES)
        self.latest = time

    def in_order(self) -> Iterable[tuple[float, ...]]:
        numbers = self._numbers[self._next :] + self._numbers[: self._next]
        return zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True)
