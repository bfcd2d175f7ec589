"""When values leave: keys in the order of their times, a bucket each few hundred, at eight bytes a key."""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from operator import itemgetter
from typing import TYPE_CHECKING, Final, Generic, TypeAlias

from async_backfill.contracts import K

if TYPE_CHECKING:
    from collections.abc import Mapping

    _Leaves: TypeAlias = tuple[float, int, K]

A_BUCKET: Final = 512
_SLACK: Final = 64
_LET_GO: Final = 2
_TIME: Final = itemgetter(0)


class LeavingTimes(Generic[K]):
    """Knows which keys leave next; a key that gets another time leaves its old record behind, as a dead one.

    Buckets have the keys of one stretch of time each, in no order: a record is a reference to the key, since
    ``times`` has its time. Only the keys that are next stand with their times in a heap, ``_next``. A bucket
    that is full is halved by time; one whose keys all have the same time grows, and is taken in portions.
    Once more than a fifth of the records are dead, each `add` looks at a bucketful and takes those out. So
    each operation is short, however many keys there are. See decision 79 in notes.md.

    :param times: the time of each key that has not left yet; the owner's, always the same.
    :param after: seconds after its time at which a key leaves.
    """

    def __init__(self, times: Mapping[K, float], after: float) -> None:
        self._times = times
        self._after = after
        self._dead: list[list[K]] = []  # of a store that was cleared, let go a few at a time
        self._added = 0
        self._begin()

    def _begin(self) -> None:
        self._next: list[_Leaves[K]] = []
        # Bucket number n has the times from _starts[n] on, up to the next start; _next all times before them.
        self._starts: list[float] = []
        self._buckets: list[list[K]] = []
        self._limit = -math.inf  # the first start; without a bucket what is not before it begins one
        self._latest = -math.inf
        self._records = 0  # in the buckets
        self._bucket = self._place = 0  # where dead records are looked for next

    def __len__(self) -> int:
        return len(self._next) + self._records

    def add(self, key: K, when: float, living: int) -> None:
        """Record that ``key`` leaves at ``when``, if ever; ``living`` keys have not left yet."""
        if self._dead:
            del self._dead[-_LET_GO:]
        if when == math.inf:
            return
        if when < self._limit:
            self._added += 1
            heapq.heappush(self._next, (when, self._added, key))
            if len(self._next) > 2 * A_BUCKET:
                self._put_back()
        else:
            self._put(key, when)
        if 4 * len(self) > 5 * living + 4 * _SLACK:
            self._tidy()

    def due(self, now: float, most: int) -> list[K]:
        """Take out and return keys that leave at ``now`` or before; look at about ``most`` at the most."""
        keys: list[K] = []
        del self._dead[-_LET_GO:]
        buckets = 2 + 4 * most // A_BUCKET  # a bucket that was halved, or lost its dead, is not full
        while True:
            heap = self._next
            while most > 0 and heap and heap[0][0] <= now:
                most -= 1
                when, _, key = heapq.heappop(heap)
                if self._leaves_at(key) == when:
                    keys.append(key)
            if heap or not buckets or not self._starts or self._starts[0] > now:
                return keys
            buckets -= 1
            self._open_bucket()

    def next(self) -> float | None:
        """Return the first time at which `due` may have something to do; ``None`` when there is none."""
        if self._dead:
            return -math.inf
        if self._next:
            return self._next[0][0]
        return self._starts[0] if self._starts else None

    def clear(self) -> None:
        """Forget all times; a million are let go by later calls, because at once it would take long."""
        self._dead += self._buckets
        self._begin()

    def _leaves_at(self, key: K) -> float | None:
        time = self._times.get(key)
        return None if time is None else time + self._after

    def _put(self, key: K, when: float) -> None:
        """Record a key in the bucket of its time."""
        self._records += 1
        starts = self._starts
        if not starts or (when > self._latest and len(self._buckets[-1]) >= A_BUCKET):
            starts.append(when)
            self._buckets.append([key])
            self._limit, self._latest = starts[0], when
            return
        self._latest = max(self._latest, when)
        number = bisect_right(starts, when) - 1
        bucket = self._buckets[number]
        bucket.append(key)
        if len(bucket) > A_BUCKET and not self._has_one_time(number):
            self._halve(number)

    def _has_one_time(self, number: int) -> bool:
        return self._end(number) <= math.nextafter(self._starts[number], math.inf)

    def _end(self, number: int) -> float:
        return self._starts[number + 1] if number + 1 < len(self._starts) else math.inf

    def _living(self, keys: list[K], number: int) -> list[tuple[float, K]]:
        """Return those of ``keys`` whose time is in a bucket, with their times, each once."""
        start, end, after = self._starts[number], self._end(number), self._after
        get, never = self._times.get, -math.inf
        return [
            (when, key) for key in dict.fromkeys(keys) if start <= (when := get(key, never) + after) < end
        ]

    def _halve(self, number: int) -> None:
        """Take the dead out of a full bucket; if it is still more than half full, make two of it."""
        living = self._living(self._buckets[number], number)
        self._records += len(living) - len(self._buckets[number])
        if 2 * len(living) > A_BUCKET:
            living.sort(key=_TIME)
            middle = living[len(living) // 2][0]
            if middle == living[0][0]:  # a bucket for this time alone, which may grow
                if self._starts[number] < middle:
                    self._starts.insert(number + 1, middle)
                    self._buckets.insert(number, [])
                    number += 1
                middle = math.nextafter(middle, math.inf)
            later = [key for when, key in living if when >= middle]
            if later or middle < self._end(number):
                self._starts.insert(number + 1, middle)
                self._buckets.insert(number + 1, later)
            living = living[: len(living) - len(later)]
        self._buckets[number] = [key for _, key in living]

    def _open_bucket(self) -> None:
        """Move the keys of the first bucket, or a portion of very many, to those that are next."""
        while len(self._buckets[0]) > 2 * A_BUCKET and not self._has_one_time(0):
            self._halve(0)
        bucket = self._buckets[0]
        portion = bucket[-2 * A_BUCKET :]
        del bucket[-2 * A_BUCKET :]
        self._records -= len(portion)
        self._bucket = self._place = 0
        living = sorted(self._living(portion, 0), key=_TIME)
        self._next = [(when, self._added + n, key) for n, (when, key) in enumerate(living)]  # a heap: sorted
        self._added += len(living)
        if bucket:
            return
        del self._buckets[0], self._starts[0]
        if self._starts:
            self._limit = self._starts[0]
        else:
            self._limit = math.nextafter(living[-1][0], math.inf) if living else -math.inf

    def _put_back(self) -> None:
        """Make a bucket of the later half of those that are next."""
        self._next = [item for item in sorted(self._next) if self._leaves_at(item[2]) == item[0]]
        if len(self._next) <= A_BUCKET:
            return
        middle = self._next[A_BUCKET][0]
        later = [key for when, _, key in self._next if when >= middle]
        del self._next[len(self._next) - len(later) :]
        self._starts.insert(0, middle)
        self._buckets.insert(0, later)
        self._limit = middle
        self._latest = max(self._latest, middle)
        self._records += len(later)
        self._bucket = self._place = 0

    def _tidy(self) -> None:
        """Take dead records out of about a bucketful; begin again with those that are next after the last."""
        left = A_BUCKET
        while left > 0 and self._bucket < len(self._buckets):
            bucket, place = self._buckets[self._bucket], self._place
            portion = bucket[place : place + left]
            left -= len(portion) + 1
            living = [key for _, key in self._living(portion, self._bucket)]
            bucket[place : place + len(portion)] = living
            self._records += len(living) - len(portion)
            self._place += len(living)
            if self._place < len(bucket):
                return
            self._place = 0
            if bucket or not self._drop(self._bucket):
                self._bucket += 1
        if left > 0:
            self._bucket = self._place = 0
            self._next = [item for item in self._next if self._leaves_at(item[2]) == item[0]]
            heapq.heapify(self._next)

    def _drop(self, number: int) -> bool:
        """Forget an empty bucket: the one before it has its times from now on, unless that is full."""
        if len(self._buckets) == 1 or (number and len(self._buckets[number - 1]) >= A_BUCKET):
            return False
        del self._buckets[number], self._starts[number]
        self._limit = self._starts[0]
        return True
