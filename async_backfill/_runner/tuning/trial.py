"""One trial: replay the scenario with one set of settings, through the production code."""

from __future__ import annotations

from collections import Counter
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import anyio

from async_backfill._runner.replay.lookups import replay
from async_backfill._runner.scenario.build import make_cache, make_source
from async_backfill._runner.tuning.sampling import margin_of, scale_down, scale_up

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from async_backfill._runner.scenario.build import AnySource
    from async_backfill._runner.scenario.model import HeldSpec, Settings
    from async_backfill.contracts import Page
    from async_backfill.stats import Stats


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The input of all trials.

    ``spec``, ``keys``
        the kind of the source, and its keys; values do not matter in a trial, so there are none.
    ``lookups``
        the keys to look up; with a sample, only those in it.
    ``share``
        the share of the keys that was sampled; 1.0 is all.
    ``total``, ``absent``
        the number of lookups before sampling, and of those whose key the source does not have.
    """

    spec: HeldSpec
    keys: Sequence[Any]
    lookups: Sequence[Any]
    share: float
    total: int
    absent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The counts of a trial of ``settings``, scaled up to the whole scenario after sampling.

    ``entries``
        the largest number of keys in the cache, which is that at the end or before the flush: at other times
        keys only leave to make room.
    ``margin``
        three standard errors of ``hit_rate``; 0.0 without sampling.
    """

    settings: Settings
    source_calls: int
    source_keys: int
    entries: int
    hit_rate: float
    backfills: int
    margin: float

    @property
    def cost(self) -> float:
        """The cost for the source, in calls: reading a hundred keys costs as much as a call."""
        return self.source_calls + self.source_keys / KEYS_A_CALL


KEYS_A_CALL: Final = 100
"""Keys whose reading costs the source as much as a call does: 5 ms and 0.05 ms in the benchmarks."""

_workload: Final[ContextVar[Workload]] = ContextVar("_workload")


def take(workload: Workload) -> None:
    """Keep ``workload`` for the trials of this process."""
    _workload.set(workload)


def run_taken(settings: Settings) -> Result:
    """Return the result of ``settings`` for the workload kept by `take`."""
    return anyio.run(run_trial, _workload.get(), settings)


async def run_trial(workload: Workload, settings: Settings) -> Result:
    """Return the result of ``settings``, not scaled, for ``workload``."""
    source = make_source(workload.spec, dict.fromkeys(workload.keys), sleep=_at_once)
    if workload.share < 1.0:
        return await _run_sampled(workload, settings, source)
    stats, entries = await _replayed(source, settings, workload)
    return Result(
        settings=settings,
        source_calls=stats.source_calls,
        source_keys=stats.source_keys,
        entries=entries,
        hit_rate=stats.hit_rate,
        backfills=stats.backfills,
        margin=0.0,
    )


async def _run_sampled(workload: Workload, settings: Settings, source: AnySource) -> Result:
    share, counted = workload.share, _Counted(source)
    # A source like any other, but not one of the types that a scenario can name.
    small = scale_down(settings, share)
    stats, entries = await _replayed(cast("AnySource", counted), small, workload)
    estimate = scale_up(
        stats, settings, share, entries=entries, lookups=workload.total, absent=workload.absent
    )
    return Result(
        settings=settings,
        source_calls=estimate.source_calls,
        source_keys=estimate.source_keys,
        entries=estimate.entries,
        hit_rate=estimate.hit_rate,
        backfills=estimate.backfills,
        margin=margin_of(counted.loads, share, workload.total),
    )


async def _replayed(source: AnySource, settings: Settings, workload: Workload) -> tuple[Stats, int]:
    """Return the counts of a replay, and the largest number of keys in the cache."""
    begun = len(workload.lookups)
    if settings.flush_at is not None:  # in a sample after the same share of the lookups as in the whole
        begun = round((settings.flush_at - 1) * begun / max(1, workload.total))
    before, after = workload.lookups[:begun], workload.lookups[begun:]
    async with make_cache(source, settings) as cache:
        await replay(cache, before, concurrency=1, keep=False, progress=_ignore)
        entries = cache.stats.size
        if after:
            await cache.clear()
            await replay(cache, after, concurrency=1, keep=False, progress=_ignore)
        return cache.stats, max(entries, cache.stats.size)


class _Counted:
    """A source that counts the loads of each key."""

    def __init__(self, source: AnySource) -> None:
        self._source = source
        self.loads: Counter[Any] = Counter()

    def __len__(self) -> int:
        return len(self._source)

    async def load_many(self, keys: Sequence[Any], /) -> Mapping[Any, Any]:
        found = await self._source.load_many(keys)
        self.loads.update(found.keys())
        return found

    async def scan(self, cursor: object | None, limit: int, /) -> Page[Any]:
        return await self._source.scan(cursor, limit)


async def _at_once(_: float) -> None:
    """Take no time: with one lookup in flight, the latency of the source changes no count."""


def _ignore(_: int, __: int) -> None:
    """Report no progress from inside a worker."""
