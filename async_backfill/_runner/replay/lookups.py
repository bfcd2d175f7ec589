"""Replay lookups through a cache: one by one, concurrently, or at their arrival times."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count, repeat
from typing import TYPE_CHECKING, Any, Final, Protocol

from anyio import create_task_group, current_time, sleep_until
from anyio.lowlevel import checkpoint

from async_backfill.errors import LoadError
from async_backfill.outcomes import ABSENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from async_backfill._cache import BackfillCache

_STRIDE: Final = 2000
"""The number of lookups after which others have a turn, and Ctrl-C is noticed."""

_REPORTS: Final = 100
"""The least number of progress reports, unless there are fewer lookups."""


@dataclass(frozen=True, slots=True)
class LookupFailure:
    """The outcome of a lookup whose source failed; ``error`` is one line."""

    error: str


class Watch(Protocol):
    """Follows a replay; each of its lookups is told when it begins and when it ends."""

    def begins(self, key: Any, /) -> str:
        """Return a note on the lookup of ``key`` that begins now."""
        ...

    def ends(self, key: Any, note: str, outcome: object, /) -> None:
        """Take the outcome of that lookup, with the note that `begins` returned."""
        ...

    def flushed(self) -> None:
        """Hear that the cache was cleared."""
        ...


async def replay(  # noqa: C901, PLR0913 - what a replay is told and tells, one by one; one coroutine
    cache: BackfillCache[Any, Any],
    lookups: Keys,
    *,
    concurrency: int,
    keep: bool,
    flush_at: int | None = None,
    progress: Callable[[int, int], None],
    arrivals: Iterable[float] | None = None,
    took: Callable[[float], object] | None = None,
    failed: Callable[[LoadError], object] = lambda _: None,
    watch: Watch | None = None,
    beginning: Callable[[int], object] | None = None,
) -> list[object]:
    """Look up ``lookups`` in order, at most ``concurrency`` at once, and wait for all loads and backfills.

    Returns the outcomes in the same order: each is a value, `ABSENT` or a `LookupFailure`. The list is empty
    unless ``keep`` is set.

    :param flush_at: the number of the lookup, from 1, before which the cache is cleared.
    :param progress: a function that is called now and then with the lookups begun and the total.
    :param arrivals: the times when lookups begin, in seconds from now, in ascending order; a lookup that
        finds ``concurrency`` others in flight begins when one of them has ended.
    :param took: a function that is called with the latency of each lookup in seconds, counted from its
        time in ``arrivals``, so that the wait for others counts too (decision 29 in notes.md).
    :param failed: a function that is called with the error of each lookup that failed.
    :param watch: follows the replay, without a say in it.
    :param beginning: a function that is called with the number of each lookup, from 0, when it begins.
    """
    outcomes: list[object] = [None] * len(lookups) if keep else []
    begins = repeat(None) if arrivals is None else map(current_time().__add__, arrivals)
    numbered = zip(count(), lookups, begins, strict=False)
    look_up = _lookup_of(took, failed, watch)
    is_bare = took is None and watch is None

    stride = _stride_of(len(lookups))

    async def work() -> None:
        for number, key, arrival in numbered:
            if not number % stride:
                progress(number, len(lookups))
                if not number % _STRIDE:
                    await checkpoint()
            if arrival is not None:
                await sleep_until(arrival)
            if number + 1 == flush_at:
                await _flush(cache, watch)
            if beginning is not None:
                beginning(number)
            if is_bare:  # the same as `_lookup`, without a coroutine more for each
                try:
                    outcome = await cache.get(key, ABSENT)
                except LoadError as error:
                    failed(error)
                    outcome = LookupFailure(str(error))
            else:
                outcome = await look_up(cache, key, arrival)
            if keep:
                outcomes[number] = outcome

    if concurrency == 1:
        await work()
    else:
        async with create_task_group() as workers:
            for _ in range(min(concurrency, len(lookups))):
                workers.start_soon(work)
    await cache.settle()
    progress(len(lookups), len(lookups))
    return outcomes


def _lookup_of(
    took: Callable[[float], object] | None, failed: Callable[[LoadError], object], watch: Watch | None
) -> _LooksUp:
    look_up = _lookup(failed)
    if took is not None:
        look_up = _timed(look_up, took)
    return look_up if watch is None else _watched(look_up, watch)


def _stride_of(lookups: int) -> int:
    """Return the number of lookups between two progress reports.

    It divides the longest, so that others have their turns at the same lookups for any number of them.
    """
    return max(each for each in (1, 10, 100, _STRIDE) if each == 1 or each * _REPORTS <= lookups)


async def _flush(cache: BackfillCache[Any, Any], watch: Watch | None) -> None:
    await cache.clear()
    if watch is not None:
        watch.flushed()


class Keys(Protocol):
    """The keys to look up, in order."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


class _LooksUp(Protocol):
    async def __call__(
        self, cache: BackfillCache[Any, Any], key: Any, arrival: float | None, /
    ) -> object: ...


def _lookup(failed: Callable[[LoadError], object]) -> _LooksUp:
    """Return a lookup whose outcome is a value, `ABSENT` or a `LookupFailure`."""

    async def look_up(cache: BackfillCache[Any, Any], key: Any, _: float | None) -> object:
        try:
            return await cache.get(key, ABSENT)
        except LoadError as error:
            failed(error)
            return LookupFailure(str(error))

    return look_up


def _timed(inner: _LooksUp, took: Callable[[float], object]) -> _LooksUp:
    """Return a lookup that passes its latency to ``took``, counted from its arrival if it has one."""

    async def look_up(cache: BackfillCache[Any, Any], key: Any, arrival: float | None) -> object:
        began = current_time() if arrival is None else arrival
        outcome = await inner(cache, key, arrival)
        took(current_time() - began)
        return outcome

    return look_up


def _watched(inner: _LooksUp, watch: Watch) -> _LooksUp:
    """Return a lookup of which ``watch`` is told."""

    async def look_up(cache: BackfillCache[Any, Any], key: Any, arrival: float | None) -> object:
        note = watch.begins(key)
        outcome = await inner(cache, key, arrival)
        watch.ends(key, note, outcome)
        return outcome

    return look_up
