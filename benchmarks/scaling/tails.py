"""The slowest single operations in a cache of a given size, which a mean would hide."""

from __future__ import annotations

import gc
import time
from array import array
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from async_backfill import BackfillCache
from benchmarks.scaling.floors import Echo, NaiveCache
from benchmarks.scaling.sizes import FREE, FULL, fill

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from async_backfill.stores._eviction.orders import Eviction

_ENTRIES_A_SLOT: Final = Fraction(2, 3)


@dataclass(frozen=True, slots=True)
class Slowest:
    """Nanoseconds of processor time: the median, the 99.9th percentile, and the slowest of ``count``."""

    count: int
    median: float
    high: float
    worst: float


@dataclass(frozen=True, slots=True)
class Tail:
    """The slowest single operations at one size, beside those of the floor."""

    what: str
    who: str
    size: int
    cost: Slowest
    floor: Slowest


async def tails(order: Eviction, size: int, *, misses: int) -> list[Tail]:
    """Return the tails of lone misses, into free room and evicting, of a cache of about ``size`` entries.

    The size is the one at which a dict grows that is nearest to ``size``, so that a resize of the dict
    is among the operations that are timed: in the middle of them where entries are added, and where they
    come and go. Garbage collections are not: they would come at random.

    :param misses: operations of each kind at least, with as many fresh starts as a small cache needs.
    """
    grows_at = _grows_near(size)
    around = max(1, min(misses, grows_at // 10) // 2)
    starts = -(-misses // (2 * around))
    base = list(range(grows_at - around))
    source = Echo()
    found: list[Tail] = []
    for what, capacity in ((FREE, grows_at + around), (FULL, grows_at - around)):
        naive = NaiveCache(source, capacity)
        costs, floors = array("q"), array("q")
        async with BackfillCache(source, capacity=capacity, eviction=order) as cache:
            for start in range(starts):
                naive.clear()
                await cache.clear()
                naive.fill(base)
                await fill(cache, base)
                fresh = range(size * 10 + start * 2 * around, size * 10 + (start + 1) * 2 * around)
                with no_collections():
                    await time_each(naive.get, fresh, floors)
                    await time_each(cache.get, fresh, costs)
        found.append(Tail(what, order, size, slowest(costs), slowest(floors)))
    return found


async def time_each(
    get: Callable[[int], Awaitable[object]], keys: Iterable[int], durations: array[int]
) -> None:
    """Add the processor time of each of ``keys``, so that other work of the machine does not count."""
    clock = time.thread_time_ns
    for key in keys:
        began = clock()
        await get(key)
        durations.append(clock() - began)


def slowest(durations: array[int]) -> Slowest:
    """Return the summary of the times of `time_each`."""
    ordered = sorted(durations)
    last = len(ordered) - 1
    return Slowest(len(ordered), ordered[last // 2], ordered[round(last * 0.999)], ordered[last])


def _grows_near(size: int) -> int:
    """Return the number of entries nearest to ``size`` with which a dict is full: one more makes it grow."""
    bits = size.bit_length()
    return min(
        (int(_ENTRIES_A_SLOT * 2**power) for power in range(max(3, bits - 1), bits + 2)),
        key=lambda full: max(full, size) / min(full, size),
    )


@contextmanager
def no_collections() -> Iterator[None]:
    """Switch garbage collection off for ``with``."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
